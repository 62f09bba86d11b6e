"""Output activations y = g(a): every hidden activation, element by element, and softmax.

Source: Goodfellow, Bengio, Courville, *Deep Learning* (2016), section 6.2.2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from rnngrad.core.activations import ACTIVATIONS, Activation
from rnngrad.core.arrays import Array, Numbers


@dataclass(frozen=True, slots=True)
class Output:
    """y_t = g(a_t) for every step at once: a, y and ∂L/∂y are (T, O).

    ``pull_back(a, y, dL_dy)`` is ∂L/∂a, (T, O); ``jacobian(a, y)`` is ∂y_t/∂a_t, (T, O, O).
    ``elementwise`` is the activation behind an output that acts unit by unit, else None.
    """

    name: str
    g: Callable[[Numbers], Numbers]
    pull_back: Callable[[Array, Array, Array], Array]
    jacobian: Callable[[Array, Array], Array]
    elementwise: Activation | None


def softmax(a: Numbers) -> Numbers:
    """y_i = exp(a_i) / Σ_j exp(a_j) along the last axis, the largest real part taken out first."""
    e = np.exp(a - np.max(np.real(a), axis=-1, keepdims=True))
    return np.asarray(e / np.sum(e, axis=-1, keepdims=True))


def log_softmax(a: Numbers) -> Numbers:
    """ln y_i = a_i − ln Σ_j exp(a_j), finite where y_i itself underflows."""
    shifted = a - np.max(np.real(a), axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.sum(np.exp(shifted), axis=-1, keepdims=True)))


def _softmax_pull_back(a: Array, y: Array, dL_dy: Array) -> Array:
    """∂L/∂a_i = y_i Σ_j y_j (∂L/∂y_i − ∂L/∂y_j)."""
    mean = np.sum(y * dL_dy, axis=-1, keepdims=True)
    pulled: Array = y * (dL_dy - mean)
    return pulled


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
        return record.slope(a) * dL_dy

    def jacobian(a: Array, y: Array) -> Array:
        return record.slope(a)[:, :, np.newaxis] * np.eye(a.shape[1])

    return Output(record.name, record.f, pull_back, jacobian, record)


_RECORDS = (
    *(_elementwise(record) for record in ACTIVATIONS.values()),
    Output("softmax", softmax, _softmax_pull_back, _softmax_jacobian, None),
)

OUTPUTS: Mapping[str, Output] = MappingProxyType({r.name: r for r in _RECORDS})
"""name -> record: an activation added to ACTIVATIONS is here as well."""
