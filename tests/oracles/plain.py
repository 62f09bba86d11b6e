"""The forward pass, equation by equation, for any kind of number.

A net is a plain dict: ``activation``, ``output``, ``loss`` (names; loss may be None), ``W_xh``,
``W_hh``, ``b_h``, optionally ``W_hy`` and ``b_y``, ``x`` (T, I), ``h_0`` (H,), ``targets`` (T, O),
``loss_weights`` (T,). So a perturbed net is ``{**net, "W_hh": other}``.

Everything runs in complex numbers whose imaginary part is an infinitesimal (for the complex step)
and in mpmath's: `Maths` holds what differs. Every formula keeps the relative precision of the
infinitesimal part also where a unit saturates.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

Net = dict[str, Any]
Numbers = np.ndarray

ARRAYS = ("W_xh", "W_hh", "b_h", "W_hy", "b_y", "x", "h_0", "targets")
PARAMETERS = ("W_xh", "W_hh", "b_h", "W_hy", "b_y")


class Maths(NamedTuple):
    """The elementary functions of one kind of number, element by element."""

    number: type
    exp: Callable[[Numbers], Numbers]
    log1p: Callable[[Numbers], Numbers]
    tanh: Callable[[Numbers], Numbers]


def _log1p(z: Numbers) -> Numbers:
    """ln(1 + u + iv) = ln(1 + u) + i·atan(v/(1 + u)) for an infinitesimal v.

    NumPy's own complex log1p loses the real part for small u.
    """
    return np.log1p(z.real) + 1j * np.arctan2(z.imag, 1.0 + z.real)


COMPLEX = Maths(np.complex128, np.exp, _log1p, np.tanh)


def sigmoid(a: Numbers, m: Maths) -> Numbers:
    """1/(1 + e⁻ᵃ) = eᵃ/(1 + eᵃ), whichever exponential is the small one."""
    positive = a.real > 0
    e = m.exp(np.where(positive, -a, a))
    return np.where(positive, 1 / (1 + e), e / (1 + e))


def softplus(a: Numbers, m: Maths) -> Numbers:
    """ln(1 + eᵃ) = a + ln(1 + e⁻ᵃ)"""
    positive = a.real > 0
    return np.where(positive, a, 0 * a) + m.log1p(m.exp(np.where(positive, -a, a)))


def log_softmax(a: Numbers, m: Maths) -> Numbers:
    """ln y_i = −ln(1 + Σ_{j≠i} exp(a_j − a_i)), the largest difference taken out if positive."""
    return np.array([_log_share(np.delete(a, i) - a[i], m) for i in range(len(a))], dtype=m.number)


def _log_share(others: Numbers, m: Maths) -> Any:
    """−ln(1 + Σ exp(others))"""
    if len(others) == 0:
        return m.number(0) if m.number is not object else 0
    top = int(np.argmax(others.real))
    if others[top].real <= 0:
        return -m.log1p(np.sum(m.exp(others), keepdims=True))[0]
    rest = np.append(np.delete(others, top), 0) - others[top]
    return -others[top] - m.log1p(np.sum(m.exp(rest), keepdims=True))[0]


def activate(name: str, a: Numbers, m: Maths) -> Numbers:
    """σ or g of one step, (n,) -> (n,)."""
    if name == "sigmoid":
        return sigmoid(a, m)
    if name == "tanh":
        return m.tanh(a)
    if name == "relu":
        return np.where(a.real > 0, a, 0 * a)
    if name == "softplus":
        return softplus(a, m)
    if name == "softmax":
        return m.exp(log_softmax(a, m))
    assert name == "identity", name
    return a


def step_loss(name: str, target: Numbers, y: Numbers, a: Numbers, m: Maths) -> Any:
    """ℓ_t of one step: target, y and the pre-activation a are (O,)."""
    if name == "squared_error":
        return np.sum((target - y) ** 2)
    if name == "mean_squared_error":
        return np.sum((target - y) ** 2) / len(y)
    if name == "binary_cross_entropy":  # −ln σ(a) = softplus(−a)
        return np.sum(target * softplus(-a, m) + (1 - target) * softplus(a, m))
    assert name == "cross_entropy", name
    return -np.sum(target * log_softmax(a, m))


def readout(net: Net, h: Numbers, m: Maths) -> tuple[Numbers, Numbers]:
    """a_y = W_hy h + b_y and y = g(a_y) of one step."""
    a_y = net["W_hy"] @ h + net["b_y"] if "W_hy" in net else h
    return a_y, activate(net["output"], a_y, m)


def weighted_loss(net: Net, t: int, h: Numbers, m: Maths) -> Any:
    """L_t as a function of h_t alone, t from 1."""
    a_y, y = readout(net, h, m)
    weight = net["loss_weights"][t - 1]
    if weight == 0:
        return 0
    return weight * step_loss(net["loss"], net["targets"][t - 1], y, a_y, m)


def pre_activation(net: Net, t: int, h_prev: Numbers) -> Numbers:
    """a_t = W_xh x_t + W_hh h_{t−1} + b_h, equation (1), t from 1."""
    return net["W_xh"] @ net["x"][t - 1] + net["W_hh"] @ h_prev + net["b_h"]


def states(net: Net, m: Maths, k: int = 0, h_k: Numbers | None = None) -> list[Numbers]:
    """h_k, …, h_T from h_k on."""
    h = [net["h_0"] if h_k is None else h_k]
    for t in range(k + 1, len(net["x"]) + 1):
        h.append(activate(net["activation"], pre_activation(net, t, h[-1]), m))
    return h


def loss_per_step(net: Net, m: Maths, k: int = 0, h_k: Numbers | None = None) -> Numbers:
    """L_1 … L_T, (T,); with ``h_k`` given the net runs from there, and L_t is 0 for t < k."""
    losses = np.zeros(len(net["x"]), dtype=m.number)
    for t, h in enumerate(states(net, m, k, h_k), start=k):
        if t > 0:
            losses[t - 1] = weighted_loss(net, t, h, m)
    return losses


def forward(net: Net, m: Maths) -> dict[str, Numbers]:
    """a (T, H), h (T+1, H), a_y and y (T, O), losses (T,) if there is a loss."""
    h = states(net, m)
    steps = range(1, len(h))
    a = [pre_activation(net, t, h[t - 1]) for t in steps]
    outputs = [readout(net, h[t], m) for t in steps]
    trace = {"a": a, "h": h, "a_y": [a_y for a_y, _ in outputs], "y": [y for _, y in outputs]}
    arrays = {name: np.array(rows, dtype=m.number) for name, rows in trace.items()}
    return arrays | ({"losses": loss_per_step(net, m)} if net["loss"] else {})


def cast(net: Net, m: Maths, convert: Callable[[float], Any] = complex) -> Net:
    """The same net in another kind of number."""
    each = np.frompyfunc(convert, 1, 1)
    return {k: each(v).astype(m.number) if k in ARRAYS else v for k, v in net.items()}


def real_forward(net: Net) -> dict[str, Numbers]:
    """The forward pass in float64."""
    with np.errstate(all="ignore"):
        return {name: rows.real for name, rows in forward(cast(net, COMPLEX), COMPLEX).items()}
