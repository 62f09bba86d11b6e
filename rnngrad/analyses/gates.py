"""What a cell computes on the way to its state, as numbers: of each equation its value, and where
it is a function of a sum, as a gate is, that sum a_t and the slope."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from rnngrad.algebra.expressions import Call, Name, Node
from rnngrad.algebra.steps import NOW, Definition
from rnngrad.analyses.cell_partials import inside
from rnngrad.arithmetic.arrays import Array, quietly
from rnngrad.core.cells import Cell
from rnngrad.core.problem import Layer, Problem
from rnngrad.core.terms import evaluated
from rnngrad.core.traces import LayerTrace


class Gate(NamedTuple):
    """One equation of one layer over all steps, (T, n) each: its value, the ``function`` that it is
    of a_t, a_t itself, the slope; ``key`` is what the graph calls a_t. All but the value are None
    where it is no function of one sum."""

    name: str
    value: Array
    function: str | None = None
    key: str | None = None
    a: Array | None = None
    slope: Array | None = None


def _of(cell: Cell) -> list[Definition]:
    """The equations that are no part of the state, in their order; where there are none, as in rnn,
    those parts that are a function of a_t."""
    found = [d for d in cell.step.definitions if not inside(d.key) and d.key not in cell.parts]
    return found or [d for d in cell.step.definitions if _call(d) is not None]


def _call(one: Definition) -> Call | None:
    return one.rest if isinstance(one.rest, Call) and not one.matrices else None


def _key(call: Call | None) -> str | None:
    return call.argument.head if call is not None and isinstance(call.argument, Name) else None


def pre_activations(cell: Cell) -> list[str]:
    """What the graph calls the a_t of the gates, as far as it keeps it."""
    keys = (_key(_call(one)) for one in _of(cell))
    return [key for key in keys if key is not None and key in cell.step.kept]


def gates(problem: Problem, layer: Layer, share: LayerTrace) -> Iterator[Gate]:
    """The gates of one layer; of rnn h itself."""
    cell = problem.cell
    for one in _of(cell):
        size, call = layer.sizes[cell.step.sizes[one.key]], _call(one)
        wanted: list[Node] = [Name(one.key, NOW)]
        wanted += [] if call is None else [call.argument, call._replace(prime=True)]
        with quietly():
            tape = cell.value_tape(wanted)
            found = evaluated(problem, layer, share, tape, [size] * len(wanted))
        value, *more = map(np.asarray, found)
        yield Gate(one.key, value, None if call is None else call.function, _key(call), *more)
