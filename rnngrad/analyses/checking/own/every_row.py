"""Every ∂L_t/∂s_k against the row of the step after it, by random directions.

    ⟨∂L_t/∂s_k, d⟩ = ⟨∂L_t/∂s_{k+1}, (∂s_{k+1}/∂s_k) d⟩  t > k        ∂L_t/∂s_t = ∂L_t/∂h_t

What stands right of a row is one step of the tangent pass, which knows nothing of BPTT, and the
first row of a path is had from the read-out alone by a complex step. So a path is right if every
link of it is. Each part of each layer's state has ``OF_A_ROW`` directions of ±1 of its own,
others at every step: a row with an entry off by more than the tolerance, while the row after it is
right, passes them all once in 2^``OF_A_ROW`` times at most (``perturbations.miss``). Error:
rounding, at most 8 S 2⁻⁵² |∂L_t/∂s_{k+1}| · max_d |(∂s_{k+1}/∂s_k) d|. Nothing is amplified
from one step to the next, since each link begins with the row under test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np

from rnngrad.analyses.checking.comparing.tolerance import EPS, Compared
from rnngrad.analyses.checking.references.perturbations import OF_A_ROW as DIRECTIONS
from rnngrad.analyses.checking.references.perturbed_forward import Setting
from rnngrad.analyses.checking.references.products import times
from rnngrad.analyses.checking.references.random_signs import signs
from rnngrad.analyses.checking.references.tangent import in_parts, step, step_in_floats
from rnngrad.analyses.derivation.quantities import Passes
from rnngrad.arithmetic.arrays import Array, Integers
from rnngrad.arithmetic.number_types import SCALED
from rnngrad.arithmetic.scaled import Scaled, log10_lengths, scaled
from rnngrad.chains.float_rows import FloatRows
from rnngrad.chains.jacobians import PulledBack, pulled_back
from rnngrad.net.given_arrays import Mask

MISS = 0.5**DIRECTIONS
STREAM = 100_000
"""Of directions; that of step k is this and k."""

Unseen = Callable[[int, Integers], Mask]
"""Which paths from L_t back to step k pass what no complex step sees."""


class _Links(NamedTuple):
    """The rows of one step, (n, G) a group: what the direction that is furthest off has and should
    have, how far rounding may move that, and the row's largest entry; all times 2^−exponent."""

    k: int
    steps: Integers
    got: Array
    expected: Array
    error: Array
    size: Array


class EveryRow:
    """Looks at all rows of a walk along the paths while somebody else walks. ``lengths``: log10
    ‖∂L_t/∂s_k‖ of these rows, as ``log10_paths`` has them."""

    def __init__(self, setting: Setting, unseen: Unseen, rtol: float) -> None:
        self.setting, self.unseen, self.rtol = setting, unseen, rtol
        self.groups = [part for layer in setting.problem.layers for part in layer.state]
        self.rounding = 8.0 * EPS * setting.problem.state_size
        self.found: list[_Links] = []
        self.lengths = np.empty((0, 0))

    def along(self, paths: Iterable[PulledBack]) -> Iterator[PulledBack]:
        """The same paths, each row compared with the one that it came from."""
        slopes, problem = self.setting.output_slopes, self.setting.problem
        direct = slopes @ problem.weights["W_hy"] if problem.has_readout else slopes
        self.found, before, t = [], None, np.arange(1, problem.steps + 1)
        self.lengths = np.where(np.arange(problem.steps + 1) > t[:, np.newaxis], np.nan, -np.inf)
        for reached in paths:
            if len(reached.steps):
                self.lengths[reached.steps - 1, reached.k] = _lengths(reached.rows)
                self.found.append(self._links(reached, before, direct))
                before = reached
            yield reached

    def compared(self, name: str, method: str) -> Compared:
        """All rows, each part of each layer's state a row of its own."""
        where = [(links.k, int(t)) for links in self.found for t in links.steps]

        def place(row: int, column: int) -> tuple[int, ...]:
            k, t = where[row // len(self.groups)]
            return (t - 1, k)

        parts = [links[2:] for links in self.found] or [(np.empty((0, 1)),) * 4]
        got, expected, error, size = map(np.concatenate, zip(*parts, strict=True))
        got, expected, error = (values.reshape(-1, 1) for values in (got, expected, error))
        return Compared(name, method, got, expected, error, size.ravel(), place, axes=3)

    def directions(self, passes: Passes) -> Array:
        """Of each row its length and direction: how far rounding moves what is compared."""
        parts = []
        for reached in pulled_back(passes.problem, passes.forward, passes.direct):
            rows = [length_and_direction(reached.at_s[:, columns]) for columns in self.groups]
            wide = max(part.shape[1] for part in rows)
            filled = [np.pad(part, ((0, 0), (0, wide - part.shape[1]))) for part in rows]
            parts.append(np.stack(filled, axis=1).reshape(-1, wide))
        return np.nan_to_num(stacked(parts))

    def _links(self, reached: PulledBack, before: PulledBack | None, direct: Array) -> _Links:
        k, n = reached.k, len(reached.steps)
        old = 0 if before is None else len(before.steps)
        d = signs((DIRECTIONS, self.setting.problem.state_size), STREAM + k)
        shape = (n, len(self.groups), DIRECTIONS)
        got, expected, error = np.empty(shape), np.empty(shape), np.zeros((*shape[:2], 1))
        size = np.empty(shape[:2])
        if before is not None:
            come, bound = _times(before.rows, self._pushed(d, k + 1))
        for g, columns in enumerate(self.groups):
            mine = _part(reached.rows, columns)
            got[:, g], top, size[:, g] = _seen(mine, d[:, columns].T)
            if before is not None:
                own = slice(g * DIRECTIONS, (g + 1) * DIRECTIONS)
                expected[:old, g] = _lowered(come[:, own], top[:old])
                most = _lowered(bound, top[:old]).max(axis=1, keepdims=True)
                error[:old, g] = self.rounding * most
            if n > old:  # ∂L_k/∂s_k begins here
                row = direct[k - 1] @ d[:, columns].T if columns == self.setting.top else 0.0
                expected[old:, g] = np.ldexp(row, np.clip(-top[old:, np.newaxis], -2000, 2000))
        gap = np.abs(got - expected)
        worst = np.argmax(np.where(np.isnan(gap), np.inf, gap), axis=2)[:, :, np.newaxis]
        got, expected = (np.take_along_axis(a, worst, 2)[:, :, 0] for a in (got, expected))
        apart = ~(np.abs(got - expected) <= self.rtol * size)
        unseen = self.unseen(k, reached.steps)[:, np.newaxis]
        error = np.where(apart, np.where(unseen, np.nan, error[:, :, 0]), 0.0)
        return _Links(k, reached.steps, got, expected, error, size)

    def _pushed(self, d: Array, t: int) -> Array | Scaled:
        """(∂s_t/∂s_{t−1}) d for the directions of each group, (S, G·m)."""
        wide = np.zeros((len(self.groups), *d.shape))
        for g, columns in enumerate(self.groups):
            wide[g][:, columns] = d[:, columns]
        rows = wide.reshape(-1, d.shape[1])
        layers = self.setting.layers
        before = [[rows[:, part] for part in one.layer.state] for one in layers]
        plain = step_in_floats(self.setting, t, before)
        if plain is not None:
            return np.concatenate([part for parts in plain for part in parts], axis=1).T
        state = step(self.setting, t, in_parts(self.setting, scaled(rows)))
        parts = [part for layer in state for part in layer]
        joined: Scaled = SCALED.join(parts)
        return joined.T


def _times(rows: FloatRows | Scaled, pushed: Array | Scaled) -> tuple[Scaled, Scaled]:
    """rows · ``pushed``, (n, G·m), and |rows| · the largest of all its columns or |rows| · |pushed|
    themselves; in plain floats as long as both are."""
    if isinstance(rows, FloatRows) and not isinstance(pushed, Scaled):
        values = rows.values @ pushed
        bound = np.abs(rows.values) @ np.abs(pushed).max(axis=1, keepdims=True)
        by = rows.exponents[:, np.newaxis]
        return Scaled(values, np.broadcast_to(by, values.shape)), Scaled(bound, by)
    exact = rows.exact if isinstance(rows, FloatRows) else rows
    matrix = pushed if isinstance(pushed, Scaled) else scaled(pushed)
    return times(exact, matrix), times(abs(exact), abs(matrix))


def length_and_direction(rows: Scaled) -> Array:
    """ln ‖row‖ and row/‖row‖, (n, 1 + m): how far rounding stretches a row, and turns it."""
    values, _ = rows.aligned(axis=1)
    log = log10_lengths(rows)[:, np.newaxis] * np.log(10.0)
    return np.hstack([log, values / np.linalg.norm(values, axis=1, keepdims=True)])


def stacked(parts: list[Array]) -> Array:
    """One below the other, the narrow ones filled up with zeros."""
    width = max((part.shape[1] for part in parts), default=0)
    filled = [np.pad(part, ((0, 0), (0, width - part.shape[1]))) for part in parts]
    return np.concatenate([np.empty((0, width)), *filled])


def _lengths(rows: FloatRows | Scaled) -> Array:
    return rows.log10_lengths() if isinstance(rows, FloatRows) else log10_lengths(rows)


def _part(rows: FloatRows | Scaled, columns: slice) -> FloatRows | Scaled:
    if isinstance(rows, FloatRows):
        return FloatRows(rows.values[:, columns], rows.exponents)
    return rows[:, columns]


def _seen(rows: FloatRows | Scaled, directions: Array) -> tuple[Array, Integers, Array]:
    """⟨row, d⟩ (n, m) and the largest entry (n,), both times 2^−top, and top (n,)."""
    values, top = (rows.values, rows.exponents) if isinstance(rows, FloatRows) else rows.aligned(1)
    return values @ directions, top, np.abs(values).max(axis=1)


def _lowered(entries: Scaled, top: Integers) -> Array:
    by = np.clip(entries.exponent - top[:, np.newaxis], -2000, 2000)
    lowered: Array = np.ldexp(entries.mantissa, by.astype(np.intc))
    return lowered
