"""A table's columns brought to their widths: what is left to do is to write them side by side."""

from __future__ import annotations

from textwrap import wrap
from typing import NamedTuple

from rich.cells import cell_len

from rnngrad.views.blocks import Column, Table
from rnngrad.views.plain import to_ascii
from rnngrad.views.report import Screen

GAP = 2
"""Blanks between two columns."""


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
    lines = _lines(rows, widths, block.ruled)
    return [
        Laid(name, below, width, column.right and not column.words)
        for name, below, width, column in zip(header, lines, widths, block.columns, strict=True)
    ]


def total_width(columns: list[Laid]) -> int:
    """Of the columns and the gaps between them."""
    return sum(column.width for column in columns) + GAP * (len(columns) - 1)


def wrapped(text: str, width: int) -> list[str]:
    """The text's lines, each broken between words where it is too long."""
    lines = text.split("\n")
    if all(len(line) <= width for line in lines):
        return lines
    broken = (wrap(line, width, break_long_words=False, break_on_hyphens=False) for line in lines)
    return [part for parts in broken for part in parts or [""]]


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


def _lines(rows: list[list[str]], widths: list[int], ruled: bool) -> list[list[str]]:
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
