"""Every slope against mpmath, from a itself and far into saturation."""

from __future__ import annotations

from collections.abc import Callable

import mpmath
import numpy as np
import pytest

from oracles.jacobian_products import exact, floats, mp, slope
from oracles.nets import CLASSIC
from rnngrad.arithmetic.functions import ACTIVATIONS, FUNCTIONS, LEAK, SELU_ALPHA, SELU_SCALE, expm1

NORMAL = float(np.finfo(np.float64).tiny)
POINTS = np.concatenate(
    [
        [0.0, 1e-300, 1e-20, 1e-8, 0.1, 0.5, 1.0, 2.0, 20.0, 100.0, 300.0, 350.0, 700.0, 708.0],
        np.random.default_rng(1).normal(0, 5, 200),
        np.random.default_rng(2).uniform(0, 700, 200),
    ]
)
BOTH_SIGNS = np.concatenate([POINTS, -POINTS[1:]])


_EXACT: dict[str, Callable[[mpmath.mpf], mpmath.mpf]] = {
    "sigmoid": lambda a: 1 / (1 + mp.exp(-a)),
    "tanh": mp.tanh,
    "relu": lambda a: max(a, mp.mpf(0)),
    "identity": lambda a: a,
    "softplus": lambda a: mp.log1p(mp.exp(a)),
    "leaky_relu": lambda a: a if a > 0 else mp.mpf(LEAK) * a,
    "elu": lambda a: a if a > 0 else mp.expm1(a),
    "selu": lambda a: mp.mpf(SELU_SCALE) * (a if a > 0 else mp.mpf(SELU_ALPHA) * mp.expm1(a)),
    "silu": lambda a: a / (1 + mp.exp(-a)),
    "gelu": lambda a: a * mp.erfc(-a / mp.sqrt(2)) / 2,
    "softsign": lambda a: a / (1 + abs(a)),
    "hard_sigmoid": lambda a: min(max(a / 6 + mp.mpf(1) / 2, mp.mpf(0)), mp.mpf(1)),
    "hard_tanh": lambda a: min(max(a, mp.mpf(-1)), mp.mpf(1)),
    "exp": mp.exp,
    "log": mp.log,
    "sqrt": mp.sqrt,
    "sin": mp.sin,
    "cos": mp.cos,
}
ROOTS = {"silu": -1.2784645427610738, "gelu": -0.7517915246935645}
"""Where a slope goes through 0: near it rounding of a is all that there is."""
CANCELS = {"softplus": 1e-14, "gelu": 1e-12}
"""erfc of a number as large as 38 has 38² times its rounding."""


def _points(name: str) -> np.ndarray:
    a = BOTH_SIGNS[np.abs(BOTH_SIGNS) <= 708]
    if name in ("log", "sqrt"):
        a = a[a > 1e-9]
    if name == "gelu":
        a = a[np.abs(a) < 38]
    near = [*FUNCTIONS[name].kinks, *([ROOTS[name]] if name in ROOTS else [])]
    return np.array([x for x in a if all(abs(x - root) > 1e-3 for root in near)])


def _slope(name: str, a: np.ndarray, bits: int = 2500) -> np.ndarray:
    """f' from a difference of f in many digits."""
    with mp.workprec(bits):
        h = mp.mpf(2) ** -300
        f = _EXACT[name]
        return np.array([(f(x + h) - f(x - h)) / (2 * h) for x in map(mp.mpf, map(float, a))])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_value_is_right_to_rounding(name: str) -> None:
    a = _points(name)
    expected = np.array([float(_EXACT[name](mp.mpf(float(x)))) for x in a])
    with np.errstate(all="ignore"):
        got = FUNCTIONS[name].f(a)
    normal = (np.abs(expected) >= NORMAL) | (expected == 0)
    np.testing.assert_allclose(got[normal], expected[normal], rtol=CANCELS.get(name, 1e-14), atol=0)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_slope_is_right_to_rounding(name: str) -> None:
    a = _points(name)[::3]
    expected = floats(_slope(name, a))
    normal = (np.abs(expected) >= NORMAL) | (expected == 0)
    with np.errstate(all="ignore"):
        got = FUNCTIONS[name].slope(a)
    near_a_root = 1e-15 if name in ROOTS else 0
    np.testing.assert_allclose(
        got[normal], expected[normal], rtol=CANCELS.get(name, 1e-13), atol=near_a_root
    )


@pytest.mark.parametrize("name", CLASSIC)
def test_slope_far_into_saturation(name: str) -> None:
    a = BOTH_SIGNS[BOTH_SIGNS != 0] if name == "relu" else BOTH_SIGNS
    expected = floats(slope(name, exact(a)))
    normal = (expected >= NORMAL) | (expected == 0)
    got = ACTIVATIONS[name].slope(a)
    np.testing.assert_allclose(got[normal], expected[normal], rtol=1e-14, atol=0)


@pytest.mark.parametrize("name", CLASSIC)
def test_log2_slope_goes_on_where_the_slope_underflows(name: str) -> None:
    size = np.array([0.5, 3.0, 20.0, 400.0, 1000.0, 1e5])
    a = np.concatenate([size, -size])
    true = slope(name, exact(a))
    expected = np.array([float(mp.log(s, 2)) if s else -np.inf for s in true])
    with np.errstate(all="ignore"):
        got = ACTIVATIONS[name].log2_slope(a)
    np.testing.assert_allclose(got, expected, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("name", [n for n in FUNCTIONS if n not in CLASSIC])
def test_log2_slope_is_the_logarithm_of_the_slope(name: str) -> None:
    a = _points(name)
    with np.errstate(all="ignore"):
        expected = np.log2(np.abs(FUNCTIONS[name].slope(a)))
        got = FUNCTIONS[name].log2_slope(a)
    seen = np.isfinite(expected)
    np.testing.assert_allclose(got[seen], expected[seen], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["exp", "elu", "selu"])
def test_log2_slope_goes_on_below_floats(name: str) -> None:
    a = np.array([-800.0, -1e4])
    expected = [float(mp.log(_slope(name, np.array([x]), 40_000)[0], 2)) for x in a]
    np.testing.assert_allclose(FUNCTIONS[name].log2_slope(a), expected, rtol=1e-12)


@pytest.mark.parametrize("name", [n for n, r in FUNCTIONS.items() if r.log2 or r.tends])
def test_limits_and_logarithms(name: str) -> None:
    """log2 f(a), and log2 |limit − f(a)|, where the float says 0 or the limit itself."""
    record = FUNCTIONS[name]
    for a in (-900.0, -3.0, 2.0, 900.0):
        value = _EXACT[name](mp.mpf(a))
        if record.log2 is not None and value > 0:
            got = record.log2(np.array([a]))[0]
            assert got == pytest.approx(float(mp.log(value, 2)), rel=1e-13)
        for limit, log2 in record.tends.items():
            gap = abs(limit - value)
            if 0 < gap < 1:
                with mp.workprec(4000):
                    gap = abs(limit - _EXACT[name](mp.mpf(a)))
                    expected = float(mp.log(gap, 2))
                assert log2(np.array([a]))[0] == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("name", [n for n, r in FUNCTIONS.items() if r.kinks])
def test_kinks_are_where_the_slope_jumps(name: str) -> None:
    record = FUNCTIONS[name]
    for kink in record.kinks:
        below, above = record.slope(np.array([kink - 1e-9, kink + 1e-9]))
        assert below != above
        assert record.slope(np.array([kink]))[0] == pytest.approx(below, rel=1e-8)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_complex_step_of_f_is_the_slope(name: str) -> None:
    a = _points(name)
    a = a[(np.abs(a) <= 30) & ((np.abs(a) > 1e-20) | (name != "cos"))]
    with np.errstate(all="ignore"):
        got = FUNCTIONS[name].f(a + 1e-30j).imag / 1e-30
        expected = FUNCTIONS[name].slope(a)
    near_a_root = 1e-15 if name in ROOTS else 0
    np.testing.assert_allclose(got, expected, rtol=1e-12, atol=near_a_root)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_complex_f_keeps_the_real_part(name: str) -> None:
    a = _points(name)
    a = a[np.abs(a) <= 30]
    with np.errstate(all="ignore"):
        got = FUNCTIONS[name].f(a + 1e-30j).real
        expected = FUNCTIONS[name].f(a)
    np.testing.assert_allclose(got, expected, rtol=1e-13, atol=1e-59)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_steepest_is_the_supremum_of_the_slope(name: str) -> None:
    slopes = np.abs(ACTIVATIONS[name].slope(np.linspace(-40, 40, 80001)))
    assert np.max(slopes) == pytest.approx(ACTIVATIONS[name].steepest, rel=1e-8)


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
    one_sided = ("relu", "softplus", "elu", "silu", "gelu")
    limits = {key: [1, 0] for key in one_sided} | {
        "identity": [1, 1], "leaky_relu": [1, LEAK], "selu": [SELU_SCALE, 0],
    }  # fmt: skip
    assert got.tolist() == limits.get(name, [0, 0])


def test_complex_expm1_keeps_every_digit() -> None:
    """Small, and with both parts alike: a sum of two that cancel has none to lose."""
    for size in (1e-12, 1e-3, 0.5, 3.0):
        for turn in np.linspace(0.1, 6.2, 7):
            z = size * complex(np.cos(turn), np.sin(turn))
            expected = mp.expm1(mp.mpc(z))
            assert abs(mp.mpc(complex(expm1(np.array(z)))) - expected) < 1e-15 * abs(expected)
