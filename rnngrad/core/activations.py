"""Activation functions: one record each.

A slope is computed from the pre-activation a, never from h = f(a): 1 − tanh(a)² has lost every
digit at a = 20, where the true slope 4e⁻⁴⁰ is an ordinary number. Relative errors are a few units
of rounding wherever the slope is a normal float; below that, ``log2_slope`` goes on.

Source: Goodfellow, Bengio, Courville, *Deep Learning* (2016), sections 3.10 and 6.3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from rnngrad.core.arrays import Array, Numbers

LOG2_E = float(np.log2(np.e))


class Activation(NamedTuple):
    """h = f(a), element by element.

    ``f`` takes real or complex arrays and is analytic where ``analytic`` says so; ``slope`` is f'
    of real arrays; ``log2_slope`` its log2, −inf for an exact zero; ``steepest`` is sup |f'|.
    ``formula`` writes f(a), ``slope_formula`` f'(a).
    """

    name: str
    f: Callable[[Numbers], Numbers]
    slope: Callable[[Array], Array]
    log2_slope: Callable[[Array], Array]
    steepest: float
    analytic: bool
    formula: str
    slope_formula: str


def sigmoid(a: Numbers) -> Numbers:
    """σ(a) = 1/(1 + e⁻ᵃ), to relative rounding for either sign; shape kept."""
    e = np.exp(np.where(np.real(a) > 0, -a, a))
    return np.where(np.real(a) > 0, 1.0, e) / (1.0 + e)


def sigmoid_slope(a: Array) -> Array:
    """σ'(a) = e⁻|ᵃ| / (1 + e⁻|ᵃ|)²: no difference of near equals, so no digits lost."""
    e = np.asarray(np.abs(a))
    np.negative(e, e)
    np.exp(e, e)
    slope = np.asarray(e + 1.0)
    np.multiply(slope, slope, slope)
    np.divide(e, slope, slope)
    return slope


def _log2_sigmoid_slope(a: Array) -> Array:
    size = np.abs(a)
    return -LOG2_E * (size + 2.0 * np.log1p(np.exp(-size)))


def tanh_slope(a: Array) -> Array:
    """tanh'(a) = 1/cosh²(a), where it is a normal float; 0 below that."""
    slope = np.asarray(np.cosh(a))
    np.divide(1.0, slope, slope)
    np.multiply(slope, slope, slope)
    return slope


def _log2_tanh_slope(a: Array) -> Array:
    return 2.0 + _log2_sigmoid_slope(2.0 * a)


def relu(a: Numbers) -> Numbers:
    """max(0, a); a nan stays one."""
    return np.where(np.real(a) <= 0, 0.0, a)


def relu_slope(a: Array) -> Array:
    """1 for a > 0, else 0 (σ'(0) = 0)."""
    return np.where(np.isnan(a), a, (a > 0).astype(np.float64))


def log1p(z: Numbers) -> Numbers:
    """ln(1 + z); NumPy's own loses the digits of a small complex z."""
    if not np.iscomplexobj(z):
        return np.asarray(np.log1p(z))
    x, y = z.real, z.imag
    return np.asarray(0.5 * np.log1p(x * (2.0 + x) + y**2) + 1j * np.arctan2(y, 1.0 + x))


def softplus(a: Numbers) -> Numbers:
    """ln(1 + eᵃ) = max(0, a) + ln(1 + e⁻|ᵃ|)."""
    positive = np.real(a) > 0
    return np.where(positive, a, 0.0) + log1p(np.exp(np.where(positive, -a, a)))


def log2_sigmoid(a: Array) -> Array:
    """log2 σ(a), at any a."""
    return -LOG2_E * np.real(softplus(-a))


def log2_softplus(a: Array) -> Array:
    """log2 ln(1 + eᵃ); below a = −40 that is a·log2 e to rounding."""
    low = a < -40.0
    return np.where(low, LOG2_E * a, np.log2(np.real(softplus(np.where(low, 0.0, a)))))


def _identity(a: Numbers) -> Numbers:
    return a


def _one(a: Array) -> Array:
    return np.ones_like(a)


def _zero(a: Array) -> Array:
    return np.zeros_like(a)


def _log2_relu_slope(a: Array) -> Array:
    return np.log2(relu_slope(a))


_RECORDS = (
    Activation("sigmoid", sigmoid, sigmoid_slope, _log2_sigmoid_slope, 0.25, True,
               "1/(1 + exp(−a))", "σ(a)·(1 − σ(a))"),
    Activation("tanh", np.tanh, tanh_slope, _log2_tanh_slope, 1.0, True,
               "tanh(a)", "1 − tanh(a)²"),
    Activation("relu", relu, relu_slope, _log2_relu_slope, 1.0, False,
               "max(0, a)", "1 where a > 0, else 0"),
    Activation("identity", _identity, _one, _zero, 1.0, True,
               "a", "1"),
    Activation("softplus", softplus, sigmoid, log2_sigmoid, 1.0, True,
               "ln(1 + exp(a))", "1/(1 + exp(−a))"),
)  # fmt: skip

ACTIVATIONS: Mapping[str, Activation] = MappingProxyType({r.name: r for r in _RECORDS})
"""name -> record: the one place to add a hidden activation."""
