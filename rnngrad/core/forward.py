"""The forward pass."""

from __future__ import annotations

import numpy as np

from rnngrad.core.arrays import Numbers, quietly
from rnngrad.core.problem import Problem
from rnngrad.core.rnn_passes import run_forward
from rnngrad.core.traces import ForwardTrace


def forward(problem: Problem) -> ForwardTrace:
    """h_t = σ(W_xh x_t + W_hh h_{t−1} + b_h),  y_t = g(W_hy h_t + b_y),  L_t, for t = 1 … T.

    Overflow is data: infs and nans stay in the arrays and nothing is raised.
    Source: Elman (1990); Goodfellow, Bengio, Courville, *Deep Learning* (2016), section 10.2.
    """
    with quietly():
        a, h = _states(problem)
        a_y = _readout(problem, h[1:])
        y = problem.output.g(a_y)
        return ForwardTrace(a, h, a_y, y, _losses(problem, a_y, y))


def _states(problem: Problem) -> tuple[Numbers, Numbers]:
    """a (T, H) and h (T+1, H); what does not depend on h_{t−1} is one product before the loop."""
    W_xh, W_hh, b_h = (problem.weights[name] for name in ("W_xh", "W_hh", "b_h"))
    everything = (W_xh, W_hh, b_h, problem.x, problem.h_0)
    if all(part.dtype == np.float64 for part in everything):
        return run_forward(*everything, problem.activation)
    f = problem.activation.f
    a = problem.x @ problem.weights["W_xh"].T + problem.weights["b_h"]
    h = np.empty((problem.steps + 1, problem.hidden), dtype=a.dtype)
    h[0] = problem.h_0
    for t in range(1, problem.steps + 1):
        a[t - 1] += W_hh.dot(h[t - 1])
        h[t] = f(a[t - 1])
    return a, h


def _readout(problem: Problem, h: Numbers) -> Numbers:
    """W_hy h_t + b_y for every step, (T, O); h_t itself where there is no W_hy."""
    if not problem.has_readout:
        return h
    a_y: Numbers = h @ problem.weights["W_hy"].T + problem.weights["b_y"]
    return a_y


def _losses(problem: Problem, a_y: Numbers, y: Numbers) -> Numbers:
    """L_t = weight_t · ℓ(target_t, y_t), (T,); exactly 0 where a step does not count."""
    if problem.loss is None or problem.targets is None or problem.loss_weights is None:
        return np.zeros(problem.steps)
    losses = problem.loss.value(problem.targets, y, a_y)
    return np.where(problem.loss_weights == 0, 0.0, problem.loss_weights * losses)
