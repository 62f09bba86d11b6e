"""A cell's equations as on paper, cut and evaluated once more: what every check stands on.

    a.i = W_xi x + W_hi h⁻ + b_i        i = σ(a.i)        one line for every name, and for every sum
                                                         with a matrix in it

Nothing of it is ``algebra.step_graph``, ``algebra.derivatives`` or a tape, so that a lost edge, a
wrong transpose or a wrong rule there shows. The keys are the same: "x", "h⁻", "i", "a.i", "v.n".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache, reduce
from operator import add, mul
from typing import Any, NamedTuple

import numpy as np

from rnngrad.algebra.equations import Equations, X
from rnngrad.algebra.expressions import (
    Add,
    Apply,
    Call,
    Div,
    Index,
    Mul,
    Name,
    Neg,
    Node,
    Number,
    Power,
    Transpose,
    nodes,
)
from rnngrad.arithmetic.arrays import Array, Numbers
from rnngrad.arithmetic.evaluation import Functions
from rnngrad.net.cells import Cell
from rnngrad.net.traces import LayerTrace

NOW, BEFORE = Index("t", 0), Index("t", -1)


class Product(NamedTuple):
    """± W source, or Wᵀ."""

    parameter: str
    source: str
    transposed: bool
    sign: float


class Line(NamedTuple):
    """key = Σ products + Σ terms; what stands in the terms acts unit by unit.

    ``opposite``: it is 1 − that key, which is σ(u), computed as σ(−u): so it keeps its digits.
    """

    key: str
    products: tuple[Product, ...]
    terms: tuple[Node, ...]
    opposite: str = ""

    @property
    def sources(self) -> tuple[str, ...]:
        """The keys and parameters in its terms."""
        found = [one for term in self.terms for one in nodes(term) if isinstance(one, Name)]
        return tuple(dict.fromkeys(map(key_of, found)))

    @property
    def calls(self) -> Iterator[Call]:
        """The functions in its terms."""
        return (one for term in self.terms for one in nodes(term) if isinstance(one, Call))


def key_of(name: Name) -> str:
    """h, h⁻, x; a parameter by itself."""
    return f"{name.head}⁻" if name.step == BEFORE else name.head


@lru_cache(maxsize=64)
def lines_of(cell: Cell) -> tuple[Line, ...]:
    """The cell's lines, each behind those it needs."""
    cutter = _Cutter(cell.equations, complements=cell.activation is not None)
    for equation in cell.equations.equations:
        cutter.line(equation.name, equation.right, equation.name)
    return tuple(cutter.lines)


class _Cutter:
    """The lines so far."""

    def __init__(self, equations: Equations, complements: bool) -> None:
        self.complements = complements
        self.lines: list[Line] = []
        self.taken: set[str] = set()

    def line(self, key: str, node: Node, of: str) -> None:
        products: list[Product] = []
        terms: list[Node] = []
        for term in _terms(node):
            inner = term.operand if isinstance(term, Neg) else term
            if isinstance(inner, Apply):
                products.append(self.product(inner, -1.0 if inner is not term else 1.0, of))
            else:
                terms.append(self.cut(term, of))
        if products or not self.complements:
            self.lines.append(Line(key, tuple(products), tuple(terms)))
            return
        whole = self.cut_complement(Add(tuple(terms))) if len(terms) > 1 else terms[0]
        self.lines.append(Line(key, (), tuple(_terms(whole))))

    def product(self, node: Apply, sign: float, of: str) -> Product:
        operand = self.cut(node.operand, of)
        if isinstance(operand, Name) and operand.step is not None:
            source = key_of(operand)
        else:
            source = self.fresh("v", of)
            self.lines.append(Line(source, (), (operand,)))
        transposed = isinstance(node.matrix, Transpose)
        name = node.matrix.base if isinstance(node.matrix, Transpose) else node.matrix
        assert isinstance(name, Name)
        return Product(name.head, source, transposed, sign)

    def cut(self, node: Node, of: str) -> Node:
        """The same with a name in place of every sum that has a matrix in it."""
        held = (isinstance(_bare(term), Apply) for term in _terms(node))
        if any(held) and not isinstance(node, Neg):
            key = self.fresh("a", of)
            self.line(key, node, of)
            return Name(key, NOW)
        if isinstance(node, Number | Name):
            return node
        parts = [self.inside(part, of) for part in node]
        return self.cut_complement(type(node)(*parts))

    def inside(self, part: Any, of: str) -> Any:
        if type(part) is tuple:
            return tuple(self.cut(one, of) for one in part)
        return self.cut(part, of) if isinstance(part, Node) else part

    def cut_complement(self, node: Node) -> Node:
        """1 − σ(u) as σ(−u), and 1 − z as a line of its own where z = σ(u)."""
        if not (self.complements and isinstance(node, Add) and len(node.terms) == 2):
            return node
        one, other = sorted(node.terms, key=lambda term: isinstance(term, Neg))
        if not (isinstance(one, Number) and float(one.text) == 1 and isinstance(other, Neg)):
            return node
        inner = other.operand
        if isinstance(inner, Call) and inner.function == "σ":
            return inner._replace(argument=Neg(inner.argument))
        if not isinstance(inner, Name) or inner.step != NOW:
            return node
        line = next((line for line in self.lines if line.key == inner.head), None)
        if line is None or line.products or len(line.terms) != 1:
            return node
        call, key = line.terms[0], f"1−{inner.head}"
        if not (isinstance(call, Call) and call.function == "σ"):
            return node
        if all(line.key != key for line in self.lines):
            opposite = call._replace(argument=Neg(call.argument))
            self.lines.append(Line(key, (), (opposite,), opposite=inner.head))
        return Name(key, NOW)

    def fresh(self, kind: str, of: str) -> str:
        """a.i, and a.i2 for another of the same equation."""
        key, number = f"{kind}.{of}", 2
        while key in self.taken:
            key, number = f"{kind}.{of}{number}", number + 1
        self.taken.add(key)
        return key


def _terms(node: Node) -> tuple[Node, ...]:
    return node.terms if isinstance(node, Add) else (node,)


def _bare(node: Node) -> Node:
    return node.operand if isinstance(node, Neg) else node


# ---------------------------------------------------------------------------- evaluation

Called = Callable[[str, Any], Any]
"""A function's sign and what it is taken of -> its value."""


def evaluated(node: Node, look: Callable[[str], Any], call: Called) -> Any:
    """A line's term, in any numbers with +, ·, / and powers."""

    def value(inner: Node) -> Any:
        if isinstance(inner, Number):
            return float(inner.text)
        if isinstance(inner, Name):
            return look(key_of(inner))
        if isinstance(inner, Neg):
            return -value(inner.operand)
        if isinstance(inner, Add):
            return reduce(add, map(value, inner.terms))
        if isinstance(inner, Mul):
            return reduce(mul, map(value, inner.factors))
        if isinstance(inner, Div):
            return value(inner.top) / value(inner.bottom)
        if isinstance(inner, Power):
            return value(inner.base) ** inner.exponent
        if isinstance(inner, Call):
            return call(inner.function, value(inner.argument))
        raise TypeError(f"{type(inner).__name__} does not act unit by unit")

    return value(node)


def plainly(functions: Functions) -> Called:
    """Functions of floats, real or complex."""
    return lambda sign, a: functions[sign].f(a)


def evaluated_lines(
    lines: tuple[Line, ...],
    given: Mapping[str, Any],
    own: Mapping[str, Any],
    call: Called,
    multiply: Callable[[Product, Any], Any],
    enter: Callable[[str, Any], Any] = lambda key, value: value,
) -> dict[str, Any]:
    """Every line's value, from x and s_{t−1}: ``multiply`` is W v, what ``enter`` makes of a value
    goes on."""
    known = dict(given)

    def look(key: str) -> Any:
        return known[key] if key in known else own[key]

    for line in lines:
        parts = [multiply(product, known[product.source]) for product in line.products]
        parts += [evaluated(term, look, call) for term in line.terms]
        total = reduce(add, parts)
        if line.opposite and isinstance(total, Rough):
            total = Rough(total.value, total.error + 1.0)  # as 1 − z it loses one unit
        known[line.key] = enter(line.key, total)
    return known


def times(own: Mapping[str, Array]) -> Callable[[Product, Array], Array]:
    """± W v, row by row."""

    def multiply(product: Product, rows: Array) -> Array:
        W = own[product.parameter]
        values = rows @ (W if product.transposed else W.T)
        return -values if product.sign < 0 else values

    return multiply


def given_by(trace: LayerTrace) -> dict[str, Numbers]:
    """x_t and s_{t−1} over all steps."""
    return {X: trace.x} | {f"{part}⁻": rows[:-1] for part, rows in trace.states.items()}


# ---------------------------------------------------------------------------- rounding


class Rough:
    """A number and what rounding may have moved it by, in units of rounding: a running error bound
    (Higham, *Accuracy and Stability of Numerical Algorithms* (2002), section 3.3)."""

    __array_ufunc__ = None  # so that array + Rough asks Rough

    def __init__(self, value: Numbers, error: Numbers) -> None:
        self.value, self.error = value, error

    def __neg__(self) -> Rough:
        return Rough(-self.value, self.error)

    def __add__(self, other: Any) -> Rough:
        """Each term counts: 1 − z has an absolute error of one unit, however small it is."""
        b = rough(other)
        size = np.abs(self.value) + np.abs(b.value)
        return Rough(self.value + b.value, self.error + b.error + size)

    def __mul__(self, other: Any) -> Rough:
        b = rough(other)
        value = self.value * b.value
        moved = self.error * np.abs(b.value) + b.error * np.abs(self.value)
        return Rough(value, moved + np.abs(value))

    def __truediv__(self, other: Any) -> Rough:
        b = rough(other)
        value = self.value / b.value
        moved = self.error + np.abs(value) * b.error
        return Rough(value, moved / np.abs(b.value) + np.abs(value))

    def __pow__(self, n: int) -> Rough:
        value = self.value ** float(n)
        return Rough(value, np.abs(n * value / self.value) * self.error + np.abs(value))

    def __radd__(self, other: Any) -> Rough:
        return rough(other) + self

    def __rmul__(self, other: Any) -> Rough:
        return rough(other) * self

    def __rtruediv__(self, other: Any) -> Rough:
        return rough(other) / self


def rough(value: Any) -> Rough:
    """An exact number."""
    return value if isinstance(value, Rough) else Rough(np.asarray(value), np.zeros(()))


def roughly(functions: Functions) -> Called:
    """Functions of what rounding has moved; over a kink it moves by the steepest slope."""

    def call(sign: str, a: Any) -> Rough:
        record, a = functions[sign], rough(a)
        value = record.f(a.value)
        slope = record.steepest if record.kinks else np.abs(record.slope(a.value))
        moved = np.where(a.error == 0, 0.0, slope * a.error)
        return Rough(value, moved + np.abs(value))

    return call


def rough_times(own: Mapping[str, Array], *, any_order: bool) -> Callable[[Product, Any], Rough]:
    """W v with a unit of rounding for each term; ``any_order``: as many as there are terms."""

    def multiply(product: Product, rows: Any) -> Rough:
        rows, W = rough(rows), own[product.parameter]
        W = product.sign * (W if product.transposed else W.T)
        units = len(W) + 2 if any_order else 1
        error = (rows.error + units * np.abs(rows.value)) @ np.abs(W)
        return Rough(rows.value @ W, error)

    return multiply
