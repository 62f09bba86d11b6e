"""The end of the chain, P = ∂h_T/∂h_0 = J_T ⋯ J_1, for many scales of one W_hh at once.

Three ways, each for the points that the one before leaves:

- a few columns and rows of P, where few of its directions count (``chains.sampled_ends``);
- all rows pushed back from M = 1 (``chains.blocks``). ‖P‖ and the R of P = Q R are those of M for
  P = U M, U with orthonormal columns, so that rows of M are dropped when they no longer count; see
  ``chains.compression``;
- every entry at its own exponent (``arithmetic.scaled``), where one underflows: blocks that do not
  feed one another.

Error: that of a product whose factors have entries right to rounding, and 5e-11 for the norm.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from rnngrad.arithmetic.arrays import Array, quietly
from rnngrad.arithmetic.scaled import LOG10_2, Bands, Scaled, scaled, times
from rnngrad.chains.blocks import Factors, plain_factors, pushed
from rnngrad.chains.compression import compressed
from rnngrad.chains.sampled_ends import SAMPLES, Sampled, sampled_sizes
from rnngrad.chains.spectral_norms import ln_largest
from rnngrad.chains.triangles import largest_diagonals

IN_CACHE = 2**17
"""Numbers of the points that are advanced together (1 MiB)."""

APART = 16
"""Steps between two compressions."""

DROPPED = 1e-13
"""Rows smaller than that, relative to ‖P‖, are dropped: 1e-10 of what a column holds."""


class ChainEnds(NamedTuple):
    """log10 of sizes of P = ∂h_T/∂h_0, (n,) each; −inf for an exact zero, nan for undefined.

    ``norm`` is σ₁; ``growth`` the largest |R[i, i]| of P = Q R, nan also where that is not certain.
    """

    norm: Array
    growth: Array


def chain_ends(W: Array, slopes: Sequence[Scaled | Array], factors: Array) -> ChainEnds:
    """Sizes of P for W_hh = factors[i] · W and the slopes σ'(a_t)ⁱ, (T, S) each, same T; plain
    floats only where every one of them is right to rounding."""
    with quietly():
        f = plain_factors(W, slopes, factors)
        found = ChainEnds(*np.full((2, len(slopes)), np.nan))
        left = np.arange(len(slopes))
        for sizes, rows in ((sampled_sizes, SAMPLES), (_of_all_rows, len(W))):
            at_once = max(1, IN_CACHE // (rows * len(W)))
            for part in (left[i : i + at_once] for i in range(0, len(left), at_once)):
                norm, growth, sure = sizes(f.only(part))
                found.norm[part[sure]], found.growth[part[sure]] = norm[sure], growth[sure]
            left = np.flatnonzero(np.isnan(found.norm))
        for i in map(int, left):
            found.norm[i], found.growth[i] = _exactly(slopes[i], factors[i] * W)
        return found


def products(slopes: Scaled, W: Array) -> Iterator[Scaled]:
    """∂h_T/∂h_k for k = T, T−1 … 0, each (S, S), entry by entry. To be run within ``quietly()``."""
    rows, matrix = scaled(np.eye(len(W))), Bands(W)
    yield rows
    for t in range(len(slopes.mantissa) - 1, -1, -1):
        rows = times(rows * slopes[t], matrix)
        yield rows


def _exactly(slopes: Scaled | Array, W: Array) -> tuple[float, float]:
    """Both sizes of one point, entry by entry."""
    exact = slopes if isinstance(slopes, Scaled) else scaled(slopes)
    *_, product = products(exact, W)
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


def _of_all_rows(f: Factors) -> Sampled:
    """From M = 1; points that lost an entry are not ``sure``."""
    compressed_at = 0

    def fewer(M: Array, done: int) -> Array:
        nonlocal compressed_at
        if done - compressed_at < APART:
            return M
        compressed_at = done
        return np.ascontiguousarray(compressed(M, DROPPED))

    _, n, size = f.rows.shape
    end = pushed(f, np.tile(np.eye(size), (n, 1, 1)), forward=False, fewer=fewer)
    norm, growth = np.full((2, n), np.nan)
    exponents = end.exponents[end.sure] * LOG10_2
    norm[end.sure], growth[end.sure] = (
        np.log10(size) + exponents for size in _sizes(end.block[end.sure])
    )
    return Sampled(norm, growth, end.sure)


def _sizes(M: Array) -> tuple[Array, Array]:
    """σ₁ and the largest |R[i, i]| of (n, r, S), nan where that could be another's."""
    norms: Array = np.exp(0.5 * ln_largest(M @ M.transpose(0, 2, 1)))
    R = np.asarray(np.linalg.qr(M, mode="r"), dtype=np.float64)
    return norms, largest_diagonals(R, norms)
