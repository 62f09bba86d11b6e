"""The frame of a drawing: its words for whoever does not see it, its axes, its levels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from rnngrad.arithmetic.arrays import Array
from rnngrad.views.page.page import text
from rnngrad.views.pictures.picture import Axis, Band, Heat, Level, Line, Mark, Picture
from rnngrad.views.pictures.svg.scale import Scale, scale
from rnngrad.views.pictures.svg.words import ROW, width_of, words_at

WIDTH, HEIGHT = 480.0, 220.0
"""Of a drawing, and of what lies between its axes: on a telephone its 13-pixel letters are still
some 10 high."""

TOP, BELOW = 26.0, 42.0
"""Room above the axes for a label, and below them for ticks and a label."""

TALLEST, LOWEST = 420.0, 160.0
"""Of a map, or of axes of one unit."""

ROOM = 56.0
"""The height of a cell at most."""

NEAR = 0.6
"""Levels are drawn that are no farther from the lines than so much of their span."""


class Frame(NamedTuple):
    """The scales of a plot, and the clip that lines stay in."""

    x: Scale
    y: Scale
    right: Scale | None
    clip: str

    @property
    def top(self) -> float:
        """Where the axes end."""
        return min(self.y.start, self.y.stop)

    @property
    def bottom(self) -> float:
        """Where the x axis lies."""
        return max(self.y.start, self.y.stop)


def drawing(picture: Picture, key: str, height: float, inside: Sequence[str], width: float = WIDTH
            ) -> str:  # fmt: skip
    """The ``<svg>`` with title and finding."""
    title, desc = f"{key}-title", f"{key}-desc"
    return (
        f'<svg class="picture" role="img" aria-labelledby="{title} {desc}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}">\n'
        f'<title id="{title}">{text(picture.title)}</title>\n'
        f'<desc id="{desc}">{text(picture.finding)}</desc>\n' + "\n".join(inside) + "\n</svg>\n"
    )


def rule(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    """A straight line."""
    return f'<path class="{kind}" d="M{x1:.1f},{y1:.1f}L{x2:.1f},{y2:.1f}"/>'


# ---------------------------------------------------------------------------- scales


def frame_of(picture: Picture, key: str) -> Frame:
    """The scales that hold what the picture has."""
    heat = any(isinstance(mark, Heat) for mark in picture.marks)
    dots = any(isinstance(mark, Line) and mark.points for mark in picture.marks)
    xs, ys, on_the_right = _values(picture.marks)
    heights = _with_levels(picture.marks, ys)

    def up(height: float) -> Scale:
        return scale(picture.y, heights, TOP + height, TOP, 0.0 if heat else 0.05)

    left, end, right = 10 + _widest(up(HEIGHT)), WIDTH - 14, None
    if picture.right is not None:
        right = scale(picture.right, on_the_right, TOP + HEIGHT, TOP, 0.05)
        end -= 4 + _widest(right)
    else:
        end -= max((width_of(m.name) for m in picture.marks
                    if isinstance(m, Level) and m.y is not None), default=0.0)  # fmt: skip
    x = scale(picture.x, xs, left, end, 0.04 if dots and not heat else 0.0)
    height = HEIGHT
    if heat or picture.square:
        y = up(HEIGHT)
        ratio = (y.high - y.low) / (x.high - x.low) if picture.square else 1.0
        tallest = min([TALLEST, *(ROOM * len(m.y) for m in picture.marks if isinstance(m, Heat))])
        height = max(min((end - left) * ratio, tallest), LOWEST)
        if picture.square:
            x = _widened(x, (height / ratio) / (end - left))
    return Frame(x, up(height), right, f"{key}-clip")


def _widened(x: Scale, part: float) -> Scale:
    """The same values on a part of the length, in its middle."""
    middle, half = (x.start + x.stop) / 2, (x.stop - x.start) / 2 * min(part, 1.0)
    return x._replace(start=middle - half, stop=middle + half)


def _widest(axis: Scale) -> float:
    return max((width_of(words) for _, words in axis.ticks), default=0.0)


def _values(marks: Sequence[Mark]) -> tuple[list[Array], list[Array], list[Array]]:
    """What lies on the axes: x, y and the right one."""
    xs, ys, right = list[Array](), list[Array](), list[Array]()
    for mark in marks:
        if isinstance(mark, Line):
            error = np.zeros(1) if mark.error is None else np.nan_to_num(mark.error)
            xs.append(mark.x)
            (right if mark.right else ys).extend((mark.y - error, mark.y + error))
        elif isinstance(mark, Band):
            xs.append(mark.x)
            ys += [mark.low, mark.high]
        elif isinstance(mark, Heat):
            xs.append(edges(mark.x))
            ys.append(edges(mark.y))
    return xs, ys, right


def edges(middles: Array) -> Array:
    """The two ends of a row of cells."""
    half = 0.5 if len(middles) == 1 else abs(middles[-1] - middles[0]) / (len(middles) - 1) / 2
    return np.array([middles.min() - half, middles.max() + half])


def _with_levels(marks: Sequence[Mark], ys: list[Array]) -> list[Array]:
    """The heights of lines, and of levels that are not far from them."""
    known = np.concatenate([np.ravel(one) for one in ys] or [np.zeros(0)])
    known = known[np.isfinite(known)]
    places = [mark.y for mark in marks if isinstance(mark, Level) and mark.y is not None]
    if not known.size:
        return [*ys, np.array(places)]
    low, high = float(known.min()), float(known.max())
    far = NEAR * (high - low)
    return [*ys, np.array([y for y in places if low - far <= y <= high + far])]


# ---------------------------------------------------------------------------- axes and levels


def axes(picture: Picture, frame: Frame) -> Iterator[str]:
    """Grid, ticks, labels: that of the heights stands above them."""
    x, y = frame.x, frame.y
    grid = not any(isinstance(mark, Heat) for mark in picture.marks)
    yield (
        f'<clipPath id="{frame.clip}"><rect x="{x.start:.1f}" y="{frame.top:.1f}" '
        f'width="{x.stop - x.start:.1f}" height="{frame.bottom - frame.top:.1f}"/></clipPath>'
    )
    for value, words in y.ticks:
        at = y.at(value)
        yield rule(x.start, at, x.stop, at, "grid") if grid else ""
        yield words_at(x.start - 6, at + 4, words, "end", "quiet")
    yield words_at(0, 14, picture.y.label)
    yield from below(picture.x, frame)
    if frame.right is not None and picture.right is not None:
        for value, words in frame.right.ticks:
            yield words_at(x.stop + 6, frame.right.at(value) + 4, words, "start", "quiet")
        yield words_at(WIDTH, 14, picture.right.label, "end")


def below(axis: Axis, frame: Frame) -> Iterator[str]:
    """The x axis; a tick that has no room has no words."""
    x, at = frame.x, frame.bottom
    yield rule(x.start, at, x.stop, at, "frame")
    last = -np.inf
    for value, words in x.ticks:
        place, half = x.at(value), width_of(words) / 2
        yield rule(place, at, place, at + 4, "frame")
        if place - half > last:
            yield words_at(place, at + 17, words, "middle", "quiet")
            last = place + half + 4
    yield words_at(x.stop, at + 34, axis.label, "end")


def levels(found: Sequence[Level], frame: Frame) -> Iterator[str]:
    """The levels in the picture, their names apart from each other."""
    yield from _across(sorted((one.y, one.name) for one in found if one.y is not None), frame)
    yield from _upright([(one.x, one.name) for one in found if one.x is not None], frame)


def _across(found: Sequence[tuple[float, str]], frame: Frame) -> Iterator[str]:
    x, last = frame.x, np.inf
    for value, name in found:
        if frame.y.holds(value):
            at = frame.y.at(value)
            last = min(at + 4, last - ROW)
            yield rule(x.start, at, x.stop, at, "level")
            yield words_at(x.stop + 6, last, name, kind="quiet")


def _upright(found: Sequence[tuple[float, str]], frame: Frame) -> Iterator[str]:
    x, row = frame.x, 0
    for value, name in found:
        if x.holds(value):
            at, y = x.at(value), frame.top + 12 + ROW * row
            yield rule(at, frame.top, at, frame.bottom, "level")
            room = at + 5 + width_of(name) < x.stop
            yield words_at(at + 5 if room else at - 5, y, name, "start" if room else "end", "quiet")
            row += 1
