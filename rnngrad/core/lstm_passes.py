"""The walks of one lstm layer through time, with as few calls a step as NumPy allows.

A step in one row of a buffer, so that each line is one call on neighbours:

    [i f · o g c']    i, f, o = 1/(1 + e⁻ᵃ)    g = tanh a    [i f] ∘ [g c'] = [i g, f c']

(e⁻ᵃ is taken of g's place too and not used) and back, with the diagonals of ``core.cells`` beside
one another:

    [f i' f' g'] ∘ ∂L/∂c = [∂L/∂c_{t−1}, ∂L/∂a_i, ∂L/∂a_f, ∂L/∂a_g]

1/(1 + e⁻ᵃ) is right to relative rounding at either end as long as e⁻ᵃ is a float: ``safe`` looks
whether that held. Long walks that forget their start go in chunks (``core.chunks``), the state
being [h, c] forward, and what arrives at c and the gates backward. Real numbers only.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from rnngrad.arithmetic.arrays import Array
from rnngrad.core.chunk_plans import Costs, Recurrence, State, Step
from rnngrad.core.chunks import advance
from rnngrad.core.gated_records import (
    BLOCK,
    FEWEST,
    IN_CACHE,
    KEYS,
    Start,
    backwards,
    blocks,
    by_gate,
    safe,
    signs,
    values_and_slopes,
)
from rnngrad.core.traces import Back, LayerTrace


def lstm_forward(weights: Mapping[str, Array], x: Array, start: Start) -> LayerTrace | None:
    """h (T+1, H), c (T+1, H) and a (T, 4H) of a layer; None where it is not ``safe``."""
    H, T = len(start.h), len(x)
    sign = signs("lstm", H)
    W, W_x, bias = sign[:, np.newaxis] * weights["W_hh"], sign * weights["W_xh"].T, weights["b_h"]
    a, h, c = np.empty((T, 4 * H)), np.empty((T + 1, H)), np.empty((T + 1, H))
    h[0], c[0] = start.h, 0.0 if start.c is None else start.c
    for part in blocks(T, BLOCK):
        source = x[part] @ W_x
        source += sign * bias
        states = slice(part.start, part.stop + 1)
        _forward_block(W, source, a[part], h[states], c[states])
    a *= sign
    values = by_gate(a, "lstm")
    return LayerTrace(x, {"h": h, "c": c}, values, {KEYS["lstm"]: a}) if safe(values, T, "lstm") else None


def _forward_block(W: Array, source: Array, a: Array, h: Array, c: Array) -> None:
    """All rows from the first of h and c, signs turned; ``source`` is what does not depend on h."""
    done, H = 0, h.shape[1]
    if len(a) >= FEWEST:
        given, parts = (source.reshape(-1, 4, H),), (h[1:], c[1:], a.reshape(-1, 4, H))
        start, M_T = (h[0], c[0], np.zeros((4, H))), W.reshape(4, H, H).swapaxes(1, 2)
        costs = forward_costs(H)
        done = advance(Recurrence(M_T, given, start, parts, _forward_step, costs, carries=True))
    if done < len(a):
        a[done:] = source[done:]
        _walk(W, a[done:], h[done:], c[done:])


def _walk(W: Array, a: Array, h: Array, c: Array) -> None:
    """Fills all rows from the first; ``a`` holds what does not depend on h, signs turned."""
    H = h.shape[1]
    dot, add, exp, tanh, multiply = W.dot, np.add, np.exp, np.tanh, np.multiply
    invert, one, u, p, tanh_c = np.reciprocal, np.ones(4 * H), *map(np.empty, (4 * H, 2 * H, H))
    row = np.empty(6 * H)
    s, i_f, o, g = row[: 4 * H], row[: 2 * H], row[3 * H : 4 * H], row[4 * H : 5 * H]
    g_c, c_now, first, second, before = row[4 * H :], row[5 * H :], p[:H], p[H:], h[0]
    c_now[...] = c[0]
    for a_t, a_g, c_t, h_t in zip(a, a[:, 2 * H : 3 * H], c[1:], h[1:], strict=True):
        dot(before, u)
        add(a_t, u, a_t)
        exp(a_t, s)
        add(s, one, s)
        invert(s, s)
        tanh(a_g, g)
        multiply(i_f, g_c, p)
        add(first, second, c_now)
        tanh(c_now, tanh_c)
        multiply(o, tanh_c, h_t)
        c_t[...] = c_now
        before = h_t


def _forward_step(p: Array, s: State) -> Step:
    """s = (h, c, a), a row for each chunk; p gate by gate."""
    h, c, a = s
    gates, rows = a.swapaxes(0, 1), p.swapaxes(0, 1)
    v = np.empty_like(p)
    (i, f, g, o), a_g, one = v, gates[2], np.ones_like(p)
    add, multiply, exp, invert, tanh = np.add, np.multiply, np.exp, np.reciprocal, np.tanh

    def step(source: Array) -> None:
        add(rows, source, a)
        exp(gates, v)
        add(v, one, v)
        invert(v, v)
        tanh(a_g, g)
        multiply(f, c, c)
        multiply(i, g, g)
        add(c, g, c)
        tanh(c, g)
        multiply(o, g, h)

    return step


def lstm_back(trace: LayerTrace, W_hh: Array, direct: Array, last: int) -> Back:
    """From step ``last`` on; ``direct`` (T, H) is what enters at h_t besides."""
    T, H = direct.shape
    h, rows = np.empty((T + 1, H)), np.empty((T + 1, 5 * H))  # ∂L/∂c_{t−1}, then at i, f, g, o
    h[last:], rows[last:] = 0.0, 0.0
    for end in range(last, 0, -BLOCK):
        part = slice(max(end - BLOCK, 0), end)
        states = slice(part.start, end + 1)
        diagonals = lstm_diagonals(trace, part)
        _back_block(W_hh, diagonals, direct[part], h[states], rows[states])
    at = rows[:T, H:]
    return Back({"h": h, "c": rows[:, :H]}, by_gate(at, "lstm"), {KEYS["lstm"]: at})


def _back_block(W_hh: Array, diagonals: Array, direct: Array, h: Array, rows: Array) -> None:
    """Steps n … 1 from the last row of h and ``rows``, n + 1 each."""
    n, H = direct.shape
    if n >= FEWEST:
        given = direct[::-1], diagonals[::-1, :4], diagonals[::-1, 4], diagonals[::-1, 5]
        start, parts = (rows[n], np.zeros(H)), (rows[n - 1 :: -1], h[n:0:-1])
        takes, costs = slice(H, 5 * H), back_costs(H)
        done = advance(Recurrence(W_hh, given, start, parts, _back_step, costs, takes, True))
        if done:
            n -= done
            h[n] = rows[n, H:].dot(W_hh)
    _walk_back(W_hh, diagonals[:n], direct[:n], h[: n + 1], rows[: n + 1])


def _walk_back(W_hh: Array, diagonals: Array, direct: Array, h: Array, rows: Array) -> None:
    """Step by step."""
    n, H = direct.shape
    by_gate = rows.reshape(n + 1, 5, H)
    dot, add, multiply = W_hh.T.dot, np.add, np.multiply
    row_h, row_c, after, from_c = np.empty(H), np.empty(H), h[n], rows[n, :H]
    for direct_t, diagonal, o, h_of_c, at_c, at_o, gates, c, before in backwards(
        n, direct, diagonals[:, :4], diagonals[:, 4], diagonals[:, 5],
        by_gate[:, :4], by_gate[:, 4], rows[:, H:], rows[:, :H], h,
    ):  # fmt: skip
        add(after, direct_t, row_h)
        multiply(row_h, h_of_c, row_c)
        add(row_c, from_c, row_c)
        multiply(diagonal, row_c, at_c)
        multiply(row_h, o, at_o)
        dot(gates, before)
        after, from_c = before, c


def _back_step(p: Array, s: State) -> Step:
    """s = (rows, h), a row for each chunk; h as it comes from step t + 1."""
    rows, h = s
    K, H = h.shape
    by_gate = rows.reshape(K, 5, H)
    c, at_c, at_o = by_gate[:, 0], by_gate[:, :4], by_gate[:, 4]
    row_h, row_c = np.empty((K, H)), np.empty((K, 1, H))
    flat, add, multiply = row_c[:, 0], np.add, np.multiply

    def step(direct: Array, diagonal: Array, o: Array, h_of_c: Array) -> None:
        h[...] = p
        add(p, direct, row_h)
        multiply(row_h, h_of_c, flat)
        add(flat, c, flat)
        multiply(diagonal, row_c, at_c)
        multiply(row_h, o, at_o)

    return step


def lstm_diagonals(trace: LayerTrace, part: slice) -> Array:
    """[f, i' g, f' c_{t−1}, i g', o' tanh(c), o (1 − tanh²c)] (n, 6, H), the terms, a few rows at a
    time: what lies between stays in the cache."""
    c, H = trace.states["c"][part.start : part.stop + 1], trace.h.shape[1]
    a = trace.joined(KEYS["lstm"])[part].reshape(-1, 4, H)
    diagonals = np.empty((len(a), 6, H))
    for rows in blocks(len(a), IN_CACHE // max(H, 1) + 1):
        _diagonals(a[rows], c[rows.start : rows.stop + 1], diagonals[rows])
    return diagonals


def _diagonals(a: Array, c: Array, out: Array) -> None:
    value, slope = values_and_slopes(a, "lstm")
    tanh_c, e = np.tanh(c[1:]), np.abs(c[1:])
    np.multiply(slope[:, 3], tanh_c, out[:, 4])
    np.multiply(slope[:, 0], np.tanh(a[:, 2], tanh_c), out[:, 1])
    np.multiply(slope[:, 1], c[:-1], out[:, 2])
    np.multiply(value[:, 0], slope[:, 2], out[:, 3])
    np.multiply(out[:, 3], 4.0, out[:, 3])
    out[:, 0] = value[:, 1]
    np.exp(np.multiply(e, -2.0, e), e)  # tanh'(c) = 4e/(1 + e)², e = e^{−2|c|}
    beside = e + 1.0
    np.multiply(beside, beside, beside)
    np.multiply(e, 4.0, e)
    np.multiply(value[:, 3], np.divide(e, beside, e), out[:, 5])


def forward_costs(hidden: int) -> Costs:
    """Fitted at 16 … 256 units."""
    size = hidden**2
    return Costs(3.0 + size / 2500, 5.5 + size / 3000, hidden / 70 + size / 7500)


def back_costs(hidden: int) -> Costs:
    """Fitted at 16 … 256 units."""
    size = hidden**2
    return Costs(2.7 + size / 2400, 5.0 + size / 3000, hidden / 85 + size / 8000)
