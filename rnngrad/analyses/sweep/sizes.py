"""What a row takes of a net's passes: how steep its units are, how large its gradients."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from rnngrad.algebra.equations import X
from rnngrad.algebra.expressions import Call, Name, nodes
from rnngrad.analyses.derivation.quantities import Passes
from rnngrad.arithmetic.arrays import frobenius, quietly
from rnngrad.net.cells import Cell


def mean_slope(net: Passes) -> float:
    """The mean of f'(a_t) over units, gates and steps, for every function f of the equations that
    is taken of a sum with matrices; nan where there is none."""
    problem, sums, count = net.problem, 0.0, 0
    with quietly():
        for layer in net.forward.layers:
            for function, key in _gates(problem.cell):
                slopes = problem.functions[function].slope(layer.values[key])
                sums, count = sums + float(np.sum(slopes)), count + slopes.size
        return sums / count if count else math.nan


def _gates(cell: Cell) -> list[tuple[str, str]]:
    """Function and key of what it is taken of."""
    stored = cell.step.stored
    return [
        (node.function, node.argument.head)
        for one in cell.step.definitions
        if one.rest is not None
        for node in nodes(one.rest)
        if isinstance(node, Call) and isinstance(node.argument, Name)
        if node.argument.head in stored
    ]


def gradient_norms(net: Passes) -> tuple[float | None, ...]:
    """Of the matrices that multiply x_t, of what is scaled (rnn, gru, lstm: W_xh, W_hh) and of the
    biases, each over all layers together, and of h_0."""
    back, cell = net.backward, net.problem.cell
    sizes = {name: frobenius(gradient) for name, gradient in back.weights.items()}
    from_x = {m.parameter for m in cell.step.matrices if m.source == X}
    groups = (_whole(cell, from_x), _whole(cell, set(cell.scaled)), set(cell.biases))
    of_weights = (
        math.hypot(*(size for name, size in sizes.items() if name.split(".")[0] in group))
        for group in groups
    )
    return tuple(map(finite, (*of_weights, frobenius(back.dL_dh[0]))))


def _whole(cell: Cell, names: set[str]) -> set[str]:
    """The parameters, as results have them, that hold some of the equations'."""
    return {name for name in cell.parameters if names & set(cell.blocks.get(name, (name,)))}


def finite(value: float | np.floating[Any]) -> float | None:
    """The number, or None where it is none."""
    return float(value) if math.isfinite(value) else None
