"""Every quantity from explicit Jacobians, multiplied out in mpmath.

∂L_t/∂h_k = ∂L_t/∂h_t · J_t J_{t−1} … J_{k+1}, with J_t = diag(σ'(a_t)) W_hh: equations (16)–(24) of
the exercise sheet, one product a path, nothing fused and nothing reused. mpmath's exponents have no
limit, so nothing under- or overflows, and 200 bits leave room for every cancellation met here.
"""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np

from oracles import plain
from oracles.plain import Maths, Net, Numbers

mp = mpmath.MPContext()
mp.prec = 200

_exp = np.frompyfunc(mp.exp, 1, 1)
MP = Maths(object, _exp, np.frompyfunc(mp.log1p, 1, 1), np.frompyfunc(mp.tanh, 1, 1))


def exact(values: Numbers) -> Numbers:
    """Floats as mpmath numbers."""
    return np.frompyfunc(mp.mpf, 1, 1)(values).astype(object)


def floats(values: Numbers) -> Numbers:
    """mpmath numbers rounded to float64."""
    return np.array(values, dtype=object).astype(np.float64)


def slope(name: str, a: Numbers) -> Numbers:
    """σ'(a), element by element, from mpmath numbers."""
    if name == "identity":
        return exact(np.ones(a.shape))
    if name == "relu":
        return exact((a > 0).astype(float))
    if name == "softplus":
        return 1 / (1 + _exp(-a))
    if name == "tanh":
        return 4 / (_exp(a) + _exp(-a)) ** 2
    assert name == "sigmoid", name
    return _exp(-a) / (1 + _exp(-a)) ** 2


def output_jacobian(name: str, a: Numbers, y: Numbers) -> Numbers:
    """∂y_t/∂a_t, (O, O)."""
    if name != "softmax":
        return np.diag(slope(name, a))
    others = [sum(np.delete(y, i), mp.mpf(0)) for i in range(len(y))]
    return np.diag(y * np.array(others)) - _off_diagonal(np.outer(y, y))


def _off_diagonal(matrix: Numbers) -> Numbers:
    return matrix * exact(1.0 - np.eye(len(matrix)))


def loss_slope(name: str, target: Numbers, y: Numbers, a: Numbers) -> Numbers:
    """∂ℓ_t/∂y_t, (O,): equation (8) and its like."""
    if name == "squared_error":
        return -2 * (target - y)
    if name == "mean_squared_error":
        return -2 * (target - y) / len(y)
    if name == "binary_cross_entropy":
        return (1 - target) * (1 + _exp(a)) - target / y
    assert name == "cross_entropy", name
    return -target / y


def quantities(net: Net) -> dict[str, Numbers]:
    """Every quantity of the contract's table for this net, by its name there, in float64."""
    net = plain.cast(net, MP, mp.mpf)
    trace = plain.forward(net, MP)
    slopes = slope(net["activation"], trace["a"])
    jacobians = [s[:, np.newaxis] * net["W_hh"] for s in slopes]
    found = {name: trace[name] for name in ("h", "y", "losses") if name in trace}
    found |= _recurrence(net, trace, slopes, jacobians)
    if net["loss"]:
        found |= _losses(net, trace, slopes, jacobians)
    logs = {"log10_chain": chain_norms(jacobians)}
    if net["loss"]:
        logs["log10_paths"] = path_norms(paths_of(found["dLt_dht"], jacobians))
    return {name: floats(value) for name, value in found.items()} | logs


def _recurrence(net: Net, trace: Net, slopes: Numbers, jacobians: list[Numbers]) -> Net:
    return {
        "dht_dhprev": np.array(jacobians),
        "dht_dW_xh": slopes[:, :, np.newaxis] * net["x"][:, np.newaxis, :],
        "dht_dW_hh": slopes[:, :, np.newaxis] * trace["h"][:-1, np.newaxis, :],
        "dht_db_h": slopes,
    }


def _losses(net: Net, trace: Net, slopes: Numbers, jacobians: list[Numbers]) -> Net:
    """Equations (7)–(15), then (18)–(35) as sums over all paths."""
    dL_dy, dL_da_y = output_slopes(net, trace)
    dLt_dht = dL_da_y @ net["W_hy"] if "W_hy" in net else dL_da_y
    dL_dh = sum_over_losses(paths_of(dLt_dht, jacobians))
    dL_da = dL_dh[1:] * slopes
    found = {
        "dL_dy": dL_dy,
        "dLt_dht": dLt_dht,
        "dL_dh": dL_dh,
        "dL_dW_xh": dL_da.T @ net["x"],
        "dL_dW_hh": dL_da.T @ trace["h"][:-1],
        "dL_db_h": np.sum(dL_da, axis=0),
        "dL_dx": dL_da @ net["W_xh"],
    }
    if "W_hy" in net:
        found["dL_dW_hy"] = dL_da_y.T @ trace["h"][1:]
        found["dL_db_y"] = np.sum(dL_da_y, axis=0)
    return found


def output_slopes(net: Net, trace: Net) -> tuple[Numbers, Numbers]:
    """∂L/∂y_t and ∂L/∂a_y, (T, O) each; exact zeros where a step does not count."""
    dL_dy, dL_da_y = [], []
    for target, y, a, weight in zip(
        net["targets"], trace["y"], trace["a_y"], net["loss_weights"], strict=True
    ):
        row = mp.mpf(float(weight)) * loss_slope(net["loss"], target, y, a)
        dL_dy.append(row)
        dL_da_y.append(row @ output_jacobian(net["output"], a, y))
    return np.array(dL_dy), np.array(dL_da_y)


def paths_of(dLt_dht: Numbers, jacobians: list[Numbers]) -> list[list[Numbers]]:
    """[t−1][k]: ∂L_t/∂h_k for k = 0..t."""
    paths = []
    for t, direct in enumerate(dLt_dht, start=1):
        rows = [direct]
        for k in range(t, 0, -1):
            rows.append(rows[-1] @ jacobians[k - 1])
        paths.append(rows[::-1])
    return paths


def sum_over_losses(paths: list[list[Numbers]]) -> Numbers:
    """∂L/∂h_k = Σ_{t ≥ max(k, 1)} ∂L_t/∂h_k, (T+1, H)."""
    steps = range(1, len(paths) + 1)
    return np.array([sum(paths[t - 1][k] for t in steps if t >= k) for k in (0, *steps)])


def path_norms(paths: list[list[Numbers]]) -> Numbers:
    """log10 ‖∂L_t/∂h_k‖₂, (T, T+1); NaN for k > t."""
    steps = len(paths)
    logs = np.full((steps, steps + 1), np.nan)
    for t, rows in enumerate(paths):
        logs[t, : t + 2] = [log10(mp.sqrt(sum(row * row, mp.mpf(0)))) for row in rows]
    return logs


def log10(value: Any) -> float:
    """log10, −inf for an exact zero only."""
    return float(mp.log10(value)) if value else -np.inf


def log10_norm(matrix: Numbers) -> float:
    """log10 ‖M‖₂, the largest singular value.

    The largest entry m is taken out and the rest rounded to float64: σ₁ of M/m is at least 1, and
    rounding, or losing to underflow what is 1e-308 of the largest entry, moves σ₁ by no more than
    the norm of what was lost (Weyl).
    """
    largest = max(abs(entry) for entry in matrix.flat)
    if not largest:
        return -np.inf
    scaled = floats(matrix / largest)
    return log10(largest) + float(np.log10(np.linalg.norm(scaled, 2)))


def chain_norms(jacobians: list[Numbers]) -> Numbers:
    """log10 ‖J_T … J_{k+1}‖₂ for k = 0..T, (T+1,)."""
    steps = len(jacobians)
    logs = np.zeros(steps + 1)
    product = exact(np.eye(len(jacobians[0])))
    for k in range(steps - 1, -1, -1):
        product = product @ jacobians[k]
        logs[k] = log10_norm(product)
    return logs


def log10_chain(net: Net, a: Numbers) -> Numbers:
    """The contract's ``log10_chain`` from float64 pre-activations ``a`` (T, H)."""
    W_hh = exact(net["W_hh"])
    slopes = slope(net["activation"], exact(a))
    return chain_norms([s[:, np.newaxis] * W_hh for s in slopes])


def log10_paths(net: Net, a: Numbers, a_y: Numbers) -> Numbers:
    """The contract's ``log10_paths`` from float64 pre-activations."""
    net = plain.cast(net, MP, mp.mpf)
    a, a_y = exact(a), exact(a_y)
    y = np.array([plain.activate(net["output"], row, MP) for row in a_y])
    _, dL_da_y = output_slopes(net, {"y": y, "a_y": a_y})
    dLt_dht = dL_da_y @ net["W_hy"] if "W_hy" in net else dL_da_y
    jacobians = [s[:, np.newaxis] * net["W_hh"] for s in slope(net["activation"], a)]
    return path_norms(paths_of(dLt_dht, jacobians))
