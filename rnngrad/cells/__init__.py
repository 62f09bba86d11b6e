"""The cells that come with rnngrad: one data file each, read when it is asked for.

title, source, note     what it is, the paper, and which version of it this is
cell                    name, state, equations, shapes, recurrent: as a spec's ``cell:``
start                   initialisers of parameters where the paper prescribes them
sizes                   by letter, where the paper fixes one
gates, blocks, shown    rnn, gru and lstm: blocks of rows, and how the equations are printed
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import yaml

from rnngrad.algebra.equations import read_cell
from rnngrad.net.cells import Cell

FOLDER = Path(__file__).parent
_FIRST = ("rnn", "gru", "lstm")
NAMES: tuple[str, ...] = (
    *_FIRST,
    *sorted({path.stem for path in FOLDER.glob("*.yaml")} - {*_FIRST}),
)
"""The oldest first, the others by name."""


class Shipped(NamedTuple):
    """A cell and where it comes from; ``mapping`` is its ``cell:`` in a spec."""

    cell: Cell
    title: str
    source: str
    note: str
    mapping: Mapping[str, Any]
    start: Mapping[str, Any]
    sizes: Mapping[str, int]


@cache
def shipped(name: str) -> Shipped:
    """One of ``NAMES``, with its source."""
    text = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
    data = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    mapping = data["cell"]
    cell = Cell(
        equations_of(mapping),
        made_by=(_shipped_cell, (name,)),
        blocks={n: tuple(parts) for n, parts in data.get("blocks", {}).items()},
        gates=tuple(data.get("gates", ())),
        activation=data.get("activation", "tanh"),
        own=False,
        shown=tuple(data.get("shown", ())),
    )
    start = MappingProxyType(data.get("start", {}))
    sizes = MappingProxyType(data.get("sizes", {}))
    note = data.get("note", "")
    return Shipped(cell, data["title"], data["source"], note, mapping, start, sizes)


def equations_of(mapping: Mapping[str, Any]) -> Any:
    """The equations of a ``cell:`` mapping, checked. Raises CellMistakesError."""
    return read_cell(
        mapping["name"],
        mapping["equations"],
        mapping.get("state", ("h",)),
        mapping.get("shapes"),
        mapping.get("recurrent"),
    )


def _shipped_cell(name: str) -> Cell:
    return shipped(name).cell


@lru_cache(maxsize=64)
def own_cell(
    name: str,
    equations: tuple[str, ...],
    state: tuple[str, ...] = ("h",),
    shapes: tuple[tuple[str, tuple[str, ...]], ...] = (),
    recurrent: tuple[str, ...] | None = None,
) -> Cell:
    """A cell of the user's, one and the same for the same equations. Raises CellMistakesError."""
    given = (name, equations, state, shapes, recurrent)
    return Cell(
        read_cell(name, equations, state, dict(shapes), recurrent), made_by=(own_cell, given)
    )


class _Cells(Mapping[str, Cell]):
    """name -> cell; a file is read when its cell is asked for."""

    def __getitem__(self, name: str) -> Cell:
        if name not in NAMES:
            raise KeyError(name)
        return shipped(name).cell

    def __iter__(self) -> Iterator[str]:
        return iter(NAMES)

    def __len__(self) -> int:
        return len(NAMES)


CELLS: Mapping[str, Cell] = _Cells()
"""name -> cell: to add one, add its file."""
