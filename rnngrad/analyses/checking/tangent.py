"""The tangent pass: how a perturbation runs forward through the linearised net.

    ȧ_t = W_hh ḣ_{t−1} + (what enters)      ḣ_t = σ'(a_t) ∘ ȧ_t      L̇_t = ∂L_t/∂a_y · ȧ_y

For the adjoint test ⟨v, Jᵀu⟩ = ⟨Jv, u⟩: Jv is this, Jᵀu is BPTT, and neither shares a line with
the other. σ' and ∂L_t/∂a_y are by complex step of the net's own functions, so that an entry of a
table that is wrong in both directions is seen as well.
"""

from __future__ import annotations

import numpy as np

from rnngrad.analyses.checking import experiments
from rnngrad.analyses.checking.experiments import STEP, Seeds, Setting, raised
from rnngrad.core.arrays import Array
from rnngrad.core.scaled import Scaled, scaled


def tangent(setting: Setting, seeds: Seeds) -> Scaled:
    """∂L_t/∂ε at ε = 0, (B, T)."""
    problem, trace = setting.problem, setting.trace
    W, count = problem.weights, len(seeds.start)
    result = scaled(np.zeros((count, problem.steps)))
    covectors = output_slopes(setting)
    h_dot = scaled(seeds.state)
    for t in range(1, problem.steps + 1):
        n = experiments.started(seeds, t)
        values, exponent = h_dot[:n].aligned(axis=1)
        a_dot = raised(scaled(values @ W["W_hh"].T), exponent[:, np.newaxis])
        a_dot = a_dot + scaled(experiments.entering(setting, seeds, t, n, trace.h[t - 1]))
        now = a_dot * setting.slopes[t - 1]
        h_dot.mantissa[:n], h_dot.exponent[:n] = now.mantissa, now.exponent
        n = experiments.started(seeds, t + 1)
        values, exponent = h_dot[:n].aligned(axis=1)
        to_output = scaled(values @ W["W_hy"].T if problem.has_readout else values)
        y_dot = raised(to_output, exponent[:, np.newaxis])
        y_dot = y_dot + scaled(experiments.entering_output(setting, seeds, n, trace.h[t]))
        values, exponent = y_dot.aligned(axis=1)
        answer = raised(scaled(values @ covectors[t - 1]), exponent)
        result.mantissa[:n, t - 1], result.exponent[:n, t - 1] = answer.mantissa, answer.exponent
    return result


def output_slopes(setting: Setting) -> Array:
    """∂L_t/∂(W_hy h_t + b_y), (T, O), each entry by a complex step."""
    problem, trace = setting.problem, setting.trace
    units = 1j * STEP * np.eye(problem.outputs)
    rows = [
        experiments.weighted_losses(setting, t, trace.a_y[t - 1] + units).imag / STEP
        for t in range(1, problem.steps + 1)
    ]
    return np.array(rows).reshape(problem.steps, problem.outputs)
