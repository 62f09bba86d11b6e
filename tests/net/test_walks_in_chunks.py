"""The walks in chunks of time against the cells' own equations, step by step."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from net.test_walks import assert_close, backs, both, check_both_ways, made
from oracles.cell_nets import Sizes, drawn
from rnngrad.arithmetic.arrays import quietly
from rnngrad.cells import CELLS, NAMES
from rnngrad.net import forward
from rnngrad.net.problem import Problem
from rnngrad.net.walks import back_walk, chunks, forward_walk
from rnngrad.net.walks.chunks import Recurrence

MEMORY = {"gru": ("b_xh", 1), "lstm": ("b_h", 1)}
"""The bias, and its gate, that say how long a cell remembers."""


@pytest.fixture
def filled(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows each call of ``advance`` filled; chunks are tried on short walks too."""
    rows: list[int] = []

    def advance(r: Recurrence) -> int:
        rows.append(chunks.advance(r))
        return rows[-1]

    for module in (forward_walk, back_walk):
        monkeypatch.setattr(module, "advance", advance)
        monkeypatch.setattr(module, "FEWEST", 400)
    return rows


def net(
    name: str, steps: int, hidden: int = 12, memory: float = 0.0, gain: float = 0.15
) -> Problem:
    """``memory`` is the bias of the gate that keeps."""
    problem = drawn(CELLS[name], Sizes(steps, hidden, 3), gain)
    bias, gate = MEMORY[name]
    moved = problem.weights[bias].copy()
    moved[gate * hidden : (gate + 1) * hidden] += memory
    return replace(problem, weights={**problem.weights, bias: moved})


@pytest.mark.parametrize("name", ["gru", "lstm"])
@pytest.mark.parametrize(("steps", "hidden"), [(700, 3), (1000, 12), (3001, 40)])
def test_in_chunks_as_step_by_step(name: str, steps: int, hidden: int, filled: list[int]) -> None:
    check_both_ways(net(name, steps, hidden, gain=0.5 / np.sqrt(hidden)), scale=2e-13)
    assert sum(filled) > 1.6 * steps


@pytest.mark.parametrize("name", ["gru", "lstm", "star", "ran"])
def test_block_after_block(name: str, filled: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a long sequence each goes on from the one before, with what no product brings, too."""
    for module in (forward_walk, back_walk):
        monkeypatch.setattr(module, "rows_together", lambda *_: 500)
    check_both_ways(drawn(CELLS[name], Sizes(2000, 10, 3), 0.1), scale=1e-12)
    assert sum(filled) > 2000


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("gru", "lstm")])
def test_every_cell(name: str, filled: list[int]) -> None:
    """Many go in chunks; whichever does is right."""
    problem = drawn(CELLS[name], Sizes(420, 6, 3), 0.1)
    check_both_ways(problem, scale=1e-11)


@pytest.mark.parametrize(
    "name", ["gru_reset_before", "rhn", "lstm_peephole", "mlstm", "nas", "irnn"]
)
def test_cells_that_forget_go_in_chunks(name: str, filled: list[int]) -> None:
    check_both_ways(drawn(CELLS[name], Sizes(1500, 10, 3), 0.1), scale=1e-12)
    assert sum(filled) > 0.9 * 3 * 1500


@pytest.mark.parametrize("name", ["gru", "lstm"])
@pytest.mark.parametrize("memory", [1.0, 3.0, 5.0, 9.0])
def test_long_memories(name: str, memory: float, filled: list[int]) -> None:
    """The longer a cell remembers, the less chunks are use; the rows are right all the same."""
    check_both_ways(net(name, 1500, memory=memory, gain=0.1), scale=1e-12)
    if memory >= 5.0:
        assert max(filled) < 100


@pytest.mark.parametrize("name", ["gru", "lstm"])
@pytest.mark.parametrize("loss_at", ["last", "rare", "first half", "tiny"])
def test_rows_that_vanish(name: str, loss_at: str, filled: list[int]) -> None:
    """∂L/∂h_t falls by hundreds of orders of magnitude; every row keeps its accuracy."""
    steps = 1500
    problem = net(name, steps, gain=0.1)
    slow, _ = both(problem, made(problem))
    direct = np.random.default_rng(2).normal(size=(steps, 12))
    silent = {
        "last": slice(-1),
        "rare": np.arange(steps) % 700 != 0,
        "first half": slice(750, None),
    }
    if loss_at == "tiny":
        direct *= 1e-200
    else:
        direct[silent[loss_at]] = 0.0
    right, got = backs(problem, made(problem), slow, direct)
    for part, rows in right.states.items():
        assert_close(got.states[part], rows, 1e-10)


def with_a_slow_unit(name: str) -> Problem:
    """Unit 0 remembers longer than all others, and no matrix reads it."""
    problem = net(name, 3000, 6, memory=-1.5, gain=0.15)
    weights, (bias, gate) = dict(problem.weights), MEMORY[name]
    weights[bias], weights["W_hh"] = weights[bias].copy(), weights["W_hh"].copy()
    weights[bias][gate * 6] = {"gru": 1.2, "lstm": 2.0}[name]
    weights["W_hh"][:, 0] = 0.0
    return replace(problem, weights=weights)


@pytest.mark.parametrize("name", ["gru", "lstm"])
def test_what_no_matrix_reads_has_merged_too(name: str, filled: list[int]) -> None:
    problem = with_a_slow_unit(name)
    slow, fast = both(problem, made(problem))
    assert fast is not None
    assert max(filled) > 2000
    for part, rows in slow.states.items():
        assert_close(fast.states[part], rows, 2e-13)


@pytest.mark.parametrize("name", ["gru", "lstm"])
def test_units_of_very_different_size(name: str, filled: list[int]) -> None:
    """The slow unit's gradient is 1e-200 of the others', and as right, entry by entry."""
    problem = with_a_slow_unit(name)
    slow, _ = both(problem, made(problem))
    direct = np.random.default_rng(3).normal(size=(3000, 6))
    direct[:, 0] *= 1e-200
    filled.clear()
    right, got = backs(problem, made(problem), slow, direct)
    assert max(filled) > 2000
    part = {"gru": "h", "lstm": "c"}[name]
    typical = np.median(np.abs(right.states[part][:, 0]))
    assert typical < 1e-190
    gap = np.abs(got.states[part][:, 0] - right.states[part][:, 0]).max()
    assert gap < 1e-12 * typical


@pytest.mark.parametrize("name", ["gru", "lstm"])
def test_what_is_not_finite_stays_where_it_is(name: str, filled: list[int]) -> None:
    problem = net(name, 1500)
    slow, _ = both(problem, made(problem))
    direct = np.random.default_rng(4).normal(size=(1500, 12))
    direct[1200, 3] = np.inf
    right, got = backs(problem, made(problem), slow, direct)
    for part, rows in right.states.items():
        assert_close(got.states[part], rows, 1e-11)
    x = problem.x.copy()
    x[1400, 0] = np.nan
    moved = replace(problem, x=x)
    with quietly():
        (layer,) = moved.layers
        assert made(moved).forward.run(layer, forward.starts_of(moved, layer), x) is None


@pytest.mark.parametrize("name", ["gru", "lstm"])
@pytest.mark.parametrize("mistake", ["too early", "unlooked", "from nothing"])
def test_planted_mistakes_are_caught(
    name: str, mistake: str, filled: list[int], monkeypatch: pytest.MonkeyPatch
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
        check_both_ways(net(name, 3001, 40, gain=0.08))


@pytest.mark.parametrize("name", ["gru", "lstm"])
def test_a_memory_that_is_not_looked_at_is_caught(
    name: str, filled: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunks._Chunks, "_after", lambda self, j, p, s: (np.zeros(1),))
    monkeypatch.setattr(chunks, "LOOK", 0.2)
    for test in (test_what_no_matrix_reads_has_merged_too, test_units_of_very_different_size):
        with pytest.raises(AssertionError):
            test(name, filled)
        assert max(filled) > 2000
