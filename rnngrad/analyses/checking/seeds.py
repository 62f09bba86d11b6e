"""What is moved, and what BPTT claims will come of it: single entries, or whole rows by direction.

A probe of a row is a direction d (a unit vector for one entry, ±1 for a direction). The experiment
moves the row by d and sees ∂L_t/∂ε; the gradient under test claims ⟨row, d⟩.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from rnngrad.analyses.checking.directions import picked, signs
from rnngrad.analyses.checking.experiments import Seeds
from rnngrad.core.arrays import Array, Integers
from rnngrad.core.problem import Problem

NOTHING: MappingProxyType[str, Array] = MappingProxyType({})


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


def picked_each(count: int, size: int, stream: int) -> Integers:
    """An entry for each of ``count`` rows."""
    bits = signs((count, 20), stream + 1) > 0
    return np.asarray(bits @ (2 ** np.arange(20)) % size, dtype=np.int64)


def of_states(problem: Problem, probes: Probes) -> Seeds:
    """h_k moved, k = 0 … T."""
    start = np.repeat(probes.rows, probes.direction.shape[1])
    state = probes.direction.reshape(len(start), problem.hidden)
    return Seeds(start, state, np.zeros_like(state), NOTHING)


def of_pre_activations(problem: Problem, rows: Integers, direction: Array) -> Seeds:
    """a_k moved by ``direction`` (R, m, H), k = 1 … T."""
    start = np.repeat(rows - 1, direction.shape[1])
    pre = direction.reshape(len(start), problem.hidden)
    return Seeds(start, np.zeros_like(pre), pre, NOTHING)


def of_weights(problem: Problem, name: str, direction: Array) -> Seeds:
    """A parameter moved at every step, ``direction`` (B, *shape)."""
    count = len(direction)
    none = np.zeros((count, problem.hidden))
    return Seeds(np.zeros(count, dtype=np.int64), none, none, {name: direction})


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
