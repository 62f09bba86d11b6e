"""∂top/∂bottom of a scalar net by the complex step: the graph is cut at ``bottom``, whose value is
put in with an imaginary part, and run forward again in plain Python.

Shares nothing with ``analyses.grading``: no rule of differentiation is written down here. An
immediate partial holds every state before the top's step at its value.
"""

from __future__ import annotations

import cmath
from collections.abc import Mapping

Key = tuple[str, int]
STEP = 1e-30


def sigmoid(a: complex) -> complex:
    """1/(1 + e⁻ᵃ)"""
    return 1.0 / (1.0 + cmath.exp(-a))


def run(
    values: Mapping[Key, complex], steps: int, put: Mapping[Key, complex]
) -> dict[Key, complex]:
    """The sheet's net (sigmoid everywhere, squared error), with some quantities put in."""
    v = {**values, **{key: value for key, value in put.items() if key in values}}
    total: complex = 0.0
    for t in range(1, steps + 1):
        a = v["W_xh", 0] * v["x", t] + v["W_hh", 0] * v["h", t - 1] + v["b_h", 0]
        v["a", t] = put.get(("a", t), a)
        v["h", t] = put.get(("h", t), sigmoid(v["a", t]))
        v["o", t] = put.get(("o", t), v["W_hy", 0] * v["h", t] + v["b_y", 0])
        v["y", t] = put.get(("y", t), sigmoid(v["o", t]))
        v["L", t] = put.get(("L", t), (v["target", t] - v["y", t]) ** 2)
        total += v["L", t]
    v["L", 0] = total
    return v


def derivative(
    leaves: Mapping[Key, complex], steps: int, top: Key, bottom: Key, *, immediate: bool = False
) -> float:
    """Im top(bottom + i·1e-30) / 1e-30"""
    plain = run(leaves, steps, {})
    held = {("h", s): plain["h", s] for s in range(top[1])} if immediate else {}
    return run(leaves, steps, {**held, bottom: plain[bottom] + 1j * STEP})[top].imag / STEP
