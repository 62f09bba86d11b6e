"""Nets of a shipped cell, and of one of the user's own, with sizes of their own letters."""

from __future__ import annotations

import numpy as np

import rnngrad
from rnngrad.cells import CELLS
from rnngrad.net.problem import Problem

OWN = {
    "name": "mine",
    "state": ["h", "c"],
    "equations": [
        "u_t = tanh(W_xu x_t + W_cu c_{t-1} + b_u)",
        "c_t = c_{t-1} + W_uc u_t",
        "h_t = alpha h_{t-1} + tanh(W_ch c_t + w_h ∘ h_{t-1} + W_rh (u_t ∘ u_t) + W_oh^T h_{t-1})",
    ],
    "shapes": {"u": ["P"], "c": ["P"], "alpha": [], "W_uc": ["P", "P"], "W_rh": ["H", "P"]},
}


def own() -> Problem:
    """A cell of the user's with a letter of its own: H = 3, P = 2, I = 2."""
    rng = np.random.default_rng(4)
    shapes = {"W_xu": (2, 2), "W_cu": (2, 2), "b_u": (2,), "W_uc": (2, 2), "W_ch": (3, 2),
              "w_h": (3,), "W_rh": (3, 2), "W_oh": (3, 3), "W_hy": (2, 3)}  # fmt: skip
    weights = {name: rng.normal(0, 0.4, shape) for name, shape in shapes.items()}
    return rnngrad.load({
        "cell": OWN, "weights": weights | {"alpha": 0.5},
        "inputs": rng.normal(size=(4, 2)), "targets": rng.normal(size=(4, 2)),
    })  # fmt: skip


def shipped(cell: str, **sizes: int) -> Problem:
    """A net of a cell by its name, its weights drawn; ``sizes`` by letter."""
    return rnngrad.load({
        "cell": cell, "sizes": {"inputs": 2, "hidden": 3, "outputs": 2} | sizes, "seed": 1,
        "weights": {"W_hy": {"init": "uniform", "bound": 0.5}} | {
            name: {"init": "uniform", "bound": 0.5} for name in CELLS[cell].weights
        },
        "inputs": {"random": "normal", "steps": 4}, "targets": {"random": "normal"},
    })  # fmt: skip
