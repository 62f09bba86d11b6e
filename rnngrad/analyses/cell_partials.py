"""The partials inside one step of a cell: the graph of its equations, and the ways through it.

A link is a local partial, everything else held fixed: ∂target/∂source is a diagonal, the derivative
of the equation, or a matrix. A derivative of the step is the sum over the ways from top to bottom,
and along a way the links multiply:

    ∂c_t/∂i_t · ∂i_t/∂h_{t−1} = diag(g_t) · diag(i_t ∘ (1 − i_t)) · W_hi

What is beneath h_{t−1}, c_{t−1} or the step's input x_t is the past or the layer below. Text
(``cell_text``) and numbers come from the same links: each is written as it is computed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from rnngrad.algebra.derivatives import derivative
from rnngrad.algebra.equations import X
from rnngrad.algebra.expressions import Node
from rnngrad.algebra.steps import Definition, Matrix, before, key_of, names_in
from rnngrad.analyses.quantities import Passes
from rnngrad.arithmetic.arrays import Array, quietly
from rnngrad.core.cells import Cell
from rnngrad.core.terms import evaluated


class Link(NamedTuple):
    """∂target/∂source, a diagonal or a matrix."""

    target: str
    source: str
    factor: Node | Matrix


Way = tuple[Link, ...]
"""Links from top to bottom; none where these are the same."""


class Measure(NamedTuple):
    """How many ways there are, and whether a matrix is on one of them."""

    number: int
    full: bool


def inside(key: str) -> bool:
    """Whether a key is a part of an equation and has no name of its own: the sum in σ(…)."""
    return "." in key


class Graph:
    """All links of a cell's step by the keys of ``algebra.steps``, in the order of the equations.

    ``direct`` ways pass through what is ``inside`` an equation alone: they make up ∂⁺top/∂bottom.
    """

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self.before = tuple(map(before, cell.parts))
        definitions = cell.step.definitions
        self.place = {
            key: i for i, key in enumerate([*self.before, X, *(d.key for d in definitions)])
        }
        self.links = {one.key: self._links(one) for one in definitions}
        self.names = tuple(key for key in self.links if not inside(key))
        self._measured: dict[tuple[str, bool], dict[str, Measure]] = {}

    def _links(self, one: Definition) -> list[Link]:
        found = []
        for name in names_in(one.rest):
            assert one.rest is not None
            factor = derivative(one.rest, name)
            if factor is not None:
                found.append(Link(one.key, key_of(name), factor))
        found += [Link(one.key, matrix.source, matrix) for matrix in one.matrices]
        return sorted(
            found, key=lambda link: (isinstance(link.factor, Matrix), self.place[link.source])
        )

    def measure(self, top: str, bottom: str, *, direct: bool = False) -> Measure:
        """How the ways from top to bottom are."""
        if (bottom, direct) not in self._measured:
            self._measured[bottom, direct] = self._measure(bottom, direct)
        return self._measured[bottom, direct].get(top, Measure(0, False))

    def _measure(self, bottom: str, direct: bool) -> dict[str, Measure]:
        found = {bottom: Measure(1, False)}
        for key, links in self.links.items():
            if key == bottom:
                continue
            count, full = 0, False
            for link in links:
                if self.passes(link.source, bottom, direct) and link.source in found:
                    beyond = found[link.source]
                    count += beyond.number
                    full |= beyond.full or isinstance(link.factor, Matrix)
            if count:
                found[key] = Measure(count, full)
        return found

    def passes(self, key: str, bottom: str, direct: bool) -> bool:
        """Whether a way to ``bottom`` may lead there."""
        return key == bottom or not direct or inside(key)

    def ways(self, top: str, bottom: str, *, direct: bool = False) -> Iterator[Way]:
        """Every way from top to bottom, one at a time: there may be very many."""
        if top == bottom:
            yield ()
            return
        for link in self.links.get(top, ()):
            leads = self.measure(link.source, bottom, direct=direct).number
            if leads and self.passes(link.source, bottom, direct):
                yield from ((link, *rest) for rest in self.ways(link.source, bottom, direct=direct))


@lru_cache(maxsize=16)
def graph_of(cell: Cell) -> Graph:
    """A cell's graph."""
    return Graph(cell)


# ---------------------------------------------------------------------------- numbers


class Values:
    """The links of one layer along its trace, multiplied and added up: (T, n) where all is
    diagonal, else (T, rows, columns)."""

    def __init__(self, passes: Passes, at: int) -> None:
        self.problem, self.at = passes.problem, at
        self.graph = graph_of(self.problem.cell)
        self.layer, self.share = self.problem.layers[at], passes.forward.layers[at]

    def of(self, expressions: Sequence[Node], keys: Sequence[str]) -> list[Array]:
        """Expressions along the trace, (T, size of each key)."""
        cell = self.problem.cell
        sizes = [self.size(key) for key in keys]
        with quietly():
            tape = cell.value_tape(expressions)
            return [
                np.asarray(v) for v in evaluated(self.problem, self.layer, self.share, tape, sizes)
            ]

    def size(self, key: str) -> int:
        """How long the vector is."""
        return self.layer.sizes[self.problem.cell.step.sizes[key]]

    def partial(self, top: str, bottom: str, *, direct: bool = False) -> Array:
        """∂top/∂bottom of every step, or ∂⁺top/∂bottom."""
        if top == bottom:
            return np.ones((len(self.share.x), self.size(top)))
        links = self._between(top, bottom, direct)
        diagonals = [one for one in links if not isinstance(one.factor, Matrix)]
        factors = [one.factor for one in diagonals if not isinstance(one.factor, Matrix)]
        numbers = self.of(factors, [one.target for one in diagonals])
        known = dict(zip(((one.target, one.source) for one in diagonals), numbers, strict=True))
        found: dict[str, Array] = {}
        with quietly():
            for one in reversed(links):  # from the top, where all is diagonal for longest
                above = found.get(one.target)
                if isinstance(one.factor, Matrix):
                    more = self._times_matrix(above, one.factor)
                else:
                    more = times_diagonal(above, known[one.target, one.source])
                found[one.source] = added(found.get(one.source), more)
        return found[bottom]

    def _between(self, top: str, bottom: str, direct: bool) -> list[Link]:
        """The links on any way from top to bottom, what is computed first first."""
        graph, down = self.graph, {top}
        found: list[Link] = []
        for key in reversed(graph.links):
            if key not in down or key == bottom:
                continue
            mine = [one for one in graph.links[key]
                    if graph.passes(one.source, bottom, direct)
                    and graph.measure(one.source, bottom, direct=direct).number]  # fmt: skip
            down |= {one.source for one in mine}
            found = mine + found
        return found

    def _times_matrix(self, above: Array | None, matrix: Matrix) -> Array:
        W = self.layer.own[matrix.parameter]
        W = W.T if matrix.transposed else W
        W = -W if matrix.sign < 0 else W
        if above is None:
            return np.broadcast_to(W, (len(self.share.x), *W.shape))
        return np.asarray(above[:, :, np.newaxis] * W if above.ndim == 2 else above @ W)


def times_diagonal(above: Array | None, diagonal: Array) -> Array:
    """What leads there, times diag(d)."""
    if above is None:
        return diagonal
    return np.asarray(above * (diagonal if above.ndim == 2 else diagonal[:, np.newaxis]))


def added(one: Array | None, other: Array) -> Array:
    """The sum, a matrix a step where one of them is."""
    if one is None:
        return other
    return one + other if one.ndim == other.ndim else full(one) + full(other)


def full(values: Array) -> Array:
    """diag(v) of every step as a matrix."""
    return values if values.ndim == 3 else values[:, :, np.newaxis] * np.eye(values.shape[1])
