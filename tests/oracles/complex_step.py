"""Derivatives by complex step: f'(u) = Im f(u + ih)/h, without a difference of near equals.

Source: Squire and Trapp, *Using complex variables to estimate derivatives of real functions*, SIAM
Review 40 (1998). The truncation error is h²f'''/6, nothing at h = 1e-30. relu branches on the real
part, which is its derivative wherever the pre-activation is not within rounding of 0.
"""

from __future__ import annotations

import numpy as np

from oracles import plain
from oracles.plain import COMPLEX, Net, Numbers

STEP = 1e-30


def quantities(net: Net) -> dict[str, Numbers]:
    """Every quantity of the contract's table for this net, by its name there."""
    with np.errstate(all="ignore"):
        net = plain.cast(net, COMPLEX)
        return _values(net) | _recurrence(net) | (_losses(net) if net["loss"] else {})


def _values(net: Net) -> dict[str, Numbers]:
    trace = plain.forward(net, COMPLEX)
    return {name: trace[name].real for name in ("h", "y", "losses") if name in trace}


def _recurrence(net: Net) -> dict[str, Numbers]:
    return {
        "dht_dhprev": np.array([_jacobian(net, t) for t in _steps(net)]),
        "dht_dW_xh": np.array([_immediate(net, "W_xh", t) for t in _steps(net)]),
        "dht_dW_hh": np.array([_immediate(net, "W_hh", t) for t in _steps(net)]),
        "dht_db_h": np.array([_immediate(net, "b_h", t) for t in _steps(net)]),
    }


def _losses(net: Net) -> dict[str, Numbers]:
    paths = loss_paths(net)
    totals = {
        f"dL_d{name}": gradient(net, name) for name in (*plain.PARAMETERS, "x") if name in net
    }
    return totals | {
        "dL_dy": np.array([_dL_dy(net, t) for t in _steps(net)]),
        "dLt_dht": np.array([paths[t - 1, t] for t in _steps(net)]),
        "dL_dh": np.sum(paths, axis=0),
        "log10_paths": log10_norms(paths),
    }


def _steps(net: Net) -> range:
    return range(1, len(net["x"]) + 1)


def nudged(values: Numbers, index: tuple[int, ...]) -> Numbers:
    """``values`` with ih added to one entry."""
    nudged = values.copy()
    nudged[index] += 1j * STEP
    return nudged


def gradient(net: Net, name: str) -> Numbers:
    """∂L/∂(the array called ``name``), entry by entry."""
    result = np.zeros(net[name].shape)
    for index in np.ndindex(*net[name].shape):
        losses = plain.loss_per_step({**net, name: nudged(net[name], index)}, COMPLEX)
        result[index] = np.sum(losses).imag / STEP
    return result


def loss_paths(net: Net) -> Numbers:
    """∂L_t/∂h_k as (T, T+1, H): h_k perturbed in mid-sequence; 0 for k > t."""
    h = plain.forward(net, COMPLEX)["h"]
    steps, hidden = len(net["x"]), h.shape[1]
    paths = np.zeros((steps, steps + 1, hidden))
    for k, i in np.ndindex(steps + 1, hidden):
        losses = plain.loss_per_step(net, COMPLEX, k, nudged(h[k], (i,)))
        paths[:, k, i] = losses.imag / STEP
    return paths


def log10_norms(paths: Numbers) -> Numbers:
    """log10 ‖∂L_t/∂h_k‖₂, (T, T+1); NaN for k > t."""
    t, k = np.indices(paths.shape[:2])
    norms = np.log10(np.linalg.norm(paths, axis=-1))
    return np.where(k > t + 1, np.nan, norms)


def _dL_dy(net: Net, t: int) -> Numbers:
    return slope_in_y(net, t, plain.forward(net, COMPLEX)["h"][t])


def slope_in_y(net: Net, t: int, h: Numbers) -> Numbers:
    """∂L/∂y_t: the loss written in y, and in 1 − y = σ(−a), which keeps its digits there; ``h``
    is what the read-out sees."""
    a_y, y = plain.readout(net, h, COMPLEX)
    target, weight = net["targets"][t - 1], net["loss_weights"][t - 1].real
    if weight == 0:
        return np.zeros(len(y))
    if net["loss"] == "cross_entropy":
        return -weight * times(target.real, log_slope(y))
    if net["loss"] == "binary_cross_entropy":
        rest = log_slope(plain.sigmoid(-a_y, COMPLEX))
        return weight * (times(1 - target.real, rest) - times(target.real, log_slope(y)))
    count = len(y) if net["loss"] == "mean_squared_error" else 1
    return weight * ((target - (y + 1j * STEP)) ** 2).imag / STEP / count


def times(weight: Numbers, values: Numbers) -> Numbers:
    """weight · values, where a weight of exactly 0 wins over inf."""
    return np.where(weight == 0, 0.0, weight * values)


def log_slope(y: Numbers) -> Numbers:
    """d ln y/dy with a step relative to y, for y may be smaller than any fixed step."""
    return np.where(y == 0, np.inf, np.log(y * (1 + 1j * STEP)).imag / STEP / y.real)


def _next_state(net: Net, t: int, h_prev: Numbers) -> Numbers:
    a = plain.pre_activation(net, t, h_prev)
    return plain.activate(net["activation"], a, COMPLEX)


def _jacobian(net: Net, t: int) -> Numbers:
    """∂h_t/∂h_{t−1}, column by column."""
    h_prev = plain.states(net, COMPLEX)[t - 1]
    columns = [_next_state(net, t, nudged(h_prev, (j,))).imag for j in range(len(h_prev))]
    return np.array(columns).T / STEP


def _immediate(net: Net, name: str, t: int) -> Numbers:
    """∂⁺h_t[i]/∂W[i, …] with h_{t−1} held fixed: equations (26) and (28)."""
    h_prev = plain.states(net, COMPLEX)[t - 1]
    result = np.zeros(net[name].shape)
    for index in np.ndindex(*net[name].shape):
        h = _next_state({**net, name: nudged(net[name], index)}, t, h_prev)
        result[index] = h[index[0]].imag / STEP
    return result
