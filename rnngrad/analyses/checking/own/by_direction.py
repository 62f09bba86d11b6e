"""∂L/∂ of one array along directions, from L alone: what holds whatever lies in between."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from rnngrad.analyses.checking.comparing.rounding_noise import EPS, Conditioning
from rnngrad.analyses.checking.comparing.tolerance import Compared, judged
from rnngrad.analyses.checking.comparing.verdicts import Checked
from rnngrad.analyses.checking.references.methods import Method
from rnngrad.analyses.checking.references.random_signs import signs
from rnngrad.analyses.derivation.quantities import Quantity
from rnngrad.arithmetic.arrays import Array, Numbers
from rnngrad.net.dense import behind
from rnngrad.net.problem import Dense, Problem

FEW = 4
"""An array of no more entries is moved entry by entry; others along so many directions, the largest
entry by itself and all of them by ±1."""

OF_DENSE = {"x": "x", "W_in": "W", "b_in": "b"}
"""The arrays of a dense layer before the recurrent one, by their names in results."""


def by_direction(
    record: Quantity, gradient: Array, losses: Callable[[Numbers], Numbers], method: Method,
    conditioning: Conditioning, limit: float,
) -> Checked:  # fmt: skip
    """The verdict on ``gradient``; ``losses(change)`` are L_t with the array moved by that."""
    flat = np.asarray(gradient).ravel()
    directions = np.eye(flat.size)
    if flat.size > FEW:
        directions = signs((FEW, flat.size), 7)
        directions[0] = np.eye(1, flat.size, int(np.argmax(np.abs(flat))))

    def along(direction: Array) -> Callable[[complex], Numbers]:
        shaped = direction.reshape(np.shape(gradient))
        return lambda step: np.atleast_1d(np.add.reduce(losses(step * shaped)))

    found = [method.local(along(direction)) for direction in directions]
    size = float(np.sqrt(((directions * flat) ** 2).sum(axis=1)).max(initial=0.0))
    compared = Compared(
        record.name,
        f"{method.title} of the whole",
        (directions @ flat)[:, np.newaxis],
        np.array([one.value for one in found]),
        np.array([one.error for one in found]),
        np.full(len(directions), size),
        lambda row, column: (),
        axes=1,
    )

    def noise() -> Array:
        own = conditioning.noise(record.compute).ravel() / EPS
        return np.asarray(np.abs(directions) @ own)

    return judged(compared, limit, noise)


def with_dense_moved(problem: Problem, of: str, change: Numbers) -> Problem:
    """The problem with an array of its dense layer moved."""
    dense: Dense | None = problem.dense
    assert dense is not None
    field = OF_DENSE[of]
    moved = dense._replace(**{field: getattr(dense, field) + change})
    return behind(replace(problem, dense=None), moved)
