"""A picture as a figure of a page, in its colours of light and of dark.

A figure has its title, its finding, a legend where there is more than one line, the drawing, and
notes. Only classes are used (``views/page/style.css``), so that a page may forbid all other styles.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from rnngrad.views.pictures.picture import (
    Band,
    Bars,
    Graph,
    Heat,
    Level,
    Line,
    Mark,
    Picture,
    Region,
    notes_of,
)
from rnngrad.views.pictures.svg.bars import bars
from rnngrad.views.pictures.svg.frame import BELOW, Frame, axes, drawing, frame_of, levels
from rnngrad.views.pictures.svg.graph import graph
from rnngrad.views.pictures.svg.heat import KEY, colour_key, heat_map
from rnngrad.views.pictures.svg.marks import Choice, band, legend, line, region
from rnngrad.views.pictures.svg.words import said


def figure(picture: Picture, key: str, choice: Choice | None = None, level: int = 3) -> str:
    """The figure; ``key`` begins its ids, so that no two on a page are the same. ``choice``: a
    slider chooses among its lines. ``level``: of its heading."""
    broad = ' class="broad"' if any(isinstance(mark, Graph) for mark in picture.marks) else ""
    notes = "".join(f'<p class="note">{said(note)}</p>\n' for note in notes_of(picture))
    return (
        f"<figure{broad}>\n<h{level}>{said(picture.title)}</h{level}>\n"
        f'<p class="finding">{said(picture.finding)}</p>\n'
        + (svg(picture, key, choice) if any(map(_seen, picture.marks)) else "")
        + f"{notes}</figure>\n"
    )


def figures(drawn: Iterable[Picture], key: str, level: int) -> Iterator[str]:
    """Figures beside each other where there is room."""
    yield '<div class="pictures">\n'
    for i, picture in enumerate(drawn, start=1):
        yield figure(picture, f"{key}-{i}", level=level)
    yield "</div>\n"


def _seen(mark: Mark) -> bool:
    """Whether it is more than what helps to read others, and has a number in it."""
    if isinstance(mark, Line):
        return bool(np.isfinite(mark.y).any())
    if isinstance(mark, Band):
        return bool((np.isfinite(mark.low) & np.isfinite(mark.high)).any())
    if isinstance(mark, Heat):
        return bool(np.isfinite(mark.z).any())
    return isinstance(mark, Bars | Graph)


def svg(picture: Picture, key: str, choice: Choice | None = None) -> str:
    """Legend and drawing."""
    first = picture.marks[0]
    if isinstance(first, Graph):
        return graph(picture, first, key)
    if isinstance(first, Bars):
        return bars(picture, first, key)
    return ("" if choice else legend(picture)) + _plot(picture, key, choice)


def _plot(picture: Picture, key: str, choice: Choice | None) -> str:
    frame = frame_of(picture, key)
    marks, lines = list[str](), 0
    for mark in picture.marks:
        marks.append(_marked(mark, picture, frame, lines, choice))
        lines += isinstance(mark, Line)
    if choice is not None:  # over the others
        marks.append(marks.pop(choice.on))
    drawn = [*axes(picture, frame), *marks]
    drawn += levels([mark for mark in picture.marks if isinstance(mark, Level)], frame)
    height = frame.bottom + BELOW
    for mark in picture.marks:
        if isinstance(mark, Heat):
            drawn += colour_key(mark, frame, height)
            height += KEY
    return drawing(picture, key, height, drawn)


def _marked(mark: Mark, picture: Picture, frame: Frame, number: int, choice: Choice | None) -> str:
    """All but levels, which come last. ``number``: of the line that it is, or that follows."""
    if isinstance(mark, Line):
        return line(mark, frame, number, choice)
    if isinstance(mark, Band):
        return band(mark, frame, number)
    if isinstance(mark, Region):
        return region(mark, frame)
    return heat_map(mark, picture, frame) if isinstance(mark, Heat) else ""
