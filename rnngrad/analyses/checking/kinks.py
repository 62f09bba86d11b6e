"""relu within rounding of its kink: the branch there is decided by rounding, not by the net."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rnngrad.analyses.checking.conditions import rounding_of_a, rounding_of_a_y
from rnngrad.arithmetic.arrays import Array
from rnngrad.core.problem import Problem
from rnngrad.core.traces import ForwardTrace

EPS = float(np.finfo(np.float64).eps)


class Kinks(NamedTuple):
    """The first step t and unit at a kink, of the state and of the output; None where none is."""

    state: tuple[int, int] | None
    output: tuple[int, int] | None


def kinks(problem: Problem, trace: ForwardTrace) -> Kinks:
    """Where |a| is no more than its own rounding, and that is not 0, before a function with a kink.

    An a of exactly 0 from terms that are all 0 is no matter of rounding: σ'(0) = 0 by the contract.
    """
    record = problem.output.elementwise
    state = output = None
    if not problem.activation.analytic:
        state = _first(trace.a, EPS * rounding_of_a(problem, trace))
    if record is not None and not record.analytic:
        output = _first(trace.a_y, EPS * rounding_of_a_y(problem, trace))
    return Kinks(state, output)


def _first(a: Array, rounding: Array) -> tuple[int, int] | None:
    near = np.argwhere((np.abs(a) <= rounding) & (rounding > 0))
    return (int(near[0][0]) + 1, int(near[0][1])) if len(near) else None


VALUES = frozenset({"h", "y", "losses", "dL_dy"})
"""What a kink does no harm to."""

OF_THE_STATE = frozenset({"dht_dhprev", "dht_dW_xh", "dht_dW_hh", "dht_db_h", "log10_chain"})
"""What only the hidden activation's kinks concern."""


def reason(found: Kinks, name: str) -> str | None:
    """Why the quantity cannot be called right, or None."""
    if name in VALUES:
        return None
    if found.state is not None:
        t, i = found.state
        return f"a_{t}[{i}] is within rounding of relu's kink: its derivative there is undecided"
    if found.output is not None and name not in OF_THE_STATE:
        t, i = found.output
        return f"W_hy h_{t} + b_y, entry {i}, is within rounding of relu's kink"
    return None


def in_reach(problem: Problem, name: str) -> str | None:
    """Why finite steps cannot call a quantity wrong: they may have crossed a kink."""
    record = problem.output.elementwise
    smooth = problem.activation.analytic and (record is None or record.analytic)
    if smooth or name in VALUES:
        return None
    return (
        "finite steps disagree, but may have crossed a kink of relu: --method complex-step, which "
        "takes the branch as it is, decides"
    )
