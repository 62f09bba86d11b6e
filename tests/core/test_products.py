"""The ends of many chains at once against mpmath, and against each chain on its own."""

from __future__ import annotations

import numpy as np
import pytest

from oracles import jacobian_products, nets, plain
from oracles.nets import bare_net
from rnngrad.core.arrays import quietly
from rnngrad.core.forward import forward
from rnngrad.core.jacobians import scaled_slopes
from rnngrad.core.products import ChainEnds, chain_ends
from rnngrad.core.spectra import eigenvector_condition, nilpotent, sigma_max, spectral_radius

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
    factors, steps = [0.0, 1e-3, 0.4, 1.0, 3.0, -2.0], 300
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


def test_all_sizes_of_a_short_chain() -> None:
    found = ends(FULL, [0.5, 2.0], 4)
    for i, factor in enumerate([0.5, 2.0]):
        product = np.linalg.matrix_power(factor * FULL, 4)
        sigmas = np.linalg.svd(product, compute_uv=False)
        expected = np.log10([sigmas[0], sigmas[1], np.linalg.norm(product[:, 0])])
        np.testing.assert_allclose(
            [found.norm[i], found.second[i], found.first_column[i]], expected
        )


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
