"""Where the growth rate passes zero: the critical scale."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from statistics import median
from typing import NamedTuple

from rnngrad.analyses.sweep.points import Row, Setting

WIDTH = 1e-5
"""Width of a bracket, relative to the scale."""


class Gap(NamedTuple):
    """Two neighbouring scales of one setting between which the rate changes sign."""

    setting: Setting
    low: float
    high: float
    low_rate: float
    high_rate: float

    @property
    def zero(self) -> Zero:
        """The zero in it, as closely as the two scales tell."""
        upward = self.low_rate < 0 or self.low == self.high
        return Zero(self.setting, self.low, self.high, upward)


class Zero(NamedTuple):
    """A zero of the rate, in [low, high]; ``upward``: below 0 before it, at least 0 after it."""

    setting: Setting
    low: float
    high: float
    upward: bool

    @property
    def value(self) -> float:
        """The middle of the bracket."""
        return self.low + (self.high - self.low) / 2


class Critical(NamedTuple):
    """The first upward zero of one length and activation: for one seed with its bracket, over
    several their median with the extremes. ``seeds`` have one, of ``of``. ``crossings``: all."""

    steps: int
    activation: str
    value: float
    low: float
    high: float
    crossings: tuple[float, ...]
    seeds: int
    of: int


def gaps(rows: Iterable[Row]) -> list[Gap]:
    """Every change of sign between neighbouring scales, setting by setting.

    A rate that is missing because the chain is exactly 0 counts as −inf; one that is undefined
    ends the neighbourhood. A sweep that starts on a zero and rises has it in an empty gap.
    """
    by_setting: dict[Setting, list[tuple[float, float]]] = {}
    for row in rows:
        rate = row.value("rate")
        point = (row.scale, math.nan if rate is None else rate)
        by_setting.setdefault(row.setting, []).append(point)
    return [gap for setting, points in by_setting.items() for gap in _gaps(setting, sorted(points))]


def _gaps(setting: Setting, points: Sequence[tuple[float, float]]) -> list[Gap]:
    found = []
    if len(points) > 1 and points[0][1] == 0 < points[1][1]:
        found.append(Gap(setting, points[0][0], points[0][0], 0.0, 0.0))
    for (low, before), (high, after) in pairwise(points):
        if not math.isnan(before + 0 * after) and (before < 0) != (after < 0):
            found.append(Gap(setting, low, high, before, after))
    return found


def closed_in(gap: Gap, rate: Callable[[float], float], width: float) -> Zero:
    """The zero in a gap, bracketed to ``width`` relative to its scale.

    Interpolation, truncated and projected so that it never needs more than two steps more than
    bisection. Source: Oliveira, Takahashi, *An enhancement of the bisection method average
    performance preserving minmax optimality*, ACM TOMS 47 (2020), algorithm 1.
    """
    low, high, before, after = gap.low, gap.high, gap.low_rate, gap.high_rate
    aim = width * max(abs(low), abs(high))
    left = _bisections(high - low, aim) + 2
    while high - low > max(aim, 4 * math.ulp(max(abs(low), abs(high)))) and left > -60:
        at = _itp(low, high, before, after, aim / 2 * 2.0**left)
        if not low < at < high:
            at = low + (high - low) / 2
        value, left = rate(at), left - 1
        if math.isnan(value):
            break
        if (value < 0) == (before < 0):
            low, before = at, value
        else:
            high, after = at, value
    return gap.zero._replace(low=low, high=high)


def _bisections(width: float, aim: float) -> int:
    return max(0, math.ceil(math.log2(max(width / aim, 1.0)))) if aim > 0 else 60


def _itp(low: float, high: float, before: float, after: float, reach: float) -> float:
    """The next point: regula falsi, moved towards the middle, kept within ``reach`` of it."""
    middle = low + (high - low) / 2
    if not (math.isfinite(before) and math.isfinite(after)) or before == after:
        return middle
    falsi = low - before * (high - low) / (after - before)
    side = math.copysign(1.0, middle - falsi)
    moved = 0.2 * (high - low)
    truncated = falsi + side * min(moved * 0.1, abs(middle - falsi))
    radius = max(0.0, reach - (high - low) / 2)
    return truncated if abs(truncated - middle) <= radius else middle - side * radius


def critical(zeros: Iterable[Zero], steps: int, activation: str, seeds: int) -> Critical | None:
    """The first upward zero of one length and activation; None where no seed has one."""
    ours = [z for z in zeros if (z.setting.steps, z.setting.activation) == (steps, activation)]
    firsts = first_upward(ours)
    if not firsts:
        return None
    values = [zero.value for zero in firsts]
    only = firsts[0]
    one = seeds == 1
    return Critical(
        steps,
        activation,
        median(values),
        only.low if one else min(values),
        only.high if one else max(values),
        tuple(sorted(zero.value for zero in ours)),
        len(firsts),
        seeds,
    )


def first_upward(zeros: Iterable[Zero]) -> list[Zero]:
    """The first upward zero of each seed, or sequence, that has one."""
    firsts: dict[tuple[int, int | None], Zero] = {}
    for zero in sorted(zeros, key=lambda z: z.value):
        if zero.upward:
            firsts.setdefault((zero.setting.seed, zero.setting.sequence), zero)
    return list(firsts.values())
