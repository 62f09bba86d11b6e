"""Which loss reaches which step, and how much of ∂L/∂W comes by that path.

    ∂L/∂W = Σ_t Σ_{k≤t} S(t, k),   S(t, k) = ∂L_t/∂h_t · ∂h_t/∂h_{t−1} ⋯ ∂h_{k+1}/∂h_k · ∂⁺h_k/∂W

For W_hh a summand is the outer product of ∂L_t/∂a_k and h_{k−1}, for W_xh of ∂L_t/∂a_k and x_k. In
gated nets a is the pre-activation of each gate (gru's W_hn stands behind r, so its own), in stacks
each layer has its two sums.
Source: Pascanu, Mikolov, Bengio, *On the difficulty of training recurrent neural networks*, ICML
(2013), equations 3–5.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from rnngrad.analyses.derivation import first_use
from rnngrad.analyses.quantities import Passes
from rnngrad.arithmetic.arrays import Array, quietly
from rnngrad.core.arithmetic import SCALED
from rnngrad.core.jacobians import PulledBack, pulled_back
from rnngrad.arithmetic.scaled import log10_lengths, scaled

SHOWN = 12
"""How many summands of each sum are kept, the largest first."""


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


def path_sums(passes: Passes) -> tuple[PathSum, ...]:
    """The path sums of ∂L/∂W_hh and ∂L/∂W_xh; time grows with T²H²."""
    if passes.problem.loss is None:
        return ()
    sums = list(_collectors(passes))
    with quietly():
        for reached in pulled_back(passes.problem, passes.forward, passes.direct):
            if reached.k >= 1 and len(reached.steps):
                for collector in sums:
                    collector.add(reached)
    return tuple(collector.result() for collector in sums)


def _collectors(passes: Passes) -> Iterator[_Collector]:
    """Those of W_hh and W_xh, layer by layer."""
    problem = passes.problem
    for at, (layer, share) in enumerate(
        zip(problem.layers, passes.forward.layers, strict=True)
    ):
        yield _Collector(passes, f"W_hh{layer.suffix}", at, share.h[:-1])
        yield _Collector(passes, f"W_xh{layer.suffix}", at, share.x)


class _Collector:
    """The largest summands of one sum, and the total share of all of them. ``beside`` is what W
    is multiplied by at each step: h_{t−1} or x_t, row t − 1."""

    def __init__(self, passes: Passes, weight: str, layer: int, beside: Array) -> None:
        self.weight, self.layer, self.beside = weight, layer, beside
        cell, source = passes.problem.cell, "h⁻" if weight.startswith("W_hh") else "x"
        self.targets = cell.groups[cell.by_source[source]].targets
        self.first = first_use(passes.problem, weight)
        self.total = passes.backward.weights[weight]
        self.kept: list[Summand] = []
        self.count = 0
        self.share = 0.0

    def add(self, reached: PulledBack) -> None:
        """Take in all the summands of step k."""
        if reached.k < self.first or reached.at is None:
            return
        at = reached.at[self.layer]
        at_a = SCALED.join([at[target] for target in self.targets])
        beside = self.beside[reached.k - 1]
        log10_norms = log10_lengths(at_a) + log10_lengths(scaled(beside[np.newaxis]))[0]
        rows = at_a.floats()
        shares = rows @ _direction(self.total, beside)
        self.count += len(shares)
        self.share += float(np.sum(shares))
        largest = np.argsort(-np.nan_to_num(log10_norms, nan=np.inf))[:SHOWN]
        self.kept += [
            Summand(
                int(reached.steps[i]),
                reached.k,
                float(log10_norms[i]),
                float(shares[i]),
                float(rows[i, 0] * beside[0]) if self.total.size == 1 else None,
            )
            for i in largest
        ]
        self.kept = sorted(self.kept, key=_by_size)[:SHOWN]

    def result(self) -> PathSum:
        """In the order of the sheet's sums: by loss, then back through the steps."""
        in_order = tuple(sorted(self.kept, key=lambda summand: (summand.t, -summand.k)))
        rest = self.share - sum(summand.share for summand in in_order)
        return PathSum(self.weight, in_order, self.count, self.count - len(in_order), rest)


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
