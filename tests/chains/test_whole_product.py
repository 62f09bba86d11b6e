"""The ends of many chains at once against mpmath, and against each chain on its own."""

from __future__ import annotations

import numpy as np
import pytest

from oracles import jacobian_products, nets, plain, plain_passes
from oracles.nets import bare_net
from rnngrad.arithmetic.arrays import quietly
from rnngrad.chains.jacobians import scaled_slopes
from rnngrad.chains.matrix_norms import eigenvector_condition, nilpotent, sigma_max, spectral_radius
from rnngrad.chains.whole_product import ChainEnds, chain_ends
from rnngrad.net.forward import forward

rng = np.random.default_rng(5)


def ends(W_hh: np.ndarray, factors: list[float], steps: int, **others: object) -> ChainEnds:
    slopes = []
    for factor in factors:
        problem = nets.problem_of(bare_net(factor * np.asarray(W_hh), steps, **others))
        with quietly():
            slopes.append(scaled_slopes(problem, forward(problem)))
    return chain_ends(np.asarray(W_hh, dtype=float), slopes, np.array(factors))


FULL = rng.normal(size=(5, 5)) / np.sqrt(5)
CASES = {
    "full": FULL,
    "with a zero": FULL * (np.arange(25).reshape(5, 5) != 7),
    "triangular": np.triu(FULL),
    "weak couplings": np.triu(FULL) + 1e-200 * np.tril(FULL, -1),
    "nilpotent": np.diag(np.ones(4), 1),
}


@pytest.mark.parametrize("W_hh", CASES.values(), ids=CASES)
@pytest.mark.parametrize("activation", ["tanh", "relu", "identity"])
def test_norms_against_extended_precision(W_hh: np.ndarray, activation: str) -> None:
    factors, steps = [0.0, 1e-3, 1.0, -2.0], 200
    others = {
        "activation": activation,
        "x": np.random.default_rng(2).normal(size=(steps, 1)),
        "W_xh": np.ones((5, 1)),
    }
    got = ends(W_hh, factors, steps, **others).norm
    for factor, norm in zip(factors, got, strict=True):
        net = bare_net(factor * W_hh, steps, **others)
        expected = jacobian_products.log10_chain(net, plain.real_forward(net)["a"])[0]
        if np.isfinite(expected):
            np.testing.assert_allclose(norm, expected, rtol=0, atol=1e-8)
        else:
            assert norm == expected


def test_both_sizes_of_a_short_chain() -> None:
    found = ends(FULL, [0.5, 2.0], 4)
    for i, factor in enumerate([0.5, 2.0]):
        product = np.linalg.matrix_power(factor * FULL, 4)
        norm = np.linalg.norm(product, 2)
        growth = np.max(np.abs(np.diagonal(np.linalg.qr(product)[1])))
        np.testing.assert_allclose([found.norm[i], found.growth[i]], np.log10([norm, growth]))


@pytest.mark.parametrize("size", [3, 20, 40])
@pytest.mark.parametrize("steps", [3, 60, 700])
def test_growth_is_the_largest_exponent_where_it_is_claimed(size: int, steps: int) -> None:
    """Also with rows dropped; where columns of P are all but parallel it is claimed or nan."""
    W = np.random.default_rng(size).normal(size=(size, size)) / np.sqrt(size)
    factors = [0.3, 0.9, 1.4, 3.0]
    others = {"x": np.random.default_rng(1).normal(size=(steps, 1)), "W_xh": np.ones((size, 1))}
    got = ends(W, factors, steps, activation="tanh", **others).growth
    for factor, growth in zip(factors, got, strict=True):
        problem = nets.problem_of(bare_net(factor * W, steps, activation="tanh", **others))
        slopes = problem.activation.slope(forward(problem).a)
        expected = plain_passes.spectrum(factor * W, slopes).max() / np.log(10)
        assert np.isnan(growth) or growth == pytest.approx(expected, abs=1e-7)
    assert np.isfinite(got).any()


def test_a_column_that_may_be_the_largest_later_is_not_claimed() -> None:
    """P e₁ is nothing beside P e₂, and P e₃ is larger still once e₂ is taken out of it."""
    P = np.array([[1e-9, 1.0, 1.0], [1e-9, 1.0, -1.0], [1e-9, 1.0 + 1e-9, 2.0]])
    assert np.isnan(ends(P, [1.0], 1).growth[0])


def test_hundred_thousand_steps() -> None:
    Q = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    got = ends(Q, [0.01, 1.0, 100.0], 100_000).norm
    np.testing.assert_allclose(got, [-200_000, 0, 200_000], rtol=0, atol=1e-4)


def test_a_point_does_not_disturb_its_neighbours() -> None:
    alone = ends(FULL, [1.3], 50, activation="tanh").norm[0]
    together = ends(FULL, [0.0, 1.3, 1e-120, 50.0], 50, activation="tanh").norm[1]
    assert together == pytest.approx(alone, abs=1e-12)


# --- spectral radius


def test_spectral_radius() -> None:
    assert spectral_radius(np.array([[8.0, 8], [-8, -8]])) == 0.0
    assert spectral_radius(np.diag(np.ones(6), 1)) == 0.0
    assert spectral_radius(np.array([[0.0, 2], [-2, 0]])) == pytest.approx(2.0)
    assert spectral_radius(1e-200 * np.eye(3)) == pytest.approx(1e-200)
    assert not nilpotent(1e-300 * np.eye(2))
    assert sigma_max(np.array([[8.0, 8], [-8, -8]])) == pytest.approx(16.0)


def test_eigenvector_condition() -> None:
    assert eigenvector_condition(np.array([[0.0, 2], [-2, 0]])) == pytest.approx(1.0)
    assert eigenvector_condition(np.array([[1.0, 1], [0, 1]])) > 1e12


def test_blocks_whose_dominance_switches_are_seen() -> None:
    """Every entry of W_hh is an ordinary number, and still plain floats lose what wins later."""
    W_hh = np.array([[0.9, 1e-25], [1e-25, 0.8]])
    x = np.array([[400.0, 0.0]] * 40 + [[0.0, 400.0]] * 20)
    others = {"activation": "tanh", "x": x, "W_xh": np.eye(2)}
    got = ends(W_hh, [0.5, 1.0], len(x), **others).norm
    for factor, norm in zip([0.5, 1.0], got, strict=True):
        net = bare_net(factor * W_hh, len(x), **others)
        exact = jacobian_products.log10_chain(net, plain.real_forward(net)["a"])[0]
        np.testing.assert_allclose(norm, exact, rtol=0, atol=1e-8)
