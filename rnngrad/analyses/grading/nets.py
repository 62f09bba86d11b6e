"""Nets of the same structure as a problem's, with other numbers: where formulas are compared.

Two formulas that agree at points in general position are the same formula: analytic functions
that differ do so almost everywhere (Schwartz, J. ACM 27 (1980), for polynomials). The points are
no random numbers but the fractional parts of 9973·√p for the primes p, which no polynomial with
small coefficients ties to one another, so that a grade repeats to the last bit.

N nets at once, the net's number first: a_t is (N, H). One step's slopes are kept near 1, so that
after thirty steps the longest path still weighs as much as the shortest, and its absence is seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from rnngrad.arithmetic.arrays import Array, quietly
from rnngrad.net.problem import Problem

Key = tuple[str, int]
"""A quantity and its step; step 0 where it has none."""


@dataclass(frozen=True, slots=True, eq=False)
class Nets:
    """N nets with ``steps`` steps each, and their forward passes.

    ``values`` maps ("W_hh", 0), ("x", 3), ("h", 0), ("a", 1), ("o", 1) (ỹ), ("y", 1),
    ("target", 1), ("L", 1) and ("L", 0) (L itself) to arrays (N, …). ``problem`` gives the
    functions; ``tangents`` keeps what ``tangent`` has computed.
    """

    problem: Problem
    steps: int
    values: Mapping[Key, Array]
    tangents: dict[Key, dict[Key, Array]] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """N"""
        return len(self.values["W_hh", 0])

    def weight(self, step: int) -> float:
        """The weight of L_t in L, of the problem's own pattern of steps that count."""
        weights = self.problem.loss_weights
        return 0.0 if weights is None else float(weights[min(step, len(weights)) - 1])


def nets(
    problem: Problem, count: int, steps: int, sizes: tuple[int, int, int], *, start: bool
) -> Nets:
    """``count`` nets with I, H, O = ``sizes`` and h_0 ≠ 0 where ``start``; functions as given."""
    draw = _Draw(count * (steps * sum(sizes) + sum(sizes) * (sum(sizes) + 4) + 8))
    values = _parameters(problem, draw, count, sizes)
    inputs, hidden, outputs = sizes
    start_at = draw.signed(count, hidden, low=0.3, high=1.0)
    values["h", 0] = start_at if start else np.zeros((count, hidden))
    for t in range(1, steps + 1):
        values["x", t] = _alive(problem, draw.signed(count, inputs, low=0.3, high=1.3))
        values["target", t] = _target(problem, draw, count, outputs)
    with quietly():
        _forward(problem, values, steps)
    return Nets(problem, steps, values)


class _Draw:
    """Numbers in general position, each given once."""

    def __init__(self, count: int) -> None:
        primes = _primes(2 * count + 100)
        self.left = np.modf(9973.0 * np.sqrt(primes))[0]
        self.used = 0

    def uniform(self, *shape: int) -> Array:
        """Numbers between 0 and 1."""
        size = int(np.prod(shape))
        self.used += size
        taken: Array = self.left[self.used - size : self.used].reshape(shape)
        return taken

    def signed(self, *shape: int, low: float, high: float) -> Array:
        """Numbers of size ``low`` to ``high`` and either sign."""
        u = 2.0 * self.uniform(*shape) - 1.0
        drawn: Array = np.where(u < 0, -1.0, 1.0) * (low + (high - low) * np.abs(u))
        return drawn


def _primes(count: int) -> Array:
    """At least ``count`` primes, by the sieve of Eratosthenes."""
    limit = int(count * (np.log(count) + np.log(np.log(count)))) + 10
    sieve = np.ones(limit, dtype=bool)
    sieve[:2] = False
    for n in range(2, int(limit**0.5) + 1):
        if sieve[n]:
            sieve[n * n :: n] = False
    return np.flatnonzero(sieve).astype(np.float64)


def _parameters(
    problem: Problem, draw: _Draw, count: int, sizes: tuple[int, int, int]
) -> dict[Key, Array]:
    """Weights; b_h takes W_hh σ(0) away, so that pre-activations stay near 0.

    Where h has no bound (relu, identity, softplus) the weights are smaller, so that it stays small.
    """
    inputs, hidden, outputs = sizes
    unbounded = problem.activation.name not in ("sigmoid", "tanh")
    low, high = (0.6, 0.95) if unbounded else (0.7, 1.2)
    steepest = problem.activation.steepest * (hidden if unbounded else np.sqrt(hidden))
    W_hh = _alive(problem, draw.signed(count, hidden, hidden, low=low, high=high)) / steepest
    at_zero = float(problem.activation.f(np.zeros(1))[0])
    b_h = _alive(problem, draw.signed(count, hidden, low=0.1, high=0.5))
    values = {
        ("W_xh", 0): _alive(problem, draw.signed(count, hidden, inputs, low=0.4, high=1.2)),
        ("W_hh", 0): W_hh,
        ("b_h", 0): b_h - at_zero * W_hh.sum(axis=2),
    }
    if problem.has_readout:
        low, high = (0.2, 0.6) if unbounded else (0.5, 1.5)
        W_hy = draw.signed(count, outputs, hidden, low=low, high=high)
        values["W_hy", 0] = _alive(problem, W_hy)
        values["b_y", 0] = _alive(problem, draw.signed(count, outputs, low=0.1, high=0.5))
    return values


def _alive(problem: Problem, values: Array) -> Array:
    """Where relu is at work, positive numbers in every second net: no path is dead in all."""
    if "relu" in (problem.activation.name, problem.output.name):
        values[::2] = np.abs(values[::2])
    return values


def _target(problem: Problem, draw: _Draw, count: int, outputs: int) -> Array:
    """Probabilities for the cross entropies, numbers of either sign else."""
    if problem.loss is not None and problem.loss.needs is not None:
        inside: Array = 0.05 + 0.9 * draw.uniform(count, outputs)
        if problem.loss.needs == "softmax":
            inside /= inside.sum(axis=1, keepdims=True)
        return inside
    return draw.signed(count, outputs, low=0.2, high=2.0)


def _forward(problem: Problem, values: dict[Key, Array], steps: int) -> None:
    """h_t = σ(W_xh x_t + W_hh h_{t−1} + b_h), y_t = g(W_hy h_t + b_y), L_t, for every net."""
    weights = problem.loss_weights
    total = np.zeros(len(values["W_hh", 0]))
    for t in range(1, steps + 1):
        a = _times(values["W_xh", 0], values["x", t]) + values["b_h", 0]
        a = a + _times(values["W_hh", 0], values["h", t - 1])
        h = np.asarray(problem.activation.f(a))
        o = _times(values["W_hy", 0], h) + values["b_y", 0] if problem.has_readout else h
        y = np.asarray(problem.output.g(o))
        values["a", t], values["h", t], values["o", t], values["y", t] = a, h, o, y
        if problem.loss is not None and weights is not None:
            loss = problem.loss.value(values["target", t], y, o)
            values["L", t] = float(weights[min(t, len(weights)) - 1]) * np.asarray(loss)
            total = total + values["L", t]
    values["L", 0] = total


def _times(matrices: Array, vectors: Array) -> Array:
    """A matrix times a vector in each net: (N, m, n), (N, n) -> (N, m)"""
    product: Array = np.einsum("nij,nj->ni", matrices, vectors)
    return product
