"""The fast walks of gru and lstm against the cell's own equations, step by step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from oracles import gated_nets
from rnngrad.arithmetic.arrays import Array, quietly
from rnngrad.core import forward, gru_passes, layers, lstm_passes
from rnngrad.core.arithmetic import FLOATS
from rnngrad.core.cells import LayerTrace
from rnngrad.core.gated_passes import WALKS
from rnngrad.core.gated_records import Back, Start, safe
from rnngrad.core.problem import Problem

CELLS = ("gru", "lstm")
ULPS = 64 * 2.0**-53
CANCELLING = 1e-11
"""For rows of ∂L/∂h_t, where what comes back and what enters may be of opposite sign."""


def problems(cell: str, count: int, scale: float = 1.0) -> Iterator[Problem]:
    for seed in range(count):
        rng = np.random.default_rng([seed, len(cell)])
        plan = gated_nets.Plan(cell, (int(rng.integers(1, 9)),), int(rng.integers(1, 5)), 2,
                               int(rng.integers(1, 40)), ("tanh", "identity", "squared_error"),
                               scale)  # fmt: skip
        yield gated_nets.problem_of(gated_nets.drawn_net(rng, plan))


def both(problem: Problem) -> tuple[LayerTrace, LayerTrace | None]:
    (layer,) = problem.layers
    start = Start(problem.h_0, problem.c_0)
    with quietly():
        slow = forward.step_by_step(problem, layer, problem.x)
        return slow, WALKS[problem.cell.name].forward(layer.weights, problem.x, start)


def backs(problem: Problem, trace: LayerTrace, direct: Array, last: int) -> tuple[Back, Back]:
    W_hh, cell = problem.weights["W_hh"], problem.cell
    with quietly():
        terms = cell.linearise(trace, problem.activation, FLOATS)
        slow = layers.step_by_step(cell, terms, W_hh, direct, last)
        return slow, WALKS[cell.name].back(trace, W_hh, direct, last)


def close(got: Array | None, right: Array | None, scale: float) -> bool:
    """Every row to a few units of rounding of its own largest entry."""
    if got is None or right is None:
        return got is right
    if not got.size:
        return True
    rows = got.reshape(len(got), -1), right.reshape(len(right), -1)
    size = np.abs(rows[1]).max(axis=1, keepdims=True)
    return bool((np.abs(rows[0] - rows[1]) <= scale * size).all())


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("scale", [0.1, 1.0, 3.0])
def test_both_walks(cell: str, scale: float) -> None:
    for problem in problems(cell, 25, scale):
        slow, fast = both(problem)
        assert fast is not None
        for name in ("a", "h", "c", "inner"):
            assert close(getattr(fast, name), getattr(slow, name), (1 + 100 * scale) * ULPS), name
        direct = np.random.default_rng(1).normal(size=(problem.steps, problem.hidden))
        for last in {0, 1, problem.steps}:
            right, got = backs(problem, slow, direct, last)
            for name in ("h", "c", "at_x", "at_h"):
                ours, theirs = (
                    None if x is None else x[:last]
                    for x in (getattr(got, name), getattr(right, name))
                )
                assert close(ours, theirs, CANCELLING), name


@pytest.mark.parametrize("cell", CELLS)
def test_vanishing_rows_are_as_right(cell: str) -> None:
    """Gates shut at −30: ∂L/∂h_t falls by 1e-13 a step, to 1e-290."""
    for problem in problems(cell, 5, 0.5):
        weights = dict(problem.weights)
        gate = {"lstm": 1, "gru": 1}[cell]
        name = "b_h" if cell == "lstm" else "b_xh"
        H = problem.hidden
        shut = weights[name].copy()
        shut[gate * H : (gate + 1) * H] = -30.0
        moved = replace(problem, weights={**weights, name: shut})
        slow, fast = both(moved)
        assert fast is not None
        direct = np.zeros((problem.steps, H))
        direct[-1] = 1.0
        right, got = backs(moved, slow, direct, problem.steps)
        assert close(got.h[:-1], right.h[:-1], 64 * ULPS)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("a", [-701.0, -800.0, np.inf, np.nan])
def test_what_no_float_holds_goes_step_by_step(cell: str, a: float) -> None:
    (problem,) = problems(cell, 1)
    name = "b_h" if cell == "lstm" else "b_xh"
    bias = problem.weights[name].copy()
    bias[0] = a
    moved = replace(problem, weights={**problem.weights, name: bias})
    assert both(moved)[1] is None
    trace = forward.forward(moved)
    np.testing.assert_array_equal(trace.h, both(moved)[0].h)
    assert not safe(trace.a, cell)


def _mistakes() -> dict[str, tuple[str, str, int]]:
    """Name -> cell, the module whose ``_diagonals`` is spoiled, and which diagonal of it."""
    modules = {"lstm": lstm_passes, "gru": gru_passes}
    counts = {"lstm": 6, "gru": 5}
    return {
        f"{cell} {i}": (cell, modules[cell].__name__, i)
        for cell in CELLS
        for i in range(counts[cell])
    }


@pytest.mark.parametrize("name", _mistakes())
def test_a_planted_mistake_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cell, module, change = _mistakes()[name]
    right = {"lstm": lstm_passes._diagonals, "gru": gru_passes._diagonals}[cell]

    def wrong(*arrays: Array) -> None:
        right(*arrays)
        arrays[-1][:, change] *= 1 + 1e-6

    monkeypatch.setattr(f"{module}._diagonals", wrong)
    with pytest.raises(AssertionError):
        test_both_walks(cell, 1.0)
