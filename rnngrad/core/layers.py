"""Back-propagation through any cell and any stack of layers; ``core.backward`` begins it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from rnngrad.algebra.equations import X
from rnngrad.algebra.steps import before
from rnngrad.algebra.tape import tape_of
from rnngrad.arithmetic.arrays import Array
from rnngrad.core.arithmetic import FLOATS
from rnngrad.core.linear import linear_layer, pull_layer
from rnngrad.core.problem import Layer, Problem
from rnngrad.core.terms import evaluated, terms_of
from rnngrad.core.traces import Back, BackwardTrace, ForwardTrace, LayerTrace
from rnngrad.core.walks import walks_of


def through_layers(
    problem: Problem, trace: ForwardTrace, dL_dy: Array, dL_da_y: Array, direct: Array
) -> BackwardTrace:
    """The backward trace, given what the read-out makes of the losses: ∂L_t/∂y_t, ∂L_t/∂a_y and
    ∂L_t/∂h_t of the top layer, (T, H of the top). To be run within ``quietly()``.

    Layer by layer, the uppermost first: what it sends down within each step, ∂L/∂x_t, is the direct
    term of the one below, but no part of that one's ∂L/∂h_t (``core.linear``).
    """
    layers = problem.layers
    walks: list[Back] = []
    enters = direct
    for layer, share in zip(layers[::-1], trace.layers[::-1], strict=True):
        walks.append(_walk(problem, layer, share, enters))
        enters = to_x(problem, layer, share, walks[-1])
    walks.reverse()
    dL_ds = {
        part: np.concatenate([walk.states[part] for walk in walks], axis=1)
        for part in problem.cell.parts
    }
    first = problem.cell.parts[0]
    dLt_dht = np.zeros((problem.steps, problem.hidden))
    dLt_dht[:, layers[-1].units] = direct
    dL_ds[first][1:] += dLt_dht
    weights = _parameters(problem, trace.layers, walks)
    last = problem.last_step_with_loss
    weights |= readout_gradients(problem, trace.layers[-1].h[1:], dL_da_y[:last])
    at = tuple(walk.at for walk in walks)
    return BackwardTrace(dL_dy, dL_da_y, dLt_dht, dL_ds, at, enters, weights)


def to_x(problem: Problem, layer: Layer, share: LayerTrace, walk: Back) -> Array:
    """∂L/∂x_t of a layer by way of all that x_t enters, (T, I)."""
    cell = problem.cell
    total = np.zeros(share.x.shape)
    place = cell.by_source.get(X)
    if place is not None:
        group = cell.groups[place]
        total = walk.joined(group.targets).dot(_stacked(problem, layer, place))
    direct = [(target, i) for target in cell.step.kept for s, i in cell.by_target[target] if s == X]
    if direct:
        terms = terms_of(problem, layer, share)
        for target, i in direct:
            total = total + (walk.at[target] if i is None else walk.at[target] * terms[i])
    return total


def _stacked(problem: Problem, layer: Layer, place: int) -> Array:
    """The matrices of a group, as they lie in the layer's weights where they do."""
    from rnngrad.core.linear import stacked_matrix

    group = problem.cell.groups[place]
    for whole, names in problem.cell.blocks.items():
        if names == tuple(m.parameter for m in group.matrices):
            return layer.weights[whole]
    return stacked_matrix(layer.own, group)


def _walk(problem: Problem, layer: Layer, share: LayerTrace, direct: Array) -> Back:
    """One layer from the last step with a loss back, so that what overflows after it cannot spoil
    it; with as few calls as ``core.walks`` needs, or step by step."""
    last = problem.last_step_with_loss
    found = walks_of(problem).back.run(layer, share, direct, last)
    return step_by_step(problem, layer, share, direct, last) if found is None else found


def step_by_step(
    problem: Problem, layer: Layer, share: LayerTrace, direct: Array, last: int
) -> Back:
    """One layer along the graph of its cell."""
    cell = problem.cell
    one = linear_layer(layer, cell, terms_of(problem, layer, share), FLOATS)
    steps = len(direct)
    states = {part: np.zeros((steps + 1, one.width(part))) for part in cell.parts}
    at = {key: np.zeros((steps, one.width(key))) for key in cell.step.kept}
    for t in range(last, 0, -1):
        rows = [states[part][t] for part in cell.parts]
        rows[0] = rows[0] + direct[t - 1]
        found = pull_layer(one, FLOATS, rows, t, to_x=False)
        for key, values in at.items():
            values[t - 1] = found[key]
        for part, values in states.items():
            values[t - 1] = found[before(part)]
    return Back(states, at)


def _parameters(
    problem: Problem, shares: Sequence[LayerTrace], walks: Sequence[Back]
) -> dict[str, Array]:
    """The gradient of every layer's parameters: products over the steps that reach the loss."""
    weights: dict[str, Array] = {}
    for layer, share, walk in zip(problem.layers, shares, walks, strict=True):
        found = layer_gradients(problem, layer, share, walk, problem.last_step_with_loss)
        weights |= {name + layer.suffix: found[name] for name in problem.cell.parameters}
    return weights


def layer_gradients(
    problem: Problem, layer: Layer, share: LayerTrace, walk: Back, last: int
) -> dict[str, Array]:
    """∂L/∂parameter of one layer, shaped as the parameter, over steps 1 … ``last``:

    Σ_t ∂L/∂target_t ⊗ source_t of a matrix,  Σ_t ∂L/∂target_t ∘ factor_t of a vector.
    """
    cell = problem.cell
    own = {name: np.zeros(np.shape(layer.own[name])) for name in cell.equations.parameters}
    for group in cell.groups:
        source = source_values(problem, layer, share, group.source)[:last]
        product, start = walk.joined(group.targets)[:last].T.dot(source), 0
        for matrix in group.matrices:
            stop = start + layer.sizes[cell.step.sizes[matrix.target]]
            block = product[start:stop]
            block = block.T if matrix.transposed else block
            if matrix.sign < 0:
                own[matrix.parameter] -= block
            else:
                own[matrix.parameter] += block
            start = stop
    for name, total in _vectors(problem, layer, share, walk, last).items():
        own[name] += total
    whole = {}
    for name in cell.parameters:
        parts = cell.blocks.get(name)
        whole[name] = own[name] if parts is None else np.concatenate([own[p] for p in parts])
    return whole


def source_values(problem: Problem, layer: Layer, share: LayerTrace, key: str) -> Array:
    """What a group of matrices multiplies, (T, n)."""
    cell = problem.cell
    if key in cell.given:
        return np.asarray(share.given(key))
    tape = tape_of([cell.defined[key]], cell.given, cell.defined)
    return np.asarray(evaluated(problem, layer, share, tape, [layer.sizes[cell.step.sizes[key]]])[0])


def _vectors(
    problem: Problem, layer: Layer, share: LayerTrace, walk: Back, last: int
) -> Mapping[str, Array]:
    """The gradients of vectors and scalars."""
    cell, totals = problem.cell, dict[str, Array]()
    factors = [use.factor for use in cell.step.uses]
    tape = tape_of(factors, cell.given, cell.defined)
    widths = [layer.sizes[cell.step.sizes[use.target]] for use in cell.step.uses]
    values = evaluated(problem, layer, share, tape, widths) if factors else ()
    for use, value in zip(cell.step.uses, values, strict=True):
        total = (walk.at[use.target][:last] * value[:last]).sum(axis=0)
        total = total if np.ndim(layer.own[use.parameter]) else total.sum()
        totals[use.parameter] = totals.get(use.parameter, 0.0) + total
    return totals


def readout_gradients(problem: Problem, h: Array, dL_da_y: Array) -> dict[str, Array]:
    """∂L/∂W_hy and ∂L/∂b_y, ``h`` (T, H) that of the top layer, ``dL_da_y`` the rows that count;
    nothing without a read-out."""
    if not problem.has_readout:
        return {}
    return {"W_hy": dL_da_y.T.dot(h[: len(dL_da_y)]), "b_y": np.add.reduce(dL_da_y)}
