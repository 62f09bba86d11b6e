"""Known mistakes made of the right array alone: a factor, a transpose, another order of gates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import permutations

import numpy as np

from rnngrad.analyses.checking.rules import Rules
from rnngrad.analyses.checking.variations import (
    BY_GATE,
    EVERYTHING,
    OF_THE_LOSS,
    TOTALS,
    Change,
    Variation,
)
from rnngrad.arithmetic.arrays import Array


def sign_flipped(rules: Rules) -> Iterator[Variation]:
    yield _times(rules, -1.0, OF_THE_LOSS)
    yield _times(rules, -1.0, EVERYTHING, thorough=False)


def half(rules: Rules) -> Iterator[Variation]:
    yield _times(rules, 0.5, OF_THE_LOSS)
    yield _times(rules, 0.5, frozenset({"losses"}), thorough=False)


def averaged(rules: Rules) -> Iterator[Variation]:
    """Over all steps, or those that count: in the loss, or only in the weights' gradients."""
    for steps in dict.fromkeys((rules.steps, len(rules.counting))):
        if steps > 1:
            yield _times(rules, 1.0 / steps, OF_THE_LOSS)
            yield _times(rules, 1.0 / steps, TOTALS)
            yield _times(rules, 1.0 / steps, frozenset({"losses"}), thorough=False)


def _times(
    rules: Rules, factor: float, touches: frozenset[str], *, thorough: bool = True
) -> Variation:
    """Quantities that are linear in L, times a number; their logarithms are shifted."""
    changes: dict[str, Change] = {name: partial(np.multiply, factor) for name in touches}
    if "log10_paths" in touches:
        changes["log10_paths"] = partial(np.add, np.log10(abs(factor)))
    if factor < 0 and not thorough:
        changes["log10_paths"] = changes["log10_chain"] = np.negative
    return Variation(rules, touches, thorough, changes=changes)


def turned(rules: Rules) -> Iterator[Variation]:
    """The array itself transposed: a matrix, or the two last axes of one a step."""
    turn = dict.fromkeys(EVERYTHING, _turn)
    yield Variation(rules, EVERYTHING, changes=turn)


def _turn(array: Array) -> Array:
    return np.swapaxes(array, -1, -2) if array.ndim > 1 else array


def other_order(rules: Rules) -> Iterator[Variation]:
    """The blocks of rows of another order of the gates than this cell's."""
    gates = rules.problem.cell.gates
    for order in permutations(range(len(gates))):
        if order != tuple(range(len(gates))):
            names = ", ".join(gates[g] for g in order)
            changes: dict[str, Change] = dict.fromkeys(BY_GATE, partial(_blocks, order))
            yield Variation(rules, BY_GATE, changes=changes, where=names)


def _blocks(order: Sequence[int], array: Array) -> Array:
    parts = np.split(array, len(order))
    return np.concatenate([parts[g] for g in order])
