"""Gated nets and stacks that overflow are data too: no warning, and what is finite stays right."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from oracles import gated_nets
from oracles.gated_nets import Plan, bare_net
from oracles.plain import Net
from rnngrad.analyses.derivation.quantities import Quantities
from rnngrad.exponents.lyapunov import lyapunov
from rnngrad.net.backward import bptt
from rnngrad.net.forward import forward

KINDS = [("gru", (2,)), ("lstm", (2,)), ("rnn", (2, 1)), ("gru", (1, 2)), ("lstm", (1, 1))]


def _net(cell: str, hidden: tuple[int, ...], scale: float, steps: int = 5) -> Net:
    activation = "identity" if cell == "rnn" else "tanh"
    plan = Plan(cell, hidden, 2, 1, steps, (activation, "identity", "squared_error"), scale)
    return gated_nets.drawn_net(np.random.default_rng(3), plan)


@pytest.mark.parametrize("scale", [1e3, 1e155, 1e300])
@pytest.mark.parametrize(("cell", "hidden"), KINDS, ids=str)
def test_every_quantity_without_a_murmur(cell: str, hidden: tuple[int, ...], scale: float) -> None:
    problem = gated_nets.problem_of(_net(cell, hidden, scale))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        shapes = {name: array.shape for name, array in Quantities(problem).items()}
        trace = forward(problem)
        bptt(problem, trace)
        lyapunov(problem, trace)
    assert shapes["dL_dh"] == (6, sum(hidden))


@pytest.mark.parametrize("cell", ["gru", "lstm"])
@pytest.mark.parametrize("number", [np.inf, np.nan])
def test_the_first_step_that_is_not_finite(cell: str, number: float) -> None:
    """x_3 is: the gates of step 3 are the first to see it."""
    net = _net(cell, (2,), 0.5)
    net["x"] = net["x"].copy()
    net["x"][2, 0] = number
    trace = forward(gated_nets.problem_of(net))
    assert trace.first_nonfinite_step == 3
    assert np.isfinite(trace.h[:3]).all()


def test_a_stack_whose_upper_layer_overflows_first() -> None:
    """h¹_t = 10^t, h²_t = 1e300 · 10^t: step 9 is the first beyond 1.8e308."""
    net = bare_net("rnn", [1, 1], 20, h_0=[1, 0]) | {"activation": "identity"}
    net |= {"W_hh.0": np.array([[10.0]]), "W_xh.1": np.array([[1e300]])}
    problem = gated_nets.problem_of(net)
    assert forward(problem).first_nonfinite_step == 9
    np.testing.assert_allclose(
        Quantities(problem)["log10_chain"][:-1], 300 + np.arange(20, 0, -1), rtol=0, atol=1e-8
    )


@pytest.mark.parametrize(("cell", "hidden"), KINDS, ids=str)
def test_an_overflow_after_the_last_loss_does_no_harm(cell: str, hidden: tuple[int, ...]) -> None:
    """Nothing after step 2 reaches a loss: the gradients are those of the first two steps."""
    net = _net(cell, hidden, 0.5)
    net["x"] = net["x"].copy()
    net["x"][2:] = np.inf
    net["loss_weights"] = np.array([0.0, 1.0, 0.0, 0.0, 0.0])
    short = net | {name: net[name][:2] for name in ("x", "targets", "loss_weights")}
    whole, part = (bptt(p, forward(p)) for p in map(gated_nets.problem_of, (net, short)))
    np.testing.assert_allclose(whole.dL_dh[:3], part.dL_dh, rtol=1e-12)
    assert not np.any(whole.dL_dh[3:])
    for name, gradient in part.weights.items():
        np.testing.assert_allclose(whole.weights[name], gradient, rtol=1e-12)
