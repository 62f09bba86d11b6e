"""The end of the chain, P = ∂h_T/∂h_0 = J_T ⋯ J_1, for many scales of one W_hh at once.

Three ways, each for the points that the one before leaves:

- a few columns and rows of P, where few of its directions count (below);
- all rows pushed back from M = 1 (``chains.blocks``). ‖P‖ and the R of P = Q R are those of M for
  P = U M, U with orthonormal columns, so that rows of M are dropped when they no longer count; see
  ``chains.matrix_norms``;
- every entry at its own exponent (``arithmetic.scaled``), where one underflows: blocks that do not
  feed one another.

Error: that of a product whose factors have entries right to rounding, and 5e-11 for the norm.

From a few columns and rows:

    C = P [e_1 … e_k  z_1 … z_r],  [P e_1 … P e_k] = Q R         k + r columns, pushed forward
    M = Qᵀ P                                                     k rows, pushed back

The z_j are drawn from a normal distribution, and ρ = max_j ‖(1 − Q Qᵀ) P z_j‖. What Q does not
reach, X = (1 − Q Qᵀ) P, is below β = ``MARGIN`` · ρ but for a draw that hides it: its leading right
singular vector v has |vᵀ z_j| < 1/MARGIN for every j with a chance below (0.8/MARGIN)ʳ, which is
4e-9. Then, σ₁ being the norm,

    ‖M‖² ≤ ‖P‖² ≤ ‖M‖² + β²            β ≤ ``SMALL`` σ₁: right to SMALL²/2
    |R_ii| of P = Q' R' for i ≤ k are those of R;  for i > k they are at most β

Two chains that share nothing but the factors give Qᵀ P e_j: R, and the first columns of M. Where
they do not agree, the product is worse conditioned than that. Source: Halko, Martinsson, Tropp,
*Finding structure with randomness*, SIAM Review 53 (2011), sections 4.3 and 9.

The largest |R[i, i]| says how much the fastest of the nested volumes grows. Householder's R is
right to rounding relative to the columns that go in. Up to the first i whose R[i, i] is lost in
that the diagonal is right; all later ones are at most the length of their column below the rows so
far. Source: Golub, Van Loan, *Matrix Computations* (2013), section 5.2.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from rnngrad.arithmetic.arrays import Array, quietly
from rnngrad.arithmetic.scaled import LOG10_2, Bands, Scaled, scaled, times
from rnngrad.chains.blocks import Factors, Pushed, Which, plain_factors, pushed
from rnngrad.chains.matrix_norms import ln_largest, without_small_rows

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


COLUMNS, TESTS = 9, 3
"""k, at most, and r."""

SAMPLES = COLUMNS + TESTS

MARGIN, SMALL = 500.0, 1e-5
"""See above: the norm is right to 5e-11."""

AGREE = 1e-7
"""How far the two chains may be apart, relative to ‖P‖."""

LEAST_SIZE, LEAST_STEPS = 3 * SAMPLES, 16
"""Sizes from which on it is worth a try."""


class Sampled(NamedTuple):
    """log10 of ‖P‖₂ and of the largest |R[i, i]| of P = Q R, (n,) each, the second nan where it is
    not certain; what ``sure`` leaves out is not known."""

    norm: Array
    growth: Array
    sure: Which


def sampled_sizes(f: Factors) -> Sampled:
    """Sizes of P at every point for which a few columns will do. To be run within ``quietly()``."""
    steps, n, size = f.rows.shape
    unknown = np.full(n, np.nan)
    none = Sampled(unknown, unknown, np.zeros(n, dtype=np.bool_))
    if size < LEAST_SIZE or steps < LEAST_STEPS:
        return none
    ahead = pushed(f, np.tile(_columns(size), (n, 1, 1)), forward=True)
    columns = np.where(ahead.sure[:, None, None], ahead.block, np.eye(SAMPLES, size))
    Q, R = np.linalg.qr(columns.transpose(0, 2, 1))
    beta = MARGIN * _rest(R)
    enough = beta <= SMALL * _norms(R[:, :, :COLUMNS].transpose(0, 2, 1))[:, np.newaxis]
    sure = ahead.sure & enough[:, COLUMNS]
    if not sure.any():
        return none
    k = max(1, int(np.argmax(enough[sure].all(axis=0))))
    back = pushed(
        f.only(np.flatnonzero(sure)), Q[sure, :, :k].transpose(0, 2, 1).copy(), forward=False
    )
    return _put_together(ahead, back, R, beta[:, COLUMNS], sure)


def _columns(size: int) -> Array:
    """The rows [e_1 … e_k z_1 … z_r]ᵀ."""
    drawn = np.random.default_rng(size).normal(size=(TESTS, size))
    return np.concatenate([np.eye(COLUMNS, size), drawn])


def _rest(R: Array) -> Array:
    """ρ for the first 0 … k columns, (n, k+1), from the R of all columns."""
    squares = R[:, :, COLUMNS:] ** 2
    below = np.cumsum(squares[:, ::-1], axis=1)[:, ::-1]
    rest: Array = np.sqrt(below[:, : COLUMNS + 1].max(axis=2))
    return rest


def _norms(rows: Array) -> Array:
    """σ₁ of (n, r, S)"""
    norms: Array = np.exp(0.5 * ln_largest(rows @ rows.transpose(0, 2, 1)))
    return norms


def _put_together(ahead: Pushed, back: Pushed, R: Array, beta: Array, which: Which) -> Sampled:
    """``which`` points were pushed back."""
    norm, growth, sure = np.full(len(R), np.nan), np.full(len(R), np.nan), which.copy()
    norms, R = _norms(back.block), R[which, :COLUMNS, :COLUMNS]
    shift = ahead.exponents[which] - back.exponents
    ours = np.ldexp(norms, np.clip(-shift, -2000, 2000).astype(np.intc))
    first = np.ldexp(back.block[:, :, :COLUMNS], -shift[:, None, None].astype(np.intc))
    apart = np.abs(first - R[:, : first.shape[1]]).max(axis=(1, 2))
    sure[which] = back.sure & (apart <= AGREE * ours)
    norm[which] = np.log10(norms) + back.exponents * LOG10_2
    largest = largest_diagonals(R, ours, beta[which])
    growth[which] = np.log10(largest) + ahead.exponents[which] * LOG10_2
    return Sampled(norm, growth, sure)


# -------------------------------------------------------------------------- the end of every scale


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
        return np.ascontiguousarray(without_small_rows(M, DROPPED))

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
