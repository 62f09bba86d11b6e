"""How much of a disagreement is the net's own doing.

The condition of a row is its relative change per relative change of the data. No algorithm in
float64 can promise more than a few units of rounding times that: two paths that nearly cancel, a
residual target − y of near equals, a chaotic net. Measured by moving every number of the problem by
±2⁻³⁰ of itself, three times; in a gated cell by rounding every state anew as well: h_{t−1} − n_t of
a saturated gru has no digit that moving the data would move. Source: Higham, *Accuracy and
Stability of Numerical Algorithms* (2002), section 1.6.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import numpy as np

from rnngrad.analyses.checking.comparing.rounding import EPS, with_arrays_changed
from rnngrad.analyses.checking.comparing.rounding_noise import Conditioning
from rnngrad.analyses.checking.references.equations import rough
from rnngrad.analyses.checking.references.random_signs import signs
from rnngrad.analyses.checking.references.step_derivatives import errors
from rnngrad.analyses.derivation.quantities import Passes
from rnngrad.arithmetic.arrays import Array, quietly
from rnngrad.net.problem import Problem
from rnngrad.net.traces import ForwardTrace

DELTA, FINER = 2.0**-30, 2.0**-42
DRAWS = 3
SLACK = 64.0
ANOTHER = 0.5
"""A row that 2⁻³⁰ of the data changes by this share of itself is beyond what is linear: 2⁻⁴² is
tried then, and a row that even that changes so is told by nobody's arithmetic."""

MOST_KEPT = 2**17
"""Numbers of the states of a sequence whose perturbed passes are kept."""


def inputs_perturbed(problem: Problem, draw: int, delta: float = DELTA) -> Passes:
    """Every weight, input, target and initial state times 1 ± delta."""
    streams = count(100 * draw)

    def moved(values: Array) -> Array:
        return np.asarray(values * (1.0 + delta * signs(values.shape, next(streams))))

    return Passes(with_arrays_changed(problem, moved))


class Sensitivity:
    """The passes of one problem, perturbed a few times each way. Each is computed once, and kept
    where these are few numbers: a wrong pass makes many quantities wrong."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self._kept: Perturbed | None = None

    def noise(self, rows: Callable[[Passes], Array], size: float | None = None) -> Array:
        """By how much each of ``rows(passes)``, (R, n) -> (R,), may change per relative rounding of
        size 1: SLACK times its condition, times itself. Without limit where the row is another one
        altogether: then nothing is known of it. ``size`` is that of every row, its own largest
        entry by default."""
        with quietly():
            perturbed = self._perturbed()
            base = rows(perturbed.passes)
            sizes = np.max(np.abs(base), axis=1, initial=0.0) if size is None else size
            found = np.full(len(base), np.inf)
            for delta in (DELTA, FINER):
                change = _largest_change([rows(one) for one in perturbed.moved(delta)], base)
                linear = np.isinf(found) & (change <= ANOTHER * sizes)
                found = np.where(linear, SLACK / delta * change, found)
                if np.isfinite(found).all():
                    break
            return np.asarray(np.maximum(found, _of_states(perturbed, rows)))

    def _perturbed(self) -> Perturbed:
        if self.problem.steps * self.problem.state_size > MOST_KEPT:
            return Perturbed(self.problem)
        if self._kept is None:
            self._kept = Perturbed(self.problem)
        return self._kept


class Perturbed(Conditioning):
    """The problem rounded anew, and with every number moved."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(Passes(problem))
        self._moved: dict[float, list[Passes]] = {}

    def moved(self, delta: float) -> list[Passes]:
        if delta not in self._moved:
            draws = range(1, DRAWS + 1)
            self._moved[delta] = [inputs_perturbed(self.passes.problem, d, delta) for d in draws]
        return self._moved[delta]


def _of_states(perturbed: Perturbed, rows: Callable[[Passes], Array]) -> Array:
    """The same from all rounded anew, where the cell is not rnn, (R,)."""
    if perturbed.passes.problem.cell.activation is None:
        return np.zeros(())
    redone = [rows(one) for one in perturbed.redone]
    return SLACK / EPS * _largest_change(redone, rows(perturbed.by_link))


def _largest_change(redone: list[Array], base: Array) -> Array:
    """Of each row over all draws, (R,); what is no number counts for nothing."""
    largest = np.max([_change(moved, base) for moved in redone], axis=0)
    return np.asarray(np.nan_to_num(largest, nan=0.0, posinf=np.inf))


def _change(moved: Array, base: Array) -> Array:
    same = (moved == base) | (np.isnan(moved) & np.isnan(base))
    change: Array = np.max(np.where(same, 0.0, np.abs(moved - base)), axis=1, initial=0.0)
    return change


def rounding_of_a_y(problem: Problem, trace: ForwardTrace) -> Array:
    """The same for W_hy h_t + b_y, (T, O); 0 without a read-out, where nothing is computed."""
    if not problem.has_readout:
        return np.zeros_like(trace.y)
    W, top = problem.weights, problem.layers[-1]
    with quietly():
        terms = np.abs(trace.h[1:, top.units]) @ np.abs(W["W_hy"]).T + np.abs(W["b_y"])
    return np.asarray((top.hidden + 2) * terms)


def noise_of_states(problem: Problem, trace: ForwardTrace) -> Array:
    """By how much each s_t may change, s_{t−1} being as it is, per rounding of size 1, (T+1,)."""
    found = np.zeros(problem.steps + 1)
    with quietly():
        for layer, share in zip(problem.layers, trace.layers, strict=True):
            known = errors(problem, layer, share)
            for part in problem.cell.parts:
                error = np.broadcast_to(rough(known[part]).error, share.states[part][1:].shape)
                found[1:] = np.maximum(found[1:], np.max(error, axis=1))
    return found
