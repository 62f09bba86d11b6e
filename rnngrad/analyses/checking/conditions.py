"""How much of a disagreement is the net's own doing.

The condition of a row is its relative change per relative change of the data. No algorithm in
float64 can promise more than a few units of rounding times that: two paths that nearly cancel, a
residual target − y of near equals, a chaotic net. Measured by moving every number of the problem by
±2⁻³⁰ of itself, three times. Source: Higham, *Accuracy and Stability of Numerical Algorithms*
(2002), section 1.6.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from rnngrad.analyses.checking.directions import signs
from rnngrad.core.arrays import Array, frozen, quietly
from rnngrad.core.problem import Problem
from rnngrad.core.traces import ForwardTrace

DELTA = 2.0**-30
DRAWS = 3
SLACK = 64.0


def shaken(problem: Problem, draw: int) -> Problem:
    """Every weight, input, target and initial state times 1 ± DELTA."""
    streams = iter(range(100 * draw, 100 * draw + 99))

    def moved(values: Array) -> Array:
        return frozen(values * (1.0 + DELTA * signs(values.shape, next(streams))))

    weights = {name: moved(values) for name, values in problem.weights.items()}
    targets = None if problem.targets is None else moved(problem.targets)
    return replace(
        problem, weights=MappingProxyType(weights), x=moved(problem.x), h_0=moved(problem.h_0),
        targets=targets,
    )  # fmt: skip


def noise(problem: Problem, rows: Callable[[Problem], Array]) -> Callable[[], Array]:
    """By how much each of ``rows(problem)``, (R, n) -> (R,), may change per relative rounding of
    size 1: SLACK times its condition, times itself; measured when called."""

    def measured() -> Array:
        with quietly():
            base = rows(problem)
            changes = [_change(rows(shaken(problem, draw)), base) for draw in range(1, DRAWS + 1)]
        largest: Array = np.nan_to_num(np.max(changes, axis=0), nan=0.0, posinf=np.inf)
        return SLACK / DELTA * largest

    return measured


def _change(moved: Array, base: Array) -> Array:
    same = (moved == base) | (np.isnan(moved) & np.isnan(base))
    change: Array = np.max(np.where(same, 0.0, np.abs(moved - base)), axis=1, initial=0.0)
    return change


def rounding_of_a(problem: Problem, trace: ForwardTrace) -> Array:
    """By how much rounding may move each a_t, in units of rounding, (T, H): (n + 2)·Σ|terms|."""
    W = problem.weights
    with quietly():
        terms = np.abs(trace.h[:-1]) @ np.abs(W["W_hh"]).T
        terms += np.abs(problem.x) @ np.abs(W["W_xh"]).T + np.abs(W["b_h"])
    return np.asarray((problem.hidden + problem.inputs + 2) * terms)


def rounding_of_a_y(problem: Problem, trace: ForwardTrace) -> Array:
    """The same for W_hy h_t + b_y, (T, O); 0 without a read-out, where nothing is computed."""
    if not problem.has_readout:
        return np.zeros_like(trace.y)
    W = problem.weights
    with quietly():
        terms = np.abs(trace.h[1:]) @ np.abs(W["W_hy"]).T + np.abs(W["b_y"])
    return np.asarray((problem.hidden + 2) * terms)


def noise_of_states(problem: Problem, trace: ForwardTrace) -> Array:
    """By how much each h_t may change, h_{t−1} being as it is, per rounding of size 1, (T+1,)."""
    moved = np.max(rounding_of_a(problem, trace), axis=1) * problem.activation.steepest
    return np.concatenate([np.zeros(1), moved])
