"""Blocks of rows pushed through all steps of many points at once, in plain floats.

With W_hh = c_i W every point i has J_t = diag(c_i σ'(a_t)) W, so that one step of all points is one
product with W, (n·r, S) · (S, S):

    back       M ← M J_t  = (M ∘ c σ'(a_t)) W           from the last step to the first
    forward    Cᵀ ← (J_t C)ᵀ = (Cᵀ Wᵀ) ∘ c σ'(a_t)      from the first step to the last

with one exponent a point. All that is right as long as no entry underflows: entries stay within
2⁻²⁰⁰ of the largest of their point, which is looked at before so many steps ``TOGETHER`` as their
slopes allow: a sum of terms is no smaller than the rounding of its terms, or an exact 0, so that 7
steps lose 7 (25 + 25 + 53) bits at most where no slope and no entry of W is below 2⁻²⁵.

Error: every row is that of a product whose factors have entries right to rounding, one row at a
time (Higham, *Accuracy and Stability of Numerical Algorithms*, 2002, section 3.5).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from rnngrad.arithmetic.arrays import Array, Integers
from rnngrad.arithmetic.scaled import Scaled

NARROW = 2.0**-600
"""Entries of a product closer together than this underflow nowhere in one step."""

NEAR = 2.0**-200
"""The same for several steps, see ``TOGETHER``."""

FAR = 64
"""Bits that the largest entry may be away from 1 before the exponent is taken out."""

TOGETHER = ((7, 2.0**-25), (4, 2.0**-60))
"""(steps, least): steps between two looks where no slope and no entry of W is below that."""

LARGEST_PLAIN = 2.0**100
"""With a W_hh beyond it, or below its inverse, products of plain floats are not tried."""

Which = np.ndarray[tuple[int], np.dtype[np.bool_]]


class Factors(NamedTuple):
    """The one-step Jacobians diag(``rows[t, i]``) W · 2^…, the powers of all steps of a point
    summed in ``exponents`` (n,); ``rows`` (T, n, S). ``least`` (T,): the least number
    in the rows of a step, or in W. ``plain``: by point, whether plain floats are worth a try."""

    W: Array
    rows: Array
    exponents: Integers
    least: Array
    plain: Which

    def only(self, points: Integers) -> Factors:
        """Those of some points, in order."""
        if len(points) == len(self.exponents):
            return self
        return Factors(
            self.W,
            np.ascontiguousarray(self.rows[:, points]),
            self.exponents[points],
            self.least,
            self.plain[points],
        )


def plain_factors(W: Array, slopes: Sequence[Scaled | Array], factors: Array) -> Factors:
    """W_hh = factors[i] · W with the slopes σ'(a_t)ⁱ, (T, S) each; plain floats only where every
    one of them is right to rounding."""
    rows = np.empty((len(slopes[0]), len(slopes), len(W)))
    exponents = np.zeros(len(slopes), dtype=np.int64)
    for i, given in enumerate(slopes):
        if isinstance(given, Scaled):
            top = np.maximum(given.exponent.max(axis=1), -(2**50))
            shift = np.maximum(given.exponent - top[:, np.newaxis], -2000)
            rows[:, i], exponents[i] = np.ldexp(given.mantissa, shift.astype(np.intc)), top.sum()
        else:
            rows[:, i] = given
    sizes, by = np.abs(W), np.abs(factors)
    least = np.minimum((rows.min(axis=2) * by).min(axis=1), sizes.min())
    rows *= factors[:, np.newaxis]
    plain = (by > 0) & (by < LARGEST_PLAIN)
    plain &= bool(1 / LARGEST_PLAIN < sizes.min() <= sizes.max() < LARGEST_PLAIN)
    return Factors(W, rows, exponents, least, plain)


class Pushed(NamedTuple):
    """``block``[i] · 2^``exponents``[i], (n, r, S) and (n,); ``sure`` where nothing underflowed."""

    block: Array
    exponents: Integers
    sure: Which


def pushed(
    f: Factors, block: Array, *, forward: bool, fewer: Callable[[Array, int], Array] | None = None
) -> Pushed:
    """The block, (n, r, S), after all steps, back or forward; ``fewer(block, done)`` may drop rows
    on the way, after so many steps."""
    rows, least = (f.rows, f.least) if forward else (f.rows[::-1], f.least[::-1])
    step = _forward(f.W) if forward else _back(f.W)
    exponents, sure, near, done = f.exponents, f.plain.copy(), False, 0
    M = _turned(block)
    other = np.empty_like(M)
    while done < len(rows) and sure.any():
        count = together(least[done:]) if near else 1
        for row in rows[done : done + count]:
            step(M, row, other)
        done = min(done + count, len(rows))
        shift, near = _looked_at(M, sure)
        exponents = exponents + shift
        if near and fewer is not None:
            M = _turned(fewer(_turned(M), done))
            other = other if len(other) == len(M) else np.empty_like(M)
    return Pushed(_turned(M), exponents, sure)


def together(least: Array) -> int:
    """How many of the next steps may go without a look."""
    return next((n for n, limit in TOGETHER if least[:n].min() > limit), 1)


def _turned(block: Array) -> Array:
    """(n, r, S) <-> (r, n, S): the slopes of a step, (n, S), lie as a block's rows do."""
    return np.ascontiguousarray(block.transpose(1, 0, 2))


def _back(W: Array) -> Callable[[Array, Array, Array], None]:
    W = np.ascontiguousarray(W)

    def step(block: Array, row: Array, other: Array) -> None:
        np.multiply(block, row, other)
        np.dot(other.reshape(-1, len(W)), W, block.reshape(-1, len(W)))

    return step


def _forward(W: Array) -> Callable[[Array, Array, Array], None]:
    W_T = np.ascontiguousarray(W.T)

    def step(block: Array, row: Array, other: Array) -> None:
        np.dot(block.reshape(-1, len(W)), W_T, other.reshape(-1, len(W)))
        np.multiply(other, row, block)

    return step


def _looked_at(M: Array, sure: Which) -> tuple[Integers, bool]:
    """The powers of 2 that are taken out of (r, n, S), here and now, and whether all entries are
    ``NEAR``; ``sure`` is taken from points that lost one."""
    sizes = np.abs(M)
    largest, least = sizes.max(axis=0).max(axis=1), sizes.min(axis=0).min(axis=1)
    sure &= np.isfinite(largest) & (least > NARROW * largest)
    shift = np.where(sure, np.frexp(largest)[1], 0)
    if np.abs(shift).max(initial=0) > FAR:
        np.ldexp(M, -shift[:, np.newaxis], M)
    else:
        shift = np.zeros_like(shift)
    return shift.astype(np.int64), bool((least > NEAR * largest)[sure].all() and sure.all())
