"""CSV as pandas, polars and DuckDB read it: a header, dots for decimals, an empty cell for none.

A spreadsheet runs a cell that begins with = + - or @ as a formula, and whoever writes a spec names
it: such a text gets a ' before it, as OWASP has it (*CSV Injection*). Numbers stay numbers.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator

from rnngrad.errors import printable
from rnngrad.views.report import Cell, Report, Screen

FORMULA = tuple("=+-@\t\r")
"""How texts begin that a spreadsheet takes for a formula."""


def render(report: Report, screen: Screen) -> Iterator[str]:
    """A line a time; numbers to the last digit."""
    yield _line(report.columns)
    for row in report.rows():
        yield _line(tuple(map(_cell, row)))


def _cell(cell: Cell) -> Cell:
    if cell is None or (isinstance(cell, float) and not math.isfinite(cell)):
        return ""
    return _harmless(cell) if isinstance(cell, str) else cell


def _harmless(text: str) -> str:
    text = printable(text)
    return f"'{text}" if text[:1] in FORMULA and not _number(text) else text


def _number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _line(cells: tuple[Cell, ...]) -> str:
    import csv  # only now: the other formats need not wait for it

    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()
