"""Forward-mode differentiation in mpmath: a vector that carries its Jacobians along.

Four rules (sum, product, matrix times vector, function entry by entry) and the chain rule; no
cell's formula is written here. mpmath's exponents have no limit, so nothing under- or overflows.
Source: Griewank, Walther, *Evaluating Derivatives* (2008), chapter 3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from oracles import plain
from oracles.gated_plain import Kind
from oracles.jacobian_products import MP, exact, slope
from oracles.plain import Numbers


class Dual:
    """``value`` (n,) and, for whatever it depends on, ∂value/∂that, (n, ·)."""

    __array_ufunc__ = None  # array @ Dual and array + Dual come here

    def __init__(self, value: Numbers, tangents: Mapping[str, Numbers]) -> None:
        self.value, self.tangents = value, dict(tangents)

    def __len__(self) -> int:
        return len(self.value)

    def __getitem__(self, index: slice) -> Dual:
        return Dual(self.value[index], {n: d[index] for n, d in self.tangents.items()})

    def __neg__(self) -> Dual:
        return Dual(-self.value, {n: -d for n, d in self.tangents.items()})

    def __add__(self, other: Any) -> Dual:
        other = _dual(other)
        total = dict(self.tangents)
        for name, tangent in other.tangents.items():
            total[name] = total[name] + tangent if name in total else tangent
        return Dual(self.value + other.value, total)

    __radd__ = __add__

    def __mul__(self, other: Dual) -> Dual:
        left = Dual(self.value * other.value, _scaled(self.tangents, other.value))
        return left + Dual(exact(np.zeros(len(self))), _scaled(other.tangents, self.value))

    def __rmatmul__(self, matrix: Numbers) -> Dual:
        return Dual(matrix @ self.value, {n: matrix @ d for n, d in self.tangents.items()})


def _dual(value: Any) -> Dual:
    return value if isinstance(value, Dual) else Dual(value, {})


def _scaled(tangents: Mapping[str, Numbers], rows: Numbers) -> dict[str, Numbers]:
    return {name: rows[:, np.newaxis] * tangent for name, tangent in tangents.items()}


def variable(name: str, value: Numbers) -> Dual:
    """A vector to differentiate by."""
    return Dual(value, {name: exact(np.eye(len(value)))})


def _function(name: str) -> Callable[[Dual], Dual]:
    def applied(a: Dual) -> Dual:
        value = plain.activate(name, a.value, MP)
        return Dual(value, _scaled(a.tangents, slope(name, a.value)))

    return applied


def _join(parts: list[Dual]) -> Dual:
    """One after the other; zeros where a part does not depend on what another does."""
    widths = {n: d.shape[1] for part in parts for n, d in part.tangents.items()}
    tangents = {
        name: np.concatenate(
            [p.tangents.get(name, exact(np.zeros((len(p), width)))) for p in parts]
        )
        for name, width in widths.items()
    }
    return Dual(np.concatenate([part.value for part in parts]), tangents)


DUAL = Kind(_function("sigmoid"), _function("tanh"), lambda name, a: _function(name)(a), _join)
"""What ``gated_plain.step`` needs to run on duals."""
