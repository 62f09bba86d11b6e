"""The tree of a formula, and how it is written.

    Number  Name  Neg  Add  Mul  Div  Power  Transpose  Call  Derivative  Series  Apply

A product is ``Mul``, element by element; a matrix times a vector is ``Apply``, which answers about
scalar nets have no need of.

``written`` and ``grammar.parse`` are inverse to each other: reading what was written gives a tree
that is written the same way. The nodes are tuples, so two trees are compared by what is written,
never by ``==`` (Neg(x) and Transpose(x) hold the same).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, TypeAlias


class FormulaError(Exception):
    """What is wrong with a formula, and at which character of it (from 0; None: as a whole)."""

    def __init__(self, message: str, at: int | None = None) -> None:
        super().__init__(message)
        self.message, self.at = message, at


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

SIGNS = {"target": "t", "a": "a", "o": "ỹ", "sum": "Σ", "prod": "∏"}
"""How a name is written where it is not written as itself."""


def written(node: Node) -> str:
    """The formula as text, with no bracket more than it needs."""
    return _Writer(" · ", SIGNS).sum(node)


def written_in_cell(node: Node, times: str = " ∘ ") -> str:
    """The same of a cell's equation, in which any name may stand; ``times`` is between factors."""
    return _Writer(times, {}).sum(node)


class _Writer(NamedTuple):
    """How products and names are written."""

    times: str
    signs: Mapping[str, str]

    def sum(self, node: Node) -> str:
        if not isinstance(node, Add):
            return self.signed(node)
        words = [self.signed(node.terms[0])]
        for term in node.terms[1:]:
            sign, rest = ("−", term.operand) if isinstance(term, Neg) else ("+", term)
            words.append(f" {sign} {self.product(rest)}")
        return "".join(words)

    def signed(self, node: Node) -> str:
        return f"−{self.product(node.operand)}" if isinstance(node, Neg) else self.product(node)

    def product(self, node: Node) -> str:
        if isinstance(node, Mul):
            *before, last = node.factors
            return self.times.join([*map(self.factor, before), self.factor(last, last=True)])
        if isinstance(node, Div):
            return f"{self.factor(node.top)} / {self.factor(node.bottom)}"
        if isinstance(node, Tight):
            return " ".join(map(self.factor, node.factors))
        return self.factor(node, last=True)

    def factor(self, node: Node, *, last: bool = False) -> str:
        """One factor; Σ reaches as far as it can, so it needs brackets unless it is the last."""
        if isinstance(node, Power):
            return f"{self.base(node.base)}^{node.exponent}"
        if isinstance(node, Transpose):
            return f"{self.base(node.base)}ᵀ"
        if isinstance(node, Apply):
            return f"{self.factor(node.matrix)} {self.factor(node.operand)}"
        if isinstance(node, Series):
            return self.series(node) if last else f"({self.series(node)})"
        return self.atom(node)

    def base(self, node: Node) -> str:
        bare = not isinstance(node, Derivative | Power | Transpose | Apply)
        return self.atom(node) if bare else f"({self.product(node)})"

    def series(self, node: Series) -> str:
        """Σ reaches over all that follows; what a ∏ reaches over is said in brackets."""
        bounds = f"{{{node.variable}={node.start}..{node.stop}}}"
        bare = node.kind == "sum" or not isinstance(node.body, Mul | Div)
        body = self.product(node.body) if bare else f"({self.product(node.body)})"
        return f"{SIGNS[node.kind]}_{bounds} {body}"

    def atom(self, node: Node) -> str:
        if isinstance(node, Number):
            return node.text
        if isinstance(node, Name):
            return named(node, self.signs)
        if isinstance(node, Call):
            return f"{node.function}{chr(39) if node.prime else ''}({self.sum(node.argument)})"
        if isinstance(node, Derivative):
            top = node.top if isinstance(node.top, Name | Call) else None
            above = self.atom(top) if top is not None else f"({self.sum(node.top)})"
            return f"∂{'⁺' if node.immediate else ''}{above}/∂{named(node.bottom, self.signs)}"
        return f"({self.sum(node)})"


def named(name: Name, signs: Mapping[str, str] = SIGNS) -> str:
    """h_3, h_{t−1}, W_hh"""
    if name.step is None:
        return name.head
    step = str(name.step)
    head = signs.get(name.head, name.head)
    return f"{head}_{step}" if len(step) == 1 or step.isdigit() else f"{head}_{{{step}}}"


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


def nodes(node: Node) -> Iterator[Node]:
    """The node and all below it."""
    waiting = [node]
    while waiting:
        found = waiting.pop()
        yield found
        waiting.extend(parts(found))
