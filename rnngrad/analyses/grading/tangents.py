"""∂top/∂bottom between any two quantities of a net, by forward accumulation.

Everything is expressed in what it is computed from, and the chain rule is applied from the bottom
up (Griewank, Walther, *Evaluating Derivatives* (2008), chapter 3):

    ∂a_t = ∂⁺a_t + W_hh ∂h_{t−1}    ∂h_t = σ'(a_t) ∘ ∂a_t    ∂ỹ_t = ∂⁺ỹ_t + W_hy ∂h_t
    ∂y_t = g'(ỹ_t) ∂ỹ_t             ∂L_t = ∂L_t/∂y_t · ∂y_t   ∂L = Σ_t ∂L_t

A quantity's derivative by itself is 1. It shares nothing with ``core.backward``, which goes the
other way. Immediate partials ∂⁺ (25–28 of the sheet) hold h_{t−1} fixed: no second term above.
"""

from __future__ import annotations

import numpy as np

from rnngrad.analyses.grading.nets import Key, Nets
from rnngrad.core import losses
from rnngrad.arithmetic.arrays import Array, quietly

PARAMETERS = ("W_xh", "W_hh", "b_h", "W_hy", "b_y")


def tangent(nets: Nets, top: Key, bottom: Key, *, immediate: bool = False) -> Array:
    """∂top/∂bottom, or ∂⁺top/∂bottom, (N, *shape of top, *shape of bottom)."""
    above, below = nets.values[top], nets.values[bottom]
    shape = (nets.count, *above.shape[1:], *below.shape[1:])
    if immediate:
        with quietly():
            return _immediate(nets, top, bottom).reshape(shape)
    if bottom not in nets.tangents:
        with quietly():
            nets.tangents[bottom] = _tangents(nets, bottom)
    found = nets.tangents[bottom].get(top)
    return np.zeros(shape) if found is None else found.reshape(shape)


def _immediate(nets: Nets, top: Key, bottom: Key) -> Array:
    head, t = top
    direct = _direct(nets, "a", t, bottom)
    return direct if head == "a" else _slope(nets, t)[:, :, None] * direct


def _slope(nets: Nets, t: int) -> Array:
    """σ'(a_t), (N, H)"""
    return nets.problem.activation.slope(nets.values["a", t])


def _eye(values: Array) -> Array:
    """∂v/∂v, (N, n, n)"""
    size = int(np.prod(values.shape[1:]))
    return np.broadcast_to(np.eye(size), (len(values), size, size))


def _direct(nets: Nets, head: str, t: int, bottom: Key) -> Array:
    """What a_t or ỹ_t holds of ``bottom`` itself, (N, n, size of bottom)."""
    values, name = nets.values, bottom[0]
    size = int(np.prod(values[bottom].shape[1:]))
    rows = values[head, t].shape[1]
    matrix, vector, bias, step = ("W_xh", "x", "b_h", t) if head == "a" else ("W_hy", "h", "b_y", t)
    if head == "a" and name == "W_hh":
        matrix, vector, step = "W_hh", "h", t - 1
    if name == matrix:
        direct = np.einsum("ij,nk->nijk", np.eye(rows), values[vector, step])
        return np.asarray(direct).reshape(nets.count, rows, size)
    if name == bias:
        return _eye(values[bottom])
    if head == "a" and bottom == ("x", t):
        return values["W_xh", 0]
    if head == "a" and bottom == ("h", t - 1):
        return values["W_hh", 0]
    return np.zeros((nets.count, rows, size))


def _tangents(nets: Nets, bottom: Key) -> dict[Key, Array]:
    """By top: ∂top/∂bottom, (N, size of top, size of bottom)."""
    values = nets.values
    found: dict[Key, Array] = {bottom: _eye(values[bottom])}
    size = found[bottom].shape[2]
    found.setdefault(("h", 0), np.zeros((nets.count, values["h", 0].shape[1], size)))
    total = np.zeros((nets.count, 1, size))
    for t in range(1, nets.steps + 1):
        _one_step(nets, t, bottom, found)
        total = total + found.get(("L", t), 0.0)
    found.setdefault(("L", 0), total)
    return found


def _one_step(nets: Nets, t: int, bottom: Key, found: dict[Key, Array]) -> None:
    """a_t, h_t, ỹ_t, y_t, L_t, in this order; ``bottom`` itself stands there already."""
    values = nets.values
    if ("a", t) not in found:
        direct = 0.0 if bottom == ("h", t - 1) else _direct(nets, "a", t, bottom)
        found["a", t] = direct + values["W_hh", 0] @ found["h", t - 1]
    if ("h", t) not in found:
        found["h", t] = _slope(nets, t)[:, :, None] * found["a", t]
    if ("o", t) not in found:
        found["o", t] = _readout(nets, t, bottom, found)
    if ("y", t) not in found:
        jacobian = nets.problem.output.jacobian(values["o", t], values["y", t])
        found["y", t] = jacobian @ found["o", t]
    if ("L", t) not in found and ("L", t) in values:
        found["L", t] = _loss_slope(nets, t)[:, None, :] @ found["y", t]


def _readout(nets: Nets, t: int, bottom: Key, found: dict[Key, Array]) -> Array:
    if not nets.problem.has_readout:
        return found["h", t]
    return _direct(nets, "o", t, bottom) + nets.values["W_hy", 0] @ found["h", t]


def _loss_slope(nets: Nets, t: int) -> Array:
    """∂L_t/∂y_t, (N, O)"""
    loss, values = nets.problem.loss, nets.values
    if loss is None:
        return np.zeros_like(values["y", t])
    y, o = values["y", t], values["o", t]
    return nets.weight(t) * losses.slope(loss, nets.problem.output, values["target", t], y, o)
