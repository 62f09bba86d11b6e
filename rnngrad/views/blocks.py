"""What a report is made of, before any format: tables and lines of text."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

from rnngrad.views.typesetting.layout import Row

Meaning: TypeAlias = Literal["", "verdict", "flow"]
"""Which words have a colour where there are colours: pass and fail, or vanishing and exploding."""


class Column(NamedTuple):
    """A column: numbers stand on the right and are never broken; ``words`` may be wrapped."""

    header: str
    words: bool = False
    right: bool = True
    coloured: Meaning = ""


class Table(NamedTuple):
    """A titled table; a cell may have several lines. ``notes`` stand below it."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    ruled: bool = False


class Lines(NamedTuple):
    """Lines of text, wrapped where the format wraps; the first is the title if ``titled``."""

    lines: tuple[str, ...]
    titled: bool = False
    coloured: Meaning = ""


class Formula(NamedTuple):
    """left = side = side …, a line a side."""

    left: Row
    sides: tuple[Row, ...]


class Formulas(NamedTuple):
    """Equations below one another, their equals signs in line. ``title`` stands above, ``notes``
    below."""

    title: str
    rows: tuple[Formula, ...]
    notes: tuple[str, ...] = ()


Block: TypeAlias = Table | Lines | Formulas
