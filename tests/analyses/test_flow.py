"""The gradient flow of one net against explicit products in mpmath."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest

import rnngrad
from rnngrad.analyses.derivation.selection import select
from rnngrad.analyses.flow.chain import chain_shape, omega_terms
from rnngrad.analyses.flow.flow import GradientFlow
from rnngrad.analyses.flow.horizons import horizons, lag_profile, lags_until
from rnngrad.analyses.flow.stability import growth_rate, regime
from rnngrad.views.blocks import Lines
from rnngrad.views.derivation import flow as flow_view
from rnngrad.views.derivation.view import view_of

NET = {
    "seed": 2,
    "sizes": {"inputs": 3, "hidden": 5, "outputs": 2},
    "weights": {
        "W_xh": {"init": "normal", "std": 0.3},
        "W_hh": {"init": "gaussian"},
        "W_hy": {"init": "gaussian"},
    },
    "inputs": {"random": "normal", "steps": 60},
    "targets": {"random": "normal", "steps": 60},
}


def result(**keys: object) -> rnngrad.Derivation:
    spec = {key: value for key, value in (NET | keys).items() if value is not None}
    return rnngrad.derive(rnngrad.load(spec))


# --- shape of the chain


@pytest.mark.parametrize("activation", ["tanh", "sigmoid"])
def test_condition_and_participation(activation: str) -> None:
    """Far beyond what an SVD in float64 can see: σ_min/σ_max here falls to 1e-30."""
    derived = result(activation=activation)
    shape, end = chain_shape(derived.passes), chain_shape(derived.passes, whole=False)
    assert end.log10_condition.tolist() == [shape.log10_condition[0]]
    assert end.participation.tolist() == [shape.participation[0]]
    with mpmath.workdps(120):
        product = mpmath.eye(5)
        for k in range(60, -1, -1):
            if k % 20 == 0:
                sigmas = mpmath.svd_r(product, compute_uv=False)
                condition = float(mpmath.log10(sigmas[0] / sigmas[4]))
                squares = [sigma**2 for sigma in sigmas]
                taking_part = float(sum(squares) ** 2 / sum(s**2 for s in squares))
                assert shape.log10_condition[k] == pytest.approx(condition, abs=1e-8)
                assert shape.participation[k] == pytest.approx(taking_part, rel=1e-10)
            if k:
                product = product * mpmath.matrix(derived["dht_dhprev"][k - 1].tolist())


def test_a_lost_direction_has_infinite_condition() -> None:
    weights = {"W_xh": np.zeros((2, 1)), "W_hh": [[1, 1], [1, 1]]}
    derived = rnngrad.derive(rnngrad.load({"weights": weights, "inputs": {"zeros": 30}}))
    condition = chain_shape(derived.passes).log10_condition
    assert condition[-1] == 0
    assert np.isinf(condition[0])


def test_a_dead_unit_loses_its_direction_from_there_back() -> None:
    weights = {"W_xh": [[1], [0]], "W_hh": [[0.5, 0.1], [0.2, 0.5]], "b_h": [1, 1]}
    spec = {"activation": "relu", "weights": weights, "inputs": [0, 0, -50, 0, 0]}
    condition = chain_shape(rnngrad.derive(rnngrad.load(spec)).passes).log10_condition
    assert np.isinf(condition).tolist() == [True, True, True, False, False, False]
    end = chain_shape(rnngrad.derive(rnngrad.load(spec)).passes, whole=False)
    assert np.isinf(end.log10_condition).tolist() == [True]


def test_orthogonal_keeps_every_direction() -> None:
    weights = NET["weights"] | {"W_hh": {"init": "orthogonal", "gain": 0.5}}
    shape = chain_shape(result(activation="identity", weights=weights).passes)
    np.testing.assert_allclose(shape.log10_condition, 0, atol=1e-12)
    np.testing.assert_allclose(shape.participation, 5)


# --- horizons


def scalar(w: float, steps: int) -> np.ndarray:
    net = {"activation": "identity", "weights": {"W_xh": 1, "W_hh": w}}
    net |= {"inputs": [1] * steps, "targets": [99] * steps}
    return rnngrad.log10_paths(rnngrad.load(net))


@pytest.mark.parametrize(("log2", "lag"), [(-8, 9), (-24, 25), (-53, 54)])
def test_the_horizon_of_halving(log2: int, lag: int) -> None:
    """2⁻ˡᵃᵍ < 2⁻⁸ first holds at lag 9; a loss before step 9 reaches beyond h_0."""
    lags = lags_until(scalar(0.5, 70), log2)
    assert np.isinf(lags[: lag - 1]).all()
    assert (lags[lag - 1 :] == lag).all()


def test_below_for_good_not_for_once() -> None:
    row = np.array([[-1.0, -9.0, -2.0, -9.0, -9.0, 0.0], [np.nan] * 6])
    paths = np.full((5, 6), -np.inf)
    paths[4] = row[0]
    assert lags_until(paths, -24).tolist() == [np.inf]
    paths[4, 0] = -8.0
    assert lags_until(paths, -24).tolist() == [4.0]


def test_median_and_range() -> None:
    by_format = {h.format: h for h in horizons(scalar(0.5, 70))}
    half = by_format["bfloat16"]
    assert (half.median, half.low, half.high, half.reaching, half.losses) == (9, 9, np.inf, 8, 70)
    assert by_format["float64"].median == np.inf


def test_losses_that_do_not_count_have_no_horizon() -> None:
    derived = result(loss_steps=[10, 50])
    assert all(h.losses == 2 for h in horizons(derived["log10_paths"]))
    assert horizons(np.full((3, 4), -np.inf)) == ()


@pytest.mark.parametrize("w", [0.5, 2.0])
def test_the_lag_profile_of_a_scalar(w: float) -> None:
    profile = lag_profile(scalar(w, 30))
    np.testing.assert_allclose(profile, np.arange(31) * np.log10(w), atol=1e-12)


def test_the_lag_profile_is_a_median_over_the_losses_that_are_that_long() -> None:
    derived = result(loss_steps=[4, 9, 30])
    paths, profile = derived["log10_paths"], lag_profile(derived["log10_paths"])
    for d in (0, 3, 4, 5, 9, 10, 30):
        of = [paths[t - 1, t - d] - paths[t - 1, t] for t in (4, 9, 30) if t >= d]
        assert profile[d] == pytest.approx(np.median(of), abs=1e-12)
    assert np.isnan(profile[31:]).all()
    np.testing.assert_array_equal(lag_profile(paths[[3, 8, 29]], [4, 9, 30]), profile)
    assert np.isnan(lag_profile(np.full((3, 4), -np.inf))).all()


def test_without_a_loss_the_profile_is_that_of_the_last_state() -> None:
    derived = result(targets=None)
    profile = GradientFlow(derived).lag_profile
    np.testing.assert_array_equal(profile, derived["log10_chain"][::-1])


# --- the credit map


@pytest.mark.parametrize("steps", [5, 63, 64, 200])
def test_the_grid_of_the_credit_map(steps: int) -> None:
    inputs = {"random": "normal", "steps": steps}
    derived = result(inputs=inputs, targets=inputs)
    grid, paths = flow_view.credit_grid(GradientFlow(derived)), derived["log10_paths"]
    assert grid.log10.shape == (min(steps, 64), min(steps + 1, 64))
    assert (grid.edges[0], grid.edges[-1]) == (0, steps + 1)
    for t, row in zip(grid.steps, grid.log10, strict=True):
        for j, cell in enumerate(row):
            inside = range(grid.edges[j], min(grid.edges[j + 1], t + 1))
            if inside:
                assert cell == max(paths[t - 1, k] for k in inside)
            else:
                assert np.isnan(cell)


# --- clipping


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (3, "‖∂L/∂W‖ = 8.48528: clipping at 0.25, 1, 5 scales it by 0.029, 0.12, 0.59."),
        (0.7, "‖∂L/∂W‖ = 1.9799: clipping at 0.25, 1 scales it by 0.13, 0.51."),
        (0.05, "‖∂L/∂W‖ = 0.141421: clipping at 0.25 or more changes nothing."),
    ],
)
def test_clipping_in_a_line(target: float, words: str) -> None:
    """h = 0 · 1, L = (target − h)²: ∂L/∂W_xh = ∂L/∂b_h = −2 target, ∂L/∂W_hh = 0."""
    spec = {"activation": "identity", "weights": {"W_xh": 0, "W_hh": 0}, "inputs": [1]}
    derived = rnngrad.derive(rnngrad.load(spec | {"targets": [target]}))
    view = view_of(derived, select(derived, (), None, False))
    assert Lines((words,)) in list(flow_view.measures(view))
    norm = 2 * target * np.sqrt(2)
    assert GradientFlow(derived).gradient_norm == pytest.approx(norm)
    assert GradientFlow(derived).clipped == pytest.approx(
        {limit: min(1, limit / norm) for limit in (0.25, 1, 5)}
    )


def test_the_norm_is_that_of_all_parameters_and_large_ones_do_not_overflow() -> None:
    derived = result()
    every = [derived[name].ravel() for name in derived if name.startswith(("dL_dW", "dL_db"))]
    norm = np.linalg.norm(np.concatenate(every))
    assert GradientFlow(derived).gradient_norm == pytest.approx(norm, rel=1e-13)
    huge = {"weights": {"W_xh": 1, "W_hh": 0}, "inputs": [1], "targets": [1e200]}
    flow = GradientFlow(rnngrad.derive(rnngrad.load({"activation": "identity", **huge})))
    assert flow.gradient_norm == pytest.approx(2e200 * np.sqrt(2))
    assert np.isnan(GradientFlow(result(targets=None)).gradient_norm)


# --- Ω, rate, regime


def test_omega_by_its_definition() -> None:
    derived = result()
    expected = [
        (np.linalg.norm(g @ J) / np.linalg.norm(g) - 1) ** 2
        for g, J in zip(derived["dL_dh"][1:], derived["dht_dhprev"], strict=True)
    ]
    np.testing.assert_allclose(omega_terms(derived.passes), expected, rtol=1e-10)


def test_omega_of_a_rotation_is_zero() -> None:
    weights = NET["weights"] | {"W_hh": {"init": "orthogonal"}}
    flow = GradientFlow(result(activation="identity", weights=weights, loss_steps="last"))
    assert flow.omega.sum() == pytest.approx(0, abs=1e-25)
    assert flow.regime == "steady"


def test_omega_where_the_gradient_is_tiny_or_gone() -> None:
    weights = {"W_xh": 1, "W_hh": 1e-80}
    net = {"activation": "identity", "weights": weights, "inputs": [1] * 9, "targets": [9] * 9}
    terms = omega_terms(rnngrad.derive(rnngrad.load(net | {"loss_steps": "last"})).passes)
    assert terms[-4:].tolist() == pytest.approx([1.0] * 4)
    assert np.isnan(terms[0])


def test_growth_rate_and_regime() -> None:
    assert growth_rate(-200.0, 100) == pytest.approx(-2 * math.log(10))
    assert [regime(r) for r in (-1.0, -0.01, 0.01, 0.02, -math.inf, math.inf, math.nan)] == [
        "vanishing", "steady", "steady", "exploding", "vanishing", "exploding", None
    ]  # fmt: skip


def test_the_spectrum_from_python() -> None:
    problem = rnngrad.load(NET)
    exponents = rnngrad.lyapunov_spectrum(problem)
    assert exponents.shape == (5,)
    assert (np.diff(exponents) <= 0).all()
    flow = GradientFlow(rnngrad.derive(problem))
    np.testing.assert_array_equal(flow.lyapunov.exponents, exponents)


def test_an_undefined_chain_is_said_in_a_line() -> None:
    spec = {
        "activation": "relu",
        "sizes": {"inputs": 2, "hidden": 6},
        "weights": {"W_xh": {"init": "gaussian"}, "W_hh": {"init": "gaussian", "gain": 50}},
        "inputs": {"random": "normal", "steps": 400},
    }
    result = rnngrad.derive(rnngrad.load(spec))
    said = Lines(("Gradient flow is undefined: the chain holds what is not a number.",))
    view = view_of(result, select(result, (), None, False))
    assert [*flow_view.measures(view), *flow_view.spectrum(view)] == [said]
    alone = view_of(result, select(result, (), None, False, sections=["spectrum"]))
    assert list(flow_view.spectrum(alone)) == [said]
