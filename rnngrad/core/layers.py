"""Back-propagation through any cell and any stack of layers; ``core.backward`` begins it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from rnngrad.core.arithmetic import FLOATS
from rnngrad.core.arrays import Array
from rnngrad.core.linear import LinearNet, linear_net, state_columns
from rnngrad.core.problem import Layer, Problem
from rnngrad.core.traces import BackwardTrace, ForwardTrace


class _AtGates(NamedTuple):
    """∂L/∂u_x and ∂L/∂u_h of one layer at every step, (T, G·H) each."""

    x: Array
    h: Array


def through_layers(
    problem: Problem, trace: ForwardTrace, dL_dy: Array, dL_da_y: Array, direct: Array
) -> BackwardTrace:
    """The backward trace, given what the read-out makes of the losses: ∂L_t/∂y_t, ∂L_t/∂a_y and
    ∂L_t/∂h_t of the top layer, (T, H of the top). To be run within ``quietly()``."""
    layers = problem.layers
    dL_ds = np.zeros((problem.steps + 1, problem.state_size))
    dL_ds[1:, layers[-1].state[0]] = direct
    gates = _walk(problem, linear_net(problem, trace, FLOATS), dL_ds)
    weights: dict[str, Array] = {}
    for layer, share, at in zip(layers, trace.layers(problem), gates, strict=True):
        found = _of_layer(problem, at, share.x, share.h)
        weights |= {name + layer.suffix: found[name] for name in problem.cell.parameters}
    weights |= readout_gradients(problem, trace.h[1:, layers[-1].units], dL_da_y)
    dLt_dht = np.zeros((problem.steps, problem.hidden))
    dLt_dht[:, layers[-1].units] = direct
    return BackwardTrace(
        dL_dy,
        dL_da_y,
        dLt_dht,
        dL_ds[:, state_columns(layers, 0)],
        np.concatenate([at.x for at in gates], axis=1),
        gates[0].x @ layers[0].weights["W_xh"],
        weights,
        dL_ds[:, state_columns(layers, 1)] if len(problem.cell.parts) > 1 else None,
    )


def _walk(problem: Problem, net: LinearNet, dL_ds: Array) -> list[_AtGates]:
    """Adds to ``dL_ds`` what comes back from later steps; from the last step with a loss on, so
    what overflows after it cannot spoil it."""
    gates = [_no_gates(problem, layer) for layer in problem.layers]
    for t in range(problem.last_step_with_loss, 0, -1):
        pulled = net.pull(dL_ds[t], t)
        dL_ds[t - 1] += pulled.rows
        for at, reached in zip(gates, pulled.gates, strict=True):
            at.x[t - 1], at.h[t - 1] = reached
    return gates


def _no_gates(problem: Problem, layer: Layer) -> _AtGates:
    shape = (problem.steps, len(problem.cell.gates) * layer.hidden)
    return _AtGates(np.zeros(shape), np.zeros(shape))


def _of_layer(problem: Problem, at: _AtGates, x: Array, h: Array) -> dict[str, Array]:
    """The parameters of one layer by the cell's names: products over the steps that reach L."""
    last = problem.last_step_with_loss
    side = {"x": at.x[:last], "h": at.h[:last]}
    gradients = {"W_xh": side["x"].T @ x[:last], "W_hh": side["h"].T @ h[:last]}
    return gradients | {name: side[s].sum(axis=0) for name, s in problem.cell.enters.items()}


def readout_gradients(problem: Problem, h: Array, dL_da_y: Array) -> Mapping[str, Array]:
    """∂L/∂W_hy and ∂L/∂b_y, ``h`` (T, H) that of the top layer; nothing without a read-out."""
    if not problem.has_readout:
        return {}
    last = problem.last_step_with_loss
    dL_da_y = dL_da_y[:last]
    return {"W_hy": dL_da_y.T @ h[:last], "b_y": dL_da_y.sum(axis=0)}
