"""The tangent pass: how a perturbation runs forward through the linearised net.

    u̇_x = W_xh ẋ + (what enters)     u̇_h = W_hh ḣ_{t−1} + (what enters)
    ṡ_t = Σ ∂s_t/∂(input) ∘ its tangent, unit by unit      L̇_t = ∂L_t/∂a_y · ȧ_y

For the adjoint test ⟨v, Jᵀu⟩ = ⟨Jv, u⟩: Jv is this, Jᵀu is BPTT, and neither shares a line with
the other. The diagonals (for rnn σ') and ∂L_t/∂a_y are by complex step of the net's own functions,
so that an entry of a table that is wrong in both directions is seen as well.
"""

from __future__ import annotations

import numpy as np

from rnngrad.analyses.checking import experiments
from rnngrad.analyses.checking.experiments import LayerSetting, Seeds, Setting
from rnngrad.analyses.checking.pushing import raised
from rnngrad.analyses.checking.slopes import STEP
from rnngrad.arithmetic.arrays import Array
from rnngrad.arithmetic.scaled import Scaled, scaled
from rnngrad.core.telling import heard

State = list[list[Scaled]]
"""ṡ layer by layer, part by part, (n, H) each."""


def tangent(setting: Setting, seeds: Seeds) -> Scaled:
    """∂L_t/∂ε at ε = 0, (B, T)."""
    problem, W = setting.problem, setting.problem.weights
    result = scaled(np.zeros((len(seeds.start), problem.steps)))
    covectors = output_slopes(setting)
    state = in_parts(setting, scaled(seeds.state))
    for t in heard(range(1, problem.steps + 1), problem.steps, "tangents"):
        n = experiments.started(seeds, t)
        if n:
            before = [[part[:n] for part in parts] for parts in state]
            _replace(state, step(setting, t, before, seeds), n)
        n = experiments.started(seeds, t + 1)
        y_dot = state[-1][0][:n]
        if problem.has_readout:
            y_dot = multiplied(y_dot, W["W_hy"].T)
        h = setting.states[t, setting.top]
        y_dot = y_dot + scaled(experiments.entering_output(setting, seeds, n, h))
        values, exponent = y_dot.aligned(axis=1)
        answer = raised(scaled(values @ covectors[t - 1]), exponent)
        result.mantissa[:n, t - 1], result.exponent[:n, t - 1] = answer.mantissa, answer.exponent
    return result


def in_parts(setting: Setting, rows: Scaled) -> State:
    """ṡ, (n, S), by layers and parts."""
    return [[rows[:, part] for part in one.layer.state] for one in setting.layers]


def step(setting: Setting, t: int, before: State, seeds: Seeds | None = None) -> State:
    """ṡ_{t−1} -> ṡ_t, with what enters there."""
    x, below = setting.problem.x[t - 1], None
    after: State = []
    for one, parts in zip(setting.layers, before, strict=True):
        at_x = at_h = None
        if seeds is not None:
            h, n = setting.states[t - 1, one.layer.state[0]], len(parts[0].mantissa)
            at_x, at_h = experiments.entering(setting, seeds, t, one.layer, n, x, h)
        W = one.layer.weights
        u_x = _sum(None if below is None else multiplied(below, W["W_xh"].T), at_x)
        u_h = _sum(multiplied(parts[0], W["W_hh"].T), at_h)
        after.append(_through(setting, one, t, u_x, u_h, parts))
        x, below = setting.states[t, one.layer.state[0]], after[-1][0]
    return after


def _through(
    setting: Setting, one: LayerSetting, t: int, u_x: Scaled | None, u_h: Scaled | None,
    before: list[Scaled],
) -> list[Scaled]:  # fmt: skip
    gates = len(setting.problem.cell.gates)
    inputs = [*by_gate(u_x, gates), *by_gate(u_h, gates), *before]
    return one.coefficients.through(t, inputs)


def by_gate(entries: Scaled | None, gates: int) -> list[Scaled | None]:
    """(n, G·H) -> G times (n, H); None for nothing."""
    if entries is None:
        return [None] * gates
    size = entries.mantissa.shape[1] // gates
    return [entries[:, g * size : (g + 1) * size] for g in range(gates)]


def multiplied(rows: Scaled, matrix: Array) -> Scaled:
    """rows · matrix, (n, ·), each row at its own exponent."""
    values, exponent = rows.aligned(axis=1)
    return raised(scaled(values @ matrix), exponent[:, np.newaxis])


def _sum(first: Scaled | None, added: Array | None) -> Scaled | None:
    if added is None:
        return first
    return scaled(added) if first is None else first + scaled(added)


def _replace(state: State, now: State, n: int) -> None:
    for parts, new in zip(state, now, strict=True):
        for part, values in zip(parts, new, strict=True):
            part.mantissa[:n], part.exponent[:n] = values.mantissa, values.exponent


def output_slopes(setting: Setting) -> Array:
    """∂L_t/∂(W_hy h_t + b_y), (T, O), each entry by a complex step."""
    problem, trace = setting.problem, setting.trace
    units = 1j * STEP * np.eye(problem.outputs)
    rows = [
        experiments.weighted_losses(setting, t, trace.a_y[t - 1] + units).imag / STEP
        for t in range(1, problem.steps + 1)
    ]
    return np.array(rows).reshape(problem.steps, problem.outputs)
