"""How long the parts of a sweep take: for parcels, for the bar, and before an hour is begun.

Seconds on one core of an x86-64 machine, fitted to nets of H = 1 to 500 and T = 10 to 10,000 with
normal and orthogonal W_hh. What was measured is 0.4 to 2.1 times the formula for tanh, sigmoid and
linear nets (the more QRs the exponent needs, the more), 0.5 to 3 times for relu.
"""

from __future__ import annotations

from rnngrad.analyses.sweeping import Setting
from rnngrad.core.activations import ACTIVATIONS
from rnngrad.core.problem import Problem

DEAD_UNITS = 2.5
"""Times longer where a slope may be exactly 0, and the chain is taken entry by entry."""

RATES_A_ZERO = 10
"""Rates that closing in on a zero takes to 1e-5: 5 to 20 were counted, 10 on average."""


def seconds_a_point(problem: Problem, setting: Setting) -> float:
    """A row: the passes, the chain, and a QR for the largest exponent now and then."""
    H = float(problem.hidden)
    a_step = 6e-6 + 6e-7 * H + 4e-9 * H**2 + 1.2e-10 * H**3
    return _kind(setting) * (2e-4 + setting.steps * a_step)


def seconds_a_rate(problem: Problem, setting: Setting) -> float:
    """The growth rate at one scale more: forward pass and chain."""
    H = float(problem.hidden)
    a_step = 1.1e-5 + 1.6e-9 * H**2 + 2.8e-11 * H**3
    return _kind(setting) * (2.5e-4 + setting.steps * a_step)


def seconds_a_zero(problem: Problem, setting: Setting) -> float:
    """A critical scale, closed in between two swept ones."""
    return RATES_A_ZERO * seconds_a_rate(problem, setting)


def _kind(setting: Setting) -> float:
    return 1.0 if ACTIVATIONS[setting.activation].analytic else DEAD_UNITS
