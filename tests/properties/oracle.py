"""∂L along a direction, by a complex step through the equations as they were read.

Nothing of rnngrad's passes: the spec's own words say what L is, ``oracles.any_cell`` walks the
equations. A direction moves every array of the net at once, each as much as it matters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from oracles import any_cell, plain
from oracles.plain import COMPLEX
from rnngrad.arithmetic.functions import FUNCTIONS
from rnngrad.net.batch import Batch
from rnngrad.net.problem import Problem

STEP = 1e-150
"""A direction may be as large as 1/FAINT, and is infinitesimal all the same."""
FAINT = 1e-100
Arrays = dict[str, Any]


def sequences(problem: Problem | Batch) -> tuple[Problem, ...]:
    return problem.sequences if isinstance(problem, Batch) else (problem,)


def moving(problem: Problem | Batch) -> Arrays:
    """Every array that L depends on, by the name of its gradient; of sequences, lists."""
    ones = sequences(problem)
    found: Arrays = {f"dL_d{name}": W for name, W in ones[0].weights.items()}
    found["dL_dx"] = [one.x for one in ones]
    for index, part in enumerate(ones[0].cell.parts):
        found[f"dL_d{part}"] = [one.start(index) for one in ones]
    return found


def slope(spec: Mapping[str, Any], problem: Problem | Batch, directions: Arrays) -> float:
    """dL/dε along ``directions``, which are as ``moving`` has the arrays."""

    def moved(name: str, array: Any, k: int | None = None) -> Any:
        along = directions[name] if k is None else directions[name][k]
        return array + 1j * STEP * along

    total, ones = 0.0, sequences(problem)
    weights = {name: moved(f"dL_d{name}", W) for name, W in ones[0].weights.items()}
    for k, one in enumerate(ones):
        first, *others = one.cell.parts
        shifted = replace(
            one,
            weights=weights,
            x=moved("dL_dx", one.x, k),
            h_0=moved(f"dL_d{first}", one.start(0), k),
            starts={p: moved(f"dL_d{p}", one.start(i), k) for i, p in enumerate(others, 1)},
        )
        total += loss(spec, shifted).imag / STEP
    return total / (len(ones) if spec.get("batch_reduction") == "mean" else 1)


def loss(spec: Mapping[str, Any], problem: Problem) -> Any:
    """L of one sequence, by the words of the spec."""
    state, rows = any_cell.start_of(problem), []
    for x in problem.x:
        state = any_cell.step(problem, x, state)
        rows.append(state[-1][problem.cell.parts[0]])
    a = np.array(rows)
    if "W_hy" in problem.weights:
        a = a @ problem.weights["W_hy"].T + problem.weights["b_y"]
    values = _each(spec, problem.targets, a)
    at = {"all": list(range(len(a))), "last": [len(a) - 1]}.get(str(spec["loss_steps"]))
    chosen = values[[t - 1 for t in spec["loss_steps"]] if at is None else at]
    return chosen.mean() if spec["loss_reduction"] == "mean" else chosen.sum()


def _each(spec: Mapping[str, Any], targets: Any, a: Any) -> Any:
    """ℓ of every step, (T,)."""
    if spec["loss"] == "binary_cross_entropy":
        off, on = plain.softplus(-a, COMPLEX), plain.softplus(a, COMPLEX)
        return np.sum(targets * off + (1 - targets) * on, axis=1)
    if spec["loss"] == "cross_entropy":
        return np.array([-np.sum(t * plain.log_softmax(row, COMPLEX))
                         for t, row in zip(targets, a, strict=True)])  # fmt: skip
    if spec["output_activation"] == "softmax":
        y = np.array([np.exp(plain.log_softmax(row, COMPLEX)) for row in a])
    else:
        y = FUNCTIONS[spec["output_activation"]].f(a)
    squares = np.sum((targets - y) ** 2, axis=1)
    return squares / a.shape[1] if spec["loss"] == "mean_squared_error" else squares


def drawn_directions(rng: np.random.Generator, got: Arrays) -> Arrays:
    """Signs, divided by the largest entry of the gradient, or of its row where it has steps: so
    an error of 1e−9 of any array, however small beside the others, counts as 1e−9."""

    def one(gradient: Any, rows: bool) -> Any:
        signs = rng.choice([-1.0, 1.0], np.shape(gradient))
        size = np.abs(gradient).max(axis=-1, keepdims=True) if rows else np.abs(gradient).max()
        return signs / np.where((size < FAINT) | ~np.isfinite(size), 1.0, size)

    return {
        name: [one(row, name == "dL_dx") for row in value] if isinstance(value, list)
        else one(value, rows=False)
        for name, value in got.items()
    }  # fmt: skip


def along(got: Arrays, directions: Arrays) -> tuple[float, float]:
    """⟨gradient, direction⟩ over all arrays, and the same of absolute values."""
    total = size = 0.0
    for name, value in got.items():
        pairs = zip(value, directions[name], strict=True) if isinstance(value, list) else [
            (value, directions[name])
        ]  # fmt: skip
        for gradient, direction in pairs:
            total += float(np.sum(gradient * direction))
            size += float(np.sum(np.abs(gradient * direction)))
    return total, size
