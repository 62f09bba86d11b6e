"""log10_chain and log10_paths in plain floats against the exact, entry-by-entry way, and mpmath.

The nets that the fast way must not be trusted with are here: each is shown to fail its condition.
"""

from __future__ import annotations

import numpy as np
import pytest

from oracles import jacobian_products, nets, plain
from oracles.nets import bare_net
from rnngrad.arithmetic.arrays import quietly
from rnngrad.arithmetic.scaled import Bands, Scaled, log10_lengths, scaled, times
from rnngrad.chains import chain_norms, matrix_norms
from rnngrad.chains.chain_norms import Chain, exact_log10_norms, log10_norms
from rnngrad.chains.matrix_norms import ln_largest
from rnngrad.chains.path_norms import log10_path_norms

ATOL = 1e-8


def full(size: int, gain: float = 0.9, seed: int = 0) -> np.ndarray:
    return gain * np.random.default_rng([seed, size]).normal(size=(size, size)) / np.sqrt(size)


def drawn(steps: int, size: int, low: float = 0.3, seed: int = 1) -> np.ndarray:
    return np.random.default_rng([seed, steps]).uniform(low, 1.0, size=(steps, size))


def assert_same(got: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_array_equal(np.isneginf(got), np.isneginf(expected))
    np.testing.assert_array_equal(np.isnan(got), np.isnan(expected))
    finite = np.isfinite(expected)
    np.testing.assert_allclose(got[finite], expected[finite], rtol=0, atol=ATOL)


def fast(slopes: np.ndarray | Scaled, W: np.ndarray) -> np.ndarray | None:
    """The fast way alone; None where it gives up."""
    slopes = scaled(slopes) if isinstance(slopes, np.ndarray) else slopes
    with quietly():
        found = Chain(W).extend(slopes)
        return None if found is None else np.append(found, 0.0)


@pytest.mark.parametrize("size", [2, 3, 8, 40])
@pytest.mark.parametrize("gain", [0.3, 1.0, 4.0])
def test_full_nets_go_the_fast_way(size: int, gain: float) -> None:
    W, slopes = full(size, gain), drawn(400, size)
    got = fast(slopes, W)
    assert got is not None
    with quietly():
        assert_same(got, exact_log10_norms(scaled(slopes), W))


@pytest.mark.parametrize("W", [full(8), np.diag(np.linspace(0.5, 1.0, 8))], ids=["full", "exact"])
def test_plain_slopes_give_the_same(W: np.ndarray) -> None:
    slopes = drawn(300, 8, low=1e-9)
    with quietly():
        got = log10_norms(slopes, W)
        np.testing.assert_allclose(got, log10_norms(scaled(slopes), W), rtol=0, atol=1e-9)


def test_rank_falls_to_one() -> None:
    product = Chain(full(20))
    with quietly():
        assert product.extend(scaled(drawn(3000, 20))) is not None
    assert len(product.M) == 1


def test_segment_by_segment_it_is_the_same_chain() -> None:
    W, slopes = full(20), drawn(900, 20)
    chain = Chain(W)
    with quietly():
        parts = [chain.extend(slopes[first : first + 300]) for first in (600, 300, 0)]
        expected = exact_log10_norms(scaled(slopes), W)[:-1]
    np.testing.assert_allclose(np.concatenate(parts[::-1]), expected, rtol=0, atol=ATOL)


def test_an_orthogonal_chain_keeps_every_row() -> None:
    Q = np.linalg.qr(full(12))[0]
    got = fast(np.ones((500, 12)), 0.5 * Q)
    assert got is not None
    np.testing.assert_allclose(got, np.arange(500, -1, -1) * np.log10(0.5), rtol=0, atol=ATOL)


def saturated(steps: int, size: int, cut: list[tuple[slice, slice]]) -> Scaled:
    """Slopes of which some units are all but off, 1e-300, for some stretches of steps."""
    slopes = drawn(steps, size)
    for when, units in cut:
        slopes[when, units] *= 1e-300
    return scaled(slopes)


HARD = {
    "two blocks, dominance switches": (
        np.kron(np.eye(2), full(6)),
        saturated(300, 12, [(slice(0, 150), slice(0, 6)), (slice(150, 300), slice(6, 12))]),
    ),
    "coupled one way": (
        np.kron(np.array([[1.0, 0.0], [1.0, 1.0]]), full(6)),
        saturated(300, 12, [(slice(0, 150), slice(0, 6)), (slice(150, 300), slice(6, 12))]),
    ),
    "coupled by 1e-200": (
        np.kron(np.array([[1.0, 1e-200], [1e-200, 1.0]]), full(6)),
        saturated(300, 12, [(slice(0, 150), slice(0, 6)), (slice(150, 300), slice(6, 12))]),
    ),
    "coupled by 1e-12": (
        np.kron(np.array([[1.0, 1e-12], [1e-12, 1.0]]), full(6)),
        saturated(200, 12, [(slice(0, 60), slice(0, 6)), (slice(60, 200), slice(6, 12))]),
    ),
    "one unit at a time is off": (full(8), saturated(300, 8, [(slice(0, 300, 7), slice(2, 3))])),
    "one unit at a time is on": (full(8), saturated(300, 8, [(slice(0, 300, 7), slice(1, 8))])),
    "all off for a step": (full(8), saturated(200, 8, [(slice(100, 101), slice(0, 8))])),
    "a zero in W": (full(8) * (np.arange(64).reshape(8, 8) != 9), saturated(100, 8, [])),
    "diagonal": (np.diag(np.linspace(0.5, 1.0, 8)), saturated(100, 8, [])),
    "far from normal": (
        np.diag(np.full(12, 0.45)) + np.diag(np.ones(11), 1) - 0.5 * np.diag(np.ones(8), 4),
        saturated(120, 12, []),
    ),
    "far from normal and full": (
        np.diag(np.full(12, 0.45)) + np.diag(np.ones(11), 1) + 1e-6 * full(12),
        saturated(120, 12, []),
    ),
    "near ties that take turns": (
        np.linalg.qr(full(8))[0],
        scaled(1.0 - 1e-9 * np.random.default_rng(5).uniform(size=(150, 8))),
    ),
    "nilpotent": (np.diag(np.ones(7), 1), saturated(50, 8, [])),
    "nilpotent and full": (np.outer([1.0, 1, 1, 1], [1.0, 1, -1, -1]), scaled(np.ones((40, 4)))),
}


@pytest.mark.parametrize(("W", "slopes"), HARD.values(), ids=HARD)
def test_nets_that_break_a_normalised_product(W: np.ndarray, slopes: Scaled) -> None:
    with quietly():
        assert_same(log10_norms(slopes, W), exact_log10_norms(slopes, W))


@pytest.mark.parametrize(
    "name", ["two blocks, dominance switches", "coupled by 1e-200", "diagonal"]
)
def test_the_fast_way_gives_up_there(name: str) -> None:
    W, slopes = HARD[name]
    assert fast(slopes, W) is None


def test_dropping_rows_there_would_be_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """So the condition on the columns is what saves it."""
    W, slopes = HARD["coupled by 1e-12"]
    with quietly():
        expected = exact_log10_norms(slopes, W)
        monkeypatch.setattr(matrix_norms, "MIXED", 0.0)
        monkeypatch.setattr(
            chain_norms,
            "without_small_rows",
            lambda M: matrix_norms.without_small_rows(M, 2.0**-30),
        )
        got = fast(slopes, W)
    assert got is None or np.max(np.abs(got - expected)) > 1e-6


def test_dead_relu_units() -> None:
    slopes = (np.random.default_rng(3).uniform(size=(300, 16)) < 0.7).astype(float)
    W = full(16, 1.5)
    got = fast(slopes, W)
    assert got is not None
    with quietly():
        assert_same(got, exact_log10_norms(scaled(slopes), W))


def test_every_relu_unit_dead_at_one_step() -> None:
    slopes = np.ones((60, 8))
    slopes[30] = 0.0
    with quietly():
        got = log10_norms(scaled(slopes), full(8))
    assert np.isneginf(got[:31]).all()
    assert np.isfinite(got[31:]).all()


@pytest.mark.parametrize("gain", [1e-160, 1e160])
def test_extreme_weights(gain: float) -> None:
    with quietly():
        slopes, W = scaled(drawn(50, 6)), full(6, gain)
        assert_same(log10_norms(slopes, W), exact_log10_norms(slopes, W))


def test_against_mpmath_where_nothing_else_reaches() -> None:
    rng = np.random.default_rng(2)
    others = {"x": rng.normal(size=(120, 1)) * 3, "W_xh": rng.normal(size=(6, 1))}
    net = bare_net(full(6), 120, activation="tanh", **others)
    expected = jacobian_products.log10_chain(net, plain.real_forward(net)["a"])
    problem = nets.problem_of(net)
    slopes = problem.activation.slope(plain.real_forward(net)["a"])
    got = fast(slopes, net["W_hh"])
    assert got is not None
    assert_same(got, expected)


def test_largest_eigenvalues() -> None:
    rng = np.random.default_rng(4)
    for size in (1, 2, 3, 7):
        A = rng.normal(size=(20, size, 3)) * 10.0 ** rng.uniform(-3, 3, (20, size, 1))
        G = A @ A.transpose(0, 2, 1)
        expected = np.log(np.linalg.eigvalsh(G)[:, -1])
        np.testing.assert_allclose(ln_largest(G), expected, rtol=0, atol=1e-9)
    equal = np.broadcast_to(np.eye(5) * 3.0, (2, 5, 5))
    np.testing.assert_allclose(ln_largest(equal), np.log(3.0), rtol=0, atol=1e-9)


# --- paths


def exact_paths(slopes: Scaled, W: np.ndarray, direct: Scaled, counts: np.ndarray) -> np.ndarray:
    """Each loss on its own, entry by entry."""
    steps = len(counts)
    found = np.full((steps, steps + 1), np.nan)
    for t in range(1, steps + 1):
        found[t - 1, : t + 1] = -np.inf
        row = direct[t - 1 : t]
        for k in range(t, -1, -1):
            if counts[t - 1]:
                found[t - 1, k] = log10_lengths(row)[0]
            row = times(row * slopes[k - 1], Bands(W)) if k else row
    return found


@pytest.mark.parametrize(("W", "slopes"), HARD.values(), ids=HARD)
def test_paths_of_hard_nets(W: np.ndarray, slopes: Scaled) -> None:
    slopes = slopes[:60]
    rng = np.random.default_rng(6)
    direct = rng.normal(size=slopes.mantissa[:60].shape)
    direct[5], direct[6, 0] = 0.0, 0.0
    counts = np.arange(len(direct)) % 3 != 1
    with quietly():
        got = log10_path_norms(slopes, W, scaled(direct), counts)
        assert_same(got, exact_paths(slopes, W, scaled(direct), counts))


@pytest.mark.parametrize("gain", [1e-20, 0.05, 30.0])
def test_paths_leave_the_range_of_floats_and_come_back_right(gain: float) -> None:
    slopes, W = scaled(drawn(120, 5)), full(5, gain)
    direct, counts = scaled(drawn(120, 5, seed=9)), np.ones(120, bool)
    with quietly():
        got = log10_path_norms(slopes, W, direct, counts)
        assert_same(got, exact_paths(slopes, W, direct, counts))


def test_the_norm_is_right_to_rounding() -> None:
    """Leading eigenvalues near one another, which a bracket closes in on slowly."""
    rng = np.random.default_rng(3)
    gaps = np.array([1e-1, 1e-2, 1e-3])
    G = np.array([
        Q @ np.diag(np.append([1.0, 1.0 - gap], rng.uniform(0, 0.5, 4))) @ Q.T
        for gap in gaps
        for Q in [np.linalg.qr(rng.normal(size=(6, 6)))[0]]
    ])  # fmt: skip
    np.testing.assert_allclose(ln_largest(G), 0.0, rtol=0, atol=1e-14)


def test_rows_that_still_change_the_norm_are_kept() -> None:
    """σ₁² = 1 + 1e-10 of two rows along one another."""
    M = np.zeros((1, 2, 3))
    M[0, :, 0] = 1.0, 1e-5
    found = ln_largest(chain_norms._leading_grams(M))
    np.testing.assert_allclose(found, np.log1p(1e-10), rtol=0, atol=1e-15)
