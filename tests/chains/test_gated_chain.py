"""log10_chain and log10_paths of gated nets and stacks where products of Jacobians leave float64.

Long sequences, gates shut so far that their slopes are no floats, exact zeros; mpmath multiplies
the same Jacobians out (``oracles.duals``), along the trajectory that float64 took.
"""

from __future__ import annotations

import numpy as np
import pytest

from oracles import gated_nets, gated_products
from oracles.compare import wrong_rows
from oracles.conditioning import inexcusable
from oracles.gated_nets import Plan, bare_net
from oracles.jacobian_products import mp
from oracles.plain import Net
from rnngrad.analyses.derivation.quantities import Quantities

ATOL = 1e-8
SATURATED = 3000
"""Bits that hold 1 − 1e-700: h_{t−1} − n_t where both are next to −1."""

FUNCTIONS = ("tanh", "identity", "squared_error")


def quantities(net: Net) -> Quantities:
    return Quantities(gated_nets.problem_of(net))


def drawn(cell: str, hidden: tuple[int, ...], steps: int, scale: float, seed: int = 0) -> Net:
    plan = Plan(cell, hidden, 2, 1, steps, FUNCTIONS, scale)
    return gated_nets.drawn_net(np.random.default_rng([seed, steps]), plan)


def assert_same_logs(got: np.ndarray, expected: np.ndarray) -> None:
    """Equal to 1e-8, with −inf and NaN in the same places."""
    np.testing.assert_array_equal(np.isneginf(got), np.isneginf(expected))
    np.testing.assert_array_equal(np.isnan(got), np.isnan(expected))
    finite = np.isfinite(expected)
    np.testing.assert_allclose(got[finite], expected[finite], rtol=0, atol=ATOL)


def assert_chain(net: Net) -> np.ndarray:
    got = quantities(net)["log10_chain"]
    assert_same_logs(got, gated_products.log10_chain(net))
    return got


def assert_all(net: Net, bits: int = 200) -> Quantities:
    """Every quantity, row by row; the truth in so many bits."""
    found = quantities(net)
    with mp.workprec(bits):
        wrong = wrong_rows(found, gated_products.quantities(net))
        net = gated_products.rounded(net)
        assert inexcusable(net, wrong, gated_products.quantities) == []
    return found


# --- long sequences


@pytest.mark.parametrize(
    ("cell", "hidden", "steps", "scale", "below"),
    [
        pytest.param("gru", (2,), 1000, 0.3, -70, marks=pytest.mark.slow),
        ("gru", (1, 2), 500, 0.3, -70),
        pytest.param("lstm", (2,), 1000, 0.5, -200, marks=pytest.mark.slow),
        ("lstm", (2, 1), 400, 0.5, -60),
        pytest.param("rnn", (2, 2), 700, 0.3, -140, marks=pytest.mark.slow),
        ("rnn", (1, 1, 1), 700, 0.1, -450),
        pytest.param("gru", (1,), 2000, 0.5, -350, marks=pytest.mark.slow),
        pytest.param("lstm", (1,), 5000, 0.3, -1000, marks=pytest.mark.slow),
    ],
)
def test_long_chains(
    cell: str, hidden: tuple[int, ...], steps: int, scale: float, below: float
) -> None:
    assert assert_chain(drawn(cell, hidden, steps, scale))[0] < below


@pytest.mark.parametrize(
    ("cell", "hidden"),
    [
        ("gru", (2,)),
        ("lstm", (1, 1)),
        ("rnn", (1, 2)),
        pytest.param("lstm", (1,), marks=pytest.mark.slow),
        pytest.param("gru", (1, 1), marks=pytest.mark.slow),
    ],
)
def test_every_path_of_a_long_sequence(cell: str, hidden: tuple[int, ...]) -> None:
    """T = 120, gates half shut: paths below 1e-60, and each row of the gradients right too."""
    net = drawn(cell, hidden, 120, 0.2, seed=1)
    net |= {n: v - 3.0 for n, v in net.items() if n.startswith(("b_h.", "b_xh")) or n == "b_h"}
    assert np.nanmin(assert_all(net)["log10_paths"]) < -60


def test_only_the_last_loss_over_five_hundred_steps() -> None:
    """∂L_T/∂s_k from 1 to 1e-340: what is no float any more in dL_dh is still a path."""
    net = drawn("gru", (2,), 500, 0.2, seed=2)
    net["b_xh"] = np.array([0.0, 0.0, -3.0, -3.0, 0.0, 0.0])
    net["loss_weights"] = np.eye(500)[-1]
    got = quantities(net)
    expected = gated_products.log10_chain(net)
    assert expected[0] < -320
    # a path cannot be longer than the chain, and here it is one row of it
    paths = got["log10_paths"][-1]
    direct = paths[-1]
    assert (paths <= direct + expected + ATOL).all()
    assert paths[0] > expected[0] + direct - 3
    assert not got["dL_dh"][0].any()


def test_an_open_forget_gate_keeps_the_gradient() -> None:
    """f = σ(40): ∂c_T/∂c_0 is 1 over 1000 steps, though h passes nothing on (W_hh = 0)."""
    bias = [0.0, 40.0, 0.0, 0.0]
    net = bare_net("lstm", [1], 1000, b_h=bias, x=np.ones((1000, 1)), W_xh=[[1], [0], [1], [1]])
    np.testing.assert_allclose(assert_chain(net)[0], 0.0, atol=1.0)


@pytest.mark.parametrize("bias", [-1.0, -30.0, -800.0])
def test_a_shut_forget_gate_is_a_power(bias: float) -> None:
    """∂c_T/∂c_k = σ(b_f)^(T−k) with W_hh = 0; at −800 a step is 1e-347.4, below any float."""
    net = bare_net("lstm", [1], 30, b_h=[0, bias, 0, -900], c_0=[1.0])
    powers = np.arange(30, -1, -1) * -np.logaddexp(0, -bias) / np.log(10)
    np.testing.assert_allclose(assert_chain(net), powers, rtol=1e-13, atol=ATOL)


def test_a_shut_update_gate_is_a_power() -> None:
    """gru, z = σ(−800), W_hh = 0: ∂h_t/∂h_{t−1} = z."""
    net = bare_net("gru", [2], 12, b_xh=[0, 0, -800, -800, 0, 0])
    expected = np.arange(12, -1, -1) * -800 / np.log(10)
    np.testing.assert_allclose(assert_chain(net), expected, rtol=1e-13)


# --- saturated gates


def saturated(cell: str, hidden: tuple[int, ...], sign: float, steps: int = 6) -> Net:
    """All pre-activations around ±400 by their biases."""
    net = drawn(cell, hidden, steps, 0.8, seed=5)
    names = [n for n in net if n.startswith(("b_xh", "b_h")) and not n.startswith("b_hh")]
    return net | {name: np.full_like(net[name], sign * 400.0) for name in names}


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize(
    ("cell", "hidden"),
    [("gru", (2,)), ("gru", (2, 1)), ("lstm", (2,)), ("lstm", (1, 2)), ("rnn", (2, 2))],
)
def test_saturated_gates(cell: str, hidden: tuple[int, ...], sign: float) -> None:
    assert_all(saturated(cell, hidden, sign), SATURATED)


@pytest.mark.cases(12)
@pytest.mark.parametrize(
    ("cell", "gate"),
    [*(("gru", gate) for gate in range(3)), *(("lstm", gate) for gate in range(4))],
)
@pytest.mark.parametrize(
    "push",
    [
        -800.0,
        40.0,
        400.0,
        *(pytest.param(x, marks=pytest.mark.slow) for x in (-400.0, -40.0, 800.0)),
    ],
)
def test_one_gate_saturated(cell: str, gate: int, push: float) -> None:
    net = drawn(cell, (2,), 5, 0.8, seed=6)
    name = "b_xh" if cell == "gru" else "b_h"
    at = slice(2 * gate, 2 * gate + 2)
    net[name] = net[name].copy()
    net[name][at] = push
    assert_all(net, SATURATED)


@pytest.mark.parametrize("pair", [(0, 1), (0, 3), (1, 3), (1, 2)])
@pytest.mark.parametrize("push", [-800.0, -400.0, 400.0])
def test_two_gates_of_lstm_saturated(pair: tuple[int, int], push: float) -> None:
    """With i and f both shut at −800 c itself is no float, but the Jacobian's entries count."""
    net = drawn("lstm", (2,), 6, 0.8, seed=7)
    net["b_h"] = net["b_h"].copy()
    for gate in pair:
        net["b_h"][2 * gate : 2 * gate + 2] = push
    assert_chain(net)


def test_a_bias_that_spoils_one_layer_of_a_stack() -> None:
    """The upper layer's slopes are 1e-347, the lower one's ordinary: both blocks must survive."""
    net = drawn("lstm", (1, 1), 40, 0.8, seed=8)
    net["b_h.1"] = np.array([-800.0, -800.0, 0.0, 0.0])
    assert_chain(net)
    flipped = drawn("gru", (1, 2), 40, 0.8, seed=8)
    flipped["b_xh.0"] = np.array([0.0, -800.0, 0.0])
    assert_chain(flipped)


# --- exact zeros


def test_lstm_without_recurrent_weights_forgets_h_exactly() -> None:
    """W_hh = 0: h_0 reaches nothing, c_0 reaches all; a path to h_{t−1} is an exact zero."""
    net = drawn("lstm", (2,), 5, 0.8)
    net["W_hh"] = np.zeros((8, 2))
    got = assert_all(net)
    assert not got["dL_dh"][0].any()
    assert got["dL_dc"][0].all()


def test_nothing_comes_back_where_everything_is_cut() -> None:
    """rnn, W_hh = 0 in both layers: −inf in the chain but for k = T, in the paths but for k = t."""
    net = drawn("rnn", (2, 1), 4, 0.8)
    net |= {"W_hh.0": np.zeros((2, 2)), "W_hh.1": np.zeros((1, 1)), "loss_weights": np.ones(4)}
    got = assert_all(net)
    assert np.isneginf(got["log10_chain"]).tolist() == [True] * 4 + [False]
    assert np.isneginf(got["log10_paths"]).sum() == 4 + 3 + 2 + 1


def test_a_layer_cut_off_from_the_one_below() -> None:
    """W_xh.1 = 0: the loss, which sees the upper layer, gives the lower one exact zeros."""
    for cell in ("rnn", "gru", "lstm"):
        net = drawn(cell, (2, 2), 4, 0.8)
        net["W_xh.1"] = np.zeros_like(net["W_xh.1"])
        got = assert_all(net)
        assert not got["dL_dx"].any()
        assert not got["dL_dW_hh.0"].any()
        assert not got["dL_dh"][:, :2].any()


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_an_empty_start(cell: str) -> None:
    """h_0 = c_0 = 0: f's slope meets c_0 = 0, and W_hh's gradient has nothing from step 1."""
    net = drawn(cell, (2,), 1, 0.8)
    net["h_0"] = np.zeros(2)
    net |= {"c_0": np.zeros(2)} if cell == "lstm" else {}
    got = assert_all(net)
    assert not got["dL_dW_hh"].any()


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_everything_zero(cell: str) -> None:
    """Gates at ½ and no input at all: ∂s_T/∂s_k is 2^(k−T) of h (gru), or of c and, behind the
    output gate, another half of that in h (lstm)."""
    got = assert_all(_with_loss(bare_net(cell, [2], 8)))
    expected = np.arange(8, -1, -1) * np.log10(0.5)
    expected[:-1] += 0.5 * np.log10(1.25) if cell == "lstm" else 0.0
    np.testing.assert_allclose(got["log10_chain"], expected, rtol=1e-13)


def _with_loss(net: Net) -> Net:
    """y_t = h_t, squared error at every step against 1."""
    steps, units = len(net["x"]), len(net["h_0"])
    return net | {
        "loss": "squared_error",
        "targets": np.ones((steps, units)),
        "loss_weights": np.ones(steps),
    }
