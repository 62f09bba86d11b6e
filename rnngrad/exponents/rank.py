"""Which directions are alive after so many steps whatever the numbers: the rank of a product."""

from __future__ import annotations

import math
from itertools import count

import numpy as np

from rnngrad.arithmetic.arrays import Array, Integers
from rnngrad.arithmetic.kinds import FLOATS
from rnngrad.exponents.volumes import scattered
from rnngrad.net.linear import LinearNet, stacked_matrix

NOTHING = 1e-9
"""What is left, relatively, of a column of scattered numbers that depends on others."""


def by_structure(net: LinearNet) -> list[Integers]:
    """The columns of Q_0 = 1 that are not in the span of those before them after 1, 2, … steps,
    whatever the numbers; more steps than the last entry's change nothing.

    Scattered numbers stand for terms and matrices: no others have a product of higher rank.
    h_t = tanh(c_t) has no more directions than c_t, and what no step reads none. After each step
    the columns are made orthonormal in their order, so that one step alone decides which is dead,
    and no product of many that is badly conditioned.
    """
    steps, calls = sum(len(one.cell.parts) for one in net.layers), count()

    def wild(*shape: int) -> Array:
        return scattered(math.prod(shape), next(calls)).reshape(shape)

    layers = tuple(
        one._replace(
            terms=tuple(1.0 + 0.5 * wild(steps, *term[0].shape) for term in one.terms),
            forth=tuple(
                wild(*stacked_matrix(one.layer.own, group).T.shape) for group in one.cell.groups
            ),
        )
        for one in net.layers
    )
    generic = net._replace(layers=layers, kind=FLOATS)
    rows, alive, found = np.eye(net.size), np.arange(net.size), []
    for t in range(1, steps + 1):
        among, rows = _not_in_the_span(generic.push(rows, t))
        alive = alive[among]
        found.append(alive)
    return found


def _not_in_the_span(rows: Array) -> tuple[Integers, Array]:
    """The rows that are independent of those before them, and an orthonormal basis of their span,
    by Gram and Schmidt, twice; at once where all of them are."""
    if len(rows) <= rows.shape[1]:
        Q, R = np.linalg.qr(rows.T)
        if (np.abs(np.diagonal(R)) > NOTHING * np.linalg.norm(rows, axis=1)).all():
            return np.arange(len(rows)), Q.T
    basis, found = np.empty_like(rows), list[int]()
    for j, row in enumerate(rows):
        done = basis[: len(found)]
        rest = row - (row @ done.T) @ done
        rest = rest - (rest @ done.T) @ done
        size = np.linalg.norm(rest)
        if size > NOTHING * np.linalg.norm(row):
            basis[len(found)] = rest / size
            found.append(j)
    return np.array(found, dtype=np.int64), basis[: len(found)]
