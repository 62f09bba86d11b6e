"""Random gru, lstm and stacked nets, seeded, as specs of plain arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

import rnngrad
from rnngrad.net.problem import Problem

GATES = {"rnn": 1, "gru": 3, "lstm": 4}
KINDS = (("gru", 1), ("lstm", 1), ("rnn", 2), ("gru", 2), ("lstm", 2), ("rnn", 3), ("lstm", 3))
SCALES = (0.05, 0.3, 1.0, 3.0)
BIASES = {"rnn": ("b_h",), "lstm": ("b_h",), "gru": ("b_xh", "b_hh")}


def spec(seed: int, kind: tuple[str, int] | None = None, **options: Any) -> dict[str, Any]:
    """Net number ``seed``; ``options``: ``steps``, ``hidden``, ``scale``, else drawn."""
    rng = np.random.default_rng([23, seed])
    cell, depth = kind or KINDS[seed % len(KINDS)]
    steps = options.get("steps", int(rng.integers(1, 9)))
    inputs, outputs = (int(n) for n in rng.integers(1, 4, 2))
    scale = options.get("scale", float(rng.choice(SCALES)))
    hidden = [options.get("hidden", int(n)) for n in rng.integers(1, 5, depth)]
    layers = [
        _layer(rng, cell, size, below, scale)
        for size, below in zip(hidden, [inputs, *hidden], strict=False)
    ]
    weights: dict[str, Any] = {"layers": layers} if depth > 1 else layers[0]
    readout = bool(rng.random() < 0.8) or "steps" in options
    outputs = outputs if readout else hidden[-1]
    if readout:
        weights |= {
            "W_hy": rng.normal(0, 1, (outputs, hidden[-1])),
            "b_y": rng.normal(size=outputs),
        }
    net: dict[str, Any] = {
        "name": f"net {seed}",
        "cell": cell,
        "weights": weights,
        "inputs": rng.normal(0, 1, (steps, inputs)),
        "targets": rng.normal(0, 1, (steps, outputs)),
        "output_activation": str(rng.choice(["identity", "tanh", "sigmoid"])),
        "h_0": rng.normal(0, 1, sum(hidden)) * (seed % 3 > 0),
    }
    if cell == "rnn":
        net["activation"] = str(rng.choice(["tanh", "sigmoid", "softplus"]))
    if cell == "lstm":
        net["c_0"] = rng.normal(0, 1, sum(hidden)) * (seed % 2)
    return net


def _layer(
    rng: np.random.Generator, cell: str, hidden: int, below: int, scale: float
) -> dict[str, np.ndarray]:
    rows = GATES[cell] * hidden
    made = {
        "W_xh": rng.normal(0, scale, (rows, below)),
        "W_hh": rng.normal(0, scale, (rows, hidden)),
    }
    return made | {name: rng.normal(0, scale, rows) for name in BIASES[cell]}


def problem(seed: int, kind: tuple[str, int] | None = None, **options: Any) -> Problem:
    """That net as a problem."""
    return rnngrad.load(spec(seed, kind, **options))


def right(of: Problem) -> dict[str, np.ndarray]:
    """rnngrad's own quantities as plain arrays."""
    return {name: np.array(array) for name, array in rnngrad.derive(of).items()}
