"""Numbers beyond the range of floats: an array of mantissas with an exponent for every entry.

A product of T one-step Jacobians passes 1e±308 after a few hundred steps. One exponent for the
whole array is not enough: where W_hh is reducible (blocks that do not feed one another, or only one
way), the block that dominates now may be the lesser one 10⁴⁰⁰-fold later, and whatever it dropped
by then is missing. So every entry keeps its own exponent, and a product is taken band by band:
entries within a factor of 2⁴⁰⁰ of each other are multiplied together by one ordinary matrix product
in which nothing can underflow. An irreducible net has one band, and costs one product a step.

Error: each entry of ``rows · W`` is right to S·2⁻⁵³ times Σ_i |rows_i W_ij|, at any exponent.
Source: the error bound is Higham, *Accuracy and Stability of Numerical Algorithms* (2002),
section 3.5; the exponents are exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from rnngrad.arithmetic.arrays import Array, Integers, column

ZERO = -(2**60)
"""The exponent of an exact zero: below every other, and sums of a few stay within int64."""

LEAST = -(2.0**40)
"""The log2 of the smallest number: a million factors of it are still above ZERO."""

BAND = 400
"""Bits in a band: products of two bands, and sums of 2⁵³ of them, stay clear of 2^±1022."""

LOG10_2, LN_2 = float(np.log10(2.0)), float(np.log(2.0))


@dataclass(frozen=True, slots=True, eq=False)
class Scaled:
    """mantissa · 2^exponent, entry by entry; 0.5 ≤ |mantissa| < 1, or an exact 0, inf or nan."""

    mantissa: Array
    exponent: Integers

    def __len__(self) -> int:
        return len(self.mantissa)

    def __getitem__(self, index: Any) -> Scaled:
        """Indexed as an array is."""
        return Scaled(self.mantissa[index], self.exponent[index])

    def __neg__(self) -> Scaled:
        return Scaled(-self.mantissa, self.exponent)

    def __abs__(self) -> Scaled:
        return Scaled(np.abs(self.mantissa), self.exponent)

    @property
    def shape(self) -> tuple[int, ...]:
        """That of the array."""
        return self.mantissa.shape

    @property
    def T(self) -> Scaled:
        """Transposed."""
        return Scaled(self.mantissa.T, self.exponent.T)

    def __mul__(self, other: Scaled) -> Scaled:
        """Entry by entry, with broadcasting."""
        return normal(self.mantissa * other.mantissa, self.exponent + other.exponent)

    def __add__(self, other: Scaled) -> Scaled:
        """Entry by entry; what lies 1100 bits below the other summand is beyond rounding."""
        top = np.maximum(self.exponent, other.exponent)
        total = _shift(self.mantissa, self.exponent - top)
        return normal(total + _shift(other.mantissa, other.exponent - top), top)

    def aligned(self, axis: int | tuple[int, ...]) -> tuple[Array, Integers]:
        """Plain floats at most 1 in size and, along ``axis``, the exponent taken out of them."""
        top = self.exponent.max(axis=axis, keepdims=True)
        return _shift(self.mantissa, self.exponent - top), np.squeeze(top, axis=axis)

    def floats(self) -> Array:
        """Plain floats, with inf and 0 for what they cannot hold."""
        return np.ldexp(self.mantissa, np.clip(self.exponent, -2000, 2000).astype(np.intc))


def total(terms: Scaled, axis: int) -> Scaled:
    """The sum along an axis."""
    values, exponent = terms.aligned(axis)
    return normal(values.sum(axis=axis), exponent)


def scaled(values: Array) -> Scaled:
    """Plain floats as Scaled, exactly."""
    return normal(values, np.zeros(values.shape, dtype=np.int64))


def reciprocal(values: Scaled) -> Scaled:
    """1/x entry by entry; an exact 0 gives inf."""
    return normal(1.0 / values.mantissa, -values.exponent)


def scaled_from_log2(log2: Array) -> Scaled:
    """2^log2 for a positive number given by its logarithm; −inf gives an exact zero, and so does
    what is below ``LEAST``, whose products would leave int64."""
    held = np.where(log2 < LEAST, -np.inf, log2)
    floor = np.floor(np.where(np.isfinite(held), held, 0.0))
    return normal(np.exp2(held - floor), floor.astype(np.int64))


def normal(mantissa: Array, exponent: Integers) -> Scaled:
    """mantissa · 2^exponent for a mantissa of any size."""
    fraction, shift = np.frexp(mantissa)
    return Scaled(fraction, np.where(fraction == 0, ZERO, exponent + shift))


def _shift(mantissa: Array, by: Integers) -> Array:
    """mantissa · 2^by for by ≤ 0."""
    return np.ldexp(mantissa, np.maximum(by, -2000).astype(np.intc))


class Bands:
    """A matrix split by size when it is first wanted so; nearly every matrix is one band."""

    def __init__(self, matrix: Array) -> None:
        self.matrix = matrix

    @cached_property
    def parts(self) -> tuple[tuple[Array, int], ...]:
        """Of the matrix as a sum of part · 2^exponent, the entries of a part that are not 0 within
        BAND bits."""
        entries = scaled(self.matrix)
        top = int(entries.exponent.max())
        depth = _depth(entries, np.asarray(top))
        return tuple(
            (_band(entries, depth, int(level), np.asarray(top)), top - int(level) * BAND)
            for level in _levels(depth)
        )


def _depth(entries: Scaled, top: Integers) -> Integers:
    """How many bands below ``top`` an entry lies; −1 for an exact zero."""
    depth: Integers = np.where(entries.mantissa == 0, -1, (top - entries.exponent) // BAND)
    return depth


def _levels(depth: Integers) -> Integers:
    if depth.max(initial=-1) <= 0:
        return np.zeros(1, dtype=np.int64)
    levels = np.sort(depth[depth >= 0])  # np.unique would import numpy.ma, which takes its time
    return levels[np.concatenate(([True], levels[1:] != levels[:-1]))]


def _band(entries: Scaled, depth: Integers, level: int, top: Integers) -> Array:
    """The entries of one band, as plain floats in [2^−BAND, 1)."""
    here = np.where(depth == level, entries.mantissa, 0.0)
    return _shift(here, np.minimum(entries.exponent - top + level * BAND, 0))


def times(rows: Scaled, matrix: Bands) -> Scaled:
    """rows · matrix, (n, S) · (S, S), each entry at its own exponent."""
    top = column(rows.exponent.max(axis=1))
    depth = _depth(rows, top)
    products = (
        normal(_band(rows, depth, int(level), top) @ part, top - int(level) * BAND + exponent)
        for level in _levels(depth)
        for part, exponent in matrix.parts
    )
    total = next(products)
    for product in products:
        total = total + product
    return total


def log10_lengths(rows: Scaled) -> Array:
    """log10 ‖row‖₂ of every row, (n,); −inf for an exact zero."""
    values, exponent = rows.aligned(axis=1)
    return _log10(np.sqrt(np.sum(values**2, axis=1)), exponent)


def log10_spectral_norms(values: Array, exponent: Integers) -> Array:
    """log10 of the largest singular value of 2^exponent · values, (n, S, S) and (n,) -> (n,).

    nan where an entry is not finite; −inf for the exact zero matrix.
    """
    finite = np.isfinite(values).all(axis=(1, 2))
    sizes = np.full(len(values), np.nan)
    sizes[finite] = np.linalg.svd(values[finite], compute_uv=False)[:, 0]
    return _log10(sizes, exponent)


def _log10(size: Array, exponent: Integers) -> Array:
    log10: Array = np.log10(size) + np.where(size == 0, 0, exponent) * LOG10_2
    return log10
