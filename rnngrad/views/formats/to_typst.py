"""Blocks as typst: equations in line, tables; a document that compiles as it is."""

from __future__ import annotations

from collections.abc import Iterator

from rnngrad.views.blocks import Fitted, Formula, Formulas, Lines, Table
from rnngrad.views.formats.to_latex import WIDEST, to_fill_in
from rnngrad.views.report import Report, Screen
from rnngrad.views.typesetting.layout import lines, width
from rnngrad.views.typesetting.typst import Typst, escaped, prose, quoted

PREAMBLE = """\
#set document(date: none)
#set page(paper: "a4", margin: 2.3cm)
#set text(size: 10.5pt)
#show math.equation.where(block: true): set align(left)
#show math.equation.where(block: true): set block(breakable: true)
#set math.equation(numbering: none)
"""

_TYPST = Typst()


def render(report: Report, screen: Screen) -> Iterator[str]:
    """A block a time, a blank line between."""
    yield PREAMBLE
    for block in report.blocks():
        yield "\n"
        block = block.made(screen.width) if isinstance(block, Fitted) else block
        if isinstance(block, Formulas):
            yield _formulas(block)
        else:
            yield _table(block) if isinstance(block, Table) else _lines(block)


def _lines(block: Lines) -> str:
    first, rest = block.lines[0], block.lines[1:]
    head = f"= {escaped(first)}" if block.titled else prose(first)
    return "\n\n".join([head, *map(prose, rest)]) + "\n"


def _formulas(block: Formulas) -> str:
    title = f"== {escaped(block.title)}\n" if block.title else ""
    body = " \\\n".join(line for row in block.rows for line in _aligned(row))
    body = f"$\n{body}\n$\n" if body else ""
    room = "#v(5em)\n" if to_fill_in(block) else ""
    notes = "".join(f"\n{prose(note)}\n" for note in block.notes)
    return title + body + room + notes


def _aligned(formula: Formula) -> Iterator[str]:
    room = max(WIDEST - width(formula.left) - 3, WIDEST / 3)
    left = _TYPST.row(formula.left)
    if not formula.sides:
        yield f"  & {left}"
    for index, side in enumerate(formula.sides):
        for at, line in enumerate(lines(side, room)):
            begins = f"{left} &= " if index == 0 else "&= "
            begins = begins if at == 0 else '&quad "" '
            yield f"  {begins}{_TYPST.row(line)}"


def _table(block: Table) -> str:
    aligns = ("right" if c.right and not c.words else "left" for c in block.columns)
    columns = ", ".join("1fr" if column.words else "auto" for column in block.columns)
    head = ", ".join(f"strong({quoted(column.header)})" for column in block.columns)
    rows = "".join(f"  {', '.join(map(_cell, cells))},\n" for cells in block.rows)
    notes = "".join(f"\n{prose(note)}\n" for note in block.notes)
    return (
        f"== {escaped(block.title)}\n#text(size: 8pt, table(columns: ({columns},), stroke: none, "
        f"align: ({', '.join(aligns)},),\n  table.header({head}), table.hline(),\n{rows}))\n{notes}"
    )


def _cell(text: str) -> str:
    return " + linebreak() + ".join(map(quoted, text.split("\n")))
