"""The Lyapunov spectrum against products in mpmath, where directions die, where QR goes wrong."""

from __future__ import annotations

import numpy as np
import pytest

from oracles import nets
from oracles.nets import bare_net
from oracles.plain import Net
from oracles.spectrum import lyapunov_spectrum
from rnngrad.errors import UsageError
from rnngrad.exponents.lyapunov import Lyapunov, lyapunov
from rnngrad.exponents.rank import exact_rank
from rnngrad.net.forward import forward

ATOL = 1e-10


def found(net: Net, warmup: int = 0) -> Lyapunov:
    problem = nets.problem_of(net)
    return lyapunov(problem, forward(problem), warmup)


def assert_right(net: Net, bits: int = 4000) -> None:
    expected, got = lyapunov_spectrum(net, bits), found(net).exponents
    np.testing.assert_array_equal(np.isneginf(got), np.isneginf(expected))
    finite = np.isfinite(expected)
    np.testing.assert_allclose(got[finite], expected[finite], rtol=1e-12, atol=ATOL)


def orthogonal(size: int, seed: int = 0) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(size, size)))[0]


def random_net(activation: str, scale: float, steps: int = 60, size: int = 5) -> Net:
    rng = np.random.default_rng([size, steps])
    return bare_net(
        scale * rng.normal(size=(size, size)) / np.sqrt(size),
        steps,
        activation=activation,
        W_xh=rng.normal(size=(size, 1)),
        x=rng.normal(size=(steps, 1)),
        b_h=np.full(size, 0.5),
    )


def driven(W_hh: object, rows: list[tuple[int, list[float]]]) -> Net:
    """A tanh net whose unit i is pushed to a ≈ rows' i-th number for so many steps."""
    x = np.vstack([np.tile(push, (count, 1)) for count, push in rows])
    return bare_net(W_hh, len(x), activation="tanh", x=x, W_xh=np.eye(x.shape[1]))


# --- closed forms


@pytest.mark.parametrize("scale", [0.01, 1.0, 30.0])
def test_scaled_orthogonal_has_one_exponent(scale: float) -> None:
    got = found(bare_net(scale * orthogonal(6), 500)).exponents
    np.testing.assert_allclose(got, np.log(scale), rtol=0, atol=1e-13)


def test_a_triangular_net_has_its_diagonal() -> None:
    """Q stays 1, so R[i, i] = W[i, i]^T exactly."""
    W_hh = np.array([[0.5, 3.0, -2.0], [0.0, 1.5, 1.0], [0.0, 0.0, 0.1]])
    got = found(bare_net(W_hh, 300)).exponents
    np.testing.assert_allclose(got, np.log([1.5, 0.5, 0.1]), rtol=0, atol=1e-13)


def test_the_sum_is_the_mean_log_determinant() -> None:
    net = random_net("tanh", 1.5)
    problem = nets.problem_of(net)
    slopes = problem.activation.slope(forward(problem).a)
    expected = np.log(slopes).sum() / len(slopes) + np.linalg.slogdet(net["W_hh"])[1]
    np.testing.assert_allclose(found(net).exponents.sum(), expected, rtol=1e-12)


# --- against the product


@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "relu", "softplus", "identity"])
@pytest.mark.parametrize("scale", [0.7, 3.0])
def test_random_nets(activation: str, scale: float) -> None:
    steps = 6 if (activation, scale) == ("softplus", 3.0) else 60
    assert_right(random_net(activation, scale, steps))


def test_saturated_units_keep_their_digits() -> None:
    assert_right(random_net("tanh", 20.0, steps=20), bits=8_000)


def test_slopes_that_underflow() -> None:
    assert_right(driven(0.9 * np.eye(2), [(6, [400.0, 0.0]), (3, [0.0, 400.0])]), bits=20_000)


def test_blocks_whose_dominance_switches() -> None:
    """A rounding error that leaks from one block to the other is 1e50-fold what it should be."""
    W_hh = np.zeros((4, 4))
    W_hh[:2, :2], W_hh[2:, 2:] = [[0.7, 0.4], [-0.3, 0.6]], [[0.5, -0.6], [0.2, 0.8]]
    rows = [(40, [20.0, 19.0, 0.1, 0.2]), (20, [0.1, 0.2, 20.0, 19.0])]
    order = np.array([2, 0, 3, 1])
    assert_right(driven(W_hh, rows), bits=8_000)
    permuted = [(count, [push[i] for i in order]) for count, push in rows]
    assert_right(driven(W_hh[np.ix_(order, order)], permuted), bits=8_000)


# --- directions that die


@pytest.mark.parametrize(
    ("W_hh", "steps", "dead"),
    [
        ([[0, 1], [0, 0]], 1, 1),
        ([[0, 1], [0, 0]], 2, 2),
        ([[8, 8], [-8, -8]], 6, 2),
        (np.ones((3, 3)), 6, 2),
        (np.zeros((3, 3)), 4, 3),
        (np.eye(4, k=1) + 0.5 * np.diag([0, 0, 0, 1.0]), 5, 3),
    ],
)
def test_exactly_singular(W_hh: object, steps: int, dead: int) -> None:
    """Dead, or not known where what is left of a 0 may be rounding: but never alive."""
    net = bare_net(W_hh, steps)
    got, expected = found(net).exponents, lyapunov_spectrum(net, 4000)
    assert np.isneginf(expected).sum() == dead
    assert np.isneginf(got).sum() <= dead
    alive = got[np.isfinite(got)]
    np.testing.assert_allclose(alive, expected[np.isfinite(expected)][: len(alive)], rtol=1e-9)


def test_a_dead_relu_unit_takes_one_direction() -> None:
    net = bare_net(0.3 * orthogonal(4), 12, activation="relu", b_h=np.array([50.0, 50, 50, -90]))
    assert np.isneginf(found(net).exponents).tolist() == [False, False, False, True]
    assert_right(net)


def test_units_that_die_in_turn() -> None:
    rng = np.random.default_rng(3)
    x = 3 * rng.normal(size=(9, 2))
    net = bare_net([[1, 1], [1, -1]], 9, activation="relu", x=x, W_xh=np.eye(2))
    assert_right(net)


def test_nearly_singular_is_not_dead() -> None:
    """[[1, 1], [1, 1 + 2⁻⁵²]] has determinant 2⁻⁵², so no direction dies; rounding decides."""
    got = found(bare_net([[1, 1], [1, 1 + 2.0**-52]], 1)).exponents
    np.testing.assert_allclose(got[0], np.log(2) / 2, rtol=1e-12)
    assert np.isnan(got[1])


@pytest.mark.parametrize(
    ("matrix", "rank"),
    [
        (np.zeros((3, 3)), 0),
        (np.ones((4, 4)), 1),
        ([[1, 1], [1, 1 + 2.0**-52]], 2),
        ([[0.1, 0.2], [0.2, 0.4]], 1),
        ([[1e-300, 0], [0, 1e300]], 2),
        ([[1.0, 2.0**31], [1.0, 1.0]], 2),
        (np.arange(16.0).reshape(4, 4), 2),
        ([[0, 0, 1], [0, 0, 2], [3, 0, 0]], 2),
    ],
)
def test_exact_rank(matrix: object, rank: int) -> None:
    assert exact_rank(np.array(matrix, dtype=float)) == rank


# --- warm-up, trace, interval


def test_warmup_turns_but_does_not_count() -> None:
    """ln |R[i, i]| adds up: all T steps are the first w and the T − w after them."""
    net = random_net("tanh", 1.2, steps=50, size=3)
    whole, later = found(net), found(net, warmup=20)
    first = found({**net, "x": net["x"][:20]})
    total = 20 * first.exponents.sum() + 30 * later.exponents.sum()
    np.testing.assert_allclose(total, 50 * whole.exponents.sum(), rtol=1e-12)
    assert later.steps[-1] == 50
    assert later.warmup == 20


@pytest.mark.parametrize("warmup", [-1, 10, 99])
def test_a_warmup_that_leaves_nothing(warmup: int) -> None:
    with pytest.raises(UsageError, match="0 to T − 1 = 9"):
        found(bare_net(0.5, 10), warmup)


def test_the_trace_ends_at_the_exponents() -> None:
    run = found(random_net("tanh", 1.5, steps=400))
    np.testing.assert_array_equal(run.trace[-1], run.exponents)
    assert run.steps[-1] == 400
    assert np.all(np.diff(run.steps) > 0)
    assert np.all(run.spread > 0)


def test_the_interval_follows_the_condition() -> None:
    assert found(bare_net(orthogonal(5), 3000)).interval > 20
    assert found(random_net("tanh", 20.0)).interval == 1


def test_a_fixed_long_interval_would_be_wrong() -> None:
    """The usual code, every 20 steps: its smallest exponents are rounding."""
    net = random_net("tanh", 1.0, steps=60)
    problem = nets.problem_of(net)
    slopes = problem.activation.slope(forward(problem).a)
    Q, logs = np.eye(5), np.zeros(5)
    for t in range(0, 60, 20):
        for slope in slopes[t : t + 20]:
            Q = slope[:, None] * (net["W_hh"] @ Q)
        Q, R = np.linalg.qr(Q)
        logs += np.log(np.abs(np.diagonal(R)))
    wrong = np.sort(logs / 60)[::-1]
    assert np.max(np.abs(wrong - lyapunov_spectrum(net))) > 1e-4
    assert_right(net)


def test_undefined_slopes_make_undefined_exponents() -> None:
    W_hh = [[1e200, -1e200], [1e200, 1e200]]
    net = bare_net(W_hh, 5, activation="relu", h_0=np.array([1e200, 1.0]))
    assert np.isnan(found(net).exponents).all()
