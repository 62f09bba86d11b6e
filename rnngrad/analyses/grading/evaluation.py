"""The value of a tree on nets: by numbers where every size is 1, else by vectors and matrices.

Scalar: all N nets at once, every value (N,), and every product commutes, as on the sheet.

Vectors: one net, and the order counts. ∂y/∂h is a matrix (O, H), σ'(v) the diagonal matrix of the
slopes, ∂h/∂W the tensor (H, H, I), and a product sums over the last axis of its left and the first
of its right factor, so that a vector is a row on the left and a column on the right. Where the
answer is a gradient of a weight, a last factor x_k or h_{k−1} multiplies outwards:
(σ'(a) x)[j, i, k] = σ'(a)[j, i] x[k]. In a ∏ of Jacobians later steps stand on the left.

∂(expression)/∂name, as in (14), (16), (18) and (25) of the sheet, is for scalar nets alone. The
rules of the calculus go down to the names, and from there on ``tangents``:

    (u + v)' = u' + v'    (u v)' = u' v + u v'    σ(u)' = σ'(u) u'    (uⁿ)' = n uⁿ⁻¹ u'

By a weight that stands in the expression itself, h_{t−1} is held fixed: that is how the sheet
reads ∂σ(W_xh x_t + W_hh h_{t−1} + b_h)/∂W_hh in (27).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping

import numpy as np

from rnngrad.algebra.expressions import (
    Add,
    Call,
    Derivative,
    Div,
    FormulaError,
    Index,
    Mul,
    Name,
    Neg,
    Node,
    Number,
    Power,
    Series,
    Transpose,
    free_variables,
    nodes,
    parts,
)
from rnngrad.algebra.writing import named, written
from rnngrad.analyses.grading.nets import Key, Nets
from rnngrad.analyses.grading.tangents import PARAMETERS, tangent
from rnngrad.arithmetic.arrays import Array, quietly
from rnngrad.arithmetic.functions import ACTIVATIONS, Activation

MOST_WORK = 110_000
"""Nodes that may be visited to judge one answer, on all nets together: Σ in Σ in ∏ multiply.
A double sum over 200 steps takes 100,000."""

SEVERAL = (2, 3, 4)
"""I, H, O of a net with vectors: all different, so that what does not fit is seen."""

Binding = Mapping[str, int]


class OrderError(Exception):
    """A formula that is none between vectors: factors in the wrong order, a transpose left out."""


class UnreadError(Exception):
    """A formula that is read for scalars alone."""


class Work:
    """How many nodes may still be visited, on all nets of an answer together."""

    def __init__(self) -> None:
        self.left = MOST_WORK

    def spend(self, nodes: int = 1) -> None:
        """Raises FormulaError where there is no more."""
        self.left -= nodes
        if self.left < 0:
            raise FormulaError("too long to be graded: sums within sums over too many steps")


class Evaluator:
    """Values on ``nets``: all nets as scalars, or net ``one`` with its vectors.

    A Σ or ∏ within another is computed once for the steps that it depends on; what is kept of it
    keeps its nodes alive too, so that no other node can have its ``id``.
    """

    def __init__(
        self, nets: Nets, one: int | None = None, *, outer: bool = False, work: Work | None = None
    ) -> None:
        self.nets, self.one, self.outer = nets, one, outer
        self.work = work or Work()
        self._known: dict[tuple[object, ...], tuple[Series, Array]] = {}
        self._free: dict[int, tuple[Series, tuple[str, ...]]] = {}
        self._partials: dict[tuple[Key, Key, bool], Array] = {}

    @property
    def scalar(self) -> bool:
        return self.one is None

    def value(self, node: Node, binding: Binding) -> Array:
        """The value, (N,) or one net's own shape. Raises FormulaError, OrderError, UnreadError."""
        self._known.clear()
        self._free.clear()
        with quietly():
            return self.of(node, binding)

    def of(self, node: Node, binding: Binding) -> Array:
        """The value of a node, on the way to the value of the whole."""
        self.work.spend()
        if isinstance(node, Number):
            return np.asarray(float(node.text))
        if isinstance(node, Name):
            return self.named(node, binding)
        if isinstance(node, Neg):
            return -self.of(node.operand, binding)
        if isinstance(node, Add):
            return self.added(node, binding)
        if isinstance(node, Mul):
            return self.product(node.factors, binding)
        if isinstance(node, Call):
            return self.call(node, binding)
        if isinstance(node, Derivative):
            return self.derivative(node, binding)
        if isinstance(node, Series):
            return self.series(node, binding)
        assert isinstance(node, Div | Power | Transpose), "answers have no matrices"
        return self.quotient_or_power(node, binding)

    # ------------------------------------------------------------------ names and steps

    def key(self, name: Name, binding: Binding) -> Key:
        """Which value of the nets is meant. Raises FormulaError where there is none."""
        if name.head == "L" and self.nets.problem.loss is None:
            raise FormulaError("this net has no loss", name.at)
        if name.step is None:
            key: Key = (name.head, 0)
            if key not in self.nets.values:
                raise FormulaError(f"this net has no {name.head}", name.at)
            return key
        step = stepped(name.step, binding, name.at)
        first = 0 if name.head == "h" else 1
        if not first <= step <= self.nets.steps:
            shown = named(Name(name.head, Index(None, step)))
            steps = f"steps {first} to {self.nets.steps}"
            raise FormulaError(f"{shown} does not exist: {name.head} has {steps}", name.at)
        return name.head, step

    def named(self, name: Name, binding: Binding) -> Array:
        if name.head == "O":
            return np.asarray(float(self.nets.values["y", 1].shape[1]))
        return self.own(self.nets.values[self.key(name, binding)])

    def own(self, values: Array) -> Array:
        """One net's part of (N, …), or (N,) where all sizes are 1."""
        return values.reshape(self.nets.count) if self.one is None else values[self.one]

    def derivative(self, node: Derivative, binding: Binding) -> Array:
        """∂top/∂bottom. By a parameter, h_t and a_t are differentiated with h_{t−1} held fixed."""
        bottom = self.key(node.bottom, binding)
        if bottom[0] in ("target", "O"):
            raise FormulaError("nothing here is differentiated by that", node.bottom.at)
        if not isinstance(node.top, Name):
            if not self.scalar:
                raise UnreadError("the derivative of an expression")
            return differentiate(self, node.top, node.bottom, binding)
        top = self.key(node.top, binding)
        asked = (top, bottom, node.immediate)
        if asked not in self._partials:
            self._partials[asked] = self.partial(node, top, bottom)
        return self._partials[asked]

    def partial(self, node: Derivative, top: Key, bottom: Key) -> Array:
        """∂top/∂bottom on the nets; computed once."""
        immediate = bottom[0] in PARAMETERS and top[0] in ("h", "a")
        if node.immediate and top[0] not in ("h", "a"):
            raise FormulaError("∂⁺ holds h_{t−1} fixed: it is for h_t and h̃_t", node.at)
        if immediate and top == ("h", 0):
            values = self.nets.values
            return self.own(np.zeros(values["h", 0].shape + values[bottom].shape[1:]))
        return self.own(tangent(self.nets, top, bottom, immediate=immediate))

    def series(self, node: Series, binding: Binding) -> Array:
        """Σ or ∏, from its first step to its last."""
        return self.remembered(node, binding, (), lambda: self.summed(node, binding))

    def remembered(
        self, node: Series, binding: Binding, what: Hashable, compute: Callable[[], Array]
    ) -> Array:
        """``what`` of a Σ or ∏, computed once for each step of each variable that is free in it."""
        if id(node) not in self._free:
            self._free[id(node)] = node, free_variables(node)
        variables = self._free[id(node)][1]
        key = (id(node), what, self.outer, *(binding.get(variable) for variable in variables))
        if key not in self._known:
            self._known[key] = node, compute()
        return self._known[key][1]

    def summed(self, node: Series, binding: Binding) -> Array:
        start, stop = (stepped(end, binding, node.at) for end in (node.start, node.stop))
        total: Array | None = None
        product = node.kind == "prod"
        for step in range(start, stop + 1):
            value = self.of(node.body, {**binding, node.variable: step})
            if total is None:
                total = value
            else:
                total = self.times(value, total) if product else self.plus(total, value)
        return np.asarray(float(node.kind == "prod")) if total is None else total

    # ------------------------------------------------------------------ functions

    def function(self, name: str) -> Activation | None:
        """The record of a function; None for a softmax."""
        if name == "σ":
            return self.nets.problem.activation
        return self.nets.problem.output.elementwise if name == "g" else ACTIVATIONS[name]

    def call(self, node: Call, binding: Binding) -> Array:
        outer, self.outer = self.outer, False
        argument = self.of(node.argument, binding)
        self.outer = outer
        if node.function == "exp":
            return np.exp(argument)
        if node.function == "ln":
            return np.log(argument)
        if node.function == "diag":
            return self.diagonal(argument)
        record = self.function(node.function)
        if record is None:
            return self.softmax(argument, prime=node.prime)
        argument = np.asarray(argument, dtype=np.float64)
        return (
            self.diagonal(record.slope(argument)) if node.prime else np.asarray(record.f(argument))
        )

    def diagonal(self, values: Array) -> Array:
        """diag(v) between vectors; a number is its own."""
        return values if self.scalar or values.ndim != 1 else np.diag(values)

    def softmax(self, a: Array, *, prime: bool) -> Array:
        output = self.nets.problem.output
        rows = np.atleast_2d(a) if not self.scalar else a.reshape(-1, 1)
        y = np.asarray(output.g(rows))
        result = output.jacobian(rows, y) if prime else y
        return result.reshape(a.shape) if self.scalar else result[0]

    # ------------------------------------------------------------------ sums and products

    def added(self, node: Add, binding: Binding) -> Array:
        total = self.of(node.terms[0], binding)
        for term in node.terms[1:]:
            total = self.plus(total, self.of(term, binding))
        slope = not self.scalar and total.ndim == 1 and _is_slope(node)
        return self.diagonal(total) if slope else total

    def plus(self, a: Array, b: Array) -> Array:
        fits = (
            self.scalar or a.shape == b.shape or min(a.ndim, b.ndim) == 0 >= max(a.ndim, b.ndim) - 1
        )
        if not fits:
            raise OrderError(f"a sum of {_shape(a)} and {_shape(b)}")
        total: Array = a + b
        return total

    def product(self, factors: tuple[Node, ...], binding: Binding) -> Array:
        """From the left; y(1 − y) between vectors is the diagonal matrix of a slope."""
        total: Array | None = None
        index = 0
        while index < len(factors):
            pair = factors[index : index + 2]
            if not self.scalar and len(pair) == 2 and _are_slope(*pair):
                value = self.diagonal(self.of(pair[0], binding) * self.of(pair[1], binding))
                index += 1
            else:
                value = self.of(factors[index], binding)
            outwards = (self.outer and _is_input(factors[index])) or _is_row(factors[index], value)
            total = value if total is None else self.times(total, value, outwards=outwards)
            index += 1
        assert total is not None
        return total

    def times(self, a: Array, b: Array, *, outwards: bool = False) -> Array:
        if self.scalar or a.ndim == 0 or b.ndim == 0:
            return np.asarray(a * b)
        if outwards and (self.outer or a.ndim == 1):
            return np.asarray(np.multiply.outer(a, b))
        if a.ndim == b.ndim == 1 and a.shape == b.shape:
            return np.asarray(a * b)
        if a.shape[-1] != b.shape[0] or a.ndim == b.ndim == 1:
            raise OrderError(f"{_shape(a)} times {_shape(b)}")
        return np.asarray(np.tensordot(a, b, 1))

    def quotient_or_power(self, node: Div | Power | Transpose, binding: Binding) -> Array:
        if isinstance(node, Div):
            top, bottom = self.of(node.top, binding), self.of(node.bottom, binding)
            if not self.scalar and bottom.ndim and top.ndim and bottom.shape != top.shape:
                raise OrderError(f"{_shape(top)} divided by {_shape(bottom)}")
            return np.asarray(top / bottom)
        base = self.of(node.base, binding)
        if isinstance(node, Transpose):
            return base if self.scalar or base.ndim < 2 else base.T
        if self.scalar or base.ndim < 2:
            return np.asarray(base ** float(node.exponent))
        if base.shape != base.shape[:1] * 2 or node.exponent < 0:
            raise OrderError(f"a power of {_shape(base)}")
        return np.linalg.matrix_power(base, node.exponent)


def stepped(index: Index, binding: Binding, at: int) -> int:
    """The step that an index means. Raises FormulaError where its variable is not bound."""
    if index.variable is None:
        return index.offset
    if index.variable not in binding:
        message = f"{index.variable} is no fixed step here; write the number of the step"
        raise FormulaError(message, at)
    return binding[index.variable] + index.offset


def _is_input(node: Node) -> bool:
    """x_k or h_k: what a weight is multiplied by."""
    return isinstance(node, Name) and node.head in ("x", "h")


def _is_row(node: Node, value: Array) -> bool:
    """vᵀ, which multiplies a vector on its left outwards: y yᵀ."""
    return isinstance(node, Transpose) and value.ndim == 1 and _lies(node)


def _lies(node: Node) -> bool:
    """Whether a vector is a row: ∂L/∂h, or the transpose of a column; (∂L/∂h)ᵀ is a column."""
    if isinstance(node, Transpose):
        return not _lies(node.base)
    if isinstance(node, Derivative):
        return isinstance(node.top, Name) and node.top.head == "L"
    return not isinstance(node, Call) and any(map(_lies, parts(node)))


def _is_slope(node: Add) -> bool:
    """1 − v²"""
    one, rest = node.terms[0], node.terms[-1]
    squared = isinstance(rest, Neg) and isinstance(rest.operand, Power)
    return len(node.terms) == 2 and isinstance(one, Number) and float(one.text) == 1 and squared


def _are_slope(v: Node, other: Node) -> bool:
    """v and 1 − v, in either order."""
    if not isinstance(v, Add) and not isinstance(other, Add):
        return False
    return f"1 − {_bare(v)}" == written(other) or f"1 − {_bare(other)}" == written(v)


def _bare(node: Node) -> str:
    return f"({written(node)})" if isinstance(node, Add | Mul) else written(node)


def _shape(values: Array) -> str:
    kind = {0: "a number", 1: "a vector", 2: "a matrix"}.get(values.ndim, "a tensor")
    return f"{kind} {in_letters(values.shape)}" if values.ndim else kind


def in_letters(shape: tuple[int, ...]) -> str:
    """(H, I) for the sizes of the nets that are drawn, which are nobody's own."""
    letters = dict(zip(SEVERAL, "IHO", strict=True))
    return f"({', '.join(letters.get(size, str(size)) for size in shape)})" if shape else "a number"


# ---------------------------------------------------------------------------- derivatives


def differentiate(evaluator: Evaluator, node: Node, bottom: Name, binding: Binding) -> Array:
    """∂node/∂bottom, (N,). Raises FormulaError for what no rule is here for."""
    key = evaluator.key(bottom, binding)
    inside = {n.head for n in nodes(node) if isinstance(n, Name)}
    held = key[0] in PARAMETERS and key[0] in inside
    return _Rules(evaluator, key, binding, held).of(node)


class _Rules:
    """The rules, for one denominator; ``held``: h_{t−1} is held fixed."""

    def __init__(
        self, evaluator: Evaluator, key: tuple[str, int], binding: Binding, held: bool
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
