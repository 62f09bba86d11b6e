"""The sheet's own printed answers, as LaTeX and as plain text, and its errata."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml

from grading.conftest import ANSWERS
from rnngrad.analyses.grading.grade import Grade, Grader
from rnngrad.net.problem import Problem

A_T = "W_xh*x_t + W_hh*h_{t-1} + b_h"
PRINTED = {
    "a1": "dL/dy_3 = dL/dL_3 * dL_3/dy_3 = 1*2(t_3 - y_3)(-1)",
    "a2": "dL/dy_2 = dL/dL_2 * dL_2/dy_2 = 1*2(t_2 - y_2)(-1)",
    "a3": "dL_3/dh_3 = dL_3/dy_3 * dy_3/dh_3 = dL_3/dy_3 * dsigma(W_hy*h_3 + b_y)/dh_3"
    " = dL_3/dy_3 * sigma'(W_hy*h_3 + b_y) W_hy",
    "a4": f"dh_t/dh_{{t-1}} = dsigma({A_T})/dh_(t-1) = sigma'({A_T})*W_hh",
    "a5": "∂L/∂h_2 = ∂(L_2 + L_3)/∂h_2 = ∂L_2/∂y_2 · ∂y_2/∂h_2 + ∂L_3/∂y_3 · ∂y_3/∂h_2"
    " = ∂L_2/∂y_2 · ∂y_2/∂h_2 + ∂L_3/∂y_3 · ∂y_3/∂h_3 · ∂h_3/∂h_2",
    "a6": "dL/dh_1 = d(L_1 + L_2 + L_3)/dh_1 = dL_1/dy_1 * dy_1/dh_1"
    " + dL_2/dy_2 * dy_2/dh_2 * dh_2/dh_1 + dL_3/dy_3 * dy_3/dh_3 * dh_3/dh_2 * dh_2/dh_1",
    "b1": f"dh_t/dW_xh = dσ({A_T})/dW_xh = σ'({A_T}) x_t",
    "b2": f"h_t/W_hh = dσ({A_T})/dW_hh = σ'({A_T}) h_{{t-1}}",
    "b3": "dL/dW_xh = d(L_1 + L_2 + L_3)/dW_xh = dL_1/dy_1 * dy_1/dh_1 * dh_1/dW_xh"
    " + dL_2/dy_2 * dy_2/dh_2 * (dh_2/dW_xh + dh_2/dh_1 * dh_1/dW_xh)"
    " + dL_3/dy_3 * dy_3/dh_3 * (dh_3/dW_xh + dh_3/dh_2 * dh_2/dW_xh"
    " + dh_3/dh_2 * dh_2/dh_1 * dh_1/dW_xh)",
    "b4": "dL/dW_hh = d(L_2 + L_3)/dW_hh = dL_2/dy_2 * dy_2/dh_2 * dh_2/dW_hh"
    " + dL_3/dy_3 * dy_3/dh_3 * (dh_3/dW_hh + dh_3/dh_2 * dh_2/dW_hh)",
}
EQ_32 = r"""
  \frac{\partial \mathcal{L}_1}{\partial y_1} \cdot \frac{\partial y_1}{\partial h_1}
    \cdot \frac{\partial h_1}{\partial W_{xh}} \tag{30}
  + \frac{\partial \mathcal{L}_2}{\partial y_2} \cdot \frac{\partial y_2}{\partial h_2} \cdot
    \left(\frac{\partial h_2}{\partial W_{xh}} + \frac{\partial h_2}{\partial h_1} \cdot
    \frac{\partial h_1}{\partial W_{xh}}\right) \tag{31}
  + \frac{\partial \mathcal{L}_3}{\partial y_3} \cdot \frac{\partial y_3}{\partial h_3} \cdot
    \left(\frac{\partial h_3}{\partial W_{xh}} + \frac{\partial h_3}{\partial h_2} \cdot
    \frac{\partial h_2}{\partial W_{xh}} + \frac{\partial h_3}{\partial h_2} \cdot
    \frac{\partial h_2}{\partial h_1} \cdot \frac{\partial h_2}{\partial W_{xh}}\right) \tag{32}
"""
Graded = Callable[[str, Any], Grade]


@pytest.mark.parametrize("name", PRINTED)
def test_plain_text(graded: Graded, name: str) -> None:
    assert graded(name, PRINTED[name]).points == 5


@pytest.mark.parametrize("name", PRINTED)
def test_latex(graded: Graded, name: str) -> None:
    answers = yaml.safe_load(ANSWERS.read_text(encoding="utf-8"))
    grade = graded(name, answers[name])
    assert (grade.points, grade.verdict) == (5, "pass")


def test_the_missing_sign_of_27_is_said(graded: Graded) -> None:
    assert "(27)" in graded("b2", PRINTED["b2"]).hint
    assert graded("b2", PRINTED["b2"].replace("h_t/W", "dh_t/dW", 1)).hint == ""


@pytest.mark.parametrize("text", [EQ_32, f"dL/dW_xh = {EQ_32}"])
def test_32_as_printed_is_wrong_with_its_hint(graded: Graded, text: str) -> None:
    grade = graded("b3", text)
    assert (grade.points, grade.verdict) == (4, "fail")
    assert "∂h_2/∂W_xh stands where ∂h_1/∂W_xh belongs, as misprinted in (32)" in grade.hint


def test_33_to_35_hold_only_without_h_0(net: Callable[..., Problem]) -> None:
    grade = Grader(net(h_0=0.5)).one("b4", PRINTED["b4"].split("=")[-1])
    assert grade.points == 2.5
    assert "h_0 is not 0" in grade.hint
    with_h_0 = PRINTED["b3"].split("=")[-1].replace("W_xh", "W_hh")
    assert Grader(net(h_0=0.5)).one("b4", with_h_0).points == 5
    assert Grader(net()).one("b4", with_h_0).points == 5


def test_33_as_printed_is_no_equality_with_h_0(net: Callable[..., Problem]) -> None:
    grade = Grader(net(h_0=0.5)).one("b4", PRINTED["b4"])
    assert grade.points == 2.5
    assert "after the 2nd '='" in grade.hint


def test_3_is_read_as_T(net: Callable[..., Problem]) -> None:
    grader = Grader(net(5))
    assert grader.one("a1", "-2(t_5 - y_5)").points == 5
    assert grader.one("a1", "-2(t_T - y_T)").points == 5
    assert grader.one("a2", "-2(t_4 - y_{T-1})").points == 5
    assert grader.one("a1", "-2(t_3 - y_3)").points == 0
