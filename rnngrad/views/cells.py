"""The cells that come with rnngrad, as a report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rnngrad.cells import shipped
from rnngrad.version import __version__
from rnngrad.views.blocks import Block, Column, Formula, Formulas, Lines, Table
from rnngrad.views.report import Cell, Report
from rnngrad.views.typesetting.reading import read

COLUMNS = ("name", "title", "source")


def report(names: Sequence[str]) -> Report:
    """All cells, or one: to read its equations."""
    return Report(
        blocks=lambda: _blocks(names) if len(names) > 1 else _equations(names[0]),
        document=lambda: {
            "command": "cells",
            "version": __version__,
            "cells": [_entry(name) for name in names],
        },
        columns=COLUMNS,
        rows=lambda: _rows(names),
    )


def _rows(names: Sequence[str]) -> Iterator[tuple[Cell, ...]]:
    for name in names:
        found = shipped(name)
        yield name, found.title, found.source


def _blocks(names: Sequence[str]) -> Iterator[Block]:
    columns = (
        Column("name", right=False),
        Column("cell", words=True, right=False),
        Column("source", words=True, right=False),
    )
    rows = tuple((str(name), str(title), str(source)) for name, title, source in _rows(names))
    notes = ("rnngrad cells NAME prints the equations, rnngrad init --cell NAME a spec that runs",)
    yield Table("cells", columns, rows, notes)


def _equations(name: str) -> Iterator[Block]:
    found = shipped(name)
    yield Lines((name, found.title), titled=True)
    texts = (str(one).partition(" = ") for one in found.cell.equations.equations)
    yield Formulas("", tuple(Formula(read(left), (read(right),)) for left, _, right in texts))
    note = found.note.strip().replace("{t-1}", "{t−1}")
    yield Lines((f"Source: {found.source}", *([note] if note else [])))


def _entry(name: str) -> dict[str, object]:
    found = shipped(name)
    return {
        "name": name,
        "title": found.title,
        "source": found.source,
        "note": found.note.strip(),
        "cell": dict(found.mapping),
        "parameters": {n: list(shape) for n, shape in found.cell.parameters.items()},
        "start": dict(found.start),
    }
