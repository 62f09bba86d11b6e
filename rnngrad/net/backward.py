"""Back-propagation through time."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from rnngrad.arithmetic.arrays import Array, quietly, weighted
from rnngrad.net.backward_layers import readout_gradients, through_layers
from rnngrad.net.losses import slope
from rnngrad.net.problem import Problem
from rnngrad.net.traces import BackwardTrace, ForwardTrace
from rnngrad.net.walks.rnn import run_backward, slopes_of


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
    weights = problem.weights
    last = problem.last_step_with_loss if enters is None else problem.steps
    dL_dy, dL_da_y = at_the_output(problem, trace)
    if not problem.single_rnn or trace.layers[0].walked:
        direct = dL_da_y @ weights["W_hy"] if problem.has_readout else dL_da_y
        return through_layers(problem, trace, dL_dy, dL_da_y, direct, enters)
    share, key = trace.layers[0], problem.cell.stored[0]
    slopes = slopes_of(problem.activation, share.values[key])
    dLt_dht, dL_dh, dL_da = run_backward(
        weights["W_hh"], slopes, dL_da_y, weights.get("W_hy"), last,
        None if enters is None else enters[problem.cell.parts[0]],
    )  # fmt: skip
    gradients = _parameters(problem, share.h, dL_da[:last], dL_da_y[:last])
    dL_dx = dL_da.dot(weights["W_xh"])
    dL_ds, at = {problem.cell.parts[0]: dL_dh}, {key: dL_da}
    return BackwardTrace(dL_dy, dL_da_y, dLt_dht, dL_ds, (at,), dL_dx, gradients)


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


def _parameters(problem: Problem, h: Array, dL_da: Array, dL_da_y: Array) -> Mapping[str, Array]:
    """The gradient of each parameter: one product over all steps that reach the loss, the rows that
    are given."""
    last, transposed = len(dL_da), dL_da.T
    return {
        "W_xh": transposed.dot(problem.x[:last]),
        "W_hh": transposed.dot(h[:last]),
        "b_h": np.add.reduce(dL_da),
        **readout_gradients(problem, h[1:], dL_da_y),
    }
