"""All sequences of a batch at once: the rows of a step lie together, and vectors are blocks.

    h (B, H):    a_t = h_{t−1} W_hhᵀ + x_t W_xhᵀ + b_h        ∂L/∂h_{t−1} = ∂L/∂a_t W_hh

A walk goes through the B sequences together, a matrix product a step (``net.walks``); what goes row
by row, as read-out and losses do, takes the T·B rows as it takes T; ∂L/∂W = Σ_k Σ_t ∂L/∂a_t ⊗ v_t
is one product over all of them. A shorter sequence is filled up with inputs of 0 and with losses
that do not count: nothing comes back from there, so that its ∂L/∂h_t are those of the sequence
alone, and exact zeros after its end.

That holds for numbers: 0 · ∞ is none. Where a walk overflows, or a function leaves the range in
which the walk is right, each sequence goes by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from rnngrad.arithmetic.arrays import Array, keep_freed_memory, quietly
from rnngrad.net import bidirectional
from rnngrad.net.backward import bptt_within
from rnngrad.net.batch import Batch, BidirectionalBatch
from rnngrad.net.forward import forward_within, read_out
from rnngrad.net.problem import REVERSE, Problem
from rnngrad.net.traces import BackwardTrace, ForwardTrace, LayerTrace
from rnngrad.net.walks import walks_of


class Together(NamedTuple):
    """Both passes of a batch: ``states`` and ``dL_ds`` by part (B, T+1, ·), all layers side by
    side; ``y``, ``dL_dy`` (B, T, O), ``losses`` (B, T), ``dLt_dht`` (B, T, H), ``dL_dx`` (B, T, I),
    and ``weights``, the gradient of L = Σ_k L_k by each parameter. After a sequence's end all is
    0. Without a loss only ``states`` and ``y`` are there."""

    states: Mapping[str, Array]
    y: Array
    losses: Array
    dL_dy: Array
    dLt_dht: Array
    dL_ds: Mapping[str, Array]
    dL_dx: Array
    weights: Mapping[str, Array]


def passes(batch: Batch) -> Together:
    """Forward and back-propagation through time for every sequence."""
    if isinstance(batch, BidirectionalBatch):
        return _of_bidirectional(batch)
    keep_freed_memory()
    with quietly():
        return _at_once(batch) or one_by_one(batch)


def one_by_one(batch: Batch) -> Together:
    """The same by its definition: each sequence by itself, ∂L/∂W added up."""
    found = []
    with quietly():
        for one in batch.sequences:
            trace = forward_within(one)
            found.append((trace, bptt_within(one, trace)))
    parts = batch.net.cell.parts
    return _stacked(
        [trace for trace, _ in found],
        [back for _, back in found],
        {part: [trace.part(part) for trace, _ in found] for part in parts},
        {part: [back.dL_ds[part] for _, back in found] for part in parts},
    )


def _of_bidirectional(batch: BidirectionalBatch) -> Together:
    """The same of bidirectional layers; the states of a reverse half by the names ``h_reverse``."""
    found = [bidirectional.passes(one) for one in batch.sequences]

    def states(gradient: bool) -> dict[str, list[Array]]:
        return {
            part + way: [bidirectional.states_of(one.halves, part, way, gradient) for one in found]
            for way in ("", REVERSE)
            for part in batch.net.cell.parts
        }

    back = [one.backward for one in found if one.backward is not None]
    return _stacked(
        [one.forward for one in found], back, states(False), states(True) if back else {}
    )


def _stacked(
    forth: Sequence[ForwardTrace],
    back: Sequence[BackwardTrace],
    states: Mapping[str, list[Array]],
    dL_ds: Mapping[str, list[Array]],
) -> Together:
    """The arrays of each sequence in one, zeros after its end; ∂L/∂W added up."""
    weights: dict[str, Array] = {}
    for one in back:
        for name, gradient in one.weights.items():
            weights[name] = weights[name] + gradient if name in weights else gradient

    def stacked(rows: list[Array]) -> Array:
        if not rows:
            return np.zeros(0)
        whole = np.zeros((len(rows), max(map(len, rows)), *rows[0].shape[1:]))
        for place, row in zip(whole, rows, strict=True):
            place[: len(row)] = row
        return whole

    return Together(
        {part: stacked(rows) for part, rows in states.items()},
        stacked([trace.y for trace in forth]),
        stacked([trace.losses for trace in forth]),
        stacked([one.dL_dy for one in back]),
        stacked([one.dLt_dht for one in back]),
        {part: stacked(rows) for part, rows in dL_ds.items()},
        stacked([one.dL_dx for one in back]),
        weights,
    )


def _at_once(batch: Batch) -> Together | None:
    """None where some number is none, or where a walk is not sure."""
    rows = batch.rows
    trace = _forward(rows, batch)
    if trace is None:
        return None
    walk, last = walks_of(rows, batch.size).back, rows.last_step_with_loss
    if not all(share.walked or walk.terms.safe(share, last) for share in trace.layers):
        return None
    back = bptt_within(rows, trace)
    every = (trace.losses, back.dL_dx, *back.dL_ds.values(), *back.weights.values())
    return _apart(batch, trace, back) if _finite(*every) else None


def _forward(rows: Problem, batch: Batch) -> ForwardTrace | None:
    walk, shares = walks_of(rows, batch.size).forward, list[LayerTrace]()
    for layer in rows.layers:
        starts = {
            part: np.stack([one.start(i)[layer.parts[i]] for one in batch.sequences])
            for i, part in enumerate(rows.cell.parts)
        }
        x = shares[-1].h[batch.size :] if shares else rows.x
        share = walk.run(layer, starts, x, batch.size)
        if share is None or not _finite(*share.states.values()):
            return None
        shares.append(share)
    return read_out(rows, tuple(shares))


def _finite(*arrays: Array) -> bool:
    """Whether all are, or at least their sum is."""
    return all(np.isfinite(np.add.reduce(array, axis=None)) for array in arrays)


def _apart(batch: Batch, trace: ForwardTrace, back: BackwardTrace) -> Together:
    """The rows of each sequence by themselves, 0 after its end."""
    B, lengths = batch.size, batch.lengths
    ragged = min(lengths) < batch.steps

    def apart(rows: Array, more: int = 0) -> Array:
        whole = rows.reshape(-1, B, *rows.shape[1:]).swapaxes(0, 1)
        for row, length in zip(whole, lengths, strict=True) if ragged else ():
            row[length + more :] = 0.0
        return whole

    return Together(
        {part: apart(trace.part(part), 1) for part in batch.net.cell.parts},
        apart(trace.y),
        apart(trace.losses),
        apart(back.dL_dy),
        apart(back.dLt_dht),
        {part: apart(rows, 1) for part, rows in back.dL_ds.items()},
        apart(back.dL_dx),
        back.weights,
    )
