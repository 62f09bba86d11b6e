"""What a walk computes: a tape (``algebra.tape``) as calls of NumPy, one operation a value.

What depends on parameters alone, or on x and parameters, is known *early*. In the loop

    σ(u) = 1/(1 + e⁻ᵘ)    1 − σ(u) = e⁻ᵘ σ(u)    σ'(u) = e⁻ᵘ σ(u)²
    tanh'(u) = E (2/(1 + E))²,  E = e^{−2|u|}

right to relative rounding as long as e⁻ᵘ is a float, which is looked at afterwards. A sum whose
terms share a factor is written with it outside: (1 − z) n + z h = z (e n + h).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from rnngrad.algebra.tape import Tape

GIVEN = ("D", "E", "K", "P")
"""Rows that come from outside: diagonals, what enters besides, values of a trace, products."""

LEAVES = ("number", "name", "before", *GIVEN)


class Value(NamedTuple):
    """``op`` is a ufunc, ``f:σ`` or ``s:σ`` (any function and its slope), "maximum" (with 0),
    "power", "copy", "times" (of what is early and a parameter's matrix), "product" (sources, its
    name, the blocks), or a leaf: "number", "name" (x or a parameter), "before" (a part of the
    state), or what is given.
    ``size`` is the letter, None for a single number."""

    op: str
    args: tuple[Any, ...]
    size: str | None


class Program:
    """Values, each once. ``level``: 0 hangs on parameters alone, 1 on x too, 2 is the loop's.
    ``batch``: whether it is one for batches."""

    def __init__(self, batch: bool = False) -> None:
        self.batch = batch
        self.values: list[Value] = []
        self.taken: list[tuple[int, ...]] = []
        self.level: list[int] = []
        self.places: dict[Value, int] = {}
        self.sums: dict[int, list[tuple[bool, int]]] = {}
        self.sigmoids: set[int] = set()

    def put(self, op: str, *args: Any, size: str | None, level: int = 0) -> int:
        value = Value(op, args, size)
        if value not in self.places:
            self.places[value] = len(self.values)
            self.values.append(value)
            inner = args[:1] if op in ("power", "copy", "times") else args
            inner = () if op in LEAVES else args[0] if op == "product" else inner
            self.taken.append(tuple(inner))
            self.level.append(max([level, *(self.level[i] for i in inner)]))
        return self.places[value]

    def operands(self, value: int) -> tuple[int, ...]:
        """The values that it is computed from."""
        return self.taken[value]

    def is_early(self, value: int) -> bool:
        return self.level[value] < 2

    def is_leaf(self, value: int) -> bool:
        """Whether the loop takes it as it is."""
        return self.level[value] < 2 or self.values[value].op in LEAVES

    def replace(self, value: int, other: int) -> None:
        """From now on ``other`` stands for a value."""
        self.places[self.values[value]] = other

    def given(self, op: str, key: Any, size: str | None) -> int:
        """A row that the loop is given, or a part of the state before."""
        return self.put(op, key, size=size, level=2)

    def number(self, value: float) -> int:
        return self.put("number", float(value), size=None)

    def op(self, name: str, *args: int) -> int:
        size = next((self.values[i].size for i in args if self.values[i].size), None)
        return self.put(name, *args, size=size)

    def copy(self, value: int, number: int = 0) -> int:
        """The same in a slot of its own."""
        return self.put("copy", value, number, size=self.values[value].size, level=2)

    def power(self, u: int) -> int:
        """e⁻ᵘ"""
        return self.op("exp", self.op("negative", u))

    def tanh(self, u: int) -> int:
        return self.op("tanh", u)

    def product_of(self, factors: Sequence[int]) -> int:
        """Early ones first, as one."""
        return self.folded("multiply", sorted(factors, key=lambda i: not self.is_early(i)))

    def folded(self, op: str, args: Sequence[int]) -> int:
        total = args[0]
        for one in args[1:]:
            total = self.op(op, total, one)
        return total

    def sum_of(self, terms: Sequence[tuple[bool, Sequence[int]]]) -> int:
        """Σ ± ∏; (negative, factors) each. What is early is one term, the first."""
        early = [(minus, f) for minus, f in terms if all(map(self.is_early, f))]
        late = [(minus, f) for minus, f in terms if not all(map(self.is_early, f))]
        common = [i for i in late[0][1] if all(i in f for _, f in late)] if len(late) > 1 else []
        common = [i for i in common if not self.is_early(i)][:1]
        if common and not early and all(len(f) > 1 for _, f in late):
            rest = []
            for minus, f in late:
                f = list(f)
                f.remove(common[0])
                rest.append((minus, f))
            return self.op("multiply", self.sum_of(rest), common[0])
        found: list[tuple[bool, int]] = []
        if early:
            some = [(minus, self.product_of(f)) for minus, f in early]
            found.append((False, self.added(some)))
            self.sums.setdefault(found[0][1], some)
        found += [(minus, self.product_of(f)) for minus, f in late]
        return self.added(found)

    def added(self, terms: Sequence[tuple[bool, int]]) -> int:
        """± values, those that are added first."""
        (minus, total), *others = sorted(terms, key=lambda term: term[0])
        total = self.op("negative", total) if minus else total
        for minus, one in others:
            total = self.op("subtract" if minus else "add", total, one)
        return total


DEAR: Mapping[str, Callable[[Program, int], int]] = MappingProxyType({
    "exp(-)": Program.power,
    "tanh": Program.tanh,
})  # fmt: skip
"""name -> what takes as long as twenty sums, and is wanted on both ways: a batch keeps it."""


class Lowering:
    """A tape's places as values; ``named`` gives that of a key, ``sigma`` is what σ is, as rnn has
    it. ``whole``: for arrays of many rows, where σ' is one value and σ of what is no key is taken
    as it comes."""

    def __init__(self, program: Program, tape: Tape, named: Callable[[str], int],
                 sigma: str, whole: bool = False) -> None:  # fmt: skip
        self.program, self.named, self.whole = program, named, whole
        sign = "σ" if sigma == "sigmoid" else sigma
        self.instructions = [
            (one[0], sign, one[2]) if one[1] == "σ" and one[0] in ("call", "slope") else one
            for one in tape.instructions
        ]
        self.found: dict[int, int] = {}

    def value(self, place: int) -> int:
        if place not in self.found:
            self.found[place] = self._value(place)
        return self.found[place]

    def _value(self, place: int) -> int:
        p, (op, *args) = self.program, self.instructions[place]
        if op == "name":
            return self.named(args[0])
        if op == "number":
            return p.number(args[0])
        if op in ("call", "slope"):
            if self._is_sigmoid(place) or self._is_slope_of_tanh(place):
                return p.product_of(self.factors(place))
            inner = self.value(args[1])
            if op == "call" and args[0] in ("tanh", "exp"):
                return p.op(args[0], inner)
            if op == "call" and args[0] == "relu":
                return p.op("maximum", inner)
            return p.op(f"{'f' if op == 'call' else 's'}:{args[0]}", inner)
        if op == "power":
            inner, n = self.value(args[0]), args[1]
            if n == 2:
                return p.op("multiply", inner, inner)
            return p.put("power", inner, n, size=p.values[inner].size)
        if op == "add":
            return p.sum_of(self.terms(place))
        if op == "mul":
            return p.product_of(self.factors(place))
        return p.op("negative" if op == "neg" else "divide", *map(self.value, args))

    def terms(self, place: int) -> list[tuple[bool, list[int]]]:
        """(negative, factors) of each term of a sum; a single one is a sum too."""
        op, *args = self.instructions[place]
        if op == "add":
            return [term for i in args for term in self.terms(i)]
        if op == "neg":
            return [(not minus, f) for minus, f in self.terms(args[0])]
        return [(False, self.factors(place))]

    def factors(self, place: int) -> list[int]:
        p, (op, *args) = self.program, self.instructions[place]
        if op == "mul":
            return [f for i in args for f in self.factors(i)]
        if self._is_sigmoid(place):
            inner = self.instructions[args[1]]
            if op == "call" and inner[0] == "neg":
                return self._joined(self._sigmoid(inner[1]))
            e, s = self._sigmoid(args[1])
            return [s] if op == "call" else self._joined((e, s, s))
        if self._is_slope_of_tanh(place):
            u = self.value(args[1])
            e = p.op("exp", p.op("multiply", p.op("absolute", u), p.number(-2.0)))
            s = p.op("divide", p.number(2.0), p.op("add", e, p.number(1.0)))
            return self._joined((e, s, s))
        return [self.value(place)]

    def _joined(self, factors: Sequence[int]) -> list[int]:
        """One value, so that those of all gates are one call; as they are where one of them may be
        taken outside."""
        return [self.program.folded("multiply", factors)] if self.whole else list(factors)

    def _is_slope_of_tanh(self, place: int) -> bool:
        """Whether it is tanh' of what the loop computes."""
        op, *args = self.instructions[place]
        return bool(
            op == "slope" and args[0] == "tanh" and not self.program.is_early(self.value(args[1]))
        )

    def _is_sigmoid(self, place: int) -> bool:
        """Whether it is σ or σ' of what the loop computes."""
        op, *args = self.instructions[place]
        if op not in ("call", "slope") or args[0] != "σ":
            return False
        at = args[1]
        inner = self.instructions[at]
        at = inner[1] if inner[0] == "neg" else at
        taken = not self.whole or self.instructions[at][0] == "name"
        return taken and not self.program.is_early(self.value(at))

    def _sigmoid(self, place: int) -> tuple[int, int]:
        """e⁻ᵘ and σ(u)"""
        p, u = self.program, self.value(place)
        p.sigmoids.add(u)
        e = p.power(u)
        return e, p.op("reciprocal", p.op("add", e, p.number(1.0)))
