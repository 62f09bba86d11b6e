"""Recurrent cells: one record each.

Source: Elman, *Finding structure in time*, Cognitive Science 14 (1990), for ``rnn``.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

Shape = tuple[str, ...]
"""Sizes by letter: ``("H", "I")``."""


class Cell(NamedTuple):
    """What the parameters of a cell are called and how large they are.

    ``weights`` must be given, ``biases`` default to zero; ``equations`` is the cell as on paper.
    """

    name: str
    weights: Mapping[str, Shape]
    biases: Mapping[str, Shape]
    equations: tuple[str, ...]

    @property
    def parameters(self) -> Mapping[str, Shape]:
        """Weights and biases together, in the order in which they are shown."""
        return {**self.weights, **self.biases}


_RECORDS = (
    Cell(
        "rnn",
        {"W_xh": ("H", "I"), "W_hh": ("H", "H")},
        {"b_h": ("H",)},
        ("h_t = σ(a_t)", "a_t = W_xh x_t + W_hh h_{t−1} + b_h"),
    ),
)

CELLS: Mapping[str, Cell] = MappingProxyType({r.name: r for r in _RECORDS})
"""name -> record: the one place to add a cell."""

READOUT: Mapping[str, Shape] = MappingProxyType({"W_hy": ("O", "H"), "b_y": ("O",)})
"""The parameters of y_t = g(W_hy h_t + b_y); without ``W_hy`` the read-out is y_t = g(h_t)."""
