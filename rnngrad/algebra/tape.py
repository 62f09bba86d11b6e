"""Expressions as a list of instructions: every part that occurs more than once is computed once.

    ("name", key)  ("number", value)  ("neg", i)  ("add", i, j, …)  ("mul", i, j, …)  ("div", i, j)
    ("power", i, n)  ("call", f, i)  ("slope", f, i)

where i, j are the places of earlier instructions. A name that is not ``given`` is replaced by what
defines it. 1 − σ(u) becomes σ(−u), which keeps its digits where σ(u) is 1.
``arithmetic.evaluation`` runs a tape in any kind of numbers, and code is made from it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

from rnngrad.algebra.expressions import Add, Call, Div, Mul, Name, Neg, Node, Number, Power
from rnngrad.algebra.step_graph import key_of

Instruction = tuple[Any, ...]


class Tape(NamedTuple):
    """``outputs`` are the places of the expressions that were asked for."""

    instructions: tuple[Instruction, ...]
    outputs: tuple[int, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The keys that must be given."""
        return tuple(one[1] for one in self.instructions if one[0] == "name")


def tape_of(
    expressions: Sequence[Node], given: Collection[str], defined: Mapping[str, Node]
) -> Tape:
    """The instructions that compute all expressions, from what is ``given`` and parameters."""
    writer = _Writer(given, defined)
    outputs = tuple(writer.place(expression) for expression in expressions)
    return Tape(tuple(writer.found), outputs)


class _Writer:
    """The instructions so far, and where each stands."""

    def __init__(self, given: Collection[str], defined: Mapping[str, Node]) -> None:
        self.given, self.defined = given, defined
        self.found: list[Instruction] = []
        self.places: dict[Instruction, int] = {}
        self.by_name: dict[str, int] = {}

    def put(self, *instruction: Any) -> int:
        if instruction not in self.places:
            self.places[instruction] = len(self.found)
            self.found.append(instruction)
        return self.places[instruction]

    def place(self, node: Node) -> int:
        if isinstance(node, Number):
            return self.put("number", float(node.text))
        if isinstance(node, Name):
            return self.name(node)
        if isinstance(node, Neg):
            return self.put("neg", self.place(node.operand))
        if isinstance(node, Add):
            complement = self.complement(node)
            return (
                self.put("add", *map(self.place, node.terms)) if complement is None else complement
            )
        if isinstance(node, Mul):
            return self.put("mul", *map(self.place, node.factors))
        if isinstance(node, Div):
            return self.put("div", self.place(node.top), self.place(node.bottom))
        if isinstance(node, Power):
            return self.put("power", self.place(node.base), node.exponent)
        if isinstance(node, Call):
            kind = "slope" if node.prime else "call"
            return self.put(kind, node.function, self.place(node.argument))
        raise TypeError(f"{type(node).__name__} is not computed unit by unit")

    def name(self, node: Name) -> int:
        key = key_of(node)
        if node.step is None or key in self.given:
            return self.put("name", key)
        if key not in self.by_name:
            self.by_name[key] = self.place(self.defined[key])
        return self.by_name[key]

    def complement(self, node: Add) -> int | None:
        """1 − σ(u) as σ(−u)."""
        if len(node.terms) != 2:
            return None
        one, other = node.terms
        if isinstance(one, Neg):
            one, other = other, one
        if not (isinstance(one, Number) and float(one.text) == 1 and isinstance(other, Neg)):
            return None
        call = self.looked_up(other.operand)
        if not (isinstance(call, Call) and call.function == "σ" and not call.prime):
            return None
        argument = self.place(call.argument)
        opposite = self.found[argument]
        minus = opposite[1] if opposite[0] == "neg" else self.put("neg", argument)
        return self.put("call", "σ", minus)

    def looked_up(self, node: Node) -> Node:
        """What a name stands for, as far as it is not given."""
        while isinstance(node, Name) and node.step is not None and key_of(node) not in self.given:
            node = self.defined[key_of(node)]
        return node


Look = Callable[[str], Any]
