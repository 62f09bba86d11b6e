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
    """A number, vector or matrix with the products of the notation: ``*`` is ∘, ``@`` is ·, ``//``
    is ⊗, ``**`` is a matrix before what it multiplies, or a power. ``unit``: diag of one number, a
    matrix of whatever size is needed."""

    def __init__(self, array: Any, unit: bool = False) -> None:
        self.array, self.unit = np.asarray(array, dtype=float), unit

    @property
    def T(self) -> Value:
        return Value(np.swapaxes(self.array, -1, -2))

    def __mul__(self, other: Any) -> Value:
        return Value(self.array * of(other))

    def __matmul__(self, other: Any) -> Value:
        left, right = self.array, of(other)
        numbers = left.ndim == 0 or right.ndim == 0 or left.shape == right.shape == (1,)
        unit = self.unit and getattr(other, "unit", False)
        return Value(left * right if numbers else left @ right, unit)

    __rmul__ = __mul__

    def __rmatmul__(self, other: Any) -> Value:
        left = of(other)
        return Value(left @ self.array if left.ndim > 1 else left * self.array)

    def __floordiv__(self, other: Any) -> Value:
        return Value(np.multiply.outer(self.array, of(other)))

    def __rfloordiv__(self, other: Any) -> Value:
        return Value(np.multiply.outer(of(other), self.array))

    def __add__(self, other: Any) -> Value:
        left, right, unit = _alike(self, other)
        return Value(left + right, unit)

    def __sub__(self, other: Any) -> Value:
        left, right, unit = _alike(self, other)
        return Value(left - right, unit)

    def __rsub__(self, other: Any) -> Value:
        return Value(of(other) - self.array)

    def __radd__(self, other: Any) -> Value:
        return Value(of(other) + self.array)

    def __truediv__(self, other: Any) -> Value:
        return Value(self.array / of(other))

    def __rtruediv__(self, other: Any) -> Value:
        return Value(of(other) / self.array)

    def __neg__(self) -> Value:
        return Value(-self.array, self.unit)

    def __pow__(self, other: Any) -> Value:
        return Value(self.array @ other.array if isinstance(other, Value) else self.array**other)


def _alike(left: Value, right: Any) -> tuple[np.ndarray, np.ndarray, bool]:
    """Both sides of a sum, diag(number) as large as the other."""
    right = right if isinstance(right, Value) else Value(of(right))
    if left.unit and right.unit:
        return left.array, right.array, True
    one, other = left.array, right.array
    if left.unit:
        one = one * np.eye(len(other))
    if right.unit:
        other = other * np.eye(len(one))
    return one, other, False


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


def _filled(blocks: list[list[Any]], sizes: list[int] | None = None) -> list[list[np.ndarray]]:
    """Zeros as large as their rows and columns; ``sizes`` of both, where a row may be all zeros."""
    found = [[of(block) for block in row] for row in blocks]
    if sizes is None:
        heights = [next(b.shape[0] for b in row if b.ndim) for row in found]
        widths = [next(b.shape[1] for b in column if b.ndim) for column in zip(*found, strict=True)]
    else:
        heights = widths = sizes
    return [
        [block if block.ndim else np.zeros((height, width))
         for block, width in zip(row, widths, strict=True)]
        for row, height in zip(found, heights, strict=True)
    ]  # fmt: skip


def _diag(value: Any) -> Value:
    array = of(value)
    return Value(array, unit=True) if array.ndim == 0 else Value(np.diag(array))


def _outer(left: Any, right: Any) -> Value:
    return Value(np.multiply.outer(of(left), of(right)))


_PARTIAL = re.compile(r"∂⁺?[^ ·()\[\],/]+(?:\{[^}]*\})?/∂[^ ·()\[\],]+")
_NAME = re.compile(
    r"[A-Za-z][A-Za-z0-9]*[⁰¹²³⁴⁵⁶⁷⁸⁹]*(?:_(?:\{[^}]*\}|[A-Za-z0-9]+))*(?:\.\d+)?(?![A-Za-z0-9_(\'])"
)
_POWERS = str.maketrans({"²": "**2", "³": "**3", "⁴": "**4"})


class Reader:
    """Reads formulas; ``slopes`` are σ' and g' of the net, and f' of any other function; ``rows``
    how many units a derivative is of, where only one number is written for all."""

    def __init__(
        self, lookup: Lookup, slopes: dict[str, Callable[[Any], Any]],
        functions: dict[str, Callable[[Any], Any]] | None = None, rows: int = 1,
        sizes: list[int] | None = None,
    ) -> None:  # fmt: skip
        self.lookup, self.slopes, self.rows, self.sizes = lookup, slopes, rows, sizes
        self.functions = functions or {"tanh": np.tanh}

    def value(self, text: str) -> np.ndarray:
        """One side of an equation."""
        found: list[str] = []

        def put(match: re.Match[str]) -> str:
            found.append(match[0])
            return f"ж{len(found) - 1}ж"

        source = _PARTIAL.sub(put, text)
        source = re.sub(r"(\w+_\w+) \1ᵀ", lambda m: f"outer({m[1]}, {m[1]})", source)
        source = re.sub(r"\b([a-zσ_]+)²(\([^()]*\))", r"\1\2**2", source)
        source = _NAME.sub(put, source).translate(_POWERS).replace("−", "-").replace("ᵀ", ".T")
        source = re.sub(r"(ж\d+ж(?:\.T)?) (?=[ж(]|[a-z_]+\(|σ\()", r"\1**", source)
        source = re.sub(r"\b([a-z_]+|σ)'\(", r"slope_\1(", source)
        source = re.sub(r"\[([^\[\]]*)\] ⊗", r"sized([\1]) ⊗", source)
        source = source.replace("·", "@").replace("∘", "*").replace("⊗", "//")
        names = {f"ж{i}ж": Value(self.lookup(name)) for i, name in enumerate(found)}
        value = self._run(source.strip(), names)
        if isinstance(value, list) and isinstance(value[0], list):
            return np.block(_filled(value, self.sizes))
        return of(value)

    def _sized(self, blocks: list[Any]) -> Value:
        """[d_r, d_z, d_n]; one number alone stands for every unit."""
        if len(blocks) == 1 and of(blocks[0]).ndim == 0:
            unit = isinstance(blocks[0], Value) and blocks[0].unit
            return Value(of(blocks[0]) * (np.eye(self.rows) if unit else np.ones(self.rows)))
        return Value(of(blocks))

    def _run(self, source: str, names: dict[str, Value]) -> Any:
        tree = ast.parse(source, mode="eval")
        every = {name: _lifted(f) for name, f in self.functions.items()}
        every |= {f"slope_{name}": _lifted(f) for name, f in self.slopes.items()}
        every |= {"diag": _diag, "outer": _outer, "sized": self._sized}
        return eval(compile(tree, "formula", "eval"), {"__builtins__": {}}, every | names)


def _lifted(f: Callable[[Any], Any]) -> Callable[[Any], Value]:
    return lambda value: Value(f(of(value)))
