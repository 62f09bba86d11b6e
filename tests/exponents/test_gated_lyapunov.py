"""The Lyapunov spectrum of gated nets and stacks against the product of Jacobians in mpmath."""

from __future__ import annotations

import numpy as np
import pytest

from oracles import gated_nets, gated_products
from oracles.gated_nets import Plan, bare_net
from oracles.plain import Net
from oracles.spectrum import spectrum_of
from rnngrad.analyses.derivation.quantities import Quantities
from rnngrad.exponents.lyapunov import lyapunov
from rnngrad.net.forward import forward

ATOL = 1e-10


def drawn(cell: str, hidden: tuple[int, ...], steps: int = 40, scale: float = 1.0) -> Net:
    plan = Plan(cell, hidden, 2, 1, steps, ("tanh", "identity", "squared_error"), scale)
    return gated_nets.drawn_net(np.random.default_rng([len(hidden), steps]), plan)


def found(net: Net) -> np.ndarray:
    problem = gated_nets.problem_of(net)
    return lyapunov(problem, forward(problem)).exponents


def assert_right(net: Net, bits: int = 4000, unknown: int = 0) -> np.ndarray:
    """All of them, but for so many at the end that may not be known."""
    expected, got = spectrum_of(gated_products.jacobians(net), bits), found(net)
    known = ~np.isnan(got)
    assert (~known).sum() <= unknown
    if unknown:
        got, expected = got[known], expected[known]
    np.testing.assert_array_equal(np.isneginf(got), np.isneginf(expected))
    finite = np.isfinite(expected)
    atol = 100 * ATOL if unknown else ATOL
    np.testing.assert_allclose(got[finite], expected[finite], rtol=1e-12, atol=atol)
    return got


STACKS = [
    ("gru", (3,)),
    ("gru", (2, 3)),
    ("lstm", (2,)),
    ("lstm", (2, 1)),
    ("lstm", (1, 1, 1)),
    ("rnn", (2, 2)),
    ("rnn", (3, 1, 2)),
]


@pytest.mark.parametrize("scale", [0.3, pytest.param(1.0, marks=pytest.mark.slow), 3.0])
@pytest.mark.parametrize(("cell", "hidden"), STACKS, ids=str)
def test_random_nets(cell: str, hidden: tuple[int, ...], scale: float) -> None:
    assert_right(drawn(cell, hidden, scale=scale), unknown=2 * (len(hidden) == 3 and scale == 3.0))


@pytest.mark.parametrize(("cell", "hidden"), STACKS, ids=str)
def test_the_sum_is_the_mean_log_determinant(cell: str, hidden: tuple[int, ...]) -> None:
    net = drawn(cell, hidden, steps=300, scale=0.7)
    jacobians = Quantities(gated_nets.problem_of(net))["dht_dhprev"]
    expected = np.linalg.slogdet(jacobians)[1].mean()
    np.testing.assert_allclose(found(net).sum(), expected, rtol=1e-11)


@pytest.mark.parametrize("push", [-27.0, 30.0])
@pytest.mark.parametrize("gate", range(4))
def test_one_unit_whose_gate_is_shut(gate: int, push: float) -> None:
    """Slopes of 1e-12 beside ordinary ones: one QR of J Q a step is off by 4e-4 for f = σ(−27) and
    by 2e-2 for o = σ(30), where the columns of J differ in size and not its rows."""
    net = drawn("lstm", (3,), steps=30)
    net["b_h"] = net["b_h"].copy()
    net["b_h"][3 * gate] = push
    assert_right(net)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
@pytest.mark.parametrize("bias", [-800.0, pytest.param(-60.0, marks=pytest.mark.slow), 60.0])
def test_saturated_gates(cell: str, bias: float) -> None:
    """One gate of one layer shut or open: exponents of −1842 a step beside ordinary ones."""
    for hidden in ((2,), (1, 2)):
        net = drawn(cell, hidden, steps=8)
        name = ("b_xh" if cell == "gru" else "b_h") + (".1" if len(hidden) > 1 else "")
        units = hidden[-1]
        net[name] = net[name].copy()
        net[name][units : 2 * units] = bias
        assert_right(net, bits=30_000)


# --- directions that die


def test_a_singular_output_gate_of_lstm_kills_one_direction() -> None:
    """det J_t = Π f o (1 − o) tanh(c) · det W_ho, and W_ho has rank 1."""
    net = drawn("lstm", (2,), steps=20)
    net["W_hh"] = net["W_hh"].copy()
    net["W_hh"][6:] = [[1.0, 2.0], [2.0, 4.0]]
    assert np.isneginf(assert_right(net)).sum() == 1


def test_a_singular_matrix_of_another_gate_kills_none() -> None:
    net = drawn("lstm", (2,), steps=20)
    net["W_hh"] = net["W_hh"].copy()
    net["W_hh"][:6] = np.tile([[1.0, 2.0], [2.0, 4.0]], (3, 1))
    assert np.isfinite(assert_right(net)).all()


@pytest.mark.parametrize(
    ("cell", "hidden", "dead"),
    [
        ("gru", (2,), 0),
        ("lstm", (2,), 2),
        ("rnn", (2, 1), 3),
        ("lstm", (1, 2), 3),
        ("gru", (1, 1), 0),
    ],
)
def test_without_recurrent_weights(cell: str, hidden: tuple[int, ...], dead: int) -> None:
    """W_hh = 0: h forgets itself but for gru's z, and c remembers by f alone."""
    net = drawn(cell, hidden, steps=10)
    net |= {n: np.zeros_like(v) for n, v in net.items() if n.startswith("W_hh")}
    assert np.isneginf(assert_right(net)).sum() == dead


def test_one_dead_layer_in_a_stack() -> None:
    for cell, dead in (("lstm", 1), ("rnn", 1), ("gru", 0)):
        for at in (".0", ".1"):
            net = drawn(cell, (1, 1), steps=10)
            net[f"W_hh{at}"] = np.zeros_like(net[f"W_hh{at}"])
            assert np.isneginf(assert_right(net)).sum() == dead


def test_an_lstm_that_starts_from_nothing_and_gets_nothing() -> None:
    """c_t = 0: tanh(c) = 0 in o's row, and h_{t−1} reaches c_t only through g."""
    net = bare_net("lstm", [2], 12, W_hh=np.random.default_rng(4).normal(size=(8, 2)))
    assert_right(net)


def test_gru_whose_candidate_is_its_state() -> None:
    """Zero input and state: h = n = 0, so r and z do not count and J = z + (1 − z) r W_hn."""
    W = np.random.default_rng(5).normal(size=(6, 2))
    got = assert_right(bare_net("gru", [2], 50, W_hh=W))
    J = 0.5 * np.eye(2) + 0.25 * W[4:]
    np.testing.assert_allclose(got.sum(), np.linalg.slogdet(J)[1], rtol=1e-12)
    assert Quantities(gated_nets.problem_of(bare_net("gru", [2], 3, W_hh=W)))["dht_dhprev"][
        0
    ] == pytest.approx(J)
