"""Ends of chains from a few columns: right where they are claimed, unclaimed where columns hide."""

from __future__ import annotations

import numpy as np
import pytest

from rnngrad.arithmetic.arrays import quietly
from rnngrad.chains.blocks import plain_factors, together
from rnngrad.chains.whole_product import Sampled, largest_diagonals, sampled_sizes

SIZE, STEPS = 40, 120


def sampled(W: np.ndarray, slopes: list[np.ndarray], factors: np.ndarray) -> Sampled:
    with quietly():
        return sampled_sizes(plain_factors(W, slopes, factors))


def explicit(W: np.ndarray, slopes: np.ndarray) -> tuple[float, float]:
    """log10 ‖P‖ and of the largest |R[i, i]|: P whole, by QR of every step from the first on."""
    Q, logs, R_all, log = np.eye(len(W)), np.zeros(len(W)), np.eye(len(W)), 0.0
    for d in slopes:
        Q, R = np.linalg.qr(d[:, None] * (W @ Q))
        logs += np.log10(np.abs(np.diagonal(R)))
        R_all = R @ R_all
        largest = np.abs(R_all).max()
        R_all, log = R_all / largest, log + np.log10(largest)
    return log + np.log10(np.linalg.norm(R_all, 2)), logs.max()


def gaussian(seed: int, size: int = SIZE) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(size, size)) / np.sqrt(size)


def test_both_sizes_against_the_whole_product() -> None:
    rng = np.random.default_rng(1)
    W, factors = gaussian(0), np.array([0.2, -0.9, 1.6, 4.0])
    slopes = [rng.uniform(0.02, 1.0, size=(STEPS, SIZE)) for _ in factors]
    found = sampled(W, slopes, factors)
    assert found.sure.all()
    expected = [explicit(f * W, s) for f, s in zip(factors, slopes, strict=True)]
    np.testing.assert_allclose(np.transpose(found[:2]), expected, rtol=0, atol=1e-8)


def test_what_columns_do_not_reach_is_not_claimed() -> None:
    """The first units die; the others keep everything, in more directions than are sampled."""
    W = np.full((SIZE, SIZE), 1e-9)
    W[:20, :20] += gaussian(2, 20)
    W[20:, 20:] += np.linalg.qr(gaussian(3, 20))[0]
    assert not sampled(W, [np.ones((STEPS, SIZE))], np.ones(1)).sure.any()


def test_a_direction_that_hardly_shows_in_the_columns_wins_in_the_end() -> None:
    """Only the last unit keeps its gradient, and no e_i of the sample touches it but by 1e-9."""
    W = np.full((SIZE, SIZE), 1e-9) + 0.3 * np.diag(np.linspace(0.5, 1.0, SIZE))
    W[-1, -1] = 0.9
    found, expected = (
        sampled(W, [np.ones((STEPS, SIZE))], np.ones(1)),
        explicit(W, np.ones((STEPS, SIZE))),
    )
    assert found.sure.all()
    assert found.norm[0] == pytest.approx(expected[0], abs=1e-8)
    assert np.isnan(found.growth[0]) or found.growth[0] == pytest.approx(expected[1], abs=1e-8)


def test_many_equal_directions_are_left_to_others() -> None:
    W = np.linalg.qr(gaussian(4))[0]
    assert not sampled(W, [np.ones((STEPS, SIZE))], np.ones(1)).sure.any()


@pytest.mark.parametrize("apart", [0.0, 1e-12, 1e-9, 1e-6, 1e-3])
def test_near_ties(apart: float) -> None:
    """Five leading values with next to nothing between them, which take turns; the others fade."""
    rng = np.random.default_rng(6)
    Q = np.linalg.qr(gaussian(6))[0]
    W = Q @ np.diag(np.where(np.arange(SIZE) < 5, 1.0, 0.4)) @ Q.T
    slopes = 1.0 - apart * rng.uniform(size=(STEPS, SIZE))
    found, expected = sampled(W, [slopes], np.ones(1)), explicit(W, slopes)
    assert found.sure.all()
    assert found.norm[0] == pytest.approx(expected[0], abs=1e-8)
    assert np.isnan(found.growth[0]) or found.growth[0] == pytest.approx(expected[1], abs=1e-8)


@pytest.mark.parametrize("strength", [0.5, 1.0, 3.0])
def test_a_chain_that_is_far_from_normal(strength: float) -> None:
    """Spectral radius ½, and a superdiagonal that makes the product grow for dozens of steps."""
    W = np.diag(np.linspace(0.2, 0.5, SIZE)) + strength * np.diag(np.ones(SIZE - 1), 1)
    slopes = np.random.default_rng(7).uniform(0.5, 1.0, size=(STEPS, SIZE))
    found, expected = sampled(W, [slopes], np.ones(1)), explicit(W, slopes)
    if found.sure[0]:
        assert found.norm[0] == pytest.approx(expected[0], abs=1e-8)
        assert np.isnan(found.growth[0]) or found.growth[0] == pytest.approx(expected[1], abs=1e-8)


def test_short_chains_and_small_nets_are_left_to_others() -> None:
    assert not sampled(gaussian(5), [np.ones((3, SIZE))], np.ones(1)).sure.any()
    assert not sampled(gaussian(5, 8), [np.ones((STEPS, 8))], np.ones(1)).sure.any()


def test_two_chains_that_do_not_agree_are_not_believed() -> None:
    """W = u vᵀ, exactly: P has rank 1 and holds Π vᵀ diag(σ') u, where all but rounding cancels."""
    signs = np.where(np.arange(SIZE) % 2, 1.0, -1.0)
    slopes = np.random.default_rng(9).uniform(0.5, 1.0, size=(60, SIZE))
    slopes[:, -1] = -slopes[:, :-1] @ signs[:-1]
    slopes[:, -1] = (slopes[:, -1] - slopes @ signs) * (1 + 2.0**-40)
    found = sampled(np.outer(np.ones(SIZE), signs), [slopes], np.ones(1))
    assert not found.sure.any()


def test_a_point_does_not_disturb_its_neighbours() -> None:
    rng = np.random.default_rng(7)
    W, slopes = gaussian(8), rng.uniform(0.1, 1.0, size=(STEPS, SIZE))
    alone = sampled(W, [slopes], np.array([1.3]))
    hard = np.where(np.arange(SIZE) < 30, slopes, 1e-300)
    both = sampled(W, [hard, slopes, slopes], np.array([1.3, 1.3, 0.0]))
    assert both.sure.tolist() == [False, True, False]
    assert both.norm[1] == pytest.approx(alone.norm[0], abs=1e-11)
    assert both.growth[1] == pytest.approx(alone.growth[0], abs=1e-9)


def test_what_the_tests_see_counts_with_its_margin() -> None:
    """Nine equal directions, the others 4e-7 of them in the end: 500 times that is too much."""
    values = np.where(np.arange(SIZE) < 9, 1.0, 0.4)
    Q = np.linalg.qr(gaussian(10))[0]
    assert not sampled(Q @ np.diag(values) @ Q.T, [np.ones((16, SIZE))], np.ones(1)).sure.any()


def test_a_diagonal_that_may_be_larger_further_on_is_not_claimed() -> None:
    """P = u vᵀ + 5e-9 w yᵀ: its norm is sure, R[0, 0] = 1.2e-6 is less than is left open."""
    both = np.linalg.qr(gaussian(11).T)[0].T[:2]  # u and w, orthonormal
    y, v = np.zeros(SIZE), both[0].copy()
    y[9:] = np.linalg.lstsq(both[:, 9:], np.array([0.0, 1.0]), rcond=None)[0]
    v[0] = 1.2e-6
    v[1:] += np.linalg.lstsq(both[:, 1:], np.array([1.0, 0.0]) - both @ v, rcond=None)[0]
    W = np.outer(both[0], v) + 5e-9 ** (1 / 16) * np.outer(both[1], y)
    found = sampled(W, [np.ones((16, SIZE))], np.ones(1))
    assert found.sure.all()
    assert np.isnan(found.growth[0])


def test_what_lies_beyond_bounds_the_largest_diagonal() -> None:
    R, norms = np.array([[[1.0, 2.0], [0.0, 0.5]]]), np.array([3.0])
    assert largest_diagonals(R, norms, 0.9)[0] == 1.0
    assert np.isnan(largest_diagonals(R, norms, 1.1)[0])


def test_small_slopes_are_looked_at_more_often() -> None:
    W = np.full((2, 2), 0.5)
    slopes = np.ones((8, 2))
    slopes[4, 1] = 2.0**-30
    least = plain_factors(W, [slopes], np.array([2.0**-10])).least
    assert least[0] == 2.0**-10
    assert least[4] == 2.0**-40
    assert [together(part) for part in (least[:4], least, least[4:] * 2.0**-30)] == [7, 4, 1]
    assert plain_factors(2.0**-90 * W, [slopes], np.ones(1)).least.max() == 2.0**-91
