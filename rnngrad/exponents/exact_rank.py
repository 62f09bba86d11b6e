"""Is a matrix of floats exactly singular? Rounding cannot say; arithmetic modulo a prime can.

A float is m·2^e with integer m, so a matrix of floats has an image modulo any odd prime p, and its
rank there is at most its true rank. It is less only if p divides every minor of full rank, which
for two primes near 2³¹ is a matter of one matrix in 10¹⁸.
"""

from __future__ import annotations

import numpy as np

from rnngrad.arithmetic.arrays import Array, Integers

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
