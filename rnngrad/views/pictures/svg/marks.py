"""Lines, bands and regions, and the legend that tells them apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from rnngrad.arithmetic.arrays import Array
from rnngrad.views.page.page import text
from rnngrad.views.pictures.picture import Band, Heat, Line, Picture, Region, Tone
from rnngrad.views.pictures.svg.frame import Frame
from rnngrad.views.pictures.svg.words import said, words_at

COLOURS = 6
"""Kinds of lines that ``style.css`` has, each with a colour and a dash of its own."""

DOTS = ("h0", "m-3,-3h6v6h-6z", "m0,-4l4,7h-8z", "m0,-4l4,4l-4,4l-4,-4z", "m-3,-3l6,6m-6,0l6,-6",
        "m-4,0h8m-4,-4v8")  # fmt: skip
"""A point of each kind of line: a dot, a square, a triangle, a diamond, a cross, a plus."""

THIN = 500
"""Points of a line from which on it is drawn by what each of its pixels holds."""

SEEN = 0.2
"""Pixels by which a line may leave its points, which nobody sees."""

TONES: Mapping[Tone, str] = MappingProxyType(
    {
        "": "",
        "gone": " tone-gone",
        "kept": " tone-kept",
        "blown up": " tone-blown",
        "faint": " faint",
    }
)
"""What a colour means -> its class."""


class Choice(NamedTuple):
    """The lines are what a slider chooses from: ``words`` says what each is; ``on`` is first."""

    words: tuple[str, ...]
    on: int


def line(mark: Line, frame: Frame, number: int, choice: Choice | None) -> str:
    """The curve or the points, and their errors."""
    heights = frame.right if mark.right and frame.right is not None else frame.y
    x, y = frame.x.places(mark.x), heights.places(mark.y)
    kinds, asked = _kinds(mark, number), ""
    if choice is not None:
        kinds = "line on" if number == choice.on else "line faint"
        asked = f' data-at="{number}" data-words="{text(choice.words[number])}"'
    drawn = _dots(x, y, number) if mark.points else "".join(_runs(x, y))
    errors = ""
    if mark.error is not None:
        ends = [heights.places(mark.y + way * mark.error) for way in (-1, 1)]
        errors = f'<path class="error l{number % COLOURS}" d="{_errors(x, *ends)}"/>'
    return f'{errors}<path class="{kinds}"{asked} clip-path="url(#{frame.clip})" d="{drawn}"/>'


def _kinds(mark: Line, number: int) -> str:
    points = " points" if number % COLOURS == 0 else " signs"
    shape = (points if mark.points else "") + (" dashed" if mark.dashed else "")
    return f"line l{number % COLOURS}{TONES[mark.tone]}{shape}"


def _dots(x: Array, y: Array, number: int) -> str:
    known, dot = np.isfinite(x) & np.isfinite(y), DOTS[number % COLOURS]
    return "".join(f"M{a:.1f},{b:.1f}{dot}" for a, b in zip(x[known], y[known], strict=True))


def _errors(x: Array, low: Array, high: Array) -> str:
    known = np.isfinite(x) & np.isfinite(low) & np.isfinite(high)
    ends = zip(x[known], low[known], high[known], strict=True)
    return "".join(f"M{a:.1f},{b:.1f}V{c:.1f}" for a, b, c in ends)


def _runs(x: Array, y: Array) -> Iterator[str]:
    """The pieces between holes; a point alone is a diamond."""
    known = np.isfinite(x) & np.isfinite(y)
    for is_known, places in groupby(range(len(x)), key=lambda i: bool(known[i])):
        if is_known:
            at = list(places)
            at = _bends(x, y, _thinned(x, y, at) if len(at) > THIN else at)
            points = [f"{x[i]:.1f},{y[i]:.1f}" for i in at]
            yield f"M{points[0]}" + (f"L{' '.join(points[1:])}" if points[1:] else DOTS[3])


def _thinned(x: Array, y: Array, at: list[int]) -> list[int]:
    """Of the points in one pixel's width the first, the lowest, the highest, the last."""
    kept: list[int] = []
    for _, group in groupby(at, key=lambda i: int(x[i])):
        some = list(group)
        ends = {some[0], some[-1], min(some, key=lambda i: y[i]), max(some, key=lambda i: y[i])}
        kept += sorted(ends)
    return kept


def _bends(x: Array, y: Array, at: list[int]) -> list[int]:
    """The points at which the line bends: those between are within ``SEEN`` of it. Source: Ramer,
    Douglas, Peucker (1972, 1973)."""
    kept, waiting = {0, len(at) - 1}, [(0, len(at) - 1)]
    points = np.stack([x[at], y[at]])
    while waiting:
        first, last = waiting.pop()
        if last - first < 2:
            continue
        (dx, dy), some = points[:, last] - points[:, first], points[:, first + 1 : last]
        off = some - points[:, first, None]
        long = float(np.hypot(dx, dy))
        far = np.abs(dx * off[1] - dy * off[0]) / long if long else np.hypot(*off)
        middle = first + 1 + int(np.argmax(far))
        if far.max() > SEEN:
            kept.add(middle)
            waiting += [(first, middle), (middle, last)]
    return [at[i] for i in sorted(kept)]


def band(mark: Band, frame: Frame, number: int) -> str:
    """The area between two curves."""
    x, low, high = frame.x.places(mark.x), frame.y.places(mark.low), frame.y.places(mark.high)
    known = np.isfinite(x) & np.isfinite(low) & np.isfinite(high)
    around = [*zip(x[known], low[known], strict=True), *zip(x[known][::-1], high[known][::-1],
                                                            strict=True)]  # fmt: skip
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in around)
    kinds = f"band b{number % COLOURS}"
    return f'<polygon class="{kinds}" clip-path="url(#{frame.clip})" points="{points}"/>'


def region(mark: Region, frame: Frame) -> str:
    """The part between two heights, with its name where there is room."""
    x, y = frame.x, frame.y
    ends = [min(max(end, y.low), y.high) for end in (mark.low, mark.high)]
    places = (y.start + (end - y.low) / (y.high - y.low) * (y.stop - y.start) for end in ends)
    top, bottom = sorted(places)
    if bottom - top < 1:
        return ""
    name = words_at(x.start + 6, top + 15, mark.name, kind="quiet") if bottom - top > 18 else ""
    return (
        f'<rect class="region{TONES[mark.tone]}" x="{x.start:.1f}" y="{top:.1f}" '
        f'width="{x.stop - x.start:.1f}" height="{bottom - top:.1f}"/>{name}'
    )


def legend(picture: Picture) -> str:
    """The lines and bands by name, each with a piece of itself; nothing for a single one that is
    not on a map."""
    entries, number = list[str](), 0
    for mark in picture.marks:
        if isinstance(mark, Band) and mark.name:
            piece = f'<rect class="band b{number % COLOURS}" width="40" height="14"/>'
            entries.append(entry(piece, mark.name))
        if isinstance(mark, Line):
            drawn = f"M20,7{DOTS[number % COLOURS]}" if mark.points else "M0,7h40"
            piece = f'<path class="{_kinds(mark, number)}" d="{drawn}"/>'
            name = f"{mark.name}, right axis" if mark.right else mark.name
            entries += [entry(piece, name)] if mark.name else []
            number += 1
    least = 1 if any(isinstance(mark, Heat) for mark in picture.marks) else 2
    return f'<ul class="legend">{"".join(entries)}</ul>\n' if len(entries) >= least else ""


def entry(piece: str, name: str) -> str:
    """A line of a legend."""
    return f'<li><svg viewBox="0 0 40 14" aria-hidden="true">{piece}</svg>{said(name)}</li>'
