"""One array against the right one: which entries are wrong, and by how much.

    an entry is right where  |got − expected| ≤ max(rtol · scale, half a unit of its last digit)

``scale`` is the largest entry of the quantity, or of its step's row where it has a step axis, so
that a vanishing row counts like any other; the ``log10_`` quantities are compared absolutely. What
the net itself makes of rounding (``noise``, ``rounding_noise.py``) widens that.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rnngrad.analyses.checking.comparing.tolerance import EPS, LOG10_ATOL, RTOL
from rnngrad.analyses.derivation.quantities import Quantity
from rnngrad.arithmetic.arrays import Array
from rnngrad.net.given_arrays import GivenArray, Mask

ENOUGH_DIGITS = 3
EPS_SINGLE = float(np.finfo(np.float32).eps)

UNDERFLOW = 1e-300
"""Below it float64 itself loses the digits of a product on the way."""


class Narrow(NamedTuple):
    """A type of floats narrower than float64: its relative tolerance, what it cannot hold at its
    lower end, its largest number, and (``own``) what is said of an array that is right to it."""

    name: str
    rtol: float
    underflow: float
    largest: float
    own: str = ""


SINGLE = Narrow("float32", 1e-4, 2.0**-119, float(np.finfo(np.float32).max))
"""Its underflow is 2⁷ times the smallest normal one: what was lost may have been multiplied since.
"""
HALF = Narrow(
    "float16", 4 * 2.0**-11, 2.0**-24, float(np.finfo(np.float16).max),
    "float16 array: right to its own rounding, 2^-11",
)  # fmt: skip
"""A few of its units of rounding, and the distance between its smallest numbers."""


def narrow(got: GivenArray) -> Narrow | None:
    """What the array was kept in, where that is narrower than float64."""
    if got.eps <= EPS:
        return None
    return HALF if got.eps > EPS_SINGLE else SINGLE


def arithmetic(got: GivenArray) -> float:
    """The rounding that a net may have amplified on the way to this array.

    Nobody is taken to have computed in float16: what that keeps is rounded once, at the end, and
    the net has no part in it.
    """
    return min(max(EPS, got.eps), EPS_SINGLE)


class Compared(NamedTuple):
    """Entry by entry, all of the array's shape.

    ``wrong`` and ``unsure`` are disjoint; ``error`` is |got − expected| over the scale (absolute
    for ``log10_``), ``overflows`` says where the right number itself is none: there nothing can be
    decided, even if the same infinity was given.
    """

    wrong: Mask
    unsure: Mask
    error: Array
    overflows: Mask

    @property
    def fits(self) -> bool:
        """Nothing is wrong: it is reproduced to its own tolerance."""
        return not self.wrong.any()

    @property
    def largest_error(self) -> float:
        return float(self.error.max(initial=0.0))

    def worst(self) -> tuple[int, ...]:
        """The index with the largest error among the entries of the worst verdict."""
        masks = (self.wrong, self.unsure, np.ones_like(self.wrong))
        among = next(mask for mask in masks if mask.any())
        flat = np.where(among, self.error, -1.0).argmax()
        return tuple(int(i) for i in np.unravel_index(flat, self.error.shape))


def compare(
    got: GivenArray,
    expected: Array,
    record: Quantity,
    rtol: float | None = None,
    noise: Array | None = None,
) -> Compared:
    """``got`` against ``expected``, of one shape; ``noise`` is absolute, entry by entry."""
    scale = scales(expected, record)
    with np.errstate(all="ignore"):
        gap = _gap(got, expected)
        plain = _log10(got, expected) if logarithmic(record) else _plain(got, scale, rtol)
        if noise is not None:
            plain = np.maximum(plain, noise)
        tolerance = np.maximum(plain, _typed(got, expected, noise))
        error = gap if logarithmic(record) else np.where(gap == 0, 0.0, gap / scale)
    error = np.where(np.isnan(error), np.inf, error)
    overflows = _overflows(expected, record)
    beyond = _beyond_single(got, expected)
    wrong = ~(gap <= tolerance) & ~overflows & ~beyond
    unsure = ~wrong & (overflows | beyond | (_short(got) & ~_confirmed(got, gap, plain)))
    return Compared(wrong, unsure, error, overflows)


def logarithmic(record: Quantity) -> bool:
    """Whether it is compared absolutely."""
    return record.name.startswith("log10_")


def scales(expected: Array, record: Quantity) -> Array:
    """The largest finite entry of the quantity, or of its step's row; spread to its shape."""
    sizes = np.where(np.isfinite(expected), np.abs(expected), 0.0)
    axes = tuple(range(expected.ndim)) if record.first_step is None else _within_a_step(expected)
    largest = sizes.max(axis=axes, keepdims=True, initial=0.0)
    return np.asarray(np.broadcast_to(largest, expected.shape))


def _within_a_step(expected: Array) -> tuple[int, ...]:
    return tuple(range(1, expected.ndim))


def relative_tolerance(got: GivenArray, rtol: float | None) -> float:
    """``rtol``, or 1e-9, 1e-4 for float32; never finer than what float16 can hold."""
    kept = narrow(got)
    default = kept.rtol if kept else RTOL
    return max(default, rtol or 0.0) if kept is HALF or rtol is None else rtol


def _gap(got: GivenArray, expected: Array) -> Array:
    """|got − expected|; 0 for equal infinities and nan; a blank stands for any of those."""
    same = (got.values == expected) | (np.isnan(got.values) & np.isnan(expected))
    if got.blank is not None:
        same = np.where(got.blank, ~np.isfinite(expected), same)
    gap = np.where(same, 0.0, np.abs(got.values - expected))
    return np.where(np.isnan(gap), np.inf, gap)


def _plain(got: GivenArray, scale: Array, rtol: float | None) -> Array:
    """The tolerance without digits and noise."""
    kept = narrow(got)
    floor = kept.underflow if kept else UNDERFLOW
    return np.maximum(relative_tolerance(got, rtol) * scale, floor)


def _log10(got: GivenArray, expected: Array) -> Array:
    """Absolute; a float32 is right to its relative error and to its own rounding."""
    if got.eps <= EPS:
        return np.full(expected.shape, LOG10_ATOL)
    return relative_tolerance(got, None) + got.eps * np.where(
        np.isfinite(expected), np.abs(expected), 0.0
    )


def _typed(got: GivenArray, expected: Array, noise: Array | None) -> Array:
    """Half a unit of the last digit; a hair more, since a tie may be rounded either way."""
    if got.half_unit is None:
        return np.zeros_like(expected)
    hair = np.where(np.isfinite(expected), 4.0 * EPS * np.abs(expected), 0.0)
    slack = hair if noise is None else hair + noise
    return np.where(got.half_unit > 0, got.half_unit * (1.0 + 1e-9) + slack, 0.0)


def _overflows(expected: Array, record: Quantity) -> Mask:
    """Where the right number cannot be had: not finite, unless that is what the quantity says."""
    if not logarithmic(record):
        return ~np.isfinite(expected)
    meant: Mask = np.asarray(expected == -np.inf)
    if record.name == "log10_paths":
        t, k = np.indices(expected.shape)
        meant = meant | (k > t + 1)
    return np.asarray(~np.isfinite(expected) & ~meant)


def _beyond_single(got: GivenArray, expected: Array) -> Mask:
    """float32 or float16 overflowed where the right numbers are beyond its range."""
    kept = narrow(got)
    if kept is None:
        return np.zeros(expected.shape, dtype=bool)
    largest = np.abs(expected[np.isfinite(expected)]).max(initial=0.0)
    none = ~np.isfinite(got.values) & np.isfinite(expected)
    return np.asarray(none & (largest > 0.01 * kept.largest))


def _short(got: GivenArray) -> Mask:
    """Typed with fewer than three significant digits."""
    if got.digits is None:
        return np.zeros(got.values.shape, dtype=bool)
    return np.asarray(got.digits < ENOUGH_DIGITS)


def _confirmed(got: GivenArray, gap: Array, plain: Array) -> Mask:
    """A short number in a file that a program wrote, and right without its half unit."""
    return np.asarray((gap <= plain) & got.by_program)
