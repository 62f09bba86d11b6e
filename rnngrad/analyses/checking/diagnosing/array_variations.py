"""Known mistakes made of the right array alone: a factor, a transpose, another order of gates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import permutations

import numpy as np

from rnngrad.analyses.checking.diagnosing.variations import (
    BY_GATE,
    EVERYTHING,
    OF_THE_LOSS,
    RIGHT,
    TOTALS,
    ArrayChange,
    Variation,
    counting,
)
from rnngrad.analyses.mistakes.passes import Apart
from rnngrad.arithmetic.arrays import Array


def sign_flipped(apart: Apart) -> Iterator[Variation]:
    yield _times(-1.0, OF_THE_LOSS)
    yield _times(-1.0, EVERYTHING, thorough=False)


def missing_factor_2(apart: Apart) -> Iterator[Variation]:
    yield _times(0.5, OF_THE_LOSS)
    yield _times(0.5, frozenset({"losses"}), thorough=False)


def averaged_over_steps(apart: Apart) -> Iterator[Variation]:
    """Over all steps, or those that count: in the loss, or only in the weights' gradients."""
    for steps in dict.fromkeys((apart.steps, len(counting(apart.problem)))):
        if steps > 1:
            yield _times(1.0 / steps, OF_THE_LOSS)
            yield _times(1.0 / steps, TOTALS)
            yield _times(1.0 / steps, frozenset({"losses"}), thorough=False)


def _times(factor: float, touches: frozenset[str], *, thorough: bool = True) -> Variation:
    """Quantities that are linear in L, times a number; their logarithms are shifted."""
    changes: dict[str, ArrayChange] = {name: partial(np.multiply, factor) for name in touches}
    if "log10_paths" in touches:
        changes["log10_paths"] = partial(np.add, np.log10(abs(factor)))
    if factor < 0 and not thorough:
        changes["log10_paths"] = changes["log10_chain"] = np.negative
    return Variation(RIGHT, touches, thorough, changes=changes)


def transposed(apart: Apart) -> Iterator[Variation]:
    """The array itself transposed: a matrix, or the two last axes of one a step."""
    turn = dict.fromkeys(EVERYTHING, _turn)
    yield Variation(RIGHT, EVERYTHING, changes=turn)


def _turn(array: Array) -> Array:
    return np.swapaxes(array, -1, -2) if array.ndim > 1 else array


def gate_order(apart: Apart) -> Iterator[Variation]:
    """The blocks of rows of another order of the gates than this cell's."""
    gates = apart.problem.cell.gates
    for order in permutations(range(len(gates))):
        if order != tuple(range(len(gates))):
            names = ", ".join(gates[g] for g in order)
            changes: dict[str, ArrayChange] = dict.fromkeys(BY_GATE, partial(_blocks, order))
            yield Variation(RIGHT, BY_GATE, changes=changes, where=names)


def _blocks(order: Sequence[int], array: Array) -> Array:
    parts = np.split(array, len(order))
    return np.concatenate([parts[g] for g in order])
