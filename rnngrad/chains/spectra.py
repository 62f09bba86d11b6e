"""The two sizes of W_hh that theory speaks of: spectral radius and largest singular value."""

from __future__ import annotations

import numpy as np

from rnngrad.arithmetic.arrays import Array, quietly


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
