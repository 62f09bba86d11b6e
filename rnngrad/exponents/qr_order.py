"""How much of rounding in Q has come to count: whether directions of a QR kept their order.

With Q (1 + E) for Q, E of the size of rounding, one more QR gives to first order

    δ ln R[i, i] = Σ_{k > i} R[i, k] E[k, i] / R[i, i],     E'[k, i] = R[k, k] E[k, i] / R[i, i] + …

So an error stays what it is where the first directions grow most. It grows with each step in which
a later one outgrows an earlier one, and comes to count by R[i, k] / R[i, i].
"""

from __future__ import annotations

import numpy as np

from rnngrad.arithmetic.arrays import Array

TOGETHER, IN_CACHE = 64, 2**16
"""QRs that are looked at together, at most, and the numbers of their triangles."""


class OrderKept:
    """Whether R[i, k] E[k, i] / R[i, i] has stayed below ``limit``, for E = 1 where it began."""

    def __init__(self, size: int, limit: float) -> None:
        self.limit, self.held = limit, True
        self.above = np.tri(size, k=-1).T
        self.least = np.where(self.above, 0.0, -np.inf)
        self.grown = self.least.copy()  # ln of how much E[k, i] has grown, at [i, k] for k > i
        self.waiting: list[Array] = []

    def add(self, R: Array) -> None:
        """The triangle of one more QR, (S, S)."""
        self.waiting.append(R)
        if len(self.waiting) >= min(TOGETHER, IN_CACHE // R.size):
            self.look()

    def look(self) -> bool:
        """Whether it has held so far, with all that were added."""
        if self.waiting and self.held:
            sizes = np.abs(np.array(self.waiting))
            diagonals = np.einsum("nii->ni", sizes).copy()
            sizes *= self.above
            sizes /= diagonals[:, :, np.newaxis]
            self.held = all(map(self._holds, sizes, sizes.max(axis=(1, 2)), np.log(diagonals)))
        self.waiting = []
        return self.held

    def _holds(self, ratios: Array, largest: float, logs: Array) -> bool:
        """One QR: |R[i, k]| / R[i, i], their largest, and ln R[i, i]. max(0, Σ (ln R[k, k] −
        ln R[i, i])) over the stretches that end with it is what E has grown by."""
        at_most = np.exp(self.grown.max(initial=0.0)) * largest
        if not at_most <= self.limit:
            at_most = (np.exp(self.grown) * ratios).max(initial=0.0)
        self.grown += logs - logs[:, np.newaxis]
        np.maximum(self.grown, self.least, out=self.grown)
        return bool(at_most <= self.limit)
