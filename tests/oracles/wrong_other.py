"""Backward passes of a stack, of a peephole cell and of a cell of one's own, by hand, in plain
loops. A partial is taken from ``use``, where a test puts a wrong one; all else is as in a course.

Nothing of rnngrad is used. Each returns a spec and the function that makes its gradients.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]
Use = dict[str, Callable[..., np.ndarray]]
Net = tuple[dict[str, Any], Callable[[Use], Arrays]]

LEAKY = {
    "name": "leaky",
    "state": ["h"],
    "equations": [
        "u_t = tanh(W_xu x_t + W_hu h_{t-1} + b_u)",
        "h_t = alpha ∘ h_{t-1} + u_t",
    ],
    "shapes": {"u": ["H"], "alpha": ["H"]},
}


def sigmoid(a: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-a))


def stack(seed: int = 0, steps: int = 5) -> Net:
    """Two layers of rnn with tanh; y_t is W_hy h_t + b_y, L the squared error."""
    rng = np.random.default_rng([1, seed])
    I, H, G, O = 2, 3, 4, 2  # noqa: E741
    below = {"W_xh": rng.normal(0, 0.6, (H, I)), "W_hh": rng.normal(0, 0.6, (H, H)),
             "b_h": rng.normal(0, 0.3, H)}  # fmt: skip
    above = {"W_xh": rng.normal(0, 0.6, (G, H)), "W_hh": rng.normal(0, 0.6, (G, G)),
             "b_h": rng.normal(0, 0.3, G)}  # fmt: skip
    W_hy, b_y = rng.normal(size=(O, G)), rng.normal(0, 0.3, O)
    x, target = rng.normal(size=(steps, I)), rng.normal(size=(steps, O))
    h_0 = rng.normal(0, 0.5, H + G)
    spec = {
        "cell": "rnn", "weights": {"layers": [below, above], "W_hy": W_hy, "b_y": b_y},
        "inputs": x, "targets": target, "h_0": h_0, "activation": "tanh",
    }  # fmt: skip

    def made(use: Use) -> Arrays:
        slope = use.get("slope", lambda h: 1 - h**2)
        first, second = [h_0[:H]], [h_0[H:]]
        for x_t in x:
            first.append(np.tanh(below["W_xh"] @ x_t + below["W_hh"] @ first[-1] + below["b_h"]))
            second.append(
                np.tanh(above["W_xh"] @ first[-1] + above["W_hh"] @ second[-1] + above["b_h"])
            )
        grads = {f"dL_d{n}.{k}": np.zeros_like(w)
                 for k, layer in enumerate((below, above)) for n, w in layer.items()}  # fmt: skip
        to_first, to_second = np.zeros(H), np.zeros(G)
        for t in range(steps, 0, -1):
            at_y = 2 * (W_hy @ second[t] + b_y - target[t - 1])
            at_a2 = (W_hy.T @ at_y + to_second) * slope(second[t])
            at_a1 = (above["W_xh"].T @ at_a2 + to_first) * slope(first[t])
            grads["dL_dW_xh.1"] += np.outer(at_a2, first[t])
            grads["dL_dW_hh.1"] += np.outer(at_a2, second[t - 1])
            grads["dL_db_h.1"] += at_a2
            grads["dL_dW_xh.0"] += np.outer(at_a1, x[t - 1])
            grads["dL_dW_hh.0"] += np.outer(at_a1, first[t - 1])
            grads["dL_db_h.0"] += at_a1
            to_second, to_first = above["W_hh"].T @ at_a2, below["W_hh"].T @ at_a1
        return grads

    return spec, made


def peephole(seed: int = 0, steps: int = 5) -> Net:
    """lstm whose gates see the memory: i and f see c_{t−1}, o sees c_t."""
    rng = np.random.default_rng([2, seed])
    I, H, O = 2, 3, 2  # noqa: E741
    W = {f"W_x{g}": rng.normal(0, 0.6, (H, I)) for g in "ifgo"}
    W |= {f"W_h{g}": rng.normal(0, 0.6, (H, H)) for g in "ifgo"}
    W |= {f"b_{g}": rng.normal(0, 0.3, H) for g in "ifgo"}
    W |= {f"w_c{g}": rng.normal(0, 0.6, H) for g in "ifo"}
    W_hy = rng.normal(size=(O, H))
    x, target = rng.normal(size=(steps, I)), rng.normal(size=(steps, O))
    h_0, c_0 = rng.normal(0, 0.5, H), rng.normal(0, 0.5, H)
    spec = {
        "cell": "lstm_peephole", "weights": W | {"W_hy": W_hy},
        "inputs": x, "targets": target, "h_0": h_0, "c_0": c_0,
    }  # fmt: skip

    def made(use: Use) -> Arrays:
        peep = use.get("peep_f", lambda at_f: W["w_cf"] * at_f)
        h, c, kept = [h_0], [c_0], []
        for x_t in x:
            i = sigmoid(W["W_xi"] @ x_t + W["W_hi"] @ h[-1] + W["w_ci"] * c[-1] + W["b_i"])
            f = sigmoid(W["W_xf"] @ x_t + W["W_hf"] @ h[-1] + W["w_cf"] * c[-1] + W["b_f"])
            g = np.tanh(W["W_xg"] @ x_t + W["W_hg"] @ h[-1] + W["b_g"])
            c.append(f * c[-1] + i * g)
            o = sigmoid(W["W_xo"] @ x_t + W["W_ho"] @ h[-1] + W["w_co"] * c[-1] + W["b_o"])
            h.append(o * np.tanh(c[-1]))
            kept.append((i, f, g, o))
        grads = {f"dL_d{name}": np.zeros_like(w) for name, w in W.items()}
        to_h, to_c = np.zeros(H), np.zeros(H)
        for t in range(steps, 0, -1):
            i, f, g, o = kept[t - 1]
            at_h = W_hy.T @ (2 * (W_hy @ h[t] - target[t - 1])) + to_h
            at_o = at_h * np.tanh(c[t]) * o * (1 - o)
            at_c = at_h * o * (1 - np.tanh(c[t]) ** 2) + W["w_co"] * at_o + to_c
            at = {"i": at_c * g * i * (1 - i), "f": at_c * c[t - 1] * f * (1 - f),
                  "g": at_c * i * (1 - g**2), "o": at_o}  # fmt: skip
            for gate, rows in at.items():
                grads[f"dL_dW_x{gate}"] += np.outer(rows, x[t - 1])
                grads[f"dL_dW_h{gate}"] += np.outer(rows, h[t - 1])
                grads[f"dL_db_{gate}"] += rows
            grads["dL_dw_ci"] += at["i"] * c[t - 1]
            grads["dL_dw_cf"] += at["f"] * c[t - 1]
            grads["dL_dw_co"] += at["o"] * c[t]
            to_h = sum(W[f"W_h{gate}"].T @ rows for gate, rows in at.items())
            to_c = at_c * f + W["w_ci"] * at["i"] + peep(at["f"])
        return grads

    return spec, made


def leaky(seed: int = 0, steps: int = 6) -> Net:
    """A cell of one's own: h_t = α ∘ h_{t−1} + u_t."""
    rng = np.random.default_rng([3, seed])
    I, H, O = 2, 4, 2  # noqa: E741
    W = {"W_xu": rng.normal(0, 0.6, (H, I)), "W_hu": rng.normal(0, 0.5, (H, H)),
         "b_u": rng.normal(0, 0.3, H), "alpha": rng.uniform(0.2, 0.8, H)}  # fmt: skip
    W_hy = rng.normal(size=(O, H))
    x, target = rng.normal(size=(steps, I)), rng.normal(size=(steps, O))
    h_0 = rng.normal(0, 0.5, H)
    spec = {
        "cell": LEAKY, "weights": W | {"W_hy": W_hy},
        "inputs": x, "targets": target, "h_0": h_0,
    }  # fmt: skip

    def made(use: Use) -> Arrays:
        carry = use.get("carry", lambda at_h: W["alpha"] * at_h)
        beside_alpha = use.get("beside_alpha", lambda h, t: h[t - 1])
        h, u = [h_0], []
        for x_t in x:
            u.append(np.tanh(W["W_xu"] @ x_t + W["W_hu"] @ h[-1] + W["b_u"]))
            h.append(W["alpha"] * h[-1] + u[-1])
        grads, to_h = {f"dL_d{name}": np.zeros_like(w) for name, w in W.items()}, np.zeros(H)
        for t in range(steps, 0, -1):
            at_h = W_hy.T @ (2 * (W_hy @ h[t] - target[t - 1])) + to_h
            at_a = at_h * (1 - u[t - 1] ** 2)
            grads["dL_dW_xu"] += np.outer(at_a, x[t - 1])
            grads["dL_dW_hu"] += np.outer(at_a, h[t - 1])
            grads["dL_db_u"] += at_a
            grads["dL_dalpha"] += at_h * beside_alpha(h, t)
            to_h = W["W_hu"].T @ at_a + carry(at_h)
        return grads

    return spec, made
