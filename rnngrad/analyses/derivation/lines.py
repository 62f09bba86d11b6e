"""A line of the derivation: symbol, chain rule, and where its numbers come from."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from rnngrad.analyses.derivation.quantities import Passes
from rnngrad.arithmetic.arrays import Array


class Own(NamedTuple):
    """Numbers that no quantity holds, computed when asked for: one entry a step."""

    shape: tuple[int, ...]
    compute: Callable[[Passes], Array]


class Line(NamedTuple):
    """One derivative: ``formula`` is its chain rule; its numbers are ``quantity``, or row ``row``.

    ``id`` is the sheet's subtask, ``equations`` the sheet's numbers for it, if it is about this
    net. ``quantity`` is empty where ``own`` has the numbers.
    """

    id: str
    symbol: str
    formula: str
    quantity: str
    row: int | None
    equations: str
    own: Own | None = None

    def shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the value, given the quantity's."""
        return shape if self.row is None else shape[1:]

    def value(self, quantity: Array) -> Array:
        """The value, given the quantity; one entry a step where it holds for every t."""
        return quantity if self.row is None else quantity[self.row]


def own_line(
    symbol: str, formula: str, shape: tuple[int, ...], compute: Callable[[Passes], Array]
) -> Line:
    """One with numbers of its own, whose id is given to it in its place."""
    return Line("", symbol, formula, "", None, "", Own(shape, compute))
