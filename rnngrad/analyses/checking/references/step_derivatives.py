"""What a step of one layer does to a perturbation, unit by unit, by complex step.

Each line of the cell's equations (``equations.py``) acts unit by unit on the lines before it, on
x_t, on s_{t−1} and on its vectors, so its derivative is a handful of diagonals. Each is had by a
complex step in that argument alone: of the derivatives that the algebra writes nothing is used.
Where a line is f(a) they are f'(a), also where that is smaller than any float (``slopes``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from rnngrad.algebra.expressions import Call, Name
from rnngrad.analyses.checking.references import equations
from rnngrad.analyses.checking.references.equations import Line, Rough
from rnngrad.arithmetic.arrays import Array, Numbers
from rnngrad.arithmetic.functions import Activation
from rnngrad.arithmetic.scaled import Scaled, scaled, scaled_from_log2
from rnngrad.net.given_arrays import Mask
from rnngrad.net.problem import Layer, Problem
from rnngrad.net.traces import LayerTrace

STEP = 2.0**-100
"""h = 7.9e-31; a power of two, so that dividing by it is exact."""

LONGER = 2.0**-30
"""The step for tails, where f''' ≈ f': its error is LONGER²/6 = 1.4e-19, and 1e-290 survives."""

FAINT = 1e-268
TINY = 1e-290
_SAMPLES = (100.0, 200.0, 300.0)


def complex_step(function: Callable[[complex], Numbers]) -> Array:
    """function'(0) = Im function(ih)/h, array by array."""
    value = np.imag(function(1j * STEP)) / STEP
    tiny = np.abs(value) < FAINT
    if not tiny.any():
        return np.asarray(value)
    return np.where(tiny, np.imag(function(1j * LONGER)) / LONGER, value)


def slopes(activation: Activation, a: Array) -> Scaled:
    """f'(a), (T, H); nan where it is beyond the reach of floats and no exponential tail, and where
    a is none."""
    plain = np.where(np.isnan(a), np.nan, _slope(activation, a))
    exact = scaled(plain)
    tiny = (np.abs(plain) < TINY) & (a != 0)
    if activation.analytic and tiny.any():
        below = scaled_from_log2(_log2_tail(activation, a[tiny]))
        exact.mantissa[tiny], exact.exponent[tiny] = below.mantissa, below.exponent
    return exact


def _slope(activation: Activation, a: Array) -> Array:
    return complex_step(lambda step: activation.f(a + step))


def _log2_tail(activation: Activation, a: Array) -> Array:
    """log2 f'(a) far out, where it is a straight line in a: measured at 100, 200 and 300."""
    result = np.empty_like(a)
    for side in (-1.0, 1.0):
        points = side * np.array(_SAMPLES)
        log2 = np.log2(np.abs(_slope(activation, points)))
        straight = abs(log2[2] - 2 * log2[1] + log2[0]) < 1e-9
        line = log2[1] + (np.abs(a) - _SAMPLES[1]) * (log2[2] - log2[1]) / 100.0
        here = np.sign(a) == side
        result[here] = line[here] if straight else np.nan
    return result


EPS = float(np.finfo(np.float64).eps)

NEAR = 100
"""Bits that a factor may be away from 1 in plain floats: a term of a step is a product of a few."""

Edges = Mapping[str, tuple[tuple[str, Scaled | None], ...]]
"""line -> (source, ∂line/∂source over all steps, (T, n)) of each; None for 1."""


class Linear(NamedTuple):
    """A layer along its trajectory: ``values`` of every line, of x and of s_{t−1}, (T, n) each,
    and its ``edges``; ``pushed`` are those between what the graph keeps, products of them along
    the way. ``blind`` (T,): a slope may be too small for any complex step."""

    lines: tuple[Line, ...]
    values: Mapping[str, Array]
    edges: Edges
    pushed: Edges
    blind: Mask
    plain: FloatFactors | None


class FloatFactors(NamedTuple):
    """``pushed`` in floats, by (line, source), and at which steps these do: every weight and every
    factor is exactly 0 or within 2^±NEAR of 1, so that no product of a step leaves float64."""

    factors: Mapping[tuple[str, str], Array]
    fits: Mask


def linear(problem: Problem, layer: Layer, trace: LayerTrace) -> Linear:
    """The equations and their derivatives at the states of the trace. To be run within
    ``quietly()``."""
    lines = equations.lines_of(problem.cell)
    values = _values(problem, layer, trace, lines)
    edges = {line.key: _edges(problem, layer, line, values) for line in lines}
    pushed = _pushed(problem, lines, edges)
    blind = _blind(problem, layer, lines, values, edges)
    return Linear(lines, values, edges, pushed, blind, _plain(layer, pushed, len(trace.x)))


def _plain(layer: Layer, pushed: Edges, steps: int) -> FloatFactors | None:
    """None where a weight is far from 1."""
    if not all(_near(scaled(np.atleast_1d(W))).all() for W in layer.own.values()):
        return None
    known = {
        (key, source): factor
        for key, edges in pushed.items()
        for source, factor in edges
        if factor is not None
    }
    fits = np.ones(steps, dtype=bool)
    for factor in known.values():
        fits &= _near(factor).all(axis=1)
    return FloatFactors({place: factor.floats() for place, factor in known.items()}, fits)


def _near(entries: Scaled) -> Mask:
    return np.asarray((np.abs(entries.exponent) < NEAR) | (entries.mantissa == 0))


def _pushed(problem: Problem, lines: tuple[Line, ...], edges: Edges) -> Edges:
    """Without the lines that are met by no matrix, no state and no perturbation of their own."""
    needed = {*problem.cell.parts, *problem.cell.step.kept}
    needed |= {product.source for line in lines for product in line.products}
    kept: dict[str, tuple[tuple[str, Scaled | None], ...]] = {}
    passed: dict[str, tuple[tuple[str, Scaled | None], ...]] = {}
    for line in lines:
        through: dict[str, Scaled | None] = {}
        for source, factor in edges[line.key]:
            for below, further in passed.get(source, ((source, None),)):
                path = _times(factor, further)
                through[below] = _plus(through[below], path) if below in through else path
        stays = line.key in needed or line.products
        (kept if stays else passed)[line.key] = tuple(through.items())
    return kept


def _times(one: Scaled | None, other: Scaled | None) -> Scaled | None:
    if one is None or other is None:
        return other if one is None else one
    return one * other


def _plus(one: Scaled | None, other: Scaled | None) -> Scaled:
    ones = scaled(np.ones((1, 1)))
    return (ones if one is None else one) + (ones if other is None else other)


def errors(problem: Problem, layer: Layer, trace: LayerTrace) -> dict[str, Rough]:
    """Every line's value and how far rounding may move it, s_{t−1} and x_t being as they are."""
    return equations.evaluated_lines(
        equations.lines_of(problem.cell), equations.given_by(trace), layer.own,
        equations.roughly(problem.functions), equations.rough_times(layer.own, any_order=True),
    )  # fmt: skip


def _values(
    problem: Problem, layer: Layer, trace: LayerTrace, lines: tuple[Line, ...]
) -> dict[str, Array]:
    """By products of the check's own; where a function has a kink, on the trace's side of it, and
    nan where a sum overflows in one order of its terms and not in the other."""
    kinked = any(problem.functions[call.function].kinks for line in lines for call in line.calls)
    bounds = errors(problem, layer, trace) if kinked else {}

    def enter(key: str, value: Array) -> Array:
        letter = problem.cell.step.sizes[key.removeprefix("1−")]
        value = np.broadcast_to(value, (len(trace.x), layer.sizes[letter]))
        if key not in trace.values:
            return value
        other = np.asarray(trace.values[key])
        value = np.where(~np.isfinite(other) & (value != other), np.nan, value)
        if key not in bounds:
            return value
        near = np.abs(value - other) <= EPS * bounds[key].error
        return np.where(near, other, value)

    return equations.evaluated_lines(
        lines, equations.given_by(trace), layer.own, equations.plainly(problem.functions),
        equations.times(layer.own), enter,
    )  # fmt: skip


def _edges(
    problem: Problem, layer: Layer, line: Line, values: Mapping[str, Array]
) -> tuple[tuple[str, Scaled | None], ...]:
    shape = values[line.key].shape
    if line.opposite:
        return ((line.opposite, scaled(np.full(shape, -1.0))),)
    return tuple(
        (source, _coefficient(problem, layer, line, source, values, shape))
        for source in line.sources
    )


def _is_function_of(line: Line, source: str) -> bool:
    """Whether it is f(source) and nothing else."""
    if line.products or len(line.terms) != 1:
        return False
    term = line.terms[0]
    return (
        isinstance(term, Call)
        and isinstance(term.argument, Name)
        and equations.key_of(term.argument) == source
    )


def _coefficient(
    problem: Problem, layer: Layer, line: Line, source: str,
    values: Mapping[str, Array], shape: tuple[int, ...],
) -> Scaled | None:  # fmt: skip
    def look(key: str) -> Any:
        return values[key] if key in values else layer.own[key]

    if _is_function_of(line, source):
        (term,) = line.terms
        assert isinstance(term, Call)
        return slopes(problem.functions[term.function], np.broadcast_to(look(source), shape))

    def moved(step: complex) -> Numbers:
        def look_moved(key: str) -> Any:
            return look(key) + step if key == source else look(key)

        call = equations.plainly(problem.functions)
        parts = [equations.evaluated(term, look_moved, call) for term in line.terms]
        return np.asarray(sum(parts), dtype=np.complex128)

    found = np.broadcast_to(complex_step(moved), shape)
    one = np.ndim(look(source)) > 0 and np.all(found == 1.0)
    return None if one else scaled(found)


def _blind(
    problem: Problem, layer: Layer, lines: tuple[Line, ...],
    values: Mapping[str, Array], edges: Edges,
) -> Mask:  # fmt: skip
    """Where a slope is below what a complex step sees, or a coefficient next to nothing, (T,)."""
    steps = len(next(iter(values.values())))
    blind = np.zeros(steps, dtype=bool)
    if problem.cell.activation is None:
        return blind

    def look(key: str) -> Any:
        return values[key] if key in values else layer.own[key]

    for line in lines:
        for call in line.calls:
            record = problem.functions[call.function]
            a = np.asarray(
                equations.evaluated(call.argument, look, equations.plainly(problem.functions))
            )
            small = (np.abs(record.slope(a)) < TINY) & np.isfinite(record.log2_slope(a))
            blind |= np.broadcast_to(small, values[line.key].shape).any(axis=1)
        for _, factor in edges[line.key]:
            if factor is not None:
                small = (factor.mantissa != 0) & (factor.exponent < np.log2(TINY))
                blind |= small.any(axis=1)
    return blind
