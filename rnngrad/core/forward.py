"""The forward pass."""

from __future__ import annotations

import numpy as np

from rnngrad.arithmetic.arrays import Numbers, quietly, side_by_side, weighted
from rnngrad.core.cells import LayerTrace
from rnngrad.core.gated_passes import walks_of
from rnngrad.core.gated_records import Start
from rnngrad.core.problem import Layer, Problem
from rnngrad.core.rnn_passes import run_forward
from rnngrad.core.traces import ForwardTrace

ALL_FLOAT64 = [np.dtype(np.float64)] * 5


def forward(problem: Problem) -> ForwardTrace:
    """h_t = σ(W_xh x_t + W_hh h_{t−1} + b_h),  y_t = g(W_hy h_t + b_y),  L_t, for t = 1 … T.

    For other cells ``core.cells``; in a stack each layer's inputs are the h_t of the one below.
    Overflow is data: infs and nans stay in the arrays and nothing is raised.
    Source: Elman (1990); Goodfellow, Bengio, Courville, *Deep Learning* (2016), section 10.2.
    """
    with quietly():
        return forward_within(problem)


def forward_within(problem: Problem) -> ForwardTrace:
    """The same, to be run within ``quietly()``."""
    if problem.single_rnn:
        a, h = _states(problem)
        top, c, inner = h, None, None
    else:
        layers = _layers(problem)
        a, h, c, inner = _side_by_side(layers)
        top = layers[-1].h
    a_y = _readout(problem, top[1:])
    y = problem.output.g(a_y)
    return ForwardTrace(a, h, a_y, y, _losses(problem, a_y, y), c, inner)


def _states(problem: Problem) -> tuple[Numbers, Numbers]:
    """a (T, H) and h (T+1, H); what does not depend on h_{t−1} is one product before the loop."""
    weights = problem.weights
    W_xh, W_hh, b_h = weights["W_xh"], weights["W_hh"], weights["b_h"]
    everything = (W_xh, W_hh, b_h, problem.x, problem.h_0)
    if [part.dtype for part in everything] == ALL_FLOAT64:
        return run_forward(*everything, problem.activation)
    f = problem.activation.f
    a = problem.x @ W_xh.T + b_h
    kind = np.result_type(a, W_hh, problem.h_0)  # complex where anything is, for the complex step
    a, h = a.astype(kind, copy=False), np.empty((problem.steps + 1, problem.hidden), dtype=kind)
    h[0] = problem.h_0
    for t in range(1, problem.steps + 1):
        a[t - 1] += W_hh.dot(h[t - 1])
        h[t] = f(a[t - 1])
    return a, h


def _layers(problem: Problem) -> list[LayerTrace]:
    """Layer by layer, each over the whole sequence."""
    traces: list[LayerTrace] = []
    for layer in problem.layers:
        traces.append(_layer(problem, layer, traces[-1].h[1:] if traces else problem.x))
    return traces


def _layer(problem: Problem, layer: Layer, x: Numbers) -> LayerTrace:
    """With as few calls as ``core.gated_passes`` needs, or step by step."""
    c_0 = None if problem.c_0 is None else problem.c_0[layer.units]
    walks, start = walks_of(problem.cell), Start(problem.h_0[layer.units], c_0)
    arrays = (x, start.h, *layer.weights.values(), *(() if c_0 is None else (c_0,)))
    if walks is not None and not any(map(np.iscomplexobj, arrays)):
        found = walks.forward(layer.weights, x, start)
        if found is not None:
            return found
    return step_by_step(problem, layer, x)


def step_by_step(problem: Problem, layer: Layer, x: Numbers) -> LayerTrace:
    """One layer by its cell's equations, in real or complex numbers."""
    cell, weights = problem.cell, layer.weights
    u_x = x @ weights["W_xh"].T + cell.bias(weights, "x")
    W_hh, bias, f = weights["W_hh"], cell.bias(weights, "h"), problem.activation
    starts = [problem.h_0, problem.c_0][: len(cell.parts)]
    kind = np.result_type(u_x, *weights.values(), *(s for s in starts if s is not None))
    states = [np.empty((len(x) + 1, layer.hidden), dtype=kind) for _ in starts]
    for state, start in zip(states, starts, strict=True):
        state[0] = 0.0 if start is None else start[layer.units]
    a, inner = np.empty(u_x.shape, kind), np.empty((len(x), layer.hidden), kind)
    has_inner = False
    for t in range(len(x)):
        before = tuple(state[t] for state in states)
        after = cell.advance(u_x[t], W_hh.dot(before[0]) + bias, before, f)
        a[t] = after.a
        if after.inner is not None:
            inner[t], has_inner = after.inner, True
        for state, part in zip(states, after.state, strict=True):
            state[t + 1] = part
    c = states[1] if len(states) > 1 else None
    return LayerTrace(x, a, states[0], c, inner if has_inner else None)


def _side_by_side(
    layers: list[LayerTrace],
) -> tuple[Numbers, Numbers, Numbers | None, Numbers | None]:
    """a, h, c and inner of all layers, lowest first."""
    c = [layer.c for layer in layers if layer.c is not None]
    inner = [layer.inner for layer in layers if layer.inner is not None]
    return (
        side_by_side([layer.a for layer in layers]),
        side_by_side([layer.h for layer in layers]),
        side_by_side(c) if c else None,
        side_by_side(inner) if inner else None,
    )


def _readout(problem: Problem, h: Numbers) -> Numbers:
    """W_hy h_t + b_y for every step, (T, O); h_t itself where there is no W_hy."""
    if not problem.has_readout:
        return h
    a_y: Numbers = h.dot(problem.weights["W_hy"].T)
    return a_y + problem.weights["b_y"]


def _losses(problem: Problem, a_y: Numbers, y: Numbers) -> Numbers:
    """L_t = weight_t · ℓ(target_t, y_t), (T,); exactly 0 where a step does not count."""
    if problem.loss is None or problem.targets is None or problem.loss_weights is None:
        return np.zeros(problem.steps)
    losses = problem.loss.value(problem.targets, y, a_y)
    return weighted(problem.loss_weights, losses)
