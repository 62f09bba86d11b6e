"""The walks of one layer through time, made from its cell's equations: few calls of NumPy a step.

They are made when they are first wanted, once a cell. Where they do not apply, ``net.forward`` and
``net.backward_layers`` go step by step through the cell's equations. Real numbers only.
"""

from __future__ import annotations

from functools import cached_property
from weakref import WeakKeyDictionary

from rnngrad.net.cells import Cell
from rnngrad.net.problem import Problem
from rnngrad.net.walks.back_walk import Backward
from rnngrad.net.walks.forward_walk import Forward


class Walks:
    """Both walks of a cell, of one sequence or of a ``batch``."""

    def __init__(self, cell: Cell, sigma: str, batch: bool = False) -> None:
        self.cell, self.sigma, self.batch = cell, sigma, batch

    @cached_property
    def forward(self) -> Forward:
        """From step 1 to T."""
        return Forward(self.cell, self.sigma, self.batch)

    @cached_property
    def back(self) -> Backward:
        """From T to 1."""
        return Backward(self.forward, self.sigma)


_MADE: WeakKeyDictionary[Cell, dict[tuple[str, bool], Walks]] = WeakKeyDictionary()


def walks_of(problem: Problem, sequences: int = 1) -> Walks:
    """Those of a problem's cell, for so many sequences at once."""
    cell = problem.cell
    sigma = problem.activation.name if cell.activation is None else "sigmoid"
    made = _MADE.setdefault(cell, {})
    key = sigma, sequences > 1
    if key not in made:
        made[key] = Walks(cell, *key)
    return made[key]
