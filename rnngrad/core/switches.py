"""How much of rounding in Q has come to count: whether directions of a QR kept their order.

With Q (1 + E) for Q, E of the size of rounding, one more QR gives to first order

    δ ln R[i, i] = Σ_{k > i} R[i, k] E[k, i] / R[i, i],     E'[k, i] = R[k, k] E[k, i] / R[i, i] + …

So an error stays what it is where the first directions grow most. It grows with each step in which
a later one outgrows an earlier one, and comes to count by R[i, k] / R[i, i].
"""

from __future__ import annotations

import numpy as np

from rnngrad.core.arrays import Array


class Switches:
    """``worst``: the largest R[i, k] E[k, i] / R[i, i] so far, for E = 1 where it began."""

    def __init__(self, size: int) -> None:
        self.grown, self.worst = np.tri(size, k=-1).T, 0.0
        self.later = self.grown.copy()

    def add(self, R: Array) -> None:
        """The triangle of one more QR, (S, S)."""
        sizes = np.abs(R)
        diagonal = sizes.diagonal().copy()
        sizes *= self.grown
        sizes /= diagonal[:, np.newaxis]
        self.worst = max(self.worst, float(sizes.max(initial=0.0)))
        self.grown *= diagonal
        self.grown /= diagonal[:, np.newaxis]
        np.maximum(self.grown, self.later, out=self.grown)
