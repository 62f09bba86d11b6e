"""Wrong gradients of gru and lstm, written out as the mistake would be: sums over all paths (t, k).

As ``wrong_bptt``, and like it shared with nothing: the equations of PyTorch's documentation,
differentiated by hand, one layer. A plan says what is multiplied; ``slope(name, a, t)`` is what is
taken for σ' and tanh' (c_t of lstm has name "c").
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]
Plan = dict[str, Any]


def sigmoid(a: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-a))


def right_slope(plan: Plan, name: str, t: int) -> np.ndarray:
    """σ' or tanh' at step t (from 1)."""
    a = plan["a"][name][t - 1]
    if name in ("n", "g", "c"):
        return 1 / np.cosh(a) ** 2
    return sigmoid(a) * sigmoid(-a)


def right_plan(net: dict[str, Any]) -> Plan:
    """The forward pass of a spec of ``checking.cells`` with an identity or tanh output."""
    W, x, gru = net["weights"], net["inputs"], net["cell"] == "gru"
    h, c = [net["h_0"]], [net.get("c_0", 0 * net["h_0"])]
    a: dict[str, list[np.ndarray]] = {
        name: [] for name in ("r", "z", "n", "q", "i", "f", "g", "o", "c")
    }
    for x_t in x:
        if gru:
            u_x, u_h = W["W_xh"] @ x_t + W["b_xh"], W["W_hh"] @ h[-1] + W["b_hh"]
            (x_r, x_z, x_n), (h_r, h_z, q) = np.split(u_x, 3), np.split(u_h, 3)
            r, z = sigmoid(x_r + h_r), sigmoid(x_z + h_z)
            n = np.tanh(x_n + r * q)
            _append(a, r=x_r + h_r, z=x_z + h_z, n=x_n + r * q, q=q)
            h.append((1 - z) * n + z * h[-1])
        else:
            i, f, g, o = np.split(W["W_xh"] @ x_t + W["W_hh"] @ h[-1] + W["b_h"], 4)
            c.append(sigmoid(f) * c[-1] + sigmoid(i) * np.tanh(g))
            _append(a, i=i, f=f, g=g, o=o, c=c[-1])
            h.append(sigmoid(o) * np.tanh(c[-1]))
    a_y = np.array(h[1:]) @ W["W_hy"].T + W["b_y"]
    y = np.tanh(a_y) if net["output_activation"] == "tanh" else a_y
    return {
        "net": net, "gru": gru, "h": np.array(h), "c": np.array(c), "a": a, "y": y,
        "dL_dy": -2 * (net["targets"] - y),
        "g": 1 / np.cosh(a_y) ** 2 if net["output_activation"] == "tanh" else np.ones_like(y),
        "slope": right_slope, "slope_here": None, "W_back": W["W_hh"],
        "beside_W_hh": np.array(h[:-1]), "keep": len(x) + 1, "factor": 1.0,
    }  # fmt: skip


def _append(a: dict[str, list[np.ndarray]], **values: np.ndarray) -> None:
    for name, value in values.items():
        a[name].append(value)


def at_gates(plan: Plan, row: np.ndarray, t: int, slope: Any) -> tuple[np.ndarray, np.ndarray]:
    """∂L/∂u_x and ∂L/∂u_h from ∂L/∂s_t."""
    a = {name: np.array(rows[t - 1]) for name, rows in plan["a"].items() if rows}
    if plan["gru"]:
        r, z, n = sigmoid(a["r"]), sigmoid(a["z"]), np.tanh(a["n"])
        at_n = row * (1 - z) * slope(plan, "n", t)
        at_r = at_n * a["q"] * slope(plan, "r", t)
        at_z = row * (plan["h"][t - 1] - n) * slope(plan, "z", t)
        return np.concatenate([at_r, at_z, at_n]), np.concatenate([at_r, at_z, at_n * r])
    at_h, at_c = np.split(row, 2)
    at_c = at_c + at_h * sigmoid(a["o"]) * slope(plan, "c", t)
    made = np.concatenate([
        at_c * np.tanh(a["g"]) * slope(plan, "i", t),
        at_c * plan["c"][t - 1] * slope(plan, "f", t),
        at_c * sigmoid(a["i"]) * slope(plan, "g", t),
        at_h * np.tanh(a["c"]) * slope(plan, "o", t),
    ])  # fmt: skip
    return made, made


def back(plan: Plan, row: np.ndarray, t: int) -> np.ndarray:
    """∂L/∂s_{t−1} from ∂L/∂s_t."""
    _, at_h = at_gates(plan, row, t, plan["slope"])
    to_h = plan["W_back"].T @ at_h
    if plan["gru"]:
        return to_h + row * sigmoid(np.array(plan["a"]["z"][t - 1]))
    o, f, (row_h, row_c) = plan["a"]["o"][t - 1], plan["a"]["f"][t - 1], np.split(row, 2)
    at_c = row_c + row_h * sigmoid(o) * plan["slope"](plan, "c", t)
    return np.concatenate([to_h, at_c * sigmoid(f)])


def gradients(plan: Plan) -> Arrays:
    """The gradients that follow from a plan."""
    net, W = plan["net"], plan["net"]["weights"]
    steps, hidden = len(net["inputs"]), len(net["h_0"])
    size = hidden if plan["gru"] else 2 * hidden
    dL_da_y = plan["dL_dy"] * plan["g"]
    direct = dL_da_y @ W["W_hy"]
    here = plan["slope_here"] or plan["slope"]
    made = {f"dL_d{name}": np.zeros_like(array) for name, array in W.items()}
    dL_ds, dL_dx = np.zeros((steps + 1, size)), np.zeros_like(net["inputs"])
    for t in range(1, steps + 1):
        row = np.concatenate([direct[t - 1], np.zeros(size - hidden)])
        for k in range(t, -1, -1):
            if t - k >= plan["keep"]:
                break
            dL_ds[k] += row
            if k == 0:
                break
            at_x, at_h = at_gates(plan, row, k, here)
            made["dL_dW_xh"] += np.outer(at_x, net["inputs"][k - 1])
            made["dL_dW_hh"] += np.outer(at_h, plan["beside_W_hh"][k - 1])
            made["dL_db_xh" if plan["gru"] else "dL_db_h"] += at_x
            if plan["gru"]:
                made["dL_db_hh"] += at_h
            dL_dx[k - 1] += W["W_xh"].T @ at_x
            row = back(plan, row, k)
    made["dL_dW_hy"], made["dL_db_y"] = dL_da_y.T @ plan["h"][1:], dL_da_y.sum(axis=0)
    made |= {"dL_dh": dL_ds[:, :hidden], "dL_dx": dL_dx}
    made |= {} if plan["gru"] else {"dL_dc": dL_ds[:, hidden:]}
    made = {name: plan["factor"] * array for name, array in made.items()}
    made |= {"dL_dy": plan["factor"] * plan["dL_dy"], "dLt_dht": plan["factor"] * direct}
    units = np.eye(size)
    return made | {
        "dht_dhprev": np.array([[back(plan, u, t) for u in units] for t in range(1, steps + 1)])
    }


Mistake = Callable[[Plan, np.random.Generator], Arrays]


def _with(**changes: Callable[[Plan], Any]) -> Mistake:
    return lambda plan, rng: gradients(plan | {k: change(plan) for k, change in changes.items()})


def _each(change: Callable[[np.ndarray, Any], np.ndarray], number: Callable[..., Any]) -> Mistake:
    def make(plan: Plan, rng: np.random.Generator) -> Arrays:
        arrays = gradients(plan)
        chosen = number(rng, arrays)
        return {name: change(array, chosen) for name, array in arrays.items()}

    return make


def _one(plan: Plan, name: str, t: int) -> np.ndarray:
    return np.ones(len(plan["net"]["h_0"]))


def _of_output(plan: Plan, name: str, t: int) -> np.ndarray:
    a = plan["a"][name][t - 1]
    if name in ("n", "g", "c"):
        return 1 / np.cosh(np.tanh(a)) ** 2
    return sigmoid(sigmoid(a)) * sigmoid(-sigmoid(a))


def _before(plan: Plan, name: str, t: int) -> np.ndarray:
    return right_slope(plan, name, max(t - 1, 1))


def _after(plan: Plan, name: str, t: int) -> np.ndarray:
    return right_slope(plan, name, min(t + 1, len(plan["net"]["inputs"])))


def _turned(plan: Plan) -> np.ndarray:
    hidden = len(plan["net"]["h_0"])
    W = plan["net"]["weights"]["W_hh"]
    return np.concatenate([W[i : i + hidden].T for i in range(0, len(W), hidden)])


def _last_only(plan: Plan) -> np.ndarray:
    return np.concatenate([0 * plan["dL_dy"][:-1], plan["dL_dy"][-1:]])


def _no_h_0(plan: Plan) -> np.ndarray:
    return np.concatenate([0 * plan["beside_W_hh"][:1], plan["beside_W_hh"][1:]])


def _limit(rng: np.random.Generator, arrays: Arrays) -> float:
    top = [np.sort(np.abs(a).ravel())[-2:].min() for n, a in arrays.items() if n[:4] == "dL_d"]
    return float(0.5 * min(top))


def _other_order(plan: Plan, rng: np.random.Generator) -> Arrays:
    """z, r, n as Keras and ONNX have them; i, f, o, g."""
    order = (1, 0, 2) if plan["gru"] else (0, 1, 3, 2)
    made = gradients(plan)
    for name in ("dL_dW_xh", "dL_dW_hh", "dL_db_h", "dL_db_xh", "dL_db_hh"):
        if name in made:
            blocks = np.split(made[name], len(order))
            made[name] = np.concatenate([blocks[g] for g in order])
    return made


MISTAKES: dict[str, list[Mistake]] = {
    "missing-activation-derivative": [
        _with(slope=lambda p: _one), _with(slope=lambda p: _one, slope_here=lambda p: right_slope),
        _with(slope_here=lambda p: _one),
    ],
    "activation-derivative-of-output": [_with(slope=lambda p: _of_output)],
    "activation-derivative-wrong-step": [
        _with(slope=lambda p: _before), _with(slope=lambda p: _after),
    ],
    "immediate-only": [_with(keep=lambda p: 1)],
    "truncated": [_with(keep=lambda p: 2), _with(keep=lambda p: 3)],
    "transposed-W_hh": [_with(W_back=_turned)],
    "h_t-for-h_prev": [_with(beside_W_hh=lambda p: p["h"][1:])],
    "missing-factor-2": [_with(dL_dy=lambda p: 0.5 * p["dL_dy"])],
    "sign-flipped": [_with(dL_dy=lambda p: -p["dL_dy"])],
    "averaged-over-steps": [
        _with(dL_dy=lambda p: p["dL_dy"] / len(p["y"])), _with(factor=lambda p: 1 / len(p["y"])),
    ],
    "last-loss-only": [_with(dL_dy=_last_only)],
    "missing-output-derivative": [_with(g=lambda p: np.ones_like(p["g"]))],
    "dropped-h_0": [_with(beside_W_hh=_no_h_0)],
    "clipped": [_each(lambda array, c: np.clip(array, -c, c), _limit)],
    "transposed": [_each(lambda array, c: array.swapaxes(-1, -2) if array.ndim > 1 else array,
                         lambda rng, arrays: None)],
    "scaled": [_each(lambda array, c: c * array,
                     lambda rng, arrays: float(rng.uniform(1.1, 9.0)))],
    "gate-order": [_other_order],
}  # fmt: skip
"""bug id -> ways of making it, each a function of the right plan."""
