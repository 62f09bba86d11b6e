"""What a step of one layer does to a perturbation, unit by unit, by complex step.

A cell acts unit by unit on u_x = W_xh x_t + b, u_h = W_hh h_{t−1} + b and s_{t−1}, so its
derivative is a handful of diagonals, ∂(part of s_t)/∂(gate of u_x, gate of u_h, part of s_{t−1}).
Each is had by a complex step of ``cell.advance`` in that argument alone: of the derivative that
the core has written down nothing is used. For rnn they are σ'(a_t), with its tail beyond the range
of floats (``slopes.py``).
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np

from rnngrad.analyses.checking.slopes import FAINT, TINY, complex_step, slopes
from rnngrad.arithmetic.arrays import Array, Numbers
from rnngrad.core.cells import LayerTrace, Parts
from rnngrad.core.given import Mask
from rnngrad.core.problem import Layer, Problem
from rnngrad.arithmetic.scaled import Scaled, scaled

SATURATED = 150.0
"""Up to it the product of three slopes is above 1e-268; beyond, a 0 may be an underflow."""


class Inputs(NamedTuple):
    """What a layer's step takes, over all steps: ``u_x`` and ``u_h`` (T, G·H), products of the
    check's own, and ``before``, the parts of s_{t−1}, (T, H) each."""

    u_x: Array
    u_h: Array
    before: tuple[Array, ...]


class Coefficients(NamedTuple):
    """The diagonals of a layer: ``values`` (P, 2G + P, T, H), row the part of s_t, column the gates
    of u_x, those of u_h and the parts of s_{t−1}; ``used`` the pairs that are not 0 by the cell's
    equations. ``faint`` (T,): one is too small for a plain complex step. ``blind`` (T,): one may be
    too small for any."""

    values: Scaled
    used: tuple[tuple[int, int], ...]
    faint: Mask
    blind: Mask

    def through(self, t: int, inputs: list[Scaled | None]) -> list[Scaled]:
        """The parts of ṡ_t, (n, H) each, from what reaches the step's inputs (None: nothing)."""
        found: list[Scaled | None] = [None] * len(self.values.mantissa)
        for p, q in self.used:
            reached = inputs[q]
            if reached is not None:
                term = reached * self.values[p, q, t - 1]
                now = found[p]
                found[p] = term if now is None else now + term
        shape = next(one.mantissa.shape for one in inputs if one is not None)
        return [scaled(np.zeros(shape)) if one is None else one for one in found]


def inputs_of(problem: Problem, layer: Layer, share: LayerTrace) -> Inputs:
    """u_x, u_h and s_{t−1} of a layer; for rnn u_x = a_t and u_h = 0, since only their sum counts
    and a relu must stand on the trace's own side of its kink."""
    before = (share.h[:-1],) if share.c is None else (share.h[:-1], share.c[:-1])
    if problem.cell.activation is None:
        return Inputs(share.a, np.zeros_like(share.a), before)
    W, cell = layer.weights, problem.cell
    u_x = np.einsum("ij,tj->ti", W["W_xh"], share.x) + cell.bias(W, "x")
    u_h = np.einsum("ij,tj->ti", W["W_hh"], before[0]) + cell.bias(W, "h")
    return Inputs(u_x, u_h, before)


def coefficients(problem: Problem, share: LayerTrace, inputs: Inputs) -> Coefficients:
    """The diagonals of a layer along its trajectory. To be run within ``quietly()``."""
    if problem.cell.activation is None:
        slope = slopes(problem.activation, share.a)
        both = np.stack([slope.mantissa] * 2), np.stack([slope.exponent] * 2)
        values = Scaled(both[0][np.newaxis], both[1][np.newaxis])
        return Coefficients(values, ((0, 0), (0, 1)), _small(values, FAINT), _none(share))
    generic = _diagonals(problem, _generic(inputs))
    used = tuple((int(p), int(q)) for p, q in np.argwhere(generic[:, :, 0, 0] != 0))
    found = _diagonals(problem, inputs)
    values = scaled(found)
    far = np.max(np.abs([*_gates(problem, inputs, share), *inputs.before]), axis=0) > SATURATED
    mine = np.array([found[p, q] for p, q in used])
    lost = (mine != 0) & (np.abs(mine) < TINY) | (mine == 0) & far
    return Coefficients(values, used, _small(values, FAINT), lost.any(axis=(0, 2)))


def _none(share: LayerTrace) -> Mask:
    return np.zeros(len(share.a), dtype=bool)


def _small(values: Scaled, below: float) -> Mask:
    """The steps with a coefficient that is smaller, and not 0, (T,)."""
    small = (values.mantissa != 0) & (values.exponent < np.log2(below))
    return np.asarray(small.any(axis=(0, 1, 3)))


def _gates(problem: Problem, inputs: Inputs, share: LayerTrace) -> list[Array]:
    """The pre-activations gate by gate, and what their functions meet later: c_t of lstm."""
    after = [] if share.c is None else [share.c[1:]]
    return [*np.split(share.a, len(problem.cell.gates), axis=1), *after]


def _generic(inputs: Inputs) -> Inputs:
    """One step at a point where no derivative is 0 by chance."""
    size = inputs.u_x.shape[1]
    u = np.linspace(0.3, 0.7, size)[np.newaxis]
    before = tuple(np.full_like(part[:1], 0.4 + 0.1 * p) for p, part in enumerate(inputs.before))
    return Inputs(u, 0.5 * u, before)


def _diagonals(problem: Problem, inputs: Inputs) -> Array:
    """∂(parts of s_t)/∂(each input), (P, 2G + P, T, H)."""
    gates, parts = len(problem.cell.gates), len(problem.cell.parts)
    steps, hidden = inputs.before[0].shape
    found = np.empty((parts, 2 * gates + parts, steps, hidden))
    for q in range(2 * gates + parts):
        found[:, q] = complex_step(partial(_moved, problem, inputs, q))
    return found


def _moved(problem: Problem, inputs: Inputs, q: int, step: complex) -> Numbers:
    """The parts of s_t, (P, T, H), with ``step`` added to input number q."""
    gates, hidden = len(problem.cell.gates), inputs.before[0].shape[1]
    block = np.repeat(np.eye(gates), hidden, axis=1)
    none = np.zeros(gates * hidden)
    at_x = block[q] if q < gates else none
    at_h = block[q - gates] if gates <= q < 2 * gates else none
    before: Parts = tuple(
        part + step * (q == 2 * gates + p) for p, part in enumerate(inputs.before)
    )
    after = problem.cell.advance(
        inputs.u_x + step * at_x, inputs.u_h + step * at_h, before, problem.activation
    )
    return np.array(after.state)
