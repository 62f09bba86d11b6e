"""CSV as pandas, polars and DuckDB read it: a header, dots for decimals, an empty cell for none."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator

from rnngrad.views.report import Cell, Report, Screen


def render(report: Report, screen: Screen) -> Iterator[str]:
    """A line a time; numbers to the last digit."""
    yield _line(report.columns)
    for row in report.rows():
        yield _line(tuple(map(_cell, row)))


def _cell(cell: Cell) -> Cell:
    if cell is None or (isinstance(cell, float) and not math.isfinite(cell)):
        return ""
    return cell


def _line(cells: tuple[Cell, ...]) -> str:
    import csv  # only now: the other formats need not wait for it

    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()
