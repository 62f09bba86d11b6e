"""log10 ‖J_T J_{T−1} ⋯ J_{k+1}‖₂ for every k, J_t = diag(σ'(a_t)) W, without an SVD a step.

    P_T = 1,   P_{t−1} = (P_t ∘ σ'(a_t)) W          ‖P‖ = ‖M‖ for P = U M, Uᵀ U = 1

So only M is kept, in plain floats with one exponent, and now and then M = Q R drops the rows of R
that no longer count: soon there are few, and in the end one. What is looked at on the way:

- no entry of M falls below 2⁻⁶⁰⁰ of the largest (an exact zero does): nothing has underflowed;
- rows are dropped only while every column of M is well above rounding (``chains.matrix_norms``);
  where W is reducible, or a unit all but cut off, every row stays;
- no step shrinks M by more than ``CANCELLED``, as an exact zero of the product would.

Else the product is done again entry by entry (``chains.whole_product``). Error: that of a product
whose factors have entries right to rounding. Sources: the exponents of graded products are Stewart,
*On graded QR decompositions of products of matrices* (1994).
"""

from __future__ import annotations

import numpy as np

from rnngrad.arithmetic.arrays import Array, Integers
from rnngrad.arithmetic.scaled import LOG10_2, Scaled, log10_spectral_norms, scaled
from rnngrad.chains.blocks import NARROW
from rnngrad.chains.matrix_norms import ln_largest, without_small_rows
from rnngrad.chains.whole_product import products
from rnngrad.progress import reported

TOGETHER = 2**21
"""Numbers held back for one batched SVD (16 MiB)."""

BLOCKS = ((2, 64), (20, 32))
"""(rows, steps): how many steps M of so many rows at most goes without a factorisation."""

BLOCK = 16
"""The same for more rows."""

FAR = 2.0**200
"""How far the largest entry of M may go within a block."""

NEGLIGIBLE = 1e-15
"""Rows whose squares sum to less than this of ‖M‖² change log10 ‖M‖ by less than 1e-15."""

CANCELLED = 1e-7
"""A step that leaves less than this of ‖M‖·‖J‖ may be an exact zero."""


def log10_norms(slopes: Scaled | Array, W: Array) -> Array:
    """(T+1,): entry k for J_T ⋯ J_{k+1}; entry T is 0, −inf only for an exact zero, nan undefined.

    ``slopes`` are σ'(a_t), (T, S), plain floats only where every one of them is right to rounding.
    To be run within ``quietly()``.
    """
    fast = Chain(W).extend(slopes)
    if fast is not None:
        return np.append(fast, 0.0)
    return exact_log10_norms(slopes if isinstance(slopes, Scaled) else scaled(slopes), W)


def _ordinary(slopes: Scaled | Array, W: Array) -> bool:
    """Whether plain floats are worth a try; one unit, or a zero W, is done exactly."""
    values = slopes.mantissa if isinstance(slopes, Scaled) else slopes
    defined = np.isfinite(W).all() and np.isfinite(values).all()
    return bool(len(W) > 1 and W.any() and defined and values[-1].any())


def exact_log10_norms(slopes: Scaled, W: Array) -> Array:
    """The same, every entry at its own exponent and an SVD a step: T·S³ time."""
    count, size = len(slopes.mantissa) + 1, len(W)
    batch = max(1, min(count, TOGETHER // size**2))
    values, exponents = np.empty((batch, size, size)), np.empty(batch, dtype=np.int64)
    found, filled = np.empty(count), 0
    matrices = reported(products(slopes, W), count, "log10_chain, entry by entry")
    for k, matrix in zip(range(count - 1, -1, -1), matrices, strict=True):
        values[filled], exponents[filled] = matrix.aligned(axis=(0, 1))
        filled += 1
        if filled == batch or k == 0:
            part = log10_spectral_norms(values[:filled], exponents[:filled])
            found[k : k + filled], filled = part[::-1], 0
    return found


class Chain:
    """M · 2^exponent after the steps so far, from T down; more are put in segment by segment. To be
    used within ``quietly()``."""

    def __init__(self, W: Array) -> None:
        self.given = W
        self.exponent_of_W = int(np.frexp(np.abs(W).max())[1])
        self.W = np.ldexp(W, -self.exponent_of_W)
        self.shrink = CANCELLED * float(np.linalg.norm(self.W)) / len(W)
        self.M, self.exponent, self.begun = np.eye(len(W)), 0, False

    def extend(self, slopes: Scaled | Array) -> Array | None:
        """The norms before each of these steps, (n,), which come before those so far; None where
        plain floats will not do, and then for good."""
        if not _ordinary(slopes, self.given):
            return None
        if isinstance(slopes, Scaled):
            last = slopes.mantissa[-1]
            self.tops: Integers = np.maximum(slopes.exponent.max(axis=1), -(2**50))
        else:
            last, self.tops = slopes[-1], np.zeros(len(slopes), dtype=np.int64)
        if not self.begun:  # the rows of P that are not 0 from the first product on
            self.M, self.begun = self.M[last != 0], True
        self.slopes, self.t, self.found = slopes, len(self.tops), np.zeros(len(self.tops))
        return self._norms()

    def _norms(self) -> Array | None:
        while self.t > 0:
            steps = next((steps for rows, steps in BLOCKS if len(self.M) <= rows), BLOCK)
            steps = min(steps, self.t)
            while (taken := self._block(steps)) is None:
                if steps == 1:
                    return None
                steps = max(1, steps // 4)
            self._keep(taken)
            self.M = without_small_rows(self.M[np.newaxis])[0]
        return self.found

    def _block(self, steps: int) -> Array | None:
        """M after each of so many more steps, (steps, r, S); None where an entry was lost."""
        span = slice(self.t - steps, self.t)
        rows = self._rows(span)[::-1]
        taken = np.empty((steps, *self.M.shape))
        scaled, M, multiply, dot = np.empty_like(self.M), self.M, np.multiply, np.dot
        for row, after in zip(rows, taken, strict=True):
            multiply(M, row, scaled)
            dot(scaled, self.W, after)
            M = after
        return taken if self._whole(taken, rows) else None

    def _rows(self, span: slice) -> Array:
        """The slopes of some steps, with ``tops`` taken out."""
        if not isinstance(self.slopes, Scaled):
            return self.slopes[span]
        by = np.maximum(self.slopes.exponent[span] - self.tops[span, None], -2000)
        rows: Array = np.ldexp(self.slopes.mantissa[span], by.astype(np.intc))
        return rows

    def _whole(self, taken: Array, rows: Array) -> bool:
        """Whether no entry was lost and no step cancelled."""
        sizes = np.abs(taken).reshape(len(taken), -1)
        largest, least = sizes.max(axis=1), sizes.min(axis=1)
        if not (least > NARROW * largest).all():
            return False
        if not (largest.min() > 1 / FAR and largest.max() < FAR):
            return False
        before = np.concatenate(([np.abs(self.M).max()], largest[:-1]))
        if (largest > self.shrink * before).all():  # slopes are 1 at most
            return True
        put_in = np.concatenate((self.M[np.newaxis], taken[:-1])) * rows[:, np.newaxis, :]
        return bool((largest > self.shrink * np.abs(put_in).max(axis=(1, 2))).all())

    def _keep(self, taken: Array) -> None:
        """The norms of a block, and its last M with the exponent taken out."""
        span = slice(self.t - len(taken), self.t)
        exponents = self.exponent + np.cumsum(self.tops[span][::-1] + self.exponent_of_W)
        logs = ln_largest(_leading_grams(taken)) / (2 * np.log(10.0))
        self.found[span] = (logs + exponents * LOG10_2)[::-1]
        self.t, shift = span.start, int(np.frexp(np.abs(taken[-1]).max())[1])
        self.M, self.exponent = np.ldexp(taken[-1], -shift), int(exponents[-1]) + shift


def _leading_grams(taken: Array) -> Array:
    """M Mᵀ for each M of (n, r, S), without the last rows that are too small to change ‖M‖."""
    squares = np.einsum("nrs,nrs->nr", taken, taken)
    below = np.cumsum(squares[:, ::-1], axis=1)[:, ::-1]
    rows = int((below > NEGLIGIBLE * squares.max(axis=1, keepdims=True)).sum(axis=1).max())
    leading = taken[:, : max(rows, 1)]
    return np.asarray(leading @ leading.transpose(0, 2, 1))
