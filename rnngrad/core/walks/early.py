"""What is known before a loop begins, as code: of the parameters at once, of x block by block.

The code holds numbers of parameters and of functions, nothing of what they are called.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from rnngrad.algebra.equations import X
from rnngrad.arithmetic.arrays import Array
from rnngrad.arithmetic.functions import FUNCTIONS, Activation
from rnngrad.core.walks.fusing import Layout
from rnngrad.core.walks.values import Program


class Block(NamedTuple):
    """±W, or Wᵀ, of a parameter."""

    parameter: str
    transposed: bool
    minus: bool


def record(sign: str) -> Activation:
    """The function of a sign; σ is the sigmoid by now."""
    return FUNCTIONS["sigmoid" if sign == "σ" else sign]


def function(name: str) -> Callable[..., Any]:
    """f or f' as ``f:tanh``, ``s:tanh`` name it."""
    kind, _, sign = name.partition(":")
    return record(sign).f if kind == "f" else record(sign).slope


class Early:
    """The early instructions of a program as functions of parameters ``p`` and inputs ``x``."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.parameters: dict[str, int] = {}
        self.functions: list[Callable[..., Any]] = []
        self.depends = [False] * len(program.early)
        for place, one in enumerate(program.early):
            self.depends[place] = one == ("name", X) or any(
                self.depends[i] for i in self.inner(place)
            )
        self.lines: list[str] = []
        self.done: set[int] = set()
        self.ahead: list[str] = []

    def inner(self, place: int) -> Sequence[int]:
        """The places that an instruction takes."""
        op, *args = self.program.early[place]
        if op in ("name", "number"):
            return ()
        return (
            args[1:] if op in ("call", "slope") else args[:1] if op in ("power", "times") else args
        )

    def parameter(self, name: str) -> str:
        return f"p[{self.parameters.setdefault(name, len(self.parameters))}]"

    def value(self, place: int) -> str:
        """The name of what a place holds, computed where it belongs: once, or in every block."""
        if place not in self.done:
            self.done.add(place)
            text = self._text(place)
            (self.ahead if self.depends[place] else self.lines).append(f"e{place} = {text}")
        return f"e{place}"

    def _text(self, place: int) -> str:
        op, *args = self.program.early[place]
        inner = [self.value(i) for i in self.inner(place)]
        if op == "name":
            return "x" if args[0] == X else self.parameter(args[0])
        if op == "number":
            return repr(float(args[0]))
        if op in ("call", "slope"):
            self.functions.append(record(args[0]).f if op == "call" else record(args[0]).slope)
            return f"F[{len(self.functions) - 1}]({inner[0]})"
        if op == "times":
            return f"dot({inner[0]}, {self.parameter(args[1])}{'' if args[2] else '.T'})"
        if op == "power":
            return f"{inner[0]} ** {float(args[1])!r}"
        if op == "neg":
            return f"-{inner[0]}"
        return {"add": " + ", "mul": " * ", "div": " / "}[op].join(inner)

    # ------------------------------------------------------------------ arrays

    def stack(self, name: str, blocks: Sequence[Sequence[Block]]) -> None:
        """name = [±W_1; ±W_2; …], those of one row of blocks summed."""
        alone = all(len(row) == 1 for row in blocks)
        turned = alone and any(row[0].minus for row in blocks)
        texts = [" + ".join(self._block(one, not alone) for one in row) for row in blocks]
        if len(blocks) > 1:
            self.lines.append(f"{name} = concatenate(({', '.join(texts)}))")
        elif turned:
            self.lines.append(f"{name} = -{texts[0]}")
            return
        else:
            self.lines.append(f"{name} = {texts[0]}")
        if turned:
            self.turn(name, [row[0].minus for row in blocks])

    def _block(self, one: Block, sign: bool) -> str:
        text = self.parameter(one.parameter) + (".T" if one.transposed else "")
        return f"-{text}" if sign and one.minus else text

    def turn(self, name: str, minus: Sequence[bool]) -> None:
        """The sign of some blocks, neighbours in one call; all are of one height."""
        count, at = len(minus), 0
        while at < count:
            stop = at
            while stop < count and minus[stop]:
                stop += 1
            if stop > at:
                some = f"{name}[len({name}) * {at} // {count}:len({name}) * {stop} // {count}]"
                self.lines.append(f"negative({some}, {some})")
            at = stop + 1

    def rows(self, values: Mapping[str, Sequence[tuple[int, int]]]) -> None:
        """Buffers of parameters and of rows known ahead: (slot, place) of each."""
        for buffer, of in values.items():
            ahead = buffer[0] == "G"
            lines = self.ahead if ahead else self.lines
            names = [(slot, self.value(place)) for slot, place in of]
            size = buffer.partition("_")[2]
            shape = f"({'len(x), ' if ahead else ''}{len(of)}, n[{size!r}])"
            lines.append(f"{buffer} = empty({shape})")
            lines += [f"{buffer}[{':, ' if ahead else ''}{slot}] = {name}" for slot, name in names]

    def scalars(self, places: Iterable[int]) -> str:
        """What stands for ``early[i]`` in a loop."""
        return "{" + ", ".join(f"{i}: {self.value(i)}" for i in dict.fromkeys(places)) + "}"

    def compile(
        self, results: Sequence[str], fill: Sequence[str] = ()
    ) -> tuple[Callable[..., Any], Callable[..., Any]]:
        """prepare(p, n) -> the results; begin(x, p, n, prepared, B), which fills a block's rows."""
        kept = [f"e{i}" for i in sorted(self.done) if not self.depends[i]]
        names = list(dict.fromkeys([*results, *kept]))
        text = "def prepare(p, n):\n" + "".join(f"    {line}\n" for line in self.lines)
        text += f"    return ({''.join(f'{name}, ' for name in names)})\n"
        text += "def begin(x, p, n, prepared, B):\n"
        text += f"    ({''.join(f'{name}, ' for name in names)}) = prepared\n" if names else ""
        text += "".join(f"    {line}\n" for line in [*self.ahead, *fill]) + "    return B\n"
        scope: dict[str, Any] = {
            "F": self.functions, "concatenate": np.concatenate, "negative": np.negative,
            "dot": np.dot, "empty": np.empty,
        }  # fmt: skip
        exec(compile(text, "<walk>", "exec"), scope)
        return scope["prepare"], scope["begin"]

    def arguments(self, own: Mapping[str, Array]) -> list[Array]:
        """The parameters as the code counts them."""
        return [own[name] for name in self.parameters]


def early_slots(layout: Layout) -> dict[str, list[tuple[int, int]]]:
    """buffer -> (slot, place) of the parameters and rows that a layout takes from outside."""
    found: dict[str, list[tuple[int, int]]] = {}
    for i, (buffer, at) in layout.slots.items():
        if buffer[0] in "CG":
            found.setdefault(buffer, []).append((at, layout.program.values[i].args[0]))
    return found


def begun(early: Early, buffer: str, leaves: Sequence[int | None]) -> list[str]:
    """Lines that fill the rows of a buffer, slot by slot, with what an early value is the sum of:
    neighbours that begin with x times a matrix are one product."""
    matrices: dict[int, list[Block]] = {}
    constants: dict[int, list[tuple[bool, int]]] = {}
    others: list[tuple[bool, int, int]] = []
    for slot, leaf in enumerate(leaves):
        for minus, place in () if leaf is None else _terms(early, leaf):
            op, *args = early.program.early[place]
            if not early.depends[place]:
                constants.setdefault(slot, []).append((minus, place))
            elif op == "times" and early.program.early[args[0]] == ("name", X):
                matrices.setdefault(slot, []).append(Block(args[1], args[2], minus))
            else:
                others.append((minus, slot, place))
    lines = [f"rows = B[{buffer!r}]", "flat = rows.reshape(len(rows), -1)"]
    size, count = f"n[{buffer.partition('_')[2]!r}]", len(leaves)
    for number, (first, stop) in enumerate(neighbours(sorted(matrices))):
        name = f"W_{buffer}_{number}"
        early.stack(name, [matrices[slot] for slot in range(first, stop)])
        if stop - first == count:
            lines.append(f"dot(x, {name}.T, flat)")
        else:
            lines.append(f"flat[:, {first} * {size}:{stop} * {size}] = dot(x, {name}.T)")
    covered = {*matrices, *constants}
    lines += [
        f"rows[:, {slot}] = 0.0"
        for slot in range(count)
        if leaves[slot] is not None and slot not in covered
    ]
    beside = [slot for slot in sorted(constants) if slot in matrices]
    for number, (first, stop) in enumerate(neighbours(beside)):
        name = f"c_{buffer}_{number}"
        some = [constants[slot] for slot in range(first, stop)]
        vectors = all(len(of) == 1 and _is_vector(early, of[0][1]) for of in some)
        if vectors and len(some) > 1:
            texts = [early.value(of[0][1]) for of in some]
            early.lines.append(f"{name} = concatenate(({', '.join(texts)}))")
            early.turn(name, [of[0][0] for of in some])
            lines.append(f"flat[:, {first} * {size}:{stop} * {size}] += {name}")
        else:
            lines += [f"rows[:, {first + i}] += {_sum(early, of)}" for i, of in enumerate(some)]
    for slot in sorted(set(constants) - set(matrices)):
        lines.append(f"rows[:, {slot}] = {_sum(early, constants[slot])}")
    for minus, slot, place in others:
        lines.append(f"rows[:, {slot}] {'-' if minus else '+'}= {early.value(place)}")
    return lines


def _is_vector(early: Early, place: int) -> bool:
    """Whether it surely has a number for every unit."""
    op, *args = early.program.early[place]
    if op == "name":
        return any(v.size and v.args == (place,) for v in early.program.values if v.op == "const")
    return op in ("neg", "add") and any(_is_vector(early, i) for i in args)


def _sum(early: Early, terms: Sequence[tuple[bool, int]]) -> str:
    return " ".join(f"{'-' if minus else '+'} {early.value(place)}" for minus, place in terms)


def _terms(early: Early, place: int) -> list[tuple[bool, int]]:
    op, *args = early.program.early[place]
    if op == "add" and early.depends[place]:
        return [term for i in args for term in _terms(early, i)]
    if op == "neg":
        return [(not minus, at) for minus, at in _terms(early, args[0])]
    return [(False, place)]


def neighbours(slots: Sequence[int]) -> list[tuple[int, int]]:
    """Neighbours: (first, stop) each."""
    found: list[tuple[int, int]] = []
    for slot in slots:
        if found and found[-1][1] == slot:
            found[-1] = (found[-1][0], slot + 1)
        else:
            found.append((slot, slot + 1))
    return found
