"""log10 ‖∂L_t/∂h_k‖₂ for every t and k: one row a loss, all rows pulled back together.

    ∂L_t/∂h_t = the direct term        ∂L_t/∂h_{k−1} = (∂L_t/∂h_k ∘ σ'(a_k)) W

Rows are plain floats with one exponent each, and a step of all of them is one matrix product. That
is right as long as no entry of a row comes near underflow, which is looked at every step. A row
where one does though its largest is 1 (an exact zero, blocks that do not feed one another) goes on,
from the step before, entry by entry (``arithmetic.scaled``). Error: that of a product whose factors
have entries right to rounding.

A path begins at its direct term ∂L_t/∂h_t, a number beyond the range of floats. A saturated output
has a gradient of 1e-347, say: 0 as a float, a number all the same. Steps whose gradient at the
output is small enough to be doubted are computed again in logarithms."""

from __future__ import annotations

import numpy as np

from rnngrad.arithmetic.arrays import Array, Integers
from rnngrad.arithmetic.evaluation import SMALLEST_SURE
from rnngrad.arithmetic.scaled import LOG10_2, Bands, Scaled, log10_lengths, scaled, times
from rnngrad.chains.blocks import LARGEST_PLAIN
from rnngrad.net.losses import slope
from rnngrad.net.outputs import scaled_gap
from rnngrad.net.problem import Problem
from rnngrad.net.traces import BackwardTrace, ForwardTrace
from rnngrad.progress import growing, reported

LOW, HIGH = 2.0**-450, 2.0**200
"""Entries between them are in no danger, nor are their squares."""

LOST = 2.0**-700
"""A term that underflows is below 2⁻⁹⁰⁰, so an entry above this is right."""

Which = np.ndarray[tuple[int], np.dtype[np.bool_]]


def log10_path_norms(slopes: Scaled, W: Array, direct: Scaled, counts: Which) -> Array:
    """(T, T+1), row t−1, column k; nan for k > t, −inf for an exact zero.

    ``slopes`` are σ'(a_t), (T, S), ``direct`` ∂L_t/∂h_t, (T, S), and ``counts`` (T,) says which
    losses count; the others' rows are −inf. To be run within ``quietly()``.
    """
    steps = len(counts)
    paths = np.where(np.arange(steps + 1) > np.arange(1, steps + 1)[:, None], np.nan, -np.inf)
    plain, exact = _FloatRows(W, steps), _ExactRows(W)
    work = growing(np.cumsum(counts[::-1]).tolist())
    for k in reported(range(steps, 0, -1), steps, "paths", work):
        if counts[k - 1] and not plain.take(k, direct[k - 1]):
            exact.take(k, direct[k - 1])
        _write(paths, k, plain, exact)
        exact.pull(slopes[k - 1])
        for step, row in plain.pull(slopes[k - 1]):
            exact.take(step, row)
    _write(paths, 0, plain, exact)
    return paths


def _write(paths: Array, k: int, plain: _FloatRows, exact: _ExactRows) -> None:
    if plain.count:
        paths[plain.steps[: plain.count] - 1, k] = plain.log10_lengths()
    if exact.steps.size:
        paths[exact.steps - 1, k] = log10_lengths(exact.rows)


class _FloatRows:
    """The first ``count`` of ``rows`` · 2^``exponents``; ``steps`` says whose L_t each is."""

    def __init__(self, W: Array, most: int) -> None:
        size = len(W)
        entries = np.abs(W)
        self.usable = bool(1 / LARGEST_PLAIN < entries.min() <= entries.max() < LARGEST_PLAIN)
        self.W, self.count = W, 0
        self.rows, self.spare, self.pushed = np.empty((3, most, size))
        self.exponents, self.steps = np.empty((2, most), dtype=np.int64)

    def take(self, step: int, row: Scaled) -> bool:
        """Add a row, unless it is one for ``_ExactRows``."""
        values, exponent = row.aligned(axis=0)
        sizes = np.abs(values)
        if not (self.usable and sizes.min() > LOW and np.isfinite(sizes.max())):
            return False
        i = self.count
        self.rows[i], self.exponents[i], self.steps[i] = values, exponent, step
        self.count += 1
        return True

    def log10_lengths(self) -> Array:
        rows, exponents = self.rows[: self.count], self.exponents[: self.count]
        squares = np.einsum("ns,ns->n", rows, rows)
        return np.asarray(0.5 * np.log10(squares) + exponents * LOG10_2)

    def pull(self, slopes: Scaled) -> list[tuple[int, Scaled]]:
        """One step back; the rows that plain floats would not hold, with that step taken."""
        if not self.count:
            return []
        values, top = slopes.aligned(axis=0)
        now, then = self.rows[: self.count], self.spare[: self.count]
        np.multiply(now, values, out=self.pushed[: self.count])
        np.dot(self.pushed[: self.count], self.W, out=then)
        sizes = np.abs(then, out=self.pushed[: self.count])
        lost = []
        if not (sizes.min() > LOW and sizes.max() < HIGH):
            lost = self._sorted_out(now, then, sizes, slopes)
        self.rows, self.spare = self.spare, self.rows
        self.exponents[: self.count] += int(top)
        return lost

    def _sorted_out(
        self, before: Array, after: Array, sizes: Array, slopes: Scaled
    ) -> list[tuple[int, Scaled]]:
        """Bring every row's largest entry to 1, and give away the rows that lost an entry."""
        largest = sizes.max(axis=1)
        kept = (sizes.min(axis=1) > LOST) & np.isfinite(largest)
        lost = []
        if not kept.all():
            rows = _raised(scaled(before[~kept]), self.exponents[: self.count][~kept])
            pulled = times(rows * slopes, Bands(self.W))
            lost = [(int(t), pulled[i]) for i, t in enumerate(self.steps[: self.count][~kept])]
        shift = np.frexp(largest[kept])[1]
        n = len(shift)
        self.spare[:n] = np.ldexp(after[kept], -shift[:, None])
        self.exponents[:n] = self.exponents[: self.count][kept] + shift
        self.steps[:n] = self.steps[: self.count][kept]
        self.count = n
        return lost


class _ExactRows:
    """Rows of which every entry has its own exponent."""

    def __init__(self, W: Array) -> None:
        self.W, self.steps = Bands(W), np.empty(0, dtype=np.int64)
        self.rows = Scaled(np.empty((0, len(W))), np.empty((0, len(W)), dtype=np.int64))

    def take(self, step: int, row: Scaled) -> None:
        """Add a row."""
        mantissa = np.vstack([self.rows.mantissa, row.mantissa])
        self.rows = Scaled(mantissa, np.vstack([self.rows.exponent, row.exponent]))
        self.steps = np.append(self.steps, step)

    def pull(self, slopes: Scaled) -> None:
        """One step back."""
        if self.steps.size:
            self.rows = times(self.rows * slopes, self.W)


def _raised(rows: Scaled, by: Integers) -> Scaled:
    """Each row times 2^by."""
    raised = rows.exponent + by[:, None]
    return Scaled(rows.mantissa, np.where(rows.mantissa == 0, rows.exponent, raised))


# ---------------------------------------------------------------------------- where a path begins


def scaled_direct(problem: Problem, trace: ForwardTrace, back: BackwardTrace) -> Scaled:
    """∂L_t/∂h_t of the top layer for every step, (T, H), right to rounding at any exponent.

    ∂L_t/∂(W_hy h_t + b_y) · W_hy; without W_hy the first factor alone.
    """
    at_output = scaled(back.dL_da_y)
    if problem.loss_weights is not None and not problem.upstream:  # what is given is exact
        small = (np.abs(back.dL_da_y) < SMALLEST_SURE).any(axis=1)
        for t in np.flatnonzero(small & (problem.loss_weights != 0)):
            row = _at_the_output(problem, trace, slice(t, t + 1), problem.loss_weights[t])
            at_output.mantissa[t], at_output.exponent[t] = row.mantissa[0], row.exponent[0]
    if not problem.has_readout:
        return at_output
    return times(at_output, Bands(problem.weights["W_hy"]))


def _at_the_output(problem: Problem, trace: ForwardTrace, step: slice, weight: Array) -> Scaled:
    """∂L_t/∂(W_hy h_t + b_y) of one step, (1, O), without an intermediate float."""
    assert problem.loss is not None
    assert problem.targets is not None
    target, a, y = problem.targets[step], trace.a_y[step], trace.y[step]
    scale = scaled(np.asarray(weight))
    if problem.loss.scaled_fused is not None:
        return scale * problem.loss.scaled_fused(target, a)
    if problem.loss.of_the_gap is not None:
        factor = scaled(np.asarray(problem.loss.of_the_gap(problem.outputs)))
        dL_dy = scale * factor * scaled_gap(problem.output, target, a, y)
    else:
        dL_dy = scale * scaled(slope(problem.loss, problem.output, target, y, a))
    return problem.output.scaled_pull_back(a, dL_dy)
