"""Sizes of P = J_T ⋯ J_1 from a few columns and rows of it, where few of its directions count.

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
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rnngrad.arithmetic.arrays import Array
from rnngrad.arithmetic.scaled import LOG10_2
from rnngrad.chains.blocks import Factors, Pushed, Which, pushed
from rnngrad.chains.spectral_norms import ln_largest
from rnngrad.chains.triangles import largest_diagonals

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
