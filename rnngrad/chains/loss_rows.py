"""The direct terms ∂L_t/∂h_t as numbers beyond the range of floats: where a path begins.

A saturated output has a gradient of 1e-347, say: 0 as a float, a number all the same. Steps whose
gradient at the output is small enough to be doubted are computed again in logarithms.
"""

from __future__ import annotations

import numpy as np

from rnngrad.arithmetic.arrays import Array
from rnngrad.arithmetic.evaluation import SMALLEST_SURE
from rnngrad.arithmetic.scaled import Bands, Scaled, scaled, times
from rnngrad.net.outputs import scaled_gap
from rnngrad.net.problem import Problem
from rnngrad.net.traces import BackwardTrace, ForwardTrace


def scaled_direct(problem: Problem, trace: ForwardTrace, back: BackwardTrace) -> Scaled:
    """∂L_t/∂h_t of the top layer for every step, (T, H), right to rounding at any exponent.

    ∂L_t/∂(W_hy h_t + b_y) · W_hy; without W_hy the first factor alone.
    """
    at_output = scaled(back.dL_da_y)
    if problem.loss_weights is not None:
        small = (np.abs(back.dL_da_y) < SMALLEST_SURE).any(axis=1)
        for t in np.flatnonzero(small & (problem.loss_weights != 0)):
            row = _at_the_output(problem, trace, slice(t, t + 1), problem.loss_weights[t])
            at_output.mantissa[t], at_output.exponent[t] = row.mantissa[0], row.exponent[0]
    if not problem.has_readout:
        return at_output
    return times(at_output, Bands(problem.weights["W_hy"]))


def _at_the_output(problem: Problem, trace: ForwardTrace, step: slice, weight: Array) -> Scaled:
    """∂L_t/∂(W_hy h_t + b_y) of one step, (1, O), without an intermediate float."""
    assert problem.loss is not None
    assert problem.targets is not None
    target, a, y = problem.targets[step], trace.a_y[step], trace.y[step]
    scale = scaled(np.asarray(weight))
    if problem.loss.scaled_fused is not None:
        return scale * problem.loss.scaled_fused(target, a)
    assert problem.loss.of_the_gap is not None
    slope = scaled(np.asarray(problem.loss.of_the_gap(problem.outputs)))
    dL_dy = scale * slope * scaled_gap(problem.output, target, a, y)
    return problem.output.scaled_pull_back(a, dL_dy)
