"""The walks of one gru layer through time, with as few calls a step as NumPy allows.

    r, z = 1/(1 + e⁻ᵃ)    n = tanh(a_n)    h_t = (e n + h_{t−1}) z,  e = e⁻ᵃ of z

for 1 − z = e z, not a difference; and back, with the diagonals of ``core.cells`` beside one another

    [z r' z' n_h n_x] ∘ ∂L/∂h_t = [what is kept, ∂L/∂a_r, ∂L/∂a_z, ∂L/∂q, ∂L/∂a_n]

with q = W_hn h + b_hn. It is right to relative rounding as long as e⁻ᵃ is a float: ``safe`` looks
whether that held. Long walks that forget their start go in chunks (``core.chunks``), the state
being h forward, and what is kept and arrives at the gates backward. Real numbers only.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from rnngrad.arithmetic.arrays import Array
from rnngrad.core.chunk_plans import Costs, Prepare, Recurrence, State, Step
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


def gru_forward(weights: Mapping[str, Array], x: Array, start: Start) -> LayerTrace | None:
    """h (T+1, H), a (T, 3H) and W_hn h + b_hn (T, H) of a layer; None where it is not ``safe``."""
    H, T = len(start.h), len(x)
    sign = signs("gru", H)
    W, W_x, bias = sign[:, np.newaxis] * weights["W_hh"], sign * weights["W_xh"].T, weights["b_hh"]
    outside = sign * weights["b_xh"]
    outside[: 2 * H] -= bias[: 2 * H]
    a, h, inner = np.empty((T, 3 * H)), np.empty((T + 1, H)), np.empty((T, H))
    h[0] = start.h
    for part in blocks(T, BLOCK):
        source = x[part] @ W_x
        source += outside
        states = slice(part.start, part.stop + 1)
        _forward_block(W, bias[2 * H :], source, a[part], h[states], inner[part])
    a *= sign
    values = by_gate(a, "gru") | {"a.n2": inner}
    return LayerTrace(x, {"h": h}, values, {KEYS["gru"]: a}) if safe(values, T, "gru") else None


def _forward_block(W: Array, bias: Array, source: Array, a: Array, h: Array, inner: Array) -> None:
    """All rows from h[0], signs turned; ``source`` is what does not depend on h."""
    done, H = 0, h.shape[1]
    if len(a) >= FEWEST:
        (r_z, n), out = _gates(source), _gates(a)
        start, M_T = (h[0], np.zeros((2, H)), np.zeros(H), np.zeros(H)), W.reshape(3, H, H)
        r = Recurrence(M_T.swapaxes(1, 2), (r_z, n), start, (h[1:], *out, inner),
                       _forward_step(bias), forward_costs(H), carries=True)  # fmt: skip
        done = advance(r)
    if done < len(a):
        a[done:] = source[done:]
        _walk(W, bias, a[done:], h[done:], inner[done:])


def _gates(a: Array) -> tuple[Array, Array]:
    """r and z, (n, 2, H), and n."""
    gates = a.reshape(len(a), 3, -1)
    return gates[:, :2], gates[:, 2]


def _walk(W: Array, bias: Array, a: Array, h: Array, inner: Array) -> None:
    """Fills all rows from h[0]; ``a`` holds what does not depend on h, signs turned."""
    H = h.shape[1]
    dot, add, exp, tanh, multiply = W.dot, np.add, np.exp, np.tanh, np.multiply
    invert, one = np.reciprocal, np.ones(2 * H)
    u, e, s, n = np.empty(3 * H), np.empty(2 * H), np.empty(2 * H), np.empty(H)
    u_rz, u_n, e_z, r, z = u[: 2 * H], u[2 * H :], e[H:], s[:H], s[H:]
    for a_rz, a_n, q, before, after in zip(
        a[:, : 2 * H], a[:, 2 * H :], inner, h, h[1:], strict=False
    ):
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
        add(n, before, n)
        multiply(n, z, after)


def _forward_step(bias: Array) -> Prepare:
    def prepare(p: Array, s: State) -> Step:
        """s = (h, a of r and z, a of n, q), a row for each chunk; p gate by gate."""
        h, a_rz, a_n, q = s
        e, v, n = np.empty_like(p[:2]), np.empty_like(p[:2]), np.empty_like(h)
        gates, rows, p_n, e_z, (r, z), one = (
            a_rz.swapaxes(0, 1), p[:2].swapaxes(0, 1), p[2], e[1], v, np.ones_like(e)
        )  # fmt: skip
        add, multiply, exp, invert, tanh = np.add, np.multiply, np.exp, np.reciprocal, np.tanh

        def step(source_rz: Array, source_n: Array) -> None:
            add(rows, source_rz, a_rz)
            exp(gates, e)
            add(e, one, v)
            invert(v, v)
            add(p_n, bias, q)
            multiply(r, q, n)
            add(n, source_n, a_n)
            tanh(a_n, n)
            multiply(n, e_z, n)
            add(n, h, n)
            multiply(n, z, h)

        return step

    return prepare


def gru_back(trace: LayerTrace, W_hh: Array, direct: Array, last: int) -> Back:
    """From step ``last`` on; ``direct`` (T, H) is what enters at h_t besides."""
    T, H = direct.shape
    h, rows = np.empty((T + 1, H)), np.empty((T + 1, 5 * H))  # kept, at r, z, n of u_h, n of u_x
    h[last:], rows[last:] = 0.0, 0.0
    for end in range(last, 0, -BLOCK):
        part = slice(max(end - BLOCK, 0), end)
        states = slice(part.start, end + 1)
        diagonals = gru_diagonals(trace, part)
        _back_block(W_hh, diagonals, direct[part], h[states], rows[states])
    at_x = np.concatenate([rows[:T, H : 3 * H], rows[:T, 4 * H :]], axis=1)
    at_h = rows[:T, H : 4 * H]
    at = by_gate(at_x, "gru") | {"a.n2": at_h[:, 2 * H :]}
    return Back({"h": h}, at, {KEYS["gru"]: at_x, (*KEYS["gru"][:2], "a.n2"): at_h})


def _back_block(W_hh: Array, diagonals: Array, direct: Array, h: Array, rows: Array) -> None:
    """Steps n … 1 from the last row of h and ``rows``, n + 1 each."""
    n, H = direct.shape
    if n >= FEWEST:
        given = direct[::-1], diagonals[::-1]
        start, parts = (rows[n], np.zeros(H)), (rows[n - 1 :: -1], h[n:0:-1])
        takes, costs = slice(H, 4 * H), back_costs(H)
        done = advance(Recurrence(W_hh, given, start, parts, _back_step, costs, takes, True))
        if done:
            n -= done
            h[n] = rows[n, H : 4 * H].dot(W_hh) + rows[n, :H]
    _walk_back(W_hh, diagonals[:n], direct[:n], h[: n + 1], rows[: n + 1])


def _walk_back(W_hh: Array, diagonals: Array, direct: Array, h: Array, rows: Array) -> None:
    """Step by step."""
    n, H = direct.shape
    dot, add, multiply = W_hh.T.dot, np.add, np.multiply
    row, after = np.empty(H), h[n]
    for direct_t, diagonal, at, kept, gates, before in backwards(
        n, direct, diagonals, rows.reshape(n + 1, 5, H), rows[:, :H], rows[:, H : 4 * H], h
    ):
        add(after, direct_t, row)
        multiply(diagonal, row, at)
        dot(gates, before)
        add(before, kept, before)
        after = before


def _back_step(p: Array, s: State) -> Step:
    """s = (rows, h), a row for each chunk; h as it comes from step t + 1."""
    rows, h = s
    K, H = h.shape
    kept, by_gate, row = rows[:, :H], rows.reshape(K, 5, H), np.empty((K, 1, H))
    flat, add, multiply = row[:, 0], np.add, np.multiply

    def step(direct: Array, diagonal: Array) -> None:
        add(p, kept, h)
        add(h, direct, flat)
        multiply(diagonal, row, by_gate)

    return step


def gru_diagonals(trace: LayerTrace, part: slice) -> Array:
    """[z, (1 − z) n' q r', (h_{t−1} − n) z', (1 − z) n' r, (1 − z) n'] (n, 5, H), the terms, a few
    rows at a time: what lies between stays in the cache."""
    H = trace.h.shape[1]
    a = trace.joined(KEYS["gru"])[part].reshape(-1, 3, H)
    h, inner = trace.h[part], trace.values["a.n2"][part]
    diagonals = np.empty((len(a), 5, H))
    for rows in blocks(len(a), IN_CACHE // max(H, 1) + 1):
        _diagonals(a[rows], h[rows], inner[rows], diagonals[rows])
    return diagonals


def _diagonals(a: Array, h: Array, inner: Array, out: Array) -> None:
    value, slope = values_and_slopes(a, "gru")
    z, towards_r, towards_z, within_n, towards_n = (out[:, k] for k in range(5))
    n = np.tanh(a[:, 2])
    np.multiply(np.subtract(h, n, n), slope[:, 1], towards_z)
    np.divide(slope[:, 1], value[:, 1], towards_n)  # 1 − z
    np.multiply(slope[:, 2], 4.0, n)
    np.multiply(towards_n, n, towards_n)
    np.multiply(towards_n, value[:, 0], within_n)
    np.multiply(towards_n, inner, towards_r)
    np.multiply(towards_r, slope[:, 0], towards_r)
    z[...] = value[:, 1]


def forward_costs(hidden: int) -> Costs:
    """Fitted at 16 … 256 units."""
    size = hidden**2
    return Costs(3.4 + size / 3000, 5.5 + size / 3000, hidden / 80 + size / 10000)


def back_costs(hidden: int) -> Costs:
    """Fitted at 16 … 256 units."""
    size = hidden**2
    return Costs(2.0 + size / 4000, 3.3 + size / 4000, hidden / 100 + size / 10000)
