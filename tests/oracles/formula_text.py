"""A formula as it is shown, read and computed: the text alone decides what is done.

    ·  matrix product (or a number times something)      ∘  unit by unit      ⊗  outer product
    diag(v)   [a, b] side by side   [[a, b], [c, d]] blocks   ²  a square   ᵀ  a transpose

The names in it (``f_t``, ``W_hi.1``, ``∂c_t/∂i_t``) are looked up in what the caller hands in, so
that nothing is shared with the code that wrote the formula.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from typing import Any

import numpy as np

Lookup = Callable[[str], np.ndarray]


class Value:
    """A number, vector or matrix with the products of the notation: ``*`` is ∘, ``@`` is ·."""

    def __init__(self, array: Any) -> None:
        self.array = np.asarray(array, dtype=float)

    def __mul__(self, other: Any) -> Value:
        return Value(self.array * of(other))

    def __matmul__(self, other: Any) -> Value:
        left, right = self.array, of(other)
        numbers = left.ndim == 0 or right.ndim == 0 or left.shape == right.shape == (1,)
        return Value(left * right if numbers else left @ right)

    def __rmatmul__(self, other: Any) -> Value:
        return Value(of(other) * self.array)

    def __add__(self, other: Any) -> Value:
        return Value(self.array + of(other))

    def __sub__(self, other: Any) -> Value:
        return Value(self.array - of(other))

    def __rsub__(self, other: Any) -> Value:
        return Value(of(other) - self.array)

    def __truediv__(self, other: Any) -> Value:
        return Value(self.array / of(other))

    def __neg__(self) -> Value:
        return Value(-self.array)

    def __pow__(self, power: int) -> Value:
        return Value(self.array**power)


def of(value: Any) -> np.ndarray:
    """The array behind a Value, a number, or a list of blocks (0 fills what its row needs)."""
    if isinstance(value, Value):
        return value.array
    if not isinstance(value, list):
        return np.asarray(value, dtype=float)
    if isinstance(value[0], list):
        return np.block(_filled(value))
    parts = [of(part) for part in value]
    length = next(part.shape[-1] for part in parts if part.ndim)
    rows = next(part for part in parts if part.ndim).shape[:-1]
    return np.concatenate(
        [part if part.ndim else np.zeros((*rows, length)) for part in parts], axis=-1
    )


def _filled(blocks: list[list[Any]]) -> list[list[np.ndarray]]:
    found = [[of(block) for block in row] for row in blocks]
    heights = [next(b.shape[0] for b in row if b.ndim) for row in found]
    widths = [next(b.shape[1] for b in column if b.ndim) for column in zip(*found, strict=True)]
    return [
        [block if block.ndim else np.zeros((height, width))
         for block, width in zip(row, widths, strict=True)]
        for row, height in zip(found, heights, strict=True)
    ]  # fmt: skip


def _diag(value: Any) -> Value:
    return Value(np.diag(of(value)))


def _outer(left: Any, right: Any) -> Value:
    return Value(np.multiply.outer(of(left), of(right)))


_PARTIAL = re.compile(r"∂⁺?[^ ·()\[\],/]+(?:\{[^}]*\})?/∂[^ ·()\[\],]+")
_NAME = re.compile(r"[A-Za-z][⁰¹²³⁴⁵⁶⁷⁸⁹]*_(?:\{[^}]*\}|[a-z0-9]+)(?:\.\d+)?(?![A-Za-z(])")


class Reader:
    """Reads formulas; ``slopes`` are σ' and g' of the net."""

    def __init__(self, lookup: Lookup, slopes: dict[str, Callable[[Any], Any]]) -> None:
        self.lookup, self.slopes = lookup, slopes

    def value(self, text: str) -> np.ndarray:
        """One side of an equation."""
        found: list[str] = []

        def put(match: re.Match[str]) -> str:
            found.append(match[0])
            return f"V{len(found) - 1}V"

        if " ⊗ " in text:
            left, _, right = text.partition(" ⊗ ")
            return np.multiply.outer(self.value(left), self.value(right))
        source = _PARTIAL.sub(put, text)
        source = re.sub(r"(\w+_\w+) \1ᵀ", lambda m: f"outer({m[1]}, {m[1]})", source)
        source = re.sub(r"tanh²(\([^()]*\))", r"tanh\1**2", source)
        source = _NAME.sub(put, source).replace("²", "**2").replace("−", "-")
        source = re.sub(r"(V\d+V) (?=V)", r"\1@", source)
        source = source.replace("σ'(", "sigma_slope(").replace("g'(", "g_slope(")
        source = source.replace("·", "@").replace("∘", "*")
        names = {f"V{i}V": Value(self.lookup(name)) for i, name in enumerate(found)}
        return of(self._run(source.strip(), names))

    def _run(self, source: str, names: dict[str, Value]) -> Any:
        tree = ast.parse(source, mode="eval")
        functions = {
            "diag": _diag,
            "outer": _outer,
            "tanh": lambda v: Value(np.tanh(of(v))),
            "sigma_slope": lambda v: Value(self.slopes["σ"](of(v))),
            "g_slope": lambda v: Value(self.slopes["g"](of(v))),
        }
        return eval(compile(tree, "formula", "eval"), {"__builtins__": {}}, functions | names)
