"""∂L/∂W_hh by the lag d = t − k between the loss L_t and the step k at which W_hh is used.

    G = ∂L/∂W_hh = Σ_d G_d
    G_d = Σ_t ∂L_t/∂h_t · ∂h_t/∂h_{t−1} ⋯ ∂h_{k+1}/∂h_k · ∂⁺h_k/∂W_hh          k = t − d

The *share* of lag d is ⟨G_d, G⟩ / ⟨G, G⟩: what it has along the whole gradient. All shares add up
to 1, and a negative one works against the whole. *Truncation* at n steps keeps the lags 0 … n − 1,
n immediate partials of each loss (what PyTorch has if h is detached n steps before every loss):

    Ĝ_n = Σ_{d<n} G_d,    rel_error = ‖Ĝ_n − G‖ / ‖G‖,    cosine = ⟨Ĝ_n, G⟩ / (‖Ĝ_n‖ ‖G‖)

with Frobenius norms. W_hh stands for all recurrent parameters together, as one long vector: those
that ``Cell.scaled`` names, of every layer of a stack; each layer has figures of its own as well.
The rows ∂L_t/∂s_k of all losses go back through the steps together; the matrices G_d are never
formed, only the rows at W_hh's targets, added up between the truncations that are looked at, and
their products with what W_hh multiplies. The error is that of what is left out, so it is right to
rounding however small it is. Source: Williams, Peng, *An efficient gradient-based algorithm for
on-line training of recurrent network trajectories*, Neural Computation 2 (1990), BPTT(h) there;
the summands are equations 3–5 of Pascanu, Mikolov, Bengio, ICML (2013).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from rnngrad.algebra.steps import Matrix
from rnngrad.algebra.tape import tape_of
from rnngrad.arithmetic.arrays import Array, Integers, quietly
from rnngrad.core.arithmetic import FLOATS
from rnngrad.core.backward import bptt
from rnngrad.core.layers import source_values
from rnngrad.core.linear import Rows, linear_net
from rnngrad.core.problem import Layer, Problem
from rnngrad.core.telling import heard
from rnngrad.core.terms import evaluated
from rnngrad.core.traces import BackwardTrace, ForwardTrace, LayerTrace

TOGETHER = 2**21
"""Numbers of the added rows that are held before they are multiplied (16 MiB)."""

NOTHING = 2.0**-960
"""Entries below are set to 0, before they become subnormal: they cost a hundred times as much."""


class Truncation(NamedTuple):
    """What keeping only some steps of each loss costs, (n,) each; ``steps`` are 1, 2, 4 … T. nan
    where ∂L/∂W_hh is 0 or not finite, the cosine also where all that is kept is 0."""

    steps: Integers
    rel_error: Array
    cosine: Array


class Lags(NamedTuple):
    """``shares`` (T,), entry d that of lag d; the ``truncation`` of all, and of each layer, lowest
    first."""

    shares: Array
    truncation: Truncation
    by_layer: tuple[Truncation, ...]


def kept_steps(steps: int) -> Integers:
    """1, 2, 4 … and T."""
    return np.array([*(2**i for i in range((steps - 1).bit_length())), steps], dtype=np.int64)


def lags(
    problem: Problem, trace: ForwardTrace, back: BackwardTrace, steps: Integers | None = None
) -> Lags | None:
    """Shares and truncation of ∂L/∂W_hh; of the part of it that the losses of some ``steps``
    (ascending) have, where these are given. None where nothing is recurrent.

    O(n·T·H²) time for n losses, T of them by default. Plain floats, as in BPTT: right to a few
    units of rounding of ‖∂L/∂W_hh‖, and undefined where BPTT is.
    """
    with quietly():
        if steps is None:
            steps = np.flatnonzero(_weights(problem)) + 1
        else:
            some = np.zeros(problem.steps)
            some[steps - 1] = _weights(problem)[steps - 1]
            back = bptt(replace(problem, loss_weights=some), trace)
        places = [
            _Place(problem, layer, share, back)
            for layer, share in zip(problem.layers, trace.layers, strict=True)
        ]
        if not any(place.width for place in places):
            return None
        shares, sums = _walk(problem, trace, back.dLt_dht, steps, places)
        kept = kept_steps(problem.steps)
        each = [_truncation(kept, vectors) for vectors in sums]
        whole = each[0] if len(each) == 1 else _truncation(kept, np.concatenate(sums, axis=1))
        return Lags(shares, whole, tuple(each))


def _weights(problem: Problem) -> Array:
    weights = problem.loss_weights
    return np.zeros(problem.steps) if weights is None else weights


class _Group(NamedTuple):
    """Recurrent matrices beside one value: where their targets stand, and that value, (T, n)."""

    matrices: tuple[Matrix, ...]
    columns: tuple[slice, ...]
    source: Array


class _Vector(NamedTuple):
    """A recurrent vector or number: ∂⁺target/∂parameter, (T, n), and where the target stands."""

    parameter: str
    columns: slice
    factor: Array


class _Place:
    """The recurrent parameters of one layer, and the rows at what they are added to: the targets
    side by side, ``width`` columns."""

    def __init__(
        self, problem: Problem, layer: Layer, share: LayerTrace, back: BackwardTrace
    ) -> None:
        cell, self.layer = problem.cell, layer
        self.names = [name for name in cell.scaled if name in layer.own]
        whole = {name: back.weights[name + layer.suffix] for name in cell.parameters}
        self.G: Mapping[str, Array] = cell.split(whole)
        self.targets: dict[str, slice] = {}
        self.width = 0
        self.groups, self.vectors = list[_Group](), list[_Vector]()
        for group in cell.groups:
            mine = tuple(m for m in group.matrices if m.parameter in self.names)
            if mine:
                columns = tuple(self._columns(cell.step.sizes[m.target], m.target) for m in mine)
                source = source_values(problem, layer, share, group.source)
                self.groups.append(_Group(mine, columns, source))
        uses = [use for use in cell.step.uses if use.parameter in self.names]
        if uses:
            tape = tape_of([use.factor for use in uses], cell.given, cell.defined)
            sizes = [layer.sizes[cell.step.sizes[use.target]] for use in uses]
            values = evaluated(problem, layer, share, tape, sizes)
            for use, value in zip(uses, values, strict=True):
                column = self._columns(cell.step.sizes[use.target], use.target)
                self.vectors.append(_Vector(use.parameter, column, value))

    def _columns(self, letter: str, target: str) -> slice:
        if target not in self.targets:
            self.targets[target] = slice(self.width, self.width + self.layer.sizes[letter])
            self.width = self.targets[target].stop
        return self.targets[target]

    def rows(self, at: Rows) -> list[Array]:
        """The rows at the targets."""
        return [at[target] for target in self.targets]

    def along(self, steps: int) -> Array:
        """P with ⟨∂⁺/∂W of a row r at step k, G⟩ = r · P[k − 1], (T, width)."""
        along = np.zeros((steps, self.width))
        for matrices, every, source in self.groups:
            for matrix, columns in zip(matrices, every, strict=True):
                G = self.G[matrix.parameter]
                along[:, columns] += matrix.sign * (source @ (G if matrix.transposed else G.T))
        for name, columns, factor in self.vectors:
            along[:, columns] += factor * self.G[name]
        return along

    def size(self) -> int:
        """How many numbers the parameters have."""
        return sum(int(np.size(self.layer.own[name])) for name in self.names)

    def gradient(self, rows: Array, span: slice) -> Array:
        """Σ_k ∂⁺/∂W of rows at the targets of some steps k, as one long vector."""
        found = {name: np.zeros(np.shape(self.layer.own[name])) for name in self.names}
        for matrices, every, source in self.groups:
            for matrix, columns in zip(matrices, every, strict=True):
                left, right = rows[:, columns], source[span]
                if matrix.transposed:
                    left, right = right, left
                found[matrix.parameter] += matrix.sign * (left.T @ right)
        for name, columns, factor in self.vectors:
            total = (rows[:, columns] * factor[span]).sum(axis=0)
            found[name] += total if found[name].ndim else total.sum()
        return np.concatenate([found[name].ravel() for name in self.names] or [np.zeros(0)])


def _walk(
    problem: Problem, trace: ForwardTrace, direct: Array, steps: Integers, places: Sequence[_Place]
) -> tuple[Array, list[Array]]:
    """The shares, and for each layer the sums of G_d over the lags between two truncations, (n, ·).

    ``direct`` is ∂L_t/∂h_t, (T, H).
    """
    net = linear_net(problem, trace, FLOATS)
    first = np.array([0, *kept_steps(problem.steps)[:-1]])
    sums = _Sums(places, len(first), problem.steps)
    along = np.concatenate([place.along(problem.steps) for place in places], axis=1)
    whole = [place.G[name] for place in places for name in place.names]
    largest = max(float(np.abs(G).max(initial=0.0)) for G in whole)
    shares = np.zeros(problem.steps)
    top = problem.layers[-1]
    rows = np.zeros((len(steps), net.size))
    rows[:, top.state[0]] = direct[steps - 1, top.units]
    alive = len(steps)
    last = int(steps[-1]) if alive else 0
    for k in heard(range(last, 0, -1), last, "truncation"):
        low = int(np.searchsorted(steps, k))
        while alive > low and not rows[alive - 1].any():
            alive -= 1
        if low == alive:
            continue
        pulled = net.pull(rows[low:alive], k)
        every = [row for place, at in zip(places, pulled.at, strict=True) for row in place.rows(at)]
        at = every[0] if len(every) == 1 else np.concatenate(every, axis=1)
        lag = steps[low:alive] - k
        shares[lag] += at @ (along[k - 1] / largest)
        sums.add(k, at, np.searchsorted(lag, first))
        rows[low:alive] = np.where(np.abs(pulled.rows) < NOTHING, 0.0, pulled.rows)
    squares = sum(float(np.sum((G / largest) ** 2)) for G in whole)
    return shares / largest / squares, sums.result()


class _Sums:
    """Rows at the targets, added up between two truncations, step by step; then times what the
    parameters multiply, a block of steps at once."""

    def __init__(self, places: Sequence[_Place], count: int, steps: int) -> None:
        self.places, width = places, sum(place.width for place in places)
        self.block = max(1, min(steps, TOGETHER // max(1, count * width)))
        self.held = np.zeros((count, self.block, width))
        self.done = [np.zeros((count, place.size())) for place in places]
        self.start: int | None = None

    def add(self, k: int, at: Array, bounds: Integers) -> None:
        """The rows of step k, by ascending lag; ``bounds`` is where each sum begins."""
        start = (k - 1) // self.block * self.block
        if start != self.start:
            self._flush()
            self.start = start
        ends = np.append(bounds[1:], len(at))
        some = np.flatnonzero(bounds < ends)
        self.held[some, k - 1 - start] = np.add.reduceat(at, bounds[some], axis=0)

    def _flush(self) -> None:
        if self.start is None:
            return
        for i in range(len(self.held)):
            used = np.flatnonzero(self.held[i].any(axis=1))
            if not used.size:
                continue
            part, column = slice(int(used[0]), int(used[-1]) + 1), 0
            span = slice(self.start + part.start, self.start + part.stop)
            for place, done in zip(self.places, self.done, strict=True):
                rows = self.held[i, part, column : column + place.width]
                done[i] += place.gradient(rows, span)
                column += place.width
        self.held[:] = 0.0

    def result(self) -> list[Array]:
        """For each layer (count, ·)."""
        self._flush()
        return self.done


def _truncation(kept: Integers, sums: Array) -> Truncation:
    """From the sums of G_d over the lags that each of ``kept`` has beyond the one before."""
    nothing = np.full(len(kept), np.nan)
    largest = float(np.abs(sums.sum(axis=0)).max(initial=0.0))
    if not 0 < largest < np.inf:
        return Truncation(kept, nothing, nothing)
    sums = sums / largest
    whole, so_far = sums.sum(axis=0), np.cumsum(sums, axis=0)
    beyond = np.zeros_like(sums)
    beyond[:-1] = np.cumsum(sums[:0:-1], axis=0)[::-1]
    size, lengths = np.linalg.norm(whole), np.linalg.norm(so_far, axis=1)
    cosine = (so_far @ whole) / (lengths * size)
    return Truncation(kept, np.linalg.norm(beyond, axis=1) / size, np.clip(cosine, -1.0, 1.0))
