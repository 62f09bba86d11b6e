"""What the checks are built of: estimates, directions, slopes and products, each on its own."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from checking import planted
from oracles import nets
from rnngrad.analyses.checking.comparing import kinks
from rnngrad.analyses.checking.own.checker import Checker
from rnngrad.analyses.checking.references import finite_differences, loss_values, products
from rnngrad.analyses.checking.references.perturbed_forward import setting
from rnngrad.analyses.checking.references.random_signs import picked, signs
from rnngrad.analyses.checking.references.step_derivatives import complex_step, slopes
from rnngrad.arithmetic.functions import ACTIVATIONS
from rnngrad.arithmetic.scaled import Scaled, scaled
from rnngrad.net.forward import forward


@pytest.mark.parametrize("estimator", [finite_differences.central, finite_differences.one_sided])
def test_an_estimate_is_right_to_its_error(estimator: finite_differences.Function) -> None:
    points = np.linspace(-2, 2, 41)

    def function(size: float) -> np.ndarray:
        return np.exp(np.sin(3 * (points + size)))

    found = estimator(function, finite_differences.rounding(function))
    exact = 3 * np.cos(3 * points) * np.exp(np.sin(3 * points))
    assert np.all(np.abs(found.value - exact) <= found.error)
    assert np.max(found.error) < 1e-8


@pytest.mark.parametrize("distance", [0.2, 1e-3, 1e-6])
def test_a_kink_within_the_ladder_does_no_harm(distance: float) -> None:
    def function(size: float) -> np.ndarray:
        return np.maximum(np.array([distance + size, -distance + size]), 0.0)

    found = finite_differences.central(function, finite_differences.rounding(function))
    assert np.all(np.abs(found.value - [1.0, 0.0]) <= found.error)


@pytest.mark.parametrize(("claimed", "rate"), [(1.0, 2.0), (1.5, 1.0)])
def test_the_rate_tells_right_from_wrong(claimed: float, rate: float) -> None:
    measured = finite_differences.rate(lambda h: np.exp(np.array([h])), claimed)
    assert measured == pytest.approx(rate, abs=0.05)


def test_a_linear_function_has_no_remainder() -> None:
    assert finite_differences.rate(lambda h: np.array([1.0 + h]), 1.0) is None


def test_directions_are_signs_that_repeat_and_balance() -> None:
    drawn = signs((200, 50), 7)
    assert set(np.unique(drawn)) == {-1.0, 1.0}
    assert np.array_equal(drawn, signs((200, 50), 7))
    assert abs(drawn.mean()) < 0.03
    assert abs(np.mean(drawn * signs((200, 50), 8))) < 0.03
    assert np.array_equal(picked(5, 3, 1), [0, 1, 2])
    assert set(picked(12, 1000, 1)) <= set(range(1000))


@pytest.mark.parametrize("name", ["sigmoid", "tanh", "softplus"])
def test_slopes_go_on_below_the_range_of_floats(name: str) -> None:
    record = ACTIVATIONS[name]
    a = -np.array([[0.5, 30.0, 320.0, 700.0, 2e3, 1e5]])
    found = slopes(record, a)
    log2 = np.log2(np.abs(found.mantissa)) + found.exponent
    assert log2 == pytest.approx(record.log2_slope(a), rel=1e-13)


def test_a_complex_step_has_no_error_of_its_own() -> None:
    x = np.linspace(-3, 3, 25)
    found = complex_step(lambda h: np.sin(x + h) ** 3)
    assert found == pytest.approx(3 * np.sin(x) ** 2 * np.cos(x), rel=1e-14)


def test_a_product_keeps_entries_that_lie_a_thousand_decades_apart() -> None:
    rows = Scaled(np.array([[0.5, 0.5]]), np.array([[0, -3400]]))
    found = products.pulled(rows, scaled(np.ones(2)), np.array([[1.0, 0.0], [0.0, 3.0]]))
    exact = [Fraction(1, 2), Fraction(3, 2) * Fraction(1, 2**3400)]
    got = [
        Fraction(float(m)) * Fraction(2) ** int(e)
        for m, e in zip(found.mantissa[0], found.exponent[0], strict=True)
    ]
    assert got == exact


def test_a_gap_that_cancels_keeps_its_digits() -> None:
    net = planted.net() | {"output": "sigmoid", "W_hy": np.zeros((2, 3)), "b_y": np.full(2, 40.0)}
    problem = nets.problem_of(net | {"targets": np.ones_like(net["targets"])})
    found = loss_values.gaps(problem, forward(problem))
    assert found == pytest.approx(np.exp(-40.0) / (1 + np.exp(-40.0)), rel=1e-15)


def test_a_kink_is_only_what_rounding_decides() -> None:
    net = planted.net(activation="relu")
    problem = nets.problem_of(net)
    assert kinks.kinks(problem, forward(problem)).state is None
    a = net["W_xh"] @ net["x"][0] + net["W_hh"] @ net["h_0"]
    at = nets.problem_of(net | {"b_h": -a})
    assert kinks.kinks(at, forward(at)).state == (1, 0)
    near = nets.problem_of(net | {"b_h": -a + 1e-9})
    assert kinks.kinks(near, forward(near)).state is None


def test_the_setting_has_slopes_for_every_step() -> None:
    problem = replace(planted.problem(), loss=None, targets=None, loss_weights=None)
    assert setting(problem).slopes.mantissa.shape == (5, 3)


def test_a_blind_gate_is_told_from_its_own_step_on() -> None:
    """Step 2 of 3 is saturated: the Jacobians ∂s_3/∂s_k of k = 0, 1 pass it, and gate 2 is it."""
    checker = Checker.__new__(Checker)
    checker.blind = np.array([False, True, False])
    assert checker.blindly(np.arange(4), 3).tolist() == [True, True, True, False]
    assert checker.blindly(2, np.array([1, 2, 3])).tolist() == [False, True, True]
