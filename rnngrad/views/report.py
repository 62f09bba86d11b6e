"""What a command hands to a format: the same result in the three forms that formats need."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from rnngrad.views.blocks import Block

Cell: TypeAlias = str | int | float | None


@dataclass(frozen=True, slots=True)
class Report:
    """``blocks`` for people, ``document`` for JSON, ``rows`` under ``columns`` for CSV, JSONL."""

    blocks: Callable[[], Iterable[Block]]
    document: Callable[[], dict[str, object]]
    columns: tuple[str, ...]
    rows: Callable[[], Iterator[tuple[Cell, ...]]]


@dataclass(frozen=True, slots=True)
class Screen:
    """Where text goes: its width, and whether it has colours and the signs beyond ASCII."""

    width: int = 80
    colour: bool = False
    unicode: bool = True
