"""HIPS autograd: plain Python steps, recorded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import autograd.numpy as anp
from autograd import value_and_grad
from autograd.builtins import tuple as boxed

from speed_of.cases import Case


def gradients(case: Case) -> Callable[[], dict[str, Any]]:
    """Loss, every weight's gradient and ∂L/∂x_t."""
    names, values = zip(*case.weights.items(), strict=True)

    def loss(leaves: Any) -> Any:
        w, x = dict(zip(names, leaves[:-1], strict=True)), leaves[-1]
        h, total = case.h_0, 0.0
        for t in range(case.steps):
            h = anp.tanh(anp.dot(w["W_xh"], x[t]) + anp.dot(w["W_hh"], h) + w["b_h"])
            y = anp.dot(w["W_hy"], h) + w["b_y"]
            total = total + anp.sum((case.targets[t] - y) ** 2)
        return total

    run = value_and_grad(loss)

    def work() -> dict[str, Any]:
        value, grads = run(boxed((*values, case.x)))
        found = dict(zip((f"dL_d{name}" for name in names), grads[:-1], strict=True))
        return {"loss": value, "dL_dx": grads[-1], **found}

    return work
