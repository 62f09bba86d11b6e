"""The nets that are timed: tanh, linear read-out, squared error at every step, drawn from a seed.

W_hh has independent normal entries of deviation ``gain``/√H. With ``gain`` 0.9 and inputs of unit
size gradients vanish slowly, which is the usual case; sizes are (T, H, I, O) as in the docs.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

import rnngrad
from rnngrad.net.problem import Problem

Weights = dict[str, np.ndarray]


class Case(NamedTuple):
    """One net and sequence as plain arrays, and as rnngrad's problem."""

    weights: Weights
    x: np.ndarray
    targets: np.ndarray
    h_0: np.ndarray
    problem: Problem

    @property
    def steps(self) -> int:
        """T"""
        return len(self.x)


def case(sizes: tuple[int, int, int, int], gain: float = 0.9, cell: str = "rnn") -> Case:
    """Drawn anew for given sizes; gates stacked as the cell wants them."""
    steps, hidden, inputs, outputs = sizes
    rng = np.random.default_rng([steps, hidden])
    gates = {"rnn": 1, "gru": 3, "lstm": 4}[cell]
    biases = ("b_xh", "b_hh") if cell == "gru" else ("b_h",)
    weights = {
        "W_xh": rng.normal(size=(gates * hidden, inputs)) * 0.5 / np.sqrt(inputs),
        "W_hh": rng.normal(size=(gates * hidden, hidden)) * gain / np.sqrt(hidden),
        **{name: 0.1 * rng.normal(size=gates * hidden) for name in biases},
        "W_hy": rng.normal(size=(outputs, hidden)) / np.sqrt(hidden),
        "b_y": 0.1 * rng.normal(size=outputs),
    }
    x, targets = rng.normal(size=(steps, inputs)), rng.normal(size=(steps, outputs))
    spec = {"cell": cell, "weights": weights, "inputs": x, "targets": targets}
    problem = rnngrad.load(spec)
    assert isinstance(problem, Problem)
    return Case(weights, x, targets, np.zeros(hidden), problem)


class BatchCase(NamedTuple):
    """B sequences of one net, (B, T, ·)."""

    weights: Weights
    x: np.ndarray
    targets: np.ndarray
    batch: rnngrad.Batch


def batch(sizes: tuple[int, int, int, int], size: int, cell: str = "rnn") -> BatchCase:
    """The net of ``case`` and so many sequences."""
    one, (steps, _, inputs, outputs) = case(sizes, cell=cell), sizes
    rng = np.random.default_rng([*sizes, size])
    x = rng.normal(size=(size, steps, inputs))
    targets = rng.normal(size=(size, steps, outputs))
    spec = {"cell": cell, "weights": one.weights, "batch": "first", "inputs": x, "targets": targets}
    found = rnngrad.load(spec)
    assert isinstance(found, rnngrad.Batch)
    return BatchCase(one.weights, x, targets, found)


def usual(cell: str, sizes: tuple[int, int], depth: int = 1) -> dict[str, Any]:
    """The spec of a net drawn as PyTorch draws one, (T, H), 16 inputs, 8 outputs."""
    steps, hidden = sizes
    names = ("W_xh", "W_hh", *(("b_xh", "b_hh") if cell == "gru" else ("b_h",)))
    drawn = {"init": "uniform", "bound": float(1 / np.sqrt(hidden))}
    one: dict[str, Any] = {name: dict(drawn) for name in names}
    layers = one if depth == 1 else {"layers": [one] * depth}
    return {
        "cell": cell, "weights": {**layers, "W_hy": dict(drawn)},
        "sizes": {"inputs": 16, "hidden": hidden, "outputs": 8},
        "inputs": {"random": "normal", "steps": steps}, "targets": {"random": "normal"},
    }  # fmt: skip


def family(
    hidden: int, steps: int, scales: np.ndarray, seeds: int
) -> tuple[Problem, np.ndarray, list[Case]]:
    """A net drawn from a seed for a sweep, its scales, and the net of each seed."""
    spec = {
        "weights": {
            "W_xh": {"init": "normal", "std": 0.3},
            "W_hh": {"init": "gaussian"},
        },
        "sizes": {"inputs": 8, "hidden": hidden, "outputs": hidden},
        "inputs": {"random": "normal", "steps": steps},
    }
    problem = rnngrad.load(spec)
    nets = [problem if seed == 0 else problem.redraw(seed) for seed in range(seeds)]
    cases = [
        Case({name: np.array(w) for name, w in net.weights.items()}, np.array(net.x),
             np.empty(0), np.array(net.h_0), net)
        for net in nets
    ]  # fmt: skip
    return problem, scales, cases
