"""The numbers of pictures, one mark's point a row: for ``--plot-data``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

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
)
from rnngrad.views.report import Cell, Report

COLUMNS = ("picture", "net", "title", "series", "x", "y", "value", "low", "high")
"""``x``, ``y``: the place; ``value``: the number of a cell, a bar or an arrow; ``low``, ``high``:
the ends of a band, a bar, a region or an error."""

Row = tuple[Cell, Cell, Cell, Cell, Cell, Cell]
"""series, x, y, value, low, high"""


def report(pictures: Sequence[Picture]) -> Report:
    """The pictures' numbers alone, as a format takes them."""
    return Report(lambda: (), dict, COLUMNS, lambda: rows(pictures))


def rows(pictures: Iterable[Picture]) -> Iterator[tuple[Cell, ...]]:
    """Under ``COLUMNS``."""
    for picture in pictures:
        for mark in picture.marks:
            for row in _of(mark):
                yield (picture.name, picture.of, picture.title, *row)


def _of(mark: Mark) -> Iterator[Row]:
    match mark:
        case Line():
            for i, (at, height) in enumerate(zip(mark.x, mark.y, strict=True)):
                error, value = None if mark.error is None else float(mark.error[i]), float(height)
                ends = (None, None) if error is None else (value - error, value + error)
                yield mark.name, float(at), value, None, *ends
        case Band():
            for x, low, high in zip(mark.x, mark.low, mark.high, strict=True):
                yield mark.name, float(x), None, None, float(low), float(high)
        case Level():
            yield mark.name, mark.x, mark.y, None, None, None
        case Region():
            yield mark.name, None, None, None, mark.low, mark.high
        case Heat():
            for (j, i), z in np.ndenumerate(mark.z):
                if not np.isnan(z):
                    x = mark.across[i] if mark.across else float(mark.x[i])
                    y = mark.down[j] if mark.down else float(mark.y[j])
                    yield mark.name, x, y, float(z), None, None
        case Bars():
            for y, bar in enumerate(mark.bars):
                yield bar.name, None, float(y), bar.end - bar.start, bar.start, bar.end
        case Graph():
            for node in mark.nodes:
                yield node.name, node.x, node.y, node.value, None, None
            for arrow in mark.arrows:
                name = f"{arrow.start.name} → {arrow.end.name}, log10"
                yield name, None, None, arrow.log10, None, None
