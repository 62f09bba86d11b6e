"""Points, numbers, and nets of other shapes."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import rnngrad
from oracles import nets
from rnngrad.analyses.derivation.chain_rules import derivation
from rnngrad.analyses.grading.grade import Grade, Grader
from rnngrad.analyses.grading.points import constant_factor, for_paths
from rnngrad.net.problem import Problem

Graded = Callable[[str, Any], Grade]


@pytest.mark.parametrize(
    ("coefficients", "wrong", "points"),
    [
        ([1, 1, 1, 1, 1, 1], 0, 5),
        ([1, 1, 1, 1, 1, 0], 0, 4),
        ([1, 1, 1, 1, 1, 0], 1, 4),
        ([1, 1, 1, 1, 1, 1], 1, 4),
        ([1, 1, 0], 0, 3),
        ([1, 0, 0], 0, 1.5),
        ([0, 0, 0], 3, 0),
        ([1, 1], 9, 0),
        ([-1, -1, -1], 0, 2.5),
        ([-1, 1, 1], 0, 3),
        ([2], 0, 2.5),
        ([], 0, 0),
    ],
)
def test_points_for_paths(coefficients: list[float], wrong: int, points: float) -> None:
    assert for_paths(np.array(coefficients, dtype=float), wrong) == points


def test_constant_factor() -> None:
    assert constant_factor(np.array([2.0, 2.0])) == 2
    assert constant_factor(np.array([1.0, 1.0])) is None
    assert constant_factor(np.array([2.0, 1.0])) is None
    assert constant_factor(np.array([])) is None


# ---------------------------------------------------------------------------- numbers


@pytest.fixture
def value(sheet: Grader) -> float:
    return float(rnngrad.derive(sheet.problem)["dL_dW_xh"][0, 0])


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        (lambda v: f"{v:.6f}", "pass"),
        (lambda v: f"{v:.3e}", "pass"),
        (lambda v: repr(v), "pass"),
        (lambda v: f"{v:.6f}".replace("-", "−"), "pass"),
        (lambda v: f"{v:.1e}", "inconclusive"),
        (lambda v: f"{v + 2e-6:.6f}", "fail"),
        (lambda v: f"{-v:.6f}", "fail"),
        (lambda v: f"{2 * v:.1e}", "fail"),
        (lambda v: "0", "fail"),
        (lambda v: "1", "fail"),
    ],
)
def test_numbers(
    graded: Graded, value: float, change: Callable[[float], str], verdict: str
) -> None:
    grade = graded("b3", change(value))
    assert (grade.verdict, grade.points) == (verdict, 5 if verdict == "pass" else grade.points)
    assert grade.points < 5 or verdict == "pass"


def test_numbers_for_every_step(sheet: Grader, graded: Graded) -> None:
    values = [f"{v:.5f}" for v in rnngrad.derive(sheet.problem)["dht_dhprev"].ravel()]
    assert graded("a4", values).points == 5
    assert graded("a4", [values[0], "9.99", values[2]]).points == 3
    assert "list of 3" in graded("a4", values[:2]).hint
    assert "list of 3" in graded("a4", values[0]).hint
    assert graded("a4", [["1"], "2", "3"]).points == 0
    assert graded("a4", ["dL_3/dy_3", "2", "3"]).points == 0
    assert graded("a1", values).points == 0


def test_a_hidden_number_is_not_told(sheet: Grader, value: float) -> None:
    shown = sheet.one("b3", "0.123").hint
    hidden = Grader(sheet.problem, hide=True).one("b3", f"{-value:.6f}").hint
    assert f"{value:.6g}" in shown
    assert not re.search(r"\d", hidden)
    assert "sign" not in hidden


def test_rtol_widens(sheet: Grader, value: float) -> None:
    near = f"{value * 1.0001:.9f}"
    assert sheet.one("b3", near).verdict == "fail"
    assert Grader(sheet.problem, rtol=1e-3).one("b3", near).verdict == "pass"


# ---------------------------------------------------------------------------- other nets

A_T = "W_xh x_t + W_hh h_{t−1} + b_h"


@pytest.mark.cases(12)
@pytest.mark.parametrize("seed", range(25))
def test_what_derive_prints_is_right_in_any_net(seed: int) -> None:
    """The chain rules of ``derive``, vectors and every loss included, read back and graded."""
    net = nets.random_net(seed)
    grader = Grader(nets.problem_of(net))
    for line in derivation(grader.problem):
        formula = line.formula
        if line.id in ("b1", "b2"):
            formula = f"diag(σ'({A_T})) {'x_t' if line.id == 'b1' else 'h_{t−1}'}"
        if "t∈" in formula:
            continue
        if "does not count" in formula:
            formula = "0"
        grade = grader.one(line.id, formula)
        assert grade.points == 5, (seed, line.id, formula, grade)


@pytest.fixture(scope="module")
def vectors() -> Grader:
    normal = {"init": "normal"}
    spec = {
        "weights": {"W_xh": normal, "W_hh": normal, "W_hy": normal},
        "sizes": {"inputs": 2, "hidden": 3, "outputs": 2},
        "output_activation": "sigmoid",
        "inputs": {"random": "normal", "steps": 3},
        "targets": {"random": "normal"},
    }
    return Grader(rnngrad.load(spec))


@pytest.mark.parametrize(
    ("name", "text", "points"),
    [
        ("a1", "-2(t_3 - y_3)", 5),
        ("a3", "dL_3/dy_3 diag(g'(W_hy h_3 + b_y)) W_hy", 5),
        ("a3", "W_hy^T diag(g'(W_hy h_3 + b_y)) dL_3/dy_3", 5),
        ("a3", "-2(t_3 - y_3) y_3 (1 - y_3) W_hy", 5),
        ("a3", "W_hy g'(W_hy h_3 + b_y) dL_3/dy_3", 2.5),
        ("a4", f"σ'({A_T}) W_hh", 5),
        ("a4", f"W_hh σ'({A_T})", 2.5),
        ("a4", "(1 - h_t^2) W_hh", 5),
        ("a4", "(1 - tanh(a_t)^2) W_hh^T", 2.5),
        ("a5", "dL_2/dh_2 + dL_3/dh_3 dh_3/dh_2", 5),
        ("a5", "dL_2/dh_2 + dh_3/dh_2 dL_3/dh_3", 2.5),
        ("b1", f"σ'({A_T}) x_t", 5),
        ("b2", f"σ'({A_T}) h_{{t-1}}", 5),
        ("b3", "dL/dh_1 σ'(a_1) x_1 + dL/dh_2 σ'(a_2) x_2 + dL/dh_3 dh_3/dW_xh", 5),
        ("b4", "sum_{k=2..3} dL/dh_k dh_k/dW_hh", 5),
        ("b4", "sum_{k=1..3} diag(σ'(a_k)) (dL/dh_k)^T h_{k-1}^T", 5),
        ("b4", "sum_{k=1..3} (diag(σ'(a_k)) (dL/dh_k)^T) h_{k-1}^T", 5),
        ("b4", "sum_{k=1..3} diag(σ'(a_k)) ((dL/dh_k)^T h_{k-1}^T)", 5),
        ("b4", "sum_{k=1..3} (σ'(a_k) ∘ (dL/dh_k)^T) h_{k-1}^T", 5),
        ("b4", "sum_{k=1..3} (dL/dh_k diag(σ'(a_k)))^T h_{k-1}^T", 5),
        ("b4", "sum_{k=1..3} h_{k-1}^T diag(σ'(a_k)) (dL/dh_k)^T", 2.5),
    ],
)
def test_vectors(vectors: Grader, name: str, text: str, points: float) -> None:
    grade = vectors.one(name, text)
    assert grade.points == points, grade
    assert points == 5 or "with vectors" in grade.hint
    assert not re.search(r"\(\d", grade.hint), "the sizes of a net that nobody has seen"


def test_subtasks_of_a_short_net(net: Callable[..., Problem]) -> None:
    grader = Grader(net(1))
    ids = [grade.id for grade in grader.grade({})]
    assert ids == [
        "a1",
        "a3",
        "a4",
        "a6",
        "b1",
        "b2",
        "b3",
        "b4",
    ]
    assert all(grade.hint == "not answered" for grade in grader.grade({"a1": ""}))
    assert grader.one("a6", "dL_1/dy_1 dy_1/dh_1").points == 5


def test_long_sums_are_graded_by_path(net: Callable[..., Problem]) -> None:
    inner = "(prod_{s=k+1..t} dh_s/dh_{s-1}) dh_k/dW_xh"
    text = f"sum_{{t=1..T}} dL_t/dh_t sum_{{k=2..t}} {inner}"
    grade = Grader(net(12)).one("b3", text)
    assert (grade.points, grade.hint[:9]) == (4, "12 of 78 ")


@pytest.mark.parametrize(
    "text",
    [
        "sum_{t=1..999999} sum_{k=1..999999} sum_{s=1..999999} 1",
        "prod_{t=1..999999} prod_{k=1..999999} 2",
        "(1+dL_1/dh_1)^8 (1+dL_2/dh_1)^8 (2+x_1)^8 (3+x_1)^8",
        "(1+" * 59 + "1" + ") (h_1+x_1)" * 59,
        "+".join(["dL_1/dh_1 x_1"] * 900),
        "1e999 - 1e999",
        "ln(0)",
        "exp(exp(exp(exp(h_1 + 99))))",
    ],
    ids=lambda text: text[:20],
)
def test_hostile_values_end(graded: Graded, text: str) -> None:
    assert graded("a6", text).points == 0


# ---------------------------------------------------------------------------- numbers as typed


@pytest.mark.cases(None)
@pytest.mark.parametrize(
    ("name", "text", "verdict"),
    [
        ("a2", r"8.01573 \cdot 10^{-1}", "pass"),
        ("a2", "8.01573·10^-1", "pass"),
        ("a2", r"$8.01573 \times 10^{-1}$", "pass"),
        ("a2", "801573*10^-6", "pass"),
        ("a2", "8.01574*10^-1", "fail"),
        ("a2", "8.0*10^-1", "inconclusive"),
        ("a2", "(0.801573)", "pass"),
        ("a2", "= 0.801573", "pass"),
        ("a2", r"\approx 0.802", "pass"),
        ("a2", "-2*(0.2-0.600786)", "pass"),
        ("a2", "-2*(0.2-0.600786) = 0.801573", "pass"),
        ("a2", "-2*(0.2-0.600786) = 0.801673", "fail"),
        ("a2", "2*(0.2-0.600786)", "fail"),
        ("a2", "1000*(0.123 - 0.123)", "inconclusive"),  # its digits allow any value near 0
        ("a2", "1e99999999999999999999 + 1", "fail"),
        ("b3", "[-0.0539451]", "pass"),
        ("b3", "-(0.0539451)", "pass"),
        ("b3", "(-0.0539451)", "pass"),
        ("b3", ["-0.0539451"], "pass"),
        ("b3", [["-5.39451*10^-2"]], "pass"),
    ],
)
def test_a_number_may_be_typed_in_many_ways(
    graded: Graded, name: str, text: Any, verdict: str
) -> None:
    grade = graded(name, text)
    assert (grade.verdict, grade.points == 5) == (verdict, verdict == "pass"), grade
    assert "derivative" not in grade.hint


def test_approximately_is_read_as_equal(graded: Graded) -> None:
    for sign in ("≈", r"\approx", "="):
        assert graded("a2", f"-2(t_2 - y_2) {sign} 0.80157").points == 5
        assert graded("a2", f"-2(t_2 - y_2) {sign} 0.80257").points == 2.5


def test_a_list_of_one_is_a_number_and_a_row_a_list(net: Callable[..., Problem]) -> None:
    one = Grader(net(1))
    slope = f"{float(rnngrad.derive(one.problem)['dht_dhprev'].ravel()[0]):.6f}"
    for typed in (slope, [slope], [[slope]], f"({slope})"):
        assert one.one("a4", typed).points == 5
    spec = {"weights": {"W_xh": [[1], [2]], "W_hh": [[1, 0.5], [0.3, 1]]},
            "inputs": [[1], [1]], "targets": [[0, 1], [1, 0]]}  # fmt: skip
    two = Grader(rnngrad.load(spec))
    row = [f"{v:.6f}" for v in rnngrad.derive(two.problem)["dL_dh"][1]]
    for typed in (row, [row], [[n] for n in row]):
        assert two.one("a6", typed).points == 5, typed
    assert "without lists in it" in two.one("a6", [[row[0]], row[1]]).hint
    assert two.one("a6", [row[0], "9.99"]).hint == "1 of 2 numbers is wrong"


@pytest.mark.cases(None)
@pytest.mark.parametrize(
    ("name", "rest"), [("a4", "W_hh"), ("b1", "x_{step}"), ("b2", "h_{before}")]
)
def test_one_step_where_every_t_is_asked(net: Callable[..., Problem], name: str, rest: str) -> None:
    """Right at one step alone gets half, whichever it is; of a net of one step that is all."""

    def points(steps: int, step: str) -> float:
        before = f"{{{step}-1}}" if step.isalpha() else str(int(step) - 1)
        text = f"sigma'(a_{step}) {rest.format(step=step, before=before)}"
        return Grader(net(steps)).one(name, text).points

    assert [points(3, step) for step in ("1", "2", "3", "t")] == [2.5, 2.5, 2.5, 5]
    assert [points(1, step) for step in ("1", "T", "t", "2")] == [5, 5, 5, 0]
    assert (
        Grader(net(1)).one(name, f"sigma'(a_1) {rest.format(step='1', before='0')} + 1").points == 0
    )
