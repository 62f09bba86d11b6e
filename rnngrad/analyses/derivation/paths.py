"""Which loss reaches which step, and how much of ∂L/∂W comes by that path.

    ∂L/∂W = Σ_t Σ_{k≤t} S(t, k),   S(t, k) = ∂L_t/∂h_t · ∂h_t/∂h_{t−1} ⋯ ∂h_{k+1}/∂h_k · ∂⁺h_k/∂W

For W_hh a summand is the outer product of ∂L_t/∂a_k and h_{k−1}, for W_xh of ∂L_t/∂a_k and x_k. In
gated nets a is the pre-activation of each gate (gru's W_hn stands behind r, so its own), in stacks
each layer has its own sums. In other cells every matrix of the equations has one; where it stands
in several places, as in W h − Wᵀ h, a summand is the sum over these.
Source: Pascanu, Mikolov, Bengio, *On the difficulty of training recurrent neural networks*, ICML
(2013), equations 3–5.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from rnngrad.algebra.equations import X
from rnngrad.analyses.derivation.chain_rules import first_use
from rnngrad.analyses.derivation.quantities import Passes
from rnngrad.arithmetic.arrays import Array, quietly
from rnngrad.arithmetic.number_types import SCALED
from rnngrad.arithmetic.scaled import LOG10_2, Scaled, log10_lengths, scaled
from rnngrad.chains.jacobians import PulledBack, pulled_back
from rnngrad.net.backward_layers import source_values
from rnngrad.net.linearised import Rows
from rnngrad.net.problem import Layer, Problem

SHOWN = 12
"""How many summands of each sum are kept, the largest first."""

A_STEP = 200
"""Rows that take as long as what the sums have to do at each step (``progress.growing``)."""


class Summand(NamedTuple):
    """S(t, k). ``value`` is its single number where W is 1×1, else None.

    ``log10_norm`` is log10 of its Frobenius norm. ``share`` is ⟨S, ∂L/∂W⟩ / ⟨∂L/∂W, ∂L/∂W⟩: the
    shares of all summands add up to 1, and a negative one works against the total; nan where the
    total is 0 or not finite.
    """

    t: int
    k: int
    log10_norm: float
    share: float
    value: float | None


class PathSum(NamedTuple):
    """∂L/∂W as its summands: the largest ones, how many there are, and what the rest add."""

    weight: str
    summands: tuple[Summand, ...]
    total: int
    left_out: int
    left_out_share: float


class LargestPath(NamedTuple):
    """The summand S(t, k) of the sum of one matrix."""

    weight: str
    t: int
    k: int
    log10_norm: float
    share: float


def largest_path(sums: Iterable[PathSum]) -> LargestPath | None:
    """The summand with the largest norm of all the sums; None where all are 0 or not finite."""
    every = [LargestPath(one.weight, *summand[:4]) for one in sums for summand in one.summands]
    finite = [path for path in every if np.isfinite(path.log10_norm)]
    return max(finite, key=lambda path: path.log10_norm, default=None)


def path_sums(passes: Passes) -> tuple[PathSum, ...]:
    """The path sums of ∂L/∂W_hh and ∂L/∂W_xh, or of every matrix of other cells; time grows with
    T²H²."""
    if passes.problem.loss is None:
        return ()
    sums = list(_collectors(passes))
    with quietly():
        for reached in pulled_back(passes.problem, passes.forward, passes.direct, A_STEP):
            if reached.k >= 1 and len(reached.steps):
                for collector in sums:
                    collector.add(reached)
    return tuple(collector.result() for collector in sums)


def has_paths(problem: Problem) -> list[str]:
    """The matrices that have a sum, layer by layer."""
    return [name + layer.suffix for layer in problem.layers for name in _matrices(problem)]


def _matrices(problem: Problem) -> list[str]:
    return [name for name, shape in problem.cell.weights.items() if len(shape) == 2]


def _collectors(passes: Passes) -> Iterator[_Collector]:
    """Those of every matrix, layer by layer, what multiplies x_t last."""
    problem = passes.problem
    for at, layer in enumerate(problem.layers):
        found = [_Collector(passes, name, layer, at) for name in _matrices(problem)]
        yield from sorted(found, key=lambda one: one.of_x)


class _Use(NamedTuple):
    """Where W stands: ∂L/∂ of the ``targets`` has its rows side by side, ``beside`` is what W is
    multiplied by, row t − 1; of Wᵀ the other way round."""

    targets: tuple[str, ...]
    beside: Array
    sign: float = 1.0
    transposed: bool = False


class _Collector:
    """The largest summands of one sum, and the total share of all of them."""

    def __init__(self, passes: Passes, weight: str, layer: Layer, at: int) -> None:
        self.weight, self.layer = weight + layer.suffix, at
        self.uses, sources = _uses(passes, weight, layer, at)
        self.of_x = sources == {X}
        self.first = first_use(passes.problem, self.weight)
        self.total = passes.backward.weights[self.weight]
        self.kept: list[Summand] = []
        self.count = 0
        self.share = 0.0

    def add(self, reached: PulledBack) -> None:
        """Take in all the summands of step k."""
        if reached.k < self.first or reached.at is None:
            return
        at = reached.at[self.layer]
        shares, log10_norms, values = self._of_use(at, reached.k)
        self.count += len(shares)
        self.share += float(np.sum(shares))
        largest = np.argsort(-np.nan_to_num(log10_norms, nan=np.inf))[:SHOWN]
        self.kept += [
            Summand(
                int(reached.steps[i]),
                reached.k,
                float(log10_norms[i]),
                float(shares[i]),
                float(values[i]) if self.total.size == 1 else None,
            )
            for i in largest
        ]
        self.kept = sorted(self.kept, key=_by_size)[:SHOWN]

    def _of_use(self, at: Rows, k: int) -> tuple[Array, Array, Array]:
        """Share, log10 of the norm, and first entry of every summand of step k."""
        every = [(SCALED.join([at[target] for target in use.targets]), use.beside[k - 1], use)
                 for use in self.uses]  # fmt: skip
        if len(every) > 1:
            return self._together(every)
        ((at_a, beside, use),) = every
        rows, total = at_a.floats() * use.sign, self.total.T if use.transposed else self.total
        log10_norms = log10_lengths(at_a) + log10_lengths(scaled(beside[np.newaxis]))[0]
        return rows @ _direction(total, beside), log10_norms, rows[:, 0] * beside[0]

    def _together(self, every: list[tuple[Scaled, Array, _Use]]) -> tuple[Array, Array, Array]:
        """The same where W stands in several places: a summand is then a sum of outer products."""
        tops = np.max([at_a.exponent.max(axis=1) for at_a, _, _ in every], axis=0)
        total = np.zeros((len(tops), *self.total.shape))
        for at_a, beside, use in every:
            rows = Scaled(at_a.mantissa, at_a.exponent - tops[:, np.newaxis]).floats()
            outer = use.sign * rows[:, :, np.newaxis] * beside
            total += np.swapaxes(outer, 1, 2) if use.transposed else outer
        flat = total.reshape(len(tops), -1)
        log10_norms = log10_lengths(scaled(flat)) + tops * LOG10_2
        size = np.abs(self.total).max()
        unit = self.total.ravel() / size
        values = np.ldexp(flat, np.clip(tops, -2000, 2000).astype(np.intc)[:, np.newaxis])
        return values @ unit / (size * np.sum(unit**2)), log10_norms, values[:, 0]

    def result(self) -> PathSum:
        """In the order of the sheet's sums: by loss, then back through the steps."""
        in_order = tuple(sorted(self.kept, key=lambda summand: (summand.t, -summand.k)))
        rest = self.share - sum(summand.share for summand in in_order)
        return PathSum(self.weight, in_order, self.count, self.count - len(in_order), rest)


def _uses(passes: Passes, weight: str, layer: Layer, at: int) -> tuple[list[_Use], set[str]]:
    """Where a matrix stands, and what it multiplies there; that of several blocks of rows once."""
    problem, share = passes.problem, passes.forward.layers[at]
    cell = problem.cell

    def beside(source: str) -> Array:
        return source_values(problem, layer, share, source)

    if weight in cell.blocks:
        ((source, targets),) = {
            (group.source, group.targets)
            for group in cell.groups
            if tuple(m.parameter for m in group.matrices) == cell.blocks[weight]
        }
        return [_Use(targets, beside(source))], {source}
    found = [matrix for matrix in cell.step.matrices if matrix.parameter == weight]
    uses = [_Use((m.target,), beside(m.source), m.sign, m.transposed) for m in found]
    return uses, {m.source for m in found}


def _by_size(summand: Summand) -> tuple[bool, float, int, int]:
    size = summand.log10_norm
    return not np.isnan(size), -size, -summand.t, -summand.k


def _direction(total: Array, beside: Array) -> Array:
    """The vector d with row · d = ⟨row ⊗ beside, total⟩ / ⟨total, total⟩, (H,); scaled first, so
    that a total of 1e-200 squares to no 0."""
    size = float(np.abs(total).max())
    unit = total / size
    direction: Array = (unit @ beside) / (size * np.sum(unit**2))
    return direction
