"""What a row is made of: the state and what a step keeps, layer by layer, with probes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from rnngrad.analyses.checking.references import perturbations
from rnngrad.analyses.checking.references.perturbations import Probes
from rnngrad.analyses.checking.references.perturbed_forward import Place
from rnngrad.analyses.checking.references.plan import Plan, steps_chosen
from rnngrad.arithmetic.arrays import Array, Integers
from rnngrad.arithmetic.number_types import SCALED
from rnngrad.arithmetic.scaled import Scaled
from rnngrad.chains.jacobians import PulledBack
from rnngrad.net.problem import Layer, Problem

STATES, PRE = 1000, 3000
"""Streams of directions, far enough apart."""


class Group(NamedTuple):
    """Some entries of a row: probes of them, where they stand in it, and how to have them."""

    probes: Probes
    columns: slice
    rows: Callable[[PulledBack], Scaled | None]


class OfState(NamedTuple):
    """A part of a layer's state, with its probes."""

    layer: Layer
    part: int
    group: Group


def probes_of(problem: Problem, plan: Plan, first: int, size: int, stream: int) -> Probes:
    chosen = steps_chosen(problem, first, plan.stride)
    if plan.every:
        return perturbations.all_entries(chosen, size)
    return perturbations.by_direction(chosen, size, stream)


def of_state(problem: Problem, plan: Plan) -> Iterator[OfState]:
    """Every part of the state of every layer."""
    number = 0
    for layer in problem.layers:
        for part, columns in enumerate(layer.state):
            size = columns.stop - columns.start
            probes = probes_of(problem, plan, 0, size, STATES + 2 * number)
            group = Group(probes, columns, partial(_at_state, columns))
            yield OfState(layer, part, group)
            number += 1


def _at_state(columns: slice, reached: PulledBack) -> Scaled | None:
    return reached.at_s[:, columns]


def of_part(problem: Problem, parts: Sequence[OfState], part: int) -> tuple[Probes, Integers]:
    """The probes of one part of all layers, as probes of a row, and which they are."""
    sizes = [one.group.probes.entry.shape[1] for one in parts]
    starts = np.cumsum([0, *sizes])
    mine = [(i, one) for i, one in enumerate(parts) if one.part == part]
    probes = perturbations.side_by_side(
        [(one.group.probes, one.layer.parts[part]) for _, one in mine],
        problem.layers[-1].parts[part].stop,
    )
    which = [np.arange(starts[i], starts[i + 1]) for i, _ in mine]
    return probes, np.concatenate(which)


def at_places(problem: Problem, plan: Plan) -> Iterator[Group]:
    """What each layer keeps within a step, in the order of ``places``."""
    columns = perturbations.places(problem)
    for number, places in enumerate(perturbations.groups(problem)):
        start, stop = columns[places[0]].start, columns[places[-1]].stop
        probes = probes_of(problem, plan, 1, stop - start, PRE + 2 * number)
        yield Group(probes, slice(start, stop), partial(_at_places, places))


def _at_places(places: Sequence[Place], reached: PulledBack) -> Scaled | None:
    """∂L_t/∂ of them, which k = 0 has not."""
    if reached.at is None:
        return None
    rows: Scaled = SCALED.join([reached.at[layer][key] for layer, key in places])
    return rows


def of_later_losses(error: Array, rows: Integers) -> Array:
    """The error, (R, m, T), but 0 of L_t before step k: no method is in doubt about those."""
    earlier = np.arange(1, error.shape[2] + 1) < rows[:, np.newaxis]
    return np.where(earlier[:, np.newaxis], 0.0, error)


def certain_at_own_step(error: Array, rows: Integers) -> None:
    """L_k sees h_k of the top layer alone: that all else of s_k leaves it as it is, is certain."""
    for row in np.flatnonzero(rows):
        error[row, :, rows[row] - 1] = 0.0
