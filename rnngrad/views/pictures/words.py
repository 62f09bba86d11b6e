"""Findings: what one sees in a picture, in a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, isfinite

from rnngrad.analyses.derivation.notation import Notation
from rnngrad.analyses.flow.flow import GradientFlow
from rnngrad.analyses.flow.stability import LN_10
from rnngrad.errors import escaped
from rnngrad.net.problem import Problem
from rnngrad.views.numbers import from_log10, grouped, settled

VERBS = {"vanishing": "vanishes", "steady": "keeps its size", "exploding": "explodes"}


def rough(log10: float, sign: float = 1.0) -> str:
    """10^log10 to three digits, also where no float can hold it; a minus for a negative sign."""
    if not isfinite(log10):
        return "0" if log10 < 0 else "∞" if log10 > 0 else "nan"
    minus = "−" if sign < 0 else ""
    if -290 < log10 < 290:
        short = f"{10.0**log10:.3g}".replace("e-0", "e-").replace("e+0", "e+")
    else:
        short = from_log10(log10)
    return minus + short.replace("-", "−")


def growth(flows: Sequence[GradientFlow]) -> str:
    """Whether the gradient vanishes, and how fast; of several nets, of each."""
    if len(flows) == 1:
        return f"The gradient {_growth(flows[0])}."
    named = (f"of {called(flow.problem)} {_growth(flow)}" for flow in flows)
    return f"The gradient {'; that '.join(named)}."


def _growth(flow: GradientFlow) -> str:
    h = Notation(flow.problem).state
    chain = f"∂{h}_{flow.problem.steps}/∂{h}_0"
    if flow.regime is None:
        return f"is not known: {chain} holds what is not a number"
    if flow.rate == -inf:
        return f"vanishes: {chain} is exactly 0"
    factor = rough(settled(flow.rate) / LN_10)
    by = "with" if flow.regime == "steady" else "by"
    return f"{VERBS[flow.regime]}, {by} a factor of {factor} a step"


NAME = 40
"""Signs of a net's name at most."""


def called(problem: Problem) -> str:
    """The net's name as a picture has it: nothing in it that is no sign, and not too long."""
    name = escaped(problem.name)
    return name if len(name) <= NAME else f"{name[: NAME - 12]}...{name[-9:]}"


def signed(value: float) -> str:
    """−0.198, to three digits."""
    return f"{value:.3g}".replace("-", "−")


def unaffordable(flow: GradientFlow) -> str:
    """What is said where not even a sample is computed unasked."""
    sizes = f"T = {grouped(flow.problem.steps)}, H = {flow.problem.hidden}"
    return f"Not computed unasked for {sizes}; --full does."
