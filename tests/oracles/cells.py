"""Plain forward passes of the contract's cells: written from its equations, gate by gate.

One matrix a gate and one step a loop turn, so that a wrong order of rows cannot hide in a reshape.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from rnngrad.arithmetic.arrays import Array

Parameters = Mapping[str, Array]

ACTIVATIONS: Mapping[str, Callable[[Array], Array]] = {
    "tanh": np.tanh,
    "relu": lambda a: np.maximum(a, 0.0),
    "sigmoid": lambda a: 1.0 / (1.0 + np.exp(-a)),
    "softplus": lambda a: np.log1p(np.exp(a)),
    "identity": lambda a: a,
}
sigmoid = ACTIVATIONS["sigmoid"]


def gate(matrix: Array, index: int, hidden: int) -> Array:
    """The rows of one gate."""
    return matrix[index * hidden : (index + 1) * hidden]


def rnn(p: Parameters, x: Array, h: Array, c: Array, activation: str) -> tuple[Array, Array]:
    """h' = σ(W_xh x + W_hh h + b_h)"""
    return ACTIVATIONS[activation](p["W_xh"] @ x + p["W_hh"] @ h + p["b_h"]), c


def gru(p: Parameters, x: Array, h: Array, c: Array, activation: str) -> tuple[Array, Array]:
    """r, z, n; h' = (1 − z) n + z h"""
    from_x, from_h = (
        [gate(p[w], k, len(h)) @ v + gate(p[b], k, len(h)) for k in range(3)]
        for w, v, b in (("W_xh", x, "b_xh"), ("W_hh", h, "b_hh"))
    )
    r, z = sigmoid(from_x[0] + from_h[0]), sigmoid(from_x[1] + from_h[1])
    n = np.tanh(from_x[2] + r * from_h[2])
    return (1.0 - z) * n + z * h, c


def lstm(p: Parameters, x: Array, h: Array, c: Array, activation: str) -> tuple[Array, Array]:
    """i, f, g, o; c' = f c + i g, h' = o tanh c'"""
    a = [
        gate(p["W_xh"], k, len(h)) @ x + gate(p["W_hh"], k, len(h)) @ h + gate(p["b_h"], k, len(h))
        for k in range(4)
    ]
    i, f, g, o = sigmoid(a[0]), sigmoid(a[1]), np.tanh(a[2]), sigmoid(a[3])
    c = f * c + i * g
    return o * np.tanh(c), c


STEPS = {"rnn": rnn, "gru": gru, "lstm": lstm}


def run(
    cell: str, layers: Sequence[Parameters], inputs: Array, activation: str | None = None
) -> Array:
    """h_1 … h_T of the highest layer, (T, H), from zero states."""
    rows = inputs
    for p in layers:
        h = np.zeros(p["W_hh"].shape[1])
        c = np.zeros_like(h)
        out = []
        for x in rows:
            h, c = STEPS[cell](p, x, h, c, activation or "tanh")
            out.append(h)
        rows = np.array(out)
    return rows
