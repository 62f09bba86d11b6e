"""The perturbed forward pass in the limit ε → 0, by complex step.

With ε = ih, h → 0, h² is nothing beside rounding: each step's map is taken in complex arithmetic
at the states of the trace, and the imaginary part is divided by h and brought back near 1 by a
power of two, whose exponent is kept, for h and c of each layer apart. So it survives any number of
steps, where a fixed h = 1e-30 would underflow after 278 decades.

Source: Squire and Trapp, *Using complex variables to estimate derivatives of real functions*, SIAM
Review 40 (1998).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rnngrad.analyses.checking import experiments
from rnngrad.analyses.checking.experiments import LayerSetting, Seeds, Setting
from rnngrad.analyses.checking.slopes import STEP
from rnngrad.arithmetic.arrays import Array, Integers
from rnngrad.arithmetic.scaled import Scaled, scaled
from rnngrad.core.telling import heard

NEVER = -(2**40)
"""The exponent of a row of zeros, below every other."""


class Tangent(NamedTuple):
    """values · 2^exponent, (n, ·) and (n,)."""

    values: Array
    exponent: Integers


Parts = list[Tangent]
"""The tangents of h, or of h and c."""


def pushed(setting: Setting, seeds: Seeds) -> Scaled:
    """∂L_t/∂ε at ε = 0 by complex step, (B, T)."""
    problem, W = setting.problem, setting.problem.weights
    result = scaled(np.zeros((len(seeds.start), problem.steps)))
    state = [[_new(seeds.state[:, p]) for p in one.layer.state] for one in setting.layers]
    for t in heard(range(1, problem.steps + 1), problem.steps, "complex step"):
        n = experiments.started(seeds, t)
        if n:
            _push(setting, seeds, t, n, state)
        n = experiments.started(seeds, t + 1)
        if not experiments.counts(problem, t):
            continue
        v = _first(state[-1][0], n)
        to_output = v._replace(values=v.values @ W["W_hy"].T) if problem.has_readout else v
        h = setting.states[t, setting.top]
        q = _sum(to_output, experiments.entering_output(setting, seeds, n, h))
        a_y = setting.trace.a_y[t - 1] + 1j * STEP * q.values
        losses = experiments.weighted_losses(setting, t, a_y)
        answer = raised(scaled(losses.imag / STEP), q.exponent)
        result.mantissa[:n, t - 1], result.exponent[:n, t - 1] = answer.mantissa, answer.exponent
    return result


def _push(setting: Setting, seeds: Seeds, t: int, n: int, state: list[Parts]) -> None:
    """ṡ_{t−1} -> ṡ_t of the first n perturbations, in place, layer by layer."""
    x = setting.problem.x[t - 1]
    below: Tangent | None = None
    for one, parts in zip(setting.layers, state, strict=True):
        W, before = one.layer.weights, [_first(part, n) for part in parts]
        h = setting.states[t - 1, one.layer.state[0]]
        at_x, at_h = experiments.entering(setting, seeds, t, one.layer, n, x, h)
        to_h = before[0]._replace(values=before[0].values @ W["W_hh"].T)
        u_h = _sum(to_h, at_h)
        u_x = None if at_x is None else _new(at_x)
        if below is not None:
            u_x = _sum(below._replace(values=below.values @ W["W_xh"].T), at_x)
        for part, now in zip(parts, _through(setting, one, t, u_x, u_h, before), strict=True):
            part.values[:n], part.exponent[:n] = now
        below = _first(parts[0], n)
        x = setting.states[t, one.layer.state[0]]


def _through(
    setting: Setting, one: LayerSetting, t: int, u_x: Tangent | None, u_h: Tangent, before: Parts
) -> Parts:
    """One step of one layer at u_x + ihu̇_x, u_h + ihu̇_h, s_{t−1} + ihṡ_{t−1}."""
    if one.coefficients.faint[t - 1]:
        return _term_by_term(setting, one, t, u_x, u_h, before)
    gates, cell = len(setting.problem.cell.gates), setting.problem.cell
    uses = {q - 2 * gates for _, q in one.coefficients.used}
    kept = [part if p in uses else None for p, part in enumerate(before)]
    (d_x, d_h, *d_s), top = _joint([u_x, u_h, *kept])
    ih, at = 1j * STEP, one.inputs
    after = cell.advance(
        at.u_x[t - 1] + ih * d_x,
        at.u_h[t - 1] + ih * d_h,
        tuple(part[t - 1] + ih * d for part, d in zip(at.before, d_s, strict=True)),
        setting.problem.activation,
    )
    return [_normal(np.imag(part) / STEP, top) for part in after.state]


def _term_by_term(
    setting: Setting, one: LayerSetting, t: int, u_x: Tangent | None, u_h: Tangent, before: Parts
) -> Parts:
    """The same from the diagonals, where one of them is too small for a complex step."""
    gates = len(setting.problem.cell.gates)
    inputs = [*_split(u_x, gates), *_split(u_h, gates), *(_scaled(part) for part in before)]
    found = []
    for part in one.coefficients.through(t, inputs):
        values, exponent = part.aligned(axis=1)
        found.append(_normal(values, exponent))
    return found


def _split(tangent: Tangent | None, gates: int) -> list[Scaled | None]:
    if tangent is None:
        return [None] * gates
    entries = _scaled(tangent)
    blocks = np.split(np.arange(entries.mantissa.shape[1]), gates)
    return [entries[:, block] for block in blocks]


def _scaled(tangent: Tangent) -> Scaled:
    return raised(scaled(tangent.values), tangent.exponent[:, np.newaxis])


def raised(entries: Scaled, by: Integers) -> Scaled:
    """entries · 2^by; an exact zero keeps its exponent."""
    exponent = np.where(entries.mantissa == 0, entries.exponent, entries.exponent + by)
    return Scaled(entries.mantissa, exponent)


def _new(values: Array) -> Tangent:
    return Tangent(values.copy(), np.zeros(len(values), dtype=np.int64))


def _first(tangent: Tangent, n: int) -> Tangent:
    return Tangent(tangent.values[:n], tangent.exponent[:n])


def _normal(values: Array, exponent: Integers) -> Tangent:
    """Each row with its largest entry between ½ and 1."""
    _, top = np.frexp(np.max(np.abs(values), axis=1, initial=0.0))
    top = top.astype(np.int64)
    return Tangent(np.ldexp(values, -top[:, np.newaxis]), exponent + top)


def _sum(first: Tangent, added: Array | None) -> Tangent:
    """Their sum; where they lie 300 decades apart, the larger one."""
    if added is None or not added.any():
        return _normal(*first)
    (one, other), top = _joint([first, _new(added)])
    return _normal(np.asarray(one + other), top)


def _joint(tangents: list[Tangent | None]) -> tuple[list[Array | float], Integers]:
    """All of them, 0.0 for None, brought to one exponent a row: that of the largest."""
    normal = [None if one is None else _normal(*one) for one in tangents]
    heights = [_height(one) for one in normal if one is not None]
    top: Integers = np.max(heights, axis=0)
    return [0.0 if one is None else _lowered(one, top) for one in normal], top


def _height(tangent: Tangent) -> Integers:
    """The exponent, far below every other for a row of zeros."""
    empty = ~tangent.values.any(axis=1)
    return np.where(empty, NEVER, tangent.exponent)


def _lowered(tangent: Tangent, to: Integers) -> Array:
    by = np.clip(tangent.exponent - to, -2000, 0).astype(np.intc)
    lowered: Array = np.ldexp(tangent.values, by[:, np.newaxis])
    return lowered
