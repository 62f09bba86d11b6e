"""Every quantity of any cell and stack from explicit Jacobians of s_t, multiplied out in mpmath.

    ∂L_t/∂s_k = ∂L_t/∂s_t · J_t J_{t−1} ⋯ J_{k+1},   ∂L/∂s_k = Σ_t ∂L_t/∂s_k

J_t = ∂s_t/∂s_{t−1} and ∂⁺s_t/∂b come from ``oracles.duals``, not from formulas of the cells. A bias
stands beside a matrix product, so ∂L/∂W = Σ_t (∂L/∂s_t · ∂⁺s_t/∂b) ⊗ (x_t or h_{t−1}).
"""

from __future__ import annotations

import numpy as np

from oracles import gated_plain, plain
from oracles.duals import DUAL, Dual, variable
from oracles.gated_plain import biases, columns, layers, parameters
from oracles.jacobian_products import (
    MP,
    chain_norms,
    exact,
    floats,
    mp,
    output_slopes,
    path_norms,
    paths_of,
    sum_over_losses,
)
from oracles.plain import Net, Numbers


def quantities(net: Net) -> dict[str, Numbers]:
    """Every quantity of the contract's table for this net, by its name there, in float64."""
    net = gated_plain.cast(net, MP, mp.mpf)
    steps = _steps(net)
    s = np.array([gated_plain.start(net), *(step.value for step in steps)])
    jacobians = [step.tangents["s"] for step in steps]
    found = {"h": s[:, columns(net, "h")], "y": _outputs(net, s)["y"]}
    found["dht_dhprev"] = np.array(jacobians)
    logs = {"log10_chain": chain_norms(jacobians)}
    if net["loss"]:
        direct, gradients = _losses(net, s, steps, jacobians)
        found |= gradients
        logs["log10_paths"] = path_norms(paths_of(direct, jacobians))
    return {name: floats(value) for name, value in found.items()} | logs


def _steps(net: Net) -> list[Dual]:
    """s_1 … s_T, each differentiated by s_{t−1} ("s") and by the biases of its own step.

    With ``rounding`` (T, S) in the net each s_t is multiplied by its row: 1, or nearly so.
    """
    names = [name for name in parameters(net) if name.startswith("b_") and name != "b_y"]
    seeded = net | {name: variable(name, net[name]) for name in names}
    s, steps = gated_plain.start(net), []
    for t in range(1, len(net["x"]) + 1):
        steps.append(gated_plain.step(seeded, t, variable("s", s), DUAL))
        if "rounding" in net:
            steps[-1].value = steps[-1].value * net["rounding"][t - 1]
        s = steps[-1].value
    return steps


def rounded(net: Net) -> Net:
    """The same net, whose states are data as well when its condition is measured: what a float64
    h_t can tell of h_t − n_{t+1} where the two agree."""
    return net | {"rounding": np.ones((len(net["x"]), len(gated_plain.start(net))))}


def _outputs(net: Net, s: Numbers) -> Net:
    pairs = [plain.readout(net, gated_plain.top(net, row), MP) for row in s[1:]]
    return {"a_y": np.array([a for a, _ in pairs]), "y": np.array([y for _, y in pairs])}


def _losses(
    net: Net, s: Numbers, steps: list[Dual], jacobians: list[Numbers]
) -> tuple[Numbers, Net]:
    """∂L_t/∂s_t, (T, S), and everything that needs a loss."""
    dL_dy, dL_da_y = output_slopes(net, _outputs(net, s))
    direct = exact(np.zeros((len(steps), s.shape[1])))
    direct[:, layers(net)[-1].h] = dL_da_y @ net["W_hy"] if "W_hy" in net else dL_da_y
    dL_ds = sum_over_losses(paths_of(direct, jacobians))
    h = columns(net, "h")
    found = {
        "losses": gated_plain.loss_per_step(net, MP),
        "dL_dy": dL_dy,
        "dLt_dht": direct[:, h],
        "dL_dh": dL_ds[:, h],
    }
    if net["cell"] == "lstm":
        found["dL_dc"] = dL_ds[:, columns(net, "c")]
    if "W_hy" in net:
        found |= {"dL_dW_hy": dL_da_y.T @ gated_plain.top(net, s)[1:], "dL_db_y": dL_da_y.sum(0)}
    return direct, found | _parameters(net, s, steps, dL_ds)


def _parameters(net: Net, s: Numbers, steps: list[Dual], dL_ds: Numbers) -> Net:
    found, below = {}, net["x"]
    for place in layers(net):
        b_x, b_h = biases(net, place.suffix)
        at = {
            name: np.array(
                [row @ step.tangents[name] for row, step in zip(dL_ds[1:], steps, strict=True)]
            )
            for name in {b_x, b_h}
        }
        found |= {f"dL_d{name}": rows.sum(axis=0) for name, rows in at.items()}
        found[f"dL_dW_xh{place.suffix}"] = at[b_x].T @ below
        found[f"dL_dW_hh{place.suffix}"] = at[b_h].T @ s[:-1, place.h]
        if place.h.start == 0:
            found["dL_dx"] = at[b_x] @ net[f"W_xh{place.suffix}"]
        below = s[1:, place.h]
    return found


def jacobians(net: Net) -> list[Numbers]:
    """J_1 … J_T in mpmath, each at the float64 state that the plain forward pass reached."""
    s = gated_plain.real_states(net)
    net = gated_plain.cast(net, MP, mp.mpf)
    return [
        gated_plain.step(net, t, variable("s", exact(s[t - 1])), DUAL).tangents["s"]
        for t in range(1, len(s))
    ]


def log10_chain(net: Net) -> Numbers:
    """The contract's ``log10_chain`` along the float64 trajectory."""
    return chain_norms(jacobians(net))
