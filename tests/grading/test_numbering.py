"""An equation's number that was pasted along with the formula is no factor; a factor is one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnngrad.algebra.equation_numbers import without_number
from rnngrad.algebra.grammar import parse, parse_one
from rnngrad.algebra.writing import written
from rnngrad.analyses.checking.comparing.verdicts import Verdict
from rnngrad.analyses.grading.grade import Grade

Graded = Callable[[str, Any], Grade]

FORMULA = "-2(t_3 - y_3)"
NUMBERED = [
    "$${}$$ (20)", "$$ {} $$(2)", "${}$ [20]", r"\[ {} \] (3)", r"\( {} \) (3)", "$${}. $$ (20).",
    r"\begin{{align}} {} \end{{align}} (7)", r"{} \quad (2)", r"{}\qquad(20)", r"{} \hfill (3)",
    r"{} \eqno(3)", r"{} \hspace{{1cm}} (3)", r"{} \tag{{20}}", r"{} \tag*{{(20)}}",
    r"{} \label{{eq:dLdy}}", r"{} \qquad \text{{(20)}}", "{}, (3)", "{}. (3)", "{}; [3]",
    "{}\t(3)", "{}\n(3)", "{}   (3)", "{} (20)", "{} [20]", "{} (20a)", "{} (2b)", "{} (eq. 2)",
    "{} (Eq. 20)", "$${} (20)$$", "{} & (3)", r"\begin{{aligned}} {} && (3) \end{{aligned}}",
    "dL_3/dy_3 = {} (20)", "$$ dL_3/dy_3 $$ (19) $$ = {} $$ (20)", "dL_3/dy_3 (19) = {} (20)",
    "(20) $$ {} $$", r"[3] \[ {} \]", r"\boxed{{{}}} (20)", "$$\\boxed{{{}}}$$ (2)",
    "$$ {} $$ (4.2)", "$$ {} $$ (7.20a)", "$$ {} $$ (A.3)", "$$ {} $$ (10-4)", "{} (eq. 4.2)",
    "(4.2) $$ {} $$", "$$ {} $$ Eq. (20)", "$$ {} $$ Eq. 20", "$$ {} $$ Equation 20",
    "{}, equation (4.2)", "{} Eqn. 3",
    "{} eq 3", "$$ {} $$ (equation 20)", "{} (Gl. 3)",
]  # fmt: skip


@pytest.mark.parametrize("around", NUMBERED)
def test_a_number_of_an_equation_is_no_factor(graded: Graded, around: str) -> None:
    typed = around.format(FORMULA)
    grade = graded("a1", typed)
    assert (grade.points, grade.verdict) == (5.0, Verdict.PASS), (typed, grade.hint)
    assert ("equation's number" in grade.hint) == ("\\tag" not in typed and "label" not in typed)


FACTORS = [
    ("(t_3 - y_3)(2)", "(t_3 − y_3) · 2"),
    ("(t_3 - y_3) (2)", "(t_3 − y_3) · 2"),
    ("(t_3 - y_3)(20)", "(t_3 − y_3) · 20"),
    ("(t_3 - y_3)*(20)", "(t_3 − y_3) · 20"),
    ("(t_3 - y_3) * (20)", "(t_3 − y_3) · 20"),
    ("(t_3 - y_3) * \n (20)", "(t_3 − y_3) · 20"),
    (r"(t_3 - y_3) \cdot (20)", "(t_3 − y_3) · 20"),
    ("$(t_3 - y_3)$ $(2)$", "(t_3 − y_3) · 2"),
    ("x_1 + (20)", "x_1 + 20"),
    ("tanh (20)", "tanh(20)"),
    ("sigma' (20)", "σ'(20)"),
    (r"\sigma' \, (20)", "σ'(20)"),
    ("g   (20)", "g(20)"),
    (r"\operatorname{tanh} \quad (20)", "tanh(20)"),
    ("(20)", "20"),
    (" (20)", "20"),
    ("(20) x_1", "20 · x_1"),
    ("x_1 (20) y_1", "x_1 · 20 · y_1"),
    ("x_1 (-2)", "x_1 · (−2)"),
    ("x_1 (-20)", "x_1 · (−20)"),
    ("x_1 (2.5)", "x_1 · 2.5"),
    ("x_1 (20.5)", "x_1 · 20.5"),
    ("x_1 (20-4)", "x_1 · (20 − 4)"),
    ("$x_1$ * (4.2)", "x_1 · 4.2"),
    ("x_1 (20)^2", "x_1 · 20^2"),
    ("(x_1 (20))", "x_1 · 20"),
]


@pytest.mark.parametrize(("text", "tree"), FACTORS)
def test_a_factor_is_one(text: str, tree: str) -> None:
    assert written(parse_one(text)) == tree


def test_what_can_be_both_is_said(graded: Graded) -> None:
    right = graded("a1", "-(t_3 - y_3) (2)")
    assert (right.points, right.hint) == (5.0, "")
    wrong = graded("a1", "-2(t_3 - y_3) (2)")
    assert wrong.points == 2.5
    assert "(2) at the end is read as a factor" in wrong.hint


def test_numbers_too(sheet: Any, graded: Graded) -> None:
    value = repr(float(sheet.numbers.quantities["dL_dy"][-1, 0]))
    assert graded("a1", f"$${value}$$ (20)").verdict is Verdict.PASS
    assert graded("a1", f"{value} (20)").verdict is Verdict.PASS
    assert graded("a1", "0.5 (20)").verdict is Verdict.FAIL


@given(st.text("$()[]20a \t\n\\.,=+x_1&q", max_size=60))
def test_no_place_is_moved(text: str) -> None:
    bare, numbers, _ = without_number(text)
    assert len(bare) == len(text)
    assert all(a in (b, " ") for a, b in zip(bare, text, strict=True))
    assert bool(numbers) == (bare != text)


@pytest.mark.parametrize("piece", [" ", " (", "(2) ", "$ (2)", ", ", "\\quad ", "x_1 (20) ="])
def test_no_text_takes_long(piece: str) -> None:
    without_number(piece * (20_000 // len(piece)))


def test_a_place_behind_a_number_is_right() -> None:
    from rnngrad.algebra.expressions import FormulaError

    with pytest.raises(FormulaError) as caught:
        parse("$$ x_1 $$ (19) = x_1 + q (20)")
    assert caught.value.at == 23


def test_a_sign_far_before_it_makes_it_a_factor() -> None:
    """More blanks than one gap holds change nothing."""
    text = f"y -{' ' * 60}(20)"
    assert without_number(text) == (text, (), "")
    assert without_number(text.replace("-", "z")).numbers == ("(20)",)
