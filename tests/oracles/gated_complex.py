"""Any cell and any stack by complex step, entry by entry: see ``oracles.complex_step``."""

from __future__ import annotations

import numpy as np

from oracles import gated_plain
from oracles.complex_step import STEP, log10_norms, nudged, slope_in_y
from oracles.gated_plain import columns, kind_of, top
from oracles.plain import COMPLEX, Net, Numbers


def quantities(net: Net) -> dict[str, Numbers]:
    """Every quantity of the contract's table but ``log10_chain``, by its name there."""
    with np.errstate(all="ignore"):
        net = gated_plain.cast(net, COMPLEX)
        s = gated_plain.states(net, COMPLEX)
        found = {
            "h": np.array(s).real[:, columns(net, "h")],
            "dht_dhprev": np.array([_jacobian(net, t, s[t - 1]) for t in range(1, len(s))]),
        }
        return found | (_losses(net, s) if net["loss"] else {})


def _losses(net: Net, s: list[Numbers]) -> dict[str, Numbers]:
    paths, h = _loss_paths(net, s), columns(net, "h")
    steps = range(1, len(s))
    dL_ds = np.sum(paths, axis=0)
    totals = {f"dL_d{n}": gradient(net, n) for n in (*gated_plain.parameters(net), "x")}
    memory = {"dL_dc": dL_ds[:, columns(net, "c")]} if net["cell"] == "lstm" else {}
    return (
        totals
        | memory
        | {
            "losses": gated_plain.loss_per_step(net, COMPLEX).real,
            "dL_dy": np.array([slope_in_y(net, t, top(net, s[t])) for t in steps]),
            "dLt_dht": np.array([paths[t - 1, t, h] for t in steps]),
            "dL_dh": dL_ds[:, h],
            "log10_paths": log10_norms(paths),
        }
    )


def _jacobian(net: Net, t: int, s: Numbers) -> Numbers:
    """∂s_t/∂s_{t−1}, column by column."""
    kind = kind_of(COMPLEX)
    found = [gated_plain.step(net, t, nudged(s, (j,)), kind).imag for j in range(len(s))]
    return np.array(found).T / STEP


def gradient(net: Net, name: str) -> Numbers:
    """∂L/∂(the array called ``name``), entry by entry."""
    result = np.zeros(net[name].shape)
    for index in np.ndindex(*net[name].shape):
        losses = gated_plain.loss_per_step({**net, name: nudged(net[name], index)}, COMPLEX)
        result[index] = np.sum(losses).imag / STEP
    return result


def _loss_paths(net: Net, s: list[Numbers]) -> Numbers:
    """∂L_t/∂s_k as (T, T+1, S): s_k perturbed in mid-sequence; 0 for k > t."""
    paths = np.zeros((len(s) - 1, len(s), len(s[0])))
    for k, i in np.ndindex(paths.shape[1:]):
        paths[:, k, i] = gated_plain.loss_per_step(net, COMPLEX, k, nudged(s[k], (i,))).imag / STEP
    return paths
