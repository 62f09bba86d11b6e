"""∂L/∂W step by step: the terms of the sum over the steps t at which W is used.

    ∂L/∂W = Σ_t ∂L/∂a_t ⊗ v_t        v_t what W multiplies: h_{t−1}, x_t, h_t for W_hy

∂L/∂a_t has all paths from the losses of steps t, t + 1 … back to a_t, so this is the gradient of a
copy of W that stands at step t alone. Of a vector that acts unit by unit the terms are ∂L/∂a_t ∘
factor_t. Source: Goodfellow, Bengio, Courville, *Deep Learning* (2016), section 10.2.2, where the
copies are W^(t).
"""

from __future__ import annotations

import numpy as np

from rnngrad.algebra.tape import tape_of
from rnngrad.arithmetic.arrays import Array, quietly
from rnngrad.net.backward_layers import source_values
from rnngrad.net.jacobian_diagonals import evaluated
from rnngrad.net.problem import Problem
from rnngrad.net.traces import BackwardTrace, ForwardTrace


def by_step(
    problem: Problem, trace: ForwardTrace, back: BackwardTrace, name: str, at: int | None
) -> Array:
    """The terms of one parameter of layer ``at`` (of the read-out where None), (T, …) with the
    parameter's shape; they add up to its gradient. Steps after the last loss have zeros."""
    last = problem.last_step_with_loss
    with quietly():
        if at is None:
            rows, h = back.dL_da_y, trace.layers[-1].h[1:]
            return _outer(rows, h, last) if name == "W_hy" else rows.copy()
        parts = problem.cell.blocks.get(name, (name,))
        found = [_of_part(problem, trace, back, part, at, last) for part in parts]
        return found[0] if len(found) == 1 else np.concatenate(found, axis=1)


def _of_part(
    problem: Problem, trace: ForwardTrace, back: BackwardTrace, name: str, at: int, last: int
) -> Array:
    """The same of a parameter of the equations."""
    cell, layer, share, rows = problem.cell, problem.layers[at], trace.layers[at], back.at[at]
    terms = np.zeros((problem.steps, *np.shape(layer.own[name])))
    for one in cell.step.matrices:
        if one.parameter == name:
            more = _outer(rows[one.target], source_values(problem, layer, share, one.source), last)
            terms += one.sign * (np.swapaxes(more, 1, 2) if one.transposed else more)
    uses = [use for use in cell.step.uses if use.parameter == name]
    tape = tape_of([use.factor for use in uses], cell.given, cell.defined)
    sizes = [layer.sizes[cell.step.sizes[use.target]] for use in uses]
    values = evaluated(problem, layer, share, tape, sizes) if uses else ()
    for use, value in zip(uses, values, strict=True):
        products = rows[use.target][:last] * value[:last]
        terms[:last] += products if terms.ndim > 1 else products.sum(axis=1)
    return terms


def _outer(rows: Array, beside: Array, last: int) -> Array:
    """rows[t] ⊗ beside[t], 0 from step ``last`` on."""
    terms = np.zeros((len(rows), rows.shape[1], beside.shape[1]))
    np.multiply(rows[:last, :, np.newaxis], beside[:last, np.newaxis, :], out=terms[:last])
    return terms
