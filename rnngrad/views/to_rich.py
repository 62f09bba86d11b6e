"""Blocks as text by way of Rich: with colours, and breaking what ``to_text`` does not."""

from __future__ import annotations

import io
from collections.abc import Iterator

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from rnngrad.views.blocks import Block, Lines, Table
from rnngrad.views.columns import GAP, laid, total_width
from rnngrad.views.plain import to_ascii
from rnngrad.views.report import Report, Screen


def render(report: Report, screen: Screen) -> Iterator[str]:
    """A block a time, a blank line between."""
    for index, block in enumerate(report.blocks()):
        yield ("\n" if index else "") + written(block, screen)


def written(block: Block, screen: Screen) -> str:
    """One block as text."""
    return _table(block, screen) if isinstance(block, Table) else _lines(block, screen)


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
    """All rows as a single one, a cell a column: Rich then lays out a column at a time instead of
    a cell at a time, which looks the same and takes a tenth of the time."""
    table = RichTable(
        box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False,
        header_style="bold",
    )  # fmt: skip
    columns = laid(block, screen)
    for column in columns:
        table.add_column(
            Text(column.header), justify="right" if column.right else "left", width=column.width
        )
    if block.rows:
        table.add_row(*(Text("\n".join(column.lines)) for column in columns))
    console = _console(max(screen.width, total_width(columns) + GAP), screen)
    console.print(_said(block.title, screen, "bold"))
    console.print(table)
    for note in block.notes:
        console.print(_said(note, screen), width=screen.width)
    return _written(console, screen)
