"""The forward pass."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rnngrad.algebra.equations import X
from rnngrad.algebra.step_graph import Matrix, before
from rnngrad.arithmetic.arrays import Array, Numbers, keep_freed_memory, quietly, weighted
from rnngrad.arithmetic.evaluation import run
from rnngrad.net.problem import Layer, Problem
from rnngrad.net.traces import ForwardTrace, LayerTrace
from rnngrad.net.walks import walks_of


def forward(problem: Problem) -> ForwardTrace:
    """h_t = σ(W_xh x_t + W_hh h_{t−1} + b_h),  y_t = g(W_hy h_t + b_y),  L_t, for t = 1 … T.

    For other cells ``net.cells``; in a stack each layer's inputs are the h_t of the one below.
    Overflow is data: infs and nans stay in the arrays and nothing is raised.
    Source: Elman (1990); Goodfellow, Bengio, Courville, *Deep Learning* (2016), section 10.2.
    """
    with quietly():
        return forward_within(problem)


def forward_within(problem: Problem) -> ForwardTrace:
    """The same, to be run within ``quietly()``."""
    keep_freed_memory()
    return read_out(problem, _layers(problem))


def read_out(problem: Problem, layers: tuple[LayerTrace, ...]) -> ForwardTrace:
    """What follows from the layers: y_t and L_t, row by row."""
    return head(problem, layers[-1].h[layers[-1].sequences :])._replace(layers=layers)


def head(problem: Problem, h: Numbers) -> ForwardTrace:
    """y_t and L_t from what the read-out sees, (T, ·), without layers."""
    a_y = _readout(problem, h)
    y = problem.output.g(a_y)
    return ForwardTrace((), a_y, y, _losses(problem, a_y, y))


def _layers(problem: Problem) -> tuple[LayerTrace, ...]:
    """Layer by layer, each over the whole sequence."""
    traces: list[LayerTrace] = []
    for layer in problem.layers:
        traces.append(_layer(problem, layer, traces[-1].h[1:] if traces else problem.x))
    return tuple(traces)


def _layer(problem: Problem, layer: Layer, x: Numbers) -> LayerTrace:
    """With as few calls as ``net.walks`` needs, or step by step."""
    starts = starts_of(problem, layer)
    arrays = (x, *layer.weights.values(), *starts.values())
    if all(array.dtype.kind != "c" for array in arrays):
        found = walks_of(problem).forward.run(layer, starts, x)
        if found is not None:
            return found
    return step_by_step(problem, layer, x)


def starts_of(problem: Problem, layer: Layer) -> dict[str, Numbers]:
    """Where each part of a layer's state begins."""
    return {
        part: problem.start(index)[layer.parts[index]]
        for index, part in enumerate(problem.cell.parts)
    }


def step_by_step(problem: Problem, layer: Layer, x: Numbers) -> LayerTrace:
    """One layer by its cell's equations, in real or complex numbers: definition by definition."""
    cell, own, functions = problem.cell, layer.own, problem.functions
    starts = starts_of(problem, layer)
    kind = np.result_type(x, np.float64, *own.values(), *starts.values())
    steps, of = len(x), cell.step.sizes
    states = {part: np.empty((steps + 1, len(start)), kind) for part, start in starts.items()}
    for part, start in starts.items():
        states[part][0] = start
    values = {key: np.empty((steps, layer.sizes[of[key]]), kind) for key in cell.step.stored}
    matrices = {matrix: _of_matrix(own, matrix) for matrix in cell.step.matrices}
    ahead = {m: x.dot(W.T) for m, W in matrices.items() if m.source == X}
    for t in range(steps):
        now: dict[str, Any] = {X: x[t]} | {before(part): states[part][t] for part in states}
        known = now | dict(own)
        for one in cell.step.definitions:
            total: Any = 0.0
            tape = cell.tapes.get(one.key)
            if tape is not None:
                total = run(tape.instructions, known.__getitem__, functions)[tape.outputs[0]]
            for m in one.matrices:
                total = total + (ahead[m][t] if m.source == X else matrices[m].dot(known[m.source]))
            if one.key in values:
                values[one.key][t] = total
            elif one.key in states:
                states[one.key][t + 1] = total
            known[one.key] = total
    return LayerTrace(x, states, values)


def _of_matrix(own: Mapping[str, Array], matrix: Matrix) -> Array:
    W = own[matrix.parameter]
    W = W.T if matrix.transposed else W
    return -W if matrix.sign < 0 else W


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
