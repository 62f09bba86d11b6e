"""The derivation inside one step of a cell: the lines g1, g2, … of each layer.

First the local partials of the equations, then what they add up to: the total derivative of each
with respect to s_{t−1}, the layer's own ∂s_t/∂s_{t−1}, and in a stack the path from the layer
below.
The value of a formula diag(v) is v, one row a step; that of any other is a matrix a step.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from rnngrad.algebra.equations import X
from rnngrad.algebra.step_graph import before
from rnngrad.analyses.derivation.formulas import SPELLED, Line, own_line
from rnngrad.analyses.derivation.immediate_partials import immediate
from rnngrad.analyses.derivation.notation import Notation, raised
from rnngrad.analyses.derivation.quantities import Passes
from rnngrad.analyses.derivation.step_partials import Values, full, graph_of
from rnngrad.analyses.derivation.step_text import CellText
from rnngrad.arithmetic.arrays import Array, quietly
from rnngrad.net.problem import Problem

MOST = 12
"""A total is also written as the sum over its ways where there are no more."""


def cell_lines(notation: Notation) -> Iterator[Line]:
    """g1, g2, … of one layer; in a stack g1.0, g1.1, … lowest layer first. One layer of rnn has
    none: there a4 says it all."""
    problem = notation.problem
    if not problem.single_rnn:
        for at, layer in enumerate(problem.layers):
            for number, line in enumerate(_Inside(notation, at).lines(), start=1):
                yield line._replace(id=f"g{number}{layer.suffix}")


def immediate_lines(notation: Notation) -> Iterator[Line]:
    """b1, b2, … of one layer: ∂⁺h_t/∂W of every weight."""
    cell = notation.problem.cell
    for number, weight in enumerate(cell.weights, start=1):
        found = immediate(notation, cell.parts[0], weight)
        if found is not None:
            yield found._replace(id=f"b{number}")


def one_step_formula(notation: Notation) -> str:
    """a4, the Jacobian of the full state: sums of diag(…)·W for gru, blocks for lstm, and for a
    stack block lower triangular, block (l, m) going up from layer m to layer l."""
    problem = notation.problem
    if problem.depth > 1:
        return _stack(problem)
    inside = _Inside(notation, 0)
    if not inside.one_part:
        return inside.blocks()
    return inside.formula(problem.cell.parts[0], before(problem.cell.parts[0]))


def _stack(problem: Problem) -> str:
    """∂s_t/∂s_{t−1} of a stack, block lower triangular; as a rule where that is too long."""
    s, h, depth = Notation(problem).own_state, problem.cell.parts[0], problem.depth
    if depth * (depth + 1) * (depth + 2) // 6 > SPELLED:
        return (
            f"block (l, m) = ∂{s}ˡ_t/∂{h}ˡ⁻¹_t ⋯ ∂{h}ᵐ_t/∂{s}ᵐ_{{t−1}} for m < l, "
            f"∂{s}ˡ_t/∂{s}ˡ_{{t−1}} for m = l, 0 for m > l"
        )

    def block(top: int, bottom: int) -> str:
        """∂s³_t/∂h²_t · ∂h²_t/∂h¹_t · ∂h¹_t/∂s¹_{t−1}"""
        names = [f"{h if at < top else s}{raised(at)}_t" for at in range(top, bottom - 1, -1)]
        names.append(f"{s}{raised(bottom)}_{{t−1}}")
        return " · ".join(f"∂{above}/∂{below}" for above, below in pairwise(names)) or "0"

    layers = range(1, depth + 1)
    return _matrix([[block(top, bottom) for bottom in layers] for top in layers])


def _matrix(rows: Sequence[Sequence[str]]) -> str:
    """[[∂h_t/∂h_{t−1}, ∂h_t/∂c_{t−1}], [∂c_t/∂h_{t−1}, ∂c_t/∂c_{t−1}]]"""
    inner = (f"[{', '.join(row)}]" for row in rows)
    return f"[{', '.join(inner)}]"


class _Inside:
    """One layer of a net: its graph, its sizes, and how its formulas are written."""

    def __init__(self, notation: Notation, at: int) -> None:
        problem = notation.problem
        self.notation, self.problem, self.at, self.layer = notation, problem, at, problem.layers[at]
        self.parts = problem.cell.parts
        self.graph, self.text = graph_of(problem.cell), CellText(problem, at, notation.matrix)
        self.one_part = len(self.parts) == 1

    def lines(self) -> Iterator[Line]:
        """Local partials, totals, and in a stack the whole layer."""
        yield from self._edges()
        for top in self.graph.names:
            for bottom in self.graph.before:
                if self._composed(top, bottom) and not self._is_whole(top, bottom):
                    yield self._line(top, bottom)
        if self.problem.depth > 1:
            yield from self._whole()
            return
        for part in self.parts[1:]:
            for weight in self.problem.cell.weights:
                found = immediate(self.notation, part, weight)
                yield from () if found is None else (found,)

    def _edges(self) -> Iterator[Line]:
        """Each local partial but those towards x, which end in W_xh as these do in W_hh: what the
        state is made of first, the diagonals before the matrices."""
        graph, states = self.graph, {*self.graph.before, *self.parts}
        found = []
        for top in graph.names:
            for bottom in (*graph.before, *graph.names):
                direct = graph.measure(top, bottom, direct=True)
                if not direct.number or self._is_whole(top, bottom) or top == bottom:
                    continue
                plus = self._composed(top, bottom)
                if bottom in graph.before and not direct.full and plus:
                    continue
                inner = (
                    not direct.full and bottom not in states,
                    not direct.full and top not in states,
                )
                order = (direct.full, *inner, graph.place[top], graph.place[bottom])
                found.append((order, top, bottom, plus))
        for _, top, bottom, plus in sorted(found):
            yield self._line(top, bottom, plus)

    def _is_whole(self, top: str, bottom: str) -> bool:
        """Whether it is ∂h_t/∂h_{t−1} of one layer with h alone, which is a4."""
        here = top in self.parts and bottom in self.graph.before
        return here and self.one_part and self.problem.depth == 1

    def _composed(self, top: str, bottom: str) -> bool:
        """Whether it is more than one edge."""
        every = self.graph.measure(top, bottom).number
        return every > self.graph.measure(top, bottom, direct=True).number

    def _whole(self) -> Iterator[Line]:
        """∂s_t/∂s_{t−1} of this layer alone, and how it hangs on the one below."""
        if not self.one_part:
            size = self.layer.state[-1].stop - self.layer.state[0].start
            s = f"{Notation(self.problem).whole}{self.text.up}"
            shape = (self.problem.steps, size, size)
            yield own_line(f"∂{s}_t/∂{s}_{{t−1}}", self.blocks(), shape, self._jacobian)
        if self.at:
            for part in reversed(self.parts):
                if self.graph.measure(part, X).number:
                    yield self._line(part, X)

    def blocks(self) -> str:
        """∂s_t/∂s_{t−1} of this layer by the parts of its state."""
        return _matrix(
            [[self._symbol(part, previous) if self.graph.measure(part, previous).number else "0"
              for previous in self.graph.before] for part in self.parts]
        )  # fmt: skip

    def _jacobian(self, passes: Passes) -> Array:
        """The same in numbers."""

        def block(values: Values, top: str, bottom: str) -> Array:
            if not self.graph.measure(top, bottom).number:
                return np.zeros((len(values.share.x), values.size(top), values.size(bottom[:-1])))
            return full(values.partial(top, bottom))

        with quietly():
            values, columns = Values(passes, self.at), self.graph.before
            rows = [[block(values, part, column) for column in columns] for part in self.parts]
            return np.concatenate([np.concatenate(row, axis=2) for row in rows], axis=1)

    def _symbol(self, top: str, bottom: str, plus: bool = False) -> str:
        return f"∂{'⁺' if plus else ''}{self.text.name(top)}/∂{self.text.name(bottom)}"

    def _line(self, top: str, bottom: str, direct: bool = False) -> Line:
        def numbers(passes: Passes) -> Array:
            with quietly():
                return Values(passes, self.at).partial(top, bottom, direct=direct)

        every = (top, bottom) if self.graph.measure(top, bottom, direct=direct).full else (top,)
        sizes = [self.layer.sizes[self.problem.cell.step.sizes[key]] for key in every]
        symbol, formula = self._symbol(top, bottom, direct), self.formula(top, bottom, direct)
        return own_line(symbol, formula, (self.problem.steps, *sizes), numbers)

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
