"""The partials inside one step of a cell: the graph of its equations, and the ways through it.

A link is a local partial, everything else held fixed: ∂target/∂source is a diagonal, the derivative
of the equation, or a matrix. A derivative of the step is the sum over the ways from top to bottom,
and along a way the links multiply:

    ∂c_t/∂i_t · ∂i_t/∂h_{t−1} = diag(g_t) · diag(i_t ∘ (1 − i_t)) · W_hi

What is beneath h_{t−1}, c_{t−1} or the step's input x_t is the past or the layer below. Text
(``step_text``) and numbers come from the same links: each is written as it is computed.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from rnngrad.algebra.derivatives import derivative
from rnngrad.algebra.equations import X
from rnngrad.algebra.expressions import Node
from rnngrad.algebra.step_graph import Definition, Matrix, before, key_of, names_in
from rnngrad.analyses.derivation.quantities import Passes
from rnngrad.arithmetic.arrays import Array
from rnngrad.net.cells import Cell
from rnngrad.net.jacobian_diagonals import evaluated


class Link(NamedTuple):
    """∂target/∂source, a diagonal or a matrix."""

    target: str
    source: str
    factor: Node | Matrix


Way = tuple[Node | Matrix, ...]
"""The factors of the links from top to bottom; none where these are the same."""


class Measure(NamedTuple):
    """How many ways there are, and whether a matrix is on one of them."""

    number: int
    full: bool


def inside(key: str) -> bool:
    """Whether a key is a part of an equation and has no name of its own: the sum in σ(…)."""
    return "." in key


class Graph:
    """All links of a cell's step by the keys of ``algebra.step_graph``, in the order of the
    equations.

    ``direct`` ways pass through what is ``inside`` an equation alone: they make up ∂⁺top/∂bottom.
    """

    def __init__(self, cell: Cell) -> None:
        self.before = tuple(map(before, cell.parts))
        definitions = cell.step.definitions
        every = (*self.before, X, *(one.key for one in definitions))
        self.place = {key: i for i, key in enumerate(every)}
        self.links = {one.key: self._links(one) for one in definitions}
        self.names = tuple(key for key in self.links if not inside(key))
        self._measured: dict[tuple[str, bool], dict[str, Measure]] = {}

    def _links(self, one: Definition) -> list[Link]:
        """The diagonals before the matrices."""
        found = [Link(one.key, matrix.source, matrix) for matrix in one.matrices]
        for name in names_in(one.rest):
            assert one.rest is not None
            factor = derivative(one.rest, name)
            found += [] if factor is None else [Link(one.key, key_of(name), factor)]
        return sorted(found, key=lambda a: (isinstance(a.factor, Matrix), self.place[a.source]))

    def open(self, key: str, bottom: str, direct: bool) -> list[Link]:
        """The links from a key that may be on a way to ``bottom``."""
        links = () if key == bottom else self.links.get(key, ())
        return [a for a in links if a.source == bottom or not direct or inside(a.source)]

    def measure(self, top: str, bottom: str, *, direct: bool = False) -> Measure:
        """How the ways from top to bottom are."""
        found = self._measured.get((bottom, direct))
        if found is None:
            found = self._measured[bottom, direct] = {bottom: Measure(1, False)}
            for key in self.links:
                links = [a for a in self.open(key, bottom, direct) if a.source in found]
                if links:
                    number = sum(found[a.source].number for a in links)
                    full = any(found[a.source].full or isinstance(a.factor, Matrix) for a in links)
                    found[key] = Measure(number, full)
        return found.get(top, Measure(0, False))

    def ways(self, top: str, bottom: str, *, direct: bool = False) -> Iterator[Way]:
        """Every way from top to bottom, one at a time: there may be very many."""
        if top == bottom:
            yield ()
        for a in self.open(top, bottom, direct):
            if self.measure(a.source, bottom, direct=direct).number:
                for rest in self.ways(a.source, bottom, direct=direct):
                    yield (a.factor, *rest)


@lru_cache(maxsize=16)
def graph_of(cell: Cell) -> Graph:
    """A cell's graph."""
    return Graph(cell)


# ---------------------------------------------------------------------------- numbers


class Values:
    """The links of one layer along its trace, multiplied and added up: (T, n) where all is
    diagonal, else (T, rows, columns). To be run within ``quietly()``."""

    def __init__(self, passes: Passes, at: int) -> None:
        self.problem, self.graph = passes.problem, graph_of(passes.problem.cell)
        self.layer, self.share = self.problem.layers[at], passes.forward.layers[at]

    def of(self, expression: Node, key: str) -> Array:
        """An expression along the trace, (T, size of the key)."""
        tape, size = self.problem.cell.value_tape([expression]), self.size(key)
        return np.asarray(evaluated(self.problem, self.layer, self.share, tape, [size])[0])

    def size(self, key: str) -> int:
        """How long the vector is."""
        return self.layer.sizes[self.problem.cell.step.sizes[key]]

    def partial(self, top: str, bottom: str, *, direct: bool = False) -> Array:
        """∂top/∂bottom of every step, or ∂⁺top/∂bottom."""
        found = {top: np.ones((len(self.share.x), self.size(top)))}
        for key in reversed(self.graph.links):  # from the top, where all is diagonal for longest
            for a in reversed(self.graph.open(key, bottom, direct)) if key in found else ():
                if self.graph.measure(a.source, bottom, direct=direct).number:
                    more = self._times(found[key], a)
                    found[a.source] = added(found[a.source], more) if a.source in found else more
        return found[bottom]

    def _times(self, above: Array, link: Link) -> Array:
        """What leads there, times the link."""
        if not isinstance(link.factor, Matrix):
            return times_diagonal(above, self.of(link.factor, link.target))
        W = self.layer.own[link.factor.parameter]
        W = link.factor.sign * (W.T if link.factor.transposed else W)
        return np.asarray(above[:, :, np.newaxis] * W if above.ndim == 2 else above @ W)


def times_diagonal(above: Array, diagonal: Array) -> Array:
    """What leads there, times diag(d)."""
    return np.asarray(above * (diagonal if above.ndim == 2 else diagonal[:, np.newaxis]))


def added(one: Array, other: Array) -> Array:
    """The sum, a matrix a step where one of them is."""
    return one + other if one.ndim == other.ndim else full(one) + full(other)


def full(values: Array) -> Array:
    """diag(v) of every step as a matrix."""
    return values if values.ndim == 3 else values[:, :, np.newaxis] * np.eye(values.shape[1])
