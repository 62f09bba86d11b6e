"""A formula that is shown is one that can be evaluated: path by path it adds up to the gradient."""

from __future__ import annotations

import re
from functools import reduce

import numpy as np
import pytest
from hypothesis import given

from oracles.nets import bare_net, nets, problem_of, with_loss
from rnngrad.analyses.derivation.chain_rules import derivation, first_use, loss_steps
from rnngrad.analyses.derivation.derive import Derivation, derive
from rnngrad.analyses.derivation.formulas import (
    Partial,
    Path,
    paths_to_state,
    paths_to_weight,
    state_formula,
    steps_text,
    sum_text,
    weight_formula,
)

SUBNORMAL = 1e-300
"""Below it floats have fewer digits, and a sum of products none to compare."""


def index(symbol: str) -> int:
    return int(symbol.rsplit("_", 1)[1])


def value_of(partial: Partial, result: Derivation) -> np.ndarray:
    """The matrix of one partial, rows the top; ∂⁺h/∂W as (H, size of W)."""
    problem, t = result.problem, index(partial.top)
    if partial.top.startswith("L_"):
        return result["dL_dy"][t - 1][np.newaxis]
    if partial.top.startswith("y_"):
        trace = result.passes.forward
        slope = problem.output.jacobian(trace.a_y, trace.y)[t - 1]
        return slope @ problem.weights["W_hy"] if problem.has_readout else slope
    if not partial.immediate:
        return result["dht_dhprev"][t - 1]
    compact = result[f"dht_d{partial.bottom}"][t - 1]
    hidden, width = compact.shape
    full = np.zeros((hidden, hidden, width))
    full[np.arange(hidden), np.arange(hidden)] = compact
    return full.reshape(hidden, -1)


def evaluate(paths: list[Path], result: Derivation, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The sum over the paths, and the sum of their sizes entry by entry."""
    total, largest = np.zeros(size), np.zeros(size)
    for path in paths:
        factors = [value_of(partial, result) for partial in (*path.head, *path.tail)]
        product = reduce(np.matmul, factors).ravel()
        total += product
        largest += np.abs(product)
    return total, largest


def close(paths: list[Path], result: Derivation, expected: np.ndarray) -> bool:
    total, largest = evaluate(paths, result, expected.size)
    tolerance = 1e-10 * max(largest.max(initial=0.0), np.abs(expected).max()) + SUBNORMAL
    return bool(np.abs(total - expected.ravel()).max() <= tolerance)


@given(nets())
def test_the_paths_add_up_to_the_gradients(net: dict) -> None:
    result = derive(problem_of(net))
    if not np.isfinite(result["dL_dy"]).all():
        return  # an output underflowed: ∂L/∂y · ∂y/∂a is ∞ · 0 there, only the fused form is right
    counting = loss_steps(result.problem)
    for k in range(result.problem.steps + 1):
        assert close(list(paths_to_state(k, counting)), result, result["dL_dh"][k])
    for weight in ("W_xh", "W_hh"):
        first = first_use(result.problem, weight)
        paths = list(paths_to_weight(weight, counting, first_step=first))
        assert close(paths, result, result[f"dL_d{weight}"])


def test_a_missing_path_would_be_seen() -> None:
    net = with_loss(bare_net([[0.9]], 3, x=np.ones((3, 1)), W_xh=np.ones((1, 1))), np.zeros((3, 1)))
    result = derive(problem_of(net))
    paths = list(paths_to_weight("W_xh", [1, 2, 3]))
    assert close(paths, result, result["dL_dW_xh"])
    for missing in range(len(paths)):
        assert not close(paths[:missing] + paths[missing + 1 :], result, result["dL_dW_xh"])


def test_the_sheets_sums_are_spelled_as_on_the_sheet() -> None:
    assert state_formula(2, [1, 2, 3]) == (
        "∂L_2/∂y_2 · ∂y_2/∂h_2 + ∂L_3/∂y_3 · ∂y_3/∂h_3 · ∂h_3/∂h_2"
    )
    assert weight_formula("W_hh", [1, 2, 3], 2) == (
        "∂L_2/∂y_2 · ∂y_2/∂h_2 · ∂⁺h_2/∂W_hh"
        " + ∂L_3/∂y_3 · ∂y_3/∂h_3 · (∂⁺h_3/∂W_hh + ∂h_3/∂h_2 · ∂⁺h_2/∂W_hh)"
    )
    assert "∂h_3/∂h_2 · ∂h_2/∂h_1 · ∂⁺h_1/∂W_xh" in weight_formula("W_xh", [1, 2, 3], 1)


def test_a_start_that_is_not_zero_brings_the_first_step_back() -> None:
    net = with_loss(bare_net([[0.5]], 3), np.zeros((3, 1)))
    lines = {line.id: line for line in derivation(problem_of(net | {"h_0": np.ones(1)}))}
    assert "∂L_1/∂y_1" in lines["b4"].formula
    assert "∂⁺h_1/∂W_hh" in lines["b4"].formula
    assert "∂L_1/∂y_1" not in {x.id: x for x in derivation(problem_of(net))}["b4"].formula


@pytest.mark.parametrize(
    ("steps", "text"),
    [
        ([1, 2, 3], "t=1..3"),
        ([4], "t=4..4"),
        ([1, 4, 9], "t∈{1, 4, 9}"),
        ([1, 4, 9, 10, 12, 13, 90], "t∈{1, 4, 9, 10, .., 90}"),
    ],
)
def test_steps_in_words(steps: list[int], text: str) -> None:
    assert steps_text(steps) == text


def test_long_sums_are_written_with_sigma_and_cost_nothing() -> None:
    steps = list(range(1, 100_001))
    assert state_formula(1, steps) == (
        "Σ_{t=1..100000} ∂L_t/∂y_t · ∂y_t/∂h_t · ∏_{s=2..t} ∂h_s/∂h_{s−1}"
    )
    assert weight_formula("W_xh", steps, 1) == (
        "Σ_{t=1..100000} ∂L_t/∂y_t · ∂y_t/∂h_t · "
        "Σ_{k=1..t} (∏_{s=k+1..t} ∂h_s/∂h_{s−1}) · ∂⁺h_k/∂W_xh"
    )
    assert weight_formula("W_xh", [50], 1) == (
        "∂L_50/∂y_50 · ∂y_50/∂h_50 · Σ_{k=1..50} (∏_{s=k+1..50} ∂h_s/∂h_{s−1}) · ∂⁺h_k/∂W_xh"
    )


def test_no_path_is_a_zero() -> None:
    assert sum_text([]) == "0"
    assert state_formula(5, [1, 2]) == "0"
    assert weight_formula("W_hh", [1], 2) == "0"


@given(nets())
def test_every_line_names_a_quantity_and_steps_that_exist(net: dict) -> None:
    problem = problem_of(net)
    result = derive(problem)
    lines = derivation(problem)
    expected = {"a4", "b1", "b2"}
    if problem.loss is not None:
        expected |= {"a1", "a3", "a6", "b3", "b4"}
        expected |= {"a2", "a5"} if problem.steps > 1 else set()
    assert {line.id for line in lines} == expected
    for line in lines:
        array = result[line.quantity]
        assert line.value(array).shape == line.shape(array.shape)
        steps = [int(s) for s in re.findall(r"[hyL]_(\d+)", f"{line.symbol} {line.formula}")]
        assert all(1 <= step <= problem.steps for step in steps), line
