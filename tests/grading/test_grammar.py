"""Text to trees: plain text and LaTeX into the same one, mistakes with their place, no hanging."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnngrad.algebra.expressions import (
    Add,
    Call,
    Derivative,
    Div,
    FormulaError,
    Index,
    Mul,
    Name,
    Neg,
    Node,
    Number,
    Power,
    Series,
    Transpose,
)
from rnngrad.algebra.grammar import DEEPEST, parse, parse_one
from rnngrad.algebra.tokens import LONGEST
from rnngrad.algebra.writing import written
from rnngrad.analyses.grading.grade import Grader

SAME = [
    ("dL_3/dy_3", r"\frac{\partial \mathcal{L}_3}{\partial y_3}", "∂L_3/∂y_3"),
    ("dL_3/dy_3", r"\dfrac{\mathrm{d} L_{3}}{\mathrm{d} y_{3}}", "d L_3 / d y_3"),
    ("dL_3/dy_3", r"\partial L_3 / \partial y_3", "dL_3/(dy_3)"),
    ("da_3/dh_2", r"\frac{\partial \tilde{h}_3}{\partial h_2}", "dh̃_3/dh_2"),
    ("do_3/dh_3", r"\frac{\partial \tilde y_3}{\partial h_3}", "dỹ_3/dh_3"),
    ("d+h_2/dW_xh", r"\frac{\partial^+ h_2}{\partial W_{xh}}", "∂⁺h_2/∂W_xh"),
    ("h_{t-1}", "h_(t-1)", r"h_{t-1}", "h_{t − 1}", "hₜ₋₁"),
    ("h_3 W_hh", "h_3*W_hh", r"h_{3} \cdot W_{hh}", "h₃ · W_{hh}", "h_3∘Whh"),
    ("sigma'(a_3)", r"\sigma'\left(\tilde{h}_3\right)", "σ′(a_3)", r"\sigma^{\prime}(a_3)"),
    ("sigma(a_3)^2", "σ(a_3)²", "σ(a_3)**2", r"\sigma(\tilde{h}_3)^{2}"),
    ("-2(t_3 - y_3)", "−2·(target_3 − y_3)", "- 2 * [t_3 - y_3]"),
    ("2(t_3-y_3)(-1)", r"2 \cdot \left(t_{3} - y_{3}\right) \times (-1)"),
    ("W_hh^T h_1", "W_hhᵀ h_1", r"W_{hh}^{\top} h_1", "W_hh^T*h_1"),
    (r"\frac{1}{2} x_1", "(1/2) x_1"),
    ("d(L_2+L_3)/dh_2", r"\frac{\partial}{\partial h_2}(L_2 + L_3)"),
    ("sum_{t=1..T} L_t", r"\sum_{t=1}^{T} \mathcal{L}_t", "Σ_{t=1..T} L_t", r"\sum_{t=1}^T L_t"),
    (r"x_1 \tag{7}", "$x_1$", r"\[ x_1 \]", "= x_1", r"\begin{aligned} & x_1 \end{aligned}"),
    ("-2(t_3 - y_3)", "-2(t_3 - y_3).", "-2(t3 - y3) ,", r"\[ -2(t_3 - y_3) \,. \]", "-2(t3-y3);"),
    ("-x_1", r"\boxed{-x_1}", r"$$\boxed{-x_1.}$$", r"\(-x_1\).", r"$\boxed {-x_1}$,", "-x1"),
    ("-x_1 = -x1", r"\boxed{-x_1 = -x_1}", r"\boxed{-x_1} = \boxed{-x_1}", r"-x1 = \boxed{-x1}"),
    ("dL_3/dh_2", "dL3/dh2", r"\frac{\partial \mathcal{L}3}{\partial h2}", "∂L3/∂h_2"),
    ("target_3 a_2 o_1", "t3 z2 o1", r"target3 \tilde{h}2 \tilde y1"),
    ("tanh(a_2)", r"\tanh(\tilde h_2)", r"\operatorname{tanh}(a_2)"),
]


@pytest.mark.parametrize("texts", SAME, ids=lambda texts: texts[0])
def test_read_into_the_same_tree(texts: tuple[str, ...]) -> None:
    trees = {written(side) for text in texts for side in parse(text)}
    assert len(trees) == 1, trees


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("-x_1 x_2", "−x_1 · x_2"),
        ("a_1 - a_2 - a_3", "a_1 − a_2 − a_3"),
        ("a_1 - (a_2 - a_3)", "a_1 − (a_2 − a_3)"),
        ("1/2/4", "(1 / 2) / 4"),
        ("1/2*x_1", "(1 / 2) · x_1"),
        ("dL_3/dy_3*dy_3/dh_3", "∂L_3/∂y_3 · ∂y_3/∂h_3"),
        ("W_hh h_{t-1}^2", "W_hh · h_{t−1}^2"),
        ("x_1 prod_{s=2..3} h_s * x_1 / x_2", "(x_1 · (∏_{s=2..3} h_s) · x_1) / x_2"),
        ("prod_{s=2..3} h_s W_hh x_1", "(∏_{s=2..3} (h_s · W_hh)) · x_1"),
        ("prod_{s=2..3} W_hh x_1 h_s x_2", "(∏_{s=2..3} (W_hh · x_1 · h_s)) · x_2"),
        ("prod_{s=2..3} (h_s x_1)", "∏_{s=2..3} (h_s · x_1)"),
        ("prod_{s=2..3} -h_s x_1", "(∏_{s=2..3} (−h_s)) · x_1"),
        ("prod_{s=2..3} W_hh", "∏_{s=2..3} W_hh"),
        ("prod_{s=2..3} h_s sum_{k=1..s} x_k y_1", "∏_{s=2..3} (h_s · Σ_{k=1..s} x_k · y_1)"),
        ("prod_{s=2..3} prod_{k=1..s} x_k y_1", "(∏_{s=2..3} ∏_{k=1..s} x_k) · y_1"),
        ("prod_{s=2..3} h_s sum_{s=1..2} x_s", "(∏_{s=2..3} h_s) · Σ_{s=1..2} x_s"),
        ("sum_{k=1..2} prod_{s=2..3} h_s x_k", "Σ_{k=1..2} (∏_{s=2..3} h_s) · x_k"),
    ],
)
def test_precedence(text: str, tree: str) -> None:
    assert written(parse_one(text)) == tree


MALFORMED = [
    ("-2*(t_3 - y_3", 3, "not closed"),
    ("2*t_3)", 5, "closes nothing"),
    ("(t_3]", 0, "not closed"),
    ("2 3", 2, "a sign is missing"),
    ("1/2 x_3", 4, "still below the '/'"),
    ("h_t-1", 0, "write h_{t-1} or h_t - 1"),
    ("h * 2", 0, "h needs its step"),
    ("y3.5 - t_3", 0, "y_3"),
    ("x_1, x_2", 3, "a ','"),
    ("prod_{s=2..3} h_s * W_hy", 20, "in brackets"),
    ("prod_{s=2..3} h_s / 2", 20, "in brackets"),
    ("prod_{s=2..3} W_hh * 2", 21, "in brackets"),
    ("2*W_rh", 2, "did you mean 'W_xh'"),
    ("sigmoidd(a_1)", 0, "did you mean 'sigmoid'"),
    ("sigma'", 0, "in brackets"),
    ("sigma''(a_1)", 0, "second derivative"),
    ("dL_3", 4, "differentiated by"),
    ("dL_3/y_3", 5, "below a ∂"),
    (r"\frac{1}", 0, "two pairs of braces"),
    (r"2 \sgima(a_1)", 2, "\\sigma"),
    ("2,5*x_1", 1, "decimals are written with a point"),
    ("x_1 = ", 6, "ends where a factor is missing"),
    ("x_1 ** 2.5", 4, "small integer"),
    ("x_1 + $\x0c$", 7, "single quotes"),
    ("k*x_1", 0, "is an index"),
    ("sum x_1", 0, "bounds"),
    ("", 0, "there is no formula"),
    ("__import__('os')", 0, "cannot stand"),
    ("eval(1)", 0, "no name of the sheet"),
]


@pytest.mark.cases(None)
@pytest.mark.parametrize(("text", "at", "words"), MALFORMED)
def test_mistakes_have_their_place(text: str, at: int, words: str) -> None:
    with pytest.raises(FormulaError) as caught:
        parse(text)
    assert caught.value.at == at
    assert words in caught.value.message


HOSTILE = [
    "1+" * 500_000 + "1",
    "(" * 10_000 + "1" + ")" * 10_000,
    "(" * 9_000 + "1" + ")" * 9_000,
    r"\left(" * 3_000,
    r"\frac{" * 3_000,
    "sigma(" * 3_000,
    "9**9**9**9",
    "9^(9^(9^9))",
    "9^99999999999999999999",
    "sum_{t=1..9}" * 1_600,
    "d" * 15_000,
    "h_" * 9_000,
    r"\tag{" * 4_000,
    "h_{" + "9" * 15_000 + "}",
]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: text[:12])
def test_hostile_formulas_are_refused(text: str) -> None:
    with pytest.raises(FormulaError):
        parse(text)


def test_limits_are_generous() -> None:
    parse("(" * DEEPEST + "1" + ")" * DEEPEST)
    parse("1+" * (LONGEST // 2 - 1) + "1")
    parse("-" * (LONGEST - 1) + "1")


@given(st.text(alphabet="0129.()[]{}+-*/^_=dhLyxtaWσ∂'\\ frac,bTk", max_size=60))
def test_anything_is_read_or_refused(text: str) -> None:
    try:
        sides = parse(text)
    except FormulaError as error:
        refused: FormulaError | None = error
    else:
        refused = None
    if refused is not None:
        assert 0 <= (refused.at if refused.at is not None else -1) <= len(text)
    else:
        assert [written(side) for side in parse(" = ".join(map(written, sides)))] == [
            written(side) for side in sides
        ]


INDICES = st.one_of(
    st.builds(Index, st.none(), st.integers(0, 12)),
    st.builds(Index, st.sampled_from("tTks"), st.integers(-2, 2)),
)
NAMES: st.SearchStrategy[Name] = st.one_of(
    st.sampled_from([Name(w, None) for w in ("W_xh", "W_hh", "W_hy", "b_h", "b_y", "L")]),
    st.builds(Name, st.sampled_from(["h", "y", "x", "a", "o", "target", "L"]), INDICES),
)
TREES: st.SearchStrategy[Node] = st.recursive(
    st.one_of(NAMES, st.sampled_from([Number("1"), Number("2.5"), Number("1e-3")])),
    lambda inner: st.one_of(
        st.builds(Neg, inner),
        st.builds(Add, st.tuples(inner, inner)),
        st.builds(Add, st.tuples(inner, inner, inner)),
        st.builds(Mul, st.tuples(inner, inner)),
        st.builds(Mul, st.tuples(inner, inner, inner)),
        st.builds(Div, inner, inner),
        st.builds(Power, inner, st.integers(-3, 8)),
        st.builds(Transpose, inner),
        st.builds(Call, st.sampled_from(["σ", "g", "tanh"]), st.booleans(), inner),
        st.builds(Derivative, st.one_of(NAMES, inner), NAMES, st.booleans()),
        st.builds(
            Series,
            st.sampled_from(["sum", "prod"]),
            st.sampled_from("tks"),
            INDICES,
            INDICES,
            inner,
        ),
    ),
    max_leaves=12,
)


@given(TREES)
def test_text_to_tree_to_text_is_stable(tree: Node) -> None:
    text = written(tree)
    assert written(parse_one(text)) == text


@pytest.mark.cases(None)
@pytest.mark.parametrize("letter", [*"cefijklmnpqrstuvwτ", r"\tau"])
def test_any_letter_that_is_no_name_counts_the_steps(sheet: Grader, letter: str) -> None:
    """In a Σ, in a ∏ and as the end of another."""
    inner = "k" if letter == "q" else "q"
    prod = f"\\prod_{{{inner}={letter}+1}}^{{T}}"
    text = (
        f"\\sum_{{{letter}=1}}^{{T}} dL_{letter}/dh_{{{letter}}} dh_{letter}/dW_xh + "
        f"dL_3/dh_3 \\sum_{{{letter}=1}}^{{2}} ({prod} dh_{inner}/dh_{{{inner}-1}}) "
        f"dh_{letter}/dW_xh + dL_2/dh_2 dh_2/dh_1 dh_1/dW_xh"
    )
    assert sheet.one("b3", text).points == 5, sheet.one("b3", text)
    double = f"sum_{{{letter}=1..T}} sum_{{{inner}=1..{letter}}} dL_{letter}/dh_{inner} "
    double += f"sigma'(a_{inner}) x_{inner}"
    assert sheet.one("b3", double).points == 5, sheet.one("b3", double)


@pytest.mark.parametrize(("kind", "letter"), [("sum", "h"), ("prod", "kk"), ("sum", "K")])
def test_an_index_that_is_none_is_named(sheet: Grader, kind: str, letter: str) -> None:
    said = sheet.one("b3", f"{kind}_{{{letter}=1..3}} dL_{letter}/dh_{letter}").hint
    assert f"{letter} cannot count the steps of a {kind}; one letter of c e f i j k" in said
