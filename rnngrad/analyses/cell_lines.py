"""The derivation inside one step of gru, lstm and stacks: the lines g1, g2, … of each layer.

First the local partials of the cell, then what they add up to: each gate's total derivative with
respect to h_{t−1}, the layer's own ∂s_t/∂s_{t−1}, and in a stack the path from the layer below. The
value of a formula diag(v) is v, one row a step; that of any other is a matrix a step.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from rnngrad.analyses.cell_partials import (
    BELOW,
    C_PREV,
    GRAPHS,
    H_PREV,
    Factors,
    Graph,
    Path,
    diagonal,
    matrix_of,
    sum_over,
)
from rnngrad.analyses.lines import Line, Own
from rnngrad.analyses.notation import Notation, raised
from rnngrad.analyses.quantities import Passes
from rnngrad.analyses.state_blocks import LSTM_BLOCKS, stack_blocks
from rnngrad.arithmetic.arrays import Array, quietly
from rnngrad.core.traces import LayerTrace
from rnngrad.core.problem import Layer, Problem


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
        self.graph: Graph = GRAPHS[problem.cell.name]
        self.scalar = Notation(problem).scalar
        self.state = "s" if len(problem.cell.parts) > 1 else "h"

    def lines(self) -> Iterator[_Found]:
        """Local partials, totals, and in a stack the whole layer."""
        yield from self._edges()
        yield from self._totals()
        if self.problem.depth > 1:
            yield from self._whole()
        elif self.problem.cell.parts == ("h", "c"):
            for weight, beside in (("W_xh", BELOW), ("W_hh", H_PREV)):
                yield self.immediate("c_t", weight, beside)

    def _edges(self) -> Iterator[_Found]:
        """Each local partial but those towards x, which end in W_xh as these do in W_hh."""
        for edge in self.graph.edges:
            alone = self.graph.paths(edge.top, edge.bottom) == [(edge,)]
            if edge.bottom != BELOW and not (edge.top == "h_t" and edge.bottom == H_PREV):
                yield self._found(edge.top, edge.bottom, [(edge,)], immediate=not alone)

    def _totals(self) -> Iterator[_Found]:
        """∂top/∂bottom where it is more than one edge; of one layer with h alone that is a4."""
        parts = [f"{part}_t" for part in self.problem.cell.parts]
        for top in self.graph.nodes():
            for bottom in (H_PREV, C_PREV):
                paths = self.graph.paths(top, bottom)
                composed = len(paths) > 1 or any(len(path) > 1 for path in paths)
                if composed and (len(parts) > 1 or self.problem.depth > 1 or top not in parts):
                    yield self._found(top, bottom, paths)

    def _whole(self) -> Iterator[_Found]:
        """∂s_t/∂s_{t−1} of this layer alone, and how it hangs on the one below."""
        if len(self.problem.cell.parts) > 1:
            size = len(self.problem.cell.parts) * self.layer.hidden
            own = Own((self.problem.steps, size, size), partial(_layer_jacobian, self.at))
            yield _Found(self.named("∂s_t/∂s_{t−1}"), self.named(LSTM_BLOCKS), own)
        elif self.problem.cell.name == "rnn":
            yield self._found("h_t", H_PREV, self.graph.paths("h_t", H_PREV))
        if self.at:
            for part in reversed(self.problem.cell.parts):
                yield self._found(f"{part}_t", BELOW, self.graph.paths(f"{part}_t", BELOW))

    def _found(
        self, top: str, bottom: str, paths: Sequence[Path], immediate: bool = False
    ) -> _Found:
        symbol = f"∂{'⁺' if immediate else ''}{top}/∂{bottom}"
        through = self.through(top, bottom, paths) if bottom != BELOW else ""
        formula = f"{through} = {self.composed(paths)}" if through else self.composed(paths)
        full = any(map(matrix_of, paths))
        width = (self._width(bottom),) if full else ()
        shape = (self.problem.steps, self.layer.hidden, *width)
        own = Own(shape, partial(_summed, self.at, tuple(paths)))
        return _Found(self.named(symbol), self.named(formula), own)

    def _width(self, bottom: str) -> int:
        side = "W_xh" if bottom == BELOW else "W_hh"
        return int(self.layer.weights[side].shape[1])

    # -- text

    def through(self, top: str, bottom: str, paths: Sequence[Path]) -> str:
        """The chain rule by partials: ∂c_t/∂i_t · ∂i_t/∂h_{t−1} + …; empty for a single edge."""
        terms: list[str] = []
        for path in paths:
            first = path[0]
            if len(path) > 1:
                terms.append(f"∂{top}/∂{first.bottom} · ∂{first.bottom}/∂{bottom}")
            elif len(paths) > 1:
                alone = self.composed([path])
                terms.append(f"∂⁺{top}/∂{bottom}" if first.matrix else alone)
        return " + ".join(dict.fromkeys(terms))

    def composed(self, paths: Sequence[Path]) -> str:
        """diag(…)·W + diag(…)·W, the diagonals along each path multiplied."""
        return " + ".join(map(self._product, paths))

    def _product(self, path: Path) -> str:
        factors = [name for edge in path for name in edge.factors]
        product, matrix = self.joined(factors), matrix_of(path)
        if self.scalar:
            closed = f"({product})" if matrix and _is_sum(product) else product
            return f"{closed}·{matrix}" if matrix else closed
        return f"diag({product})·{matrix}" if matrix else f"diag({product})"

    def joined(self, factors: Sequence[str]) -> str:
        """The factors unit by unit, a sum in brackets."""
        if len(factors) == 1:
            product = factors[0]
        else:
            product = " ∘ ".join(f"({x})" if _is_sum(x) else x for x in factors)
        return product.replace(" ∘ ", "·") if self.scalar else product

    def named(self, text: str) -> str:
        """The text with the layer on every name, in a stack: h²_t, W_hi.1, and h¹_t for x_t."""
        if self.problem.depth == 1:
            return text
        text = _WEIGHT.sub(rf"\g<0>{self.layer.suffix}", text)
        own, below = raised(self.at + 1), f"h{raised(self.at)}_t" if self.at else BELOW
        return _UNIT.sub(lambda m: below if m[0] == BELOW else f"{m[1]}{own}_{m[2]}", text)

    # -- immediate partials

    def immediate(self, top: str, weight: str, beside: str) -> _Found:
        """∂⁺top/∂W: entry [row, k] is that of the row's own unit; others are zero, not stored.

        The rows of W are those of the gates one after the other, so the diagonals stand in line.
        """
        by_gate = self._by_gate(top, weight)
        blocks = [self.joined(_factors_of(path)) if path else "0" for path in by_gate]
        text = blocks[0] if len(blocks) == 1 else f"[{', '.join(blocks)}]"
        shape = (self.problem.steps, *self.layer.weights[weight].shape)
        own = Own(shape, partial(_immediate, self.at, weight, tuple(by_gate)))
        return _Found(f"∂⁺{top}/∂{weight}", f"{text} ⊗ {beside}", own)

    def _by_gate(self, top: str, weight: str) -> list[Path | None]:
        """The one path from ``top`` into each gate's rows of W, None where there is none."""
        bottom = BELOW if weight == "W_xh" else H_PREV
        into = {matrix_of(path): path for path in self.graph.paths(top, bottom)}
        return [into.get(f"{weight[:-1]}{gate}") for gate in self.problem.cell.gates or ("h",)]


_WEIGHT = re.compile(r"\b[Wb]_\w+")
_UNIT = re.compile(r"(?<![\w'])([a-z])_(t(?![a-z0-9_])|\{t−1\})")


def _is_sum(text: str) -> bool:
    """Whether there is a + or − outside all brackets."""
    depth = 0
    for sign in text:
        depth += (sign in "({") - (sign in ")}")
        if depth == 0 and sign in "+−":
            return True
    return False


def _factors_of(path: Path) -> list[str]:
    return [name for edge in path for name in edge.factors]


def one_step_formula(problem: Problem) -> str:
    """a4, the Jacobian of the full state: sums of diag(…)·W for gru, blocks for lstm, and for a
    stack block lower triangular, block (l, m) going up from layer m to layer l."""
    if problem.depth > 1:
        return stack_blocks(problem)
    inside = _Inside(problem, 0)
    if len(problem.cell.parts) > 1:
        return LSTM_BLOCKS
    paths = inside.graph.paths("h_t", H_PREV)
    return f"{inside.through('h_t', H_PREV, paths)} = {inside.composed(paths)}"


def immediate_lines(problem: Problem) -> Iterator[Line]:
    """b1, b2 of one layer of gru or lstm: ∂⁺h_t/∂W_xh and ∂⁺h_t/∂W_hh."""
    inside = _Inside(problem, 0)
    for name, weight, beside in (("b1", "W_xh", BELOW), ("b2", "W_hh", H_PREV)):
        found = inside.immediate("h_t", weight, beside)
        yield Line(name, found.symbol, found.formula, "", None, "", found.own)


# ---------------------------------------------------------------------------- numbers


def _layer(passes: Passes, at: int) -> tuple[Layer, LayerTrace, Factors]:
    problem = passes.problem
    layer, share = problem.layers[at], passes.forward.layers[at]
    return layer, share, GRAPHS[problem.cell.name].factors(share, problem.activation)


def _summed(at: int, paths: Sequence[Path], passes: Passes) -> Array:
    with quietly():
        layer, _, factors = _layer(passes, at)
        return sum_over(paths, passes.problem.cell, factors, layer.weights)


def _layer_jacobian(at: int, passes: Passes) -> Array:
    """[[∂h_t/∂h_{t−1}, ∂h_t/∂c_{t−1}], [∂c_t/∂h_{t−1}, ∂c_t/∂c_{t−1}]], (T, 2H, 2H)."""
    graph, hidden = GRAPHS[passes.problem.cell.name], passes.problem.layers[at].hidden
    jacobian = np.zeros((passes.problem.steps, 2 * hidden, 2 * hidden))
    for i, top in enumerate(("h_t", "c_t")):
        for j, bottom in enumerate((H_PREV, C_PREV)):
            block = _summed(at, graph.paths(top, bottom), passes)
            full = block if block.ndim == 3 else block[:, :, np.newaxis] * np.eye(hidden)
            rows, columns = slice(i * hidden, (i + 1) * hidden), slice(j * hidden, (j + 1) * hidden)
            jacobian[:, rows, columns] = full
    return jacobian


def _immediate(at: int, weight: str, by_gate: Sequence[Path | None], passes: Passes) -> Array:
    with quietly():
        layer, share, factors = _layer(passes, at)
        zero = np.zeros((passes.problem.steps, layer.hidden))
        in_line = [zero if path is None else diagonal(path, factors) for path in by_gate]
        beside = share.x if weight == "W_xh" else share.h[:-1]
        diagonals = np.concatenate(in_line, axis=1)
        return np.asarray(diagonals[:, :, np.newaxis] * beside[:, np.newaxis, :])
