"""What a report is made of, before any format: tables and lines of text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias

from rnngrad.views.typesetting.layout import Row

Meaning: TypeAlias = Literal["", "verdict", "flow"]
"""Which words have a colour where there are colours: pass and fail, or vanishing and exploding."""


class Column(NamedTuple):
    """A column: numbers stand on the right and are never broken; ``words`` may be wrapped;
    ``formula``: set as on paper by a format that can."""

    header: str
    words: bool = False
    right: bool = True
    coloured: Meaning = ""
    formula: bool = False


class Table(NamedTuple):
    """A titled table; a cell may have several lines. ``notes`` stand below it."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    ruled: bool = False


class Lines(NamedTuple):
    """Lines of text, wrapped where the format wraps; the first is the title if ``titled``, and the
    others are ``formulas``, if so."""

    lines: tuple[str, ...]
    titled: bool = False
    coloured: Meaning = ""
    formulas: bool = False


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


class Fitted(NamedTuple):
    """A table that is drawn as wide as there is room for: ``made`` of so many signs."""

    title: str
    made: Callable[[int], Table]


Block: TypeAlias = Table | Lines | Formulas | Fitted
