"""The points of a sweep, and what is measured at each.

A point is one net: a spec's, with W_hh scaled, its random numbers drawn from ``seed``, over so
many ``steps``, with one ``activation``. Where the net is one layer of rnn the points of one seed,
activation and length share W_hh up to its factor, so the ends of their chains are had in one go
(``chains.whole_product``); of any other net one by one (``chains.jacobians``).
A row also has what a net's passes say: how steep its units are, how large its gradients.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from rnngrad.algebra.equations import X
from rnngrad.algebra.expressions import Call, Name, nodes
from rnngrad.analyses.derivation.quantities import Passes
from rnngrad.analyses.flow.stability import LN_10, growth_rate, largest_exponent, regime
from rnngrad.analyses.sweep.scaling import scaled_by
from rnngrad.arithmetic.arrays import Array, finite_or_none, frobenius, frozen, quietly
from rnngrad.arithmetic.functions import ACTIVATIONS
from rnngrad.chains.jacobians import chain_end, sure_slopes
from rnngrad.chains.matrix_norms import sigma_max, spectral_radius
from rnngrad.chains.whole_product import ChainEnds, chain_ends
from rnngrad.errors import UsageError
from rnngrad.net.bidirectional import changed
from rnngrad.net.cells import Cell
from rnngrad.net.fingerprint import fingerprint
from rnngrad.net.problem import Problem
from rnngrad.version import __version__


def mean_slope(net: Passes) -> float:
    """The mean of f'(a_t) over units, gates and steps, for every function f of the equations that
    is taken of a sum with matrices; nan where there is none."""
    problem, sums, count = net.problem, 0.0, 0
    with quietly():
        for layer in net.forward.layers:
            for function, key in _gates(problem.cell):
                slopes = problem.functions[function].slope(layer.values[key])
                sums, count = sums + float(np.sum(slopes)), count + slopes.size
        return sums / count if count else math.nan


@lru_cache(maxsize=64)
def _gates(cell: Cell) -> list[tuple[str, str]]:
    """Function and key of what it is taken of."""
    stored = cell.step.stored
    return [
        (node.function, node.argument.head)
        for one in cell.step.definitions
        if one.rest is not None
        for node in nodes(one.rest)
        if isinstance(node, Call) and isinstance(node.argument, Name)
        if node.argument.head in stored
    ]


def gradient_norms(net: Passes) -> tuple[float | None, ...]:
    """Of the matrices that multiply x_t, of what is scaled (rnn, gru, lstm: W_xh, W_hh) and of the
    biases, each over all layers together, and of h_0."""
    back, cell = net.backward, net.problem.cell
    sizes = {name: frobenius(gradient) for name, gradient in back.weights.items()}
    of_weights = (
        math.hypot(*(size for name, size in sizes.items() if name.split(".")[0] in group))
        for group in _groups(cell)
    )
    return tuple(map(finite_or_none, (*of_weights, frobenius(back.dL_dh[0]))))


@lru_cache(maxsize=64)
def _groups(cell: Cell) -> tuple[set[str], set[str], set[str]]:
    """What multiplies x_t, what is scaled, and the biases, by the names of results."""
    from_x = {m.parameter for m in cell.step.matrices if m.source == X}
    return _whole(cell, from_x), _whole(cell, set(cell.scaled)), set(cell.biases)


def _whole(cell: Cell, names: set[str]) -> set[str]:
    """The parameters, as results have them, that hold some of the equations'."""
    return {name for name in cell.parameters if names & set(cell.blocks.get(name, (name,)))}


TOGETHER = 2**23
"""Numbers of the passes of the points that are looked at together (64 MiB)."""


class Setting(NamedTuple):
    """All of a point but its scale; ``spec``: the name of its spec, ``sequence`` which one of a
    batch, from 1."""

    seed: int
    steps: int
    activation: str
    spec: str = ""
    sequence: int | None = None


OF_THE_CHAIN = ("log10_chain_norm", "rate", "lyapunov_max")
"""Logarithms of the chain's size."""


class Row(NamedTuple):
    """One point of a sweep; None where a number does not exist.

    ``rate``, ``lyapunov_max`` natural log per step; ``log10_bound`` = T log10(γ σ_max); ``factor``
    is what the spec's W_hh was multiplied by, or the rows of its ``gate``; ``checkpoint`` the
    trained file that the net is of, one of several; ``mean_slope`` the mean of σ'(a_t) over units,
    gates and steps, σ being each gate's own; ``norm_…`` Frobenius norms,
    over all layers and biases together; ``sequence`` which one of a batch, from 1; ``version`` of
    rnngrad; ``hash`` of the setting's net, before its W_hh is scaled.
    """

    scale: float
    seed: int
    spectral_radius: float | None
    sigma_max: float | None
    log10_chain_norm: float | None
    rate: float | None
    lyapunov_max: float | None
    log10_bound: float | None
    loss: float | None
    regime: str | None
    steps: int
    activation: str
    factor: float
    mean_slope: float | None
    norm_dL_dW_xh: float | None
    norm_dL_dW_hh: float | None
    norm_dL_db_h: float | None
    norm_dL_dh_0: float | None
    first_nonfinite_step: int | None
    spec: str
    gate: str | None
    checkpoint: str | None = None
    sequence: int | None = None
    version: str | None = None
    hash: str | None = None

    def value(self, name: str) -> float | None:
        """A column's number; −inf where the chain is an exact 0, which the row itself leaves
        empty, as JSON has no infinity. None where there is no number."""
        found: float | None = getattr(self, name)
        if found is None and name in OF_THE_CHAIN and self.rate is None:
            return -math.inf if self.regime == "vanishing" else None
        return found

    @property
    def setting(self) -> Setting:
        """All of the point but its scale."""
        return Setting(self.seed, self.steps, self.activation, self.spec, self.sequence)


def set_up(problem: Problem, setting: Setting) -> Problem:
    """The problem of a setting, its W_hh not yet scaled."""
    return changed(problem, lambda one: _set_up(one, setting))


def _set_up(problem: Problem, setting: Setting) -> Problem:
    if setting.seed != problem.seed:
        problem = problem.redraw(setting.seed)
    if setting.activation != problem.activation.name:
        problem = replace(problem, activation=ACTIVATIONS[setting.activation])
    return shortened(problem, setting.steps) if setting.steps != problem.steps else problem


def shortened(problem: Problem, steps: int) -> Problem:
    """The first ``steps`` steps. A loss of the last step alone stays one of the last step; a mean
    stays a mean over the steps that are left."""
    if not 1 <= steps <= problem.steps:
        raise UsageError(f"steps {steps}: the inputs of '{problem.name}' have 1 to {problem.steps}")
    weights = problem.loss_weights
    if problem.targets is None or weights is None:
        return replace(problem, x=frozen(problem.x[:steps]))
    last_alone = problem.upstream and not weights[:-1].any()
    rows = [*range(steps - 1), -1 if last_alone else steps - 1]
    return replace(
        problem,
        x=frozen(problem.x[:steps]),
        targets=frozen(problem.targets[rows]),
        loss_weights=frozen(_shortened_weights(problem, weights, steps)),
    )


def _shortened_weights(problem: Problem, weights: Array, steps: int) -> Array:
    counting = np.flatnonzero(weights)
    kept = weights[:steps].copy()
    if len(counting) == 1 and counting[0] == len(weights) - 1:
        kept[-1] = weights[-1]
    elif math.isclose(weights.sum(), 1.0) and kept.any():
        kept /= kept.sum()
    elif problem.loss is not None and problem.loss.name == "cross_entropy":
        assert problem.targets is not None
        counts = problem.targets.sum(axis=1)  # of a label its class's weight
        if math.isclose(weights @ counts, 1.0) and kept @ counts[:steps] > 0:
            kept /= kept @ counts[:steps]
    return kept


class Net:
    """The net of one setting, to be looked at under many scales."""

    def __init__(
        self,
        problem: Problem,
        setting: Setting,
        relative_to: str = "weights",
        gate: str | None = None,
    ) -> None:
        self.problem, self.setting = set_up(problem, setting), setting
        self.gate, self.unit, self.hash = gate, 1.0, fingerprint(self.problem)
        self.radius: float | None = None
        self.sigma: float | None = None
        if self.problem.single_rnn:
            self._measure(self.problem.weights["W_hh"], relative_to)

    def _measure(self, W: Array, relative_to: str) -> None:
        self.radius, self.sigma = spectral_radius(W), sigma_max(W)
        sizes = {"weights": 1.0, "spectral-radius": self.radius, "sigma-max": self.sigma}
        self.unit = sizes[relative_to]
        if self.unit == 0:
            what = relative_to.replace("-", " ")
            raise UsageError(f"--relative-to {relative_to}: the {what} of W_hh is 0")

    def factor(self, scale: float) -> float:
        """What the spec's W_hh is multiplied by at this scale."""
        return scale / self.unit

    def rates(self, scales: Sequence[float]) -> Array:
        """The growth rate at each scale, (n,); −inf for an exact zero, nan where undefined."""
        norms = [self._chains(part)[1].norm for part in self._parts(scales)]
        return np.concatenate(norms) * (LN_10 / self.setting.steps)

    def rows(self, scales: Sequence[float], steady: float) -> list[Row]:
        """Every column at each scale."""
        rows = []
        for part in self._parts(scales):
            nets, ends = self._chains(part)
            for i, (scale, passes) in enumerate(zip(part, nets, strict=True)):
                end = _End(*(float(size[i]) for size in ends))
                rows.append(self._row(scale, passes, end, steady))
        return rows

    def _parts(self, scales: Sequence[float]) -> list[Sequence[float]]:
        S, gates = self.problem.state_size, len(self.problem.cell.step.kept)
        numbers = 8 * S * gates * self.setting.steps
        size = max(1, TOGETHER // numbers)
        return [scales[i : i + size] for i in range(0, len(scales), size)]

    def _chains(self, scales: Sequence[float]) -> tuple[list[Passes], ChainEnds]:
        factors = np.array([self.factor(scale) for scale in scales])
        nets = [Passes(scaled_by(self.problem, float(factor), self.gate)) for factor in factors]
        if not self.problem.single_rnn:
            ends = np.array([chain_end(net.problem, net.forward) for net in nets])
            return nets, ChainEnds(ends[:, 0], ends[:, 1])
        with quietly():
            slopes = [sure_slopes(net.problem, net.forward) for net in nets]
        return nets, chain_ends(self.problem.weights["W_hh"], slopes, factors)

    def _row(self, scale: float, net: Passes, end: _End, steady: float) -> Row:
        factor, steps, problem = self.factor(scale), self.setting.steps, net.problem
        with quietly():
            rate = growth_rate(end.norm, steps)
            norms = gradient_norms(net) if problem.loss is not None else (None,) * 4
        return Row(
            scale=scale,
            seed=self.setting.seed,
            spectral_radius=_times(factor, self.radius),
            sigma_max=_times(factor, self.sigma),
            log10_chain_norm=finite_or_none(end.norm),
            rate=finite_or_none(rate),
            lyapunov_max=finite_or_none(largest_exponent(net, end.norm, end.growth)),
            log10_bound=self._bound(factor),
            loss=None
            if problem.loss is None or problem.upstream
            else finite_or_none(net.forward.loss),
            regime=regime(rate, steady),
            steps=steps,
            activation=self.setting.activation,
            factor=factor,
            mean_slope=finite_or_none(mean_slope(net)),
            norm_dL_dW_xh=norms[0],
            norm_dL_dW_hh=norms[1],
            norm_dL_db_h=norms[2],
            norm_dL_dh_0=norms[3],
            first_nonfinite_step=net.forward.first_nonfinite_step,
            spec=self.setting.spec or problem.name,
            gate=self.gate,
            checkpoint=problem.checkpoint,
            sequence=self.setting.sequence,
            version=__version__,
            hash=self.hash,
        )

    def _bound(self, factor: float) -> float | None:
        """T log10(γ σ_max), where there is such a bound."""
        if self.sigma is None:
            return None
        with quietly():
            a_step = np.log10(self.problem.activation.steepest * abs(factor) * self.sigma)
        return finite_or_none(self.setting.steps * a_step)


class _End(NamedTuple):
    """The chain of one point: see ``ChainEnds``."""

    norm: float
    growth: float


def _times(factor: float, size: float | None) -> float | None:
    return None if size is None else finite_or_none(abs(factor) * size)
