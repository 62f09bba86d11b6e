"""What a picture holds, before any format: its axes, the marks in them, and what one sees there.

A picture is data, as a table is (``views.blocks``). Each kind of picture is a function from a
result to a ``Picture``; each format draws every ``Picture``: Matplotlib (the extra ``plot``) as
PNG, SVG or PDF, the report as SVG within a page, ``--plot-data`` its numbers, a terminal its
strips. So a new kind of picture knows no format, and a new format knows no kind.

Values that are not finite are holes: they are left out of a line, and of a map.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from rnngrad.arithmetic.arrays import Array

Tone: TypeAlias = Literal["", "gone", "kept", "blown up", "faint"]
"""What a colour means: below 0 on a scale of log10, at it, above it; or of no weight."""


class Axis(NamedTuple):
    """``low`` and ``high`` where the data does not set them; ``ticks``: places with their words;
    ``down``: it grows downwards; ``whole``: it counts."""

    label: str
    log: bool = False
    low: float | None = None
    high: float | None = None
    ticks: tuple[tuple[float, str], ...] = ()
    down: bool = False
    whole: bool = False


class Line(NamedTuple):
    """A curve, or points; ``error``: half the length of bars; ``right``: on the right axis."""

    name: str
    x: Array
    y: Array
    points: bool = False
    dashed: bool = False
    error: Array | None = None
    right: bool = False
    tone: Tone = ""


class Band(NamedTuple):
    """The area between two curves."""

    name: str
    x: Array
    low: Array
    high: Array


class Level(NamedTuple):
    """A thin line across the picture: at ``y``, or upright at ``x``; its name may be empty."""

    name: str
    y: float | None = None
    x: float | None = None


class Region(NamedTuple):
    """The part of the picture between two heights, shaded, with a name; ±inf is its edge."""

    name: str
    low: float
    high: float
    tone: Tone


class Heat(NamedTuple):
    """A map: ``z[j, i]`` at ``x[i]``, ``y[j]``. ``diverging``: two colours that part at 0.
    ``ends``: the values that its colours go from and to, where other maps share them. ``across``,
    ``down``: what its columns and rows are of, where ``x`` and ``y`` are but their places."""

    name: str
    x: Array
    y: Array
    z: Array
    diverging: bool = True
    ends: tuple[float, float] | None = None
    across: tuple[float | str, ...] = ()
    down: tuple[float | str, ...] = ()

    @property
    def span(self) -> tuple[float, float] | None:
        """The least and the greatest value that the colours stand for; None where none is known."""
        seen = self.z[np.isfinite(self.z)]
        return self.ends or ((float(seen.min()), float(seen.max())) if seen.size else None)

    def partings(self, x: Array, y: Array) -> Iterator[tuple[float, float, float, float]]:
        """The lines (x1, y1, x2, y2) along which cells below 0 lie beside others. ``x``, ``y``: the
        borders of the columns and of the rows."""
        below, known = self.z < 0, ~np.isnan(self.z)
        for turned, along, beside in ((False, y, x), (True, x, y)):
            low, there = (below.T, known.T) if turned else (below, known)
            parted = (low[:, 1:] != low[:, :-1]) & there[:, 1:] & there[:, :-1]
            for i, column in enumerate(parted.T, start=1):
                ends = np.flatnonzero(np.diff(np.pad(column.astype(np.int8), 1)))
                for first, last in ends.reshape(-1, 2):
                    at, start, end = float(beside[i]), float(along[first]), float(along[last])
                    yield (start, at, end, at) if turned else (at, start, at, end)


class Bar(NamedTuple):
    """A bar that lies from ``start`` to ``end``, with its name before it and words behind it."""

    name: str
    start: float
    end: float
    words: str
    tone: Tone = ""


class Bars(NamedTuple):
    """Bars, the first at the top, at heights 0, 1, 2 …"""

    bars: tuple[Bar, ...]


class Node(NamedTuple):
    """A state or a loss of the unrolled net; ``words`` stand below it, ``value`` as a number."""

    name: str
    x: float
    y: float
    round: bool = True
    words: str = ""
    value: float | None = None


class Arrow(NamedTuple):
    """From one node to another; ``log10`` of what it lets through sets its width and colour, and
    stands beside it in ``words``."""

    start: Node
    end: Node
    log10: float
    words: str


class Graph(NamedTuple):
    """The unrolled net."""

    nodes: tuple[Node, ...]
    arrows: tuple[Arrow, ...]


Mark: TypeAlias = Line | Band | Level | Region | Heat | Bars | Graph


class Picture(NamedTuple):
    """``name``: what ``--plot-what`` calls it. ``finding``: what one sees, in one sentence.

    ``of``: the net that it is of, where it is of one alone. ``notes`` stand below it: what was
    sampled or thinned. ``square``: a unit is as long across as up. A ``Graph`` has no axes; without
    any mark there is nothing to be seen, and the finding says why.
    """

    name: str
    title: str
    finding: str
    x: Axis
    y: Axis
    marks: tuple[Mark, ...]
    right: Axis | None = None
    notes: tuple[str, ...] = ()
    of: str = ""
    square: bool = False


def notes_of(picture: Picture) -> tuple[str, ...]:
    """Its notes, and what has to be known of its colours."""
    spans = [one.span for one in picture.marks if isinstance(one, Heat) and one.diverging]
    parted = any(span is not None and span[0] < 0 < span[1] for span in spans)
    own = ("Colours below 0 and above it have a scale each: see the bar.",)
    return picture.notes + own * parted


def on_one_scale(pictures: Iterable[Picture]) -> list[Picture]:
    """The same, those of one kind with one scale of colours, so that their maps can be compared."""
    found = list(pictures)
    spans: dict[str, list[tuple[float, float]]] = {}
    for picture in found:
        for mark in picture.marks:
            if isinstance(mark, Heat) and mark.span is not None:
                spans.setdefault(picture.name, []).append(mark.span)
    ends = {
        name: (min(low for low, _ in some), max(high for _, high in some))
        for name, some in spans.items()
        if len(some) > 1
    }

    def scaled(mark: Mark, name: str) -> Mark:
        return mark._replace(ends=ends.get(name)) if isinstance(mark, Heat) else mark

    return [one._replace(marks=tuple(scaled(m, one.name) for m in one.marks)) for one in found]
