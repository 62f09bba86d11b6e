"""The net linearised along a trace: rows pulled back through a step, tangents pushed through it.

One step of one layer is the graph of its cell (``algebra.step_graph``): edges that are a diagonal,
the layer's *terms*, or a matrix. A row ∂L/∂s_t goes back along all edges, a tangent forward:

    ∂L/∂source += ∂L/∂target ∘ term        ∂L/∂source += ∂L/∂target · W

In a stack the rows go down through the layers within the step, so a path from a layer to the one
above belongs to the Jacobian of step t, which is block lower triangular. All of it runs in floats
or beyond their range (``arithmetic.number_types``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np

from rnngrad.algebra.equations import X
from rnngrad.algebra.step_graph import before
from rnngrad.arithmetic.arrays import Array, Integers
from rnngrad.arithmetic.number_types import FLOATS, Arithmetic, Entries
from rnngrad.net.cells import Cell, Group
from rnngrad.net.jacobian_diagonals import Terms, terms_of
from rnngrad.net.problem import Layer, Problem
from rnngrad.net.traces import ForwardTrace

Rows = Mapping[str, Entries]
"""Rows at what the graph keeps and at s_{t−1}, by key."""


class Pulled(NamedTuple):
    """Rows at s_{t−1}, (n, S), and on their way there at what the graph of each layer keeps."""

    rows: Entries
    at: tuple[Rows, ...]


class LinearLayer(NamedTuple):
    """A layer's terms over all steps and its matrices, prepared: for each group of the cell the
    stacked [W_1; W_2; …] (``back``), its transpose (``forth``), and the ``columns`` of each block
    in what the latter gives."""

    layer: Layer
    cell: Cell
    terms: Terms
    back: tuple[Any, ...]
    forth: tuple[Any, ...]
    columns: tuple[tuple[slice, ...], ...]

    def term(self, target: str, source: str) -> Entries:
        """∂target/∂source over all steps, (T, n)."""
        return self.terms[self.cell.terms.index((target, source))]

    def width(self, key: str) -> int:
        """The size of what a key stands for."""
        return self.layer.sizes[self.cell.step.sizes[key]]


class LinearNet(NamedTuple):
    """All layers, lowest first, in one arithmetic."""

    layers: tuple[LinearLayer, ...]
    kind: Arithmetic

    @property
    def size(self) -> int:
        """S, the length of s."""
        return int(self.layers[-1].layer.state[-1].stop)

    def pull(self, rows: Entries, t: int, *, to_x: bool = False) -> Pulled:
        """Rows ∂L/∂s_t, (n, S) -> ∂L/∂s_{t−1}, through step t (from 1); at the x_t of the lowest
        layer as well where ``to_x``."""
        states, reached = [], []
        from_above: Entries | None = None
        for one in reversed(self.layers):
            parts = [rows[..., part] for part in one.layer.state]
            if from_above is not None:
                parts[0] = parts[0] + from_above
            lowest = one is self.layers[0]
            at = pull_layer(one, self.kind, parts, t, to_x=to_x or not lowest)
            states.append(self.kind.join([at[before(part)] for part in one.cell.parts]))
            reached.append(at)
            from_above = at.get(X)
        return Pulled(self.kind.join(states[::-1]), tuple(reached[::-1]))

    def push(self, tangents: Entries, t: int) -> Entries:
        """Tangents ṡ_{t−1}, a row each, (n, S) -> ṡ_t; the inputs held fixed."""
        states: list[Entries] = []
        from_below: Entries | None = None
        for one in self.layers:
            parts = [tangents[..., part] for part in one.layer.state]
            after = push_layer(one, self.kind, parts, t, from_below)
            states += after
            from_below = after[0]
        return self.kind.join(states)


def pull_layer(
    one: LinearLayer, kind: Arithmetic, parts: Sequence[Entries], t: int, *, to_x: bool
) -> dict[str, Entries]:
    """Rows at the parts of s_t of a layer -> rows at all that the graph keeps, at s_{t−1}, and at
    x_t where ``to_x``."""
    cell, terms, join, multiply = one.cell, one.terms, kind.join, kind.multiply
    at: dict[str, Entries] = dict(zip(cell.parts, parts, strict=True))
    for key, place, targets, edges in cell.way_back[to_x]:
        if place is not None:
            rows = at[targets[0]] if len(targets) == 1 else join([at[target] for target in targets])
            more = multiply(rows, one.back[place])
            at[key] = at[key] + more if key in at else more
        for source, term in edges:
            more = at[key] if term is None else at[key] * terms[term][t - 1]
            at[source] = at[source] + more if source in at else more
    for part in cell.parts:
        if before(part) not in at:
            at[before(part)] = kind.nothing(parts[0], one.width(part))
    if to_x and X not in at:
        at[X] = kind.nothing(parts[0], one.layer.sizes[X])
    return at


def push_layer(
    one: LinearLayer, kind: Arithmetic, parts: Sequence[Entries], t: int, x: Entries | None
) -> list[Entries]:
    """Tangents of the parts of s_{t−1}, and of x_t unless it is held fixed -> those of s_t."""
    cell, terms = one.cell, one.terms
    at: dict[str, Entries] = {before(p): row for p, row in zip(cell.parts, parts, strict=True)}
    if x is not None:
        at[X] = x

    for key, place, targets, edges in cell.way_forth[x is not None]:
        if place is not None:
            product = kind.multiply(at[key], one.forth[place])
            for target, columns in zip(targets, one.columns[place], strict=True):
                more = product[..., columns]
                at[target] = at[target] + more if target in at else more
        for target, term in edges:
            more = at[key] if term is None else at[key] * terms[term][t - 1]
            at[target] = at[target] + more if target in at else more
    return [
        at[part] if part in at else kind.nothing(parts[0], one.width(part)) for part in cell.parts
    ]


def stacked_matrix(own: Mapping[str, Array], group: Group, order: Sequence[str] = ()) -> Array:
    """[±W_1; ±W_2; …]: the matrices of a group, a block of rows each, targets in ``order``."""
    blocks: dict[str, Array] = {}
    for matrix in group.matrices:
        W = own[matrix.parameter]
        W = W.T if matrix.transposed else W
        W = -W if matrix.sign < 0 else W
        blocks[matrix.target] = blocks[matrix.target] + W if matrix.target in blocks else W
    rows = [blocks[target] for target in order or group.targets]
    return rows[0] if len(rows) == 1 else np.concatenate(rows)


def linear_layer(layer: Layer, cell: Cell, terms: Terms, kind: Arithmetic) -> LinearLayer:
    """A layer with the terms that are given."""
    whole = [stacked_matrix(layer.own, group) for group in cell.groups]
    columns = []
    for group in cell.groups:
        stops = [0, *accumulate(layer.sizes[cell.step.sizes[key]] for key in group.targets)]
        columns.append(tuple(map(slice, stops, stops[1:])))
    back, forth = map(kind.matrix, whole), (kind.matrix(W.T) for W in whole)
    return LinearLayer(layer, cell, terms, tuple(back), tuple(forth), tuple(columns))


def linear_net(problem: Problem, trace: ForwardTrace, kind: Arithmetic) -> LinearNet:
    """The net linearised along its trajectory. To be run within ``quietly()``."""
    layers = [
        linear_layer(layer, problem.cell, terms_of(problem, layer, share, kind.wide), kind)
        for layer, share in zip(problem.layers, trace.layers, strict=True)
    ]
    return LinearNet(tuple(layers), kind)


def in_floats(net: LinearNet) -> LinearNet:
    """A net in ``SCALED`` arithmetic in floats, with inf and 0 for what they cannot hold."""
    layers = tuple(
        one._replace(
            terms=tuple(term.floats() for term in one.terms),
            back=tuple(matrix.matrix for matrix in one.back),
            forth=tuple(matrix.matrix for matrix in one.forth),
        )
        for one in net.layers
    )
    return LinearNet(layers, FLOATS)


def state_columns(layers: Sequence[Layer], part: int) -> Integers:
    """Where the h (part 0) or the c (part 1) of all layers stand in s, (H,)."""
    columns: Integers = np.concatenate(
        [np.arange(layer.state[part].start, layer.state[part].stop) for layer in layers]
    )
    return columns
