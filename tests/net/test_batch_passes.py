"""All sequences of a batch at once against each by itself, and against other ideas."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from oracles.batches import batch_of
from oracles.cell_nets import Sizes, drawn
from rnngrad.algebra.equations import read_cell
from rnngrad.algebra.step_graph import before
from rnngrad.arithmetic.arrays import Array, quietly
from rnngrad.arithmetic.functions import ACTIVATIONS
from rnngrad.cells import CELLS, NAMES
from rnngrad.net import batch_passes
from rnngrad.net.batch import Batch
from rnngrad.net.batch_passes import Together, one_by_one, passes
from rnngrad.net.cells import Cell
from rnngrad.net.forward import forward
from rnngrad.net.problem import Problem
from rnngrad.net.traces import LayerTrace
from rnngrad.net.walks import walks_of

CLOSE = 1e-12
SIZES = Sizes(7, 4, 3)


def arrays(found: Together) -> dict[str, Array]:
    """All of them, by name."""
    named = {name: value for name, value in found._asdict().items() if not hasattr(value, "items")}
    for name in ("states", "dL_ds", "weights"):
        named |= {f"{name} {key}": rows for key, rows in getattr(found, name).items()}
    return named


def at_once(batch: Batch) -> Together:
    with quietly():
        found = batch_passes._at_once(batch)
    assert found is not None, "it went sequence by sequence"
    return found


def assert_same(got: Together, right: Together, close: float = CLOSE) -> None:
    """Every entry relative to the largest of its step of its sequence, or of its row of a matrix;
    what is 0 is exactly 0."""
    mine, theirs = arrays(got), arrays(right)
    assert set(mine) == set(theirs)
    for name, rows in theirs.items():
        size = np.abs(rows).max(axis=-1, keepdims=True) if rows.ndim else np.abs(rows)
        whole = np.abs(rows).max(initial=0.0)
        assert mine[name].shape == rows.shape, name
        gap = np.abs(mine[name] - rows)
        assert (gap <= close * np.maximum(size, 1e-3 * whole)).all(), name
        np.testing.assert_array_equal(mine[name][rows == 0.0], 0.0, name)


@pytest.mark.parametrize("name", NAMES)
def test_every_cell(name: str) -> None:
    problem = drawn(CELLS[name], SIZES, scale=0.4)
    batch = batch_of(problem, (7, 7, 7, 7, 7))
    assert_same(at_once(batch), one_by_one(batch))


@pytest.mark.parametrize("name", NAMES)
def test_every_cell_of_uneven_lengths(name: str) -> None:
    problem = drawn(CELLS[name], SIZES, scale=0.4)
    batch = batch_of(problem, (3, 7, 1, 5), mean=True)
    got = at_once(batch)
    assert_same(got, one_by_one(batch))
    for k, steps in enumerate(batch.lengths):
        assert not got.dL_dx[k, steps:].any()
        assert not next(iter(got.dL_ds.values()))[k, steps + 1 :].any()
        assert not next(iter(got.states.values()))[k, steps + 1 :].any()


def stack(cell: str, depth: int = 3) -> Problem:
    one = drawn(CELLS[cell], Sizes(7, 4, 4), scale=0.4)
    rng = np.random.default_rng(5)
    weights = {
        f"{name}.{at}": 0.4 * rng.normal(size=one.weights[name].shape)
        for at in range(depth)
        for name in one.cell.parameters
    }
    weights |= {"W_hy": one.weights["W_hy"], "b_y": one.weights["b_y"]}
    starts = {part: np.tile(start, depth) for part, start in one.starts.items()}
    return replace(one, weights=weights, h_0=np.tile(one.h_0, depth), starts=starts)


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm", "ugrnn"])
@pytest.mark.parametrize("lengths", [(7, 7), (2, 7, 4)])
def test_stacks(cell: str, lengths: tuple[int, ...]) -> None:
    batch = batch_of(stack(cell), lengths)
    assert_same(at_once(batch), one_by_one(batch))


@pytest.mark.parametrize("name", ["sigmoid", "relu", "identity", "softplus", "gelu"])
def test_activations_of_rnn(name: str) -> None:
    problem = replace(drawn(CELLS["rnn"], SIZES, 0.4), activation=ACTIVATIONS[name])
    batch = batch_of(problem, (7, 4, 7))
    assert_same(at_once(batch), one_by_one(batch))


def test_a_matrix_of_what_a_matrix_gives() -> None:
    """Its room lies between that of others."""
    equations = ["h_t = tanh(W x_t + U c_{t-1})", "c_t = tanh(W x_t + V (U c_{t-1}))"]
    problem = drawn(Cell(read_cell("drawn", equations, ["h", "c"])), SIZES)
    batch = batch_of(problem, (7, 7, 7))
    assert_same(at_once(batch), one_by_one(batch))


def test_more_steps_than_a_block() -> None:
    problem = drawn(CELLS["gru"], Sizes(2500, 3, 2), scale=0.3)
    batch = batch_of(problem, (2500, 2500, 2311, 2500))
    assert_same(at_once(batch), one_by_one(batch), 1e-10)


@pytest.mark.parametrize("name", ["rnn", "gru", "lstm"])
def test_saturated_gates_to_every_entry(name: str) -> None:
    """1 − tanh² and 1 − σ are right to relative rounding, also from what the way forward kept."""
    batch = batch_of(drawn(CELLS[name], Sizes(2, 4, 3), scale=30.0), (2, 2, 2))
    got, right = at_once(batch).weights, one_by_one(batch).weights
    assert min(np.abs(gradient).min() for gradient in right.values()) < 1e-10
    for key, gradient in right.items():
        np.testing.assert_allclose(got[key], gradient, rtol=1e-9)


def test_the_way_back_takes_what_the_way_forward_kept() -> None:
    """Of gru no gate's power of e and no tanh is computed again, but for tanh'."""
    walks = walks_of(drawn(CELLS["gru"], SIZES), 2)
    assert sorted(walks.forward.dear.values()) == ["exp(-)(a.r)", "exp(-)(a.z)", "tanh(a.n)"]
    lines = "\n".join(walks.back.terms.plain.lines)
    assert (lines.count("exp("), lines.count("tanh(")) == (1, 0)


def test_losses_of_some_steps() -> None:
    """The last that counts lies elsewhere in each sequence."""
    batch = batch_of(drawn(CELLS["lstm"], SIZES, 0.4), (7, 5, 7))
    weights = [np.eye(7)[3], np.eye(5)[4], np.zeros(7)]
    some = [
        replace(one, loss_weights=w) for one, w in zip(batch.sequences, weights, strict=True)
    ]  # fmt: skip
    batch = replace(batch, sequences=tuple(some))
    got = at_once(batch)
    assert_same(got, one_by_one(batch))
    assert not got.dL_dx[2].any()
    assert not got.dL_dx[0, 4:].any()


def test_one_sequence_is_that_sequence() -> None:
    batch = batch_of(drawn(CELLS["gru"], SIZES, 0.4), (7,))
    assert_same(at_once(batch), one_by_one(batch))


def test_what_overflows_goes_sequence_by_sequence() -> None:
    """A sequence that overflows after its last loss spoils neither itself nor another."""
    problem = replace(drawn(CELLS["rnn"], Sizes(7, 4, 3), 4.0), activation=ACTIVATIONS["identity"])
    batch = batch_of(problem, (7, 7))
    first, second = batch.sequences
    x = np.array(first.x)
    x[5] = 1.7e308
    weights = np.array([1.0, 1, 1, 1, 0, 0, 0])
    batch = replace(batch, sequences=(replace(first, x=x, loss_weights=weights), second))
    found = passes(batch)
    right = one_by_one(batch)
    assert not np.isfinite(found.states["h"][0]).all()
    for name, gradient in found.weights.items():
        assert np.isfinite(gradient).all()
        np.testing.assert_array_equal(gradient, right.weights[name])


def test_no_loss() -> None:
    batch = batch_of(drawn(CELLS["gru"], SIZES, 0.4), (7, 3))
    without = [replace(o, loss=None, targets=None, loss_weights=None) for o in batch.sequences]
    batch = replace(batch, sequences=tuple(without))
    got = at_once(batch)
    assert_same(got, one_by_one(batch))
    assert not got.losses.any()


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_complex_step(cell: str) -> None:
    """∂L/∂W by Im L(W + ih)/h, which shares no derivative with what it proves."""
    batch = batch_of(drawn(CELLS[cell], Sizes(4, 3, 2), 0.5), (4, 2, 3), mean=True)
    got = passes(batch).weights
    for name, gradient in got.items():
        for index in np.ndindex(gradient.shape):
            total = 0.0
            for one in batch.sequences:
                W = one.weights[name].astype(complex)
                W[index] += 1e-30j
                trace = forward(replace(one, weights={**one.weights, name: W}))
                total += float(np.sum(trace.losses).imag) / 1e-30
            assert gradient[index] == pytest.approx(total, rel=1e-12, abs=1e-14)


def test_padding_that_counts_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: the losses of what a sequence is filled up with count as well."""
    batch = batch_of(drawn(CELLS["lstm"], SIZES, 0.4), (7, 3))
    right = batch.rows
    assert right.loss_weights is not None
    wrong = replace(right, loss_weights=np.ones_like(right.loss_weights))
    monkeypatch.setattr(Batch, "rows", property(lambda self: wrong))
    with pytest.raises(AssertionError):
        assert_same(at_once(batch), one_by_one(batch))


def test_a_neighbour_for_the_step_before_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: h_{t−1} is the row before, which is another sequence's."""
    right = LayerTrace.given

    def wrong(self: LayerTrace, key: str) -> Array:
        found = right(self, key)
        return np.roll(found, 1, axis=0) if key == before("h") else found

    batch = batch_of(drawn(CELLS["rnn"], SIZES, 0.4), (7, 7))
    monkeypatch.setattr(LayerTrace, "given", wrong)
    with pytest.raises(AssertionError):
        assert_same(at_once(batch), one_by_one(batch))
