"""The perturbed forward pass: something in mid-sequence is moved, and every later loss answers.

A batch of B perturbations, each entering where it likes:

    h_k + ε·state            at step k = ``start``
    a_{k+1} + ε·pre          once, in the step after ``start``
    θ + ε·weights[θ]         at every step

``moved`` runs it with a real ε, from the restarted state on, exactly as the net is defined.
``pushed`` is its limit ε = ih, h → 0, by complex step: since h² is nothing beside rounding, each
step's map is taken in complex arithmetic at the states of the trace, and the imaginary part is
divided by h and brought back near 1 by a power of two, whose exponent is kept. So it survives any
number of steps, where a fixed h = 1e-30 would underflow after 278 decades.

Source: Squire and Trapp, *Using complex variables to estimate derivatives of real functions*, SIAM
Review 40 (1998).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from rnngrad.analyses.checking import plain
from rnngrad.analyses.quantities import Passes
from rnngrad.core.arrays import Array, Integers, Numbers
from rnngrad.core.problem import Problem
from rnngrad.core.scaled import Scaled, scaled
from rnngrad.core.traces import ForwardTrace

STEP = 2.0**-100
"""h = 7.9e-31; a power of two, so that dividing by it is exact."""


TAIL = -890
"""log2 of the σ' below which its complex step is no normal float (1e-268)."""


class Seeds(NamedTuple):
    """B perturbations: ``start`` (B,), ascending; ``state`` and ``pre`` (B, H); ``weights`` (B, …)
    by name."""

    start: Integers
    state: Array
    pre: Array
    weights: Mapping[str, Array]


class Setting(NamedTuple):
    """What every experiment on one problem shares: the trace, ``gap`` = target − y, (T, O), and
    σ'(a_t) by complex step, (T, H), beyond the range of floats."""

    problem: Problem
    trace: ForwardTrace
    gap: Array
    slopes: Scaled


def faint(setting: Setting) -> Array:
    """Which L_t have a read-out so saturated that part of ∂L_t/∂h_t is beyond the range of floats,
    (T,): a complex step sees nothing of it, and what it disagrees with is undecided."""
    direct = Passes(setting.problem).direct
    return np.asarray(((direct.mantissa != 0) & (direct.exponent < TAIL)).any(axis=1))


def some(seeds: Seeds, rows: slice) -> Seeds:
    """Some of the perturbations."""
    weights = {name: part[rows] for name, part in seeds.weights.items()}
    return Seeds(seeds.start[rows], seeds.state[rows], seeds.pre[rows], weights)


def moved(setting: Setting, seeds: Seeds, size: float) -> Array:
    """L_t, (B, T), with ε = ``size``; 0 for the steps before the perturbation."""
    problem, trace = setting.problem, setting.trace
    W, f = problem.weights, problem.activation.f
    losses = np.zeros((len(seeds.start), problem.steps))
    h = trace.h[seeds.start] + size * seeds.state
    outside = problem.x @ W["W_xh"].T + W["b_h"]
    for t in range(1, problem.steps + 1):
        n = started(seeds, t)
        a = outside[t - 1] + h[:n] @ W["W_hh"].T
        a += size * entering(setting, seeds, t, n, h[:n])
        h[:n] = f(a)
        n = started(seeds, t + 1)
        a_y = h[:n] @ W["W_hy"].T + W["b_y"] if problem.has_readout else h[:n]
        a_y = a_y + size * entering_output(setting, seeds, n, h[:n])
        losses[:n, t - 1] = weighted_losses(setting, t, a_y).real
    return losses


def pushed(setting: Setting, seeds: Seeds) -> Scaled:
    """∂L_t/∂ε at ε = 0 by complex step, (B, T)."""
    problem, trace = setting.problem, setting.trace
    W, count = problem.weights, len(seeds.start)
    result = scaled(np.zeros((count, problem.steps)))
    v = _Tangent(seeds.state.copy(), np.zeros(count, dtype=np.int64))
    for t in range(1, problem.steps + 1):
        n = started(seeds, t)
        new = entering(setting, seeds, t, n, trace.h[t - 1])
        w = _sum(v.values[:n] @ W["W_hh"].T, v.exponent[:n], new)
        v.values[:n], v.exponent[:n] = _through_activation(setting, t, w)
        n = started(seeds, t + 1)
        if not _counts(problem, t):
            continue
        to_output = v.values[:n] @ W["W_hy"].T if problem.has_readout else v.values[:n]
        q = _sum(to_output, v.exponent[:n], entering_output(setting, seeds, n, trace.h[t]))
        losses = weighted_losses(setting, t, trace.a_y[t - 1] + 1j * STEP * q.values)
        answer = raised(scaled(losses.imag / STEP), q.exponent)
        result.mantissa[:n, t - 1], result.exponent[:n, t - 1] = answer.mantissa, answer.exponent
    return result


def raised(entries: Scaled, by: Integers) -> Scaled:
    """entries · 2^by; an exact zero keeps its exponent."""
    exponent = np.where(entries.mantissa == 0, entries.exponent, entries.exponent + by)
    return Scaled(entries.mantissa, exponent)


class _Tangent(NamedTuple):
    """values · 2^exponent, (n, H) and (n,)."""

    values: Array
    exponent: Integers


def _normal(values: Array, exponent: Integers) -> _Tangent:
    """Each row with its largest entry between ½ and 1."""
    _, top = np.frexp(np.max(np.abs(values), axis=1, initial=0.0))
    top = top.astype(np.int64)
    return _Tangent(np.ldexp(values, -top[:, np.newaxis]), exponent + top)


def _sum(values: Array, exponent: Integers, added: Array) -> _Tangent:
    """values · 2^exponent + added; where they lie 300 decades apart, the larger one."""
    if not added.any():
        return _normal(values, exponent)
    first, second = _normal(values, exponent), _normal(added, np.zeros_like(exponent))
    top = np.maximum(_height(first), _height(second))
    return _normal(_lowered(first, top) + _lowered(second, top), top)


def _height(tangent: _Tangent) -> Integers:
    """The exponent, far below every other for a row of zeros."""
    empty = ~tangent.values.any(axis=1)
    return np.where(empty, -(2**40), tangent.exponent)


def _lowered(tangent: _Tangent, to: Integers) -> Array:
    by = np.clip(tangent.exponent - to, -2000, 0).astype(np.intc)
    lowered: Array = np.ldexp(tangent.values, by[:, np.newaxis])
    return lowered


def _through_activation(setting: Setting, t: int, w: _Tangent) -> _Tangent:
    """f(a_t + ihw), or w ∘ σ' where σ' is too small for a complex step."""
    slope = setting.slopes[t - 1]
    if slope.exponent.min() > TAIL:
        step = setting.problem.activation.f(setting.trace.a[t - 1] + 1j * STEP * w.values)
        return _normal(np.imag(step) / STEP, w.exponent)
    values, exponent = (scaled(w.values) * slope).aligned(axis=1)
    return _normal(values, exponent + w.exponent)


def started(seeds: Seeds, t: int) -> int:
    """How many of the perturbations have entered before step t, at h_{t−1} or earlier."""
    return int(np.searchsorted(seeds.start, t - 1, side="right"))


def _counts(problem: Problem, t: int) -> bool:
    return problem.loss_weights is not None and bool(problem.loss_weights[t - 1] != 0)


def entering(setting: Setting, seeds: Seeds, t: int, n: int, h: Array) -> Array:
    """What a perturbation adds to a_t, per unit of ε, (n, H); ``h`` is h_{t−1}, (H,) or (n, H)."""
    added = np.where((seeds.start[:n] == t - 1)[:, np.newaxis], seeds.pre[:n], 0.0)
    weights = seeds.weights
    if "W_hh" in weights:
        added += _applied(weights["W_hh"][:n], h)
    if "W_xh" in weights:
        added += weights["W_xh"][:n] @ setting.problem.x[t - 1]
    return added + weights["b_h"][:n] if "b_h" in weights else added


def entering_output(setting: Setting, seeds: Seeds, n: int, h: Array) -> Array:
    """What a perturbation adds to W_hy h_t + b_y, per unit of ε, (n, O)."""
    added = np.zeros((n, setting.problem.outputs))
    if "W_hy" in seeds.weights:
        added += _applied(seeds.weights["W_hy"][:n], h)
    return added + seeds.weights["b_y"][:n] if "b_y" in seeds.weights else added


def _applied(matrices: Array, h: Array) -> Array:
    """(n, H, K) times (K,), or row by row times (n, K)."""
    if h.ndim == 1:
        return np.asarray(matrices @ h)
    return np.asarray(np.einsum("nij,nj->ni", matrices, h))


def weighted_losses(setting: Setting, t: int, a_y: Numbers) -> Numbers:
    """L_t of every row of ``a_y`` (n, O); zeros where step t does not count."""
    problem = setting.problem
    if problem.targets is None or problem.loss_weights is None or not _counts(problem, t):
        return np.zeros(len(a_y))
    target, gap = problem.targets[t - 1], setting.gap[t - 1]
    return np.asarray(problem.loss_weights[t - 1] * plain.losses(problem, a_y, target, gap))
