"""The spectrum from both ends against a QR every step, and nets that have no halves."""

from __future__ import annotations

import numpy as np
import pytest

import rnngrad
from oracles import plain_passes
from rnngrad.arithmetic.arrays import quietly
from rnngrad.arithmetic.scaled import scaled
from rnngrad.exponents import two_sided


def draw(steps: int, size: int, low: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng([steps, size])
    slopes = 10.0 ** rng.uniform(np.log10(low), 0.0, size=(steps, size))
    return rng.normal(size=(size, size)) / np.sqrt(size), slopes


@pytest.mark.parametrize("low", [0.5, 1e-2, 1e-4])
@pytest.mark.parametrize(("steps", "size"), [(1200, 16), (1500, 33)])
def test_against_a_qr_every_step(steps: int, size: int, low: float) -> None:
    W, slopes = draw(steps, size, low)
    ends = np.array([100, 101, 700, steps])
    with quietly():
        assert two_sided.well_conditioned(W, scaled(slopes))
        found = two_sided.two_sided_spectrum(W, scaled(slopes), ends, np.inf)
    assert found is not None
    expected = plain_passes.spectrum(W, slopes)
    np.testing.assert_allclose(found.logs.sum(axis=0) / steps, expected / steps, rtol=0, atol=1e-9)
    first = plain_passes.spectrum(W, slopes[:101])
    np.testing.assert_allclose(found.logs[:2].sum(axis=0) / 101, first / 101, rtol=0, atol=1e-8)
    assert found.decompositions < 2 * steps


NEAR_ONE_ANOTHER = {
    "near ties": (np.linalg.qr(draw(1, 16, 0.5)[0])[0], 1e-9),
    "ties": (np.linalg.qr(draw(1, 16, 0.5)[0])[0], 0.0),
    "far from normal": (np.diag(np.full(16, 0.6)) + np.diag(np.ones(15), 1), 0.3),
    "far from normal and full": (
        np.diag(np.full(16, 0.6)) + np.diag(np.ones(15), 1) + 0.01 * draw(1, 16, 0.5)[0],
        0.3,
    ),
}


@pytest.mark.parametrize(("W", "apart"), NEAR_ONE_ANOTHER.values(), ids=NEAR_ONE_ANOTHER)
def test_exponents_near_one_another_and_chains_far_from_normal(W: np.ndarray, apart: float) -> None:
    """Whichever way the verb takes: from both ends, or by as few QRs as conditions allow."""
    slopes = 1.0 - apart * np.random.default_rng(8).uniform(size=(1200, 16))
    logs = plain_passes.spectrum(W, slopes)
    with quietly():
        found = two_sided.two_sided_spectrum(W, scaled(slopes), np.array([1200]), 1200 * 1e6)
    if found is not None:
        np.testing.assert_allclose(found.logs[0], logs, rtol=0, atol=1200 * 1e-9)
    problem = rnngrad.load({
        "activation": "identity", "weights": {"W_xh": np.zeros((16, 1)), "W_hh": W},
        "inputs": {"zeros": 1200},
    })  # fmt: skip
    assert isinstance(problem, rnngrad.Problem)
    exponents = rnngrad.lyapunov_spectrum(problem)
    plain = np.sort(plain_passes.spectrum(W, np.ones((1200, 16))))[::-1] / 1200
    np.testing.assert_allclose(exponents, plain, rtol=0, atol=1e-9)


def test_a_step_that_is_too_ill_conditioned_is_not_accepted() -> None:
    W, slopes = draw(1200, 16, 0.5)
    W = np.linalg.qr(W)[0] @ np.diag(np.logspace(0, -4.9, 16)) @ np.linalg.qr(W.T)[0]
    slopes[500] = np.logspace(0, -30, 16)
    with quietly():
        assert two_sided.two_sided_spectrum(W, scaled(slopes), np.array([1200]), np.inf) is None


def test_no_halves_without_inverses() -> None:
    W, slopes = draw(1200, 16, 0.5)
    dead = slopes.copy()
    dead[600, 3] = 0.0
    singular = W.copy()
    singular[0] = singular[1] * (1 + 1e-9)
    assert not two_sided.well_conditioned(W, scaled(dead))
    assert not two_sided.well_conditioned(singular, scaled(slopes))
    assert not two_sided.well_conditioned(W, scaled(slopes[:50]))


def test_halves_whose_directions_switch_are_given_up() -> None:
    """Half of the units all but die for 100 steps, the other half for the next 100."""
    rng = np.random.default_rng(0)
    W = np.kron(np.eye(2), np.linalg.qr(rng.normal(size=(8, 8)))[0]) + 1e-9 * rng.normal(
        size=(16, 16)
    )
    first = (np.arange(1200) // 100 % 2 == 0)[:, np.newaxis] == (np.arange(16) < 8)
    slopes = np.where(first, 0.9, 0.5)
    with quietly():
        ends = np.array([600, 1200])
        assert two_sided.two_sided_spectrum(W, scaled(slopes), ends, 1e4) is None
        assert two_sided.two_sided_spectrum(W, scaled(slopes), ends, np.inf) is not None
