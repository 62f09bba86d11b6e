"""What ``--whh-scale`` and its like are given: ``0.5,1,2``, ``0.1:4:40`` or ``0.01:100:41:log``."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from rnngrad.errors import UsageError

MOST = 100_000_000
"""Points of one range at most: what a plan of them takes in memory is refused beyond it."""

FORMS = "a list 0.5,1,2, a range 0.1:4:40 or a log range 0.01:100:41:log"


def scales_of(given: str | float | Iterable[float]) -> tuple[float, ...]:
    """The scales, in the order in which they are given; UsageError for what makes none."""
    if isinstance(given, str):
        values = _range(given) if ":" in given else _list(given)
    elif isinstance(given, (int, float, np.number)):
        values = [float(given)]
    else:
        values = [float(value) for value in given]
    _check(values)
    return tuple(values)


def points_in(text: str) -> int:
    """How many points a text asks for, without making them; UsageError for what makes none."""
    return _count(text.split(":")[2], text) if text.count(":") > 1 else len(scales_of(text))


def _check(values: Sequence[float]) -> None:
    if not values:
        raise UsageError("scales: none are given")
    for value in values:
        if not math.isfinite(value):
            raise UsageError(f"scales: {value:g} is not a finite number")
    if len(set(values)) < len(values):
        twice = Counter(values).most_common(1)[0][0]
        raise UsageError(f"scales: {twice:g} is given twice")


def _list(text: str) -> list[float]:
    return [_number(item, text) for item in text.split(",")]


def _number(item: str, text: str) -> float:
    try:
        return float(item)
    except ValueError:
        what = f"'{item.strip()}' is not a number" if item.strip() else "a number is missing"
        raise UsageError(f"scales '{text}': {what}; give {FORMS}") from None


def _range(text: str) -> list[float]:
    """lo:hi:n, ends included, evenly spaced, or in ratio with ``:log``."""
    parts = text.split(":")
    log = len(parts) == 4
    if len(parts) not in (3, 4) or (log and parts[3].strip() != "log"):
        raise UsageError(f"scales '{text}': give {FORMS}")
    low, high = _number(parts[0], text), _number(parts[1], text)
    count = _count(parts[2], text)
    _check_range(text, low, high, count)
    if log and low <= 0:
        raise UsageError(f"scales '{text}': a log range needs numbers above 0, not {low:g}")
    spaced = np.geomspace(low, high, count) if log else np.linspace(low, high, count)
    values: list[float] = spaced.tolist()
    return values


def _count(item: str, text: str) -> int:
    digits = item.strip()
    if not digits.isdecimal():
        raise UsageError(f"scales '{text}': the number of points is a whole number, not '{item}'")
    if len(digits) > 100:  # int() has its own limit
        raise UsageError(f"scales: a number of points of {len(digits)} digits is too many")
    return int(digits)


def _check_range(text: str, low: float, high: float, count: int) -> None:
    if not (math.isfinite(low) and math.isfinite(high)):
        raise UsageError(f"scales '{text}': both ends must be finite")
    if low > high:
        raise UsageError(f"scales '{text}': descends; write {high:g}:{low:g}")
    if count < 1:
        raise UsageError(f"scales '{text}': is empty; at least 1 point")
    if count > MOST:
        raise UsageError(f"scales '{text}': {count:,} points are too many; at most {MOST:,}")
    if low == high and count > 1:
        raise UsageError(f"scales '{text}': {count} points between equal ends")
    if low < high and count == 1:
        raise UsageError(f"scales '{text}': one point cannot hold both ends")
