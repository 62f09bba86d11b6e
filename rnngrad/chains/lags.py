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

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from rnngrad.algebra.step_graph import Matrix
from rnngrad.algebra.tape import tape_of
from rnngrad.arithmetic.arrays import Array, Integers, frobenius, quietly
from rnngrad.arithmetic.number_types import FLOATS
from rnngrad.arithmetic.scaled import Scaled
from rnngrad.chains.jacobians import log10_paths_from
from rnngrad.net.backward import bptt
from rnngrad.net.backward_layers import source_values
from rnngrad.net.jacobian_diagonals import evaluated
from rnngrad.net.linearised import Rows, linear_net
from rnngrad.net.problem import Layer, Problem
from rnngrad.net.traces import BackwardTrace, ForwardTrace, LayerTrace
from rnngrad.progress import growing, reported

TOGETHER = 2**21
"""Numbers of the added rows that are held before they are multiplied (16 MiB)."""

NOTHING = 2.0**-960
"""Entries below are set to 0, before they become subnormal: they cost a hundred times as much."""


class Truncation(NamedTuple):
    """What keeping only some ``steps`` of each loss costs, (n,) each. nan
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


def kept_steps(steps: int, asked: Iterable[int] = ()) -> Integers:
    """Those ``asked`` for, else 1, 2, 4 …, as far as there are so many; and T."""
    some = {*asked} or {2**i for i in range((steps - 1).bit_length())}
    return np.array([*sorted(k for k in some if k < steps), steps], dtype=np.int64)


def lags(
    problem: Problem, trace: ForwardTrace, back: BackwardTrace, steps: Integers | None = None,
    kept: Iterable[int] = (),
) -> Lags | None:  # fmt: skip
    """Shares and truncation of ∂L/∂W_hh; of the part of it that the losses of some ``steps``
    (ascending) have, where these are given. ``kept``: the truncations, as of ``kept_steps``. None
    where nothing is recurrent.

    O(n·T·H²) time for n losses, T of them by default. Plain floats, as in BPTT: right to a few
    units of rounding of ‖∂L/∂W_hh‖, and undefined where BPTT is.
    """
    if not problem.cell.scaled:
        return None
    with quietly():
        found = ByLag(problem, trace, back, steps, kept)
        _walk(problem, trace, found)
        return found.result()


def lags_and_paths(
    problem: Problem, trace: ForwardTrace, back: BackwardTrace, direct: Scaled, steps: Integers,
    kept: Iterable[int] = (),
) -> tuple[Lags | None, Array]:  # fmt: skip
    """The same, and log10 ‖∂L_t/∂s_k‖ of the same losses, (n, T+1), with one walk for both.
    ``direct`` is ∂L_t/∂h_t of the top layer, (T, H) (``chains.path_norms``)."""
    if not problem.cell.scaled:
        return None, log10_paths_from(problem, trace, direct, steps)
    with quietly():
        found = ByLag(problem, trace, back, steps, kept)
        paths = log10_paths_from(problem, trace, direct, steps, found.take)
        if not found.done:  # for the paths plain floats did not do
            return lags(problem, trace, back, steps, kept), paths
        return found.result(), paths


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

    def nothing(self, count: int) -> dict[str, Array]:
        """Zeros for so many gradients."""
        own = self.layer.own
        return {name: np.zeros((count, *np.shape(own[name]))) for name in self.names}

    def add_gradient(self, sums: Mapping[str, Array], i: int, rows: Array, span: slice) -> None:
        """Σ_k ∂⁺/∂W of rows at the targets of some steps k, added to entry i of each sum."""
        for matrices, every, source in self.groups:
            for matrix, columns in zip(matrices, every, strict=True):
                left, right = rows[:, columns], source[span]
                if matrix.transposed:
                    left, right = right, left
                product, total = left.T @ right, sums[matrix.parameter][i]
                (np.add if matrix.sign > 0 else np.subtract)(total, product, out=total)
        for name, columns, factor in self.vectors:
            products = rows[:, columns] * factor[span]
            sums[name][i] += products.sum(axis=0) if sums[name].ndim > 1 else products.sum()


class ByLag:
    """The shares so far, and the sums of the rows at W_hh's targets, while rows go back."""

    def __init__(
        self, problem: Problem, trace: ForwardTrace, back: BackwardTrace, steps: Integers | None,
        kept: Iterable[int],
    ) -> None:  # fmt: skip
        if steps is None:
            steps = np.flatnonzero(_weights(problem)) + 1
        else:
            some = np.zeros(problem.steps)
            some[steps - 1] = _weights(problem)[steps - 1]
            back = bptt(replace(problem, loss_weights=some), trace)
        self.steps, self.direct, self.done = steps, back.dLt_dht, False
        self.places = [
            _Place(problem, layer, share, back)
            for layer, share in zip(problem.layers, trace.layers, strict=True)
        ]
        self.kept = kept_steps(problem.steps, kept)
        self.first = np.array([0, *self.kept[:-1]])
        self.sums = _Sums(self.places, len(self.first), problem.steps)
        whole = [place.G[name] for place in self.places for name in place.names]
        largest = max(float(np.abs(G).max(initial=0.0)) for G in whole)
        along = np.concatenate([place.along(problem.steps) for place in self.places], axis=1)
        self.along = along / largest
        self.scale = largest * sum(float(np.sum((G / largest) ** 2)) for G in whole)
        self.shares = np.zeros(problem.steps)

    def take(
        self, k: int, which: slice, pulled: Sequence[Rows], exponents: Integers | None = None
    ) -> None:
        """What the rows of the losses of ``steps[which]`` are at what step k keeps, layer by layer,
        each row without 2^its ``exponents`` where these are given; k from T down to 1."""
        every = [
            row for place, at in zip(self.places, pulled, strict=True) for row in place.rows(at)
        ]
        at = every[0] if len(every) == 1 else np.concatenate(every, axis=1)
        if exponents is not None:
            half = np.ldexp(1.0, exponents // 2)  # twice a product is faster than ldexp
            at = at * half[:, np.newaxis] * np.ldexp(half, exponents % 2)[:, np.newaxis]
        lag = self.steps[which] - k
        self.shares[lag] += at @ self.along[k - 1]
        self.sums.add(k, at, np.searchsorted(lag, self.first))
        self.done = k == 1

    def result(self) -> Lags:
        """After the last step."""
        sums = self.sums.result()
        found = [_sizes(list(layer.values()), len(self.kept)) for layer in sums]
        each = tuple(_truncation(self.kept, one) for one in found)
        return Lags(self.shares / self.scale, _truncation(self.kept, _together(found)), each)


def _walk(problem: Problem, trace: ForwardTrace, found: ByLag) -> None:
    """The rows ∂L_t/∂s_k of all losses from k = T down to 1."""
    net, steps, top = linear_net(problem, trace, FLOATS), found.steps, problem.layers[-1]
    rows = np.zeros((len(steps), net.size))
    rows[:, top.state[0]] = found.direct[steps - 1, top.units]
    alive = len(steps)
    last = int(steps[-1]) if alive else 0
    work = growing(len(steps) - np.searchsorted(steps, np.arange(last, 0, -1)))
    for k in reported(range(last, 0, -1), last, "truncation", work):
        low = int(np.searchsorted(steps, k))
        while alive > low and not rows[alive - 1].any():
            alive -= 1
        if low < alive:
            which = slice(low, alive)
            pulled = net.pull(rows[which], k)
            found.take(k, which, pulled.at)
            rows[which] = np.where(np.abs(pulled.rows) < NOTHING, 0.0, pulled.rows)


class _Sums:
    """Rows at the targets, added up between two truncations, step by step; then times what the
    parameters multiply, a block of steps at once."""

    def __init__(self, places: Sequence[_Place], count: int, steps: int) -> None:
        self.places, width = places, sum(place.width for place in places)
        self.block = max(1, min(steps, TOGETHER // max(1, count * width)))
        self.held = np.zeros((count, self.block, width))
        self.done = [place.nothing(count) for place in places]
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
                place.add_gradient(done, i, rows, span)
                column += place.width
        self.held[:] = 0.0

    def result(self) -> list[dict[str, Array]]:
        """For each layer (count, …) of every parameter."""
        self._flush()
        return self.done


class _Sizes(NamedTuple):
    """‖G‖, and for each truncation ‖Ĝ‖, ‖Ĝ − G‖ and ⟨Ĝ, G⟩/‖G‖, (n,)."""

    whole: float
    short: Array
    beyond: Array
    along: Array


def _sizes(parameters: Sequence[Array], count: int) -> _Sizes:
    """From the sums of G_d over the lags that each truncation has beyond the one before, (n, …) of
    every parameter. Nothing is squared that has not been scaled: a net that explodes has a Ĝ, one
    that fades an error of 1e-200 of ‖G‖."""
    every = [np.add.reduce(sums) for sums in parameters]
    whole = float(_norm([frobenius(G) for G in every]))
    short, beyond, along = np.zeros((3, count))
    for sums, G in zip(parameters, every, strict=True):
        unit, so_far, left = np.ravel(G) / whole, np.zeros(G.size), np.zeros(G.size)
        for i, more in enumerate(sums):
            so_far += np.ravel(more)
            short[i] = np.hypot(short[i], frobenius(so_far))
            along[i] += so_far @ unit
        for i in range(count - 1, 0, -1):
            left += np.ravel(sums[i])
            beyond[i - 1] = np.hypot(beyond[i - 1], frobenius(left))
    return _Sizes(whole, short, beyond, along)


def _norm(norms: Any) -> Any:
    """That of all together, from those of the parts."""
    return np.hypot.reduce(np.array(norms), axis=0)


def _together(layers: Sequence[_Sizes]) -> _Sizes:
    """Those of all layers as one long vector."""
    if len(layers) == 1:
        return layers[0]
    whole = float(_norm([one.whole for one in layers]))
    along = np.sum([one.along * (one.whole / whole) for one in layers if one.whole], axis=0)
    short, beyond = (_norm([one[i] for one in layers]) for i in (1, 2))
    return _Sizes(whole, short, beyond, along)


def _truncation(kept: Integers, sizes: _Sizes) -> Truncation:
    cosine = np.clip(sizes.along / sizes.short, -1.0, 1.0)
    return Truncation(kept, sizes.beyond / sizes.whole if sizes.whole else cosine, cosine)
