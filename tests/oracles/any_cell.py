"""Any cell by its equations as they were read, in complex numbers: nothing of steps, tapes, rules.

A tree is walked as it stands, matrices times vectors by ``@``, one step after the other. Every
derivative is a complex step (Squire, Trapp, *Using complex variables*, SIAM Review 40, 1998).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from rnngrad.algebra.expressions import (
    Add,
    Apply,
    Call,
    Div,
    Mul,
    Name,
    Neg,
    Node,
    Number,
    Power,
    Transpose,
)
from rnngrad.arithmetic.functions import ACTIVATIONS, FUNCTIONS
from rnngrad.cells import NAMES
from rnngrad.net.cells import Cell, lengths, multiple, stacked
from rnngrad.net.losses import LOSSES
from rnngrad.net.outputs import OUTPUTS
from rnngrad.net.problem import Problem

STEP = 1e-30
STACKED = (
    "rnn", "gru", "lstm", "lstm_peephole", "gru_reset_before", "lstm_projection", "rhn", "lru",
    "jordan", "tau_gru", "fastgrnn", "intersection_rnn",
)  # fmt: skip
"""Cells of every kind, for what takes its time: matrices on values, several parts and sizes,
numbers, parts that nothing reads."""
ONE_OR_TWO = [*((name, 1) for name in NAMES), *((name, 2) for name in STACKED)]
"""Every cell, and some in a stack of two layers."""
Values = dict[str, Any]


def problem_of(
    cell: Cell,
    hidden: int = 3,
    inputs: int = 2,
    steps: int = 5,
    layers: int = 1,
    seed: int = 0,
    scale: float = 0.5,
) -> Problem:
    """A net of the cell with normal weights of ``scale``, biases, starts and targets too."""
    rng = np.random.default_rng([seed, hidden, steps, layers])
    shapes = stacked(cell, layers)
    letters = {multiple(n)[1] for shape in shapes.values() for n in shape} | {*cell.letters}
    sizes = dict.fromkeys(letters, hidden) | {"I": inputs}
    of_state = [sizes[letter] for letter in cell.letters]
    if cell.input_letter != "I" or ("I" in (*cell.letters,) and layers > 1):
        inputs = sizes["I"] = hidden
        of_state = [sizes[letter] for letter in cell.letters]
    weights = {n: np.asarray(rng.normal(0, scale, lengths(s, sizes))) for n, s in shapes.items()}
    weights |= {"W_hy": rng.normal(size=(2, of_state[0])), "b_y": rng.normal(size=2)}
    starts = [rng.normal(0, 0.5, size * layers) for size in of_state]
    return Problem(
        "net",
        cell,
        ACTIVATIONS["tanh"],
        OUTPUTS["identity"],
        weights,
        rng.normal(size=(steps, inputs)),
        starts[0],
        LOSSES["squared_error"],
        rng.normal(size=(steps, 2)),
        np.ones(steps),
        starts=dict(zip(cell.parts[1:], starts[1:], strict=True)),
    )


def value(node: Node, now: Values, before: Values, own: Mapping[str, Any], sigma: str) -> Any:
    """What an equation's right side is."""

    def of(inner: Node) -> Any:
        return value(inner, now, before, own, sigma)

    if isinstance(node, Number):
        return float(node.text)
    if isinstance(node, Name):
        if node.step is None:
            return own[node.head]
        return (before if node.step.offset else now)[node.head]
    if isinstance(node, Neg):
        return -of(node.operand)
    if isinstance(node, Add):
        return sum(of(term) for term in node.terms)
    if isinstance(node, Mul):
        product = 1.0
        for factor in node.factors:
            product = product * of(factor)
        return product
    if isinstance(node, Div):
        return of(node.top) / of(node.bottom)
    if isinstance(node, Power):
        return of(node.base) ** node.exponent
    if isinstance(node, Transpose):
        return of(node.base).T
    if isinstance(node, Apply):
        return of(node.matrix) @ of(node.operand)
    assert isinstance(node, Call), node
    return FUNCTIONS[sigma if node.function == "σ" else node.function].f(of(node.argument))


def step(problem: Problem, x: Any, state: list[Values]) -> list[Values]:
    """The state of every layer, part by part, one step on."""
    cell, after, below = problem.cell, [], x
    sigma = problem.activation.name if cell.activation is None else "sigmoid"
    for layer, before in zip(problem.layers, state, strict=True):
        now: Values = {"x": below}
        for equation in cell.equations.equations:
            now[equation.name] = value(equation.right, now, before, layer.own, sigma)
        after.append({part: now[part] for part in cell.parts})
        below = now[cell.parts[0]]
    return after


def start_of(problem: Problem) -> list[Values]:
    """s_0 of every layer."""
    return [
        {part: problem.start(i)[layer.parts[i]] for i, part in enumerate(problem.cell.parts)}
        for layer in problem.layers
    ]


def loss(problem: Problem) -> Any:
    """L, a complex number."""
    state, total = start_of(problem), 0.0
    assert problem.targets is not None
    for x, target in zip(problem.x, problem.targets, strict=True):
        state = step(problem, x, state)
        y = problem.weights["W_hy"] @ state[-1][problem.cell.parts[0]] + problem.weights["b_y"]
        total = total + np.sum((target - y) ** 2)
    return total


def _slopes(array: np.ndarray, of: Any) -> np.ndarray:
    """∂ of(array) by every entry."""
    slopes = np.empty(array.shape)
    for index in np.ndindex(array.shape):
        moved = array.astype(complex)
        moved[index] += 1j * STEP
        slopes[index] = of(moved).imag / STEP
    return slopes


def gradients(problem: Problem) -> dict[str, np.ndarray]:
    """∂L/∂ of every parameter, of x, and of every part of s_0."""
    found = {
        f"dL_d{name}": _slopes(
            W,
            lambda moved, name=name: loss(
                replace(problem, weights={**problem.weights, name: moved})
            ),
        )
        for name, W in problem.weights.items()
    }
    found["dL_dx"] = _slopes(problem.x, lambda moved: loss(replace(problem, x=moved)))
    first, *others = problem.cell.parts
    found[f"dL_d{first}_0"] = _slopes(problem.h_0, lambda moved: loss(replace(problem, h_0=moved)))
    for part in others:
        found[f"dL_d{part}_0"] = _slopes(
            problem.starts[part],
            lambda moved, part=part: loss(replace(problem, starts={**problem.starts, part: moved})),
        )
    return found


def jacobians(problem: Problem) -> np.ndarray:
    """∂s_t/∂s_{t−1}, (T, S, S), s all parts of all layers, lowest first."""
    state, found = start_of(problem), []
    for x in problem.x:
        columns = []
        for at, layer in enumerate(state):
            for part, values in layer.items():
                for unit in range(len(values)):
                    moved = [dict(one) for one in state]
                    moved[at][part] = values + 1j * STEP * (np.arange(len(values)) == unit)
                    columns.append(_flat(step(problem, x, moved)).imag / STEP)
        found.append(np.array(columns).T)
        state = step(problem, x, state)
    return np.array(found)


def _flat(state: list[Values]) -> np.ndarray:
    return np.concatenate([values for layer in state for values in layer.values()])
