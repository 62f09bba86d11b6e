"""Bars that lie: names to the left, words behind each, and where points are an upright line."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rnngrad.views.pictures.picture import Bar, Bars, Level, Line, Picture
from rnngrad.views.pictures.svg.frame import BELOW as UNDER
from rnngrad.views.pictures.svg.frame import WIDTH, Frame, below, drawing, rule
from rnngrad.views.pictures.svg.marks import TONES, entry
from rnngrad.views.pictures.svg.scale import Scale, scale
from rnngrad.views.pictures.svg.words import width_of, words_at

TOP, BAR, THICK = 8.0, 24.0, 17.0
"""Above the first; from one to the next; of one."""


def bars(picture: Picture, mark: Bars, key: str) -> str:
    """Each with a thin line to the next one, where that goes on from its end."""
    left = 8 + max(width_of(bar.name) for bar in mark.bars)
    behind = 10 + max(width_of(bar.words) for bar in mark.bars)
    bottom = TOP + BAR * len(mark.bars) + 4
    ends = np.array([[bar.start, bar.end] for bar in mark.bars])
    x = scale(picture.x, [ends, np.zeros(1)], left, WIDTH - behind, 0.0)
    frame = Frame(x, Scale(0, 1, bottom, TOP), None, f"{key}-clip")
    drawn = list(below(picture.x, frame))
    for level in picture.marks:
        if isinstance(level, Level) and level.x is not None and x.holds(level.x):
            drawn += [rule(x.at(level.x), TOP, x.at(level.x), bottom, "level")]
    points = [other for other in picture.marks if isinstance(other, Line)]
    for line in points:
        drawn += _points(line, frame)
    for i, bar in enumerate(mark.bars):
        goes_on = any(after.start == bar.end for after in mark.bars[i + 1 : i + 2])
        drawn += _bar(bar, frame, TOP + BAR * i + 4, goes_on=goes_on)
    names = "".join(entry('<path class="frame" d="M20,0v14"/>', line.name) for line in points)
    legend = f'<ul class="legend">{names}</ul>\n' if names else ""
    return legend + drawing(picture, key, bottom + UNDER, drawn)


def _points(line: Line, frame: Frame) -> Iterator[str]:
    """At the height of a bar 0, 1, 2 …"""
    for value, height in zip(line.x, line.y, strict=True):
        if frame.x.holds(float(value)):
            at, y = frame.x.at(float(value)), TOP + BAR * float(height) + 4
            yield rule(at, y - 2, at, y + THICK + 2, "frame")


def _bar(bar: Bar, frame: Frame, y: float, *, goes_on: bool) -> Iterator[str]:
    x = frame.x
    low, high = sorted((x.at(bar.start), x.at(bar.end)))
    yield words_at(x.start - 6, y + 13, bar.name, "end")
    yield (
        f'<rect class="bar{TONES[bar.tone]}" x="{low:.1f}" y="{y:.1f}" '
        f'width="{max(high - low, 1.0):.1f}" height="{THICK:.0f}"/>'
    )
    yield words_at(high + 6, y + 13, bar.words)
    if goes_on:
        yield rule(x.at(bar.end), y + THICK, x.at(bar.end), y + BAR, "frame")
