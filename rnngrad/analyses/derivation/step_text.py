"""How the partials inside a step are written: from the links that are computed (``step_partials``).

A slope is written by the value of its function where that has a name, as i_t ∘ (1 − i_t) and
1 − tanh²(c_t), else as f'(…); it is computed from the argument all the same. In a stack every name
has its layer: h²_t, W_hi.1, and h¹_t for the x_t of layer 2.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import cache

from rnngrad.algebra.derivatives import ONE, added, is_one, product
from rnngrad.algebra.equations import X, read_expression
from rnngrad.algebra.expressions import Apply, Call, Name, Neg, Node, Number, Transpose, rebuilt
from rnngrad.algebra.functions import WRITTEN
from rnngrad.algebra.step_graph import BEFORE, NOW, Matrix
from rnngrad.algebra.writing import written_in_cell
from rnngrad.analyses.derivation.notation import Notation, raised
from rnngrad.analyses.derivation.step_partials import Way, inside
from rnngrad.arithmetic.functions import FUNCTIONS
from rnngrad.net.problem import Problem

_BY_VALUE = {WRITTEN.get(name, name): one.by_value for name, one in FUNCTIONS.items()}
_WHERE = re.compile(r",  (\w+)_t = (.+)")
_SQUARED_CALL = re.compile(r"([a-z]+)(\([^()]*\))\^2")
_POWER = re.compile(r"\^(\d+)")


class CellText:
    """The names and products of one layer. ``where`` are the names that the heading gives to a part
    of an equation, such as q_t of gru."""

    def __init__(self, problem: Problem, at: int, matrix: bool = False) -> None:
        self.problem, self.at, self.cell = problem, at, problem.cell
        self.up = raised(at + 1) if problem.depth > 1 else ""
        self.suffix = problem.layers[at].suffix
        self.scalar = Notation(problem, matrix).scalar
        self.values: dict[str, Name] = {}
        for one in self.cell.step.definitions:
            if not one.matrices and isinstance(one.rest, Call) and not inside(one.key):
                self.values.setdefault(written_in_cell(one.rest), Name(one.key, NOW))
        said = (_WHERE.search(line) for line in self.cell.shown)
        self.where = {found[2]: found[1] for found in said if found is not None}

    # ------------------------------------------------------------------ names

    def name(self, key: str) -> str:
        """h²_t, h²_{t−1}; x_t, of an upper layer the h of the one below."""
        return written_in_cell(self.named(name_of(key)))

    def named(self, name: Name) -> Name:
        """The name with its layer on it."""
        if name.step is None:
            return Name(name.head + self.suffix, None)
        if name.head == X:
            return Name(f"{self.cell.parts[0]}{raised(self.at)}" if self.at else X, NOW)
        return Name(name.head + self.up, name.step)

    # ------------------------------------------------------------------ expressions

    def of(self, node: Node) -> Node:
        """An expression of keys as it is written: what is inside an equation in full, or by the
        name that it has in the heading; f'(…), or what it is by the value of f."""
        if isinstance(node, Name) and not inside(node.head):
            return self.named(node)
        if isinstance(node, Name):
            plain = self.unfolded(node)
            short = self.where.get(written_in_cell(plain))
            return rebuilt_names(plain, self.named) if short is None else self.of(Name(short, NOW))
        if isinstance(node, Call) and node.prime:
            return self._slope(node)
        return rebuilt(node, self.of)

    def unfolded(self, node: Node) -> Node:
        """An expression with the sums inside equations in full."""
        if not (isinstance(node, Name) and inside(node.head)):
            return rebuilt(node, self.unfolded)
        one = self.cell.step.definition(node.head)
        terms: list[Node | None] = []
        for matrix in one.matrices:
            applied = Apply(_matrix(matrix), self.unfolded(name_of(matrix.source)))
            terms.append(Neg(applied) if matrix.sign < 0 else applied)
        terms.append(None if one.rest is None else self.unfolded(one.rest))
        return added(terms) or ONE

    def _slope(self, node: Call) -> Node:
        rule = _BY_VALUE.get(node.function, "") if self.cell.activation is not None else ""
        value = self.values.get(written_in_cell(node._replace(prime=False)))
        short = isinstance(node.argument, Name) and not inside(node.argument.head)
        if not rule or not (value or short or rule == "v"):
            return rebuilt(node, self.of)
        put = self.named(value) if value else self.of(node._replace(prime=False))
        return rebuilt_names(_read(rule), lambda _: put)

    # ------------------------------------------------------------------ products

    def sum(self, ways: Iterable[Way]) -> str:
        """diag(…)·W + diag(…)·W"""
        if self.scalar:
            return self.written(self.diagonals(ways) or Number("0"))
        return signed_sum([self._term(way) for way in ways]) or "0"

    def diagonals(self, ways: Iterable[Way]) -> Node | None:
        """The sum of ways without a matrix, as an expression; None for an exact 0."""
        return added([product(tuple(map(self._factor, way))) for way in ways])

    def _factor(self, one: Node | Matrix) -> Node:
        if not isinstance(one, Matrix):
            return self.of(one)
        name = self.named(Name(one.parameter, None))
        return Neg(name) if one.sign < 0 else name

    def _term(self, way: Way) -> tuple[bool, str]:
        """Whether it is subtracted, and what: diag(…)·W · diag(…)·W, the diagonals before a matrix
        as one."""
        minus, words, waiting = False, list[str](), list[Node]()
        for one in (*way, None):
            if one is not None and not isinstance(one, Matrix):
                waiting.append(self.of(one))
                continue
            together, waiting = product(tuple(waiting)), []
            minus ^= isinstance(together, Neg)
            together = together.operand if isinstance(together, Neg) else together
            pair = [] if is_one(together) else [f"diag({self.written(together)})"]
            if one is not None:
                minus ^= one.sign < 0
                pair.append(self.written(rebuilt_names(_matrix(one), self.named)))
            words += ["·".join(pair)] if pair else []
        return minus, " · ".join(words) or "diag(1)"

    def written(self, node: Node) -> str:
        """An expression as text; squares as on paper."""
        text = written_in_cell(node, times="·" if self.scalar else None)
        text = _SQUARED_CALL.sub(r"\1²\2", text)
        return _POWER.sub(lambda found: raised(int(found[1])), text)

    def closed(self, node: Node) -> str:
        """The same as a factor of a product."""
        text = self.written(node)
        return text if isinstance(node, Name | Call | Number) else f"({text})"


@cache
def _read(rule: str) -> Node:
    return read_expression(rule)


def signed_sum(terms: Sequence[tuple[bool, str]]) -> str:
    """a − b + c; empty for none."""
    text = "".join(f" {'−' if minus else '+'} {word}" for minus, word in terms)
    return text.removeprefix(" + ") if text[:2] != " −" else f"−{text[3:]}"


def rebuilt_names(node: Node, change: Callable[[Name], Node]) -> Node:
    """Every name in it changed."""
    if isinstance(node, Name):
        return change(node)
    return rebuilt(node, lambda below: rebuilt_names(below, change))


def _matrix(matrix: Matrix) -> Name | Transpose:
    name = Name(matrix.parameter, None)
    return Transpose(name) if matrix.transposed else name


def name_of(key: str) -> Name:
    """h⁻ -> h_{t−1}"""
    return Name(key[:-1], BEFORE) if key.endswith("⁻") else Name(key, NOW)
