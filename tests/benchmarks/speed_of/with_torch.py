"""PyTorch, float64, on the CPU: its own ``nn.RNN``, ``nn.GRU`` and ``nn.LSTM``.

They leave ∂L/∂W and ∂L/∂x_t; ∂L/∂h_t is not asked of them, which spares them work.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from speed_of.cases import Case

torch.set_num_threads(1)


def gradients(case: Case) -> Callable[[], dict[str, Any]]:
    """Forward and backward through ``nn.RNN``."""
    w = {name: torch.tensor(value) for name, value in case.weights.items()}
    rnn = torch.nn.RNN(case.x.shape[1], len(case.h_0), dtype=torch.float64)
    with torch.no_grad():
        rnn.weight_ih_l0.copy_(w["W_xh"])
        rnn.weight_hh_l0.copy_(w["W_hh"])
        rnn.bias_ih_l0.copy_(w["b_h"])
        rnn.bias_hh_l0.zero_()
    W_hy, b_y = w["W_hy"].requires_grad_(), w["b_y"].requires_grad_()
    x = torch.tensor(case.x[:, None]).requires_grad_()
    targets = torch.tensor(case.targets)
    leaves = [rnn.weight_ih_l0, rnn.weight_hh_l0, rnn.bias_ih_l0, W_hy, b_y, x]
    names = ["dL_dW_xh", "dL_dW_hh", "dL_db_h", "dL_dW_hy", "dL_db_y", "dL_dx"]

    def work() -> dict[str, Any]:
        y = rnn(x)[0][:, 0] @ W_hy.T + b_y
        loss = torch.sum((targets - y) ** 2)
        grads = dict(zip(names, torch.autograd.grad(loss, leaves), strict=True))
        return {"loss": loss.detach(), **grads, "dL_dx": grads["dL_dx"][:, 0]}

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
