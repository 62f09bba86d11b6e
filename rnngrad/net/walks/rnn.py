"""The two walks of one rnn layer through few steps, with as few calls as NumPy allows.

    forward     a_t = W_hh h_{t−1} + W_xh x_t + b_h                     h_t = σ(a_t)
    backward    ∂L/∂h_{t−1} = ∂L/∂a_t W_hh + ∂L_{t−1}/∂h_{t−1}          ∂L/∂a_t = σ'(a_t) ∘ ∂L/∂h_t

A walk is a product and a function a step: [h; x; 1] lie in one row, and [W_hh W_xh b_h] times it
is a_t; likewise backward, where the direct term is itself a product. Where the inputs are many,
they are one product ahead of the loop. Walks of ``forward_walk.FEWEST`` steps and more are made
from the equations as all others are. Real numbers only.

Error: each row satisfies its equation to the rounding of one product, as in a plain loop.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from rnngrad.arithmetic.arrays import Array
from rnngrad.arithmetic.evaluation import SMALLEST_SURE, scaled_slope
from rnngrad.arithmetic.functions import Activation
from rnngrad.arithmetic.scaled import Scaled

InPlace = Callable[[Array, Array], object]
"""f(a, h): h ← σ(a)"""

BLOCK = 256
"""Steps whose [h; x; 1] are laid out together."""

IN_CACHE = 2**13
"""Numbers taken together where several functions follow one another."""

SHORT = 32
"""Steps below which laying out costs more than it saves."""

WIDE = 3000
"""Entries that W_hh may be extended by before a product of its own is cheaper."""


def _sigmoid(a: Array, h: Array) -> None:
    """1/(1 + e⁻ᵃ): nothing cancels, so it is right to relative rounding for either sign."""
    np.negative(a, h)
    np.exp(h, h)
    np.add(h, 1.0, h)
    np.divide(1.0, h, h)


def _relu(a: Array, h: Array) -> None:
    np.maximum(a, 0.0, out=h)


def _softplus(a: Array, h: Array) -> None:
    """ln(e⁰ + eᵃ)"""
    np.logaddexp(0.0, a, h)


IN_PLACE: Mapping[str, InPlace] = MappingProxyType({
    "tanh": np.tanh,
    "sigmoid": _sigmoid,
    "relu": _relu,
    "identity": np.positive,
    "softplus": _softplus,
})  # fmt: skip
"""name -> the activation written into a given row; one that is not here works all the same."""


def _in_place(activation: Activation) -> InPlace:
    known = IN_PLACE.get(activation.name)
    if known is not None:
        return known

    def f(a: Array, h: Array) -> None:
        h[...] = activation.f(a)

    return f


def run_forward(
    W_xh: Array, W_hh: Array, b_h: Array, x: Array, h_0: Array, activation: Activation
) -> tuple[Array, Array]:
    """a (T, H) and h (T+1, H), h[0] = h_0. To be run within ``quietly()``."""
    f, steps = _in_place(activation), len(x)
    h = np.empty((steps + 1, len(h_0)))
    h[0] = h_0
    if steps < SHORT:
        a = x.dot(W_xh.T)
        np.add(a, b_h, a)
        _walk(W_hh, a, h, f)
        return a, h
    if W_xh.size <= WIDE:
        a, wide = np.empty((steps, len(h_0))), _padded((W_hh, W_xh, b_h[:, np.newaxis]))
        for first in range(0, steps, BLOCK):
            part = slice(first, first + BLOCK)
            _walk_side_by_side(wide, x[part], a[part], h[first : first + BLOCK + 1], f)
    else:
        a = x @ W_xh.T + b_h
        _walk(W_hh, a, h, f)
    return a, h


def sure_slopes(activation: Activation, a: Array) -> Array | Scaled:
    """σ'(a_t), (T, H): plain floats if every one is right to rounding, else with exponents."""
    slopes = slopes_of(activation, a)
    return slopes if slopes.min() >= SMALLEST_SURE else scaled_slope(activation, a)


def _padded(parts: tuple[Array, ...]) -> Array:
    """The parts side by side, filled up with zeros to whole cache lines."""
    widths = [part.shape[1] for part in parts]
    wide = np.zeros((len(parts[0]), -(-sum(widths) // 8) * 8))
    np.concatenate(parts, axis=1, out=wide[:, : sum(widths)])
    return wide


def slopes_of(activation: Activation, a: Array) -> Array:
    """σ'(a_t), (T, H), a few rows at a time: what lies between stays in the cache."""
    if a.size <= IN_CACHE:
        return activation.slope(a)
    rows = max(1, IN_CACHE // a.shape[1])
    slopes = np.empty_like(a)
    for first in range(0, len(a), rows):
        slopes[first : first + rows] = activation.slope(a[first : first + rows])
    return slopes


def _walk_side_by_side(wide: Array, x: Array, a: Array, h: Array, f: InPlace) -> None:
    """a (n, H) and h[1:] from h[0], with ``wide`` = [W_hh W_xh b_h]."""
    steps, size = a.shape
    rows, after = np.zeros((steps + 1, wide.shape[1])), size + x.shape[1]
    states = rows[:, :size]
    states[0], rows[:steps, size:after], rows[:, after] = h[0], x, 1.0
    dot = wide.dot
    for row, a_t, h_t in zip(rows, a, states[1:], strict=False):
        dot(row, a_t)
        f(a_t, h_t)
    h[1:] = states[1:]


def _walk(W_hh: Array, a: Array, h: Array, f: InPlace) -> None:
    """a (n, H), given without W_hh h_{t−1}, and h[1:] from h[0]."""
    dot, add, before = W_hh.dot, np.add, h[0]
    for a_t, h_t in zip(a, h[1:], strict=True):
        add(a_t, dot(before), a_t)
        f(a_t, h_t)
        before = h_t


def run_backward(
    W_hh: Array,
    slopes: Array,
    direct: Array,
    W_hy: Array | None,
    last: int,
    enters: Array | None = None,
) -> tuple[Array, Array, Array]:
    """∂L_t/∂h_t (T, H), ∂L/∂h_t (T+1, H) and ∂L/∂a_t (T, H), from σ'(a_t) (T, H) and the direct
    term ∂L_t/∂h_t = ``direct`` W_hy, (T, O) · (O, H); without W_hy it is ``direct`` itself.

    ``last`` is the last step with a loss; the walk starts there, so what overflows after it cannot
    spoil it, and the rows after it hold the direct term and 0. ``enters`` (H,) is what comes to it
    from steps beyond these. To be run within ``quietly()``.
    """
    dLt_dht = direct if W_hy is None else direct.dot(W_hy)
    dL_dh, dL_da = np.empty((len(slopes) + 1, len(W_hh))), np.empty_like(slopes)
    dL_dh[0], dL_da[last:] = 0.0, 0.0
    if last < SHORT:
        dL_dh[1:] = dLt_dht
        if enters is not None:
            dL_dh[last] += enters
        _back(W_hh, slopes[:last], dL_dh[: last + 1], dL_da)
        return dLt_dht, dL_dh, dL_da
    dL_dh[last + 1 :] = dLt_dht[last:]
    t = last - 1
    dL_dh[last] = dLt_dht[t] if enters is None else dLt_dht[t] + enters
    np.multiply(slopes[t], dL_dh[last], dL_da[t])
    if W_hy is not None and W_hy.size <= WIDE:
        wide = _padded((W_hh.T, W_hy.T))
        for end in range(t, 0, -BLOCK):
            part = slice(max(end - BLOCK, 0), end)
            _back_side_by_side(
                wide, slopes[part], direct[part], dL_da[end], dL_dh[1:][part], dL_da[part]
            )
        np.dot(dL_da[0], W_hh, dL_dh[0])
    else:
        dL_dh[1 : t + 1] = dLt_dht[:t]
        dL_dh[t] += dL_da[t].dot(W_hh)
        _back(W_hh, slopes[:t], dL_dh[: t + 1], dL_da)
    return dLt_dht, dL_dh, dL_da


def _back_side_by_side(
    wide: Array, slopes: Array, direct: Array, dL_da_next: Array, dL_dh: Array, dL_da: Array
) -> None:
    """Steps n … 1 from ∂L/∂a_{n+1}, every array (n, …), with ``wide`` = [W_hhᵀ W_hyᵀ]."""
    steps, size = slopes.shape
    rows = np.zeros((steps + 1, wide.shape[1]))
    at_a = rows[:, :size]
    at_a[-1], rows[1:, size : size + direct.shape[1]] = dL_da_next, direct
    dot, multiply = wide.dot, np.multiply
    for row, h_row, slope, a_row in zip(
        rows[:0:-1], dL_dh[::-1], slopes[::-1], at_a[-2::-1], strict=True
    ):
        dot(row, h_row)
        multiply(slope, h_row, a_row)
    dL_da[...] = at_a[:-1]


def _back(W_hh: Array, slopes: Array, dL_dh: Array, dL_da: Array) -> None:
    """Steps n … 1, n the number of ``slopes``; ``dL_dh`` (n+1, H) holds ∂L/∂h_n and before it the
    direct terms, 0 at h_0."""
    dot, add, multiply = W_hh.T.dot, np.add, np.multiply
    rows, until = dL_dh[::-1], len(slopes)
    for row, before, slope, at_a in zip(
        rows, rows[1:], slopes[::-1], dL_da[:until][::-1], strict=False
    ):
        multiply(slope, row, at_a)
        add(before, dot(at_a), before)
