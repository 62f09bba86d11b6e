"""What a command hands to a format: the same result in the three forms that formats need."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, TypeAlias

from rnngrad.views.blocks import Block
from rnngrad.views.pictures.picture import Picture
from rnngrad.views.provenance import Provenance

Cell: TypeAlias = str | int | float | None


class Report(NamedTuple):
    """``blocks`` for people, ``document`` for JSON, ``rows`` under ``columns`` for CSV, JSONL;
    ``pictures`` for a format that can draw; ``provenance``: of which specs."""

    blocks: Callable[[], Iterable[Block]]
    document: Callable[[], dict[str, object]]
    columns: tuple[str, ...]
    rows: Callable[[], Iterator[tuple[Cell, ...]]]
    pictures: Callable[[], Iterable[Picture]] = tuple
    provenance: Callable[[], Iterable[Provenance]] = tuple


class Screen(NamedTuple):
    """Where text goes: its width, and whether it has colours and the signs beyond ASCII. ``math``:
    how Markdown writes formulas; ``standalone``: LaTeX with its preamble."""

    width: int = 80
    colour: bool = False
    unicode: bool = True
    math: str = "unicode"
    standalone: bool = False
