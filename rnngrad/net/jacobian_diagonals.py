"""The diagonals of a layer's linearised step along its trace, in floats or beyond their range.

What float64 forgets of a state that acts unit by unit is added up once more: with both gates shut
at σ(−800) = 1e-347 lstm's c_t is 0 in floats, and with it the entries f' c_{t−1} and o' tanh(c_t)
of the one-step Jacobian, which are as large there as all the others.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rnngrad.algebra.step_graph import before
from rnngrad.algebra.tape import Tape, tape_of
from rnngrad.arithmetic.arrays import Numbers
from rnngrad.arithmetic.evaluation import TINY, Functions, Wide, run, run_wide, wide
from rnngrad.arithmetic.number_types import Entries
from rnngrad.arithmetic.scaled import Scaled, scaled
from rnngrad.net.given_arrays import Mask
from rnngrad.net.problem import Layer, Problem
from rnngrad.net.traces import LayerTrace

Terms = tuple[Entries, ...]
"""Diagonals of the linearised step; over all steps (T, n) each, at one step (n,)."""


def terms_of(
    problem: Problem, layer: Layer, trace: LayerTrace, beyond: bool = False,
    functions: Functions | None = None,
) -> Terms:  # fmt: skip
    """The layer's terms in the order of ``cell.terms``. To be run within ``quietly()``."""
    cell = problem.cell
    sizes = [layer.sizes[cell.step.sizes[target]] for target, _ in cell.terms]
    return evaluated(problem, layer, trace, cell.terms_tape, sizes, beyond, functions)


def evaluated(
    problem: Problem,
    layer: Layer,
    trace: LayerTrace,
    tape: Tape,
    sizes: Sequence[int],
    beyond: bool = False,
    functions: Functions | None = None,
) -> tuple[Entries, ...]:
    """The outputs of a tape along a trace, (T, size) each; with other ``functions`` than the
    problem's where these are given, in floats."""
    steps, functions = len(trace.x), functions or problem.functions
    if not beyond:

        def given(key: str) -> Numbers:
            return layer.own[key] if key in layer.own else trace.given(key)

        values = run(tape.instructions, given, functions)
        return tuple(
            _broadcast(np.asarray(values[place]), (steps, size))
            for place, size in zip(tape.outputs, sizes, strict=True)
        )
    exact = _Exact(problem, layer, trace)
    found = run_wide(tape.instructions, exact.given, problem.functions)
    return tuple(
        _broadcast_scaled(found[place].exact, (steps, size))
        for place, size in zip(tape.outputs, sizes, strict=True)
    )


def _broadcast(values: Numbers, shape: tuple[int, int]) -> Numbers:
    return values if values.shape == shape else np.broadcast_to(values, shape)


def _broadcast_scaled(values: Scaled, shape: tuple[int, int]) -> Scaled:
    return Scaled(_broadcast(values.mantissa, shape), _broadcast(values.exponent, shape))


class _Exact:
    """What a trace holds as numbers beyond floats; parts of the state that act unit by unit are
    computed again where floats lost them."""

    def __init__(self, problem: Problem, layer: Layer, trace: LayerTrace) -> None:
        self.problem, self.layer, self.trace = problem, layer, trace
        self.found: dict[str, Wide] = {}
        self.states: dict[str, Wide] = {}
        cell = problem.cell
        for one in cell.step.definitions:
            if one.key not in cell.parts:
                continue
            rows = trace.states[one.key]
            self.states[one.key] = wide(rows)
            small = np.abs(rows[1:]) < TINY
            if not one.matrices and one.rest is not None and small.any():
                given = cell.given - {one.key}
                self._again(one.key, tape_of([one.rest], given, cell.defined), small)

    def given(self, key: str) -> Wide:
        if key in self.layer.own:
            return wide(self.layer.own[key])
        for part, state in self.states.items():
            if key == part:
                return _rows(state, slice(1, None))
            if key == before(part):
                return _rows(state, slice(None, -1))
        if key not in self.found:
            self.found[key] = wide(np.asarray(self.trace.given(key)))
        return self.found[key]

    def _again(self, part: str, tape: Tape, small: Mask) -> None:
        first = run_wide(tape.instructions, self.given, self.problem.functions)[tape.outputs[0]]
        alive = small & (np.broadcast_to(first.exact.mantissa, small.shape) != 0)
        if not alive.any():
            return
        rows = self.states[part].plain
        exact = scaled(rows)
        self.states[part] = Wide(rows, exact)
        for t in np.flatnonzero(small.any(axis=1)):
            row = slice(int(t), int(t) + 1)

            def at(key: str, row: slice = row) -> Wide:
                if key in self.layer.own:
                    return wide(self.layer.own[key])
                return _rows(self.given(key), row)

            again = run_wide(tape.instructions, at, self.problem.functions)[tape.outputs[0]].exact
            where = small[t]
            for values, more in (
                (exact.mantissa, again.mantissa), (exact.exponent, again.exponent)
            ):  # fmt: skip
                values[t + 1, where] = np.broadcast_to(more, (1, len(where)))[0, where]


def _rows(value: Wide, rows: slice) -> Wide:
    return Wide(value.plain[rows], None if value.beyond is None else value.beyond[rows])
