"""Losses per step: one record each.

The two cross entropies know the output activation that they need, and are differentiated through
both at once, in the pre-activation a: an output that underflowed to 0, or rounded to 1, does no
harm there. Source: Goodfellow, Bengio, Courville, *Deep Learning* (2016), section 6.2.2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from rnngrad.arithmetic.arrays import Array, Numbers
from rnngrad.arithmetic.functions import LOG2_E, log2_sigmoid, sigmoid, softplus
from rnngrad.arithmetic.scaled import Scaled, scaled, scaled_from_log2
from rnngrad.net.outputs import Output, gap, log_softmax, others_sum, scaled_others, softmax


class Loss(NamedTuple):
    """ℓ_t of target, y_t = g(a_t) and a_t, each (T, O), for every step at once.

    ``value(target, y, a)`` is ℓ, (T,). ∂ℓ_t/∂y_t is ``of_the_gap(O)`` times target − y where the
    loss is quadratic in that, else ``gradient(target, y, a)``, (T, O); ``slope`` is either.
    ``needs`` names the output activation that the loss requires; ``fused(target, a)`` is then
    ∂ℓ_t/∂a_t, (T, O), both derivatives in one, and ``scaled_fused`` the same beyond the range of
    floats. ``formula`` and ``slope_formula`` write one output at step t. ``given``: the target is
    ∂L_t/∂y_t itself, of a loss that nobody knows; ⟨target, y⟩ stands for it.
    """

    name: str
    value: Callable[[Array, Numbers, Numbers], Numbers]
    gradient: Callable[[Array, Array, Array], Array] | None
    formula: str
    slope_formula: str
    needs: str | None = None
    fused: Callable[[Array, Array], Array] | None = None
    scaled_fused: Callable[[Array, Array], Scaled] | None = None
    of_the_gap: Callable[[int], float] | None = None
    given: bool = False


def slope(loss: Loss, output: Output, target: Array, y: Array, a: Array) -> Array:
    """∂ℓ_t/∂y_t, (T, O)"""
    if loss.of_the_gap is not None:
        return loss.of_the_gap(y.shape[-1]) * gap(output, target, a, y)
    assert loss.gradient is not None
    return loss.gradient(target, y, a)


def _squared_error(target: Array, y: Numbers, a: Numbers) -> Numbers:
    gap = target - y
    losses: Numbers = np.add.reduce(gap * gap, axis=-1)
    return losses


def _mean_squared_error(target: Array, y: Numbers, a: Numbers) -> Numbers:
    return np.asarray(_squared_error(target, y, a) / y.shape[-1])


def _times(weight: Array, value: Numbers) -> Numbers:
    """weight · value, where a weight of exactly 0 wins over an infinite value."""
    return np.where(weight == 0, 0.0, weight * value)


def _binary_cross_entropy(target: Array, y: Numbers, a: Numbers) -> Numbers:
    """−Σ target·ln y + (1 − target)·ln(1 − y), with ln y = −softplus(−a)."""
    terms = _times(target, softplus(-a)) + _times(1.0 - target, softplus(a))
    return np.asarray(np.sum(terms, axis=-1))


def _binary_cross_entropy_gradient(target: Array, y: Array, a: Array) -> Array:
    """−target/y + (1 − target)/(1 − y), with 1 − y = σ(−a)."""
    return _times(1.0 - target, 1.0 / sigmoid(-a)) - _times(target, 1.0 / y)


def _binary_cross_entropy_fused(target: Array, a: Array) -> Array:
    """y − target = (1 − target)·σ(a) − target·σ(−a): exact to rounding for targets 0 and 1."""
    fused: Array = (1.0 - target) * sigmoid(a) - target * sigmoid(-a)
    return fused


def _cross_entropy(target: Array, y: Numbers, a: Numbers) -> Numbers:
    return np.asarray(-np.sum(_times(target, log_softmax(a)), axis=-1))


def _cross_entropy_gradient(target: Array, y: Array, a: Array) -> Array:
    return -_times(target, 1.0 / y)


def _cross_entropy_fused(target: Array, a: Array) -> Array:
    """y_i Σ_j target_j − target_i = y_i Σ_{j≠i} target_j − target_i Σ_{j≠i} y_j."""
    y = softmax(a)
    fused: Array = y * others_sum(target) - target * others_sum(y)
    return fused


def _scaled_binary_fused(target: Array, a: Array) -> Scaled:
    above = scaled(1.0 - target) * scaled_from_log2(log2_sigmoid(a))
    return above + -(scaled(target) * scaled_from_log2(log2_sigmoid(-a)))


def _scaled_cross_fused(target: Array, a: Array) -> Scaled:
    y = scaled_from_log2(np.asarray(LOG2_E * log_softmax(a)))
    return y * scaled(others_sum(target)) + -(scaled(target) * scaled_others(y))


def _inner_product(target: Array, y: Numbers, a: Numbers) -> Numbers:
    return np.asarray(np.sum(_times(target, y), axis=-1))


UPSTREAM = Loss(
    "upstream", _inner_product, lambda target, y, a: target.copy(), "u_t·h_t", "u_t", given=True
)
"""What stands for the head of ``upstream``: u_t = ∂L_t/∂h_t is given, and L_t = ⟨u_t, h_t⟩ is the
loss of least words that has it. Its value is of no interest."""

_RECORDS = (
    Loss("squared_error", _squared_error, None,
         "(target_t − y_t)²", "−2·(target_t − y_t)",
         of_the_gap=lambda outputs: -2.0),
    Loss("mean_squared_error", _mean_squared_error, None,
         "(target_t − y_t)²/O", "−2·(target_t − y_t)/O",
         of_the_gap=lambda outputs: -2.0 / outputs),
    Loss("binary_cross_entropy", _binary_cross_entropy, _binary_cross_entropy_gradient,
         "−target_t·ln y_t − (1 − target_t)·ln(1 − y_t)",
         "(1 − target_t)/(1 − y_t) − target_t/y_t",
         "sigmoid", _binary_cross_entropy_fused, _scaled_binary_fused),
    Loss("cross_entropy", _cross_entropy, _cross_entropy_gradient,
         "−Σ target_t·ln y_t", "−target_t/y_t",
         "softmax", _cross_entropy_fused, _scaled_cross_fused),
)  # fmt: skip

LOSSES: Mapping[str, Loss] = MappingProxyType({r.name: r for r in _RECORDS})
"""name -> record: the one place to add a loss."""

EVERY_LOSS: Mapping[str, Loss] = MappingProxyType({**LOSSES, UPSTREAM.name: UPSTREAM})
"""What a problem may have, a spec's ``loss`` or not."""
