"""How much of a disagreement is the problem's own doing.

A row's condition number is the relative change of the row per relative change of the data. No
algorithm in float64 can promise more than eps times that: two paths that nearly cancel, or a
residual target − y of near equals.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from oracles import jacobian_products
from oracles.compare import Row, row_errors
from oracles.plain import Net

Truth = Callable[[Net], Mapping[str, np.ndarray]]
"""The exact quantities of a net."""

DELTA = 1e-9
DRAWS = 4
SLACK = 64.0
EPS = float(np.finfo(np.float64).eps)


def perturbed(net: Net, rng: np.random.Generator) -> Net:
    """Every number of the net moved by about 1e-9 of itself."""
    return {
        name: value * (1.0 + DELTA * rng.normal(size=value.shape)) if _given(name, value) else value
        for name, value in net.items()
    }


def _given(name: str, value: object) -> bool:
    """Whether it is an array of measured numbers; which steps count is none."""
    return isinstance(value, np.ndarray) and name != "loss_weights"


def conditions(
    net: Net, names: set[str], truth: Truth = jacobian_products.quantities
) -> dict[str, np.ndarray]:
    """The measured condition of every row of each quantity: the largest over some draws."""
    rng = np.random.default_rng(0)
    base = truth(net)
    moved = [truth(perturbed(net, rng)) for _ in range(DRAWS)]
    return {
        name: np.max([row_errors(name, m[name], base[name]) for m in moved], axis=0) / DELTA
        for name in names
    }


def inexcusable(
    net: Net, rows: list[Row], truth: Truth = jacobian_products.quantities
) -> list[Row]:
    """The disagreements that rounding, times the condition of the row, does not explain."""
    if not rows:
        return []
    condition = conditions(net, {row.name for row in rows if row.row is not None}, truth)
    return [
        row
        for row in rows
        if row.row is None or not row.error <= SLACK * EPS * condition[row.name][row.row]
    ]
