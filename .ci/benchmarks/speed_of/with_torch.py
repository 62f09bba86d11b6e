"""PyTorch, float64, on the CPU: its own ``nn.RNN``, ``nn.GRU`` and ``nn.LSTM``.

They leave ∂L/∂W and ∂L/∂x_t; ∂L/∂h_t is not asked of them, which spares them work.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from speed_of.cases import BatchCase, Case

torch.set_num_threads(1)


def gradients(case: Case | BatchCase) -> Callable[[], dict[str, Any]]:
    """Forward and backward through ``nn.RNN``."""
    return _gradients(case, torch.nn.RNN, {"W_xh": "weight_ih_l0", "W_hh": "weight_hh_l0",
                                           "b_h": "bias_ih_l0"})  # fmt: skip


def lstm_gradients(case: Case | BatchCase) -> Callable[[], dict[str, Any]]:
    """The same through ``nn.LSTM``."""
    return _gradients(case, torch.nn.LSTM, {"W_xh": "weight_ih_l0", "W_hh": "weight_hh_l0",
                                            "b_h": "bias_ih_l0"})  # fmt: skip


def gru_gradients(case: Case | BatchCase) -> Callable[[], dict[str, Any]]:
    """The same through ``nn.GRU``."""
    return _gradients(case, torch.nn.GRU, {"W_xh": "weight_ih_l0", "W_hh": "weight_hh_l0",
                                           "b_xh": "bias_ih_l0", "b_hh": "bias_hh_l0"})  # fmt: skip


batch_gradients, lstm_batch_gradients, gru_batch_gradients = (
    gradients, lstm_gradients, gru_gradients,
)  # fmt: skip


def _gradients(
    case: Case | BatchCase, kind: Any, theirs: dict[str, str]
) -> Callable[[], dict[str, Any]]:
    """``theirs``: our name -> theirs; a bias that is not there is 0."""
    w = {name: torch.tensor(value) for name, value in case.weights.items()}
    sizes = case.x.shape[-1], case.weights["W_hh"].shape[1]
    net = kind(*sizes, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        net.bias_hh_l0.zero_()
        for name, their_name in theirs.items():
            getattr(net, their_name).copy_(w[name])
    W_hy, b_y = w["W_hy"].requires_grad_(), w["b_y"].requires_grad_()
    x = torch.tensor(case.x if case.x.ndim == 3 else case.x[None]).requires_grad_()
    targets = torch.tensor(case.targets)
    leaves = [*(getattr(net, name) for name in theirs.values()), W_hy, b_y, x]
    names = [f"dL_d{name}" for name in (*theirs, "W_hy", "b_y", "x")]

    def work() -> dict[str, Any]:
        y = net(x)[0].reshape(*case.targets.shape[:-1], -1) @ W_hy.T + b_y
        loss = torch.sum((targets - y) ** 2)
        grads = dict(zip(names, torch.autograd.grad(loss, leaves), strict=True))
        return {"loss": loss.detach(), **grads, "dL_dx": grads["dL_dx"].reshape(case.x.shape)}

    return work


def log10_chain(case: Case) -> Callable[[], np.ndarray]:
    """An SVD a step."""
    w = {name: torch.tensor(value) for name, value in case.weights.items()}
    x, h_0, eye = torch.tensor(case.x), torch.tensor(case.h_0), torch.eye(len(case.h_0))

    @torch.no_grad()
    def work() -> np.ndarray:
        h, slopes = h_0, []
        for a in x @ w["W_xh"].T + w["b_h"]:
            h = torch.tanh(a + w["W_hh"] @ h)
            slopes.append(1 - h**2)
        P, log, found = eye.double(), torch.zeros(()), [torch.zeros((), dtype=torch.float64)]
        for slope in reversed(slopes):
            P = (P * slope) @ w["W_hh"]
            largest = P.abs().max()
            P, log = P / largest, log + torch.log10(largest)
            found.append(log + torch.log10(torch.linalg.svdvals(P)[0]))
        return torch.stack(found[::-1]).numpy()

    return work
