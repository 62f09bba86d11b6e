"""Numba: the loops compiled by hand, as fast as they were made to go; compiled before timing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from speed_of.cases import Case


@numba.njit(fastmath=False)
def _gradients(W_xh, W_hh, b_h, W_hy, b_y, x, targets, h_0):
    steps, size = len(x), len(h_0)
    a = np.dot(x, W_xh.T)
    h = np.empty((steps + 1, size))
    h[0] = h_0
    for t in range(steps):
        row = np.dot(W_hh, h[t])
        for i in range(size):
            h[t + 1, i] = np.tanh(a[t, i] + row[i] + b_h[i])
    error = np.dot(h[1:], W_hy.T) + b_y - targets
    direct = np.dot(2 * error, W_hy)
    dL_dh = np.zeros((steps + 1, size))
    dL_da = np.empty((steps, size))
    W_T = np.ascontiguousarray(W_hh.T)
    for t in range(steps, 0, -1):
        for i in range(size):
            dL_dh[t, i] += direct[t - 1, i]
            dL_da[t - 1, i] = (1 - h[t, i] ** 2) * dL_dh[t, i]
        dL_dh[t - 1] = np.dot(W_T, dL_da[t - 1])
    weights = (np.dot(dL_da.T, x), np.dot(dL_da.T, h[:-1]), dL_da.sum(axis=0),
               np.dot(2 * error.T, h[1:]), 2 * error.sum(axis=0))  # fmt: skip
    return np.sum(error**2), dL_dh, np.dot(dL_da, W_xh), weights


def gradients(case: Case) -> Callable[[], dict[str, Any]]:
    """Loss, ∂L/∂h_t, ∂L/∂x_t and every weight's gradient."""
    w = case.weights
    arrays = (w["W_xh"], w["W_hh"], w["b_h"], w["W_hy"], w["b_y"], case.x, case.targets, case.h_0)
    names = ("dL_dW_xh", "dL_dW_hh", "dL_db_h", "dL_dW_hy", "dL_db_y")

    def work() -> dict[str, Any]:
        loss, dL_dh, dL_dx, grads = _gradients(*arrays)
        return {
            "loss": loss,
            "dL_dh": dL_dh,
            "dL_dx": dL_dx,
            **dict(zip(names, grads, strict=True)),
        }

    return work
