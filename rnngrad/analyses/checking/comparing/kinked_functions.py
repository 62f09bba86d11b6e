"""Functions with kinks in a cell's equations, and where rounding decides on which side they are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from rnngrad.algebra.expressions import Call, Name
from rnngrad.analyses.checking.references import equations
from rnngrad.analyses.checking.references.equations import Line
from rnngrad.analyses.checking.references.step_derivatives import EPS, errors
from rnngrad.arithmetic.arrays import Array
from rnngrad.net.given_arrays import Mask
from rnngrad.net.problem import Layer, Problem
from rnngrad.net.traces import LayerTrace


class Bend(NamedTuple):
    """A function with kinks in a layer's equations: what it is taken of over all steps, and where
    that is at a kink within its own rounding, (T, n) each."""

    line: Line
    call: Call
    a: Array
    near: Mask


def smooth(problem: Problem) -> bool:
    """Whether no function of the cell's equations has a kink."""
    lines = equations.lines_of(problem.cell)
    return not any(problem.functions[c.function].kinks for line in lines for c in line.calls)


def functions_with_kinks(problem: Problem, layer: Layer, trace: LayerTrace) -> Iterator[Bend]:
    """Every function with kinks. An a of exactly 0 from terms that are all 0 is no matter of
    rounding: σ'(0) = 0 by the contract. To be run within ``quietly()``."""
    known = errors(problem, layer, trace)

    def look(key: str) -> Any:
        return known[key] if key in known else layer.own[key]

    for line in equations.lines_of(problem.cell):
        for call in line.calls:
            record = problem.functions[call.function]
            if not record.kinks:
                continue
            found = equations.rough(
                equations.evaluated(call.argument, look, equations.roughly(problem.functions))
            )
            stored = equations.key_of(call.argument) if isinstance(call.argument, Name) else ""
            a = np.asarray(trace.values.get(stored, found.value))
            yield Bend(line, call, a, near_kinks(a, EPS * found.error, record.kinks))


def near_kinks(a: Array, rounding: Array, kinks: tuple[float, ...]) -> Mask:
    near = [(np.abs(a - kink) <= rounding) & (rounding > 0) for kink in kinks]
    return np.asarray(np.logical_or.reduce(near))
