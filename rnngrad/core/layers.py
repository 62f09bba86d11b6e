"""Back-propagation through any cell and any stack of layers; ``core.backward`` begins it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rnngrad.core.arithmetic import FLOATS
from rnngrad.arithmetic.arrays import Array, side_by_side
from rnngrad.core.cells import Cell, LayerTrace, Terms
from rnngrad.core.gated_passes import walks_of
from rnngrad.core.gated_records import Back, safe
from rnngrad.core.problem import Layer, Problem
from rnngrad.core.traces import BackwardTrace, ForwardTrace


def through_layers(
    problem: Problem, trace: ForwardTrace, dL_dy: Array, dL_da_y: Array, direct: Array
) -> BackwardTrace:
    """The backward trace, given what the read-out makes of the losses: ∂L_t/∂y_t, ∂L_t/∂a_y and
    ∂L_t/∂h_t of the top layer, (T, H of the top). To be run within ``quietly()``.

    Layer by layer, the uppermost first: what it sends down within each step, ∂L/∂u_x W_xh, is the
    direct term of the one below, but no part of that one's ∂L/∂h_t (``core.linear``).
    """
    layers, shares = problem.layers, trace.layers(problem)
    walks: list[Back] = []
    enters = direct
    for layer, share in zip(layers[::-1], shares[::-1], strict=True):
        walks.append(_walk(problem, layer, share, enters))
        enters = walks[-1].at_x @ layer.weights["W_xh"]
    walks.reverse()
    dL_dh = side_by_side([walk.h for walk in walks])
    dLt_dht = direct
    if len(layers) > 1:
        dLt_dht = np.zeros((problem.steps, problem.hidden))
        dLt_dht[:, layers[-1].units] = direct
    dL_dh[1:] += dLt_dht
    c = [walk.c for walk in walks if walk.c is not None]
    weights = _parameters(problem, shares, walks)
    last = problem.last_step_with_loss
    weights |= readout_gradients(problem, trace.h[1:, layers[-1].units], dL_da_y[:last])
    return BackwardTrace(
        dL_dy,
        dL_da_y,
        dLt_dht,
        dL_dh,
        side_by_side([walk.at_x for walk in walks]),
        enters,
        weights,
        side_by_side(c) if c else None,
    )


def _walk(problem: Problem, layer: Layer, share: LayerTrace, direct: Array) -> Back:
    """One layer from the last step with a loss back, so that what overflows after it cannot spoil
    it; with as few calls as ``core.gated_passes`` needs, or step by step."""
    W_hh, last = layer.weights["W_hh"], problem.last_step_with_loss
    walks = walks_of(problem.cell)
    if walks is not None and safe(share.a[:last], problem.cell.name):
        return walks.back(share, W_hh, direct, last)
    terms = problem.cell.linearise(share, problem.activation, FLOATS)
    return step_by_step(problem.cell, terms, W_hh, direct, last)


def step_by_step(cell: Cell, terms: Terms, W_hh: Array, direct: Array, last: int) -> Back:
    """One layer by its cell's ``pull``."""
    steps, hidden = direct.shape
    states = [np.zeros((steps + 1, hidden)) for _ in cell.parts]
    at_x, at_h = np.zeros((2, steps, len(cell.gates) * hidden))
    for t in range(last, 0, -1):
        rows = (states[0][t] + direct[t - 1], *(state[t] for state in states[1:]))
        pulled = cell.pull(tuple(term[t - 1] for term in terms), rows)
        at_x[t - 1], at_h[t - 1] = FLOATS.join(pulled.at_x), FLOATS.join(pulled.at_h)
        np.dot(at_h[t - 1], W_hh, states[0][t - 1])
        for state, kept in zip(states, pulled.kept, strict=True):
            if kept is not None:
                state[t - 1] += kept
    return Back(states[0], states[1] if len(states) > 1 else None, at_x, at_h)


def _parameters(
    problem: Problem, shares: Sequence[LayerTrace], walks: Sequence[Back]
) -> dict[str, Array]:
    """The gradient of every layer's parameters: products over the steps that reach the loss."""
    last, weights = problem.last_step_with_loss, dict[str, Array]()
    for layer, share, walk in zip(problem.layers, shares, walks, strict=True):
        side = {"x": walk.at_x[:last], "h": walk.at_h[:last]}
        found = {"W_xh": side["x"].T @ share.x[:last], "W_hh": side["h"].T @ share.h[:last]}
        found |= {name: side[s].sum(axis=0) for name, s in problem.cell.enters.items()}
        weights |= {name + layer.suffix: found[name] for name in problem.cell.parameters}
    return weights


def readout_gradients(problem: Problem, h: Array, dL_da_y: Array) -> dict[str, Array]:
    """∂L/∂W_hy and ∂L/∂b_y, ``h`` (T, H) that of the top layer, ``dL_da_y`` the rows that count;
    nothing without a read-out."""
    if not problem.has_readout:
        return {}
    return {"W_hy": dL_da_y.T.dot(h[: len(dL_da_y)]), "b_y": np.add.reduce(dL_da_y)}
