"""Losses per step: one record each.

The two cross entropies know the output activation that they need, and are differentiated through
both at once, in the pre-activation a: an output that underflowed to 0, or rounded to 1, does no
harm there. Source: Goodfellow, Bengio, Courville, *Deep Learning* (2016), section 6.2.2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from rnngrad.core.activations import sigmoid, softplus
from rnngrad.core.arrays import Array, Numbers
from rnngrad.core.outputs import log_softmax, others_sum, softmax


@dataclass(frozen=True, slots=True)
class Loss:
    """ℓ_t of target, y_t = g(a_t) and a_t, each (T, O), for every step at once.

    ``value(target, y, a)`` is ℓ, (T,); ``gradient(target, y, a)`` is ∂ℓ_t/∂y_t, (T, O). ``needs``
    names the output activation that the loss requires; ``fused(target, a)`` is then ∂ℓ_t/∂a_t,
    (T, O), both derivatives in one. ``formula`` and ``slope_formula`` write one output at step t.
    """

    name: str
    value: Callable[[Array, Numbers, Numbers], Numbers]
    gradient: Callable[[Array, Array, Array], Array]
    formula: str
    slope_formula: str
    needs: str | None = None
    fused: Callable[[Array, Array], Array] | None = None


def _squared_error(target: Array, y: Numbers, a: Numbers) -> Numbers:
    return np.asarray(np.sum((target - y) ** 2, axis=-1))


def _squared_error_gradient(target: Array, y: Array, a: Array) -> Array:
    gradient: Array = -2.0 * (target - y)
    return gradient


def _mean_squared_error(target: Array, y: Numbers, a: Numbers) -> Numbers:
    return np.asarray(np.mean((target - y) ** 2, axis=-1))


def _mean_squared_error_gradient(target: Array, y: Array, a: Array) -> Array:
    gradient: Array = -2.0 * (target - y) / y.shape[-1]
    return gradient


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


_RECORDS = (
    Loss("squared_error", _squared_error, _squared_error_gradient,
         "(target_t − y_t)²", "−2·(target_t − y_t)"),
    Loss("mean_squared_error", _mean_squared_error, _mean_squared_error_gradient,
         "(target_t − y_t)²/O", "−2·(target_t − y_t)/O"),
    Loss("binary_cross_entropy", _binary_cross_entropy, _binary_cross_entropy_gradient,
         "−target_t·ln y_t − (1 − target_t)·ln(1 − y_t)",
         "(1 − target_t)/(1 − y_t) − target_t/y_t",
         "sigmoid", _binary_cross_entropy_fused),
    Loss("cross_entropy", _cross_entropy, _cross_entropy_gradient,
         "−Σ target_t·ln y_t", "−target_t/y_t",
         "softmax", _cross_entropy_fused),
)  # fmt: skip

LOSSES: Mapping[str, Loss] = MappingProxyType({r.name: r for r in _RECORDS})
"""name -> record: the one place to add a loss."""
