"""How long the parts of a sweep take: for parcels, for the bar, and before an hour is begun.

Seconds on one core of an x86-64 machine, fitted with ``tests/benchmarks/sweep_cost.py`` to normal
weights: rnn of H = 1 to 500, gru and lstm of H = 1 to 256, stacks of two. What was measured there
is 0.4 to 1.4 times the formula. Where the largest exponent is not certain from the chain's end and
takes QRs, or slopes leave the range of floats, it is more.
"""

from __future__ import annotations

from rnngrad.analyses.sweeping import Setting
from rnngrad.core.activations import ACTIVATIONS
from rnngrad.core.problem import Problem

RATES_A_ZERO = 10
"""Rates that closing in on a zero takes to 1e-5: 5 to 20 were counted, 10 on average."""

ALONE = 2e-6
"""Seconds a step that a point of rnn takes more where it is not advanced together with others."""


def seconds_a_point(problem: Problem, setting: Setting) -> float:
    """A row: the passes, the chain, its norm; S³ once and a step's work T times."""
    S = float(problem.state_size)
    return 2e-4 + 4e-10 * S**3 + setting.steps * _a_step(problem, setting)


def seconds_a_rate(problem: Problem, setting: Setting) -> float:
    """The growth rate at one scale more: forward pass and chain."""
    return seconds_a_point(problem, setting) + setting.steps * ALONE


def seconds_a_zero(problem: Problem, setting: Setting) -> float:
    """A critical scale, closed in between two swept ones."""
    return RATES_A_ZERO * seconds_a_rate(problem, setting)


def _a_step(problem: Problem, setting: Setting) -> float:
    """One product of Jacobians; entry by entry where a slope of rnn may be exactly 0."""
    S = float(problem.state_size)
    if not problem.single_rnn:
        return sum(
            2.3e-5 + rows * S * (1.9e-9 + 6.3e-11 * columns) for rows, columns in _matrices(problem)
        )
    if ACTIVATIONS[setting.activation].analytic:
        return 4e-6 + 1e-9 * S**2 + 2.2e-11 * S**3
    return 2.2e-5 + 1.6e-8 * S**2 + 4.5e-11 * S**3


def _matrices(problem: Problem) -> list[tuple[int, int]]:
    """Rows of each layer's matrices, and the columns that the chain goes through: those of W_hh,
    above the lowest layer those of W_xh too."""
    found = []
    for at, layer in enumerate(problem.layers):
        below = layer.weights["W_xh"].shape[1] if at else 0
        found.append((layer.weights["W_hh"].shape[0], layer.hidden + below))
    return found
