"""A derivative from the values of a function: central differences and the Taylor remainder.

Both take the function at a ladder of steps h = 2⁻², 2⁻⁴, … 2⁻²⁸ and extrapolate to h = 0 (Neville),
keeping at each entry the estimate that its neighbours in the table contradict least:

    central      (φ(h) − φ(−h)) / 2h = φ' + c₂h² + c₄h⁴ + …
    one-sided    (φ(h) − φ(0)) / h = φ' + c₁h + c₂h² + …        the Taylor remainder, divided by h

The error is four times that contradiction, and at least what the noise of φ allows: noise/h. The
noise is measured, by third differences over steps so small that φ is a straight line there.
Sources: Ridders, *Accurate computation of F'(x) and F'(x)F''(x)*, Adv. Eng. Software 4 (1982); Moré
and Wild, *Estimating computational noise*, SIAM J. Sci. Comput. 33 (2011).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from rnngrad.arithmetic.arrays import Array

COUNT = 14
"""h = 4^−(1 + i), i < COUNT."""

TINY_STEP = 2.0**-36

SAFETY, NEAR = 4.0, 16.0
ORDERS = 6
EPS = float(np.finfo(np.float64).eps)

Function = Callable[[float], Array]


class Estimate(NamedTuple):
    """A derivative and how far it may be off, entry by entry."""

    value: Array
    error: Array


def steps() -> list[float]:
    """The ladder of steps, longest first."""
    return [4.0 ** -(1 + i) for i in range(COUNT)]


def central(function: Function, noise: Array) -> Estimate:
    """function'(0) by central differences with Richardson extrapolation."""
    slopes = [(function(h) - function(-h)) / (2 * h) for h in steps()]
    return _extrapolated(slopes, noise, 16.0)


def one_sided(function: Function, noise: Array) -> Estimate:
    """function'(0) from φ(h) − φ(0), order by order."""
    start = function(0.0)
    return _extrapolated([(function(h) - start) / h for h in steps()], 2 * noise, 4.0)


def rounding(function: Function) -> Array:
    """The noise of φ, entry by entry: what is left of it in third differences."""
    values = np.array([function(j * TINY_STEP) for j in range(-3, 4)])
    thirds = np.max(np.abs(np.diff(values, n=3, axis=0)), axis=0)
    return np.asarray(4 * np.maximum(thirds, EPS * np.abs(values[3])))


def roughness(function: Function) -> Array:
    """The largest noise of each column, (B, T) -> (1, T): that of L_t is much the same whatever is
    moved, and where it shows none, that is luck."""
    return np.asarray(np.max(rounding(function), axis=0, keepdims=True, initial=0.0))


def rate(function: Function, claimed: float) -> float | None:
    """The order in which |φ(h) − φ(0) − h·claimed| falls for a scalar φ: 2 for a right derivative,
    1 for a wrong one. At the last two steps where it stands clear of noise; None where it never
    does."""
    start = float(function(0.0).sum())
    moved = [float(function(h).sum()) for h in steps()]
    remainders = [abs(end - start - h * claimed) for end, h in zip(moved, steps(), strict=True)]
    floor = 1e4 * EPS * (abs(start) + abs(claimed))
    above = [size for size in remainders if np.isfinite(size) and size > floor]
    return float(np.log(above[-2] / above[-1]) / np.log(4.0)) if len(above) > 2 else None


def _extrapolated(slopes: list[Array], noise: Array, base: float) -> Estimate:
    """Neville's table; ``base`` is by how much the next h shrinks the first error term.

    An estimate that a smaller step contradicts is dropped for that step's: between the two lies a
    kink, or h was too long for the function to be told by its first few derivatives.
    """
    best = Estimate(np.zeros_like(slopes[0]), np.full_like(slopes[0], np.inf))
    above: list[Array] = []
    for h, slope in zip(steps(), slopes, strict=True):
        row = _next_row(above, slope, base)
        best = _kept(best, _of_row(row, above, 4 * noise / h))
        above = row
    return best


def _next_row(above: list[Array], slope: Array, base: float) -> list[Array]:
    """The row of the table for the next smaller step, order by order."""
    row = [slope]
    for order, coarser in enumerate(above[:ORDERS], start=1):
        factor = base**order
        row.append(row[-1] + (row[-1] - coarser) / (factor - 1))
    return row


def _of_row(row: list[Array], above: list[Array], floor: Array) -> Estimate:
    """The entry of a row that its two neighbours of the order below contradict least; one
    agreement may be luck, so the order before must have come near as well."""
    value, error = row[0], np.full(row[0].shape, np.inf)
    before = error
    for lower, higher, coarser in zip(row, row[1:], above, strict=False):
        apart = np.maximum(np.abs(higher - lower), np.abs(higher - coarser))
        contradiction = SAFETY * np.maximum(apart, before / NEAR) + floor
        better = contradiction < error
        value, error = np.where(better, higher, value), np.where(better, contradiction, error)
        before = apart
    return Estimate(value, error)


def _kept(best: Estimate, new: Estimate) -> Estimate:
    """The better of two; the newer where they contradict each other, and then no better than how
    far they are apart, until the next one agrees."""
    apart = np.abs(new.value - best.value)
    contradicted = apart > new.error + best.error
    better = contradicted | (new.error < best.error)
    error = np.where(contradicted, np.maximum(new.error, apart), new.error)
    return Estimate(np.where(better, new.value, best.value), np.where(better, error, best.error))
