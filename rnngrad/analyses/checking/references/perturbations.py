"""What is moved, and what BPTT claims will come of it: single entries, or whole rows by direction.

A probe of a row is a direction d (a unit vector for one entry, ±1 for a direction). The experiment
moves the row by d and sees ∂L_t/∂ε; the gradient under test claims ⟨row, d⟩.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from rnngrad.analyses.checking.references.equations import lines_of
from rnngrad.analyses.checking.references.perturbed_forward import Perturbations, Place
from rnngrad.analyses.checking.references.random_signs import picked, signs
from rnngrad.arithmetic.arrays import Array, Integers
from rnngrad.net.problem import Problem

NOTHING: MappingProxyType[Any, Array] = MappingProxyType({})


class Probes(NamedTuple):
    """Probes of the rows k: ``direction`` (R, m, n), ``entry`` (R, m) the number of the one entry
    that a probe is about, −1 for a direction."""

    rows: Integers
    direction: Array
    entry: Integers


def all_entries(rows: Integers, size: int) -> Probes:
    """A probe for every entry of every row."""
    shape = (len(rows), size, size)
    direction = np.broadcast_to(np.eye(size), shape)
    return Probes(rows, direction, np.broadcast_to(np.arange(size), shape[:2]))


def by_direction(rows: Integers, size: int, stream: int, *, directions: int = 1) -> Probes:
    """±1 directions of every row, and one of its entries alone, a different one each time."""
    count = len(rows)
    chosen = (picked_each(count, size, stream))[:, np.newaxis]
    single = np.zeros((count, 1, size))
    np.put_along_axis(single, chosen[:, :, np.newaxis], 1.0, axis=2)
    several = signs((count, directions, size), stream)
    number = np.full((count, directions), -1)
    return Probes(
        rows, np.concatenate([several, single], axis=1), np.concatenate([number, chosen], axis=1)
    )


def miss_probability(probes: Probes) -> float:
    """How likely at most a row that is looked at passes, of which an entry is off by more than the
    tolerance; all rows have as many probes.

    Of an error e with |e_j| = max |e_i|: where the sign of d_j alone is turned, ⟨e, d⟩ moves by
    2|e_j|, so that of the two at most one lies within |e_j|. Hence 1/2 for a direction of
    independent signs, and 2⁻ᵐ for m of them, whatever e is; e = (1, 1, 0 …) reaches it.
    """
    by_sign = probes.entry[0] < 0
    seen = np.count_nonzero(probes.direction[0, by_sign], axis=0)  # a layer has its own directions
    seen[probes.entry[0, ~by_sign]] = -1
    least = seen[seen >= 0]
    return float(0.5 ** least.min()) if least.size else 0.0


def picked_each(count: int, size: int, stream: int) -> Integers:
    """An entry for each of ``count`` rows."""
    bits = signs((count, 20), stream + 1) > 0
    return np.asarray(bits @ (2 ** np.arange(20)) % size, dtype=np.int64)


def side_by_side(parts: Sequence[tuple[Probes, slice]], size: int) -> Probes:
    """Probes of some columns of a row each, as probes of the whole row of ``size`` entries."""
    directions, entries = [], []
    for probes, columns in parts:
        wide = np.zeros((*probes.entry.shape, size))
        wide[..., columns] = probes.direction
        directions.append(wide)
        entries.append(np.where(probes.entry < 0, -1, probes.entry + columns.start))
    rows = parts[0][0].rows
    return Probes(rows, np.concatenate(directions, axis=1), np.concatenate(entries, axis=1))


def of_states(problem: Problem, probes: Probes) -> Perturbations:
    """s_k moved, k = 0 … T."""
    start = np.repeat(probes.rows, probes.direction.shape[1])
    state = probes.direction.reshape(len(start), problem.state_size)
    return Perturbations(start, state, NOTHING, NOTHING)


def of_places(problem: Problem, probes: Probes, columns: Mapping[Place, slice]) -> Perturbations:
    """What a step keeps moved in step k = 1 … T, each place by its columns of the rows."""
    start = np.repeat(probes.rows - 1, probes.direction.shape[1])
    flat = probes.direction.reshape(len(start), -1)
    at = {place: flat[:, mine] for place, mine in columns.items()}
    return Perturbations(start, _nothing(len(start), problem.state_size), at, NOTHING)


def places(problem: Problem) -> dict[Place, slice]:
    """Where what each layer keeps within a step stands in a row ∂L_t/∂a_k: its sums with matrices,
    and then what else has a place in the graph, but h of the top layer where nothing in the step
    sees it."""
    lines, kept = lines_of(problem.cell), problem.cell.step.kept
    seen = {source for line in lines for source in line.sources}
    seen |= {product.source for line in lines for product in line.products}
    found, stop = {}, 0
    for number, layer in enumerate(problem.layers):
        below = number + 1 < problem.depth
        for sums in (True, False):
            for line in lines:
                top = line.key in problem.cell.parts and line.key not in seen
                if line.key not in kept or bool(line.products) is not sums:
                    continue
                if top and not (below and line.key == problem.cell.parts[0]):
                    continue
                start, stop = stop, stop + layer.sizes[problem.cell.step.sizes[line.key]]
                found[number, line.key] = slice(start, stop)
    return found


def groups(problem: Problem) -> list[list[Place]]:
    """The places that are compared side by side: a layer's sums together, all else alone."""
    sums = {line.key for line in lines_of(problem.cell) if line.products}
    found: list[list[Place]] = []
    for place in places(problem):
        together = found and place[1] in sums and found[-1][0][0] == place[0]
        if together and found[-1][-1][1] in sums:
            found[-1].append(place)
        else:
            found.append([place])
    return found


def of_weights(problem: Problem, name: str, direction: Array) -> Perturbations:
    """A parameter moved at every step, ``direction`` (B, *shape)."""
    count = len(direction)
    state = _nothing(count, problem.state_size)
    return Perturbations(np.zeros(count, dtype=np.int64), state, NOTHING, {name: direction})


def _nothing(count: int, size: int) -> Array:
    """Zeros that take no room; not to be written to."""
    return np.broadcast_to(np.zeros(size), (count, size))


def weight_probes(gradient: Array, every: bool, stream: int) -> tuple[Array, Integers]:
    """Directions (B, *shape) for a parameter, and the entry of each (−1 for a direction): all
    entries, or four directions, the largest entry and SAMPLED others."""
    size = gradient.size
    if every:
        chosen = np.arange(size)
        return np.eye(size).reshape(size, *gradient.shape), chosen
    largest = np.argmax(np.abs(np.nan_to_num(gradient))).reshape(1)
    chosen = np.union1d(picked(SAMPLED, size, stream), largest)
    single = np.zeros((len(chosen), size))
    single[np.arange(len(chosen)), chosen] = 1.0
    several = signs((DIRECTIONS, size), stream)
    direction = np.concatenate([several, single]).reshape(-1, *gradient.shape)
    return direction, np.concatenate([np.full(DIRECTIONS, -1), chosen])


DIRECTIONS = 4
SAMPLED = 12
"""Directions and sampled entries of a parameter that is not checked entry by entry."""

OF_A_ROW = 20
"""Directions in which each ∂L_t/∂s_k is compared with that of the step after it."""
