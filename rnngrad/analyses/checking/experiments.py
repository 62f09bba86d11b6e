"""The perturbed forward pass: something in mid-sequence is moved, and every later loss answers.

A batch of B perturbations, each entering where it likes:

    s_k + ε·state                  at step k = ``start``
    u_x + ε·at_x,  u_h + ε·at_h    once, in the step after ``start``: a_{k+1}, gate by gate
    θ + ε·weights[θ]               at every step

``moved`` runs it with a real ε, from the restarted state on, through the cell's own equations and
products of its own; ``pushing.pushed`` is its limit ε → 0 by complex step.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from rnngrad.analyses.checking import plain
from rnngrad.analyses.checking.coefficients import Coefficients, Inputs, coefficients, inputs_of
from rnngrad.analyses.checking.slopes import FAINT
from rnngrad.analyses.quantities import Passes
from rnngrad.arithmetic.arrays import Array, Integers, Numbers
from rnngrad.core.given import Mask
from rnngrad.core.problem import Layer, Problem
from rnngrad.arithmetic.scaled import Scaled
from rnngrad.core.telling import heard
from rnngrad.core.traces import ForwardTrace


class Seeds(NamedTuple):
    """B perturbations: ``start`` (B,), ascending; ``state`` (B, S); ``at_x`` and ``at_h``
    (B, G·H), layer by layer as in the trace's a; ``weights`` (B, …) by name."""

    start: Integers
    state: Array
    at_x: Array
    at_h: Array
    weights: Mapping[str, Array]


class LayerSetting(NamedTuple):
    """One layer: what its steps take, and their derivatives."""

    layer: Layer
    inputs: Inputs
    coefficients: Coefficients


class Setting(NamedTuple):
    """What every experiment on one problem shares: the trace, ``gap`` = target − y, (T, O), the
    ``states`` s_t (T+1, S) and each layer's derivatives by complex step."""

    problem: Problem
    trace: ForwardTrace
    gap: Array
    states: Array
    layers: tuple[LayerSetting, ...]

    @property
    def slopes(self) -> Scaled:
        """σ'(a_t) of the lowest layer of rnn, (T, H), beyond the range of floats."""
        return self.layers[0].coefficients.values[0, 0]

    @property
    def top(self) -> slice:
        """Where the h of the highest layer stands in s."""
        return self.layers[-1].layer.state[0]

    @property
    def blind(self) -> Mask:
        """The steps with a gate so saturated that no complex step sees what it does, (T,)."""
        each = [one.coefficients.blind for one in self.layers]
        return np.asarray(np.logical_or.reduce(each))


def setting(problem: Problem) -> Setting:
    """The forward pass, and its derivatives step by step. To be run within ``quietly()``."""
    trace = Passes(problem).forward
    gap = trace.y if problem.targets is None else plain.gaps(problem, trace)
    layers, columns = [], []
    for layer, share in zip(problem.layers, trace.layers, strict=True):
        inputs = inputs_of(problem, layer, share)
        layers.append(LayerSetting(layer, inputs, coefficients(problem, share, inputs)))
        columns += [share.h] if share.c is None else [share.h, share.c]
    return Setting(problem, trace, gap, np.concatenate(columns, axis=1), tuple(layers))


def faint(setting: Setting) -> Array:
    """Which L_t have a read-out so saturated that part of ∂L_t/∂h_t is beyond the range of floats,
    (T,): a complex step sees nothing of it, and what it disagrees with is undecided."""
    direct, tail = Passes(setting.problem).direct, np.log2(FAINT)
    return np.asarray(((direct.mantissa != 0) & (direct.exponent < tail)).any(axis=1))


def some(seeds: Seeds, rows: slice) -> Seeds:
    """Some of the perturbations."""
    weights = {name: part[rows] for name, part in seeds.weights.items()}
    return Seeds(seeds.start[rows], seeds.state[rows], seeds.at_x[rows], seeds.at_h[rows], weights)


def moved(setting: Setting, seeds: Seeds, size: float) -> Array:
    """L_t, (B, T), with ε = ``size``; 0 for the steps before the perturbation."""
    problem = setting.problem
    losses = np.zeros((len(seeds.start), problem.steps))
    states = setting.states[seeds.start] + size * seeds.state
    for t in heard(range(1, problem.steps + 1), problem.steps, "perturbed passes"):
        n = started(seeds, t)
        if n:
            states[:n] = _moved_step(setting, seeds, t, states[:n], size)
        n = started(seeds, t + 1)
        h = states[:n, setting.top]
        a_y = h @ problem.weights["W_hy"].T + problem.weights["b_y"] if problem.has_readout else h
        a_y = a_y + size * entering_output(setting, seeds, n, h)
        losses[:n, t - 1] = weighted_losses(setting, t, a_y).real
    return losses


def _moved_step(setting: Setting, seeds: Seeds, t: int, states: Array, size: float) -> Array:
    """s_t of every perturbation, (n, S), from its s_{t−1}."""
    problem, after, cell = setting.problem, np.empty_like(states), setting.problem.cell
    x: Array = problem.x[t - 1]
    for one in setting.layers:
        W, before = one.layer.weights, tuple(states[:, part] for part in one.layer.state)
        u_x = x @ W["W_xh"].T + cell.bias(W, "x")
        u_h = before[0] @ W["W_hh"].T + cell.bias(W, "h")
        at_x, at_h = entering(setting, seeds, t, one.layer, len(states), x, before[0])
        u_x = u_x if at_x is None else u_x + size * at_x
        u_h = u_h if at_h is None else u_h + size * at_h
        advanced = cell.advance(u_x, u_h, before, problem.activation)
        for part, values in zip(one.layer.state, advanced.state, strict=True):
            after[:, part] = values
        x = after[:, one.layer.state[0]]
    return after


def started(seeds: Seeds, t: int) -> int:
    """How many of the perturbations have entered before step t, at s_{t−1} or earlier."""
    return int(np.searchsorted(seeds.start, t - 1, side="right"))


def entering(
    setting: Setting, seeds: Seeds, t: int, layer: Layer, n: int, x: Array, h: Array
) -> tuple[Array | None, Array | None]:
    """What a perturbation adds to u_x and u_h of a layer in step t, per unit of ε, (n, G·H); None
    for nothing. ``x`` and ``h`` are what W_xh and W_hh meet, (·,) or (n, ·)."""
    weights, cell = seeds.weights, setting.problem.cell
    if weights:
        side = {"x": ("W_xh", x), "h": ("W_hh", h)}
        found: list[Array | None] = []
        for key, (name, beside) in side.items():
            added = weights.get(name + layer.suffix)
            biases = [weights.get(b + layer.suffix) for b, s in cell.enters.items() if s == key]
            terms = [] if added is None else [_applied(added[:n], beside)]
            terms += [bias[:n] for bias in biases if bias is not None]
            found.append(np.sum(terms, axis=0) if terms else None)
        return found[0], found[1]
    first = int(np.searchsorted(seeds.start[:n], t - 1))
    return _once(seeds.at_x, layer, first, n), _once(seeds.at_h, layer, first, n)


def _once(entries: Array, layer: Layer, first: int, n: int) -> Array | None:
    """Those of the rows from ``first`` to n, which enter now; 0 for the others."""
    if not entries[first:n, layer.gates].any():
        return None
    added = np.zeros_like(entries[:n, layer.gates])
    added[first:] = entries[first:n, layer.gates]
    return added


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


def counts(problem: Problem, t: int) -> bool:
    """Whether step t has a loss that counts."""
    return problem.loss_weights is not None and bool(problem.loss_weights[t - 1] != 0)


def weighted_losses(setting: Setting, t: int, a_y: Numbers) -> Numbers:
    """L_t of every row of ``a_y`` (n, O); zeros where step t does not count."""
    problem = setting.problem
    if problem.targets is None or problem.loss_weights is None or not counts(problem, t):
        return np.zeros(len(a_y))
    target, gap = problem.targets[t - 1], setting.gap[t - 1]
    return np.asarray(problem.loss_weights[t - 1] * plain.losses(problem, a_y, target, gap))
