"""What float64 forgets of a gated cell's state.

lstm: c_t = f_t ∘ c_{t−1} + i_t ∘ g_t beyond 1e-308.

With both gates shut at σ(−800) = 1e-347 the forward pass has c_t = 0, and with it the entries
f' c_{t−1} and o' tanh(c_t) of the one-step Jacobian, which are as large there as all the others. So
what float64 lost is added up once more, with exponents of its own.

gru: h_{t−1} − n_t, which is 0 in floats where both are 1 there, though n_t = tanh(a) is not:
1 − tanh(a) = 2σ(−2a) = 2e⁻²ᵃ/(1 + e⁻²ᵃ) is a number at any a.
"""

from __future__ import annotations

import numpy as np

from rnngrad.arithmetic.functions import Activation, log2_sigmoid
from rnngrad.arithmetic.arrays import Array
from rnngrad.arithmetic.scaled import Scaled, scaled, scaled_from_log2

TINY = 1e-290
"""Below it c loses digits in float64; tanh(c) is c there."""


def scaled_memory(
    record: Activation, c: Array, forget: Scaled, written: Scaled
) -> tuple[Scaled, Scaled]:
    """c and f(c), (T+1, H), right to rounding; ``forget`` is f_t and ``written`` i_t ∘ g_t, (T, H).

    A c that is exactly 0 stays so, as in a net without inputs.
    """
    kept, squashed = scaled(c), scaled(record.f(c))
    small = np.abs(c[1:]) < TINY
    silent = (c[1:] == 0) & (c[:-1] == 0) & (written.mantissa == 0)
    if not (small & ~silent).any():
        return kept, squashed
    for t in np.flatnonzero(small.any(axis=1)):
        again, at = forget[t] * kept[t] + written[t], small[t]
        for values in (kept, squashed):
            values.mantissa[t + 1, at] = again.mantissa[at]
            values.exponent[t + 1, at] = again.exponent[at]
    return kept, squashed


def scaled_gap(h: Array, a: Array) -> Scaled:
    """h − tanh(a), right to rounding for the h of float64."""
    side = np.sign(a)
    beyond = scaled_from_log2(1.0 + log2_sigmoid(-2.0 * np.abs(a)))
    far = scaled(h - side) + Scaled(side * beyond.mantissa, beyond.exponent)
    near, close = scaled(h - np.tanh(a)), np.abs(a) < 0.5
    return Scaled(
        np.where(close, near.mantissa, far.mantissa),
        np.where(close, near.exponent, far.exponent),
    )
