"""A few gated nets against jax.grad of a scan written here, in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from oracles import gated_nets
from oracles.compare import wrong_rows
from oracles.gated_nets import Plan
from oracles.plain import Net
from rnngrad.analyses.derivation.quantities import Quantities

jax = pytest.importorskip("jax")


def _cell(name: str, W: dict[str, Any], x: Any, h: Any, c: Any) -> tuple[Any, Any]:
    jnp, sigmoid = jax.numpy, jax.nn.sigmoid
    if name == "gru":
        r_x, z_x, n_x = jnp.split(W["W_xh"] @ x + W["b_xh"], 3)
        r_h, z_h, n_h = jnp.split(W["W_hh"] @ h + W["b_hh"], 3)
        r, z = sigmoid(r_x + r_h), sigmoid(z_x + z_h)
        n = jnp.tanh(n_x + r * n_h)
        return (1 - z) * n + z * h, c
    i, f, g, o = jnp.split(W["W_xh"] @ x + W["W_hh"] @ h + W["b_h"], 4)
    c = sigmoid(f) * c + sigmoid(i) * jnp.tanh(g)
    return sigmoid(o) * jnp.tanh(c), c


def _loss(net: Net, variables: dict[str, Any]) -> Any:
    """Each layer a scan over the whole sequence, h_0 and c_0 among the variables."""
    depth = sum(name.startswith("W_hh") for name in net)
    below, at = variables["x"], 0
    for layer in range(depth):
        end = f".{layer}" if depth > 1 else ""
        W = {n.removesuffix(end): v for n, v in variables.items() if n.endswith(end)}
        units = slice(at, at + W["W_hh"].shape[1])
        start = (variables["h_0"][units], variables["c_0"][units])

        def step(state: Any, x: Any, W: dict[str, Any] = W) -> Any:
            after = _cell(net["cell"], W, x, *state)
            return after, after[0]

        _, below = jax.lax.scan(step, start, below)
        at = units.stop
    y = below @ variables["W_hy"].T + variables["b_y"]
    return ((net["targets"] - y) ** 2).sum(axis=1) @ net["loss_weights"]


@pytest.mark.cases(3)
@pytest.mark.parametrize(
    ("cell", "hidden"),
    [
        ("gru", (3,)),
        ("lstm", (2, 1, 2)),
        pytest.param("gru", (2, 1, 2), marks=pytest.mark.slow),
        pytest.param("lstm", (3,), marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_jax_agrees(cell: str, hidden: tuple[int, ...]) -> None:
    plan = Plan(cell, hidden, 2, 2, 30, ("tanh", "identity", "squared_error"), 0.6)
    net = gated_nets.drawn_net(np.random.default_rng(2), plan)
    names = [
        n for n in net if isinstance(net[n], np.ndarray) and n not in ("targets", "loss_weights")
    ]
    with jax.enable_x64(True):
        variables = {name: jax.numpy.asarray(net[name]) for name in names}
        variables.setdefault("c_0", jax.numpy.zeros(sum(hidden)))
        gradients = jax.grad(lambda v: _loss(net, v))(variables)
        found = {name: np.array(value) for name, value in gradients.items()}
    assert found["x"].dtype == np.float64
    got = Quantities(gated_nets.problem_of(net))
    expected = {f"dL_d{n}": v for n, v in found.items() if n not in ("h_0", "c_0")}
    assert wrong_rows(got, expected) == []
    np.testing.assert_allclose(got["dL_dh"][0], found["h_0"], rtol=1e-10)
    if cell == "lstm":
        np.testing.assert_allclose(got["dL_dc"][0], found["c_0"], rtol=1e-10)
