"""The questions alone, with the numbers of the net: a sheet to fill in."""

from __future__ import annotations

from collections.abc import Iterator

from rnngrad.analyses.derivation.derive import Derivation
from rnngrad.views.blocks import Block, Formula, Formulas, Lines
from rnngrad.views.homework.sheet import Sheet
from rnngrad.views.report import Report
from rnngrad.views.typesetting.layout import Row
from rnngrad.views.typesetting.reading import read

COLUMNS = ("id", "symbol", "equations")


def questions(result: Derivation, *, matrix: bool = False) -> Report:
    """What is asked, and nothing of the answers."""
    sheet = Sheet(result, matrix=matrix)
    return Report(
        blocks=lambda: _blocks(sheet),
        document=lambda: {
            "command": "derive",
            "spec": {"name": result.problem.name},
            "questions": [dict(zip(COLUMNS, row, strict=True)) for row in _rows(sheet)],
        },
        columns=COLUMNS,
        rows=lambda: _rows(sheet),
    )


def _rows(sheet: Sheet) -> Iterator[tuple[str, ...]]:
    for line in sheet.lines:
        yield line.id, line.symbol, line.equations


def _blocks(sheet: Sheet) -> Iterator[Block]:
    yield from sheet.opening()
    yield Lines((_what_to_do(sheet),))
    for line in sheet.lines:
        every = ", for every t" if sheet.every_step(line) else ""
        answer = () if line.id in sheet.again else (Row(()),)
        yield Formulas(sheet.heading(line) + every, (Formula(read(line.symbol), answer),))


def _what_to_do(sheet: Sheet) -> str:
    digits = "Write each derivative by the chain rule, put the numbers in, and give its value"
    return f"{digits} to three significant digits or more."
