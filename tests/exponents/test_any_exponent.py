"""Nets whose units die and come back: every exponent is right, or said not to be known."""

from __future__ import annotations

from itertools import product
from typing import Any

import mpmath
import numpy as np
import pytest

from oracles import gated_nets, gated_products, jacobian_products, nets
from oracles.gated_nets import bare_net
from oracles.living import living
from oracles.plain import Net
from oracles.spectrum import lyapunov_spectrum, spectrum_of
from rnngrad.arithmetic.arrays import quietly
from rnngrad.arithmetic.evaluation import NEAR, run_wide, wide
from rnngrad.arithmetic.functions import FUNCTIONS
from rnngrad.arithmetic.number_types import SCALED
from rnngrad.arithmetic.scaled import Scaled, normal, scaled
from rnngrad.exponents import lyapunov, scaled_tangents
from rnngrad.exponents.elimination import echelon, pseudo_random
from rnngrad.exponents.qr_order import OrderKept
from rnngrad.net.forward import forward
from rnngrad.net.linearised import LinearNet, linear_net


def saturated(cell: str, hidden: tuple[int, ...], steps: int, gain: float, seed: int) -> Net:
    """Normal numbers, W_hh of ``gain``, no biases."""
    rng = np.random.default_rng(seed)
    shapes = gated_nets.shapes(cell, hidden, 2)
    drawn = {n: rng.normal(size=s) for n, s in shapes.items() if n.startswith("W")}
    for name in drawn:
        if name.startswith("W_hh"):
            drawn[name] *= gain / np.sqrt(drawn[name].shape[1])
    return bare_net(cell, hidden, steps, 2, x=rng.normal(size=(steps, 2)), **drawn)


def found(net: Net) -> np.ndarray:
    problem = gated_nets.problem_of(net)
    return lyapunov.lyapunov(problem, forward(problem)).exponents


def product_spectrum(net: Net, bits: int) -> np.ndarray:
    """With Jacobians of as many bits: one that is rounded to 200 has lost what a gate of 2⁻⁴⁰⁰ lets
    through."""
    with jacobian_products.mp.workprec(bits):
        jacobians = gated_products.jacobians(net)
    return spectrum_of(jacobians, bits)


def assert_right_or_unknown(got: np.ndarray, expected: np.ndarray) -> int:
    """How many are not known; each of the others is one of ``expected``, none of them twice, and
    the first is the largest."""
    known, left = got[~np.isnan(got)], list(expected[np.isfinite(expected)])
    assert np.isneginf(got).sum() <= np.isneginf(expected).sum()
    for value in known[np.isfinite(known)]:
        nearest = left.pop(int(np.argmin(np.abs(np.array(left) - value))))
        assert value == pytest.approx(nearest, rel=1e-8, abs=1e-8)
    assert np.isnan(got[0]) or got[0] == pytest.approx(expected[0], rel=1e-8, abs=1e-8)
    return len(got) - len(known)


NETS = [
    pytest.param("gru", (2,), 6, 3e3, 15, 16_000, marks=pytest.mark.slow),
    pytest.param("gru", (4,), 10, 300.0, 18, 8_000, marks=pytest.mark.slow),
    ("gru", (6,), 8, 1e3, 1, 10_000),
    ("gru", (2, 2), 12, 300.0, 9, 8_000),
    pytest.param("lstm", (2,), 12, 300.0, 5, 8_000, marks=pytest.mark.slow),
    ("lstm", (1, 2), 12, 300.0, 6, 8_000),
    pytest.param("rnn", (2, 2), 12, 300.0, 7, 16_000, marks=pytest.mark.slow),
    ("rnn", (1, 2, 1), 12, 300.0, 8, 16_000),
]


@pytest.mark.cases(2)
@pytest.mark.parametrize(("cell", "hidden", "steps", "gain", "seed", "bits"), NETS, ids=str)
def test_units_that_die_and_come_back(
    cell: str, hidden: tuple[int, ...], steps: int, gain: float, seed: int, bits: int
) -> None:
    net = saturated(cell, hidden, steps, gain, seed)
    expected = product_spectrum(net, bits)
    assert np.isfinite(expected).all()
    assert assert_right_or_unknown(found(net), expected) <= len(expected) / 2


@pytest.mark.cases(2)
@pytest.mark.parametrize("coupling", [0.3, 1e-5, 1e-30])
@pytest.mark.parametrize("seed", range(2))
def test_a_block_that_feeds_another_and_takes_turns_with_it(coupling: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    W_hh = rng.normal(size=(4, 4)) / np.sqrt(2)
    W_hh[:2, 2:] = 0.0
    W_hh[2:, :2] *= coupling
    push = np.where((np.arange(60) // 12 % 2 == 0)[:, None], [4.0, 4.2, 0.1, 0.2], [0, 0.1, 4.1, 4])
    net = nets.bare_net(W_hh, 60, activation="tanh", x=push, W_xh=np.eye(4))
    problem = nets.problem_of(net)
    got = lyapunov.lyapunov(problem, forward(problem)).exponents
    assert assert_right_or_unknown(got, lyapunov_spectrum(net, 8_000)) <= 2 * (coupling < 1e-20)


def block_triangular() -> Net:
    """Three units feed three, with slopes of 2⁻²⁸ to 2⁻⁹⁶ beside 2⁻²⁷¹ to 2⁻⁴⁸⁸: what two tangents
    hold of the first three is parallel to 1e-15 when it comes to count."""
    rng = np.random.default_rng(35)
    W_hh = 70 / np.sqrt(6) * rng.normal(size=(6, 6))
    W_hh[:3, 3:] = 0.0
    return bare_net(
        "rnn", [6], 7, 2, W_hh=W_hh, W_xh=rng.normal(size=(6, 2)), h_0=rng.normal(size=6)
    )


def test_what_rounding_decides_is_not_known() -> None:
    net = block_triangular()
    expected = product_spectrum(net, 10_000)
    assert 0 < assert_right_or_unknown(found(net), expected) < len(expected)


# --- the parts


def test_an_echelon_has_the_volumes_of_its_rows() -> None:
    """Rows at 2^±3000, against Gram–Schmidt in 20,000 bits."""
    rng = np.random.default_rng(0)
    exponents = rng.integers(-3000, 3000, size=(5, 7))
    rows = normal(rng.normal(size=(5, 7)), exponents)
    with quietly():
        result = echelon(rows)
        R = np.linalg.qr(result.rows.floats().T, mode="r")
    with mpmath.workprec(20_000):
        exact = np.frompyfunc(lambda m, e: mpmath.ldexp(mpmath.mpf(m), int(e)), 2, 1)
        columns = exact(rows.mantissa, rows.exponent)
        done: list[np.ndarray] = []
        logs = []
        for column in columns:
            for direction in done:
                column = column - (direction @ column) * direction
            length = mpmath.sqrt(column @ column)
            logs.append(float(mpmath.log(length)))
            done.append(column / length)
    got = result.logs + np.log(np.abs(np.diagonal(R)))
    np.testing.assert_allclose(got, logs, rtol=1e-13)


@pytest.mark.parametrize("spread", [0, 150, 3000])
def test_zeros_of_an_echelon_stay_zeros(spread: int) -> None:
    rng = np.random.default_rng(1)
    values = np.zeros((4, 6))
    values[:2, :3], values[2:, 3:] = rng.normal(size=(2, 3)), rng.normal(size=(2, 3))
    order = np.array([2, 0, 3, 1])
    rows = normal(values[order], rng.integers(-spread, spread + 1, size=(4, 6)))
    with quietly():
        found = echelon(
            Scaled(rows.mantissa, np.where(values[order] == 0, rows.exponent, rows.exponent))
        )
    np.testing.assert_array_equal(found.rows.mantissa[[0, 2], :3], 0.0)
    np.testing.assert_array_equal(found.rows.mantissa[[1, 3], 3:], 0.0)


def test_a_row_in_the_span_of_others_goes() -> None:
    rows = np.array([[1.0, 2, 3], [2, 4, 6], [0, 0, 1]])
    with quietly():
        found = echelon(scaled(rows), normal(2.0**-50 * np.abs(rows), np.zeros((3, 3), dtype=int)))
    assert found.alive.tolist() == [0, 2]
    np.testing.assert_allclose(found.logs, np.log([3, 2 / 3]))


@pytest.mark.parametrize("apart", [1, 2, 100])
def test_switches_are_the_growth_of_a_mixture(apart: int) -> None:
    """q_2 outgrows q_1 by 1e3, then q_1 q_2 by 10; 3 times as much of it enters R[1, 1] then."""
    first, second = np.array([[1.0, 2.0], [0.0, 1e3]]), np.array([[10.0, 3.0], [0.0, 1.0]])
    for limit in (1e3 * 0.3 * 1.01, 1e3 * 0.3 * 0.99):
        switches = OrderKept(2, limit)
        switches.add(first)
        for _ in range(apart):
            switches.add(np.diag([1.0, 1.0]))
        switches.add(second)
        assert switches.look() == (limit > 300)


def test_moved_entries_move_every_minor() -> None:
    """Numbers that are linear in their place would leave 2 × 2 minors of rank-1 matrices at 0."""
    moved = 1 + scaled_tangents.NUDGE * pseudo_random(16, 1).reshape(4, 4)
    minors = moved[:-1, :-1] * moved[1:, 1:] - moved[1:, :-1] * moved[:-1, 1:]
    assert np.mean(np.abs(minors) > 0.1 * scaled_tangents.NUDGE) > 0.5


def test_a_direction_beside_a_wrong_one_is_not_sure() -> None:
    """Column 1 differs between the runs, 2 and 3 do not: but they stand on 1, until 4 makes up."""
    found = np.array([[-1.0, -30.0, -11.0, -12.0, -50.0, -60.0]])
    again = np.array([[-1.0, -31.0, -11.0, -12.0, -49.0, -60.0]])
    sure = scaled_tangents._sure(found, again, np.array([[10]]), may_die=False)
    assert sure.tolist() == [[True, False, False, False, False, True]]


@pytest.mark.parametrize("may_die", [True, False])
def test_only_what_may_die_is_sure_to_be_dead(may_die: bool) -> None:
    found = np.array([[-1.0, -np.inf, -2.0]])
    with quietly():
        sure = scaled_tangents._sure(found, found.copy(), np.array([[10]]), may_die)
    assert sure.tolist() == [[True, may_die, may_die]]


def test_noise_of_a_row_goes_where_the_row_goes() -> None:
    rows, noise = np.array([[1.0, 3.0], [2.0, 6.0001]]), np.array([[1e-3, 1e-3], [0.0, 0.0]])
    for spread in (0, 900):  # in plain floats, and beyond their range
        apart = np.array([[0, 0], [-spread, -spread]])
        with quietly():
            found = echelon(normal(rows, apart), normal(noise, apart))
            noisy = echelon(normal(rows, apart), normal(1e-3 * noise, apart))
        assert found.alive.tolist() == [0]
        assert noisy.alive.tolist() == [0, 1]


def test_the_largest_comes_from_the_product_where_it_is_not_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    net = saturated("gru", (4,), 10, 300.0, 18)
    right, carefully = found(net), lyapunov.spectrum_at_any_exponent

    def without(*which: int) -> np.ndarray:
        def forgetful(net: LinearNet, *args: Any) -> np.ndarray:
            logs = carefully(net, *args)
            logs[:, np.argsort(-logs[-1])[list(which)]] = np.nan
            return logs

        monkeypatch.setattr(lyapunov, "spectrum_at_any_exponent", forgetful)
        return found(net)

    np.testing.assert_allclose(without(0), right, rtol=1e-9)
    np.testing.assert_allclose(without(2)[[0, 1, 2]], right[[0, 1, 3]], rtol=1e-9)
    np.testing.assert_allclose(without(0, 3)[:3], right[:3], rtol=1e-9)
    monkeypatch.setattr(lyapunov, "chain_end", lambda *_: (np.nan, np.nan))
    np.testing.assert_allclose(without(3)[:3], right[:3], rtol=1e-9)
    got = without(0)
    assert np.isnan(got).tolist() == [True, False, False, False]


CANDIDATES = (-800.0, -30.0, -0.6, -0.4, 0.0, 0.2, 0.5, 3.0, 3.9, 20.0, 5000.0)
STATES = (-1.0, 1.0, 0.3, 0.99, 1 - 2.0**-53, -1 + 2.0**-40)


@pytest.mark.cases(1)
@pytest.mark.parametrize("together", [True, False])
def test_how_far_gru_is_from_its_candidate(together: bool) -> None:
    """h − tanh(a), as the term of z in gru: both may be 1 in floats. Unless these nearly are, and
    nearly the same, a rounding of 1 is allowed, which h has as well."""
    difference = [("name", "h"), ("name", "a"), ("call", "tanh", 1), ("neg", 2), ("add", 0, 3)]
    pairs = np.array(list(product(STATES, CANDIDATES)))
    for some in [pairs] if together else pairs[:, np.newaxis]:
        given = {"h": wide(some[:, 0]), "a": wide(some[:, 1])}
        with quietly():
            got = run_wide(difference, given.__getitem__, FUNCTIONS)[-1].exact
        for i, (h, a) in enumerate(some.tolist()):
            with mpmath.workprec(16_000):  # 1 − tanh 5000 is 2^-14427
                tanh = mpmath.tanh(mpmath.mpf(a))
                exact = mpmath.mpf(h) - tanh
                value = mpmath.ldexp(mpmath.mpf(float(got.mantissa[i])), int(got.exponent[i]))
                allowed = (1 + abs(a)) * 2.0**-50 * abs(exact)
                if abs(tanh) < 1 - NEAR or abs(exact) > NEAR:
                    allowed += 2.0**-53
                assert abs(value - exact) <= allowed, (h, a)


@pytest.mark.parametrize(
    "op", [("mul", 0, 1), ("div", 0, 1), ("mul", 0, 0, 1), ("power", 0, 3), ("power", 1, -2)]
)
def test_products_leave_the_range_of_floats_only_where_they_do(op: tuple[Any, ...]) -> None:
    """Right at any exponent, and plain floats where these do."""
    u, v = np.array([3.0, 2.0**-400, -(2.0**-700), 0.0]), np.array([7.0, 2.0**-300, 2.0**-800, 5.0])
    for rows in (slice(0, 1), slice(0, 2), slice(0, 4)):
        given = {"u": wide(u[rows]), "v": wide(v[rows])}
        with quietly():
            tape = [("name", "u"), ("name", "v"), op]
            got = run_wide(tape, given.__getitem__, FUNCTIONS)[-1]
        if rows.stop != 2:
            assert (got.beyond is None) == (rows.stop == 1)
        for i, (a, b) in enumerate(zip(u[rows].tolist(), v[rows].tolist(), strict=True)):
            pair, (name, *of) = [mpmath.mpf(a), mpmath.mpf(b)], op
            if name == "power":
                exact = pair[of[0]] ** of[1]
            else:
                numbers = [pair[j] for j in of]
                exact = numbers[0] / numbers[1] if name == "div" else mpmath.fprod(numbers)
            value = mpmath.ldexp(
                mpmath.mpf(float(got.exact.mantissa[i])), int(got.exact.exponent[i])
            )
            assert abs(value - exact) <= 2.0**-51 * abs(exact), (op, a, b)


# --- found by a stranger


def test_rows_that_are_multiples_of_a_third_but_for_what_is_absorbed() -> None:
    """Two rows were parallel to the last bit behind a third, in both runs alike."""
    net = bare_net(
        "rnn",
        [4],
        10,
        W_hh=[
            [76.69059769033522, -39.381307344435726, 0, 0],
            [-28.102475277435786, -25.18293483786159, 0, 0],
            [-4.026203397580139, 8.630675024369337, -12.983050574355895, 18.93760792255671],
            [-2.225597912254696, -24.084317117265858, -39.86696093250622, 9.741697829591404],
        ],
        W_xh=[[-0.517], [-0.172], [-0.111], [-0.268]],
        b_h=[0.4305, 0.1552, -0.0105, 0.1691],
        h_0=[-0.0956, -0.2412, -0.3207, 0.5833],
        x=[
            [1.15],
            [-0.26],
            [-0.085],
            [0.825],
            [-1.48],
            [-0.131],
            [-1.027],
            [1.264],
            [-0.358],
            [-2.38],
        ],
    )
    assert assert_right_or_unknown(found(net), product_spectrum(net, 12_000)) <= 2


DEAD = [[0, 0.7, 0.3], [0, 0.4, 0.2], [0, 0.2, -0.5]]


@pytest.mark.parametrize("steps", [2, 3, 10])
@pytest.mark.parametrize("push", [5.0, 14.0, 20.0])
def test_a_dead_direction_beside_one_that_is_next_to_nothing(steps: int, push: float) -> None:
    """A unit that nobody reads, and one with a slope of e⁻²ᵖᵘˢʰ."""
    net = nets.bare_net(DEAD, steps, activation="tanh", b_h=np.array([0.1, 0.0, push]))
    problem = nets.problem_of(net)
    got = lyapunov.lyapunov(problem, forward(problem)).exponents
    expected = lyapunov_spectrum(net, 4000)
    assert np.isneginf(expected).tolist() == [False, False, True]
    assert assert_right_or_unknown(got, expected) <= 2


@pytest.mark.parametrize("smallest", [1e-8, 1e-20, 1e-200])
def test_a_singular_matrix_with_a_tiny_entry(smallest: float) -> None:
    net = nets.bare_net([[1, 2, 0], [1, 2, smallest], [0.5, 1, 0]], 2)
    problem = nets.problem_of(net)
    got = lyapunov.lyapunov(problem, forward(problem)).exponents
    assert assert_right_or_unknown(got, lyapunov_spectrum(net, 8000)) <= 2


@pytest.mark.parametrize("activation", ["identity", "tanh"])
@pytest.mark.parametrize("condition", [1e8, 1e12, 1e16])
def test_a_matrix_that_is_nearly_singular(activation: str, condition: float) -> None:
    rng = np.random.default_rng(3)
    left, right = (np.linalg.qr(rng.normal(size=(4, 4)))[0] for _ in range(2))
    W_hh = left @ np.diag(np.geomspace(1.0, 1 / condition, 4)) @ right
    net = nets.bare_net(
        W_hh, 10, activation=activation, x=rng.normal(size=(10, 1)), W_xh=rng.normal(size=(4, 1))
    )
    problem = nets.problem_of(net)
    got = lyapunov.lyapunov(problem, forward(problem)).exponents
    unknown = assert_right_or_unknown(got, lyapunov_spectrum(net, 4000))
    assert unknown <= (0 if condition <= 1e8 else 2)


# --- parts that no net above needs by itself


@pytest.mark.parametrize("spread", [0, 900])
def test_what_is_left_is_moved_after_a_subtraction(spread: int) -> None:
    """3 − 2·1/4 = 2.5 is multiplied by 1.5; in plain floats, and beyond their range."""
    rows, moved = np.array([[4.0, 1.0, 0.0], [2.0, 3.0, 0.0]]), np.ones((2, 6))
    moved[1, 1] = 1.5
    exponents = np.array([[0, 0, 0], [-spread, -spread, 0]])
    with quietly():
        got = echelon(normal(rows, exponents), None, moved).logs
    np.testing.assert_allclose(got, np.log([4.0, 3.75]) - [0, spread * np.log(2)])


def exact_net(net: Net) -> LinearNet:
    problem = gated_nets.problem_of(net)
    with quietly():
        return linear_net(problem, forward(problem), SCALED)


def test_no_more_deaths_are_claimed_than_there_must_be() -> None:
    """A unit that nobody reads makes one direction die; another is next to nothing."""
    net = nets.bare_net(DEAD, 2, activation="tanh", b_h=np.array([0.1, 0.0, 20.0]))
    problem = nets.problem_of(net)
    got = lyapunov.lyapunov(problem, forward(problem)).exponents
    assert np.isneginf(got).sum() <= 1
    assert np.isnan(got).any()
    singular = nets.problem_of(nets.bare_net(np.ones((3, 3)), 6))
    got = lyapunov.lyapunov(singular, forward(singular)).exponents
    assert np.isneginf(got).tolist() == [False, True, True]


@pytest.mark.parametrize(
    ("columns", "logs", "impossible"),
    [
        ([[1, 0], [1, 1e-3]], [0.0, np.nan], True),
        ([[1, 1e-3], [1, 0]], [np.nan, 0.0], False),  # the first stands on nothing
        ([[1e-14, 0], [1, 0]], [np.log(1e-14), np.nan], False),  # 0 is 1e-12 at most, as it is seen
    ],
)
def test_what_cannot_be_the_largest(
    columns: list[list[float]], logs: list[float], impossible: bool
) -> None:
    net = bare_net("rnn", [2], 1, W_hh=np.array(columns).T)
    net["activation"] = "identity"
    with quietly():
        assert scaled_tangents.excluded(exact_net(net), 1, np.array(logs)) is impossible


@pytest.mark.parametrize(
    ("W_hh", "steps", "who"),
    [
        ([[0, 1], [0, 0]], 1, [1]),
        ([[0, 1], [0, 0]], 2, []),
        (np.ones((3, 3)), 4, [0]),
        ([[1, 2, 0], [1, 2, 1e-200], [0.5, 1, 0]], 2, [0, 2]),
        ([[1e-300, 0], [0, 1e300]], 9, [0, 1]),
        ([[0.1, 0.1], [0.3, 0.3]], 5, [0]),
        (np.eye(3, k=-1) + np.diag([1.0, 0, 0]), 3, [0]),
    ],
)
def test_who_is_alive(W_hh: object, steps: int, who: list[int]) -> None:
    W = np.array(W_hh, dtype=float)
    net = bare_net("rnn", [len(W)], steps, W_hh=W)
    net["activation"] = "identity"
    assert living(exact_net(net), steps) == who
