"""Norms: λ₁ of many matrices at once, fewer rows for the same norm, and what theory asks of one.

The largest eigenvalue of many positive matrices, by squaring. With G scaled to trace 1 and
q = ‖G‖_F² = Σ λ_i²,

    (1 + √(2q − 1))/2 ≤ λ₁ ≤ √q          (q > ½;  else q ≤ λ₁)

(the lower bound is met where all but λ₁ is one other eigenvalue). G ← G² doubles ln λ₁, so that
after j squarings the logarithm is bracketed 2ʲ times as closely, and the bracket itself closes with
the square of (λ₂/λ₁)^2ʲ. What is not bracketed by then has equal leading eigenvalues and goes to
LAPACK. Source: Wilkinson, *The Algebraic Eigenvalue Problem* (1965), section 9.13.

Fewer rows for the same norm: M = Q R, without the rows of R that no longer count. ‖M X‖ = ‖R X‖ for
any X, and a row of R far below the others is below what rounding leaves in them. But only column by
column: while no column of M is below ``MIXED`` of the largest, what is dropped (``DROPPED`` of the
norm), and the rounding of Q R itself, are small beside what is there in every column, and no later
slopes can bring them to the fore. Where W is reducible, or a unit all but cut off, that fails, and
M is left as it is. Source: Golub, Van Loan, *Matrix Computations* (2013), sections 5.2 and 5.4.
"""

from __future__ import annotations

import numpy as np

from rnngrad.arithmetic.arrays import Array, quietly

CLOSE = 1e-14
"""Width of the bracket of ln λ₁."""

SQUARINGS = 11

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
    for j in range(SQUARINGS):
        q = np.einsum("nij,nij->n", powers, powers)
        upper = 0.5 * np.log(q)
        lower = np.log(np.where(q > 0.5, 0.5 + 0.5 * np.sqrt(np.maximum(2 * q - 1, 0.0)), q))
        done = upper - lower <= CLOSE * 2.0**j
        found[open_ones[done]] += 0.5 * (upper + lower)[done] / 2.0**j
        open_ones, powers, q = open_ones[~done], powers[~done], q[~done]
        if not open_ones.size:
            return found
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


# ---------------------------------------------------------------------------- fewer rows


MIXED, DROPPED = 1e-3, 2.0**-56
"""See above; ``DROPPED`` is relative to the norm of M."""


def without_small_rows(M: Array, dropped: float = DROPPED) -> Array:
    """(n, r, S) -> (n, fewer, S), as few as all n allow; M itself where one forbids it.

    Error: ``dropped``/``MIXED`` of what a column holds.
    """
    if M.shape[1] == 1:
        return M
    columns = np.sqrt(np.einsum("nrs,nrs->ns", M, M))
    if not (columns.min(axis=1) >= MIXED * columns.max(axis=1)).all():
        return M
    R = np.asarray(np.linalg.qr(M, mode="r"), dtype=np.float64)
    squares = np.einsum("nrs,nrs->nr", R, R)
    below = np.sqrt(np.cumsum(squares[:, ::-1], axis=1)[:, ::-1])
    rows = int((below > dropped * below[:, :1]).sum(axis=1).max())
    return R[:, : max(1, rows)]


# ---------------------------------------------------------------------------- of one matrix


def sigma_max(matrix: Array) -> float:
    """‖W‖₂, the largest singular value."""
    return float(np.linalg.svd(matrix, compute_uv=False)[0])


def spectral_radius(matrix: Array) -> float:
    """ρ(W) = max |λ_i(W)|; exactly 0 where a power of W is exactly 0.

    Eigenvalues of a defective matrix are right to the n-th root of rounding only: those of the
    nilpotent [[8, 8], [−8, −8]] come out as 1e-7. Hence the look at its powers first.
    """
    if nilpotent(matrix):
        return 0.0
    return float(np.abs(np.linalg.eigvals(matrix)).max())


def nilpotent(matrix: Array) -> bool:
    """Whether W^S is the zero matrix, S×S, by repeated squaring; scaled by powers of two, so that
    nothing is rounded that need not be. A product that underflowed would not count: each square
    has its largest entry near 1."""
    power, size = matrix, 1
    with quietly():
        while size < len(matrix) and power.any():
            power = np.ldexp(power, -int(np.frexp(np.abs(power).max())[1]))
            power, size = power @ power, 2 * size
    return not power.any()


def eigenvector_condition(matrix: Array) -> float:
    """κ₂(V) of W = V Λ V⁻¹: ρᵗ ≤ ‖Wᵗ‖₂ ≤ κ₂(V) ρᵗ. inf where W has no basis of eigenvectors.

    Source: Trefethen, Embree, *Spectra and Pseudospectra* (2005), section 14.
    """
    with quietly():
        return float(np.linalg.cond(np.linalg.eig(matrix)[1]))
