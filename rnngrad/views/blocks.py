"""What a report is made of, before any format: tables and lines of text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Column:
    """A column: numbers stand on the right and are never broken; ``words`` may be wrapped."""

    header: str
    words: bool = False
    right: bool = True


@dataclass(frozen=True, slots=True)
class Table:
    """A titled table; a cell may have several lines. ``notes`` stand below it."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    ruled: bool = False


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines of text, wrapped where the format wraps; the first is the title if ``titled``."""

    lines: tuple[str, ...]
    titled: bool = False


Block: TypeAlias = Table | Lines
