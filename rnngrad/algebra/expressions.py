"""The tree of a formula.

    Number  Name  Neg  Add  Mul  Div  Power  Transpose  Call  Derivative  Series  Apply

A product is ``Mul``, element by element; a matrix times a vector is ``Apply``, which answers about
scalar nets have no need of.

The nodes are tuples, so two trees are compared by what is written (``algebra.writing``), never by
``==`` (Neg(x) and Transpose(x) hold the same).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeAlias

from rnngrad.errors import escaped


class FormulaError(Exception):
    """What is wrong with a formula, and at which character of it (from 0; None: as a whole).

    A message may quote the formula, so what a terminal would act on is written as an escape.
    """

    def __init__(self, message: str, at: int | None = None) -> None:
        self.message, self.at = escaped(message), at
        super().__init__(self.message)


class Index(NamedTuple):
    """A step: ``variable`` + ``offset``, or the number ``offset`` alone."""

    variable: str | None
    offset: int

    def __str__(self) -> str:
        if self.variable is None:
            return str(self.offset)
        return (
            f"{self.variable}{self.offset:+d}".replace("-", "−") if self.offset else self.variable
        )


class Number(NamedTuple):
    """A number as it was typed."""

    text: str


class Name(NamedTuple):
    """W_hh, h_3, L: ``at`` is the character at which it stands in the formula."""

    head: str
    step: Index | None
    at: int = 0


class Neg(NamedTuple):
    """−operand"""

    operand: Node


class Add(NamedTuple):
    """A sum of two or more."""

    terms: tuple[Node, ...]


class Mul(NamedTuple):
    """A product of two or more, in the order in which they were written."""

    factors: tuple[Node, ...]


class Div(NamedTuple):
    """top / bottom"""

    top: Node
    bottom: Node


class Power(NamedTuple):
    """base to a small integer."""

    base: Node
    exponent: int


class Transpose(NamedTuple):
    """baseᵀ"""

    base: Node


class Call(NamedTuple):
    """σ(argument), or σ'(argument) where ``prime``."""

    function: str
    prime: bool
    argument: Node
    at: int = 0


class Derivative(NamedTuple):
    """∂top/∂bottom; ``immediate``: ∂⁺. Its top may be any expression, as in (18) of the sheet."""

    top: Node
    bottom: Name
    immediate: bool
    at: int = 0


class Series(NamedTuple):
    """Σ or ∏ of the body for a variable from ``start`` through ``stop``."""

    kind: str
    variable: str
    start: Index
    stop: Index
    body: Node
    at: int = 0


class Apply(NamedTuple):
    """matrix · operand, the matrix a Name or the Transpose of one."""

    matrix: Name | Transpose
    operand: Node


class Tight(NamedTuple):
    """Factors side by side, as they were written: which of them are matrices is not known yet."""

    factors: tuple[Node, ...]
    at: int = 0


Node: TypeAlias = (
    Number | Name | Neg | Add | Mul | Div | Power | Transpose | Call | Derivative | Series
    | Apply | Tight
)  # fmt: skip


def parts(node: Node) -> tuple[Node, ...]:
    """The nodes right below; a derivative's bottom is not one, as it is not evaluated."""
    if isinstance(node, Neg):
        return (node.operand,)
    if isinstance(node, Add):
        return node.terms
    if isinstance(node, Mul | Tight):
        return node.factors
    if isinstance(node, Apply):
        return node.matrix, node.operand
    if isinstance(node, Div):
        return node.top, node.bottom
    if isinstance(node, Power | Transpose):
        return (node.base,)
    if isinstance(node, Call):
        return (node.argument,)
    if isinstance(node, Derivative):
        return (node.top,)
    return (node.body,) if isinstance(node, Series) else ()


def rebuilt(node: Node, change: Callable[[Node], Node]) -> Node:
    """The same node with what is right below it changed; for a cell's equations."""
    if isinstance(node, Neg):
        return Neg(change(node.operand))
    if isinstance(node, Add):
        return Add(tuple(map(change, node.terms)))
    if isinstance(node, Mul):
        return Mul(tuple(map(change, node.factors)))
    if isinstance(node, Div):
        return Div(change(node.top), change(node.bottom))
    if isinstance(node, Power | Transpose):
        return node._replace(base=change(node.base))
    if isinstance(node, Call):
        return node._replace(argument=change(node.argument))
    if isinstance(node, Apply):
        matrix = change(node.matrix)
        assert isinstance(matrix, Name | Transpose)
        return Apply(matrix, change(node.operand))
    return node


def free_variables(node: Node) -> tuple[str, ...]:
    """The steps that its value depends on, by name, in alphabetical order."""
    return tuple(sorted(_free(node)))


def _free(node: Node) -> set[str]:
    found: set[str] = set()
    name = node.bottom if isinstance(node, Derivative) else node
    if isinstance(name, Name) and name.step is not None and name.step.variable:
        found.add(name.step.variable)
    for part in parts(node):
        found |= _free(part)
    if isinstance(node, Series):
        found.discard(node.variable)
        found |= {end.variable for end in (node.start, node.stop) if end.variable}
    return found


def nodes(node: Node) -> Iterator[Node]:
    """The node and all below it."""
    waiting = [node]
    while waiting:
        found = waiting.pop()
        yield found
        waiting.extend(parts(found))
