"""The walks through time of the cells that have quick ones: ``core.lstm_passes``,
``core.gru_passes``. Where they do not apply, ``core.layers`` and ``core.forward`` go step by step
through the cell's own equations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from rnngrad.arithmetic.arrays import Array
from rnngrad.core.cells import Cell
from rnngrad.core.gated_records import Start
from rnngrad.core.gru_passes import gru_back, gru_forward
from rnngrad.core.lstm_passes import lstm_back, lstm_forward
from rnngrad.core.traces import Back, LayerTrace


class Walks(NamedTuple):
    """Both walks of a cell."""

    forward: Callable[[Mapping[str, Array], Array, Start], LayerTrace | None]
    back: Callable[[LayerTrace, Array, Array, int], Back]


WALKS: Mapping[str, Walks] = MappingProxyType(
    {"lstm": Walks(lstm_forward, lstm_back), "gru": Walks(gru_forward, gru_back)}
)
"""name of a cell -> its walks; a cell that is not here goes step by step."""


def walks_of(cell: Cell) -> Walks | None:
    """The walks of a cell; None for one of another name, or of other equations under that name."""
    return None if cell.own else WALKS.get(cell.name)
