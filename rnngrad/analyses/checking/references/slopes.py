"""σ'(a_t) by complex step, also where it is smaller than any float."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from rnngrad.arithmetic.arrays import Array, Numbers
from rnngrad.arithmetic.functions import Activation
from rnngrad.arithmetic.scaled import Scaled, scaled, scaled_from_log2

STEP = 2.0**-100
"""h = 7.9e-31; a power of two, so that dividing by it is exact."""

LONGER = 2.0**-30
"""The step for tails, where f''' ≈ f': its error is LONGER²/6 = 1.4e-19, and 1e-290 survives."""

FAINT = 1e-268
TINY = 1e-290
_SAMPLES = (100.0, 200.0, 300.0)


def complex_step(function: Callable[[complex], Numbers]) -> Array:
    """function'(0) = Im function(ih)/h, array by array."""
    value = np.imag(function(1j * STEP)) / STEP
    faint = np.abs(value) < FAINT
    if not faint.any():
        return np.asarray(value)
    return np.where(faint, np.imag(function(1j * LONGER)) / LONGER, value)


def slopes(activation: Activation, a: Array) -> Scaled:
    """f'(a), (T, H); nan where it is beyond the reach of floats and no exponential tail."""
    plain = _slope(activation, a)
    exact = scaled(plain)
    tiny = (np.abs(plain) < TINY) & (a != 0)
    if activation.analytic and tiny.any():
        below = scaled_from_log2(_log2_tail(activation, a[tiny]))
        exact.mantissa[tiny], exact.exponent[tiny] = below.mantissa, below.exponent
    return exact


def _slope(activation: Activation, a: Array) -> Array:
    return complex_step(lambda step: activation.f(a + step))


def _log2_tail(activation: Activation, a: Array) -> Array:
    """log2 f'(a) far out, where it is a straight line in a: measured at 100, 200 and 300."""
    result = np.empty_like(a)
    for side in (-1.0, 1.0):
        points = side * np.array(_SAMPLES)
        log2 = np.log2(np.abs(_slope(activation, points)))
        straight = abs(log2[2] - 2 * log2[1] + log2[0]) < 1e-9
        line = log2[1] + (np.abs(a) - _SAMPLES[1]) * (log2[2] - log2[1]) / 100.0
        here = np.sign(a) == side
        result[here] = line[here] if straight else np.nan
    return result
