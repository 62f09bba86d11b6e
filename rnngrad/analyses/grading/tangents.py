"""∂top/∂bottom between any two quantities of a net, by forward accumulation.

Everything is expressed in what it is computed from, and the chain rule is applied from the bottom
up (Griewank, Walther, *Evaluating Derivatives* (2008), chapter 3):

    ∂a_t = ∂⁺a_t + W_hh ∂h_{t−1}    ∂h_t = σ'(a_t) ∘ ∂a_t    ∂ỹ_t = ∂⁺ỹ_t + W_hy ∂h_t
    ∂y_t = g'(ỹ_t) ∂ỹ_t             ∂L_t = ∂L_t/∂y_t · ∂y_t   ∂L = Σ_t ∂L_t

A quantity's derivative by itself is 1. It shares nothing with ``net.backward``, which goes the
other way. Immediate partials ∂⁺ (25–28 of the sheet) hold h_{t−1} fixed: no second term above.
"""

from __future__ import annotations

import numpy as np

from rnngrad.analyses.grading.nets import Key, Nets
from rnngrad.arithmetic.arrays import Array, quietly
from rnngrad.net import losses

PARAMETERS = ("W_xh", "W_hh", "b_h", "W_hy", "b_y")


def tangent(nets: Nets, top: Key, bottom: Key, *, immediate: bool = False) -> Array:
    """∂top/∂bottom, or ∂⁺top/∂bottom, (N, *shape of top, *shape of bottom)."""
    above, below = nets.values[top], nets.values[bottom]
    shape = (nets.count, *above.shape[1:], *below.shape[1:])
    if immediate:
        with quietly():
            return _immediate(nets, top, bottom).reshape(shape)
    if bottom not in nets.tangents:
        nets.tangents[bottom] = {bottom: _eye(below)}
    known = nets.tangents[bottom]
    found = known.get(top)
    if found is None:
        with quietly():
            found = _tangent(nets, top, bottom, known)
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


def _tangent(nets: Nets, top: Key, bottom: Key, found: dict[Key, Array]) -> Array | None:
    """∂top/∂bottom, (N, size of top, size of bottom), out of ``found`` or into it; None: 0."""
    head, t = top
    if top not in found:
        if head in ("a", "h"):
            _states(nets, t, bottom, found)
        elif top == ("L", 0):
            found[top] = _total(nets, bottom, found)
        elif head in ("o", "y", "L"):
            value = _of_step(nets, head, t, bottom, found)
            if value is not None:
                found[top] = value
    return found.get(top)


def _total(nets: Nets, bottom: Key, found: dict[Key, Array]) -> Array:
    parts = (_tangent(nets, ("L", t), bottom, found) for t in range(1, nets.steps + 1))
    total = np.zeros((nets.count, 1, found[bottom].shape[2]))
    return np.asarray(sum((part for part in parts if part is not None), total))


def _states(nets: Nets, t: int, bottom: Key, found: dict[Key, Array]) -> None:
    """∂a_s and ∂h_s up to step t, as far as they are missing; none before ``bottom`` comes in."""
    head, first = bottom
    if head in ("o", "y", "L", "W_hy", "b_y"):
        return
    first = first + 1 if head == "h" else max(first, 1)
    done = t
    while done >= first and ("h", done) not in found:
        done -= 1
    for s in range(max(done, first - 1) + 1, t + 1):
        if ("a", s) not in found:
            direct = 0.0 if bottom == ("h", s - 1) else _direct(nets, "a", s, bottom)
            before = found.get(("h", s - 1))
            found["a", s] = np.asarray(
                direct if before is None else direct + nets.values["W_hh", 0] @ before
            )
        found["h", s] = _slope(nets, s)[:, :, None] * found["a", s]


def _of_step(nets: Nets, head: str, t: int, bottom: Key, found: dict[Key, Array]) -> Array | None:
    """∂ỹ_t, ∂y_t or ∂L_t of what it is computed from in its own step."""
    values = nets.values
    if head == "o":
        h = _tangent(nets, ("h", t), bottom, found)
        if not nets.problem.has_readout:
            return h
        if bottom[0] in ("W_hy", "b_y"):
            return _direct(nets, "o", t, bottom)
        return None if h is None else values["W_hy", 0] @ h
    if head == "y":
        o = _tangent(nets, ("o", t), bottom, found)
        jacobian = nets.problem.output.jacobian
        return None if o is None else jacobian(values["o", t], values["y", t]) @ o
    y = _tangent(nets, ("y", t), bottom, found) if ("L", t) in values else None
    return None if y is None else _loss_slope(nets, t)[:, None, :] @ y


def _loss_slope(nets: Nets, t: int) -> Array:
    """∂L_t/∂y_t, (N, O)"""
    loss, values = nets.problem.loss, nets.values
    if loss is None:
        return np.zeros_like(values["y", t])
    y, o = values["y", t], values["o", t]
    return nets.weight(t) * losses.slope(loss, nets.problem.output, values["target", t], y, o)
