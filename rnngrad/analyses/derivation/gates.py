"""What a cell computes on the way to its state, as numbers: of each equation its value, and where
it is a function of a sum, as a gate is, that sum a_t and the slope."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from rnngrad.algebra.expressions import Call, Mul, Name, Node, nodes
from rnngrad.algebra.step_graph import NOW
from rnngrad.analyses.derivation.step_partials import inside
from rnngrad.arithmetic.arrays import Array, quietly
from rnngrad.net.cells import Cell
from rnngrad.net.jacobian_diagonals import evaluated
from rnngrad.net.problem import Layer, Problem
from rnngrad.net.traces import LayerTrace


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


def _of(cell: Cell) -> list[tuple[str, Call | None, str | None]]:
    """Key, function and key of a_t of the equations that are no part of the state, in their order;
    where there are none, as in rnn, of those parts that are a function of a_t."""
    found = []
    for one in cell.step.definitions:
        call = one.rest if isinstance(one.rest, Call) and not one.matrices else None
        of = call.argument.head if call is not None and isinstance(call.argument, Name) else None
        found.append((one.key, call, of))
    gates = [one for one in found if not inside(one[0]) and one[0] not in cell.parts]
    return gates or [one for one in found if one[1] is not None]


SQUASHED = ("σ", "hard_sigmoid")
"""The functions between 0 and 1."""


def opens(cell: Cell, gate: Gate) -> bool:
    """Whether it lets more or less through: such a function of a sum, or another term, such as
    1 − z_t, that multiplies something and lies between 0 and 1 at all steps."""
    if gate.function is not None:
        return gate.function in SQUASHED
    rights = (one.right for one in cell.equations.equations)
    products = (node for right in rights for node in nodes(right) if isinstance(node, Mul))
    factors = {one.head for product in products for one in product.factors if isinstance(one, Name)}
    return gate.name in factors and bool(((gate.value >= 0) & (gate.value <= 1)).all())


def pre_activations(cell: Cell) -> list[str]:
    """What the graph calls the a_t of the gates, as far as it keeps it."""
    return [key for _, _, key in _of(cell) if key is not None and key in cell.step.kept]


def gates(problem: Problem, layer: Layer, share: LayerTrace) -> Iterator[Gate]:
    """The gates of one layer; of rnn h itself."""
    cell = problem.cell
    for name, call, key in _of(cell):
        wanted: list[Node] = [Name(name, NOW)]
        wanted += [] if call is None else [call.argument, call._replace(prime=True)]
        sizes = [layer.sizes[cell.step.sizes[name]]] * len(wanted)
        with quietly():
            found = evaluated(problem, layer, share, cell.value_tape(wanted), sizes)
        value, *more = map(np.asarray, found)
        yield Gate(name, value, None if call is None else call.function, key, *more)
