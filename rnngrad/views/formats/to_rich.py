"""Blocks as text by way of Rich, in a terminal as in a pipe.

Rich cuts what is too wide for its table, numbers too; so a table's columns are brought to their
widths here, those of words narrower, and the table is as wide as its numbers need. ASCII is put in
the place of other signs before anything is laid out.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from textwrap import wrap
from types import MappingProxyType
from typing import NamedTuple

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from rnngrad.views.ascii import to_ascii
from rnngrad.views.blocks import Block, Column, Fitted, Formula, Formulas, Lines, Meaning, Table
from rnngrad.views.report import Report, Screen
from rnngrad.views.typesetting.layout import Row
from rnngrad.views.typesetting.layout import lines as broken
from rnngrad.views.typesetting.writing import Plain

GAP = 2
"""Blanks between two columns."""

COLOURS: Mapping[Meaning, tuple[tuple[str, str], ...]] = MappingProxyType(
    {
        "": (),
        "verdict": (
            (r"\b(fail|FAIL|wrong)\b", "color(160)"),
            (r"\b(pass|right)\b", "color(28)"),
            (r"\b(inconclusive|undecided)\b", "color(130)"),
        ),
        "flow": (
            (r"\b(vanishing|vanishes)\b|[█▒#+]+(?=[│|])", "color(32)"),
            (r"\b(exploding|explodes)\b|(?<=[│|])[█#]+", "color(166)"),
        ),
    }
)
"""What has a meaning -> its colour: red, green, amber, blue, orange, each of such a middling light
that it is read on black and on white. Vanishing and exploding stay apart for the colour-blind."""


def render(report: Report, screen: Screen) -> Iterator[str]:
    """A block a time, a blank line between."""
    for index, block in enumerate(report.blocks()):
        yield ("\n" if index else "") + written(block, screen)


def written(block: Block, screen: Screen) -> str:
    """One block as text."""
    if isinstance(block, Formulas):
        return _formulas(block, screen)
    if isinstance(block, Fitted):
        block = block.made(screen.width)
    return _table(block, screen) if isinstance(block, Table) else _lines(block, screen)


def _console(width: int, screen: Screen) -> Console:
    """A console that writes to memory; its height matters nowhere but must be given too."""
    return Console(
        file=io.StringIO(), width=width, height=100, markup=False, highlight=False, emoji=False,
        force_terminal=screen.colour, no_color=not screen.colour, legacy_windows=False,
        color_system="256" if screen.colour else None,
    )  # fmt: skip


def _written(console: Console, screen: Screen) -> str:
    """What the console holds, without blanks at the ends of lines."""
    file = console.file
    assert isinstance(file, io.StringIO)
    text = "\n".join(line.rstrip() for line in file.getvalue().split("\n"))
    return text if screen.unicode else to_ascii(text)


def _said(text: str, screen: Screen, style: str = "") -> Text:
    return Text(text if screen.unicode else to_ascii(text), style=style)


def _coloured(text: Text, meaning: Meaning) -> Text:
    for pattern, colour in COLOURS[meaning]:
        text.highlight_regex(pattern, colour)
    return text


def _lines(block: Lines, screen: Screen) -> str:
    console = _console(screen.width, screen)
    for index, line in enumerate(block.lines):
        said = _said(line, screen, "bold" if block.titled and index == 0 else "")
        console.print(_coloured(said, block.coloured))
    return _written(console, screen)


_PLAIN = Plain()


def _formulas(block: Formulas, screen: Screen) -> str:
    console = _console(screen.width, screen)
    if block.title:
        console.print(_said(block.title, screen, "bold"))
    for line in formula_lines(block.rows, screen.width):
        console.print(_said(line, screen), no_wrap=True, overflow="ignore", crop=False)
    for note in block.notes:
        console.print(_said(note, screen))
    return _written(console, screen)


def formula_lines(rows: Iterable[Formula], width: int) -> Iterator[str]:
    """Equations as lines of text, their equals signs in line, broken before a sign; what is long
    on the left has a line of its own."""

    def measured(row: Row) -> float:
        return cell_len(_PLAIN.row(row))

    for formula in rows:
        left = _PLAIN.row(formula.left)
        long = cell_len(left) > width // 2
        indent = " " * (4 if long else cell_len(left))
        if not formula.sides or long:
            first, *rest = map(_PLAIN.row, broken(formula.left, width - 4, measured))
            yield first
            yield from (f"{indent}{line}" for line in rest)
        for index, side in enumerate(formula.sides):
            begins = left if index == 0 and not long else indent
            for at, line in enumerate(broken(side, width - cell_len(begins) - 5, measured)):
                sign = " = " if at == 0 else "   "
                begins = f"{begins if at == 0 else indent}{sign}"
                parts = at_rows(_PLAIN.row(line), width - cell_len(begins))
                yield f"{begins}{parts[0]}".rstrip()
                yield from (f"{indent}    {part}" for part in parts[1:])


def at_rows(text: str, room: int) -> list[str]:
    """Matrices that are too wide for a line, broken between their rows."""
    first, *rows = text.split("], [") if cell_len(text) > room else [text]
    lines = [first]
    for row in rows:
        if cell_len(lines[-1]) + cell_len(row) + 7 > room:
            lines[-1] += "],"
            lines.append(f"[{row}")
        else:
            lines[-1] += f"], [{row}"
    return lines


def _table(block: Table, screen: Screen) -> str:
    """All rows as a single one, a cell a column: Rich then lays out a column at a time instead of
    a cell at a time, which looks the same and takes a tenth of the time."""
    table = RichTable(
        box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False,
        header_style="bold", show_header=any(column.header for column in block.columns),
    )  # fmt: skip
    columns = laid(block, screen)
    for column in columns:
        table.add_column(
            Text(column.header, overflow="fold"),
            justify="right" if column.right else "left",
            width=column.width,
            overflow="fold",
        )
    if block.rows:
        cells = [Text("\n".join(column.lines)) for column in columns]
        table.add_row(*map(_coloured, cells, (column.coloured for column in block.columns)))
    console = _console(max(screen.width, total_width(columns) + GAP), screen)
    console.print(_said(block.title, screen, "bold"))
    console.print(table)
    for note in block.notes:
        console.print(_said(note, screen), width=screen.width)
    return _written(console, screen)


# ---------------------------------------------------------------------------- columns


class Laid(NamedTuple):
    """A column in the screen's signs: its header, the lines of all its rows, its width in cells."""

    header: str
    lines: list[str]
    width: int
    right: bool


def laid(block: Table, screen: Screen) -> list[Laid]:
    """The table no wider than the screen if it can be, and never cutting a number."""
    signs = (lambda text: text) if screen.unicode else to_ascii
    header = [signs(column.header) for column in block.columns]
    rows = [[signs(cell) for cell in row] for row in block.rows]
    widths = _fitted(block.columns, list(zip(header, *rows, strict=True)), screen.width)
    lines = _in_lines(rows, widths, block.ruled)
    return [
        Laid(name, below, width, column.right and not column.words)
        for name, below, width, column in zip(header, lines, widths, block.columns, strict=True)
    ]


def total_width(columns: list[Laid]) -> int:
    """Of the columns and the gaps between them."""
    return sum(column.width for column in columns) + GAP * (len(columns) - 1)


def wrapped(text: str, width: int) -> list[str]:
    """The text's lines, each broken between words where it is too long; not at a no-break space,
    which is written as a blank."""
    lines = text.split("\n")
    if any(len(line) > width for line in lines):
        broken = (wrap(x, width, break_long_words=False, break_on_hyphens=False) for x in lines)
        lines = [part for parts in broken for part in parts or [""]]
    return [line.replace("\N{NO-BREAK SPACE}", " ") for line in lines]


def _widest(cells: tuple[str, ...]) -> int:
    """The longest line in any of the cells; a column is at least 1 wide, as Rich makes it."""
    return max(1, *(cell_len(line) for cell in cells for line in cell.split("\n")))


def _fitted(columns: tuple[Column, ...], cells: list[tuple[str, ...]], width: int) -> list[int]:
    """The widths of the columns: those of words give way until the table fits, down to their
    longest word."""
    fitted = list(map(_widest, cells))
    excess = sum(fitted) + GAP * (len(fitted) - 1) - width
    for index, column in enumerate(columns):
        if column.words and excess > 0:
            least = max(cell_len(word) for cell in cells[index] for word in [*cell.split(), ""])
            narrower = max(fitted[index] - excess, least, 1)
            excess -= fitted[index] - narrower
            fitted[index] = narrower
    return fitted


def _in_lines(rows: list[list[str]], widths: list[int], ruled: bool) -> list[list[str]]:
    """The lines of all rows, column by column: each row as high as its highest cell, and if
    ``ruled`` a blank line between two."""
    columns: list[list[str]] = [[] for _ in widths]
    for index, row in enumerate(rows):
        cells = [wrapped(cell, width) for cell, width in zip(row, widths, strict=True)]
        height = max(map(len, cells))
        for column, lines in zip(columns, cells, strict=True):
            column.extend([""] if ruled and index else [])
            column.extend(lines + [""] * (height - len(lines)))
    return columns
