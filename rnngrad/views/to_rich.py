"""Blocks as text for a terminal, or for a pipe."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table as RichTable
from rich.text import Text

from rnngrad.views.blocks import Block, Column, Lines, Table
from rnngrad.views.plain import to_ascii
from rnngrad.views.report import Report, Screen


def render(report: Report, screen: Screen) -> Iterator[str]:
    """A block a time, a blank line between."""
    return _texts(report.blocks(), screen)


def _texts(blocks: Iterable[Block], screen: Screen) -> Iterator[str]:
    for index, block in enumerate(blocks):
        text = _table(block, screen) if isinstance(block, Table) else _lines(block, screen)
        yield ("\n" if index else "") + text


def _console(width: int, screen: Screen) -> Console:
    """A console that writes to memory; its height matters nowhere but must be given too."""
    return Console(
        file=io.StringIO(), width=width, height=100, markup=False, highlight=False, emoji=False,
        force_terminal=screen.colour, no_color=not screen.colour, legacy_windows=False,
        color_system="standard" if screen.colour else None,
    )  # fmt: skip


def _written(console: Console) -> str:
    file = console.file
    assert isinstance(file, io.StringIO)
    return "\n".join(line.rstrip() for line in file.getvalue().split("\n"))


def _said(text: str, screen: Screen, style: str = "") -> Text:
    return Text(text if screen.unicode else to_ascii(text), style=style)


def _lines(block: Lines, screen: Screen) -> str:
    console = _console(screen.width, screen)
    for index, line in enumerate(block.lines):
        style = "bold" if block.titled and index == 0 else ""
        console.print(_said(line, screen, style), soft_wrap=False)
    return _written(console)


def _table(block: Table, screen: Screen) -> str:
    """The table at the screen's width, or at the least width that cuts no number."""
    table = RichTable(
        box=box.SIMPLE_HEAD if screen.unicode else box.ASCII_DOUBLE_HEAD,
        show_lines=False, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False, header_style="bold",
        leading=1 if block.ruled else 0,
    )  # fmt: skip
    for column in block.columns:
        _add_column(table, column, screen)
    for row in block.rows:
        table.add_row(*(_said(cell, screen) for cell in row))
    probe = _console(10_000, screen)
    width = max(screen.width, Measurement.get(probe, probe.options, table).minimum)
    console = _console(width, screen)
    console.print(_said(block.title, screen, "bold"))
    console.print(table)
    for note in block.notes:
        console.print(_said(note, screen), width=screen.width)
    return _written(console)


def _add_column(table: RichTable, column: Column, screen: Screen) -> None:
    table.add_column(
        _said(column.header, screen),
        justify="right" if column.right and not column.words else "left",
        no_wrap=not column.words,
        overflow="fold",
        vertical="top",
    )
