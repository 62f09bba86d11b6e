"""∂s_T/∂s_k for k = T … 0 of any cell and stack: in plain floats as long as these hold it all.

A product is kept as values · 2^exponent with one exponent. That is right as long as every factor
and every entry that is not exactly 0 keeps clear of the ends of float64: terms and weights within
2^±100, entries of the product above 2⁻⁶⁰⁰ of the largest, which is looked at every step. (A term
of a step is a product of at most four such numbers: above 2⁻¹⁰⁰⁰.) From the step where it fails,
entry by entry at its own exponent (``arithmetic.scaled``).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from rnngrad.arithmetic.arrays import Array, Integers
from rnngrad.arithmetic.number_types import FLOATS, SCALED
from rnngrad.arithmetic.scaled import Scaled, scaled
from rnngrad.chains.blocks import NARROW
from rnngrad.net.linearised import LinearNet, in_floats, linear_net
from rnngrad.net.problem import Problem
from rnngrad.net.traces import ForwardTrace

FAR = 200
"""Bits that the largest entry may be away from 1 before the exponent is taken out."""

NEAR_ONE = 100
"""Bits that a factor may be away from 1."""


class Aligned(NamedTuple):
    """values · 2^exponent, (S, S)."""

    values: Array
    exponent: int


def aligned_chain(problem: Problem, trace: ForwardTrace) -> Iterator[Aligned]:
    """∂s_T/∂s_k for k = T, T−1 … 0. To be run within ``quietly()``."""
    exact = linear_net(problem, trace, SCALED)
    last = start = Aligned(np.eye(problem.state_size), 0)
    yield start
    reached = problem.steps
    if _weights_fit(problem):
        for last in _plain(in_floats(exact), terms_fit(exact, problem.steps), start):
            reached -= 1
            yield last
    yield from _exactly(exact, last, reached)


def plain_net(problem: Problem, trace: ForwardTrace) -> LinearNet | None:
    """The net linearised in floats, if all its terms and weights are within 2^±100 or exactly 0."""
    if not _weights_fit(problem):
        return None
    floats = linear_net(problem, trace, FLOATS)
    sure = all(_near_one(term) and term.all() for one in floats.layers for term in one.terms)
    # a 0 among floats may be a number that they cannot hold
    if sure or terms_fit(linear_net(problem, trace, SCALED), problem.steps).all():
        return floats
    return None


def _plain(net: LinearNet, fits: Array, now: Aligned) -> Iterator[Aligned]:
    """As far as plain floats go."""
    for t in range(len(fits), 0, -1):
        if not fits[t - 1]:
            return
        values = net.pull(now.values, t).rows
        sizes = np.abs(values)
        largest = float(sizes.max())
        if not 0 < largest < np.inf or (sizes[sizes > 0] < NARROW * largest).any():
            return
        shift = int(np.frexp(largest)[1])
        if abs(shift) > FAR:
            values, shift = np.ldexp(values, -shift), now.exponent + shift
        else:
            shift = now.exponent
        now = Aligned(values, shift)
        yield now


def _exactly(net: LinearNet, now: Aligned, reached: int) -> Iterator[Aligned]:
    start = scaled(now.values)
    rows = Scaled(
        start.mantissa, np.where(start.mantissa == 0, start.exponent, start.exponent + now.exponent)
    )
    for t in range(reached, 0, -1):
        rows = net.pull(rows, t).rows
        values, exponent = rows.aligned(axis=(0, 1))
        yield Aligned(values, int(exponent))


def _weights_fit(problem: Problem) -> bool:
    return all(
        _near_one(layer.own[matrix.parameter])
        for layer in problem.layers
        for matrix in problem.cell.step.matrices
    )


def _near_one(W: Array) -> bool:
    sizes = np.abs(W[W != 0])
    bound = 2.0**NEAR_ONE
    return bool((sizes > 1 / bound).all() and (sizes < bound).all())


def terms_fit(net: LinearNet, steps: int, bits: int = NEAR_ONE) -> Array:
    """The steps at which every term is within 2^±bits, or exactly 0, (T,). A step that is linear
    has none: its matrices are all of it."""
    fits = [_in_reach(term, bits) for one in net.layers for term in one.terms]
    return np.asarray(np.logical_and.reduce([np.ones(steps, dtype=bool), *fits]))


def _in_reach(term: Scaled, bits: int) -> Array:
    exponent: Integers = np.abs(term.exponent)
    near = (exponent < bits) | (term.mantissa == 0)
    return np.asarray(near.all(axis=1) & np.isfinite(term.mantissa).all(axis=1))
