"""Mistakes found in the graph of the equations: planted in plain loops, one partial at a time."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnngrad
from checking import public_mistakes as public
from checking.random_arrays import typed
from oracles import any_cell, wrong_other
from rnngrad.algebra.derivatives import ONE
from rnngrad.algebra.step_graph import Matrix
from rnngrad.analyses.checking.against import check_arrays
from rnngrad.analyses.checking.document import document
from rnngrad.analyses.derivation.quantities import Passes, Quantities
from rnngrad.analyses.mistakes import searching
from rnngrad.analyses.mistakes.local_partials import Change, Other, Wrong
from rnngrad.analyses.mistakes.passes import Apart
from rnngrad.analyses.mistakes.searching import Search
from rnngrad.analyses.mistakes.words import Found, Saying
from rnngrad.arithmetic.arrays import quietly
from rnngrad.cells import CELLS, NAMES
from rnngrad.progress import reporting_to

Arrays = dict[str, np.ndarray]
NET = public.Net(7, 4)


def edited(kind: str, *edits: tuple[str, str]) -> str:
    source = public.REFERENCES[kind]
    for old, new in edits:
        assert source.count(old) == 1, old
        source = source.replace(old, new)
    return source


def answer(kind: str, *edits: tuple[str, str], per_step: bool = False) -> Arrays:
    return public.answer(edited(kind, *edits), kind, NET, per_step)


def told(problem: Any, given: Arrays, hide: bool = False) -> dict[str, dict[str, Any]]:
    """name -> the diagnosis of what fails."""
    made = document(check_arrays(problem, given), hide_expected=hide)["quantities"]
    assert isinstance(made, list)
    return {row["name"]: row["diagnosis"] or {} for row in made if row["verdict"] == "fail"}


def of(kind: str, *edits: tuple[str, str], **options: Any) -> dict[str, dict[str, Any]]:
    hide = options.pop("hide", False)
    problem = rnngrad.load(public.spec(kind, NET))
    return told(problem, answer(kind, *edits, **options), hide)


def partial(name: str, used: str, right: str) -> tuple[str, dict[str, Any]]:
    return "wrong-partial", {"partial": name, "used": used, "right": right}


PREV = "hs[t - 1] if t > 0 else h_0"
ONE_EACH = (
    # a partial left out, twice, with the wrong sign
    ("lstm", [("dg = dc * i", "dg = 0 * dc")], partial("∂c_t/∂g_t", "0", "i_t")),
    ("lstm", [("do = dh * np.tanh(c)", "do = 0 * dh")], partial("∂h_t/∂o_t", "0", "tanh(c_t)")),
    ("lstm", [("df = dc * c_prev", "df = -dc * c_prev")],
     partial("∂c_t/∂f_t", "−c_{t−1}", "c_{t−1}")),
    # another name, a neighbour's step
    ("lstm", [("dg = dc * i", "dg = dc * f")], partial("∂c_t/∂g_t", "f_t", "i_t")),
    ("gru", [("dm = da_n * r", "dm = da_n * z")], partial("∂a_t/∂q_t", "z_t", "r_t")),
    ("gru", [("np.outer(da_x, inputs[t])", "np.outer(da_x, inputs[t - 1])")],
     partial("∂a_t/∂W_xh", "x_{t−1}", "x_t")),
    # a slope left out, at the output, twice, of another function
    ("gru", [("(1 - n**2)", "1")], partial("∂n_t/∂a_t", "1", "tanh'(a_t)")),
    ("lstm", [("do * o * (1 - o)", "do * sigmoid(o) * (1 - sigmoid(o))")],
     partial("∂o_t/∂a_t", "σ'(σ(a_t))", "σ'(a_t)")),
    ("gru", [("dr * r * (1 - r)", "dr * (r * (1 - r)) ** 2")],
     partial("∂r_t/∂a_t", "σ'(a_t)^2", "σ'(a_t)")),
    # a matrix left out, transposed, its diagonal alone, with the wrong sign
    ("lstm", [("W_hh.T @ da", "W_hh[H:].T @ da[H:]")], partial("∂a_t/∂h_{t−1}", "0", "W_hi")),
    ("rnn", [("W_hh.T @ da", "-W_hh.T @ da")], partial("∂a_t/∂h_{t−1}", "−W_hh", "W_hh")),
    ("rnn", [("W_hh.T @ da", "W_hh @ da")], ("transposed-W_hh", None)),
    ("rnn", [("W_hh.T @ da", "np.diag(W_hh) * da")],
     partial("∂a_t/∂h_{t−1}", "diag(W_hh)", "W_hh")),
    # sums and carries
    ("gru", [("dW_xh += ", "dW_xh = ")],
     ("overwritten", {"steps": {str(t): 0 for t in range(2, 8)}})),
    ("rnn", [("dW_xh += np.outer(da, inputs[t])",
              "dW_xh += np.outer(da, inputs[t]) * (1 + (t == 2) - (t == 4))")],
     ("wrong-steps", {"steps": {"3": 2, "5": 0}})),
    ("gru", [(PREV, "hs[t - 1]")], ("wrapped-index", None)),
    ("lstm", [("dc_next = dc * f", "dc_next = dc_next + dc * f")],
     ("carry-not-reset", {"sum": "∂L/∂c_t"})),
    ("gru", [("dy + dh_next", "dy + np.clip(dh_next, -0.1, 0.1)")],
     ("clipped-on-the-way",
      {"clipped": "∂L/∂h_t as it comes back from step t + 1", "by": "entry by entry"})),
    ("rnn", [("dy + dh_next", "dy + dh_next * min(1, 0.1 / (np.linalg.norm(dh_next) + 1e-300))")],
     ("clipped-on-the-way",
      {"clipped": "∂L/∂h_t as it comes back from step t + 1", "by": "to a norm"})),
    ("gru", [("dy + dh_next", "dy")], ("immediate-only", None)),
)  # fmt: skip


@pytest.mark.parametrize(("kind", "edits", "expected"), ONE_EACH, ids=lambda x: str(x)[:40])
def test_one_of_each_family_is_named_with_its_place(
    kind: str, edits: list[tuple[str, str]], expected: tuple[str, dict[str, Any] | None]
) -> None:
    bug, where = expected
    found = of(kind, *edits)
    assert found
    for each in found.values():
        assert (each.get("bug"), each.get("with")) == (bug, None), each
        if where is not None:
            assert each["where"] == where


def test_the_words_are_made_from_the_equation() -> None:
    (words,) = {each["explanation"] for each in of("lstm", ("di = dc * g", "di = dc * i")).values()}
    assert words == (
        "∂c_t/∂i_t is g_t, from c_t = f_t ∘ c_{t−1} + i_t ∘ g_t; your numbers are those of i_t"
    )


PAIRS = (
    ("lstm", [("di = dc * g", "di = dc"), ("dy + dh_next", "dy")]),
    ("gru", [(" + dh * z", ""), ("(1 - n**2)", "1")]),
    ("rnn", [("dW_hh += ", "dW_hh = "), ("W_hh.T @ da", "W_hh @ da")]),
)


@pytest.mark.parametrize(("kind", "edits"), PAIRS, ids=lambda x: str(x)[:40])
def test_two_at_once_are_the_two_that_one_alone_would_be(
    kind: str, edits: list[tuple[str, str]]
) -> None:
    alone = [next(iter(of(kind, edit).values())) for edit in edits]
    pairs = [each for each in of(kind, *edits).values() if "with" in each]
    assert pairs
    for each in pairs:
        both = [(one["bug"], one.get("where", {}).get("used")) for one in (each, each["with"])]
        single = [(one["bug"], one.get("where", {}).get("used")) for one in alone]
        assert {bug for bug, _ in both} == {bug for bug, _ in single}


# ---------------------------------------------------------------------------- other cells


@pytest.mark.parametrize("make", [wrong_other.stack, wrong_other.peephole, wrong_other.leaky])
def test_the_loops_are_right(make: Any) -> None:
    spec, made = make()
    problem, given = rnngrad.load(spec), made({})
    assert told(problem, given) == {}
    apart = Apart(Passes(problem))
    with quietly():
        both = apart.made([Wrong(), Wrong()])
    for name, array in given.items():
        rows = apart.read(name, both)
        assert rows is not None
        np.testing.assert_allclose(rows, np.stack([array, array]), rtol=1e-12, atol=1e-13)


def test_a_mistake_of_a_stack_is_made_in_every_layer() -> None:
    spec, made = wrong_other.stack()
    found = told(rnngrad.load(spec), made({"slope": lambda h: (1 - h**2) ** 2}))
    assert len(found) == 6
    assert {(each["bug"], each["where"]["used"]) for each in found.values()} == {
        ("wrong-partial", "σ'(a_t)^2")
    }


def test_a_path_through_a_peephole() -> None:
    spec, made = wrong_other.peephole()
    found = told(rnngrad.load(spec), made({"peep_f": lambda at_f: 0 * at_f}))
    assert found
    for each in found.values():
        assert (each["bug"], each["where"]["used"]) == ("wrong-partial", "0"), each
        assert each["where"]["right"] == "w_cf"


def test_a_mistake_in_a_cell_of_one_s_own() -> None:
    spec, made = wrong_other.leaky()
    problem = rnngrad.load(spec)
    found = told(problem, made({"carry": lambda at_h: at_h}))
    assert sorted(found) == ["dL_dW_hu", "dL_dW_xu", "dL_dalpha", "dL_db_u"]
    for each in found.values():
        assert each["bug"] == "wrong-partial"
        assert each["where"] == {"partial": "∂h_t/∂h_{t−1}", "used": "1", "right": "alpha"}
    (beside,) = told(problem, made({"beside_alpha": lambda h, t: h[t]})).values()
    assert beside["bug"] == "h_t-for-h_prev"


# ---------------------------------------------------------------------------- evidence


def test_a_few_digits_make_candidates_and_many_a_name(tmp_path: Path) -> None:
    net = public.Net(7, 1)
    twice = edited("rnn", ("(1 - h[t] ** 2)", "(1 - h[t] ** 2) ** 2"))
    given = public.answer(twice, "rnn", net)
    problem = rnngrad.load(public.spec("rnn", net))
    names = {}
    for digits, some in ((3, ["dL_db_h"]), (12, list(given))):
        rows = {name: typed(given[name], digits) for name in some}
        path = tmp_path / "given.json"
        path.write_text(json.dumps(rows), encoding="utf-8")
        report: Any = rnngrad.check(problem, against=str(path))
        (names[digits], *_) = [q["diagnosis"] for q in report["quantities"] if q["diagnosis"]]
    assert names[3]["bug"] is None
    assert names[3]["candidates"]
    assert names[12]["bug"] == "wrong-partial"


def test_a_limit_that_one_number_tells_is_not_named() -> None:
    """The largest number given would be its own limit."""
    net = public.Net(6, 1)
    problem = rnngrad.load(public.spec("rnn", net))
    right = public.answer(public.RNN, "rnn", net)
    for factor in (0.31372, 0.77123, 1.91357):
        (each,) = told(problem, {"dL_db_h": factor * right["dL_db_h"]}).values()
        assert each.get("bug") is None


# ---------------------------------------------------------------------------- hidden


def every_found(kind: str) -> Iterator[Found]:
    problem = rnngrad.load(public.spec(kind, public.SMALL))
    search = Search([], [], Passes(problem))
    yield from (one.found for one in search.elements)


@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru"])
def test_no_hint_tells_the_right_partial(kind: str) -> None:
    """Outside of the equation, which the spec itself shows."""
    problem = rnngrad.load(public.spec(kind, public.SMALL))
    saying = Saying(Apart(Passes(problem)))
    equations = sorted(
        {saying.equation(one.name) for one in problem.cell.equations.equations},
        key=len, reverse=True,
    )  # fmt: skip
    seen = 0
    for found in every_found(kind):
        right = found.where.get("right")
        if not isinstance(right, str):
            continue
        hint = found.hint
        for equation in equations:
            hint = hint.replace(equation, "")
        assert f"is {right}" not in hint, hint
        assert f"belongs to {right}" not in hint, hint
        assert re.search(rf"where {re.escape(right)} belongs", hint) is None or "_0" in right, hint
        seen += 1
    assert seen > 50


HIDDEN = (
    ("lstm", [("di = dc * g", "di = dc * i")], "is g_t"),
    ("lstm", [("dg = dc * i", "dg = dc"), ("dy + dh_next", "dy")], "is i_t"),
    ("gru", [("np.outer(da_x, inputs[t])", "np.outer(da_x, inputs[t - 1])")], "by x_t"),
    ("rnn", [("dy + dh_next", "dy + np.clip(dh_next, -0.1, 0.1)")], "0.1"),
)


@pytest.mark.parametrize(("kind", "edits", "secret"), HIDDEN, ids=lambda x: str(x)[:30])
def test_hidden_is_the_right_partial_and_every_number(
    kind: str, edits: list[tuple[str, str]], secret: str
) -> None:
    for hide in (True, False):
        found = of(kind, *edits, hide=hide)
        assert found
        said = json.dumps(list(found.values()), ensure_ascii=False)
        if hide:
            assert secret not in said
            assert '"right": "' not in said
            assert not re.search(r"\d\.\d", said)
            assert all(each["rel_error_if_so"] is None for each in found.values())
        elif secret != "0.1":
            assert secret in said


# ---------------------------------------------------------------------------- localised


@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru"])
def test_an_error_at_one_step_is_told_to_the_step(kind: str) -> None:
    """Whatever follows from it is right."""
    back = ("dh_next = W_hh.T @ da", "dh_next = (1 + 0.3 * (t == 3)) * W_hh.T @ da")
    found = of(kind, back, per_step=True)
    words = found["dL_dh"]["explanation"]
    assert "∂L/∂h_t does not follow at step 3 from what you gave above it" in words
    assert found["dL_dh"]["where"]["steps"] == [0, 1, 2, 3]
    assert found["dL_dh"]["first_wrong_step"] == 3


def test_a_way_wrong_at_one_step_is_told_by_its_edge() -> None:
    edit = ("dc_next = dc * f", "dc_next = dc * (f if t != 3 else i)")
    words = of("lstm", edit, per_step=True)["dL_dc"]["explanation"]
    assert "∂L/∂c_t does not follow at step 3 from what you gave above it" in words
    assert "∂c_t/∂c_{t−1} is f_t" in words
    assert "your numbers are those of i_t" in words
    hidden = of("lstm", edit, per_step=True, hide=True)["dL_dc"]["explanation"]
    assert "your numbers are those of i_t" in hidden
    assert "is f_t" not in hidden


def test_rows_that_are_wrong_are_told_by_gates() -> None:
    given = answer("lstm")
    rng = np.random.default_rng(0)
    H = NET.hidden
    given["dL_dW_xh"][H : 2 * H] += rng.normal(size=(H, NET.inputs))
    (each,) = told(rnngrad.load(public.spec("lstm", NET)), given).values()
    assert each["bug"] is None
    assert each["where"]["wrong_rows"] == ["f"]
    assert "gate f is wrong, i, g and o are right" in each["explanation"]
    assert "dL_dW_hh" in each["where"]["right"]


def test_one_wrong_entry_is_said_to_be_one() -> None:
    given = answer("gru")
    given["dL_dW_hh"][5, 2] *= 1.2345
    (each,) = told(rnngrad.load(public.spec("gru", NET)), given).values()
    assert each["bug"] is None
    assert "one entry alone is wrong" in each["explanation"]


def test_a_long_search_says_how_far_it_is() -> None:
    given = answer("rnn", ("dh * (1 - h[t] ** 2)", "dh + (1 - h[t] ** 2)"))
    problem = rnngrad.load(public.spec("rnn", NET))
    reported: list[str] = []
    with reporting_to(lambda share, what: reported.append(what)):
        told(problem, given)
    assert {"looking for the mistake", "looking for two mistakes at once"} <= set(reported)


def test_pairs_that_were_not_tried_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    given = answer("rnn", ("dh * (1 - h[t] ** 2)", "dh + (1 - h[t] ** 2)"))
    problem = rnngrad.load(public.spec("rnn", NET))
    words = "in a part of all pairs"
    assert words not in str(told(problem, given))
    monkeypatch.setattr(searching, "SECONDS", -1.0)
    assert words in str(told(problem, given))


NUMBER = {
    "cell": {
        "name": "leaky",
        "equations": ["h_t = (1 - alpha) ∘ h_{t-1} + alpha ∘ tanh(W_xh x_t + W_hh h_{t-1} + b)"],
        "shapes": {"alpha": []},
    },
    "weights": {
        "alpha": 0.4,
        "W_xh": [[0.5, -0.2], [0.3, 0.7], [-0.6, 0.1]],
        "W_hh": [[0.4, -0.3, 0.2], [0.1, 0.5, -0.4], [0.3, 0.2, -0.1]],
        "b": [0.1, -0.2, 0.3],
    },
    "inputs": [[1.0, 0.5], [-0.5, 0.2], [0.3, -0.8], [0.7, 0.1]],
    "targets": [[0.2, 0.1, -0.3], [0.4, -0.2, 0.1], [-0.1, 0.3, 0.2], [0.5, 0.2, -0.4]],
    "h_0": [0.3, -0.1, 0.2],
}


def test_a_parameter_that_is_one_number_is_searched_like_any_other() -> None:
    problem = rnngrad.load(NUMBER)
    right = {name: np.array(rnngrad.gradients(problem)[name]) for name in ("dL_dalpha", "dL_db")}
    noise = {name: array * 1.5 + 0.3 for name, array in right.items()}
    rows = rnngrad.check(problem, against=noise)["quantities"]
    assert [row["verdict"] for row in rows] == ["fail", "fail"]
    assert not any(row["diagnosis"]["bug"] for row in rows)


def test_what_a_matrix_multiplies_is_written_in_full() -> None:
    """∂a_t/∂W_hn of an mgu is f_t ∘ h_{t−1}, and no sum that has the name a_t."""
    of = {name: {"init": "normal", "std": 0.5} for name in CELLS["mgu"].parameters}
    problem = rnngrad.load({
        "cell": "mgu", "seed": 1, "weights": of, "sizes": {"hidden": 3},
        "inputs": NUMBER["inputs"], "targets": NUMBER["targets"], "h_0": NUMBER["h_0"],
    })  # fmt: skip
    passes = Passes(problem)
    at, h = passes.backward.at[0]["a.n"], passes.forward.h[:-1]
    wrong = {"dL_dW_hn": at.T @ h, "dL_dW_hf": np.array(rnngrad.gradients(problem)["dL_dW_hf"])}
    (named,) = [
        row["diagnosis"] for row in rnngrad.check(problem, against=wrong)["quantities"]
        if row["name"] == "dL_dW_hn"
    ]  # fmt: skip
    assert named["where"] == {
        "partial": "∂a_t/∂W_hn", "used": "h_{t−1}", "right": "f_t ∘ h_{t−1}",
    }  # fmt: skip


def test_an_array_of_zeros_alone_is_no_evidence() -> None:
    """dc = dc · dc_next makes every ∂L/∂c_t 0: that is no path left out at one step."""
    mistake = next(one for one in public.MISTAKES if one.id == "lstm-product-for-sum")
    given = public.answer(public.text(mistake), mistake.net, public.SMALL, per_step=True)
    assert not given["dL_dc"].any()
    problem = rnngrad.load(public.spec(mistake.net, public.SMALL))
    rows = {row["name"]: row for row in rnngrad.check(problem, against=given)["quantities"]}
    assert (rows["dL_dc"]["diagnosis"] or {}).get("bug") != "immediate-only"


# ------------------------------------------------- arrays of one row a step

BY_STEP = (
    ("rnn", [("for t in reversed(range(T)):", "for t in range(T - 1, 0, -1):")],
     ("wrong-steps", {"steps": {"1": 0}})),
    ("lstm", [("for t in reversed(range(T)):", "for t in range(T - 1, 0, -1):")],
     ("wrong-steps", {"steps": {"1": 0}})),
    # dL_dc is kept before it is forgotten, dL_dh after it was clipped
    ("lstm", [("(1 - np.tanh(c) ** 2) + dc_next", "(1 - np.tanh(c) ** 2)")],
     partial("∂c_t/∂c_{t−1}", "0", "f_t")),
    ("lstm", [("dy + dh_next", "dy + np.clip(dh_next, -0.05, 0.05)")],
     ("clipped-on-the-way",
      {"clipped": "∂L/∂h_t as it comes back from step t + 1", "by": "entry by entry"})),
    # dL_dc is nothing but zeros
    ("lstm", [("(1 - np.tanh(c) ** 2) + dc_next", "(1 - np.tanh(c) ** 2) * dc_next")],
     partial("∂h_t/∂c_t", "0", "o_t ∘ tanh'(c_t)")),
)  # fmt: skip


@pytest.mark.parametrize(("kind", "edits", "expected"), BY_STEP, ids=lambda x: str(x)[:40])
def test_one_mistake_explains_the_arrays_by_step_too(
    kind: str, edits: list[tuple[str, str]], expected: tuple[str, dict[str, Any] | None]
) -> None:
    bug, where = expected
    found = of(kind, *edits, per_step=True)
    assert "dL_dh" in found
    assert {name: each["bug"] for name, each in found.items()} == dict.fromkeys(found, bug)
    assert all(each.get("where") == where for each in found.values())


def test_an_array_of_zeros_takes_no_name_that_does_not_make_zeros() -> None:
    problem = rnngrad.load(public.spec("lstm", NET))
    given = answer("lstm", ("dg = dc * i", "dg = dc * f"), per_step=True)
    given["dL_dc"] = np.zeros_like(given["dL_dc"])
    found = told(problem, given)
    assert found["dL_dW_hh"]["bug"] == "wrong-partial"
    assert found["dL_dc"].get("bug") is None


def test_the_gradient_of_a_node_is_told_from_that_of_the_state() -> None:
    problem = rnngrad.load(public.spec("lstm", NET))
    given = answer("lstm", ("dL_dc[t + 1] = dh, dc_next", "dL_dc[t + 1] = dh, dc"), per_step=True)
    found = told(problem, given)
    assert set(found) == {"dL_dc"}
    assert found["dL_dc"]["bug"] == "wrong-partial"
    assert found["dL_dc"]["where"]["used"] == "with the way through h_t"
    # not so where it is another number
    given["dL_dc"] *= 1.0 + 1e-6
    assert told(problem, given)["dL_dc"]["bug"] != "wrong-partial"


# ------------------------------------------------- one layer of several


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("number", [0, 1])
def test_a_mistake_in_one_layer_alone_is_told_with_its_layer(cell: str, number: int) -> None:
    problem = any_cell.problem_of(CELLS[cell], seed=4, layers=2, steps=6, hidden=4)
    with quietly():
        apart = Apart(Passes(problem))
        slope = next(
            (key, i)
            for key, links in apart.graph.links.items()
            for i, link in enumerate(links)
            if not isinstance(link.factor, Matrix) and "." in link.source
        )
        made = apart.made([Wrong((Change(slope, Other(ONE), layer=number),))])
        names = [f"dL_d{name}.{n}" for n in (0, 1) for name in problem.cell.parameters
                 if name not in ("W_hy", "b_y")]  # fmt: skip
        arrays = {name: apart.read(name, made) for name in names}
        given = {name: array[0] for name, array in arrays.items() if array is not None}
        assert set(given) == set(names)
    found = told(problem, given)
    assert found
    for each in found.values():
        assert (each["bug"], each["where"]["layer"], each["where"]["used"]) == (
            "wrong-partial", number, "1",
        )  # fmt: skip
        assert f"in layer {number} alone" in each["explanation"]


# ------------------------------------------------- what a stranger found


def test_a_row_that_was_not_filled_in_is_told_as_that() -> None:
    problem = rnngrad.load(public.spec("lstm", NET))
    given = answer("lstm", per_step=True)
    given["dL_dh"][0] = given["dL_dc"][0] = 0.0
    found = told(problem, given)
    assert {name: each["bug"] for name, each in found.items()} == {
        "dL_dh": "dropped-h_0", "dL_dc": "dropped-h_0",
    }  # fmt: skip
    assert all("row 0 of your array is 0" in each["explanation"] for each in found.values())


@pytest.mark.parametrize(
    ("start", "bug", "words"),
    [
        ("0 * c_0", "dropped-h_0", "you took 0 where c_0 belongs"),
        ("cs[-1]", "wrapped-index", "you took c_T where c_0 belongs"),
    ],
)
def test_what_stands_for_c_0_is_told_of_c_0(start: str, bug: str, words: str) -> None:
    found = of("lstm", ("df = dc * c_prev", f"df = dc * (c_prev if t > 0 else {start})"))
    assert {each["bug"] for each in found.values()} == {bug}
    assert all(words in each["explanation"] for each in found.values())


@pytest.mark.parametrize("names", [("dW_hy",), ("dW_hy", "db_y")])
@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru"])
def test_a_sum_of_the_read_out_is_no_mistake_of_the_loss(kind: str, names: tuple[str, ...]) -> None:
    found = of(kind, *((f"{name} += ", f"{name} += (t == T - 1) * ") for name in names))
    told_of = {name: each["bug"] for name, each in found.items()}
    assert told_of == {f"dL_{name}": "overwritten" for name in names}


def test_where_to_look_when_the_way_back_is_right() -> None:
    problem = rnngrad.load(public.spec("lstm", NET))
    given = answer("lstm")
    noise = np.random.default_rng(0).normal(size=given["dL_dW_hy"].shape)
    read_out = told(problem, given | {"dL_dW_hy": given["dL_dW_hy"] + noise})
    assert "what goes back from the read-out is right" in read_out["dL_dW_hy"]["explanation"]
    dL_dx = np.array(rnngrad.gradients(problem)["dL_dx"])
    of_x = told(problem, given | {"dL_dx": dL_dx[::-1].copy()})
    assert set(of_x) == {"dL_dx"}
    assert "through the matrices that x_t meets" in of_x["dL_dx"]["explanation"]


def test_no_gate_is_accused_where_c_0_is_0() -> None:
    """∂L/∂a_f is exactly 0 at step 1, and what the sums tell of it is rounding."""
    made = public.spec("lstm", NET)
    made["c_0"] = np.zeros(NET.hidden)
    scope: dict[str, Any] = {}
    exec(edited("lstm", ("da_o = do * o * (1 - o)", "da_o = do * o * (1 - o) + 0.1")), scope)
    starts = {name: made[name] for name in ("inputs", "targets", "h_0")}
    found = told(rnngrad.load(made), scope["backward"](made["weights"], **starts, c_0=made["c_0"]))
    words = found["dL_dW_xh"]["explanation"]
    assert "∂L/∂a_t of gate o does not follow" in words
    assert "∂L/∂a_t of gate f" not in words


def test_the_slope_of_one_sum_is_not_told_of_the_way_back() -> None:
    """T = 1: what is wrong at b_h alone would be right too if the way to h_0 were."""
    problem = any_cell.problem_of(CELLS["rnn"], seed=2, steps=1, hidden=3)
    right = {name: np.array(array) for name, array in rnngrad.gradients(problem).items()}
    given = {name: array for name, array in right.items() if name.startswith("dL_d")}
    given["dL_db_h"] = right["dL_dh"][1]
    found = told(problem, given)
    assert set(found) == {"dL_db_h"}
    assert found["dL_db_h"]["bug"] == "missing-activation-derivative"
    assert "way back" not in found["dL_db_h"]["explanation"]


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("cell", NAMES)
def test_the_entries_that_are_looked_at_first_are_those_of_the_array(
    cell: str, layers: int
) -> None:
    problem = any_cell.problem_of(CELLS[cell], seed=1, layers=layers, steps=4, hidden=3)
    with quietly():
        apart = Apart(Passes(problem))
        made = apart.made([Wrong(), Wrong(clipped=(next(iter(apart.graph.links)), 0.01))])
        for name in Quantities(problem):
            whole = apart.read(name, made)
            if whole is not None:
                flat = whole.reshape(2, -1)
                entries = np.arange(flat.shape[1])[::-1]
                atol = 1e-13 * np.abs(flat).max(initial=0.0)
                some = apart.some(name, made, entries)
                np.testing.assert_allclose(some, flat[:, entries], rtol=0, atol=atol)
