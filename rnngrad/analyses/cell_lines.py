"""The derivation inside one step of a cell: the lines g1, g2, … of each layer.

First the local partials of the equations, then what they add up to: the total derivative of each
with respect to s_{t−1}, the layer's own ∂s_t/∂s_{t−1}, and in a stack the path from the layer
below.
The value of a formula diag(v) is v, one row a step; that of any other is a matrix a step.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import numpy as np

from rnngrad.algebra.equations import X
from rnngrad.algebra.steps import before
from rnngrad.analyses.cell_immediate import immediate
from rnngrad.analyses.cell_partials import Values, full, graph_of
from rnngrad.analyses.cell_text import CellText
from rnngrad.analyses.lines import Line, Own
from rnngrad.analyses.notation import Notation
from rnngrad.analyses.quantities import Passes
from rnngrad.analyses.state_blocks import part_blocks, stack_blocks
from rnngrad.arithmetic.arrays import Array
from rnngrad.core.problem import Problem

MOST = 12
"""A total is also written as the sum over its ways where there are no more."""


class _Found(NamedTuple):
    """A line before it has its id."""

    symbol: str
    formula: str
    own: Own


def cell_lines(problem: Problem) -> Iterator[Line]:
    """g1, g2, … of one layer; in a stack g1.0, g1.1, … lowest layer first. One layer of rnn has
    none: there a4 says it all."""
    if problem.single_rnn:
        return
    for at, layer in enumerate(problem.layers):
        for number, found in enumerate(_Inside(problem, at).lines(), start=1):
            name = f"g{number}{layer.suffix}"
            yield Line(name, found.symbol, found.formula, "", None, "", found.own)


class _Inside:
    """One layer of a net: its graph, its sizes, and how its formulas are written."""

    def __init__(self, problem: Problem, at: int) -> None:
        self.problem, self.at, self.layer = problem, at, problem.layers[at]
        self.parts = problem.cell.parts
        self.graph, self.text = graph_of(problem.cell), CellText(problem, at)
        self.one_part = len(self.parts) == 1

    def lines(self) -> Iterator[_Found]:
        """Local partials, totals, and in a stack the whole layer."""
        yield from self._edges()
        yield from self._totals()
        if self.problem.depth > 1:
            yield from self._whole()
        else:
            for part in self.parts[1:]:
                for weight in self.problem.cell.weights:
                    found = immediate(self.problem, part, weight)
                    if found is not None:
                        yield _Found(*found)

    def _edges(self) -> Iterator[_Found]:
        """Each local partial but those towards x, which end in W_xh as these do in W_hh: what the
        state is made of first, the diagonals before the matrices."""
        graph, states = self.graph, {*self.graph.before, *self.parts}
        pairs = [(top, bottom) for top in graph.names for bottom in (*graph.before, *graph.names)]
        found = []
        for top, bottom in pairs:
            direct = graph.measure(top, bottom, direct=True)
            if not direct.number or self._is_whole(top, bottom) or top == bottom:
                continue
            alone = direct.number == graph.measure(top, bottom).number
            if bottom in graph.before and not direct.full and not alone:
                continue
            inner = (bottom not in states, top not in states) if not direct.full else (False, False)
            order = (direct.full, *inner, graph.place[top], graph.place[bottom])
            found.append((order, top, bottom, not alone))
        for _, top, bottom, plus in sorted(found):
            yield self._found(top, bottom, direct=plus)

    def _is_whole(self, top: str, bottom: str) -> bool:
        """Whether it is ∂h_t/∂h_{t−1} of one layer with h alone, which is a4."""
        here = top in self.parts and bottom in self.graph.before
        return here and self.one_part and self.problem.depth == 1

    def _totals(self) -> Iterator[_Found]:
        """∂top/∂bottom where it is more than one edge."""
        for top in self.graph.names:
            for bottom in self.graph.before:
                if self._composed(top, bottom) and not self._is_whole(top, bottom):
                    yield self._found(top, bottom)

    def _composed(self, top: str, bottom: str) -> bool:
        every = self.graph.measure(top, bottom).number
        return every > self.graph.measure(top, bottom, direct=True).number

    def _whole(self) -> Iterator[_Found]:
        """∂s_t/∂s_{t−1} of this layer alone, and how it hangs on the one below."""
        if not self.one_part:
            size = self.layer.state[-1].stop - self.layer.state[0].start
            own = Own((self.problem.steps, size, size), partial(_layer_jacobian, self.at))
            s = f"{Notation(self.problem).whole}{self.text.up}"
            yield _Found(f"∂{s}_t/∂{s}_{{t−1}}", self.blocks(), own)
        if self.at:
            for part in reversed(self.parts):
                if self.graph.measure(part, X).number:
                    yield self._found(part, X)

    def blocks(self) -> str:
        """∂s_t/∂s_{t−1} of this layer by the parts of its state."""
        return part_blocks(
            [[self._symbol(part, previous) if self.graph.measure(part, previous).number else "0"
              for previous in self.graph.before] for part in self.parts]
        )  # fmt: skip

    def _symbol(self, top: str, bottom: str, plus: bool = False) -> str:
        return f"∂{'⁺' if plus else ''}{self.text.name(top)}/∂{self.text.name(bottom)}"

    def _found(self, top: str, bottom: str, direct: bool = False) -> _Found:
        width = (self._size(bottom),) if self.graph.measure(top, bottom, direct=direct).full else ()
        own = Own(
            (self.problem.steps, self._size(top), *width),
            partial(_value, self.at, top, bottom, direct),
        )
        return _Found(self._symbol(top, bottom, direct), self.formula(top, bottom, direct), own)

    def _size(self, key: str) -> int:
        return self.layer.sizes[self.problem.cell.step.sizes[key]]

    # -- text

    def formula(self, top: str, bottom: str, direct: bool = False) -> str:
        """The chain rule by partials, = the same with every partial in full."""
        through = "" if direct else self.through(top, bottom)
        if through and self.graph.measure(top, bottom).number > MOST:
            return through
        composed = self.text.sum(self.graph.ways(top, bottom, direct=direct))
        return f"{through} = {composed}" if through and bottom != X else composed

    def through(self, top: str, bottom: str) -> str:
        """∂c_t/∂i_t · ∂i_t/∂h_{t−1} + …; empty for a single edge."""
        if not self._composed(top, bottom):
            return ""
        terms: list[str] = []
        direct = self.graph.measure(top, bottom, direct=True)
        if direct.number and not direct.full:
            terms.append(self.text.sum(self.graph.ways(top, bottom, direct=True)))
        for middle in self.graph.names:
            edge = self.graph.measure(top, middle, direct=True)
            if edge.number and top != middle and self.graph.measure(middle, bottom).number:
                plus = self._composed(top, middle)
                terms.append(f"{self._symbol(top, middle, plus)} · {self._symbol(middle, bottom)}")
        if direct.full:
            terms.append(self._symbol(top, bottom, plus=True))
        return " + ".join(terms)


def one_step_formula(problem: Problem) -> str:
    """a4, the Jacobian of the full state: sums of diag(…)·W for gru, blocks for lstm, and for a
    stack block lower triangular, block (l, m) going up from layer m to layer l."""
    if problem.depth > 1:
        return stack_blocks(problem)
    inside = _Inside(problem, 0)
    if not inside.one_part:
        return inside.blocks()
    return inside.formula(problem.cell.parts[0], before(problem.cell.parts[0]))


def immediate_lines(problem: Problem) -> Iterator[Line]:
    """b1, b2, … of one layer: ∂⁺h_t/∂W of every weight."""
    for number, weight in enumerate(problem.cell.weights, start=1):
        found = immediate(problem, problem.cell.parts[0], weight)
        if found is not None:
            yield Line(f"b{number}", found[0], found[1], "", None, "", found[2])


# ---------------------------------------------------------------------------- numbers


def _value(at: int, top: str, bottom: str, direct: bool, passes: Passes) -> Array:
    return Values(passes, at).partial(top, bottom, direct=direct)


def _layer_jacobian(at: int, passes: Passes) -> Array:
    """[[∂h_t/∂h_{t−1}, ∂h_t/∂c_{t−1}], [∂c_t/∂h_{t−1}, ∂c_t/∂c_{t−1}]] of every step."""
    values, layer, cell = Values(passes, at), passes.problem.layers[at], passes.problem.cell
    start = layer.state[0].start
    size = layer.state[-1].stop - start
    jacobian = np.zeros((passes.problem.steps, size, size))
    for top, rows in zip(cell.parts, layer.state, strict=True):
        for bottom, columns in zip(cell.parts, layer.state, strict=True):
            if values.graph.measure(top, before(bottom)).number:
                block = full(values.partial(top, before(bottom)))
                jacobian[:, rows.start - start : rows.stop - start,
                         columns.start - start : columns.stop - start] = block  # fmt: skip
    return jacobian
