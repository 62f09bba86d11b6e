"""The walks of one gru or lstm layer through time, with as few calls a step as NumPy allows.

A step of lstm in one row of a buffer, so that each line is one call on neighbours:

    [i f o g c']    i, f, o = 1/(1 + e⁻ᵃ)    g = tanh a    [i f] ∘ [g c'] = [i g, f c']

and back, with the diagonals of ``core.cells`` beside one another:

    [f i' f' g'] ∘ ∂L/∂c = [∂L/∂c_{t−1}, ∂L/∂a_i, ∂L/∂a_f, ∂L/∂a_g]

1/(1 + e⁻ᵃ) is right to relative rounding at either end as long as e⁻ᵃ is a float, and 1 − z is
e⁻ᵃ z, not a difference: ``safe`` looks whether that held. Where it did not, the caller goes step by
step through ``Cell.advance``. Real numbers only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from rnngrad.core.activations import tanh_slope
from rnngrad.core.arrays import Array, Integers
from rnngrad.core.cells import CELLS, Cell, LayerTrace

LARGEST = 700.0
"""e to it is a float, and so is a sum of two."""


class Start(NamedTuple):
    """Where a layer begins: h_0 (H,), c_0 (H,) or None."""

    h: Array
    c: Array | None


class Back(NamedTuple):
    """A layer's backward walk: ∂L/∂h_t and ∂L/∂c_t as they come from step t + 1, (T+1, H), and
    ∂L/∂u_x, ∂L/∂u_h, (T, G·H)."""

    h: Array
    c: Array | None
    at_x: Array
    at_h: Array


def safe(a: Array, cell: str) -> bool:
    """Whether e⁻ᵃ of every sigmoid is a float, and all else finite; ``a`` (T, G·H) as in traces."""
    gates = a.reshape(len(a), len(SIGMOIDS[cell]), a.shape[1] // len(SIGMOIDS[cell]))
    gates = gates[:, SIGMOIDS[cell]]
    return bool(np.isfinite(a).all() and (gates > -LARGEST).all())


SIGMOIDS: Mapping[str, list[bool]] = MappingProxyType(
    {"lstm": [True, True, False, True], "gru": [True, True, False]}
)
"""cell -> which gates are sigmoids."""


# ---------------------------------------------------------------------------- lstm


def lstm_forward(weights: Mapping[str, Array], x: Array, start: Start) -> LayerTrace | None:
    """h (T+1, H), c (T+1, H) and a (T, 4H) of a layer; None where it is not ``safe``."""
    H, T = len(start.h), len(x)
    order = _columns(H, (0, 1, 3, 2))  # i f o g: the sigmoids side by side
    sign = np.repeat([-1.0, -1.0, -1.0, 1.0], H)
    W = sign[:, np.newaxis] * weights["W_hh"][order]
    a = x @ (sign * weights["W_xh"][order].T) + sign * weights["b_h"][order]
    h, c = np.empty((T + 1, H)), np.empty((T + 1, H))
    h[0], c[0] = start.h, 0.0 if start.c is None else start.c
    _lstm_walk(W, a, h, c)
    a *= sign
    a = a[:, order]
    return LayerTrace(x, a, h, c, None) if safe(a, "lstm") else None


def _lstm_walk(W: Array, a: Array, h: Array, c: Array) -> None:
    """Fills all rows from the first; ``a`` holds what does not depend on h, signs turned."""
    H = h.shape[1]
    dot, add, exp, tanh, multiply = W.dot, np.add, np.exp, np.tanh, np.multiply
    invert, one, u, p, tanh_c = np.reciprocal, np.ones(3 * H), *map(np.empty, (4 * H, 2 * H, H))
    row = np.empty(5 * H)
    s, i_f, o, g = row[: 3 * H], row[: 2 * H], row[2 * H : 3 * H], row[3 * H : 4 * H]
    g_c, c_now, first, second, before = row[3 * H :], row[4 * H :], p[:H], p[H:], h[0]
    c_now[...] = c[0]
    rows = zip(a, a[:, : 3 * H], a[:, 3 * H :], c[1:], h[1:], strict=True)
    for a_t, gates, a_g, c_t, h_t in rows:
        dot(before, u)
        add(a_t, u, a_t)
        exp(gates, s)
        add(s, one, s)
        invert(s, s)
        tanh(a_g, g)
        multiply(i_f, g_c, p)
        add(first, second, c_now)
        tanh(c_now, tanh_c)
        multiply(o, tanh_c, h_t)
        c_t[...] = c_now
        before = h_t


def lstm_back(trace: LayerTrace, W_hh: Array, direct: Array, last: int) -> Back:
    """From step ``last`` on; ``direct`` (T, H) is what enters at h_t besides."""
    T, H = direct.shape
    diagonals, h_of_c, o = _lstm_diagonals(trace)
    h, rows = np.zeros((T + 1, H)), np.zeros((T, 5, H))  # ∂L/∂c_{t−1}, then at i, f, g, o
    flat = rows.reshape(T, 5 * H)
    dot, add, multiply = W_hh.T.dot, np.add, np.multiply
    row_h, row_c, after, from_c = np.empty(H), np.empty(H), h[last], np.zeros(H)
    for direct_t, h_of_c_t, diagonal, o_t, at_c, at_o, gates, c, before in _backwards(
        last, direct, h_of_c, diagonals, o, rows[:, :4], rows[:, 4], flat[:, H:], rows[:, 0], h
    ):
        add(after, direct_t, row_h)
        multiply(row_h, h_of_c_t, row_c)
        add(row_c, from_c, row_c)
        multiply(diagonal, row_c, at_c)
        multiply(row_h, o_t, at_o)
        dot(gates, before)
        after, from_c = before, c
    return Back(h, np.concatenate([rows[:, 0], np.zeros((1, H))]), flat[:, H:], flat[:, H:])


def _backwards(last: int, *arrays: Array) -> Iterator[tuple[Array, ...]]:
    """The rows of step ``last``, ``last`` − 1 … 1 of every array, side by side."""
    if not last:
        return iter(())
    return zip(*(array[last - 1 :: -1] for array in arrays), strict=False)


def _lstm_diagonals(trace: LayerTrace) -> tuple[Array, Array, Array]:
    """[f, i' g, f' c_{t−1}, i g'] (T, 4, H), o (1 − tanh²c) and o' tanh(c), (T, H): the terms.
    σ' = e⁻ᵃ σ²."""
    assert trace.c is not None
    T, H = len(trace.a), trace.h.shape[1]
    a = trace.a.reshape(T, 4, H)
    e = np.exp(-a)
    value = 1.0 / (1.0 + e)
    slope = e * value
    slope *= value
    diagonals = np.empty((T, 4, H))
    diagonals[:, 0] = value[:, 1]
    np.multiply(slope[:, 0], np.tanh(a[:, 2]), diagonals[:, 1])
    np.multiply(slope[:, 1], trace.c[:-1], diagonals[:, 2])
    np.multiply(value[:, 0], tanh_slope(a[:, 2]), diagonals[:, 3])
    c = trace.c[1:]
    return diagonals, value[:, 3] * tanh_slope(c), slope[:, 3] * np.tanh(c)


# ---------------------------------------------------------------------------- gru


def gru_forward(weights: Mapping[str, Array], x: Array, start: Start) -> LayerTrace | None:
    """h (T+1, H), a (T, 3H) and W_hn h + b_hn (T, H) of a layer; None where it is not ``safe``."""
    H, T = len(start.h), len(x)
    sign = np.repeat([-1.0, -1.0, 1.0], H)
    W, bias = sign[:, np.newaxis] * weights["W_hh"], weights["b_hh"]
    a = x @ (sign * weights["W_xh"].T) + sign * weights["b_xh"]
    a[:, : 2 * H] -= bias[: 2 * H]
    h, inner = np.empty((T + 1, H)), np.empty((T, H))
    h[0] = start.h
    _gru_walk(W, bias[2 * H :], a, h, inner)
    a *= sign
    return LayerTrace(x, a, h, None, inner) if safe(a, "gru") else None


def _gru_walk(W: Array, bias: Array, a: Array, h: Array, inner: Array) -> None:
    """Fills all rows from h[0]; ``a`` holds what does not depend on h, signs turned."""
    H = h.shape[1]
    dot, add, exp, tanh, multiply = W.dot, np.add, np.exp, np.tanh, np.multiply
    invert, one = np.reciprocal, np.ones(2 * H)
    u, e, s, n, kept = np.empty(3 * H), np.empty(2 * H), np.empty(2 * H), np.empty(H), np.empty(H)
    u_rz, u_n, e_z, r, z = u[: 2 * H], u[2 * H :], e[H:], s[:H], s[H:]
    steps = zip(a[:, : 2 * H], a[:, 2 * H :], inner, h, h[1:], strict=False)
    for a_rz, a_n, q, before, after in steps:
        dot(before, u)
        add(a_rz, u_rz, a_rz)
        exp(a_rz, e)
        add(e, one, s)
        invert(s, s)
        add(u_n, bias, q)
        multiply(r, q, n)
        add(a_n, n, a_n)
        tanh(a_n, n)
        multiply(n, e_z, n)
        multiply(z, before, kept)
        multiply(n, z, n)
        add(n, kept, after)


def gru_back(trace: LayerTrace, W_hh: Array, direct: Array, last: int) -> Back:
    """From step ``last`` on; ``direct`` (T, H) is what enters at h_t besides."""
    T, H = direct.shape
    h, rows = np.zeros((T + 1, H)), np.zeros((T, 5, H))  # what is kept, at r, z, n of u_h, n of u_x
    flat = rows.reshape(T, 5 * H)
    dot, add, multiply = W_hh.T.dot, np.add, np.multiply
    row, after = np.empty(H), h[last]
    for direct_t, diagonal, at, kept, gates, before in _backwards(
        last, direct, _gru_diagonals(trace), rows, rows[:, 0], flat[:, H : 4 * H], h
    ):
        add(after, direct_t, row)
        multiply(diagonal, row, at)
        dot(gates, before)
        add(before, kept, before)
        after = before
    at_x = np.concatenate([flat[:, H : 3 * H], rows[:, 4]], axis=1)
    return Back(h, None, at_x, flat[:, H : 4 * H])


def _gru_diagonals(trace: LayerTrace) -> Array:
    """[z, (1 − z) n' q r', (h_{t−1} − n) z', (1 − z) n' r, (1 − z) n'], (T, 5, H), the terms,
    with q = W_hn h + b_hn."""
    assert trace.inner is not None
    T, H = len(trace.a), trace.h.shape[1]
    a = trace.a.reshape(T, 3, H)
    e = np.exp(-a[:, :2])
    value = 1.0 / (1.0 + e)
    slope = e * value
    diagonals, kept = np.empty((T, 5, H)), slope[:, 1].copy()  # 1 − z = e⁻ᵃ z
    slope *= value
    diagonals[:, 0] = value[:, 1]
    np.multiply(kept, tanh_slope(a[:, 2]), diagonals[:, 4])
    np.multiply(diagonals[:, 4], value[:, 0], diagonals[:, 3])
    np.multiply(trace.h[:-1] - np.tanh(a[:, 2]), slope[:, 1], diagonals[:, 2])
    np.multiply(diagonals[:, 4] * trace.inner, slope[:, 0], diagonals[:, 1])
    return diagonals


def _columns(H: int, gates: tuple[int, ...]) -> Integers:
    """Where the rows of these gates stand, one gate after the other."""
    return np.concatenate([np.arange(g * H, (g + 1) * H) for g in gates])


class Walks(NamedTuple):
    """Both walks of a cell."""

    forward: Callable[[Mapping[str, Array], Array, Start], LayerTrace | None]
    back: Callable[[LayerTrace, Array, Array, int], Back]


WALKS: Mapping[str, Walks] = MappingProxyType(
    {"lstm": Walks(lstm_forward, lstm_back), "gru": Walks(gru_forward, gru_back)}
)
"""name of a cell -> its walks; a cell that is not here goes step by step."""


def walks_of(cell: Cell) -> Walks | None:
    """The walks of a cell; None for one of another name, or of other equations under that name."""
    return WALKS.get(cell.name) if cell is CELLS.get(cell.name) else None
