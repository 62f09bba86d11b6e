"""A forward pass that overflows is data: no warning, no exception, and the chain stays exact."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from oracles import nets
from oracles.nets import bare_net
from rnngrad.analyses.derivation.quantities import Quantities
from rnngrad.net.backward import bptt
from rnngrad.net.forward import forward

FUNCTIONS = ["identity", "relu"]


@pytest.mark.parametrize("activation", FUNCTIONS)
def test_first_nonfinite_step_of_the_state(activation: str) -> None:
    """h_t = 10ᵗ leaves float64 at t = 309."""
    net = bare_net(10 * np.eye(2), 400, activation=activation, h_0=np.ones(2))
    trace = forward(nets.problem_of(net))
    assert trace.first_nonfinite_step == 309
    assert np.isfinite(trace.h[:309]).all()


@pytest.mark.parametrize("activation", FUNCTIONS)
def test_the_loss_overflows_before_the_state(activation: str) -> None:
    """(10ᵗ)² does at t = 155."""
    net = bare_net(10.0, 200, activation=activation, h_0=np.ones(1))
    trace = forward(nets.problem_of(nets.with_loss(net, np.zeros((200, 1)))))
    assert trace.first_nonfinite_step == 155
    assert trace.loss == np.inf


def test_a_finite_pass_has_none() -> None:
    assert forward(nets.problem_of(bare_net(0.5, 5))).first_nonfinite_step is None


@pytest.mark.parametrize("activation", FUNCTIONS)
def test_the_linear_chain_is_exact_all_the_same(activation: str) -> None:
    """The state is inf from t = 309 on, which a relu passes on with slope 1."""
    net = bare_net(np.full((2, 2), 5.0), 400, activation=activation, h_0=np.ones(2))
    got = Quantities(nets.problem_of(net))["log10_chain"]
    np.testing.assert_allclose(got, np.arange(400, -1, -1.0), rtol=0, atol=1e-8)


def test_the_linear_chain_is_exact_where_the_state_is_nan() -> None:
    """inf − inf in the state; the Jacobian of an identity net never looked at it."""
    W_hh = 10 * np.array([[0.6, -0.8], [0.8, 0.6]])
    net = bare_net(W_hh, 500, h_0=np.ones(2))
    quantities = Quantities(nets.problem_of(net))
    assert np.isnan(quantities["h"]).any()
    np.testing.assert_allclose(quantities["log10_chain"], np.arange(500, -1, -1.0), atol=1e-8)


@pytest.mark.parametrize("activation", ["identity", "relu", "softplus"])
@pytest.mark.parametrize(
    ("output", "loss"),
    [
        ("identity", "squared_error"),
        ("softmax", "squared_error"),
        ("softmax", "cross_entropy"),
        ("sigmoid", "binary_cross_entropy"),
        ("softplus", "mean_squared_error"),
    ],
)
def test_every_quantity_without_a_murmur(activation: str, output: str, loss: str) -> None:
    rng = np.random.default_rng(0)
    net = bare_net(30 * rng.normal(size=(3, 3)), 400, activation=activation, h_0=np.ones(3))
    net = nets.with_loss(net | {"output": output}, np.tile([0.0, 1.0, 0.0], (400, 1)), loss)
    problem = nets.problem_of(net)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quantities = {name: array.shape for name, array in Quantities(problem).items()}
        trace = forward(problem)
        bptt(problem, trace)
    assert trace.first_nonfinite_step is not None
    assert quantities["dL_dh"] == (401, 3)


def test_an_overflow_after_the_last_loss_does_no_harm() -> None:
    """Nothing after step 2 reaches a loss: the gradients are those of the first two steps."""
    net = bare_net(10.0, 400, h_0=np.ones(1))
    long = nets.with_loss(net, np.zeros((400, 1)), weights=[0, 1] + [0] * 398)
    short = nets.with_loss(bare_net(10.0, 2, h_0=np.ones(1)), np.zeros((2, 1)), weights=[0, 1])
    whole, part = (bptt(p, forward(p)) for p in map(nets.problem_of, (long, short)))
    np.testing.assert_array_equal(whole.dL_dh[:3], part.dL_dh)
    assert not np.any(whole.dL_dh[3:])
    for name, gradient in part.weights.items():
        np.testing.assert_array_equal(whole.weights[name], gradient)
