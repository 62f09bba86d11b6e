"""Output activations y = g(a): every hidden activation, element by element, and softmax.

Source: Goodfellow, Bengio, Courville, *Deep Learning* (2016), section 6.2.2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from rnngrad.arithmetic.arrays import Array, Numbers
from rnngrad.arithmetic.evaluation import scaled_slope
from rnngrad.arithmetic.functions import ACTIVATIONS, LOG2_E, Activation, log1p
from rnngrad.arithmetic.scaled import Scaled, scaled, scaled_from_log2, total


class Output(NamedTuple):
    """y_t = g(a_t) for every step at once: a, y and ∂L/∂y are (T, O).

    ``pull_back(a, y, dL_dy)`` is ∂L/∂a, (T, O), and ``scaled_pull_back(a, dL_dy)`` the same for
    numbers beyond the range of floats; ``jacobian(a, y)`` is ∂y_t/∂a_t, (T, O, O). ``elementwise``
    is the activation behind an output that acts unit by unit, else None. ``limits`` maps a value
    that y only tends to onto log2 |limit − y| as a function of a: there target − y would cancel.
    """

    name: str
    g: Callable[[Numbers], Numbers]
    pull_back: Callable[[Array, Array, Array], Array]
    scaled_pull_back: Callable[[Array, Scaled], Scaled]
    jacobian: Callable[[Array, Array], Array]
    elementwise: Activation | None
    limits: Mapping[float, Callable[[Array], Array]]


def gap(output: Output, target: Array, a: Array, y: Array) -> Array:
    """target − y, (T, O), to relative rounding also where y has all but reached its target."""
    difference: Array = target - y
    for limit, log2 in output.limits.items():
        there = target == limit
        if there.any():
            difference[there] = _side(limit) * np.exp2(log2(a))[there]
    return difference


def scaled_gap(output: Output, target: Array, a: Array, y: Array) -> Scaled:
    """``gap`` beyond the range of floats."""
    difference = scaled(target - y)
    for limit, log2 in output.limits.items():
        there = target == limit
        exact = scaled_from_log2(log2(a)[there])
        difference.mantissa[there] = _side(limit) * exact.mantissa
        difference.exponent[there] = exact.exponent
    return difference


def _side(limit: float) -> float:
    """The sign of limit − y: y stays below an upper limit and above a lower one (0 or −1)."""
    return 1.0 if limit > 0 else -1.0


def softmax(a: Numbers) -> Numbers:
    """y_i = exp(a_i) / Σ_j exp(a_j) along the last axis, the largest real part taken out first."""
    e = np.exp(a - np.max(np.real(a), axis=-1, keepdims=True))
    return np.asarray(e / np.sum(e, axis=-1, keepdims=True))


def log_softmax(a: Numbers) -> Numbers:
    """ln y_i = a_i − ln Σ_j exp(a_j), finite where y_i itself underflows, and right to rounding
    where y_i is all but 1: the largest a is taken out, and what is left is ln(1 + others)."""
    largest = np.argmax(np.real(a), axis=-1)[..., np.newaxis]
    shifted = a - np.take_along_axis(a, largest, axis=-1)
    others = np.exp(shifted)
    np.put_along_axis(others, largest, 0.0, axis=-1)
    return np.asarray(shifted - log1p(np.sum(others, axis=-1, keepdims=True)))


def _log2_softmax(a: Array) -> Array:
    return np.asarray(LOG2_E * log_softmax(a))


def _log2_others(a: Array) -> Array:
    """log2 (1 − y_i) = log2 Σ_{j≠i} y_j"""
    others = scaled_others(scaled_from_log2(_log2_softmax(a)))
    return np.asarray(np.log2(others.mantissa) + others.exponent)


def scaled_others(y: Scaled) -> Scaled:
    """Σ_{j≠i} y_j along the last axis, at any exponent; (T, O) from (T, O), O² numbers a step."""
    size = y.mantissa.shape[-1]
    return total(y[..., np.newaxis, :] * scaled(1.0 - np.eye(size)), axis=-1)


def _softmax_pull_back(a: Array, y: Array, dL_dy: Array) -> Array:
    """∂L/∂a_i = y_i Σ_{j≠i} y_j (∂L/∂y_i − ∂L/∂y_j): nothing is taken from 1."""
    pulled: Array = y * (dL_dy * others_sum(y) - others_sum(y * dL_dy))
    return pulled


def _scaled_softmax_pull_back(a: Array, dL_dy: Scaled) -> Scaled:
    """The same, as written: O² numbers a step."""
    y = scaled_from_log2(_log2_softmax(a))
    differences = dL_dy[:, :, np.newaxis] + -dL_dy[:, np.newaxis, :]
    return y * total(y[:, np.newaxis, :] * differences, axis=-1)


def _softmax_jacobian(a: Array, y: Array) -> Array:
    """∂y_i/∂a_j = y_i (δ_ij − y_j); 1 − y_i is summed from the others, so no digit is lost."""
    others = others_sum(y)
    jacobian: Array = -y[:, :, np.newaxis] * y[:, np.newaxis, :]
    diagonal = np.arange(y.shape[1])
    jacobian[:, diagonal, diagonal] = y * others
    return jacobian


def others_sum(y: Array) -> Array:
    """Σ_{j≠i} y_j along the last axis, from running sums on either side: nothing is subtracted."""
    before = np.zeros_like(y)
    after = np.zeros_like(y)
    before[..., 1:] = np.cumsum(y, axis=-1)[..., :-1]
    after[..., :-1] = np.cumsum(y[..., ::-1], axis=-1)[..., ::-1][..., 1:]
    return before + after


def _elementwise(record: Activation) -> Output:
    def pull_back(a: Array, y: Array, dL_dy: Array) -> Array:
        return dL_dy if record.name == "identity" else record.slope(a) * dL_dy

    def scaled_pull_back(a: Array, dL_dy: Scaled) -> Scaled:
        return scaled_slope(record, a) * dL_dy

    def jacobian(a: Array, y: Array) -> Array:
        return record.slope(a)[:, :, np.newaxis] * np.eye(a.shape[1])

    return Output(
        record.name, record.f, pull_back, scaled_pull_back, jacobian, record, record.tends
    )


_RECORDS = (
    *(_elementwise(record) for record in ACTIVATIONS.values()),
    Output(
        "softmax", softmax, _softmax_pull_back, _scaled_softmax_pull_back, _softmax_jacobian, None,
        MappingProxyType({0.0: _log2_softmax, 1.0: _log2_others}),
    ),
)  # fmt: skip

OUTPUTS: Mapping[str, Output] = MappingProxyType({r.name: r for r in _RECORDS})
"""name -> record: an activation added to ACTIVATIONS is here as well."""
