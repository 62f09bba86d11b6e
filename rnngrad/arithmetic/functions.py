"""Functions of one number: activations, and what else a cell's equation may hold; one record each.

A slope is computed from the pre-activation a, never from h = f(a): 1 − tanh(a)² has lost every
digit at a = 20, where the true slope 4e⁻⁴⁰ is an ordinary number. Relative errors are a few units
of rounding wherever the slope is a normal float; below that, ``log2_slope`` goes on.

Source: Goodfellow, Bengio, Courville, *Deep Learning* (2016), sections 3.10 and 6.3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import erfc, pi, sqrt
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from rnngrad.arithmetic.arrays import Array, Numbers

LOG2_E = float(np.log2(np.e))


class Activation(NamedTuple):
    """h = f(a), element by element.

    ``f`` takes real or complex arrays and is analytic where ``analytic`` says so; ``slope`` is f'
    of real arrays; ``log2_slope`` its log2, −inf for an exact zero; ``steepest`` is sup |f'|.
    ``formula`` writes f(a), ``slope_formula`` f'(a); ``by_value`` f' by v = f(a), as it is written
    where v has a name (never computed so). ``log2`` is log2 f(a) where f is positive and
    can leave the range of floats. ``tends`` are the values that f only tends to for a → −∞ and
    a → ∞, with log2 |limit − f(a)| as a function of a: there a difference would cancel. ``kinks``
    are where f has no slope. ``hidden``: whether it is offered as an ``activation``.
    """

    name: str
    f: Callable[[Numbers], Numbers]
    slope: Callable[[Array], Array]
    log2_slope: Callable[[Array], Array]
    steepest: float
    analytic: bool
    formula: str
    slope_formula: str
    log2: Callable[[Array], Array] | None = None
    tends: Mapping[float, Callable[[Array], Array]] = MappingProxyType({})
    kinks: tuple[float, ...] = ()
    hidden: bool = True
    by_value: str = ""


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


def _log2_of(slope: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """log2 |f'| from f' itself, for what vanishes nowhere but at exact zeros."""

    def log2(a: Array) -> Array:
        return np.asarray(np.log2(np.abs(slope(a))))

    return log2


def _piece(
    low: float, below: float, between: float, high: float, above: float
) -> Callable[[Array], Array]:
    """A slope that is constant on either side of two kinks; at a kink that of the left side."""

    def slope(a: Array) -> Array:
        values = np.where(a <= low, below, np.where(a <= high, between, above))
        return np.where(np.isnan(a), a, values)

    return slope


def _clipped(a: Numbers, low: float, high: float) -> Numbers:
    """a between two bounds; complex where they do not bind."""
    real = np.real(a)
    return np.where(real <= low, low, np.where(real > high, high, a))


def _hard_sigmoid(a: Numbers) -> Numbers:
    return _clipped((a + 3.0) / 6.0, 0.0, 1.0)


def _hard_tanh(a: Numbers) -> Numbers:
    return _clipped(a, -1.0, 1.0)


HUGE = 1e100
"""As good as infinite: a product of it with a σ that is 0 is 0."""

LEAK = 0.01
"""The slope of leaky_relu below 0, as in PyTorch and JAX."""

SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772
"""Klambauer et al., *Self-Normalizing Neural Networks*, NIPS (2017), appendix."""


def _leaky_relu(a: Numbers) -> Numbers:
    return np.where(np.real(a) <= 0, LEAK * a, a)


def expm1(z: Numbers) -> Numbers:
    """e^z − 1; NumPy's own loses the digits of a small complex z."""
    if not np.iscomplexobj(z):
        return np.asarray(np.expm1(z))
    x, y = z.real, z.imag
    return np.asarray(
        np.expm1(x) * np.cos(y) - 2.0 * np.sin(0.5 * y) ** 2 + 1j * np.exp(x) * np.sin(y)
    )


def _elu(a: Numbers) -> Numbers:
    below = np.real(a) <= 0
    return np.where(below, expm1(np.where(below, a, 0.0)), a)


def _elu_slope(a: Array) -> Array:
    return np.asarray(np.exp(np.minimum(a, 0.0)))


def _selu(a: Numbers) -> Numbers:
    below = np.real(a) <= 0
    return SELU_SCALE * np.where(below, SELU_ALPHA * expm1(np.where(below, a, 0.0)), a)


def _selu_slope(a: Array) -> Array:
    return np.where(a <= 0, SELU_SCALE * SELU_ALPHA * np.exp(np.minimum(a, 0.0)), SELU_SCALE)


def _selu_log2_slope(a: Array) -> Array:
    below = np.log2(SELU_ALPHA) + LOG2_E * np.minimum(a, 0.0)
    return np.asarray(np.log2(SELU_SCALE) + np.where(a <= 0, below, 0.0))


def _silu(a: Numbers) -> Numbers:
    return a * sigmoid(a)


def _silu_slope(a: Array) -> Array:
    """σ(a) (1 + a σ(−a))"""
    a = np.clip(a, -HUGE, HUGE)
    return np.asarray(sigmoid(a) * (1.0 + a * sigmoid(-a)))


def _normal_cdf(a: Numbers) -> Numbers:
    """Φ(a) = erfc(−a/√2)/2, to relative rounding for either sign. For the complex step, whose
    imaginary part is tiny: Φ(x + iy) = Φ(x) + i y φ(x) to within y²."""
    real = np.real(a)
    values = np.array([0.5 * erfc(-x / sqrt(2.0)) for x in np.ravel(real)]).reshape(np.shape(real))
    if not np.iscomplexobj(a):
        return values
    return values + 1j * np.imag(a) * _normal_density(real)


def _normal_density(a: Array) -> Array:
    return np.asarray(np.exp(-0.5 * a * a) / sqrt(2.0 * pi))


def _gelu(a: Numbers) -> Numbers:
    return a * _normal_cdf(a)


def _gelu_slope(a: Array) -> Array:
    a = np.clip(a, -HUGE, HUGE)
    return np.asarray(_normal_cdf(a) + a * _normal_density(a))


def _size(a: Numbers) -> Numbers:
    """|a| for real a; ±a for complex, which is analytic off the kink."""
    return np.where(np.real(a) < 0, -a, a)


def _softsign(a: Numbers) -> Numbers:
    """a/(1 + |a|); a large complex one is ±(1 − 1/(1 + |a|)), whose small part is no difference of
    near equals."""
    below = 1.0 + _size(a)
    if not np.iscomplexobj(a):
        return a / below
    return np.where(np.abs(a.real) > 1.0, np.sign(a.real) * (1.0 - 1.0 / below), a / below)


def _softsign_slope(a: Array) -> Array:
    slope = 1.0 / (1.0 + np.abs(a))
    return np.asarray(slope * slope)


def _sqrt_slope(a: Array) -> Array:
    return np.asarray(0.5 / np.sqrt(a))


def _exp_log2(a: Array) -> Array:
    return np.asarray(LOG2_E * a)


_RECORDS = (
    Activation("sigmoid", sigmoid, sigmoid_slope, _log2_sigmoid_slope, 0.25, True,
               "1/(1 + exp(−a))", "σ(a)·(1 − σ(a))", log2_sigmoid,
               MappingProxyType({0.0: log2_sigmoid, 1.0: lambda a: log2_sigmoid(-a)}),
               by_value="v ∘ (1 − v)"),
    Activation("tanh", np.tanh, tanh_slope, _log2_tanh_slope, 1.0, True,
               "tanh(a)", "1 − tanh(a)²", None,
               MappingProxyType({-1.0: lambda a: 1.0 + log2_sigmoid(2.0 * a),
                                 1.0: lambda a: 1.0 + log2_sigmoid(-2.0 * a)}),
               by_value="1 − v^2"),
    Activation("relu", relu, relu_slope, _log2_relu_slope, 1.0, False,
               "max(0, a)", "1 where a > 0, else 0", kinks=(0.0,)),
    Activation("identity", _identity, _one, _zero, 1.0, True,
               "a", "1"),
    Activation("softplus", softplus, sigmoid, log2_sigmoid, 1.0, True,
               "ln(1 + exp(a))", "1/(1 + exp(−a))", log2_softplus,
               MappingProxyType({0.0: log2_softplus})),
    Activation("leaky_relu", _leaky_relu, _piece(0.0, LEAK, 1.0, 0.0, 1.0),
               _log2_of(_piece(0.0, LEAK, 1.0, 0.0, 1.0)), 1.0, False,
               "a where a > 0, else 0.01·a", "1 where a > 0, else 0.01", kinks=(0.0,)),
    Activation("elu", _elu, _elu_slope, lambda a: LOG2_E * np.minimum(a, 0.0), 1.0, True,
               "a where a > 0, else exp(a) − 1", "1 where a > 0, else exp(a)"),
    Activation("selu", _selu, _selu_slope,
               _selu_log2_slope,
               SELU_SCALE * SELU_ALPHA, False,
               "1.0507·a where a > 0, else 1.7581·(exp(a) − 1)",
               "1.0507 where a > 0, else 1.7581·exp(a)", kinks=(0.0,)),
    Activation("silu", _silu, _silu_slope, _log2_of(_silu_slope), 1.0998393194498726, True,
               "a·σ(a)", "σ(a)·(1 + a·(1 − σ(a)))"),
    Activation("gelu", _gelu, _gelu_slope, _log2_of(_gelu_slope), 1.1289041451127527, True,
               "a·Φ(a)", "Φ(a) + a·φ(a)"),
    Activation("softsign", _softsign, _softsign_slope, _log2_of(_softsign_slope), 1.0, True,
               "a/(1 + |a|)", "1/(1 + |a|)²"),
    Activation("hard_sigmoid", _hard_sigmoid, _piece(-3.0, 0.0, 1.0 / 6.0, 3.0, 0.0),
               _log2_of(_piece(-3.0, 0.0, 1.0 / 6.0, 3.0, 0.0)), 1.0 / 6.0, False,
               "a/6 + 1/2, kept between 0 and 1", "1/6 where −3 < a < 3, else 0",
               kinks=(-3.0, 3.0)),
    Activation("hard_tanh", _hard_tanh, _piece(-1.0, 0.0, 1.0, 1.0, 0.0),
               _log2_of(_piece(-1.0, 0.0, 1.0, 1.0, 0.0)), 1.0, False,
               "a, kept between −1 and 1", "1 where −1 < a < 1, else 0", kinks=(-1.0, 1.0)),
    Activation("exp", np.exp, np.exp, _exp_log2, np.inf, True, "exp(a)", "exp(a)", _exp_log2,
               MappingProxyType({0.0: _exp_log2}), hidden=False, by_value="v"),
    Activation("log", np.log, np.reciprocal, _log2_of(np.reciprocal), np.inf, True,
               "ln(a)", "1/a", hidden=False),
    Activation("sqrt", np.sqrt, _sqrt_slope, _log2_of(_sqrt_slope), np.inf, True,
               "√a", "1/(2·√a)", hidden=False),
    Activation("sin", np.sin, np.cos, _log2_of(np.cos), 1.0, True,
               "sin(a)", "cos(a)", hidden=False),
    Activation("cos", np.cos, lambda a: -np.sin(a), _log2_of(np.sin), 1.0, True,
               "cos(a)", "−sin(a)", hidden=False),
)  # fmt: skip

FUNCTIONS: Mapping[str, Activation] = MappingProxyType({r.name: r for r in _RECORDS})
"""name -> record: the one place to add a function."""

ACTIVATIONS: Mapping[str, Activation] = MappingProxyType(
    {name: record for name, record in FUNCTIONS.items() if record.hidden}
)
"""Those that a spec may choose as ``activation``."""
