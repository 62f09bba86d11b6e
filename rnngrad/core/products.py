"""The end of the chain, P = ∂h_T/∂h_0 = J_T ⋯ J_1, for many scales of one W_hh at once.

With W_hh = c_i W every point has J_t = diag(c_i σ'(a_t)) W: one step of all points is one product

    [P_1; P_2; …] ← [P_1 ∘ c_1 σ'(a_t)¹; P_2 ∘ c_2 σ'(a_t)²; …] · W        (n·S, S) · (S, S)

in plain floats with one exponent a point. That is right as long as no entry of a P_i falls below
2⁻⁶⁰⁰ of its largest, which is looked at every step; a point where one does (an exact zero, blocks
that do not feed one another) is done again entry by entry, see ``core.scaled``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from rnngrad.core.arrays import Array, Integers, quietly
from rnngrad.core.scaled import LOG10_2, Scaled, bands, log10_lengths, scaled, times

NARROW = 2.0**-600
"""Entries of a product closer together than this underflow nowhere; see ``_advance``."""

FAR = 200
"""Bits that the largest entry may be away from 1 before the exponent is taken out."""

LARGEST_PLAIN = 2.0**100
"""With a W_hh beyond it, or below its inverse, products of plain floats are not tried."""


class ChainEnds(NamedTuple):
    """log10 of sizes of P = ∂h_T/∂h_0, (n,) each; −inf for an exact zero, nan for undefined.

    ``norm`` is σ₁, ``second`` σ₂ (or 1e-14 σ₁ where that is larger: a bound), ``first_column`` the
    length of P e₁.
    """

    norm: Array
    second: Array
    first_column: Array


def chain_ends(W: Array, slopes: Sequence[Scaled], factors: Array) -> ChainEnds:
    """Sizes of P for W_hh = factors[i] · W and the slopes σ'(a_t)ⁱ, (T, S) each, same T.

    Error: that of a product whose factors have entries right to rounding.
    """
    with quietly():
        values, exponents, sure = _plain_products(W, slopes, factors)
        for i in (int(i) for i in np.flatnonzero(~sure)):
            *_, product = products(slopes[i], factors[i] * W)
            aligned, exponent = product.aligned(axis=(0, 1))
            values[i], exponents[i] = aligned, exponent
        return _sizes(values, exponents)


def products(slopes: Scaled, W: Array) -> Iterator[Scaled]:
    """∂h_T/∂h_k for k = T, T−1 … 0, each (S, S), entry by entry. To be run within ``quietly()``."""
    rows, matrix = scaled(np.eye(len(W))), bands(W)
    yield rows
    for t in range(len(slopes.mantissa) - 1, -1, -1):
        rows = times(rows * slopes[t], matrix)
        yield rows


def _plain_products(
    W: Array, slopes: Sequence[Scaled], factors: Array
) -> tuple[Array, Integers, np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    """P_i · 2^−exponent_i, (n, S, S); the exponents (n,); where that is sure to be right, (n,)."""
    n, size = len(slopes), len(W)
    steps = len(slopes[0].mantissa)
    top = np.array([np.maximum(s.exponent.max(axis=1), -(2**50)) for s in slopes])
    rows = np.stack(
        [_times_2(s.mantissa, s.exponent - e[:, None]) for s, e in zip(slopes, top, strict=True)]
    )
    rows *= factors[:, None, None]
    exponents: Integers = top.sum(axis=1)
    values = np.broadcast_to(np.eye(size), (n, size, size)).copy()
    sizes = np.abs(W[W != 0])
    plain = sizes.size == W.size and 1 / LARGEST_PLAIN < sizes.min() <= sizes.max() < LARGEST_PLAIN
    sure = np.full(n, plain) & (np.abs(factors) < LARGEST_PLAIN) & (factors != 0)
    for t in range(steps - 1, -1, -1):
        if not sure.any():
            break
        values, exponents, narrow = _advance(values, exponents, rows[:, t], W)
        sure &= narrow
    return values, exponents, sure


def _advance(
    values: Array, exponents: Integers, row: Array, W: Array
) -> tuple[Array, Integers, np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    """One step of every point, and which of them are still sure.

    A term that underflows is below 2⁻¹⁰⁷⁴⁺²⁰⁰⁺¹⁰⁰; entries stay above 2⁻⁶⁰⁰⁻²⁰⁰.
    """
    n, size, _ = values.shape
    values = ((values * row[:, None, :]).reshape(n * size, size) @ W).reshape(n, size, size)
    entries = np.abs(values)
    largest, least = entries.max(axis=(1, 2)), entries.min(axis=(1, 2))
    narrow = np.isfinite(largest) & (least > NARROW * largest)
    shift = np.where(narrow, np.frexp(largest)[1], 0).astype(np.int64)
    if np.abs(shift).max(initial=0) > FAR:
        values = np.ldexp(values, -shift[:, None, None].astype(np.intc))
        exponents = exponents + shift
    return values, exponents, narrow


def _times_2(mantissa: Array, exponent: Integers) -> Array:
    return np.ldexp(mantissa, np.maximum(exponent, -2000).astype(np.intc))


def _sizes(values: Array, exponents: Integers) -> ChainEnds:
    """From plain matrices with their exponents, (n, S, S) and (n,)."""
    finite = np.isfinite(values).all(axis=(1, 2))
    largest, second = np.full((2, len(values)), np.nan)
    if finite.any():
        sigmas = np.linalg.svd(values[finite], compute_uv=False)
        largest[finite] = sigmas[:, 0]
        second[finite] = np.maximum(sigmas[:, min(1, sigmas.shape[1] - 1)], 1e-14 * sigmas[:, 0])
        if sigmas.shape[1] == 1:
            second[finite] = 0.0
    columns = np.array([float(log10_lengths(scaled(v[None, :, 0]))[0]) for v in values])
    shift = np.where(largest == 0, 0, exponents) * LOG10_2
    return ChainEnds(np.log10(largest) + shift, np.log10(second) + shift, columns + shift)
