"""JAX, jit, float64: scans, compiled before they are timed."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from speed_of.cases import BatchCase, Case

jax.config.update("jax_enable_x64", True)


def _rnn(w: Any, h: Any, c: Any, u_x: Any) -> Any:
    return jnp.tanh(u_x + w["W_hh"] @ h), c


def _lstm(w: Any, h: Any, c: Any, u_x: Any) -> Any:
    """Gates i, f, g, o."""
    i, f, g, o = jnp.split(u_x + w["W_hh"] @ h, 4)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    return jax.nn.sigmoid(o) * jnp.tanh(c), c


def _gru(w: Any, h: Any, c: Any, u_x: Any) -> Any:
    """Gates r, z, n, as PyTorch has it."""
    (x_r, x_z, x_n), (h_r, h_z, h_n) = (jnp.split(u, 3) for u in (u_x, w["W_hh"] @ h + w["b_hh"]))
    z = jax.nn.sigmoid(x_z + h_z)
    n = jnp.tanh(x_n + jax.nn.sigmoid(x_r + h_r) * h_n)
    return (1 - z) * n + z * h, c


def gradients(case: Case) -> Callable[[], dict[str, Any]]:
    """Loss, every weight's gradient, ∂L/∂x_t and, from a zero added to each state, ∂L/∂h_t."""
    return _gradients(case, _rnn, "b_h")


def lstm_gradients(case: Case) -> Callable[[], dict[str, Any]]:
    """The same for lstm."""
    return _gradients(case, _lstm, "b_h")


def gru_gradients(case: Case) -> Callable[[], dict[str, Any]]:
    """The same for gru."""
    return _gradients(case, _gru, "b_xh")


def batch_gradients(case: BatchCase) -> Callable[[], dict[str, Any]]:
    """The same of a batch: the loss of one sequence, vmapped."""
    return _of_batch(case, _rnn, "b_h")


def lstm_batch_gradients(case: BatchCase) -> Callable[[], dict[str, Any]]:
    """The same for lstm."""
    return _of_batch(case, _lstm, "b_h")


def gru_batch_gradients(case: BatchCase) -> Callable[[], dict[str, Any]]:
    """The same for gru."""
    return _of_batch(case, _gru, "b_xh")


def _loss(w: Any, x: Any, targets: Any, h_0: Any, nothing: Any, step: Any, bias: str) -> Any:
    """With h, c = step(w, h, c, W_xh x + bias); c begins at 0, and is idle where there is none."""

    def one(state: Any, now: Any) -> Any:
        u_x, zero = now
        h, c = step(w, *state, u_x)
        return (h + zero, c), h + zero

    inputs = (x @ w["W_xh"].T + w[bias], nothing)
    h = jax.lax.scan(one, (h_0, jnp.zeros_like(h_0)), inputs)[1]
    return jnp.sum((targets - h @ w["W_hy"].T - w["b_y"]) ** 2)


def _gradients(case: Case, step: Any, bias: str) -> Callable[[], dict[str, Any]]:
    w, x, targets, h_0 = jax.tree.map(jnp.asarray, case[:4])
    nothing = jnp.zeros((case.steps, len(case.h_0)))

    def loss(w: Any, x: Any, h_0: Any, nothing: Any) -> Any:
        return _loss(w, x, targets, h_0, nothing, step, bias)

    run = jax.jit(jax.value_and_grad(loss, argnums=(0, 1, 2, 3)))

    def work() -> dict[str, Any]:
        value, (dw, dx, dh_0, dh) = jax.block_until_ready(run(w, x, h_0, nothing))
        named = {f"dL_d{name}": grad for name, grad in dw.items()}
        return {"loss": value, "dL_dx": dx, "dL_dh": (dh_0, dh), **named}

    return work


def _of_batch(case: BatchCase, step: Any, bias: str) -> Callable[[], dict[str, Any]]:
    w, x, targets = jax.tree.map(jnp.asarray, case[:3])
    size, steps, hidden = len(case.x), case.x.shape[1], case.weights["W_hh"].shape[1]
    h_0, nothing = jnp.zeros((size, hidden)), jnp.zeros((size, steps, hidden))

    def loss(w: Any, x: Any, h_0: Any, nothing: Any) -> Any:
        def one(x: Any, targets: Any, h_0: Any, nothing: Any) -> Any:
            return _loss(w, x, targets, h_0, nothing, step, bias)

        return jnp.sum(jax.vmap(one)(x, targets, h_0, nothing))

    run = jax.jit(jax.value_and_grad(loss, argnums=(0, 1, 2, 3)))

    def work() -> dict[str, Any]:
        value, (dw, dx, _, _) = jax.block_until_ready(run(w, x, h_0, nothing))
        return {"loss": value, "dL_dx": dx, **{f"dL_d{name}": grad for name, grad in dw.items()}}

    return work


def _slopes(W_xh: Any, W: Any, b: Any, x: Any, h_0: Any) -> Any:
    def step(h: Any, a: Any) -> Any:
        h = jnp.tanh(a + W @ h)
        return h, 1 - h**2

    return jax.lax.scan(step, h_0, x @ W_xh.T + b)[1]


def _arrays(case: Case) -> tuple[Any, ...]:
    w = case.weights
    return tuple(map(jnp.asarray, (w["W_xh"], w["W_hh"], w["b_h"], case.x, case.h_0)))


@cache
def _compiled_chain() -> Any:
    def chain(W_xh: Any, W: Any, b: Any, x: Any, h_0: Any) -> Any:
        def step(carry: Any, slope: Any) -> Any:
            P, log = carry
            P = (P * slope) @ W
            largest = jnp.max(jnp.abs(P))
            P, log = P / largest, log + jnp.log10(largest)
            return (P, log), log + jnp.log10(jnp.linalg.svd(P, compute_uv=False)[0])

        start = (jnp.eye(len(h_0)), 0.0)
        return jax.lax.scan(step, start, _slopes(W_xh, W, b, x, h_0)[::-1])[1]

    return jax.jit(chain)


def log10_chain(case: Case) -> Callable[[], np.ndarray]:
    """An SVD a step."""
    run, arrays = _compiled_chain(), _arrays(case)
    return lambda: np.append(np.asarray(run(*arrays))[::-1], 0.0)


def log10_paths(case: Case) -> Callable[[], np.ndarray]:
    """All rows pulled back together; the norm of each is its singular value, by stacked SVDs."""
    W_hy, b_y = jnp.asarray(case.weights["W_hy"]), jnp.asarray(case.weights["b_y"])
    targets, steps = jnp.asarray(case.targets), case.steps

    def paths(W_xh: Any, W: Any, b: Any, x: Any, h_0: Any) -> Any:
        def forward(h: Any, a: Any) -> Any:
            h = jnp.tanh(a + W @ h)
            return h, h

        h = jax.lax.scan(forward, h_0, x @ W_xh.T + b)[1]
        direct = 2 * (h @ W_hy.T + b_y - targets) @ W_hy

        def size(rows: Any) -> Any:
            return jnp.linalg.svd(rows[:, None, :], compute_uv=False)[:, 0]

        def step(carry: Any, now: Any) -> Any:
            rows, logs = carry
            k, slope = now
            rows = jnp.where(jnp.arange(steps)[:, None] == k, direct, rows)
            found = logs + jnp.log10(size(rows))
            rows = (rows * slope) @ W
            largest = jnp.max(jnp.abs(rows), axis=1, keepdims=True)
            safe = jnp.where(largest > 0, largest, 1.0)
            return (rows / safe, logs + jnp.log10(safe[:, 0])), found

        start = (jnp.zeros_like(direct), jnp.zeros(steps))
        order = (jnp.arange(steps)[::-1], (1 - h**2)[::-1])
        (rows, logs), found = jax.lax.scan(step, start, order)
        return jnp.vstack([logs + jnp.log10(size(rows)), found[::-1]]).T

    run, arrays = jax.jit(paths), _arrays(case)

    def work() -> np.ndarray:
        found = np.array(run(*arrays))
        found[np.arange(steps + 1) > np.arange(1, steps + 1)[:, None]] = np.nan
        return found

    return work


def lyapunov(case: Case, every: int = 5) -> Callable[[], np.ndarray]:
    """A QR every 5 steps."""

    def spectrum(W_xh: Any, W: Any, b: Any, x: Any, h_0: Any) -> Any:
        def one(Q: Any, slope: Any) -> Any:
            return slope[:, None] * (W @ Q), None

        def block(Q: Any, slopes: Any) -> Any:
            Q, R = jnp.linalg.qr(jax.lax.scan(one, Q, slopes)[0])
            return Q, jnp.log(jnp.abs(jnp.diagonal(R)))

        slopes = _slopes(W_xh, W, b, x, h_0).reshape(-1, every, len(h_0))
        return jnp.sum(jax.lax.scan(block, jnp.eye(len(h_0)), slopes)[1], axis=0)

    run, arrays = jax.jit(spectrum), _arrays(case)
    return lambda: np.sort(np.asarray(run(*arrays)) / case.steps)[::-1]


def sweep(cases: list[Case], scales: np.ndarray) -> Callable[[], np.ndarray]:
    """log10 ‖∂h_T/∂h_0‖₂, (seeds, scales), vmapped over both."""

    def point(W_xh: Any, W: Any, b: Any, x: Any, h_0: Any, scale: Any) -> Any:
        W = scale * W

        def step(carry: Any, slope: Any) -> Any:
            P, log = carry
            P = slope[:, None] * (W @ P)
            largest = jnp.max(jnp.abs(P))
            return (P / largest, log + jnp.log10(largest)), None

        start = (jnp.eye(len(h_0)), 0.0)
        P, log = jax.lax.scan(step, start, _slopes(W_xh, W, b, x, h_0))[0]
        return log + jnp.log10(jnp.linalg.svd(P, compute_uv=False)[0])

    over_scales = jax.vmap(point, in_axes=(None,) * 5 + (0,))
    run = jax.jit(jax.vmap(over_scales, in_axes=(0,) * 5 + (None,)))
    stacked = [jnp.stack(part) for part in zip(*map(_arrays, cases), strict=True)]
    return lambda: np.asarray(run(*stacked, jnp.asarray(scales)))
