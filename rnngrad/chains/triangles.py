"""The largest |R[i, i]| of P = Q R: how much the fastest of the nested volumes grows.

Householder's R is right to rounding relative to the columns that go in. Up to the first i whose
R[i, i] is lost in that the diagonal is right; all later ones are at most the length of their column
below the rows so far. Source: Golub, Van Loan, *Matrix Computations* (2013), section 5.2.
"""

from __future__ import annotations

import numpy as np

from rnngrad.arithmetic.arrays import Array

SURE = 1e-6
"""R[i, i] above this, relative to ‖P‖, is right to 1e-8."""


def largest_diagonals(R: Array, norms: Array, beyond: Array | float = 0.0) -> Array:
    """Of (n, r, S) with r ≤ S and ‖P‖, (n,); nan where it could be another's. ``beyond``: what the
    diagonal is at most after these r rows."""
    diagonals = np.abs(np.einsum("nii->ni", R[:, :, : R.shape[1]]))
    leading = np.logical_and.accumulate(diagonals > SURE * norms[:, np.newaxis], axis=1).sum(axis=1)
    found = np.full(len(R), np.nan)
    limits = np.broadcast_to(beyond, len(R))
    for i, (r, m, limit) in enumerate(zip(R, leading, limits, strict=True)):
        best = diagonals[i, :m].max(initial=0.0)
        if best > max(np.sqrt(np.sum(r[m:, m:] ** 2, axis=0)).max(initial=0.0), limit):
            found[i] = best
    return found
