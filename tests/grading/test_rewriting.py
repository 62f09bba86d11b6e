"""Right answers stay right however rewritten; one mistake makes them wrong, and is named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnngrad.analyses.grading.grade import Grade, Grader

Graded = Callable[[str, Any], Grade]
Ways = list[list[str]]
"""A sum of products, each factor a text."""


def head(t: int) -> list[str]:
    return [f"dL_{t}/dy_{t}", f"dy_{t}/dh_{t}"]


def back(t: int, k: int) -> list[str]:
    return [f"dh_{s}/dh_{s - 1}" for s in range(t, k, -1)]


def ways(name: str) -> Ways:
    """The paths of the sheet, T = 3 and h_0 = 0, written down here once more."""
    if name in ("a5", "a6"):
        k = {"a5": 2, "a6": 1}[name]
        return [head(t) + back(t, k) for t in range(k, 4)]
    weight, first = {"b3": ("W_xh", 1), "b4": ("W_hh", 2)}[name]
    return [
        [*head(t), *back(t, k), f"dh_{k}/d{weight}"]
        for t in range(first, 4)
        for k in range(first, t + 1)
    ]


def expanded(factor: str) -> list[str]:
    """Other ways to write one partial."""
    top, bottom = (part[1:] for part in factor.split("/"))
    s = top[-1]
    a = f"W_xh*x_{s} + W_hh*h_{int(s) - 1} + b_h"
    if top.startswith("L"):
        return [f"(-2*(t_{s} - y_{s}))", f"(2 y_{s} - 2 t_{s})", f"dL/dy_{s}"]
    if top.startswith("y"):
        return [
            f"sigma'(W_hy*h_{s} + b_y) * W_hy",
            f"y_{s}*(1 - y_{s})*W_hy",
            f"dsigma(W_hy*h_{s} + b_y)/dh_{s}",
            f"dy_{s}/do_{s} * do_{s}/dh_{s}",
        ]
    if bottom.startswith("h"):
        return [
            f"sigma'({a})*W_hh",
            f"sigma(a_{s})*(1 - sigma(a_{s}))*W_hh",
            f"h_{s}(1-h_{s}) W_hh",
        ]
    inside = f"x_{s}" if bottom == "W_xh" else f"h_{int(s) - 1}"
    return [f"sigma'({a})*{inside}", f"d+h_{s}/d{bottom}", f"{inside}*sigmoid'(a_{s})"]


@st.composite
def rewritten(draw: st.DrawFn, paths: Ways) -> str:
    """Paths and factors in any order, some partials expanded, heads factored out, zeros added."""
    terms = []
    for path in draw(st.permutations(paths)):
        factors = [draw(st.sampled_from([f, *expanded(f)])) for f in draw(st.permutations(path))]
        term = draw(st.sampled_from([" * ", " "] if not _numbers(factors) else [" * "])).join(
            factors
        )
        terms.append(
            draw(st.sampled_from(["{}", "({})", "-(-({}))", "1*({})", "({})/2*2"])).format(term)
        )
    zero = draw(st.sampled_from(["", " + x_1 - x_1", " + 0*h_2", " - (b_h - b_h)"]))
    return " + ".join(terms) + zero


def _numbers(factors: list[str]) -> bool:
    return any("/" in factor or factor[0].isdigit() for factor in factors)


@given(st.data(), st.sampled_from(["a5", "a6", "b3", "b4"]))
def test_rewritings_stay_right(sheet: Grader, data: st.DataObject, name: str) -> None:
    text = data.draw(rewritten(ways(name)))
    assert sheet.one(name, text).points == 5, text


FACTORED = {
    "a5": "dL_2/dh_2 + (dL_3/dy_3 * dy_3/dh_3) * dh_3/dh_2",
    "a6": "dL_1/dh_1 + (dL_2/dh_2 + dL_3/dh_3 dh_3/dh_2) dh_2/dh_1",
    "b3": "dL/dh_1 dh_1/dW_xh + dL/dh_2 dh_2/dW_xh + dL/dh_3 dh_3/dW_xh",
    "b4": "dL/dh_2 * dh_2/dW_hh + dL/dh_3 * dh_3/dW_hh",
    "a4": "h_t (1 - h_t) W_hh",
    "b1": "(h_t - h_t^2) x_t",
    "b2": "da_t/dW_hh * dh_t/da_t",
    "a3": "-2 (t_3 - y_3) y_3 (1 - y_3) W_hy",
    "a1": "2*y_3 - 2*t_3",
    "a2": "(y_2 - t_2)*2",
}
SUMS = {
    "a6": "sum_{t=1..T} dL_t/dy_t dy_t/dh_t prod_{s=2..t} dh_s/dh_{s-1}",
    "b3": "sum_{t=1..T} dL_t/dh_t sum_{k=1..t} (prod_{s=k+1..t} dh_s/dh_{s-1}) dh_k/dW_xh",
    "b4": r"\sum_{k=1}^{T} \frac{\partial L}{\partial h_k} \frac{\partial h_k}{\partial W_{hh}}",
}


BPTT = [
    "sum_{t=1..3} sum_{k=1..t} dL_t/dh_t * prod_{s=k+1..t} dh_s/dh_{s-1} * dh_k/dW_xh",
    r"\sum_{t=1}^{3} \sum_{k=1}^{t} \frac{\partial L_t}{\partial h_t} \prod_{s=k+1}^{t} "
    r"\frac{\partial h_s}{\partial h_{s-1}} \frac{\partial h_k}{\partial W_{xh}}",
    r"\boxed{\frac{\partial L}{\partial W_{xh}} = \sum_{t=1}^{3} \sum_{k=1}^{t} -2(t_t - y_t) "
    r"y_t(1 - y_t) W_{hy} \prod_{s=k+1}^{t} \sigma'(\tilde h_s) W_{hh} \, "
    r"\sigma'(\tilde h_k) x_k}.",
]
"""The sum of the textbooks, whose ∏ is written without brackets."""


@pytest.mark.parametrize("text", BPTT)
def test_a_product_ends_with_its_index(graded: Graded, text: str) -> None:
    assert graded("b3", text).points == 5


@pytest.mark.parametrize("text", ["{}.", "{},", "{} ;", "${}$", "$$ {} . $$", r"\boxed{{{}}}"])
def test_what_stands_around_an_answer(graded: Graded, sheet: Grader, text: str) -> None:
    right = f"{sheet.numbers.quantities['dL_dy'][1, 0]:.6f}"
    assert graded("a2", text.format(right)).points == 5
    assert graded("a1", text.format("-2(t3 - y3)")).points == 5
    assert graded("a1", text.format("dL/dy3 = 2(t3 - y3)")).points == 2.5


@pytest.mark.parametrize(("name", "text"), [*FACTORED.items(), *SUMS.items()])
def test_other_forms(graded: Graded, name: str, text: str) -> None:
    assert graded(name, text).points == 5


def joined(paths: Ways) -> str:
    return " + ".join(" * ".join(path) for path in paths)


@given(st.data(), st.sampled_from(["a5", "a6", "b3", "b4"]))
def test_a_dropped_path_is_named(sheet: Grader, data: st.DataObject, name: str) -> None:
    paths = ways(name)
    gone = data.draw(st.integers(0, len(paths) - 1))
    grade = sheet.one(name, data.draw(rewritten(paths[:gone] + paths[gone + 1 :])))
    assert grade.points == int(10 * (len(paths) - 1) / len(paths)) / 2
    assert "missing" in grade.hint
    assert f"L_{paths[gone][0][3]}" in grade.hint


@given(st.data(), st.sampled_from(["a5", "a6", "b3", "b4"]))
def test_a_flipped_sign_is_named(sheet: Grader, data: st.DataObject, name: str) -> None:
    paths = ways(name)
    which = data.draw(st.integers(0, len(paths) - 1))
    flipped = [["(-1)", *path] if i == which else path for i, path in enumerate(paths)]
    grade = sheet.one(name, joined(data.draw(st.permutations(flipped))))
    assert grade.points == int(10 * (len(paths) - 1) / len(paths)) / 2
    assert "wrong sign" in grade.hint


@given(st.data(), st.sampled_from(["a5", "a6", "b3", "b4"]))
def test_a_dropped_factor_is_noticed(sheet: Grader, data: st.DataObject, name: str) -> None:
    paths = [list(path) for path in ways(name)]
    which = data.draw(st.integers(0, len(paths) - 1))
    factor = paths[which].pop(data.draw(st.integers(0, len(paths[which]) - 1)))
    grade = sheet.one(name, joined(paths))
    assert grade.points < 5
    assert "missing" in grade.hint or "stands where" in grade.hint, (factor, grade.hint)


@given(st.data(), st.sampled_from(["a5", "a6", "b3", "b4"]), st.sampled_from(["2", "0.5", "3"]))
def test_a_constant_factor_of_the_whole(
    sheet: Grader, data: st.DataObject, name: str, factor: str
) -> None:
    grade = sheet.one(name, f"{factor}*({data.draw(rewritten(ways(name)))})")
    assert grade.points == 2.5
    assert "factor" in grade.hint


MISTAKES = {
    "sign": ("a1", "2(t_3 - y_3)", "the sign is wrong"),
    "factor 2": ("a1", "-(t_3 - y_3)", "a factor 2 is missing"),
    "sigma' missing": ("a4", "W_hh", "σ' is missing in ∂h_t/∂h_{t−1}"),
    "sigma' at h": ("a4", "sigma'(h_t) W_hh", "σ' is taken at h_t"),
    "sigma' at another step": ("a4", "sigma'(a_{t-1}) W_hh", "σ' is taken at another step"),
    "sigma for sigma'": ("a4", "sigma(a_t) W_hh", "σ stands where σ' belongs"),
    "W_hh missing": ("a4", "sigma'(a_t)", "the factor W_hh is missing"),
    "h_t for h_{t-1}": ("b2", "sigma'(a_t) h_t", "h_t stands where h_{t−1} belongs"),
    "x missing": ("b1", "sigma'(a_t)", "the factor x_t is missing"),
    "W for x": ("b1", "sigma'(a_t) W_xh", "W_xh stands where x_t belongs"),
    "output slope missing": ("a3", "dL_3/dy_3 W_hy", "output activation is missing"),
    "output slope at y": ("a3", "dL_3/dy_3 sigma'(y_3) W_hy", "taken at y_3"),
    "W_hy missing": ("a3", "dL_3/dy_3 sigma'(W_hy h_3 + b_y)", "the factor W_hy is missing"),
    "immediate": (
        "b3", "sum_{t=1..3} dL_t/dh_t dh_t/dW_xh", "every path through earlier states is missing",
    ),
    "last loss": ("a6", "dL_3/dh_3 dh_3/dh_2 dh_2/dh_1", "every path from L_1, L_2 is missing"),
    "sigma' missing in one link": (
        "a5", "dL_2/dh_2 + dL_3/dh_3 W_hh", "σ' is missing in ∂h_3/∂h_2",
    ),
    "one step alone": ("a4", "sigma'(a_3) W_hh", "one step alone"),
    "restated": ("a3", "dL/dh_3", "restates"),
    "restated in the end": ("a1", "dL/dy_3 = dL_3/dy_3", "restates"),
    "left-hand side": ("a1", "dL/dy_2 = -2(t_3 - y_3)", "the left-hand side is ∂L/∂y_2"),
    "no such step": ("a1", "-2(t_4 - y_4)", "target has steps 1 to 3"),
    "no value": ("a1", "1/(y_3 - y_3)", "divides by 0"),
    "t is not bound": ("b3", "dL_t/dh_t", "no fixed step"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "text", "words"), MISTAKES.values(), ids=MISTAKES)
def test_known_mistakes(graded: Graded, name: str, text: str, words: str) -> None:
    grade = graded(name, text)
    assert grade.points < 5
    assert words in grade.hint


@pytest.mark.parametrize(("name", "text", "words"), MISTAKES.values(), ids=MISTAKES)
def test_hidden_hints_hold_no_formula(sheet: Grader, name: str, text: str, words: str) -> None:
    grade = Grader(sheet.problem, hide=True).one(name, text)
    assert grade.points < 5
    assert grade.hint
    if not grade.unread and "left-hand" not in grade.hint:
        assert not any(sign in grade.hint for sign in ("∂", "·", "W_", "h_t", "x_t", "factor 2"))
