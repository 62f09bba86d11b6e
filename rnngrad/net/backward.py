"""Back-propagation through time."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from rnngrad.arithmetic.arrays import Array, quietly, weighted
from rnngrad.net.backward_layers import through_layers
from rnngrad.net.losses import slope
from rnngrad.net.problem import Problem
from rnngrad.net.traces import BackwardTrace, ForwardTrace


def bptt(problem: Problem, trace: ForwardTrace) -> BackwardTrace:
    """Every gradient of L = Σ_t L_t, in one walk from step T back to step 1; for rnn

        ∂L/∂h_t     = ∂L_t/∂h_t + ∂L/∂a_{t+1} · W_hh        ∂L/∂h_T = ∂L_T/∂h_T
        ∂L/∂a_t     = σ'(a_t) ∘ ∂L/∂h_t
        ∂L/∂W_hh    = Σ_t ∂L/∂a_t ⊗ h_{t−1}                 likewise W_xh with x_t, b_h with 1
        ∂L/∂x_t     = ∂L/∂a_t · W_xh

    and for any cell ∂L/∂s_t = ∂L_t/∂s_t + ∂L/∂s_{t+1} · ∂s_{t+1}/∂s_t (``net.linearised``), where
    the direct term is that of the top layer's h alone: ∂L/∂c_T is 0, and so is ∂L/∂h_T of the
    layers below. Without a loss every gradient is 0. Rounding: each row is right to a few units of
    rounding times the cancellation among its paths. Source: Werbos, *Backpropagation through time*,
    Proc. IEEE 78 (1990).
    """
    with quietly():
        return bptt_within(problem, trace)


def bptt_within(
    problem: Problem, trace: ForwardTrace, enters: Mapping[str, Array] | None = None
) -> BackwardTrace:
    """The same, to be run within ``quietly()``.

    ``enters`` is what each part of s_T, of all layers, gets from steps beyond these.
    """
    dL_dy, dL_da_y = at_the_output(problem, trace)
    direct = dL_da_y.dot(problem.weights["W_hy"]) if problem.has_readout else dL_da_y
    return through_layers(problem, trace, dL_dy, dL_da_y, direct, enters)


def at_the_output(problem: Problem, trace: ForwardTrace) -> tuple[Array, Array]:
    """∂L/∂y_t and ∂L/∂(W_hy h_t + b_y), both (T, O)."""
    loss, targets, weights = problem.loss, problem.targets, problem.loss_weights
    if loss is None or targets is None or weights is None:
        return np.zeros_like(trace.y), np.zeros_like(trace.y)
    dL_dy = weighted(weights, slope(loss, problem.output, targets, trace.y, trace.a_y))
    if loss.fused is not None:
        return dL_dy, weighted(weights, loss.fused(targets, trace.a_y))
    pulled = problem.output.pull_back(trace.a_y, trace.y, dL_dy)
    return dL_dy, dL_dy if pulled is dL_dy else weighted(weights != 0, pulled)
