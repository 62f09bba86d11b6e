"""Wrong gradients, written out as the mistake would be: sums over all paths (t, k), in plain loops.

Nothing here is shared with rnngrad's catalogue, nor with its backward pass: every gradient is the
double sum

    ∂L/∂θ = Σ_t Σ_{k ≤ t} ∂L_t/∂h_t · ∂h_t/∂h_{t−1} ⋯ ∂h_{k+1}/∂h_k · ∂⁺h_k/∂θ

with the mistake put where a student would make it. A plan says what is multiplied.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from oracles import plain
from oracles.plain import Net

Arrays = dict[str, np.ndarray]


def slope(name: str, a: np.ndarray) -> np.ndarray:
    """σ' in float64, by the formulas of a textbook that is careful."""
    if name == "identity":
        return np.ones_like(a)
    if name == "relu":
        return np.where(a > 0, 1.0, 0.0)
    if name == "softplus":
        return np.exp(np.minimum(a, 0)) / (1 + np.exp(-np.abs(a)))
    z = np.exp(-np.abs(a if name == "sigmoid" else 2 * a))
    return (1 if name == "sigmoid" else 4) * z / (1 + z) ** 2


Slope = Callable[[str, np.ndarray], np.ndarray]


def loss_slopes(
    net: Net, a_y: np.ndarray, y: np.ndarray, slope: Slope
) -> tuple[np.ndarray, np.ndarray]:
    """∂L/∂y_t and g'(a), (T, O) each; for the cross entropies and softmax, ∂L/∂a in place of the
    first and 1 of the second, which is all that comes after."""
    weights, target = net["loss_weights"][:, None], net["targets"]
    if net["loss"] in ("cross_entropy", "binary_cross_entropy"):
        total = target.sum(axis=1, keepdims=True) if net["loss"] == "cross_entropy" else 1.0
        return weights * (total * y - target), np.ones_like(y)
    dL_dy = -2.0 * weights * (target - y)
    if net["loss"] == "mean_squared_error":
        dL_dy /= y.shape[1]
    if net["output"] != "softmax":
        return dL_dy, slope(net["output"], a_y)
    return y * (dL_dy - np.sum(y * dL_dy, axis=1, keepdims=True)), np.ones_like(y)


def right_plan(net: Net, slope: Slope = slope) -> dict[str, Any]:
    """Everything that the double sum multiplies; row t − 1 is step t."""
    trace = plain.real_forward(net)
    a, h, a_y, y = trace["a"], trace["h"], trace["a_y"], trace["y"]
    dL_dy, g = loss_slopes(net, a_y, y, slope)
    back = slope(net["activation"], a)
    return {
        "net": net, "a": a, "h": h, "y": y, "a_y": a_y, "dL_dy": dL_dy,
        "g": g, "jacobian_slope": back, "partial_slope": back,
        "W_back": net["W_hh"], "beside_W_hh": h[:-1], "keep": len(a) + 1,
        "last_factor": lambda t, k: k,
        "factor": 1.0,
    }  # fmt: skip


def gradients(plan: dict[str, Any]) -> Arrays:
    """The gradients that follow from a plan."""
    net, dL_dy = plan["net"], plan["dL_dy"]
    steps, hidden = plan["a"].shape
    dL_da_y = dL_dy * plan["g"]
    direct = dL_da_y @ net["W_hy"] if "W_hy" in net else dL_da_y
    jacobians = plan["jacobian_slope"][:, :, None] * plan["W_back"]
    x, beside = net["x"], plan["beside_W_hh"]
    made: Arrays = {
        "dL_dh": np.zeros((steps + 1, hidden)), "dL_dW_xh": np.zeros_like(net["W_xh"]),
        "dL_dW_hh": np.zeros((hidden, hidden)), "dL_db_h": np.zeros(hidden),
        "dL_dx": np.zeros_like(x),
    }  # fmt: skip
    for t in range(1, steps + 1):
        row = direct[t - 1].copy()
        for k in range(t, -1, -1):
            if t - k >= plan["keep"]:
                break
            made["dL_dh"][k] += row
            if k == 0:
                break
            m = plan["last_factor"](t, k)
            delta = row * plan["partial_slope"][k - 1]
            late = row * plan["partial_slope"][m - 1]
            made["dL_dW_xh"] += np.outer(late, x[m - 1])
            made["dL_dW_hh"] += np.outer(delta, beside[k - 1])
            made["dL_db_h"] += delta
            made["dL_dx"][k - 1] += net["W_xh"].T @ delta
            row = row @ jacobians[k - 1]
    if "W_hy" in net:
        made["dL_dW_hy"] = dL_da_y.T @ plan["h"][1:]
        made["dL_db_y"] = dL_da_y.sum(axis=0)
    made = {name: plan["factor"] * array for name, array in made.items()}
    made |= {"dL_dy": plan["factor"] * dL_dy, "dLt_dht": plan["factor"] * direct}
    return made | {
        "dht_dhprev": jacobians,
        "dht_db_h": plan["partial_slope"],
        "dht_dW_xh": plan["partial_slope"][:, :, None] * x[:, None, :],
        "dht_dW_hh": plan["partial_slope"][:, :, None] * beside[:, None, :],
    }


Mistake = Callable[[dict[str, Any], np.random.Generator], Arrays]


def _slopes(change: Callable[[dict[str, Any]], np.ndarray], *places: str) -> Mistake:
    def make(plan: dict[str, Any], rng: np.random.Generator) -> Arrays:
        return gradients(plan | {place: change(plan) for place in places})

    return make


def _with(**changes: Callable[[dict[str, Any]], Any]) -> Mistake:
    def make(plan: dict[str, Any], rng: np.random.Generator) -> Arrays:
        return gradients(plan | {name: change(plan) for name, change in changes.items()})

    return make


def _each(change: Callable[[np.ndarray, Any], np.ndarray], number: Callable[..., Any]) -> Mistake:
    """Every array changed at the end, by a number drawn once."""

    def make(plan: dict[str, Any], rng: np.random.Generator) -> Arrays:
        arrays = gradients(plan)
        chosen = number(rng, arrays)
        return {name: change(array, chosen) for name, array in arrays.items()}

    return make


def _of_h(plan: dict[str, Any]) -> np.ndarray:
    return slope(plan["net"]["activation"], plan["h"][1:])


def _before(plan: dict[str, Any]) -> np.ndarray:
    s = plan["jacobian_slope"]
    return np.array([s[max(t - 1, 0)] for t in range(len(s))])


def _after(plan: dict[str, Any]) -> np.ndarray:
    s = plan["jacobian_slope"]
    return np.array([s[min(t + 1, len(s) - 1)] for t in range(len(s))])


def _last_only(plan: dict[str, Any]) -> np.ndarray:
    kept = np.zeros_like(plan["dL_dy"])
    kept[-1] = plan["dL_dy"][-1]
    return kept


def _no_h_0(plan: dict[str, Any]) -> np.ndarray:
    beside = plan["beside_W_hh"].copy()
    beside[0] = 0.0
    return beside


def _truncated(plan: dict[str, Any], rng: np.random.Generator) -> Arrays:
    return gradients(plan | {"keep": int(rng.integers(2, max(3, len(plan["a"]))))})


def _limit(rng: np.random.Generator, arrays: Arrays) -> float:
    """One that cuts something in the weights' gradients."""
    top = [np.sort(np.abs(a).ravel())[-2:].min() for n, a in arrays.items() if n[:4] == "dL_d"]
    return float(0.5 * min(top))


BOTH = ("jacobian_slope", "partial_slope")
ONE = staticmethod(lambda plan: np.ones_like(plan["a"])).__func__

MISTAKES: dict[str, list[Mistake]] = {
    "missing-activation-derivative": [
        _slopes(ONE, *BOTH), _slopes(ONE, "jacobian_slope"), _slopes(ONE, "partial_slope"),
    ],
    "activation-derivative-of-output": [_slopes(_of_h, *BOTH), _slopes(_of_h, "jacobian_slope")],
    "activation-derivative-wrong-step": [
        _slopes(_before, *BOTH), _slopes(_after, *BOTH), _slopes(_before, "jacobian_slope"),
    ],
    "immediate-only": [_with(keep=lambda p: 1)],
    "truncated": [_truncated],
    "transposed-W_hh": [_with(W_back=lambda p: p["net"]["W_hh"].T)],
    "h_t-for-h_prev": [_with(beside_W_hh=lambda p: p["h"][1:])],
    "missing-factor-2": [_with(dL_dy=lambda p: 0.5 * p["dL_dy"])],
    "sign-flipped": [_with(dL_dy=lambda p: -p["dL_dy"])],
    "averaged-over-steps": [
        _with(dL_dy=lambda p: p["dL_dy"] / len(p["a"])), _with(factor=lambda p: 1 / len(p["a"])),
    ],
    "last-loss-only": [_with(dL_dy=_last_only)],
    "missing-output-derivative": [_with(g=lambda p: np.ones_like(p["g"]))],
    "dropped-h_0": [_with(beside_W_hh=_no_h_0)],
    "clipped": [_each(lambda array, c: np.clip(array, -c, c), _limit)],
    "sheet-eq-32": [
        _with(last_factor=lambda p: lambda t, k: 2 if (t, k) == (3, 1) else k),
        _with(last_factor=lambda p: lambda t, k: 2 if t >= 3 and k == 1 else k),
        _with(last_factor=lambda p: lambda t, k: 2 if t == len(p["a"]) and k == 1 else k),
        _with(last_factor=lambda p: lambda t, k: k + 1 if k <= t - 2 else k),
    ],
    "transposed": [_each(lambda array, c: array.swapaxes(-1, -2) if array.ndim > 1 else array,
                         lambda rng, arrays: None)],
    "scaled": [_each(lambda array, c: c * array,
                     lambda rng, arrays: float(rng.uniform(1.1, 9.0)))],
}  # fmt: skip
"""bug id -> ways of making it, each a function of the right plan."""
