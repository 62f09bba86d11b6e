"""The largest eigenvalue of many positive matrices at once, by squaring.

With G scaled to trace 1 and q = ‖G‖_F² = Σ λ_i²,

    (1 + √(2q − 1))/2 ≤ λ₁ ≤ √q          (q > ½;  else q ≤ λ₁)

(the lower bound is met where all but λ₁ is one other eigenvalue). G ← G² doubles ln λ₁, so that
after j squarings the logarithm is bracketed 2ʲ times as closely, and the bracket itself closes with
the square of (λ₂/λ₁)^2ʲ. What is not bracketed by then has equal leading eigenvalues and goes to
LAPACK. Source: Wilkinson, *The Algebraic Eigenvalue Problem* (1965), section 9.13.
"""

from __future__ import annotations

import numpy as np

from rnngrad.arithmetic.arrays import Array

CLOSE = 1e-14
"""Width of the bracket of ln λ₁."""

SQUARINGS = 10

LARGE = 64
"""Sizes from which on LAPACK is faster."""


def ln_largest(G: Array) -> Array:
    """ln λ₁ of every symmetric positive semidefinite matrix but 0, (n, q, q) -> (n,)."""
    trace = np.einsum("nii->n", G)
    found = _ln(trace)
    if G.shape[1] == 1:
        return found
    if G.shape[1] == 2:
        return _ln(_larger_of_two(G))
    if G.shape[1] >= LARGE:
        return found + _ln(np.linalg.eigvalsh(G / trace[:, None, None])[:, -1])
    open_ones = np.arange(len(G))
    powers = G / trace[:, None, None]
    for j in range(SQUARINGS + 1):
        q = np.einsum("nij,nij->n", powers, powers)
        upper = 0.5 * np.log(q)
        lower = np.log(np.where(q > 0.5, 0.5 + 0.5 * np.sqrt(np.maximum(2 * q - 1, 0.0)), q))
        done = upper - lower <= CLOSE * 2.0**j
        found[open_ones[done]] += 0.5 * (upper + lower)[done] / 2.0**j
        open_ones, powers, q = open_ones[~done], powers[~done], q[~done]
        if not open_ones.size:
            return found
        if j < SQUARINGS:
            powers = powers @ powers
            powers /= q[:, None, None]
            found[open_ones] += np.log(q) / 2.0 ** (j + 1)
    found[open_ones] = np.log(np.linalg.eigvalsh(G[open_ones])[:, -1])
    return found


def _larger_of_two(G: Array) -> Array:
    """λ₁ of (n, 2, 2): half the trace and half the distance of the eigenvalues."""
    a, b, c = G[:, 0, 0], G[:, 0, 1], G[:, 1, 1]
    larger: Array = 0.5 * (a + c + np.hypot(a - c, 2 * b))
    return larger


def _ln(values: Array) -> Array:
    ln: Array = np.log(values)
    return ln
