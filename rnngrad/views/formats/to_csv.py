"""CSV as pandas, polars and DuckDB read it: a header, dots for decimals, an empty cell for none."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator

from rnngrad.errors import escaped
from rnngrad.views.report import Cell, Report, Screen

_ACTS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""What a terminal would act on, in a name."""


def render(report: Report, screen: Screen) -> Iterator[str]:
    """A line a time; numbers to the last digit."""
    yield _line(report.columns)
    for row in report.rows():
        yield _line(tuple(map(_cell, row)))


def _cell(cell: Cell) -> Cell:
    if cell is None or (isinstance(cell, float) and not math.isfinite(cell)):
        return ""
    return _ACTS.sub(lambda found: escaped(found[0]), cell) if isinstance(cell, str) else cell


def _line(cells: tuple[Cell, ...]) -> str:
    import csv  # only now: the other formats need not wait for it

    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()
