"""A program as plain code, a line a value: for what is computed for many rows at once, where it is
the numbers that cost and not the calls. Rows may be (n,), (T, n) or (K, n).

The code holds numbers of values, parameters and functions, nothing of what they are called.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from rnngrad.algebra.equations import X
from rnngrad.arithmetic.arrays import Array
from rnngrad.arithmetic.functions import FUNCTIONS
from rnngrad.net.walks.operations import Program

UFUNCS = ("add", "subtract", "multiply", "divide", "negative", "exp", "tanh", "reciprocal",
          "absolute", "maximum", "power")  # fmt: skip
SCOPE = {
    name: getattr(np, name)
    for name in (*UFUNCS, "dot", "copyto", "array", "concatenate", "empty", "zeros")
}


class Block(NamedTuple):
    """±W, or Wᵀ, of a parameter."""

    parameter: str
    transposed: bool
    minus: bool

    @property
    def turned(self) -> Block:
        """Its transpose."""
        return self._replace(transposed=not self.transposed)


def function(name: str) -> Callable[..., Any]:
    """f or f' as ``f:tanh``, ``s:tanh`` name it; σ is the sigmoid by now."""
    kind, _, sign = name.partition(":")
    record = FUNCTIONS["sigmoid" if sign == "σ" else sign]
    return record.f if kind == "f" else record.slope


def compiled(text: str, functions: Sequence[str] = ()) -> dict[str, Callable[..., Any]]:
    """The functions of a text that was written here or in ``loop``; F has those of NumPy's kind."""
    scope: dict[str, Any] = SCOPE | {"F": [function(name) for name in functions]}
    exec(compile(text, "<walk>", "exec"), scope)
    return scope


def function_of(
    head: str, lines: Sequence[str], functions: Sequence[str] = ()
) -> Callable[..., Any]:
    """The function with these lines, ``head`` its name and arguments."""
    text = "\n    ".join([f"def {head}:", *lines]) + "\n"
    return compiled(text, functions)[head.partition("(")[0]]


class Lines:
    """Lines for values; a row that is given is ``k`` and its number."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.texts: dict[int, str] = {}
        self.lines: list[str] = []
        self.functions: list[str] = []
        self.parameters: dict[str, int] = {}

    def parameter(self, name: str) -> str:
        """``p`` holds the parameters as ``arguments`` gives them."""
        return f"p[{self.parameters.setdefault(name, len(self.parameters))}]"

    def arguments(self, own: Mapping[str, Array]) -> list[Array]:
        """The parameters as the code counts them."""
        return [own[name] for name in self.parameters]

    def value(self, i: int) -> str:
        """The name of a value, after the lines that compute it."""
        if i not in self.texts:
            op, args, _ = self.program.values[i]
            if op == "number":
                self.texts[i] = repr(args[0])
            elif op == "K":
                self.texts[i] = f"k{i}"
            elif op == "name":
                self.texts[i] = "x" if args[0] == X else self.parameter(args[0])
            else:
                text = self._text(op, args, [self.value(j) for j in self.program.operands(i)])
                self.texts[i] = f"t{i}"
                self.lines.append(f"t{i} = {text}")
        return self.texts[i]

    def into(self, wanted: Iterable[tuple[int, str]]) -> None:
        """Lines that leave values of many rows in rows that are given. What is not needed any more
        makes room for what comes after it: fresh memory costs more than a sum."""
        wanted = list(wanted)
        self.lines += [f"o{n} = {row}" for n, (_, row) in enumerate(wanted)]
        homes = {i: f"o{n}" for n, (i, _) in enumerate(wanted)}
        values, operands = self.program.values, self.program.operands
        order = self._order([i for i, _ in wanted])
        last = {j: i for i in order for j in operands(i)}
        made = {i for i in order if values[i].op in UFUNCS}
        handed_on = {j for i in order if i not in made for j in operands(i)}  # as the identity does
        ours, free = made - handed_on - set(homes), dict[str | None, list[str]]()
        for i in order:
            op, args, size = values[i]
            text = self._text(op, args, [self.value(j) for j in operands(i)])
            for j in ours.intersection(operands(i)):
                if last[j] == i:
                    free.setdefault(values[j].size, []).append(self.texts[j])
            home = homes.get(i) if i in made else None
            if home is None and i in made and free.get(size):
                home = free[size].pop()
            self.texts[i] = home or f"t{i}"
            out = f"out={home}" if op == "maximum" else home
            self.lines.append(f"{text[:-1]}, {out})" if home else f"t{i} = {text}")
        for n, (i, _) in enumerate(wanted):
            if self.texts.get(i) != f"o{n}":
                self.lines.append(f"copyto(o{n}, {self.value(i)})")

    def _order(self, wanted: Sequence[int]) -> list[int]:
        """All that is computed from rows on the way to what is wanted, operands first."""
        found: dict[int, None] = {}

        def visit(i: int) -> None:
            if i not in found and not self.program.is_leaf(i):
                for j in self.program.operands(i):
                    visit(j)
                found[i] = None

        for i in wanted:
            visit(i)
        return list(found)

    def _text(self, op: str, args: Sequence[Any], inner: Sequence[str]) -> str:
        if op == "copy":
            return inner[0]
        if op == "times":
            return f"dot({inner[0]}, {self.parameter(args[1])}{'' if args[2] else '.T'})"
        if op[1:2] == ":":
            if op not in self.functions:
                self.functions.append(op)
            return f"F[{self.functions.index(op)}]({inner[0]})"
        if op in ("maximum", "power"):
            inner = [*inner, "0.0" if op == "maximum" else repr(float(args[1]))]
        return f"{op}({', '.join(inner)})"

    def stack(self, blocks: Sequence[Sequence[Block]]) -> str:
        """[±W_1; ±W_2; …], those of one row of blocks summed."""
        texts = [" + ".join(map(self._block, row)) for row in blocks]
        return f"concatenate(({', '.join(texts)}))" if len(texts) > 1 else f"({texts[0]})"

    def _block(self, one: Block) -> str:
        text = self.parameter(one.parameter) + (".T" if one.transposed else "")
        return f"-{text}" if one.minus else text

    def product(self, members: Sequence[int], sources: Sequence[int]) -> str:
        """What takes the sources side by side to the values of a product side by side."""
        values = [self.program.values[i].args for i in members]
        if len(sources) == 1:
            return self.stack([[one.turned for one in blocks[0]] for _, _, blocks in values])
        of = dict(zip(*values[0][::2], strict=True))
        return self.stack([of[i] for i in sources]) + ".T"
