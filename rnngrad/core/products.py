"""The end of the chain, P = ∂h_T/∂h_0 = J_T ⋯ J_1, for many scales of one W_hh at once.

With W_hh = c_i W every point has J_t = diag(c_i σ'(a_t)) W: one step of all points is one product

    [M_1; M_2; …] ← [M_1 ∘ c_1 σ'(a_t)¹; M_2 ∘ c_2 σ'(a_t)²; …] · W        (n·r, S) · (S, S)

from M = 1, in plain floats with one exponent a point. ‖P‖ and the R of P = Q R are those of M for
P = U M, U with orthonormal columns, so that rows of M are dropped when they no longer count; see
``core.compression``. All that is right as long as no entry underflows: entries stay within
2⁻²⁰⁰ of the largest of their point, which is looked at before every ``TOGETHER`` steps whose slopes
are above ``STEEP`` (a sum of terms is no smaller than the rounding of its terms, or an exact 0),
else every step. Points where one does (blocks that do not feed one another) are done again entry by
entry, see ``core.scaled``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from rnngrad.core.arrays import Array, Integers, quietly
from rnngrad.core.compression import compressed
from rnngrad.core.scaled import LOG10_2, Scaled, bands, scaled, times
from rnngrad.core.spectral_norms import ln_largest

NARROW = 2.0**-600
"""Entries of a product closer together than this underflow nowhere in one step."""

NEAR = 2.0**-200
"""The same for ``TOGETHER`` steps."""

FAR = 64
"""Bits that the largest entry may be away from 1 before the exponent is taken out."""

TOGETHER, STEEP = 4, 2.0**-60
"""Steps between two looks, where no slope and no entry of W is smaller than that."""

APART = 16
"""Steps between two compressions."""

DROPPED = 1e-13
"""Rows smaller than that, relative to ‖P‖, are dropped: 1e-10 of what a column holds."""

SURE = 1e-6
"""R[i, i] above this, relative to ‖P‖, is right to 1e-8."""

LARGEST_PLAIN = 2.0**100
"""With a W_hh beyond it, or below its inverse, products of plain floats are not tried."""

Which = np.ndarray[tuple[int], np.dtype[np.bool_]]


class ChainEnds(NamedTuple):
    """log10 of sizes of P = ∂h_T/∂h_0, (n,) each; −inf for an exact zero, nan for undefined.

    ``norm`` is σ₁; ``growth`` the largest |R[i, i]| of P = Q R, nan also where that is not certain.
    """

    norm: Array
    growth: Array


def chain_ends(W: Array, slopes: Sequence[Scaled], factors: Array) -> ChainEnds:
    """Sizes of P for W_hh = factors[i] · W and the slopes σ'(a_t)ⁱ, (T, S) each, same T.

    Error: that of a product whose factors have entries right to rounding.
    """
    with quietly():
        points = _Points(W, slopes, factors)
        sure = points.run()
        norm, growth = np.full((2, len(slopes)), np.nan)
        if sure.any():
            exponents = points.exponents[sure] * LOG10_2
            sizes = _sizes(points.M[sure])
            norm[sure], growth[sure] = (np.log10(size) + exponents for size in sizes)
        for i in (int(i) for i in np.flatnonzero(~sure)):
            norm[i], growth[i] = _exactly(slopes[i], factors[i] * W)
        return ChainEnds(norm, growth)


def products(slopes: Scaled, W: Array) -> Iterator[Scaled]:
    """∂h_T/∂h_k for k = T, T−1 … 0, each (S, S), entry by entry. To be run within ``quietly()``."""
    rows, matrix = scaled(np.eye(len(W))), bands(W)
    yield rows
    for t in range(len(slopes.mantissa) - 1, -1, -1):
        rows = times(rows * slopes[t], matrix)
        yield rows


def _exactly(slopes: Scaled, W: Array) -> tuple[float, float]:
    """Both sizes of one point, entry by entry."""
    *_, product = products(slopes, W)
    values, exponent = product.aligned(axis=(0, 1))
    return sizes_of(values, int(exponent))


def sizes_of(values: Array, exponent: int) -> tuple[float, float]:
    """``norm`` and ``growth`` of one P = values · 2^exponent, (S, S)."""
    if not np.isfinite(values).all():
        return np.nan, np.nan
    if not values.any():
        return -np.inf, -np.inf
    norm, growth = _sizes(values[np.newaxis])
    shift = exponent * LOG10_2
    return float(np.log10(norm[0])) + shift, float(np.log10(growth[0])) + shift


class _Points:
    """M_i · 2^exponent_i, (n, r, S) and (n,), from the last step to the first."""

    def __init__(self, W: Array, slopes: Sequence[Scaled], factors: Array) -> None:
        top = np.array([np.maximum(s.exponent.max(axis=1), -(2**50)) for s in slopes])
        self.rows = np.stack(
            [
                _times_2(s.mantissa, s.exponent - e[:, None])
                for s, e in zip(slopes, top, strict=True)
            ]
        )
        self.steep = self.rows.min(axis=(0, 2)) > STEEP
        self.rows *= factors[:, None, None]
        n, self.steps, size = self.rows.shape
        sizes = np.abs(W)
        self.steep &= bool(sizes.min() > STEEP and np.abs(factors).min() > STEEP)
        plain = 1 / LARGEST_PLAIN < sizes.min() <= sizes.max() < LARGEST_PLAIN
        self.sure: Which = np.full(n, plain) & (np.abs(factors) < LARGEST_PLAIN) & (factors != 0)
        self.W, self.exponents = np.ascontiguousarray(W), top.sum(axis=1)
        self.M = np.broadcast_to(np.eye(size), (n, size, size)).copy()
        self.scaled = np.empty_like(self.M)

    def run(self) -> Which:
        """All steps; which points are sure to be right."""
        t, compressed_at = self.steps, self.steps
        near = False
        while t > 0 and self.sure.any():
            count = TOGETHER if near and self.steep[max(t - TOGETHER, 0) : t].all() else 1
            count = min(count, t)
            for row in self.rows[:, t - count : t][:, ::-1].transpose(1, 0, 2):
                self._step(row)
            t -= count
            near = self._looked_at()
            if near and compressed_at - t >= APART:
                self.M, compressed_at = np.ascontiguousarray(compressed(self.M, DROPPED)), t
                self.scaled = np.empty_like(self.M)
        return self.sure

    def _step(self, row: Array) -> None:
        np.multiply(self.M, row[:, None, :], out=self.scaled)
        flat = (-1, len(self.W))
        np.dot(self.scaled.reshape(flat), self.W, out=self.M.reshape(flat))

    def _looked_at(self) -> bool:
        """Take the exponents out; give up points that lost an entry. Whether all are ``NEAR``."""
        sizes = np.abs(self.M).reshape(len(self.M), -1)
        largest, least = sizes.max(axis=1), sizes.min(axis=1)
        self.sure &= np.isfinite(largest) & (least > NARROW * largest)
        shift = np.where(self.sure, np.frexp(largest)[1], 0)
        if np.abs(shift).max(initial=0) > FAR:
            self.M = np.ldexp(self.M, -shift[:, None, None])
            self.exponents = self.exponents + shift
        return bool((least > NEAR * largest)[self.sure].all() and self.sure.all())


def _times_2(mantissa: Array, exponent: Integers) -> Array:
    return np.ldexp(mantissa, np.maximum(exponent, -2000).astype(np.intc))


def _sizes(M: Array) -> tuple[Array, Array]:
    """σ₁ and the largest |R[i, i]| of (n, r, S), nan where that could be another's.

    Up to the first i whose R[i, i] is lost in rounding they are right; all later ones are at most
    the length of their column below the rows so far.
    """
    norms: Array = np.exp(0.5 * ln_largest(M @ M.transpose(0, 2, 1)))
    R = np.asarray(np.linalg.qr(M, mode="r"), dtype=np.float64)
    diagonals: Array = np.abs(np.einsum("nii->ni", R[:, :, : R.shape[1]]))
    leading = np.logical_and.accumulate(diagonals > SURE * norms[:, None], axis=1).sum(axis=1)
    growth = np.full(len(M), np.nan)
    for i, (r, m) in enumerate(zip(R, leading, strict=True)):
        best = diagonals[i, :m].max(initial=0.0)
        if best > np.sqrt(np.sum(r[m:, m:] ** 2, axis=0)).max(initial=0.0):
            growth[i] = best
    return norms, growth
