"""How long the parts of a sweep take: for parcels, for the bar, and before an hour is begun.

Seconds on one core of an x86-64 machine, fitted with ``.ci/benchmarks/sweep_cost.py`` to normal
weights and scales from 0.3 to 5: rnn of H = 1 to 500, gru and lstm of H = 1 to 256, stacks of two
and three. What was measured there, twice, is 0.6 to 1.5 times the formula of a point and 0.6 to 1.9
times that of a rate; but up to 2.7 times both where T/S is 2 to 4 and a few columns of the chain
do not do after all. It is more where the largest exponent is not certain from the chain's end and
takes QRs, or a chain leaves plain floats: 6 to 9 times for tanh at scales from 40 to 100, H = 64
and 128, T = 200. Where a large scale makes few columns do sooner, it is less, down to 0.3 times.
"""

from __future__ import annotations

from rnngrad.algebra.equations import X
from rnngrad.analyses.sweep.points import Setting
from rnngrad.arithmetic.functions import ACTIVATIONS
from rnngrad.chains.whole_product import LEAST_SIZE
from rnngrad.net.problem import Problem

RATES_A_ZERO = 10
"""Rates that closing in on a zero takes to 1e-5: 5 to 20 were counted, 10 on average."""

FEW_FROM = 2.0
"""T/S from which on a few columns are taken to do (``chains.whole_product``). λ_1 − λ_10 of normal
weights is about 4.5/S, and 18/T does, so T/S = 4; measured, some scales were done with few from
2 on, and linear nets of H = 64 and 128 all in all between 3.9 and 4.7, of H = 256 below 2.4."""

ALONE = 2.5e-6
"""Seconds a step that a point of rnn takes more where it is not advanced together with others."""


def seconds_a_point(problem: Problem, setting: Setting) -> float:
    """A row: the passes, the chain, its norm; S³ once and a step's work T times."""
    once = 2e-4 if problem.single_rnn else 9e-4
    return once + 4e-10 * problem.state_size**3 + setting.steps * _a_step(problem, setting)


def seconds_a_rate(problem: Problem, setting: Setting) -> float:
    """The growth rate at one scale more: forward pass and chain."""
    return seconds_a_point(problem, setting) + setting.steps * ALONE


def seconds_a_zero(problem: Problem, setting: Setting) -> float:
    """A critical scale, closed in between two swept ones."""
    return RATES_A_ZERO * seconds_a_rate(problem, setting)


def _a_step(problem: Problem, setting: Setting) -> float:
    """One product of Jacobians, of a few of its columns where those are likely to do; entry by
    entry where a slope of rnn may be exactly 0."""
    S = float(problem.state_size)
    if not problem.single_rnn:
        return sum(
            2.1e-5 + rows * S * (2.5e-9 + 5e-11 * columns) for rows, columns in _matrices(problem)
        )
    if not ACTIVATIONS[setting.activation].analytic:
        return 2.4e-5 + 1.3e-8 * S**2 + 4.2e-11 * S**3
    few = LEAST_SIZE <= S <= setting.steps / FEW_FROM
    return 2.5e-6 + 1.2e-9 * S**2 + (0.0 if few else 2.2e-11 * S**3)


def _matrices(problem: Problem) -> list[tuple[int, int]]:
    """Rows of each layer's matrices, and the columns that the chain goes through: those of W_hh,
    above the lowest layer those of W_xh too."""
    step, found = problem.cell.step, []
    for at, layer in enumerate(problem.layers):
        groups = [group for group in problem.cell.groups if at or group.source != X]
        rows = [sum(layer.sizes[step.sizes[key]] for key in group.targets) for group in groups]
        columns = sum(layer.sizes[step.sizes[group.source]] for group in groups)
        found.append((max(rows, default=layer.hidden), columns))
    return found
