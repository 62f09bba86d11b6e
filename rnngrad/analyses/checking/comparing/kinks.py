"""A function within rounding of its kink: the branch there is decided by rounding alone."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rnngrad.analyses.checking.comparing.input_sensitivity import rounding_of_a_y
from rnngrad.analyses.checking.comparing.kinked_functions import (
    Bend,
    functions_with_kinks,
    near_kinks,
    smooth,
)
from rnngrad.analyses.checking.references.step_derivatives import EPS
from rnngrad.arithmetic.arrays import quietly
from rnngrad.net.given_arrays import Mask
from rnngrad.net.problem import Layer, Problem
from rnngrad.net.traces import ForwardTrace


class Kinks(NamedTuple):
    """The first step t and unit at a kink, of the state and of the output; None where none is.
    ``said`` is what stands there, of the state."""

    state: tuple[int, int] | None
    output: tuple[int, int] | None
    said: str = ""


def kinks(problem: Problem, trace: ForwardTrace) -> Kinks:
    """Where |a − kink| is no more than a's own rounding, and that is not 0."""
    record = problem.output.elementwise
    output = None
    if record is not None and record.kinks:
        output = _first(near_kinks(trace.a_y, EPS * rounding_of_a_y(problem, trace), record.kinks))
    if smooth(problem):
        return Kinks(None, output)
    found: list[tuple[tuple[int, int], str]] = []
    with quietly():
        for layer, share in zip(problem.layers, trace.layers, strict=True):
            for bend in functions_with_kinks(problem, layer, share):
                near = np.atleast_2d(bend.near)
                at = _first(np.broadcast_to(near, (problem.steps, near.shape[1])))
                if at is not None:
                    found.append(_told(problem, layer, bend, at))
    state, said = min(found, default=(None, ""))
    return Kinks(state, output, said)


def _told(
    problem: Problem, layer: Layer, bend: Bend, at: tuple[int, int]
) -> tuple[tuple[int, int], str]:
    t, i = at
    name = problem.functions[bend.call.function].name
    if problem.cell.activation is None:
        i += layer.units.start
        return (t, i), f"a_{t}[{i}] is within rounding of {name}'s kink"
    what = f"what {name} is taken of in {bend.line.key.rpartition('.')[2]}_{t}{layer.suffix}"
    return (t, i), f"{what}, entry {i}, is within rounding of its kink"


def _first(near: Mask) -> tuple[int, int] | None:
    places = np.argwhere(near)
    return (int(places[0][0]) + 1, int(places[0][1])) if len(places) else None


VALUES = frozenset({"h", "y", "losses", "dL_dy"})
"""What a kink does no harm to, besides the parts of the state."""

OF_THE_STATE = frozenset({"dht_dhprev", "dht_dW_xh", "dht_dW_hh", "dht_db_h", "log10_chain"})
"""What only the kinks of the cell's functions concern."""


def reason(problem: Problem, found: Kinks, name: str) -> str | None:
    """Why the quantity cannot be called right, or None."""
    if name in VALUES or name in problem.cell.parts:
        return None
    if found.state is not None:
        return f"{found.said}: its derivative there is undecided"
    if found.output is not None and name not in OF_THE_STATE:
        t, i = found.output
        kinked = problem.output.elementwise
        name = "the output's function" if kinked is None else kinked.name
        return f"W_hy h_{t} + b_y, entry {i}, is within rounding of {name}'s kink"
    return None


def finite_steps_may_cross(problem: Problem, name: str) -> str | None:
    """Why finite steps cannot call a quantity wrong: they may have crossed a kink."""
    record = problem.output.elementwise
    harmless = smooth(problem) and (record is None or not record.kinks)
    if harmless or name in VALUES or name in problem.cell.parts:
        return None
    return (
        "finite steps disagree, but may have crossed a kink: --method complex-step, which takes "
        "the branch as it is, decides"
    )
