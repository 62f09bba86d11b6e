"""How stable a trajectory is: growth rate, Lyapunov spectrum, and the regime that makes."""

from __future__ import annotations

import math

from rnngrad.analyses.derivation.quantities import Passes
from rnngrad.arithmetic.arrays import Array
from rnngrad.exponents import lyapunov
from rnngrad.net.batch import one_sequence
from rnngrad.net.problem import Problem

LN_10 = math.log(10.0)

STEADY = 0.01
"""|rate| up to which a net counts as steady: a factor of at most 1.01 a step."""


def growth_rate(log10_norm: float, steps: int) -> float:
    """(1/T) ln ‖∂s_T/∂s_0‖₂ from its log10: natural logarithm, per step."""
    return log10_norm * LN_10 / steps


def regime(rate: float, steady: float = STEADY) -> str | None:
    """``steady`` where |rate| ≤ ``steady``, else ``vanishing`` or ``exploding``; None for nan.

    A rate of −inf (an exact zero) vanishes.
    """
    if math.isnan(rate):
        return None
    if abs(rate) <= steady:
        return "steady"
    return "vanishing" if rate < 0 else "exploding"


def largest_exponent(net: Passes, log10_norm: float, log10_growth: float) -> float:
    """The largest Lyapunov exponent from the end of the chain (``chains.jacobians.chain_end``): the
    largest |R[i, i]| of P = Q R, where that is certain."""
    if not math.isfinite(log10_norm):
        return log10_norm
    if math.isfinite(log10_growth):
        return growth_rate(log10_growth, net.problem.steps)
    return float(lyapunov.lyapunov(net.problem, net.forward).exponents[0])


def lyapunov_spectrum(problem: Problem, warmup: int = 0) -> Array:
    """The Lyapunov exponents, (S,): natural log per step over all T steps from Q_0 = 1.

    Largest first. −inf: the direction is sent to exactly 0. nan: the exponent is not known, because
    rounding errors are larger than the result. Such exponents come last, and one nan comes first if
    not even the largest is known. The first ``warmup`` steps turn the directions but are not
    counted. Raises UsageError unless 0 ≤ warmup < T. See ``rnngrad.exponents.lyapunov``.

    >>> import rnngrad
    >>> net = {"activation": "identity", "weights": {"W_xh": 1, "W_hh": 0.5}, "inputs": [1, 0, 0]}
    >>> rnngrad.lyapunov_spectrum(rnngrad.load(net)).round(6).tolist()
    [-0.693147]
    """
    one = one_sequence(problem, "lyapunov_spectrum")
    return lyapunov.lyapunov(one, Passes(one).forward, warmup).exponents
