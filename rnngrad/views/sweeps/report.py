"""A sweep as a report, for whichever format follows."""

from __future__ import annotations

from collections.abc import Iterator

from rnngrad.analyses.sweep.points import Row
from rnngrad.analyses.sweep.sweep import SweepResult, document
from rnngrad.views.pictures.kinds import pictures
from rnngrad.views.pictures.rate_map import Swept
from rnngrad.views.report import Cell, Report
from rnngrad.views.sweeps import tables

COLUMNS = Row._fields


def report(done: SweepResult, full: bool) -> Report:
    """What the formats need of a sweep."""
    return Report(
        blocks=lambda: tables.blocks(done, full),
        document=lambda: document(done),
        columns=COLUMNS,
        rows=lambda: rows(done),
        pictures=lambda: pictures("rate", Swept(done)),
    )


def rows(done: SweepResult) -> Iterator[tuple[Cell, ...]]:
    """One point a row."""
    yield from done.rows
