"""What a walk computes: a tape (``algebra.tape``) as calls of NumPy, one operation a value.

What depends on parameters alone, or on x and parameters, is known *early*, before the loop; all
else is an operation of the loop:

    σ(u) = 1/(1 + e⁻ᵘ)    1 − σ(u) = e⁻ᵘ σ(u)    σ'(u) = e⁻ᵘ σ(u)²
    tanh'(u) = E (2/(1 + E))²,  E = e^{−2|u|}

right to relative rounding as long as e⁻ᵘ is a float, which is looked at afterwards. A sum whose
terms share a factor is written with it outside: (1 − z) n + z h = z (e n + h).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from rnngrad.algebra.tape import Tape

UFUNCS = (
    "add",
    "subtract",
    "multiply",
    "divide",
    "negative",
    "exp",
    "tanh",
    "reciprocal",
    "absolute",
)


class Value(NamedTuple):
    """``op`` is a ufunc, ``f:σ`` or ``s:σ`` (any function and its slope), "maximum" (with 0),
    "power", "product" (sources, its name, which block of it), or a leaf: "number", "const" and
    "ahead" (a place among the early instructions), "given" and "before" (a key). ``size`` is the
    letter, None for a single number."""

    op: str
    args: tuple[Any, ...]
    size: str | None


LEAVES = ("number", "const", "ahead", "given", "before")
EARLY = ("number", "const", "ahead")


class Program:
    """Values, each once, and the early instructions: a tape's, and ("times", i, target, source)."""

    def __init__(self) -> None:
        self.values: list[Value] = []
        self.taken: list[tuple[int, ...]] = []
        self.places: dict[Value, int] = {}
        self.early: list[tuple[Any, ...]] = []
        self.early_places: dict[tuple[Any, ...], int] = {}
        self.sigmoids: set[int] = set()

    def put(self, op: str, *args: Any, size: str | None) -> int:
        value = Value(op, args, size)
        if value not in self.places:
            self.places[value] = len(self.values)
            self.values.append(value)
            inner = () if op in LEAVES else args[:1] if op in ("power", "copy") else args
            self.taken.append(tuple(args[0]) if op == "product" else inner)
        return self.places[value]

    def operands(self, value: int) -> tuple[int, ...]:
        """The values that it is computed from."""
        return self.taken[value]

    def is_early(self, value: int) -> bool:
        return self.values[value].op in EARLY

    def number(self, value: float) -> int:
        return self.put("number", self._early("number", value), size=None)

    def early_leaf(self, key: str, size: str | None, ahead: bool) -> int:
        """A parameter, or what depends on x."""
        return self.put("ahead" if ahead else "const", self._early("name", key), size=size)

    def early_op(self, op: str, args: Sequence[int], *more: Any, size: str | None = None) -> int:
        """An operation on what is early, as a tape has it."""
        values = [self.values[i] for i in args]
        places = [value.args[0] for value in values]
        of = (more[0], *places) if op in ("call", "slope") else (*places, *more)
        kind = "ahead" if any(value.op == "ahead" for value in values) else "const"
        found = size or next((v.size for v in values if v.size), None)
        return self.put(kind, self._early(op, *of), size=found)

    def _early(self, *instruction: Any) -> int:
        if instruction not in self.early_places:
            self.early_places[instruction] = len(self.early)
            self.early.append(instruction)
        return self.early_places[instruction]

    def op(self, name: str, *args: int) -> int:
        """An operation of the loop."""
        size = next((self.values[i].size for i in args if self.values[i].size), None)
        return self.put(name, *args, size=size)

    def copy(self, value: int, number: int = 0) -> int:
        """The same in a slot of its own."""
        return self.put("copy", value, number, size=self.values[value].size)

    def product_of(self, factors: Sequence[int]) -> int:
        """Early ones first, as one."""
        early = [i for i in factors if self.is_early(i)]
        late = [i for i in factors if not self.is_early(i)]
        if len(early) > 1:
            early = [self.early_op("mul", early)]
        return self.folded("multiply", [*early, *late])

    def folded(self, op: str, args: Sequence[int]) -> int:
        total = args[0]
        for one in args[1:]:
            total = self.op(op, total, one)
        return total

    def sum_of(self, terms: Sequence[tuple[bool, Sequence[int]]]) -> int:
        """Σ ± ∏; (negative, factors) each."""
        early = [(minus, f) for minus, f in terms if all(map(self.is_early, f))]
        late = [(minus, f) for minus, f in terms if not all(map(self.is_early, f))]
        found: list[tuple[bool, int]] = []
        if early:
            places = [self.product_of(f) for _, f in early]
            places = [
                self.early_op("neg", [p]) if m else p
                for p, (m, _) in zip(places, early, strict=True)
            ]
            found.append((False, self.early_op("add", places) if len(places) > 1 else places[0]))
        common = [i for i in late[0][1] if all(i in f for _, f in late)] if len(late) > 1 else []
        common = [i for i in common if not self.is_early(i)][:1]
        if common and not early and all(len(f) > 1 for _, f in late):
            rest = []
            for minus, f in late:
                f = list(f)
                f.remove(common[0])
                rest.append((minus, f))
            return self.op("multiply", self.sum_of(rest), common[0])
        found += [(minus, self.product_of(f)) for minus, f in late]
        found.sort(key=lambda term: term[0])
        minus, total = found[0]
        if minus:
            total = self.op("negative", total)
        for minus, one in found[1:]:
            total = self.op("subtract" if minus else "add", total, one)
        return total


def renamed(tape: Tape, sigma: str) -> Tape:
    """σ by its own name where it is another function, as rnn has it."""
    if sigma == "sigmoid":
        return tape
    return tape._replace(
        instructions=tuple(
            (one[0], sigma, one[2]) if one[0] in ("call", "slope") and one[1] == "σ" else one
            for one in tape.instructions
        )
    )


class Lowering:
    """A tape's places as values; ``named`` gives that of a key, ``minus`` the keys whose value is
    held with the sign turned. ``whole``: for arrays of many rows, where σ' is one value and σ of
    what is no key is taken as it comes."""

    def __init__(self, program: Program, tape: Tape, named: Callable[[str], int],
                 minus: frozenset[str] = frozenset(), whole: bool = False) -> None:  # fmt: skip
        self.program, self.tape, self.named, self.minus = program, tape, named, minus
        self.whole = whole
        self.found: dict[int, int] = {}

    def value(self, place: int) -> int:
        if place not in self.found:
            self.found[place] = self._value(place)
        return self.found[place]

    def _value(self, place: int) -> int:
        p, (op, *args) = self.program, self.tape.instructions[place]
        if op == "name":
            assert args[0] not in self.minus
            return self.named(args[0])
        if op == "number":
            return p.number(args[0])
        if op in ("call", "slope"):
            if self._is_sigmoid(place) or (op == "slope" and args[0] == "tanh"):
                return p.product_of(self.factors(place))
            inner = self.value(args[1])
            if p.is_early(inner):
                return p.early_op(op, [inner], args[0])
            if op == "call" and args[0] in ("tanh", "exp"):
                return p.op(args[0], inner)
            if op == "call" and args[0] == "relu":
                return p.op("maximum", inner)
            return p.op(f"{'f' if op == 'call' else 's'}:{args[0]}", inner)
        if op == "power":
            inner, n = self.value(args[0]), args[1]
            if p.is_early(inner):
                return p.early_op("power", [inner], n)
            if n == 2:
                return p.op("multiply", inner, inner)
            return p.put("power", inner, n, size=p.values[inner].size)
        if op == "add":
            return p.sum_of(self.terms(place))
        if op == "mul":
            return p.product_of(self.factors(place))
        operands = [self.value(i) for i in args]
        if all(map(p.is_early, operands)):
            return p.early_op(op, operands)
        return p.op("negative" if op == "neg" else "divide", *operands)

    def terms(self, place: int) -> list[tuple[bool, list[int]]]:
        """(negative, factors) of each term of a sum; a single one is a sum too."""
        op, *args = self.tape.instructions[place]
        if op == "add":
            return [term for i in args for term in self.terms(i)]
        if op == "neg":
            return [(not minus, f) for minus, f in self.terms(args[0])]
        return [(False, self.factors(place))]

    def factors(self, place: int) -> list[int]:
        p, (op, *args) = self.program, self.tape.instructions[place]
        if op == "mul":
            return [f for i in args for f in self.factors(i)]
        if self._is_sigmoid(place):
            inner = self.tape.instructions[args[1]]
            if op == "call" and inner[0] == "neg":
                return self._joined(self._sigmoid(inner[1]))
            e, s = self._sigmoid(args[1])
            return [s] if op == "call" else self._joined((e, s, s))
        if op == "slope" and args[0] == "tanh" and not p.is_early(u := self.value(args[1])):
            e = p.op("exp", p.op("multiply", p.op("absolute", u), p.number(-2.0)))
            s = p.op("divide", p.number(2.0), p.op("add", e, p.number(1.0)))
            return self._joined((e, s, s))
        return [self._alone(place)]

    def _joined(self, factors: Sequence[int]) -> list[int]:
        """One value, so that those of all gates are one call; as they are where one of them may be
        taken outside."""
        return [self.program.folded("multiply", factors)] if self.whole else list(factors)

    def _alone(self, place: int) -> int:
        """A factor that is not taken apart."""
        op, *args = self.tape.instructions[place]
        if place not in self.found and op == "slope" and args[0] == "tanh":
            self.found[place] = self.program.early_op(op, [self.value(args[1])], args[0])
        return self.value(place)

    def _is_sigmoid(self, place: int) -> bool:
        """Whether it is σ or σ' of what the loop computes."""
        op, *args = self.tape.instructions[place]
        if op not in ("call", "slope") or args[0] != "σ":
            return False
        at = args[1]
        inner = self.tape.instructions[at]
        at = inner[1] if inner[0] == "neg" else at
        inner = self.tape.instructions[at]
        if inner[0] == "name" and inner[1] in self.minus:
            return True
        return not self.program.is_early(self.value(at)) and not (self.whole and inner[0] != "name")

    def _sigmoid(self, place: int) -> tuple[int, int]:
        """e⁻ᵘ and σ(u)"""
        p, inner = self.program, self.tape.instructions[place]
        if inner[0] == "name" and inner[1] in self.minus:
            minus = self.named(inner[1])
        else:
            minus = p.op("negative", self.value(place))
        p.sigmoids.add(minus)
        e = p.op("exp", minus)
        return e, p.op("reciprocal", p.op("add", e, p.number(1.0)))
