"""Which known mistakes reproduce a wrong array, to that array's own tolerance."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

import numpy as np

from rnngrad.analyses.checking.comparing.comparing import (
    Compared,
    arithmetic,
    compare,
    logarithmic,
    relative_tolerance,
    scales,
)
from rnngrad.analyses.checking.comparing.rounding_noise import Conditioning
from rnngrad.analyses.checking.comparing.tolerance import EPS, LOG10_ATOL
from rnngrad.analyses.checking.diagnosing.catalogue import Mistake
from rnngrad.analyses.checking.diagnosing.variations import Reading, Variation
from rnngrad.analyses.derivation.quantities import Passes, Quantity
from rnngrad.analyses.mistakes.passes import Apart
from rnngrad.arithmetic.arrays import Array, quietly
from rnngrad.net.given_arrays import GivenArray

ROUNDING_MATTERS = 1e-2
"""A mistake further off than this is not its own array rounded otherwise."""
PARTLY = 0.25
"""Added to the rank of a mistake made in some of its places only."""
QUIET = 1e-3
"""Noise of this share of the tolerance, in the right array, is none in a mistaken one."""
WIDENED = 0.1
"""Added to the rank of what fits only to the tolerance that rounding widens."""
FACTOR = 2
"""The rank of ``scaled``, that says least."""
FINEST = 1e-13
"""What agrees better has all the digits that float64 keeps of a sum."""
UNPROVEN = 3
"""The rank of a number that was read off the very number it is to explain."""


class Case(NamedTuple):
    """An array to be explained: what was given, what is right, and how it compares. ``noise`` is
    that of its right counterpart, relative to the scale (absolute for ``log10_``)."""

    record: Quantity
    got: GivenArray
    right: Array
    rtol: float | None
    compared: Compared | None
    noise: Array | None = None

    @property
    def name(self) -> str:
        return self.record.name

    @property
    def tolerance(self) -> float:
        """Its relative tolerance, for what was not typed by hand."""
        if logarithmic(self.record):
            return LOG10_ATOL
        return relative_tolerance(self.got, self.rtol)

    @property
    def loudness(self) -> float:
        """The noise over the tolerance, where it is largest."""
        if self.noise is None:
            return 0.0
        return float(self.noise.max(initial=0.0)) / self.tolerance


def digits(case: Case, made: Array) -> float:
    """How many decimal digits of wrong numbers an array explains that fits."""
    return float(each_digits(case, made).sum())


def each_digits(case: Case, made: Array, error: float | None = None) -> Array:
    """The same number by number. A zero proves nothing: many mistakes make zeros. What has another
    shape than the right array agrees in all its digits. With the ``error`` that is left, float64
    numbers count those as well that agree beyond their tolerance."""
    if case.compared is None:
        return np.full(np.count_nonzero(made), -np.log10(case.tolerance))
    telling = case.compared.wrong & (made != 0) & np.isfinite(made) & np.isfinite(case.right)
    if not telling.any():
        return np.zeros(0)
    if logarithmic(case.record):
        tolerance, scale = np.full(made.shape, LOG10_ATOL), np.ones_like(made)
    else:
        scale = scales(made, case.record)
        finer = error is not None and case.got.eps <= EPS
        tolerance = np.clip(error or 0.0, FINEST, case.tolerance) * scale if finer else (
            case.tolerance * scale
        )  # fmt: skip
    if case.got.half_unit is not None:
        tolerance = np.maximum(tolerance, case.got.half_unit)
    if case.noise is not None:
        tolerance = np.maximum(tolerance, case.noise * scale)
    share = np.abs(case.got.values - case.right)[telling] / tolerance[telling]
    return np.asarray(np.log10(np.maximum(share, 1.0)))


class Fit(NamedTuple):
    """One mistake that reproduces one array: ``error`` is what is left then, ``rank`` the smaller
    the more specific; ``steps``, ``limit`` and ``factor`` are what the mistake leaves open.
    ``agreed``: a number read off the arrays is one that several entries agree on."""

    bug: str
    rank: float
    error: float
    thorough: bool = True
    steps: int | None = None
    limit: float | None = None
    factor: float | None = None
    where: str = ""
    variation: int = -1
    agreed: bool = True


def fits_by_passes(
    mistake: Mistake, apart: Apart, cases: list[Case], conditioning: Conditioning
) -> dict[str, list[Fit]]:
    """name -> every way in which a wrong pass of a mistake reproduces that array."""
    found: dict[str, list[Fit]] = {case.name: [] for case in cases}
    nearest: dict[str, Fit] = {}
    for index, variation in enumerate(mistake.vary(apart)):
        reading = Reading(variation, apart)
        for case in cases:
            if not reading.hits(case.name):
                continue
            wrong = reading.of(case.name, case.right)
            compared = _against(case, wrong)
            if compared is None:
                continue
            fit = fit_of(mistake, variation, compared, index)
            if compared.fits:
                found[case.name].append(fit)
            elif _fits_widened(case, wrong):
                found[case.name].append(fit._replace(rank=fit.rank + WIDENED))
            elif fit.error < nearest.get(case.name, fit._replace(error=np.inf)).error:
                nearest[case.name] = fit
    for case in cases:
        near = nearest.get(case.name)
        if found[case.name] or near is None or near.error >= ROUNDING_MATTERS:
            continue
        if case.loudness < QUIET:
            continue
        if _fits_when_rounded(mistake, near, case, conditioning):
            found[case.name].append(near._replace(rank=near.rank + WIDENED))
    return found


def _fits_widened(case: Case, wrong: Array) -> bool:
    """Whether it fits to the tolerance that the right array's own noise makes of it."""
    if case.noise is None or case.loudness < 1.0 or wrong.shape != case.right.shape:
        return False
    absolute = case.noise if logarithmic(case.record) else case.noise * scales(wrong, case.record)
    compared = _against(case, wrong, absolute)
    return compared is not None and compared.fits


def fit_of(mistake: Mistake, variation: Variation, compared: Compared, index: int) -> Fit:
    """One way of a mistake that reproduces an array."""
    rank = mistake.rank + (0.0 if variation.thorough else PARTLY)
    return Fit(
        mistake.bug,
        rank,
        compared.largest_error,
        variation.thorough,
        variation.steps,
        where=variation.where,
        variation=index,
    )


def _against(case: Case, wrong: Array, noise: Array | None = None) -> Compared | None:
    """The array given against a mistaken one; None where that has another shape or is not finite
    where it should be."""
    if wrong.shape != case.got.values.shape:
        return None
    if np.isnan(wrong).any() and not case.name.startswith("log10_"):
        return None
    compared = compare(case.got, wrong, case.record, case.rtol, noise)
    return None if (compared.overflows & (compared.error > 0)).any() else compared


def _fits_when_rounded(mistake: Mistake, near: Fit, case: Case, conditioning: Conditioning) -> bool:
    """Whether rounding, as this net amplifies it, makes the rest of the difference."""

    def read(passes: Passes) -> Array:
        apart = Apart(passes)
        variation = next(islice(mistake.vary(apart), near.variation, None))
        return Reading(variation, apart).of(case.name, case.record.compute(passes))

    with quietly():
        noise = conditioning.noise(read, arithmetic(case.got))
        compared = _against(case, read(conditioning.passes), noise)
    return compared is not None and compared.fits


# ---------------------------------------------------------------------------- read off the array


def fits_read_off(mistake: Mistake, cases: list[Case], value: float | None) -> list[Fit]:
    """A fit for each case, or an empty list, of a mistake whose number the arrays must tell.

    With ``value`` None each case gives its own. A number is believed where two entries agree on
    it, or where it is a round one; else the fit is UNPROVEN. A limit that no entry but the cut ones
    tells is none that several agree on: any number below them all would do.
    """
    if mistake.reads_off == "limit" and not all(map(_is_derivative, cases)):
        return []
    fits = []
    evidence = witnesses = 0
    for case in cases:
        own = _NUMBERS[mistake.reads_off](case) if value is None else value
        if own is None or not np.isfinite(own) or own == 0:
            return []
        wrong, telling, beside = _MADE[mistake.reads_off](case.right, own)
        compared = _against(case, wrong) if telling else None
        if compared is None or not compared.fits:
            return []
        evidence += telling
        witnesses += beside
        rank = float(mistake.rank if _round(own, case) else UNPROVEN)
        limit, factor = (own, None) if mistake.reads_off == "limit" else (None, own)
        fits.append(Fit(mistake.bug, rank, compared.largest_error, limit=limit, factor=factor))
    proven, agreed = evidence > 1, evidence > 1 and witnesses > 0
    return [
        fit._replace(rank=float(mistake.rank) if proven else fit.rank, agreed=agreed)
        for fit in fits
    ]


def numbers_read_off(mistake: Mistake, cases: list[Case]) -> Iterator[float]:
    """Every number that a case would give, to be tried on all of them."""
    for case in cases:
        number = _NUMBERS[mistake.reads_off](case)
        if number is not None:
            yield number


def _factor(case: Case) -> float | None:
    """got / expected, at the entry that was given most exactly."""
    got, right = case.got.values, case.right
    if got.shape != right.shape:
        return None
    usable = np.isfinite(got) & np.isfinite(right) & (right != 0) & (got != 0)
    if not usable.any():
        return None
    sizes = np.abs(right)
    if case.got.half_unit is not None:
        sizes = np.abs(got) / np.where(case.got.half_unit > 0, case.got.half_unit, 1e-16)
    at = np.unravel_index(np.where(usable, sizes, -1.0).argmax(), right.shape)
    return float(got[at] / right[at])


def _limit(case: Case) -> float | None:
    """The largest entry: whatever was larger has been cut to it."""
    if case.got.values.shape != case.right.shape or not _is_derivative(case):
        return None
    return float(np.abs(case.got.values).max(initial=0.0))


def _is_derivative(case: Case) -> bool:
    """Not a state, an output, a loss or a logarithm: nobody clips those."""
    return case.name not in ("h", "y", "loss", "losses") and not case.name.startswith("log10_")


def _scaled(right: Array, factor: float) -> tuple[Array, int, int]:
    """The array times a factor, how many entries tell it, and how many bear it out."""
    telling = _sizes(right[np.isfinite(right) & (right != 0)])
    return factor * right, telling, telling


def _clipped(right: Array, limit: float) -> tuple[Array, int, int]:
    """The array cut at the limit, how many entries were, and how many were not, zeros aside."""
    cut = np.abs(right) > limit
    return np.clip(right, -limit, limit), _sizes(right[cut]), int(np.sum(~cut & (right != 0)))


def _sizes(values: Array) -> int:
    """How many sizes there are: (s, −s), as ∂L/∂b_y of two outputs behind softmax, is one number,
    and any other such pair is a multiple of it."""
    return len(np.unique(np.round(np.log10(np.abs(values)), 9)))


_NUMBERS = {"factor": _factor, "limit": _limit}
_MADE = {"factor": _scaled, "limit": _clipped}


def _round(number: float, case: Case) -> bool:
    """Whether a number looks chosen: a small fraction, or three decimal digits at most."""
    tolerance, size = 4.0 * case.tolerance, abs(number)
    if case.got.typed and case.got.digits is not None and case.got.digits.min(initial=99) < 8:
        return False
    fractions = {p / q for p in range(1, 13) for q in range(1, 13)}
    if tolerance < 1e-3 and any(abs(size - f) <= tolerance * f for f in fractions):
        return True
    return tolerance < 1e-7 and abs(size - float(f"{size:.3g}")) <= tolerance * size
