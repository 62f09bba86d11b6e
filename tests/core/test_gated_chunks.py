"""gru and lstm in chunks of time against the cell's own equations, step by step."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest

import rnngrad
from rnngrad.arithmetic.arrays import Array, quietly
from rnngrad.core import chunks, forward, gru_passes, layers, lstm_passes
from rnngrad.core.arithmetic import FLOATS
from rnngrad.core.cells import LayerTrace
from rnngrad.core.chunk_plans import Recurrence
from rnngrad.core.gated_passes import WALKS
from rnngrad.core.gated_records import Back, Start
from rnngrad.core.problem import Problem

CELLS = ("gru", "lstm")
MEMORY = {"gru": ("b_xh", 1), "lstm": ("b_h", 1)}
"""The bias, and its gate, that say how long a cell remembers."""


def net(cell: str, steps: int, hidden: int = 12, memory: float = 0.0, gain: float = 0.9) -> Problem:
    """Drawn from a seed; ``memory`` is the bias of the gate that keeps."""
    rng = np.random.default_rng([steps, hidden, len(cell)])
    gates, (name, gate) = len(rnngrad_gates(cell)), MEMORY[cell]
    bias = 0.1 * rng.normal(size=gates * hidden)
    bias[gate * hidden : (gate + 1) * hidden] += memory
    weights = {
        "W_xh": rng.normal(size=(gates * hidden, 3)) * 0.3,
        "W_hh": rng.normal(size=(gates * hidden, hidden)) * gain / np.sqrt(hidden),
        name: bias,
        "W_hy": rng.normal(size=(2, hidden)),
    }
    spec = {"cell": cell, "weights": weights, "inputs": rng.normal(size=(steps, 3)),
            "targets": np.zeros((steps, 2)), "h_0": list(rng.normal(size=hidden) / 2)}  # fmt: skip
    return rnngrad.load(spec)


def rnngrad_gates(cell: str) -> str:
    return {"gru": "rzn", "lstm": "ifgo"}[cell]


class Walked(NamedTuple):
    slow: LayerTrace | Back
    fast: LayerTrace | Back


def both_forward(problem: Problem) -> Walked:
    (layer,) = problem.layers
    with quietly():
        slow = forward.step_by_step(problem, layer, problem.x)
        start = Start(problem.h_0, problem.c_0)
        fast = WALKS[problem.cell.name].forward(layer.weights, problem.x, start)
    assert fast is not None
    return Walked(slow, fast)


def both_back(problem: Problem, trace: LayerTrace, direct: Array, last: int) -> Walked:
    W_hh, cell = problem.weights["W_hh"], problem.cell
    with quietly():
        terms = cell.linearise(trace, problem.activation, FLOATS)
        slow = layers.step_by_step(cell, terms, W_hh, direct, last)
        return Walked(slow, WALKS[cell.name].back(trace, W_hh, direct, last))


def assert_rows_agree(walked: Walked, rtol: float, least: float = 1e-290) -> None:
    """Every field, row by row, relative to the row's largest entry, unless that nears underflow."""
    for name in set(walked.slow._fields) - {"x"}:
        right, got = getattr(walked.slow, name), getattr(walked.fast, name)
        if right is None:
            assert got is None
            continue
        sizes = np.abs(right).max(axis=1)
        np.testing.assert_array_equal(np.isfinite(got).all(axis=1), np.isfinite(sizes))
        told = np.isfinite(sizes) & (sizes > least)
        errors = np.abs(got[told] - right[told]).max(axis=1) / sizes[told]
        assert errors.max(initial=0.0) <= rtol, name
        assert (np.abs(got).max(axis=1)[sizes == 0] == 0).all(), name


@pytest.fixture
def filled(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows each call of ``advance`` filled."""
    rows: list[int] = []

    def advance(r: Recurrence) -> int:
        rows.append(chunks.advance(r))
        return rows[-1]

    for module in (gru_passes, lstm_passes):
        monkeypatch.setattr(module, "advance", advance)
    return rows


def check_both_ways(problem: Problem, rtol: float = 2e-13) -> None:
    walked = both_forward(problem)
    assert_rows_agree(walked, rtol)
    assert isinstance(walked.slow, LayerTrace)
    steps = problem.steps
    direct = np.random.default_rng(steps).normal(size=(steps, problem.hidden))
    assert_rows_agree(both_back(problem, walked.slow, direct, steps), 1e-11)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(("steps", "hidden"), [(700, 3), (1000, 12), (3001, 40), (9000, 8)])
def test_in_chunks_as_step_by_step(cell: str, steps: int, hidden: int, filled: list[int]) -> None:
    check_both_ways(net(cell, steps, hidden))
    assert sum(filled) > 1.6 * steps


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("memory", [1.0, 2.0, 3.0, 5.0, 9.0])
def test_long_memories(cell: str, memory: float, filled: list[int]) -> None:
    """The longer a cell remembers, the less chunks are use; the rows are right all the same."""
    check_both_ways(net(cell, 2000, memory=memory, gain=0.3), 1e-12)
    if memory >= 5.0:
        assert max(filled) < 100


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("loss_at", ["last", "rare", "first half", "tiny"])
def test_rows_that_vanish(cell: str, loss_at: str) -> None:
    """∂L/∂h_t falls by hundreds of orders of magnitude; every row keeps its accuracy."""
    steps, hidden = 3000, 10
    problem = net(cell, steps, hidden, gain=0.3)
    (layer,) = problem.layers
    with quietly():
        trace = forward.step_by_step(problem, layer, problem.x)
    direct = np.random.default_rng(2).normal(size=(steps, hidden))
    silent = {
        "last": slice(-1),
        "rare": np.arange(steps) % 700 != 0,
        "first half": slice(1500, None),
    }
    if loss_at == "tiny":
        direct *= 1e-200
    else:
        direct[silent[loss_at]] = 0.0
    last = int(np.flatnonzero(direct.any(axis=1))[-1]) + 1
    assert_rows_agree(both_back(problem, trace, direct, last), 1e-10)


def with_a_slow_unit(cell: str) -> Problem:
    """Unit 0 remembers longer than all others, and no matrix reads it."""
    problem = net(cell, 3000, 6, memory=-1.5, gain=0.5)
    weights, (name, gate) = dict(problem.weights), MEMORY[cell]
    weights[name], weights["W_hh"] = weights[name].copy(), weights["W_hh"].copy()
    weights[name][gate * 6] = 1.2
    weights["W_hh"][:, 0] = 0.0
    return replace(problem, weights=weights)


@pytest.mark.parametrize("cell", CELLS)
def test_what_no_matrix_reads_has_merged_too(cell: str, filled: list[int]) -> None:
    walked = both_forward(with_a_slow_unit(cell))
    assert max(filled) > 2000
    assert_rows_agree(walked, 2e-13)


@pytest.mark.parametrize("cell", CELLS)
def test_units_of_very_different_size(cell: str, filled: list[int]) -> None:
    """The slow unit's gradient is 1e-200 of the others', and as right, entry by entry."""
    problem = with_a_slow_unit(cell)
    trace = both_forward(problem).slow
    assert isinstance(trace, LayerTrace)
    direct = np.random.default_rng(3).normal(size=(3000, 6))
    direct[:, 0] *= 1e-200
    filled.clear()
    slow, fast = both_back(problem, trace, direct, 3000)
    assert isinstance(slow, Back)
    assert isinstance(fast, Back)
    assert max(filled) > 2000
    kept = (slow.h, fast.h) if slow.c is None or fast.c is None else (slow.c, fast.c)
    typical = np.median(np.abs(kept[0][:, 0]))
    assert typical < 1e-190
    assert np.abs(kept[1][:, 0] - kept[0][:, 0]).max() < 1e-12 * typical


@pytest.mark.parametrize("cell", CELLS)
def test_what_is_not_finite_stays_where_it_is(cell: str) -> None:
    problem = net(cell, 2000)
    trace = both_forward(problem).slow
    assert isinstance(trace, LayerTrace)
    direct = np.random.default_rng(4).normal(size=(2000, 12))
    direct[1200, 3] = np.inf
    direct[1900:] = 0.0
    assert_rows_agree(both_back(problem, trace, direct, 1900), 1e-11)
    moved = problem.x.copy()
    moved[1500, 0] = np.nan
    with quietly():
        assert WALKS[cell].forward(problem.weights, moved, Start(problem.h_0, problem.c_0)) is None


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("mistake", ["too early", "unlooked", "from nothing"])
def test_planted_mistakes_are_caught(
    cell: str, mistake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if mistake == "too early":
        monkeypatch.setattr(chunks, "ROUNDING", 1e-9)
    elif mistake == "unlooked":
        monkeypatch.setattr(chunks, "LOOK", 0.2)
        monkeypatch.setattr(chunks._Chunks, "_same", lambda self, j, s: True)
    else:
        right = chunks._Chunks.advance

        def from_nothing(self: chunks._Chunks, *arguments: int, **named: int) -> bool:
            self.start = tuple(map(np.zeros_like, self.start))
            return right(self, *arguments, **named)

        monkeypatch.setattr(chunks._Chunks, "advance", from_nothing)
    with pytest.raises(AssertionError):
        check_both_ways(net(cell, 3001, 40))


@pytest.mark.parametrize("cell", CELLS)
def test_a_memory_that_is_not_looked_at_is_caught(
    cell: str, filled: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunks._Chunks, "_after", lambda self, j, p, s: (np.zeros(1),))
    for test in (test_what_no_matrix_reads_has_merged_too, test_units_of_very_different_size):
        with pytest.raises(AssertionError):
            test(cell, filled)
        assert max(filled) > 2000
