"""Blocks as text for a terminal, or for a pipe."""

from __future__ import annotations

import io
from collections.abc import Iterator
from textwrap import wrap

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from rnngrad.views.blocks import Column, Lines, Table
from rnngrad.views.plain import to_ascii
from rnngrad.views.report import Report, Screen

GAP = 2
"""Blanks between two columns."""


def render(report: Report, screen: Screen) -> Iterator[str]:
    """A block a time, a blank line between."""
    for index, block in enumerate(report.blocks()):
        text = _table(block, screen) if isinstance(block, Table) else _lines(block, screen)
        yield ("\n" if index else "") + text


def _console(width: int, screen: Screen) -> Console:
    """A console that writes to memory; its height matters nowhere but must be given too."""
    return Console(
        file=io.StringIO(), width=width, height=100, markup=False, highlight=False, emoji=False,
        force_terminal=screen.colour, no_color=not screen.colour, legacy_windows=False,
        color_system="standard" if screen.colour else None,
    )  # fmt: skip


def _written(console: Console, screen: Screen) -> str:
    """What the console holds, without blanks at the ends of lines."""
    file = console.file
    assert isinstance(file, io.StringIO)
    text = "\n".join(line.rstrip() for line in file.getvalue().split("\n"))
    return text if screen.unicode else to_ascii(text)


def _said(text: str, screen: Screen, style: str = "") -> Text:
    return Text(text if screen.unicode else to_ascii(text), style=style)


def _lines(block: Lines, screen: Screen) -> str:
    console = _console(screen.width, screen)
    for index, line in enumerate(block.lines):
        console.print(_said(line, screen, "bold" if block.titled and index == 0 else ""))
    return _written(console, screen)


def _table(block: Table, screen: Screen) -> str:
    """The table no wider than the screen if it can be, and never cutting a number."""
    signs = (lambda text: text) if screen.unicode else to_ascii
    header = [signs(column.header) for column in block.columns]
    rows = [[signs(cell) for cell in row] for row in block.rows]
    columns = list(zip(header, *rows, strict=True))
    widths = _fitted(block.columns, columns, screen.width)
    table = RichTable(
        box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False,
        header_style="bold",
    )  # fmt: skip
    for column, name, width in zip(block.columns, header, widths, strict=True):
        right = column.right and not column.words
        table.add_column(Text(name), justify="right" if right else "left", width=width)
    if rows:
        table.add_row(*map(Text, _as_one(rows, widths, "\n\n" if block.ruled else "\n")))
    console = _console(max(screen.width, sum(widths) + GAP * len(widths)), screen)
    console.print(_said(block.title, screen, "bold"))
    console.print(table)
    for note in block.notes:
        console.print(_said(note, screen), width=screen.width)
    return _written(console, screen)


def _widest(cells: tuple[str, ...]) -> int:
    """The longest line in any of the cells."""
    return max((cell_len(line) for cell in cells for line in cell.split("\n")), default=0)


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


def _as_one(rows: list[list[str]], widths: list[int], between: str) -> list[str]:
    """All rows as a single one, a cell a column: Rich then lays out a column at a time instead of
    a cell at a time, which looks the same and takes a tenth of the time."""
    columns: list[list[str]] = [[] for _ in widths]
    for row in rows:
        wrapped = [_wrapped(cell, width) for cell, width in zip(row, widths, strict=True)]
        height = max(map(len, wrapped))
        for column, lines in zip(columns, wrapped, strict=True):
            column.append("\n".join(lines + [""] * (height - len(lines))))
    return [between.join(column) for column in columns]


def _wrapped(cell: str, width: int) -> list[str]:
    """The cell's lines, each broken between words where it is too long."""
    lines = cell.split("\n")
    if all(len(line) <= width for line in lines):
        return lines
    broken = (wrap(line, width, break_long_words=False, break_on_hyphens=False) for line in lines)
    return [part for parts in broken for part in parts or [""]]
