"""Back-propagation through time."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from rnngrad.core.arrays import Array, column, quietly
from rnngrad.core.layers import readout_gradients, through_layers
from rnngrad.core.losses import slope
from rnngrad.core.problem import Problem
from rnngrad.core.rnn_passes import run_backward, slopes_of
from rnngrad.core.traces import BackwardTrace, ForwardTrace


def bptt(problem: Problem, trace: ForwardTrace) -> BackwardTrace:
    """Every gradient of L = Σ_t L_t, in one walk from step T back to step 1; for rnn

        ∂L/∂h_t     = ∂L_t/∂h_t + ∂L/∂a_{t+1} · W_hh        ∂L/∂h_T = ∂L_T/∂h_T
        ∂L/∂a_t     = σ'(a_t) ∘ ∂L/∂h_t
        ∂L/∂W_hh    = Σ_t ∂L/∂a_t ⊗ h_{t−1}                 likewise W_xh with x_t, b_h with 1
        ∂L/∂x_t     = ∂L/∂a_t · W_xh

    and for any cell ∂L/∂s_t = ∂L_t/∂s_t + ∂L/∂s_{t+1} · ∂s_{t+1}/∂s_t (``core.linear``), where the
    direct term is that of the top layer's h alone: ∂L/∂c_T is 0, and so is ∂L/∂h_T of the layers
    below. Without a loss every gradient is 0. Rounding: each row is right to a few units of
    rounding times the cancellation among its paths. Source: Werbos, *Backpropagation through time*,
    Proc. IEEE 78 (1990).
    """
    with quietly():
        dL_dy, dL_da_y = _at_the_output(problem, trace)
        if not problem.single_rnn:
            direct = dL_da_y @ problem.weights["W_hy"] if problem.has_readout else dL_da_y
            return through_layers(problem, trace, dL_dy, dL_da_y, direct)
        dLt_dht, dL_dh, dL_da = run_backward(
            problem.weights["W_hh"],
            slopes_of(problem.activation, trace.a),
            dL_da_y,
            problem.weights.get("W_hy"),
            problem.last_step_with_loss,
        )
        dL_dx = dL_da @ problem.weights["W_xh"]
        weights = _parameters(problem, trace, dL_da, dL_da_y)
    return BackwardTrace(dL_dy, dL_da_y, dLt_dht, dL_dh, dL_da, dL_dx, weights)


def _at_the_output(problem: Problem, trace: ForwardTrace) -> tuple[Array, Array]:
    """∂L/∂y_t and ∂L/∂(W_hy h_t + b_y), both (T, O)."""
    loss, targets, weights = problem.loss, problem.targets, problem.loss_weights
    if loss is None or targets is None or weights is None:
        return np.zeros_like(trace.y), np.zeros_like(trace.y)
    dL_dy = _weighted(weights, slope(loss, problem.output, targets, trace.y, trace.a_y))
    if loss.fused is not None:
        return dL_dy, _weighted(weights, loss.fused(targets, trace.a_y))
    return dL_dy, _counting(weights, problem.output.pull_back(trace.a_y, trace.y, dL_dy))


def _weighted(weights: Array, rows: Array) -> Array:
    """Each row times its weight; a weight of 0 wins over an infinite row."""
    return _counting(weights, column(weights) * rows)


def _counting(weights: Array, rows: Array) -> Array:
    """The rows whose weight is not 0, zeros for the others."""
    if np.count_nonzero(weights) == len(weights):
        return rows
    return np.where(column(weights), rows, 0.0)


def _parameters(
    problem: Problem, trace: ForwardTrace, dL_da: Array, dL_da_y: Array
) -> Mapping[str, Array]:
    """The gradient of each parameter: one product over all steps that reach the loss."""
    last = problem.last_step_with_loss
    dL_da, h = dL_da[:last], trace.h
    gradients = {
        "W_xh": dL_da.T @ problem.x[:last],
        "W_hh": dL_da.T @ h[:last],
        "b_h": np.add.reduce(dL_da),
    }
    return {**gradients, **readout_gradients(problem, h[1:], dL_da_y)}
