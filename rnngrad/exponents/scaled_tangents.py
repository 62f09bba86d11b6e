"""The Lyapunov spectrum of nets whose units die and come back: every entry at its own exponent.

Tangents go through a step factor by factor (``exponents.step_factors``) and are made an echelon
behind each (``exponents.elimination``). What is subtracted there may cancel: all that reaches two
units may come through a third, and then what tells them apart is lost in rounding. It does no harm
unless it comes to count later. Whether it did is asked of the numbers: all is done again with every
entry moved by ``NUDGE`` on its way, and after every subtraction. An exponent that rounding has
decided moves by far more than that; it is nan.

Error: about ``CLOSE``/100 where not nan. Source: Higham, *Accuracy and Stability of Numerical
Algorithms* (2002), section 26.4, on what perturbed runs can and cannot prove.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from rnngrad.arithmetic.arrays import Array, Integers
from rnngrad.arithmetic.scaled import LN_2, Scaled, normal, scaled
from rnngrad.exponents.elimination import echelon, pseudo_random, volumes
from rnngrad.exponents.rank import by_structure
from rnngrad.exponents.step_factors import StepFactors, missing_ranks, sizes_of
from rnngrad.net.linearised import LinearNet
from rnngrad.progress import reported

NUDGE = 2.0**-44
"""How much an entry is moved in the second run, at most: 512 units of rounding, so that two hardly
ever move alike."""

CLOSE, CLOSE_IN_ALL = 1e-5, 1e-2
"""What an exponent may differ by between the runs, a step and over all of them.
What rounding decides differs by about 1 in all."""

ROUNDING = 1e-12
"""What they may differ by relative to the sum of the logarithms."""

NOISE = 2.0**-47
"""Times Σ_k |J_ik v_k| it is what rounding may leave of an exact 0 in J v: 64 units of it, and in
the second run eight times what entries are moved by."""


def spectrum_at_any_exponent(
    net: LinearNet, ends: Sequence[int], may_die: bool, columns: Integers | None = None
) -> Array:
    """ln |R[i, i]| of J_t ⋯ J_1 Q_0 = Q R for each t of ``ends``, (n, k), for these columns of
    Q_0 = 1; (n, S) for all.

    −inf for a direction that has died, nan where rounding decides. ``may_die``: slopes or
    determinants are exactly 0 somewhere, so that what rounding leaves of a 0 counts as 0, for as
    many directions as must die at that step; what was lost besides was lost by rounding.
    To be run within ``quietly()``.
    """
    columns = np.arange(net.size) if columns is None else columns
    found = _Run(net, may_die, 0.0, columns).to(ends)
    again = _Run(net, may_die, NUDGE, columns).to(ends)
    steps = np.asarray(ends)[:, np.newaxis]
    sure = _sure(found, again, steps, may_die)
    return np.where(sure, found, np.nan)


def _sure(found: Array, again: Array, steps: Integers, may_die: bool) -> npt.NDArray[np.bool_]:
    """Which of two runs' ln |R[i, i]| agree, (n, S).

    It is the volumes ΠR[j, j], j ≤ i, that must: beside a direction that is wrong the next one may
    agree and be wrong as well.
    """
    apart = found - again
    if may_die:
        apart[np.isneginf(found) & np.isneginf(again)] = 0.0
    moved = np.abs(np.cumsum(apart, axis=1))
    sizes = np.cumsum(np.abs(np.where(np.isfinite(found), found, 0.0)), axis=1)
    allowed = np.maximum(np.minimum(CLOSE * steps, CLOSE_IN_ALL), ROUNDING * sizes)
    agree = np.pad(moved <= allowed, ((0, 0), (1, 0)), constant_values=True)
    sure: npt.NDArray[np.bool_] = agree[:, 1:] & agree[:, :-1]
    return sure


def excluded(net: LinearNet, steps: int, logs: Array) -> bool:
    """Whether none of the ln |R[i, i]| that are nan can be the largest: R[i, i] is at most the
    distance of column i of the product from another before it."""
    product = scaled(np.eye(len(logs)))
    for t in range(1, steps + 1):
        product = net.push(product, t)
    columns, exponents = product.aligned(axis=1)
    lengths = np.linalg.norm(columns, axis=1)
    units, ln_lengths = columns / lengths[:, np.newaxis], np.log(lengths) + exponents * LN_2
    known = np.where(np.isnan(logs), -np.inf, logs)
    m = int(np.argmax(known))
    along = units @ units[m]
    apart = np.linalg.norm(units - along[:, np.newaxis] * units[m], axis=1) + ROUNDING
    limits = np.where(np.arange(len(logs)) > m, ln_lengths + np.log(apart), ln_lengths)
    return bool((limits < known[m])[np.isnan(logs)].all())


class _Run:
    """The echelon, where it is, and ln of the pivots so far."""

    def __init__(self, net: LinearNet, may_die: bool, nudge: float, columns: Integers) -> None:
        self.stages = StepFactors(net).each()
        self.size_stages = (
            StepFactors(sizes_of(net)).each() if may_die else [None] * len(self.stages)
        )
        self.nudge, self.calls = nudge, 0
        self.ranks = [net.size - missing_ranks(net)]
        if may_die:
            self.ranks += [min(len(alive), *self.ranks) for alive in by_structure(net)]
        self.rows, self.alive = scaled(np.eye(net.size)[columns]), np.arange(len(columns))
        self.logs = np.zeros(len(columns))

    def to(self, ends: Sequence[int]) -> Array:
        """See ``spectrum_at_any_exponent``."""
        found, done = [], 0
        for end in reported(ends, len(ends), "Lyapunov exponents, entry by entry"):
            for t in range(done, end):
                self._step(t + 1)
            found.append(self._logs())
            done = end
        return np.array(found)

    def _step(self, t: int) -> None:
        for stage, sizes in zip(self.stages, self.size_stages, strict=True):
            if not self.alive.size:
                return
            before = self._nudged(self.rows)
            noise = None
            if sizes is not None:
                noise = sizes(abs(before), t)
                noise = normal(max(NOISE, 8 * self.nudge) * noise.mantissa, noise.exponent)
            rows = self._nudged(stage(before, t))
            after = echelon(rows, noise, self._factors(len(rows), 2 * rows.shape[1]))
            died = np.delete(self.alive, after.alive)
            certain = len(died) <= len(rows) - self._rank_at_most(rows, t)
            self.logs[died] = -np.inf if certain else np.nan
            self.alive = self.alive[after.alive]
            self.rows = after.rows
            self.logs[self.alive] += after.logs

    def _rank_at_most(self, rows: Scaled, t: int) -> int:
        """As far as it shows: entries of s that are 0 in all rows, matrices that are singular, and
        how the cell is made."""
        rank = self.ranks[min(t, len(self.ranks) - 1)]
        return min(int((rows.mantissa != 0).any(axis=0).sum()), rank)

    def _nudged(self, rows: Scaled) -> Scaled:
        """Every entry times 1 ± up to ``nudge``, another one at every call."""
        factors = self._factors(*rows.shape)
        return rows if factors is None else normal(rows.mantissa * factors, rows.exponent)

    def _factors(self, k: int, size: int) -> Array | None:
        """1 ± up to ``nudge``; None in the first run."""
        if not self.nudge:
            return None
        self.calls += 1
        by = pseudo_random(k * size, self.calls).reshape(k, size)
        return np.asarray(1.0 + self.nudge * by)

    def _logs(self) -> Array:
        """ln |R[i, i]| of all steps so far."""
        logs = self.logs.copy()
        if self.alive.size:
            logs[self.alive] += volumes(self.rows.floats())
        return logs
