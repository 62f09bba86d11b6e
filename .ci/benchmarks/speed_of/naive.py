"""The peers that need NumPy alone: what one writes first, equation by equation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import rnngrad
from rnngrad.net.problem import Problem
from speed_of.cases import BatchCase, Case

Result = dict[str, np.ndarray]


def gradients(case: Case) -> Callable[[], Result]:
    """Forward and BPTT, one step at a time, an outer product a step for each weight."""
    return lambda: _gradients(case)


def _gradients(case: Case) -> Result:
    w, x = case.weights, case.x
    steps, h = case.steps, [case.h_0]
    for t in range(steps):
        h.append(np.tanh(w["W_xh"] @ x[t] + w["W_hh"] @ h[-1] + w["b_h"]))
    grads = {name: np.zeros_like(value) for name, value in w.items()}
    dL_dh = np.zeros((steps + 1, len(case.h_0)))
    dL_dx, loss, later = np.zeros_like(x), 0.0, np.zeros_like(case.h_0)
    for t in range(steps, 0, -1):
        error = w["W_hy"] @ h[t] + w["b_y"] - case.targets[t - 1]
        loss += np.sum(error**2)
        grads["W_hy"] += np.outer(2 * error, h[t])
        grads["b_y"] += 2 * error
        dL_dh[t] = w["W_hy"].T @ (2 * error) + later
        at_a = (1 - h[t] ** 2) * dL_dh[t]
        grads["W_hh"] += np.outer(at_a, h[t - 1])
        grads["W_xh"] += np.outer(at_a, x[t - 1])
        grads["b_h"] += at_a
        dL_dx[t - 1] = w["W_xh"].T @ at_a
        later = w["W_hh"].T @ at_a
    dL_dh[0] = later
    named = {f"dL_d{name}": value for name, value in grads.items()}
    return {"loss": np.float64(loss), "dL_dh": dL_dh, "dL_dx": dL_dx, **named}


def _sigmoid(a: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-a))


def lstm_gradients(case: Case) -> Callable[[], Result]:
    """The same for lstm: gates i, f, g, o."""
    return lambda: _gated(case, _lstm_step, _lstm_back)


def gru_gradients(case: Case) -> Callable[[], Result]:
    """The same for gru: gates r, z, n."""
    return lambda: _gated(case, _gru_step, _gru_back)


def _lstm_step(w: Result, x: np.ndarray, h: np.ndarray, c: np.ndarray) -> tuple:
    i, f, g, o = np.split(w["W_xh"] @ x + w["W_hh"] @ h + w["b_h"], 4)
    i, f, g, o = _sigmoid(i), _sigmoid(f), np.tanh(g), _sigmoid(o)
    after = f * c + i * g
    return o * np.tanh(after), after, (i, f, g, o, c, np.tanh(after))


def _lstm_back(kept: tuple, dL_dh: np.ndarray, dL_dc: np.ndarray) -> tuple:
    """∂L/∂u_x, ∂L/∂u_h, and what reaches h_{t−1} and c_{t−1} directly."""
    i, f, g, o, c, tanh_c = kept
    dL_dc = dL_dc + dL_dh * o * (1 - tanh_c**2)
    at_a = np.concatenate([dL_dc * g * i * (1 - i), dL_dc * c * f * (1 - f),
                           dL_dc * i * (1 - g**2), dL_dh * tanh_c * o * (1 - o)])  # fmt: skip
    return at_a, at_a, 0.0, dL_dc * f


def _gru_step(w: Result, x: np.ndarray, h: np.ndarray, c: np.ndarray) -> tuple:
    x_r, x_z, x_n = np.split(w["W_xh"] @ x + w["b_xh"], 3)
    h_r, h_z, inner = np.split(w["W_hh"] @ h + w["b_hh"], 3)
    r, z = _sigmoid(x_r + h_r), _sigmoid(x_z + h_z)
    n = np.tanh(x_n + r * inner)
    return (1 - z) * n + z * h, c, (r, z, n, inner, h)


def _gru_back(kept: tuple, dL_dh: np.ndarray, dL_dc: np.ndarray) -> tuple:
    r, z, n, inner, h = kept
    at_n, at_z = dL_dh * (1 - z) * (1 - n**2), dL_dh * (h - n) * z * (1 - z)
    at_r = at_n * inner * r * (1 - r)
    return (np.concatenate([at_r, at_z, at_n]), np.concatenate([at_r, at_z, at_n * r]),
            dL_dh * z, dL_dc)  # fmt: skip


def _gated(case: Case, step: Callable[..., tuple], back: Callable[..., tuple]) -> Result:
    w, x, h, kept = case.weights, case.x, [case.h_0], []
    c = np.zeros_like(case.h_0)
    for x_t in x:
        after, c, now = step(w, x_t, h[-1], c)
        h.append(after)
        kept.append(now)
    grads = {name: np.zeros_like(value) for name, value in w.items()}
    dL_dh, dL_dx, loss = np.zeros((len(h), len(c))), np.zeros_like(x), 0.0
    later, dL_dc = np.zeros_like(c), np.zeros_like(c)
    for t in range(case.steps, 0, -1):
        error = w["W_hy"] @ h[t] + w["b_y"] - case.targets[t - 1]
        loss += np.sum(error**2)
        grads["W_hy"] += np.outer(2 * error, h[t])
        grads["b_y"] += 2 * error
        dL_dh[t] = w["W_hy"].T @ (2 * error) + later
        at_x, at_h, past, dL_dc = back(kept[t - 1], dL_dh[t], dL_dc)
        grads["W_hh"] += np.outer(at_h, h[t - 1])
        grads["W_xh"] += np.outer(at_x, x[t - 1])
        for name, at in (("b_h", at_x), ("b_xh", at_x), ("b_hh", at_h)):
            if name in grads:
                grads[name] += at
        dL_dx[t - 1] = w["W_xh"].T @ at_x
        later = w["W_hh"].T @ at_h + past
    dL_dh[0] = later
    named = {f"dL_d{name}": value for name, value in grads.items()}
    return {"loss": np.float64(loss), "dL_dh": dL_dh, "dL_dx": dL_dx, **named}


def slopes(case: Case) -> np.ndarray:
    """σ'(a_t), (T, H)."""
    w, h = case.weights, case.h_0
    found = np.empty((case.steps, len(h)))
    for t, x in enumerate(case.x):
        h = np.tanh(w["W_xh"] @ x + w["W_hh"] @ h + w["b_h"])
        found[t] = 1 - h**2
    return found


def log10_chain(case: Case) -> Callable[[], np.ndarray]:
    """The product divided by its largest entry, and an SVD a step."""

    def work() -> np.ndarray:
        W, P, log = case.weights["W_hh"], np.eye(len(case.h_0)), 0.0
        found = np.zeros(case.steps + 1)
        all_slopes = slopes(case)
        for k in range(case.steps - 1, -1, -1):
            P = (P * all_slopes[k]) @ W
            largest = np.abs(P).max()
            P, log = P / largest, log + np.log10(largest)
            found[k] = log + np.log10(np.linalg.svd(P, compute_uv=False)[0])
        return found

    return work


def svd_a_step(problem: Problem) -> Callable[[], np.ndarray]:
    """The same for any net: a dense product and an SVD a step, its Jacobians given."""
    jacobians = rnngrad.derive(problem)["dht_dhprev"]

    def work() -> np.ndarray:
        P, log, found = np.eye(problem.state_size), 0.0, np.zeros(problem.steps + 1)
        for k in range(problem.steps - 1, -1, -1):
            P = P @ jacobians[k]
            largest = np.abs(P).max()
            P, log = P / largest, log + np.log10(largest)
            found[k] = log + np.log10(np.linalg.svd(P, compute_uv=False)[0])
        return found

    return work


def log10_paths(case: Case) -> Callable[[], np.ndarray]:
    """Every loss's row pulled back by itself, divided by its largest entry at each step."""

    def work() -> np.ndarray:
        w, steps = case.weights, case.steps
        found = np.full((steps, steps + 1), np.nan)
        all_slopes, direct = slopes(case), _direct(case)
        for t in range(steps):
            row, log = direct[t], 0.0
            for k in range(t + 1, -1, -1):
                found[t, k] = log + np.log10(np.linalg.norm(row))
                if k:
                    row = (row * all_slopes[k - 1]) @ w["W_hh"]
                    largest = np.abs(row).max()
                    row, log = row / largest, log + np.log10(largest)
        return found

    return work


def _direct(case: Case) -> np.ndarray:
    w, h = case.weights, case.h_0
    rows = []
    for x, target in zip(case.x, case.targets, strict=True):
        h = np.tanh(w["W_xh"] @ x + w["W_hh"] @ h + w["b_h"])
        rows.append(2 * (w["W_hy"] @ h + w["b_y"] - target) @ w["W_hy"])
    return np.array(rows)


def lyapunov(case: Case) -> Callable[[], np.ndarray]:
    """A QR every step."""

    def work() -> np.ndarray:
        W, Q = case.weights["W_hh"], np.eye(len(case.h_0))
        sums = np.zeros(len(Q))
        for slope in slopes(case):
            Q, R = np.linalg.qr(slope[:, None] * (W @ Q))
            sums += np.log(np.abs(np.diagonal(R)))
        return np.sort(sums / case.steps)[::-1]

    return work


def sweep(cases: list[Case], scales: np.ndarray) -> Callable[[], np.ndarray]:
    """log10 ‖∂h_T/∂h_0‖₂ of every scale and seed, one point after another, (seeds, scales)."""

    def point(case: Case, scale: float) -> float:
        W = scale * case.weights["W_hh"]
        scaled = case._replace(weights=case.weights | {"W_hh": W})
        P, log = np.eye(len(W)), 0.0
        for slope in slopes(scaled):
            P = slope[:, None] * (W @ P)
            largest = np.abs(P).max()
            P, log = P / largest, log + np.log10(largest)
        return float(log + np.log10(np.linalg.svd(P, compute_uv=False)[0]))

    return lambda: np.array([[point(case, s) for s in scales] for case in cases])


def batch_products(case: BatchCase) -> Callable[[], dict[str, Any]]:
    """The products of matrices that both passes of a batch cannot do without, on any numbers: two a
    step, those with x and the read-out, and the parameters' gradients over all rows."""
    (size, steps, inputs), outputs = case.x.shape, case.targets.shape[-1]
    W_xh, W_hh, W_hy = (case.weights[name] for name in ("W_xh", "W_hh", "W_hy"))
    draw = np.random.default_rng(0).normal
    x, dL_dy = draw(size=(steps * size, inputs)), draw(size=(steps * size, outputs))
    h, dL_da = (draw(size=(steps, size, n)) for n in W_hh.shape[::-1])
    a, dL_dh = np.empty((size, len(W_hh))), np.empty((size, len(W_hh.T)))
    rows, at_a = h.reshape(len(x), -1), dL_da.reshape(len(x), -1)

    def work() -> dict[str, Any]:
        np.matmul(x, W_xh.T), np.matmul(rows, W_hy.T), np.matmul(dL_dy, W_hy)
        for t in range(steps):
            np.matmul(h[t], W_hh.T, a)
        for t in range(steps):
            np.matmul(dL_da[t], W_hh, dL_dh)
        np.matmul(at_a, W_xh), np.matmul(at_a.T, x), np.matmul(at_a.T, rows)
        np.matmul(dL_dy.T, rows)
        return {}

    return work
