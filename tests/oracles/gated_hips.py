"""Any cell and any stack in HIPS autograd: see ``oracles.hips``."""

from __future__ import annotations

from typing import Any

import autograd.numpy as anp
import numpy as np
from autograd import grad

from oracles import gated_plain
from oracles.gated_plain import Kind, columns
from oracles.hips import activate, step_loss
from oracles.plain import Net, Numbers

KIND = Kind(lambda a: activate("sigmoid", a), anp.tanh, activate, anp.concatenate)


def quantities(net: Net) -> dict[str, Numbers]:
    """∂L/∂ every parameter, x and every s_k, by the names of the contract."""
    names = [*gated_plain.parameters(net), "x"]
    s_0 = gated_plain.start(net)
    variables = {name: np.array(net[name], dtype=float) for name in names}
    variables["s"] = np.zeros((len(net["x"]) + 1, len(s_0)))
    with np.errstate(all="ignore"):
        found = grad(lambda v: _loss(net, v, s_0))(variables)
    dL_ds = found.pop("s")
    found["h"] = dL_ds[:, columns(net, "h")]
    if net["cell"] == "lstm":
        found["c"] = dL_ds[:, columns(net, "c")]
    return {f"dL_d{name}": value for name, value in found.items()}


def _loss(net: Net, v: dict[str, Any], s_0: Numbers) -> Any:
    """L, with v["s"][k] added to s_k: its gradient at 0 is ∂L/∂s_k."""
    free = {**net, **v}
    s, total = s_0 + v["s"][0], 0.0
    for t in range(1, len(net["x"]) + 1):
        s = gated_plain.step(free, t, s, KIND) + v["s"][t]
        h = gated_plain.top(net, s)
        a_y = anp.dot(v["W_hy"], h) + v["b_y"] if "W_hy" in v else h
        if net["loss_weights"][t - 1]:
            total = total + net["loss_weights"][t - 1] * step_loss(net, t, a_y)
    return total
