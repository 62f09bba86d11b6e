"""Every slope against mpmath, from a itself and far into saturation."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest

from oracles.jacobian_products import exact, floats, mp, slope
from rnngrad.arithmetic.functions import ACTIVATIONS

NORMAL = float(np.finfo(np.float64).tiny)
POINTS = np.concatenate(
    [
        [0.0, 1e-300, 1e-20, 1e-8, 0.1, 0.5, 1.0, 2.0, 20.0, 100.0, 300.0, 350.0, 700.0, 708.0],
        np.random.default_rng(1).normal(0, 5, 200),
        np.random.default_rng(2).uniform(0, 700, 200),
    ]
)
BOTH_SIGNS = np.concatenate([POINTS, -POINTS[1:]])
SMOOTH = [name for name, record in ACTIVATIONS.items() if record.analytic]


def _value(name: str, a: mpmath.mpf) -> mpmath.mpf:
    if name == "sigmoid":
        return 1 / (1 + mp.exp(-a))
    if name == "softplus":
        return mp.log1p(mp.exp(a))
    if name == "relu":
        return max(a, mp.mpf(0))
    return mp.tanh(a) if name == "tanh" else a


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_value_is_right_to_rounding(name: str) -> None:
    expected = np.array([float(_value(name, mp.mpf(a))) for a in BOTH_SIGNS])
    got = ACTIVATIONS[name].f(BOTH_SIGNS)
    normal = (np.abs(expected) >= NORMAL) | (expected == 0)
    np.testing.assert_allclose(got[normal], expected[normal], rtol=1e-14, atol=0)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_slope_is_right_to_rounding(name: str) -> None:
    a = BOTH_SIGNS[BOTH_SIGNS != 0] if name == "relu" else BOTH_SIGNS
    expected = floats(slope(name, exact(a)))
    normal = (expected >= NORMAL) | (expected == 0)
    got = ACTIVATIONS[name].slope(a)
    np.testing.assert_allclose(got[normal], expected[normal], rtol=1e-14, atol=0)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_log2_slope_goes_on_where_the_slope_underflows(name: str) -> None:
    size = np.array([0.5, 3.0, 20.0, 400.0, 1000.0, 1e5])
    a = np.concatenate([size, -size])
    true = slope(name, exact(a))
    expected = np.array([float(mp.log(s, 2)) if s else -np.inf for s in true])
    with np.errstate(all="ignore"):
        got = ACTIVATIONS[name].log2_slope(a)
    np.testing.assert_allclose(got, expected, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("name", SMOOTH)
def test_complex_step_of_f_is_the_slope(name: str) -> None:
    a = np.linspace(-30, 30, 601)
    with np.errstate(all="ignore"):
        got = ACTIVATIONS[name].f(a + 1e-30j).imag / 1e-30
    np.testing.assert_allclose(got, floats(slope(name, exact(a))), rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", SMOOTH)
def test_complex_f_keeps_the_real_part(name: str) -> None:
    a = np.linspace(-30, 30, 601)
    with np.errstate(all="ignore"):
        got = ACTIVATIONS[name].f(a + 1e-30j).real
    np.testing.assert_allclose(got, ACTIVATIONS[name].f(a), rtol=1e-13, atol=0)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_steepest_is_the_supremum_of_the_slope(name: str) -> None:
    slopes = np.abs(ACTIVATIONS[name].slope(np.linspace(-40, 40, 8001)))
    assert np.max(slopes) == pytest.approx(ACTIVATIONS[name].steepest, rel=1e-15)


def test_relu_at_its_kink_has_slope_zero() -> None:
    assert ACTIVATIONS["relu"].slope(np.array([0.0, -0.0])).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("name", ["relu", "identity", "softplus"])
def test_nan_stays_nan_and_inf_stays_inf(name: str) -> None:
    with np.errstate(all="ignore"):
        value = ACTIVATIONS[name].f(np.array([np.nan, np.inf]))
    assert np.isnan(value[0])
    assert value[1] == np.inf


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_slope_at_infinity_is_its_limit(name: str) -> None:
    with np.errstate(all="ignore"):
        got = ACTIVATIONS[name].slope(np.array([np.inf, -np.inf]))
    limits = {"relu": [1, 0], "identity": [1, 1], "softplus": [1, 0]}
    assert got.tolist() == limits.get(name, [0, 0])
