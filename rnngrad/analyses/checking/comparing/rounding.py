"""One problem rounded anew: its numbers, every line of its cell's equations, every slope.

The units of rounding are those of a textbook's program: h (1 − h) and 1 − h² for a slope, 1 − z
for a gate's complement, each sum of terms in any order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import count
from types import MappingProxyType
from typing import Any

import numpy as np

from rnngrad.algebra.equations import X
from rnngrad.analyses.checking.references import equations
from rnngrad.analyses.checking.references.random_signs import signs
from rnngrad.arithmetic.arrays import Array, Numbers, frozen
from rnngrad.arithmetic.evaluation import Functions
from rnngrad.arithmetic.functions import Activation
from rnngrad.net.problem import Layer, Problem
from rnngrad.net.traces import ForwardTrace, LayerTrace

EPS = float(np.finfo(np.float64).eps)


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
        lossy = 1.0 if record.name in ("tanh", "sigmoid") else 0.0
        return self._moved(record.slope, lambda a: lossy * record.f(a) ** 2)

    def _moved(
        self, function: Callable[[Array], Any], more: Callable[[Array], Any]
    ) -> Callable[[Array], Array]:
        """A function rounded alike at every call, by its own size and so much more."""
        stream = next(self.streams)

        def moved(a: Array) -> Array:
            exact = function(a)
            return np.asarray(exact + EPS * signs(np.shape(a), stream) * (np.abs(exact) + more(a)))

        return moved

    def functions(self, problem: Problem) -> Problem:
        """The problem differentiated with slopes and gates as textbooks compute them."""
        if problem.cell.activation is None:
            activation = problem.activation
            return replace(problem, activation=activation._replace(slope=self.slope(activation)))
        lines = equations.lines_of(problem.cell)
        lossy = 1.0 if any(line.opposite for line in lines) else 0.0
        signs_used = dict.fromkeys(call.function for line in lines for call in line.calls)
        rounded = {}
        for sign in signs_used:
            record = problem.functions[sign]
            loss = lossy if sign == "σ" else 0.0
            f = self._moved(record.f, lambda a, loss=loss: loss)  # type: ignore[misc]
            rounded[sign] = record._replace(f=f, slope=self.slope(record))
        return with_functions(problem, {**problem.functions, **rounded})

    def problem(self, problem: Problem) -> Problem:
        """Every number of the problem with its last bit moved."""
        return with_arrays_changed(problem, lambda values: self.on(values))


def with_arrays_changed(problem: Problem, change: Callable[[Array], Array]) -> Problem:
    """Every weight, input, target and initial state changed."""
    return replace(
        problem,
        weights=MappingProxyType({n: frozen(change(W)) for n, W in problem.weights.items()}),
        x=frozen(change(problem.x)),
        h_0=frozen(change(problem.h_0)),
        starts={part: frozen(change(values)) for part, values in problem.starts.items()},
        targets=None if problem.targets is None else frozen(change(problem.targets)),
    )


def with_functions(problem: Problem, functions: Functions) -> Problem:
    """The problem with other functions behind the signs of its equations."""
    if problem.cell.activation is None:
        return replace(problem, activation=functions["σ"])
    cell = object.__new__(type(problem.cell))
    cell.__dict__.update(problem.cell.__dict__)  # with its graph, which is the same
    cell.__dict__["functions"] = lambda activation: functions
    return replace(problem, cell=cell)


def forward(problem: Problem, noise: Noise) -> ForwardTrace:
    """The forward pass with every line of the equations rounded anew."""
    traces: list[LayerTrace] = []
    for layer in problem.layers:
        traces.append(_layer(problem, layer, traces[-1].h[1:] if traces else problem.x, noise))
    return head(problem, traces[-1].h[1:], noise)._replace(layers=tuple(traces))


def head(problem: Problem, h: Numbers, noise: Noise) -> ForwardTrace:
    """What follows from what the read-out sees, rounded anew, without layers."""
    a_y = _readout(problem, h, noise)
    y = noise.on(problem.output.g(a_y))
    return ForwardTrace((), a_y, y, _losses(problem, a_y, y))


def _layer(problem: Problem, layer: Layer, x: Array, noise: Noise) -> LayerTrace:
    """One layer over the whole sequence."""
    cell, steps, lines = problem.cell, len(x), equations.lines_of(problem.cell)
    sizes = {line.key: layer.sizes[cell.step.sizes[line.key.removeprefix("1−")]] for line in lines}
    units = {key: noise.unit((steps, size)) for key, size in sizes.items()}
    states = {part: np.zeros((steps + 1, sizes[part])) for part in cell.parts}
    for index, (part, columns) in enumerate(zip(cell.parts, layer.parts, strict=True)):
        states[part][0] = problem.start(index)[columns]
    values = {key: np.empty((steps, sizes[key])) for key in cell.step.stored}
    call = equations.roughly(problem.functions)
    multiply = equations.rough_times(layer.own, any_order=False)
    for t in range(steps):

        def enter(key: str, found: Any, t: int = t) -> Array:
            found = equations.rough(found)
            return np.asarray(found.value + units[key][t] * found.error)

        given = {X: x[t]} | {f"{part}⁻": rows[t] for part, rows in states.items()}
        known = equations.evaluated_lines(lines, given, layer.own, call, multiply, enter)
        for part, rows in states.items():
            rows[t + 1] = known[part]
        for key, rows in values.items():
            rows[t] = known[key]
    return LayerTrace(x, states, values)


def _readout(problem: Problem, h: Numbers, noise: Noise) -> Array:
    if not problem.has_readout:
        return np.asarray(h)
    W_hy, b_y = problem.weights["W_hy"], problem.weights["b_y"]
    sizes = np.abs(h) @ np.abs(W_hy).T + np.abs(b_y)
    return np.asarray(h @ W_hy.T + b_y + noise.unit(sizes.shape) * sizes)


def _losses(problem: Problem, a_y: Array, y: Array) -> Array:
    if problem.loss is None or problem.targets is None or problem.loss_weights is None:
        return np.zeros(problem.steps)
    losses = problem.loss_weights * problem.loss.value(problem.targets, y, a_y)
    return np.where(problem.loss_weights == 0, 0.0, losses)
