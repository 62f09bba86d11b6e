"""The perturbed forward pass: something in mid-sequence is moved, and every later loss answers.

A batch of B perturbations, each entering where it likes:

    s_k + ε·state           at step k = ``start``
    x, a.i, c … + ε·at      once, in the step after ``start``: what the graph of a step keeps
    θ + ε·weights[θ]        at every step

``moved`` runs it with a real ε, from the restarted state on, through the cell's own equations and
products of its own; ``tangent.tangent`` is its limit ε → 0 by complex step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from rnngrad.algebra.equations import X
from rnngrad.analyses.checking.references import equations, loss_values
from rnngrad.analyses.checking.references.equations import Product
from rnngrad.analyses.checking.references.step_derivatives import FAINT, STEP, Linear, linear
from rnngrad.analyses.derivation.quantities import Passes
from rnngrad.arithmetic.arrays import Array, Integers, Numbers
from rnngrad.arithmetic.scaled import Scaled
from rnngrad.net.given_arrays import Mask
from rnngrad.net.problem import Layer, Problem
from rnngrad.net.traces import ForwardTrace
from rnngrad.progress import reported

Place = tuple[int, str]
"""A layer and a key of its graph."""


class Perturbations(NamedTuple):
    """B perturbations: ``start`` (B,), ascending; ``state`` (B, S); ``at`` (B, n) by place;
    ``weights`` (B, …) by name."""

    start: Integers
    state: Array
    at: Mapping[Place, Array]
    weights: Mapping[str, Array]


class LayerSetting(NamedTuple):
    """One layer and its equations along the trajectory."""

    layer: Layer
    linear: Linear


@dataclass(frozen=True, eq=False)
class Setting:
    """What every experiment on one problem shares: the trace, ``gap`` = target − y, (T, O), the
    ``states`` s_t (T+1, S) and each layer's derivatives by complex step."""

    problem: Problem
    trace: ForwardTrace
    gap: Array
    states: Array
    layers: tuple[LayerSetting, ...]

    @property
    def slopes(self) -> Scaled:
        """σ'(a_t) of one layer of rnn, (T, H), beyond the range of floats."""
        ((_, slopes),) = self.layers[0].linear.edges[self.problem.cell.parts[0]]
        assert slopes is not None
        return slopes

    @cached_property
    def output_slopes(self) -> Array:
        """∂L_t/∂(W_hy h_t + b_y), (T, O), each entry by a complex step."""
        problem = self.problem
        units = 1j * STEP * np.eye(problem.outputs)
        rows = [
            weighted_losses(self, t, self.trace.a_y[t - 1] + units).imag / STEP
            for t in range(1, problem.steps + 1)
        ]
        return np.array(rows).reshape(problem.steps, problem.outputs)

    @property
    def top(self) -> slice:
        """Where the h of the highest layer stands in s."""
        return self.layers[-1].layer.state[0]

    @property
    def blind(self) -> Mask:
        """The steps with a gate so saturated that no complex step sees what it does, (T,)."""
        return np.asarray(np.logical_or.reduce([one.linear.blind for one in self.layers]))


def setting(problem: Problem) -> Setting:
    """The forward pass, and its derivatives step by step. To be run within ``quietly()``."""
    trace = Passes(problem).forward
    gap = trace.y if problem.targets is None else loss_values.gaps(problem, trace)
    layers = tuple(
        LayerSetting(layer, linear(problem, layer, share))
        for layer, share in zip(problem.layers, trace.layers, strict=True)
    )
    states = [rows for share in trace.layers for rows in share.states.values()]
    return Setting(problem, trace, gap, np.concatenate(states, axis=1), layers)


def too_saturated(setting: Setting) -> Array:
    """Which L_t have a read-out so saturated that part of ∂L_t/∂h_t is beyond the range of floats,
    (T,): a complex step sees nothing of it, and what it disagrees with is undecided."""
    direct, tail = Passes(setting.problem).direct, np.log2(FAINT)
    return np.asarray(((direct.mantissa != 0) & (direct.exponent < tail)).any(axis=1))


def some(seeds: Perturbations, rows: slice) -> Perturbations:
    """Some of the perturbations."""
    at = {place: part[rows] for place, part in seeds.at.items()}
    weights = {name: part[rows] for name, part in seeds.weights.items()}
    return Perturbations(seeds.start[rows], seeds.state[rows], at, weights)


def moved(setting: Setting, seeds: Perturbations, size: float) -> Array:
    """L_t, (B, T), with ε = ``size``; 0 for the steps before the perturbation."""
    problem = setting.problem
    losses = np.zeros((len(seeds.start), problem.steps))
    states = setting.states[seeds.start] + size * seeds.state
    for t in reported(range(1, problem.steps + 1), problem.steps, "perturbed passes"):
        n = started(seeds, t)
        if n:
            states[:n] = _moved_step(setting, seeds, t, states[:n], size)
        n = started(seeds, t + 1)
        h = states[:n, setting.top]
        a_y = h @ problem.weights["W_hy"].T + problem.weights["b_y"] if problem.has_readout else h
        a_y = a_y + size * entering_output(setting, seeds, n, h)
        losses[:n, t - 1] = weighted_losses(setting, t, a_y).real
    return losses


def _moved_step(
    setting: Setting, seeds: Perturbations, t: int, states: Array, size: float
) -> Array:
    """s_t of every perturbation, (n, S), from its s_{t−1}."""
    n, x = len(states), setting.problem.x[t - 1]
    after = np.empty_like(states)
    for number, one in enumerate(setting.layers):
        more = entering(setting, seeds, t, number, n)
        x = x + size * more[X] if X in more else x
        columns_of = zip(setting.problem.cell.parts, one.layer.state, strict=True)
        parts = {part: states[:, columns] for part, columns in columns_of}
        weights = turned(setting, seeds, number, n)
        found = stepped(setting.problem, one, x, parts, size, more, weights)
        for part, columns in zip(parts, one.layer.state, strict=True):
            after[:, columns] = found[part]
        x = found[setting.problem.cell.parts[0]]
    return after


def stepped(
    problem: Problem, one: LayerSetting, x: Array, parts: Mapping[str, Array], size: float,
    more: Mapping[str, Array], weights: Mapping[str, Array],
) -> dict[str, Any]:  # fmt: skip
    """One step of one layer by its equations, row by row."""
    layer = one.layer
    plain_times = equations.times(layer.own)

    def multiply(product: Product, rows: Array) -> Array:
        values = plain_times(product, rows)
        if product.parameter in weights:
            values = values + size * applied(weights[product.parameter], product, rows)
        return values

    def enter(key: str, value: Array) -> Array:
        if key.startswith("1−") and key[2:] in more:
            return value - size * more[key[2:]]
        return value + size * more[key] if key in more else value

    own = {
        name: values + size * weights[name] if name in weights and np.ndim(values) < 2 else values
        for name, values in layer.own.items()
    }
    given = {X: x} | {f"{part}⁻": rows for part, rows in parts.items()}
    call = equations.plainly(problem.functions)
    return equations.evaluated_lines(one.linear.lines, given, own, call, multiply, enter)


def started(seeds: Perturbations, t: int) -> int:
    """How many of the perturbations have entered before step t, at s_{t−1} or earlier."""
    return int(np.searchsorted(seeds.start, t - 1, side="right"))


def entering(
    setting: Setting, seeds: Perturbations, t: int, layer: int, n: int
) -> dict[str, Array]:
    """What the perturbations add in step t at each key of a layer, per unit of ε, (n, ·)."""
    first = int(np.searchsorted(seeds.start[:n], t - 1))
    found = {}
    for (number, key), entries in seeds.at.items():
        if number == layer and entries[first:n].any():
            found[key] = np.zeros((n, entries.shape[1]))
            found[key][first:] = entries[first:n]
    return found


def turned(setting: Setting, seeds: Perturbations, layer: int, n: int) -> dict[str, Array]:
    """How the parameters of a layer's equations are moved, per unit of ε, (n, …); a number as
    (n, 1)."""
    one, cell = setting.layers[layer].layer, setting.problem.cell
    found: dict[str, Array] = {}
    for name in cell.parameters:
        whole = seeds.weights.get(name + one.suffix)
        if whole is None:
            continue
        parts = cell.blocks.get(name, (name,))
        blocks = np.split(whole[:n], len(parts), axis=1) if len(parts) > 1 else [whole[:n]]
        found |= dict(zip(parts, blocks, strict=True))
    return {name: v[:, np.newaxis] if v.ndim == 1 else v for name, v in found.items()}


def applied(matrices: Array, product: Product, rows: Array) -> Array:
    """± W_n v, (n, ·), a matrix a perturbation, ``rows`` (K,) or (n, K)."""
    if product.transposed:
        matrices = matrices.swapaxes(1, 2)
    values = matrices @ rows if rows.ndim == 1 else np.einsum("nij,nj->ni", matrices, rows)
    return np.asarray(-values if product.sign < 0 else values)


def entering_output(setting: Setting, seeds: Perturbations, n: int, h: Array) -> Array:
    """What a perturbation adds to W_hy h_t + b_y, per unit of ε, (n, O)."""
    added = np.zeros((n, setting.problem.outputs))
    if "W_hy" in seeds.weights:
        added += applied(seeds.weights["W_hy"][:n], Product("W_hy", "h", False, 1.0), h)
    return added + seeds.weights["b_y"][:n] if "b_y" in seeds.weights else added


def counts(problem: Problem, t: int) -> bool:
    """Whether step t has a loss that counts."""
    return problem.loss_weights is not None and bool(problem.loss_weights[t - 1] != 0)


def weighted_losses(setting: Setting, t: int, a_y: Numbers) -> Numbers:
    """L_t of every row of ``a_y`` (n, O); zeros where step t does not count."""
    problem = setting.problem
    if problem.targets is None or problem.loss_weights is None or not counts(problem, t):
        return np.zeros(len(a_y))
    target, gap = problem.targets[t - 1], setting.gap[t - 1]
    return np.asarray(problem.loss_weights[t - 1] * loss_values.losses(problem, a_y, target, gap))
