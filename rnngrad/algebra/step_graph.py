"""The graph of one step of a cell: what follows from its equations, whatever they are.

    definition    a = ± W v ± … + rest     matrices times earlier values, and what acts unit by unit
    edge          a diagonal or a matrix, between x_t, s_{t−1} and the definitions

An equation is cut into definitions where a matrix stands: the sum in which it stands is one, and so
is what it multiplies if that is no name. lstm's i_t = σ(W_xi x_t + W_hi h_{t−1} + b_i) becomes

    a.i = W_xi x + W_hi h⁻ + b_i        i = σ(a.i)

Kept are the definitions that hold a parameter, are multiplied by a matrix or are the state; the
others are eliminated: their diagonals multiply along the way, so that ∂c/∂a.i = g_t ∘ σ'(a.i).
The chain rule over what is kept is the whole derivative of the step. Source: Griewank, Walther,
*Evaluating Derivatives* (2008), chapter 9, on vertex elimination.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from rnngrad.algebra.derivatives import added, derivative, is_one, product
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
    Power,
    Transpose,
    nodes,
)

NOW, BEFORE = Index("t", 0), Index("t", -1)


def before(part: str) -> str:
    """The key of a part of the state at t − 1."""
    return f"{part}⁻"


def key_of(name: Name) -> str:
    """What a name is known by: h, h⁻, x; a parameter by itself."""
    return before(name.head) if name.step == BEFORE else name.head


class Matrix(NamedTuple):
    """target += sign · W source, or Wᵀ."""

    target: str
    source: str
    parameter: str
    transposed: bool
    sign: float


class Diagonal(NamedTuple):
    """∂target/∂source = diag(factor)."""

    target: str
    source: str
    factor: Node

    @property
    def is_one(self) -> bool:
        """Whether it is the identity."""
        return is_one(self.factor)


class Use(NamedTuple):
    """∂⁺target/∂parameter of a vector or a scalar, unit by unit."""

    target: str
    parameter: str
    factor: Node


class Definition(NamedTuple):
    """key = Σ matrices + rest."""

    key: str
    matrices: tuple[Matrix, ...]
    rest: Node | None


class Step(NamedTuple):
    """``definitions`` in the order in which they are computed; the graph over those that are
    ``kept``, in the same order; ``sizes`` has the letter of every key."""

    state: tuple[str, ...]
    definitions: tuple[Definition, ...]
    kept: tuple[str, ...]
    diagonals: tuple[Diagonal, ...]
    matrices: tuple[Matrix, ...]
    uses: tuple[Use, ...]
    sizes: Mapping[str, str]

    def definition(self, key: str) -> Definition:
        """That of a key."""
        return next(one for one in self.definitions if one.key == key)

    @property
    def stored(self) -> tuple[str, ...]:
        """What a trace must hold besides the state: what is not had unit by unit from the rest."""
        return tuple(d.key for d in self.definitions if d.matrices and d.key not in self.state)


def step_of(equations: Equations) -> Step:
    """The graph of a cell's step."""
    lowered = _Lowering(equations)
    for equation in equations.equations:
        lowered.equation(equation.name, equation.right)
    return _graph(equations, lowered)


# ---------------------------------------------------------------------------- definitions


class _Lowering:
    """The definitions so far."""

    def __init__(self, equations: Equations) -> None:
        self.parameters = equations.parameters
        self.sizes = dict(equations.sizes)
        self.sizes |= {before(part): equations.sizes[part] for part in equations.state}
        self.found: list[Definition] = []
        self.taken: set[str] = set()

    def equation(self, name: str, right: Node) -> None:
        """The definitions of an equation, its own last."""
        self.define(name, right, name)

    def define(self, key: str, node: Node, of: str) -> None:
        """key = node, cut where matrices stand."""
        terms = node.terms if isinstance(node, Add) else (node,)
        matrices, rest = [], list[Node]()
        for term in terms:
            inner = term.operand if isinstance(term, Neg) else term
            if isinstance(inner, Apply):
                matrices.append(self.matrix(key, inner, -1.0 if isinstance(term, Neg) else 1.0, of))
            else:
                rest.append(self.pointwise(term, of))
        together = added(list(rest)) if len(rest) != 1 else rest[0]
        self.found.append(Definition(key, tuple(matrices), together))

    def matrix(self, key: str, node: Apply, sign: float, of: str) -> Matrix:
        operand = self.pointwise(node.operand, of)
        name = node.matrix.base if isinstance(node.matrix, Transpose) else node.matrix
        assert isinstance(name, Name)
        transposed = isinstance(node.matrix, Transpose)
        if isinstance(operand, Name) and operand.step is not None:
            source = key_of(operand)
        else:
            source = self.fresh("v", of)
            rows, columns = self.parameters[name.head]
            self.sizes[source] = rows if transposed else columns
            self.found.append(Definition(source, (), operand))
        return Matrix(key, source, name.head, transposed, sign)

    def pointwise(self, node: Node, of: str) -> Node:
        """The same with a name in place of every sum that holds a matrix."""
        inner = node.operand if isinstance(node, Neg) else node
        terms = inner.terms if isinstance(inner, Add) else (inner,)
        held = [t.operand if isinstance(t, Neg) else t for t in terms]
        first = next((one for one in held if isinstance(one, Apply)), None)
        if first is not None:
            key = self.fresh("a", of)
            matrix = first.matrix
            name = matrix.base if isinstance(matrix, Transpose) else matrix
            assert isinstance(name, Name)
            rows, columns = self.parameters[name.head]
            self.sizes[key] = columns if isinstance(matrix, Transpose) else rows
            self.define(key, inner, of)
            named = Name(key, NOW)
            return Neg(named) if isinstance(node, Neg) else named
        if isinstance(node, Neg):
            return Neg(self.pointwise(node.operand, of))
        if isinstance(node, Add):
            return Add(tuple(self.pointwise(term, of) for term in node.terms))
        if isinstance(node, Mul):
            return Mul(tuple(self.pointwise(factor, of) for factor in node.factors))
        if isinstance(node, Div):
            return Div(self.pointwise(node.top, of), self.pointwise(node.bottom, of))
        if isinstance(node, Power):
            return Power(self.pointwise(node.base, of), node.exponent)
        if isinstance(node, Call):
            return node._replace(argument=self.pointwise(node.argument, of))
        return node

    def fresh(self, kind: str, of: str) -> str:
        """a.i, and a.i2 for another of the same equation."""
        key, number = f"{kind}.{of}", 1
        while key in self.taken:
            number += 1
            key = f"{kind}.{of}{number}"
        self.taken.add(key)
        return key


# ---------------------------------------------------------------------------- graph


def names_in(node: Node | None) -> list[Name]:
    """Every name of a step in it, once, in the order in which they stand."""
    found: dict[str, Name] = {}
    for one in _in_order(node):
        if isinstance(one, Name) and one.step is not None:
            found.setdefault(key_of(one), one)
    return list(found.values())


def _parameters_in(node: Node | None) -> list[Name]:
    found: dict[str, Name] = {}
    for one in _in_order(node):
        if isinstance(one, Name) and one.step is None:
            found.setdefault(one.head, one)
    return list(found.values())


def _in_order(node: Node | None) -> list[Node]:
    return [] if node is None else sorted(nodes(node), key=lambda one: getattr(one, "at", 0) or 0)


def _graph(equations: Equations, lowered: _Lowering) -> Step:
    definitions = tuple(lowered.found)
    sources = {matrix.source for one in definitions for matrix in one.matrices}
    kept = {
        one.key
        for one in definitions
        if one.matrices or one.key in sources or one.key in equations.state
        or _parameters_in(one.rest)
    }  # fmt: skip
    fixed = {X, *map(before, equations.state)}
    reached: dict[str, dict[str, Node]] = {}
    for one in definitions:
        into: dict[str, list[Node | None]] = {}
        for name in names_in(one.rest):
            assert one.rest is not None
            partial = derivative(one.rest, name)
            source = key_of(name)
            if partial is None:
                continue
            if source in kept or source in fixed:
                into.setdefault(source, []).append(partial)
            else:
                for below, further in reached[source].items():
                    into.setdefault(below, []).append(product((partial, further)))
        reached[one.key] = {}
        for source, partials in into.items():
            total = added(partials)
            assert total is not None
            reached[one.key][source] = total
    order = tuple(one.key for one in definitions if one.key in kept)
    diagonals = tuple(
        Diagonal(key, source, factor) for key in order for source, factor in reached[key].items()
    )
    uses = []
    for one in definitions:
        for name in _parameters_in(one.rest):
            assert one.rest is not None
            factor = derivative(one.rest, name)
            if factor is not None:
                uses.append(Use(one.key, name.head, factor))
    matrices = tuple(matrix for one in definitions for matrix in one.matrices)
    return _alive(
        Step(equations.state, definitions, order, diagonals, matrices, tuple(uses), lowered.sizes)
    )


def _alive(step: Step) -> Step:
    """Without what the state does not depend on."""
    needed = set(step.state)
    for one in reversed(step.definitions):
        if one.key in needed:
            needed |= {key_of(name) for name in names_in(one.rest)}
            needed |= {matrix.source for matrix in one.matrices}
    return step._replace(
        definitions=tuple(d for d in step.definitions if d.key in needed),
        kept=tuple(key for key in step.kept if key in needed),
        diagonals=tuple(d for d in step.diagonals if d.target in needed),
        matrices=tuple(m for m in step.matrices if m.target in needed),
        uses=tuple(u for u in step.uses if u.target in needed),
    )
