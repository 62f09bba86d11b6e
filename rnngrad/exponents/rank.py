"""Ranks that rounding cannot say: of a product of many steps, and of one matrix of floats.

Of a product: which directions are alive after so many steps whatever the numbers are. Of a matrix:
whether it is exactly singular, by arithmetic modulo a prime. A float is m·2^e with integer m, so a
matrix of floats has an image modulo any odd prime p, and its rank there is at most its true rank.
It is less only if p divides every minor of full rank, which for two primes near 2³¹ is a matter of
one matrix in 10¹⁸.
"""

from __future__ import annotations

import math
from itertools import count

import numpy as np

from rnngrad.arithmetic.arrays import Array, Integers
from rnngrad.arithmetic.number_types import FLOATS
from rnngrad.exponents.elimination import pseudo_random
from rnngrad.net.linearised import LinearNet, stacked_matrix

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

    def random_numbers(*shape: int) -> Array:
        return pseudo_random(math.prod(shape), next(calls)).reshape(shape)

    layers = tuple(
        one._replace(
            terms=tuple(1.0 + 0.5 * random_numbers(steps, *term[0].shape) for term in one.terms),
            forth=tuple(
                random_numbers(*stacked_matrix(one.layer.own, group).T.shape)
                for group in one.cell.groups
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


# -------------------------------------------------------------------------- of one matrix, exactly


PRIMES = (2147483629, 2147483587)
"""Below 2³¹, so that products fit into 63 bits; 2 is of high order modulo both."""


def exact_rank(matrix: Array) -> int:
    """The rank of a finite matrix as if in exact arithmetic; O(n³)."""
    if not matrix.any():
        return 0
    return max(_rank_modulo(_residues(matrix, p), p) for p in PRIMES)


def _residues(matrix: Array, p: int) -> Integers:
    """Each entry m·2^e modulo p; 1/2 is (p + 1)/2 there."""
    fraction, exponent = np.frexp(matrix)
    whole = np.ldexp(fraction, 53).astype(np.int64) % p
    powers = {int(e): pow(2, int(e) - 53, p) for e in np.unique(exponent)}
    factors = np.array([powers[int(e)] for e in exponent.ravel()], dtype=np.int64)
    residues: Integers = whole * factors.reshape(exponent.shape) % p
    return residues


def _rank_modulo(rows: Integers, p: int) -> int:
    """Gaussian elimination over the field of p elements."""
    rank = 0
    for j in range(rows.shape[1]):
        nonzero = np.flatnonzero(rows[rank:, j])
        if not nonzero.size:
            continue
        pivot = rank + int(nonzero[0])
        rows[[rank, pivot]] = rows[[pivot, rank]]
        rows[rank] = rows[rank] * pow(int(rows[rank, j]), -1, p) % p
        below = rows[rank + 1 :]
        below -= below[:, j : j + 1] * rows[rank] % p
        below %= p
        rank += 1
        if rank == len(rows):
            break
    return rank
