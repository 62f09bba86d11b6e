"""From values to places in a picture, and the few round values that stand at an axis."""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil, floor, log10
from typing import NamedTuple

import numpy as np

from rnngrad.arithmetic.arrays import Array
from rnngrad.views.pictures.picture import Axis

FEW = 6
"""Ticks at most, or one more."""


class Scale(NamedTuple):
    """The values from ``low`` to ``high`` (their log10 where ``log``) lie from place ``start`` to
    place ``stop``."""

    low: float
    high: float
    start: float
    stop: float
    log: bool = False
    words: tuple[tuple[float, str], ...] = ()
    whole: bool = False

    def at(self, value: float) -> float:
        """The place of a value; nan for what has none on a log axis."""
        return float(self.places(np.array([value]))[0])

    def places(self, values: Array) -> Array:
        """The places of values."""
        if self.log:
            with np.errstate(divide="ignore", invalid="ignore"):
                values = np.where(values > 0, np.log10(np.abs(values)), np.nan)
        part = (values - self.low) / (self.high - self.low)
        return np.asarray(self.start + part * (self.stop - self.start))

    def holds(self, value: float) -> bool:
        """Whether a value lies in the picture."""
        place = self.at(value)
        low, high = sorted((self.start, self.stop))
        return low - 0.5 <= place <= high + 0.5

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """Values with their words."""
        if self.words:
            return [tick for tick in self.words if self.holds(tick[0])]
        values = _decades(self.low, self.high) if self.log else _round(self.low, self.high)
        values = [value for value in values if value == round(value)] if self.whole else values
        return [(value, spelled(value)) for value in values]


def scale(axis: Axis, values: Iterable[Array], start: float, stop: float, pad: float) -> Scale:
    """The scale that holds all the values that are finite, ``pad`` of its length more at either end
    that the axis does not set."""
    known = np.concatenate([np.ravel(one) for one in values] or [np.zeros(0)])
    known = known[np.isfinite(known)]
    known = np.log10(known[known > 0]) if axis.log else known
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    if high - low <= 1e-9 * max(abs(low), abs(high), 1e-3):
        around = 0.5 if axis.log or abs(low) < 1e-12 else 0.1 * abs(low)
        low, high = low - around, high + around
    more = pad * (high - low)
    low, high = low - more, high + more
    if axis.low is not None:
        low = log10(axis.low) if axis.log else axis.low
    if axis.high is not None:
        high = log10(axis.high) if axis.log else axis.high
    ends = (stop, start) if axis.down else (start, stop)
    return Scale(low, high, *ends, axis.log, axis.ticks, axis.whole)


def _round(low: float, high: float) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten, ``FEW`` or so."""
    rough = (high - low) / FEW
    power = 10.0 ** floor(log10(rough))
    step = next(one * power for one in (1, 2, 5, 10) if one * power >= rough * 0.999)
    first, last = ceil(low / step - 1e-9), floor(high / step + 1e-9)
    return [n * step for n in range(first, last + 1)]


def _decades(low: float, high: float) -> list[float]:
    """Powers of ten; within two of them 2 and 5 times these too."""
    if high - low < 2:
        powers = range(floor(low), ceil(high) + 1)
        found = [one * 10.0**power for power in powers for one in (1, 2, 5)]
        inside = [value for value in found if low - 1e-9 <= log10(value) <= high + 1e-9]
        if len(inside) >= 2:
            return inside
        return [value for value in _round(10.0**low, 10.0**high) if value > 0]
    every = max(1, ceil((high - low) / FEW))
    return [
        10.0**power
        for power in range(ceil(low - 1e-9), floor(high + 1e-9) + 1)
        if power % every == 0
    ]


def spelled(value: float) -> str:
    """0.25, −40, 2,000, 10⁻⁶"""
    if value == 0:
        return "0"
    if 1e-3 <= abs(value) < 1e5:
        return f"{value:,.10g}".replace("-", "−")
    power = floor(log10(abs(value)) + 1e-9)
    front = value / 10.0**power
    raised = str(power).translate(str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻"))
    return f"10{raised}" if abs(front - 1) < 1e-9 else f"{front:.3g}·10{raised}".replace("-", "−")
