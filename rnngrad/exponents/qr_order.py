"""How much of rounding in Q has come to count: whether directions of a QR kept their order.

With Q (1 + E) for Q, E of the size of rounding, one more QR gives to first order

    δ ln R[i, i] = Σ_{k > i} R[i, k] E[k, i] / R[i, i],     E'[k, i] = R[k, k] E[k, i] / R[i, i] + …

So an error stays what it is where the first directions grow most. It grows with each step in which
a later one outgrows an earlier one, and comes to count by R[i, k] / R[i, i].
"""

from __future__ import annotations

import numpy as np

from rnngrad.arithmetic.arrays import Array

TOGETHER = 64
"""QRs that are looked at together."""


class OrderKept:
    """Whether R[i, k] E[k, i] / R[i, i] has stayed below ``limit``, for E = 1 where it began."""

    def __init__(self, size: int, limit: float) -> None:
        self.limit, self.held = limit, True
        self.grown = np.zeros((size, size))  # ln of how much E[k, i] has grown, at [i, k]
        self.waiting: list[Array] = []

    def add(self, R: Array) -> None:
        """The triangle of one more QR, (S, S)."""
        self.waiting.append(R)
        if len(self.waiting) == TOGETHER:
            self.look()

    def look(self) -> bool:
        """Whether it has held so far, with all that were added."""
        if self.waiting and self.held:
            sizes = np.abs(np.array(self.waiting))
            diagonals = np.einsum("nii->ni", sizes).copy()
            grown = outgrown(np.log(diagonals), self.grown)
            before, self.grown = grown[:-1], grown[-1]
            sizes *= np.tri(len(self.grown), k=-1).T
            sizes /= diagonals[:, :, np.newaxis]
            at_most = np.exp(before.max(initial=0.0)) * sizes.max(initial=0.0)
            if not at_most <= self.limit:
                at_most = (np.exp(before) * sizes).max()
            self.held = bool(at_most <= self.limit)
        self.waiting = []
        return self.held


def outgrown(logs: Array, before: Array) -> Array:
    """max(0, Σ (ln R[k, k] − ln R[i, i])) over the stretches that end with each QR, at [i, k] for
    k > i and 0 elsewhere, (n + 1, S, S); from (n, S), going on from ``before``, the first of all.
    """
    sums = np.cumsum(logs, axis=0)
    grown = np.zeros((len(logs) + 1, *before.shape))
    grown[1:] = sums[:, np.newaxis, :] - sums[:, :, np.newaxis]
    lowest = grown.copy()
    lowest[0] -= before
    grown -= np.minimum.accumulate(lowest, axis=0)
    grown *= np.tri(len(before), k=-1).T
    return grown
