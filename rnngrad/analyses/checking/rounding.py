"""One problem rounded anew: its numbers, every sum on the way, every state, every slope.

The units of rounding are those of a textbook's program: h (1 − h) and 1 − h² for a slope, 1 − z
for the gate of gru, each sum of terms in any order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import count
from types import MappingProxyType

import numpy as np

from rnngrad.analyses.checking.directions import signs
from rnngrad.arithmetic.functions import ACTIVATIONS, Activation, sigmoid
from rnngrad.core.arithmetic import Arithmetic
from rnngrad.arithmetic.arrays import Array
from rnngrad.core.cells import Advanced, LayerTrace, Terms, split
from rnngrad.core.problem import Layer, Problem
from rnngrad.core.traces import ForwardTrace

EPS = float(np.finfo(np.float64).eps)

Sizes = tuple[Array, ...]
"""An array for each part of a state."""


class Noise:
    """±1 unit of rounding, another for every array that is asked for."""

    def __init__(self, draw: int) -> None:
        self.streams = count(1000 * (draw + 1))

    def unit(self, shape: tuple[int, ...]) -> Array:
        return EPS * signs(shape, next(self.streams))

    def on(self, values: Array) -> Array:
        """``values`` with their last bit moved."""
        return np.asarray(values * (1.0 + self.unit(values.shape)))

    def slope(self, record: Activation) -> Callable[[Array], Array]:
        """σ' as h (1 − h) or 1 − h² would give it; rounded alike at every call."""
        stream = next(self.streams)
        lossy = 1.0 if record.name in ("tanh", "sigmoid") else 0.0

        def slope(a: Array) -> Array:
            exact, h = record.slope(a), record.f(a)
            unit = EPS * signs(a.shape, stream)
            return np.asarray(exact + unit * (exact + lossy * h**2))

        return slope

    def slopes(self, problem: Problem) -> Problem:
        """The problem differentiated with slopes and gates as textbooks compute them."""
        cell, activation = problem.cell, problem.activation
        if cell.activation is None:
            return replace(problem, activation=activation._replace(slope=self.slope(activation)))
        slopes = {name: self.slope(record) for name, record in _records(problem).items()}
        stream, lossy = next(self.streams), 1.0 if cell.name == "gru" else 0.0

        def gate(a: Array) -> Array:
            exact = sigmoid(a)
            return np.asarray(exact + EPS * signs(a.shape, stream) * (exact + lossy))

        def linearise(trace: LayerTrace, f: Activation, kind: Arithmetic) -> Terms:
            rounded = kind._replace(
                sigmoid=lambda a: kind.of(gate(a)),
                slope=lambda record, a: kind.of(slopes[record.name](a)),
            )
            return cell.linearise(trace, f, rounded)

        return replace(problem, cell=cell._replace(linearise=linearise))

    def states(self, problem: Problem) -> Problem:
        """The problem with a cell whose every state is rounded anew."""
        cell = problem.cell

        def advance(u_x: Array, u_h: Array, state: Sizes, f: Activation) -> Advanced:
            after = cell.advance(u_x, u_h, state, f)
            terms = _TERMS[cell.name](after.a, state, after.state)
            moved = [
                part + self.unit(part.shape) * of
                for part, of in zip(after.state, terms, strict=True)
            ]
            return after._replace(state=tuple(moved))

        return replace(problem, cell=cell._replace(advance=advance))

    def problem(self, problem: Problem) -> Problem:
        """Every number of the problem with its last bit moved."""
        weights = {name: self.on(values) for name, values in problem.weights.items()}
        targets = None if problem.targets is None else self.on(problem.targets)
        return replace(
            problem,
            weights=MappingProxyType(weights),
            x=self.on(problem.x),
            h_0=self.on(problem.h_0),
            c_0=None if problem.c_0 is None else self.on(problem.c_0),
            targets=targets,
        )


def _records(problem: Problem) -> dict[str, Activation]:
    """The functions of a gated cell, by name."""
    return {name: ACTIVATIONS[name] for name in ("sigmoid", problem.activation.name)}


def forward(problem: Problem, noise: Noise) -> ForwardTrace:
    """The forward pass with every sum and every state rounded anew."""
    traces: list[LayerTrace] = []
    for layer in problem.layers:
        traces.append(_layer(problem, layer, traces[-1].h[1:] if traces else problem.x, noise))
    joined = [
        _joined([getattr(trace, name) for trace in traces]) for name in ("a", "h", "c", "inner")
    ]
    a, h, c, inner = joined
    assert a is not None
    assert h is not None
    a_y = _readout(problem, traces[-1].h[1:], noise)
    y = noise.on(problem.output.g(a_y))
    return ForwardTrace(a, h, a_y, y, _losses(problem, a_y, y), c, inner)


def _joined(parts: list[Array | None]) -> Array | None:
    given = [part for part in parts if part is not None]
    return np.concatenate(given, axis=1) if given else None


def _layer(problem: Problem, layer: Layer, x: Array, noise: Noise) -> LayerTrace:
    """One layer over the whole sequence."""
    cell, W, steps = problem.cell, layer.weights, len(x)
    W_hh, bias, size = W["W_hh"], cell.bias(W, "h"), np.abs(W["W_hh"])
    u_x = x @ W["W_xh"].T + cell.bias(W, "x")
    of_x = np.abs(x) @ np.abs(W["W_xh"]).T + np.abs(cell.bias(W, "x"))
    on_x, on_h = noise.unit(u_x.shape) * of_x, noise.unit(u_x.shape)
    starts = [problem.h_0, problem.c_0][: len(cell.parts)]
    states = [np.zeros((steps + 1, layer.hidden)) for _ in starts]
    on_s = [noise.unit((steps, layer.hidden)) for _ in starts]
    for state, start in zip(states, starts, strict=True):
        state[0] = 0.0 if start is None else start[layer.units]
    a, inner = np.empty_like(u_x), np.empty((steps, layer.hidden))
    has_inner = False
    for t in range(steps):
        before = tuple(state[t] for state in states)
        of_h = size @ np.abs(before[0]) + np.abs(bias)
        u_h = W_hh @ before[0] + bias + on_h[t] * of_h
        after = cell.advance(u_x[t] + on_x[t], u_h, before, problem.activation)
        a[t] = after.a
        if after.inner is not None:
            inner[t], has_inner = after.inner, True
        terms = _TERMS[cell.name](after.a, before, after.state)
        for state, part, unit, of in zip(states, after.state, on_s, terms, strict=True):
            state[t + 1] = part + unit[t] * of
    c = states[1] if len(states) > 1 else None
    return LayerTrace(x, a, states[0], c, inner if has_inner else None)


def _rnn_terms(a: Array, before: Sizes, after: Sizes) -> Sizes:
    return (np.abs(after[0]),)


def _gru_terms(a: Array, before: Sizes, after: Sizes) -> Sizes:
    """|n| + |z h_{t−1}|: 1 − z has an absolute error of one unit."""
    _, a_z, a_n = split(a, 3)
    return (np.abs(np.tanh(a_n)) + sigmoid(a_z) * np.abs(before[0]),)


def _lstm_terms(a: Array, before: Sizes, after: Sizes) -> Sizes:
    """|h| and |f c_{t−1}| + |i g|."""
    i, forget, g, _ = split(a, 4)
    c = sigmoid(forget) * np.abs(before[1]) + sigmoid(i) * np.abs(np.tanh(g))
    return np.abs(after[0]), np.asarray(c)


_TERMS: Mapping[str, Callable[[Array, Sizes, Sizes], Sizes]] = MappingProxyType(
    {"rnn": _rnn_terms, "gru": _gru_terms, "lstm": _lstm_terms}
)
"""name of a cell -> the sizes of the terms of each part of s_t."""


def _readout(problem: Problem, h: Array, noise: Noise) -> Array:
    if not problem.has_readout:
        return h
    W_hy, b_y = problem.weights["W_hy"], problem.weights["b_y"]
    sizes = np.abs(h) @ np.abs(W_hy).T + np.abs(b_y)
    return np.asarray(h @ W_hy.T + b_y + noise.unit(sizes.shape) * sizes)


def _losses(problem: Problem, a_y: Array, y: Array) -> Array:
    if problem.loss is None or problem.targets is None or problem.loss_weights is None:
        return np.zeros(problem.steps)
    losses = problem.loss_weights * problem.loss.value(problem.targets, y, a_y)
    return np.where(problem.loss_weights == 0, 0.0, losses)
