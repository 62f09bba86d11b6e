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
    """Both walks of a cell."""

    def __init__(self, cell: Cell, sigma: str) -> None:
        self.cell, self.sigma = cell, sigma

    @cached_property
    def forward(self) -> Forward:
        """From step 1 to T."""
        return Forward(self.cell, self.sigma)

    @cached_property
    def back(self) -> Backward:
        """From T to 1."""
        return Backward(self.forward, self.sigma)


_MADE: WeakKeyDictionary[Cell, dict[str, Walks]] = WeakKeyDictionary()


def walks_of(problem: Problem) -> Walks:
    """Those of a problem's cell."""
    cell = problem.cell
    sigma = problem.activation.name if cell.activation is None else "sigmoid"
    made = _MADE.setdefault(cell, {})
    if sigma not in made:
        made[sigma] = Walks(cell, sigma)
    return made[sigma]
