"""∂(expression)/∂name, as in (14), (16), (18) and (25) of the sheet; scalar nets alone.

The rules of the calculus down to the names, and from there on ``tangents``:

    (u + v)' = u' + v'    (u v)' = u' v + u v'    σ(u)' = σ'(u) u'    (uⁿ)' = n uⁿ⁻¹ u'

By a weight that stands in the expression itself, h_{t−1} is held fixed: that is how the sheet
reads ∂σ(W_xh x_t + W_hh h_{t−1} + b_h)/∂W_hh in (27).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from rnngrad.algebra.expressions import (
    Add,
    Call,
    Derivative,
    Div,
    FormulaError,
    Mul,
    Name,
    Neg,
    Node,
    Number,
    Power,
    Series,
    Transpose,
    nodes,
)
from rnngrad.analyses.grading.tangents import PARAMETERS, tangent
from rnngrad.arithmetic.arrays import Array

if TYPE_CHECKING:
    from rnngrad.analyses.grading.evaluation import Evaluator


def differentiate(
    evaluator: Evaluator, node: Node, bottom: Name, binding: Mapping[str, int]
) -> Array:
    """∂node/∂bottom, (N,). Raises FormulaError for what no rule is here for."""
    key = evaluator.key(bottom, binding)
    inside = {n.head for n in nodes(node) if isinstance(n, Name)}
    held = key[0] in PARAMETERS and key[0] in inside
    return _Rules(evaluator, key, binding, held).of(node)


class _Rules:
    """The rules, for one denominator; ``held``: h_{t−1} is held fixed."""

    def __init__(
        self, evaluator: Evaluator, key: tuple[str, int], binding: Mapping[str, int], held: bool
    ) -> None:
        self.evaluator, self.key, self.binding, self.held = evaluator, key, binding, held

    def value(self, node: Node) -> Array:
        return self.evaluator.of(node, self.binding)

    def of(self, node: Node) -> Array:
        self.evaluator.work.spend()
        if isinstance(node, Number):
            return np.zeros(())
        if isinstance(node, Name):
            return self.name(node)
        if isinstance(node, Neg):
            return -self.of(node.operand)
        if isinstance(node, Add):
            return np.asarray(sum(self.of(term) for term in node.terms))
        if isinstance(node, Mul):
            return self.product(node)
        if isinstance(node, Call):
            return self.call(node)
        if isinstance(node, Derivative):
            raise FormulaError("a derivative of a derivative is not read", node.at)
        if isinstance(node, Series):
            return self.series(node)
        assert isinstance(node, Div | Power | Transpose), "answers have no matrices"
        return self.rest(node)

    def name(self, node: Name) -> Array:
        nets = self.evaluator.nets
        if node.head == "O":
            return np.zeros(())
        top = self.evaluator.key(node, self.binding)
        if top != self.key and self.held and top[0] == "h":
            return np.zeros(())
        return self.evaluator.own(tangent(nets, top, self.key))

    def product(self, node: Mul) -> Array:
        self.evaluator.work.spend(4 * len(node.factors))
        values = [self.value(factor) for factor in node.factors]
        total: Array = np.zeros(())
        for index, factor in enumerate(node.factors):
            others = values[:index] + values[index + 1 :]
            total = total + self.of(factor) * np.prod(np.broadcast_arrays(*others), axis=0)
        return total

    def call(self, node: Call) -> Array:
        if node.prime or node.function in ("exp", "ln", "diag"):
            raise FormulaError("the derivative of this is not read", node.at)
        slope = self.value(node._replace(prime=True))
        return slope * self.of(node.argument)

    def series(self, node: Series) -> Array:
        if node.kind != "sum":
            raise FormulaError("the derivative of a ∏ is not read", node.at)
        what = (self.key, self.held)
        return self.evaluator.remembered(node, self.binding, what, lambda: self.summed(node))

    def summed(self, node: Series) -> Array:
        from rnngrad.analyses.grading.evaluation import stepped

        start, stop = (stepped(end, self.binding, node.at) for end in (node.start, node.stop))
        total: Array = np.zeros(())
        for step in range(start, stop + 1):
            binding = {**self.binding, node.variable: step}
            total = total + _Rules(self.evaluator, self.key, binding, self.held).of(node.body)
        return total

    def rest(self, node: Div | Power | Transpose) -> Array:
        if isinstance(node, Transpose):
            return self.of(node.base)
        if isinstance(node, Power):
            inner = self.value(node.base) ** float(node.exponent - 1)
            return node.exponent * inner * self.of(node.base)
        top, bottom = self.value(node.top), self.value(node.bottom)
        return (self.of(node.top) * bottom - top * self.of(node.bottom)) / bottom**2
