"""Gradients with short memories, of any cell and stack: L_t sees the weights for k steps alone.

    Σ_t ∂L_t/∂θ with s_{t−k} held at its value

by running the last k steps before each loss forward again from s_{t−k}, with one weight moved by a
complex step. So paths are cut by running, not by leaving out terms of a sum: nothing is
differentiated here. The equations are written out once more.
"""

from __future__ import annotations

from typing import Any

import numpy as np

STEP = 1e-30

Net = dict[str, Any]
State = list[list[np.ndarray]]


def sigmoid(a: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-a))


def layers(net: Net) -> list[dict[str, np.ndarray]]:
    return net["weights"].get("layers", [net["weights"]])


def start(net: Net) -> State:
    sizes = np.cumsum([len(one["W_hh"][0]) for one in layers(net)])[:-1]
    parts = [np.split(net["h_0"] + 0j, sizes)]
    if net["cell"] == "lstm":
        parts.append(np.split(net["c_0"] + 0j, sizes))
    return [list(each) for each in zip(*parts, strict=True)]


def step(net: Net, weights: list[dict[str, np.ndarray]], x: np.ndarray, state: State) -> State:
    """s_{t−1} -> s_t"""
    after: State = []
    for W, parts in zip(weights, state, strict=True):
        after.append(_ADVANCE[net["cell"]](net, W, x, parts))
        x = after[-1][0]
    return after


def _rnn(net: Net, W: dict[str, np.ndarray], x: np.ndarray, s: list[np.ndarray]) -> Any:
    a = W["W_xh"] @ x + W["W_hh"] @ s[0] + W["b_h"]
    return [{"tanh": np.tanh, "sigmoid": sigmoid}[net["activation"]](a)]


def _gru(net: Net, W: dict[str, np.ndarray], x: np.ndarray, s: list[np.ndarray]) -> Any:
    x_r, x_z, x_n = np.split(W["W_xh"] @ x + W["b_xh"], 3)
    h_r, h_z, h_n = np.split(W["W_hh"] @ s[0] + W["b_hh"], 3)
    z = sigmoid(x_z + h_z)
    return [(1 - z) * np.tanh(x_n + sigmoid(x_r + h_r) * h_n) + z * s[0]]


def _lstm(net: Net, W: dict[str, np.ndarray], x: np.ndarray, s: list[np.ndarray]) -> Any:
    i, f, g, o = np.split(W["W_xh"] @ x + W["W_hh"] @ s[0] + W["b_h"], 4)
    c = sigmoid(f) * s[1] + sigmoid(i) * np.tanh(g)
    return [sigmoid(o) * np.tanh(c), c]


_ADVANCE = {"rnn": _rnn, "gru": _gru, "lstm": _lstm}


def gradients(net: Net, keep: int) -> dict[str, np.ndarray]:
    """∂L/∂W_xh.0 … of a net with a squared error and identity outputs, cut after ``keep`` steps."""
    states = [start(net)]
    for x in net["inputs"]:
        states.append(step(net, layers(net), x, states[-1]))
    made = {}
    for number, one in enumerate(layers(net)):
        suffix = f".{number}" if "layers" in net["weights"] else ""
        for name in (n for n in one if n not in ("W_hy", "b_y")):
            found = np.zeros_like(one[name])
            for index in np.ndindex(found.shape):
                found[index] = _moved(net, states, keep, number, name, index)
            made[f"dL_d{name}{suffix}"] = found
    return made


def _moved(
    net: Net, states: list[State], keep: int, number: int, name: str, index: tuple[int, ...]
) -> float:
    weights = [{key: array + 0j for key, array in one.items()} for one in layers(net)]
    weights[number][name][index] += 1j * STEP
    total = 0.0
    for t in range(1, len(states)):
        k = max(t - keep, 0)
        state = states[k]
        for s in range(k + 1, t + 1):
            state = step(net, weights, net["inputs"][s - 1], state)
        y = net["weights"]["W_hy"] @ state[-1][0] + net["weights"]["b_y"]
        total += float(np.sum((net["targets"][t - 1] - y) ** 2).imag) / STEP
    return total
