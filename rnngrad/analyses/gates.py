"""The gates of a cell as numbers: pre-activation, value and slope of each, unit by unit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from rnngrad.arithmetic.functions import ACTIVATIONS
from rnngrad.arithmetic.arrays import Array, quietly
from rnngrad.core.traces import LayerTrace
from rnngrad.core.problem import Problem

CANDIDATES = ("n", "g")
"""What a cell would write into its state: through tanh, where a gate goes through the sigmoid."""


class Gate(NamedTuple):
    """One gate of one layer over all steps, (T, H) each: a_t, its function of a_t, its slope."""

    name: str
    a: Array
    value: Array
    slope: Array


def gates(problem: Problem, share: LayerTrace) -> Iterator[Gate]:
    """The gates of one layer, in the order of the rows of W; none of rnn but its h_t itself."""
    names = problem.cell.gates or problem.cell.parts[:1]
    with quietly():
        for name in names:
            a = share.values[f"a.{name}"]
            own = len(names) == 1 or name in CANDIDATES
            f = problem.activation if own else ACTIVATIONS["sigmoid"]
            yield Gate("h" if len(names) == 1 else name, a, f.f(a), f.slope(a))
