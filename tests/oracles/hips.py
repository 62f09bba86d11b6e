"""The same net in HIPS autograd: reverse-mode gradients from a tape that somebody else wrote.

Source: Maclaurin, Duvenaud, Adams, *Autograd: effortless gradients in NumPy* (2015).
"""

from __future__ import annotations

from typing import Any

import autograd.numpy as anp
import numpy as np
from autograd import grad

from oracles.plain import PARAMETERS, Net, Numbers


def quantities(net: Net) -> dict[str, Numbers]:
    """∂L/∂ every parameter, x and every h_k, by the names of the contract."""
    names = [name for name in (*PARAMETERS, "x") if name in net]
    variables = {name: np.array(net[name], dtype=float) for name in names}
    variables["h"] = np.zeros((len(net["x"]) + 1, len(net["h_0"])))
    with np.errstate(all="ignore"):
        gradients = grad(lambda v: _loss(net, v))(variables)
    return {f"dL_d{name}": value for name, value in gradients.items()}


def _loss(net: Net, v: dict[str, Any]) -> Any:
    """L, with v["h"][k] added to h_k: its gradient at 0 is ∂L/∂h_k."""
    h = net["h_0"] + v["h"][0]
    total = 0.0
    for t, x in enumerate(v["x"], start=1):
        a = anp.dot(v["W_xh"], x) + anp.dot(v["W_hh"], h) + v["b_h"]
        h = activate(net["activation"], a) + v["h"][t]
        a_y = anp.dot(v["W_hy"], h) + v["b_y"] if "W_hy" in v else h
        if net["loss_weights"][t - 1]:
            total = total + net["loss_weights"][t - 1] * step_loss(net, t, a_y)
    return total


def activate(name: str, a: Any) -> Any:
    """σ or g of one step."""
    if name == "sigmoid":
        return 0.5 * (anp.tanh(0.5 * a) + 1.0)
    if name == "tanh":
        return anp.tanh(a)
    if name == "relu":
        return anp.where(a > 0, a, 0.0)
    if name == "softplus":
        return anp.logaddexp(0.0, a)
    if name == "softmax":
        return anp.exp(_log_softmax(a))
    return a


def _log_softmax(a: Any) -> Any:
    shifted = a - anp.max(a)
    return shifted - anp.log(anp.sum(anp.exp(shifted)))


def step_loss(net: Net, t: int, a_y: Any) -> Any:
    """ℓ_t of one step from the read-out's pre-activation."""
    target = net["targets"][t - 1]
    if net["loss"] == "binary_cross_entropy":
        terms = target * anp.logaddexp(0.0, -a_y) + (1.0 - target) * anp.logaddexp(0.0, a_y)
        return anp.sum(terms)
    if net["loss"] == "cross_entropy":
        return -anp.sum(target * _log_softmax(a_y))
    squares = (target - activate(net["output"], a_y)) ** 2
    return anp.mean(squares) if net["loss"] == "mean_squared_error" else anp.sum(squares)
