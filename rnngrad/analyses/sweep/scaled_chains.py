"""The whole chain of Jacobians at each scale of W_hh: how far back the last state reaches there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isclose
from typing import NamedTuple

from rnngrad.analyses.derivation.quantities import Quantities
from rnngrad.analyses.flow.stability import growth_rate, regime
from rnngrad.analyses.sweep.cost import seconds_a_point
from rnngrad.analyses.sweep.points import Setting
from rnngrad.analyses.sweep.scales import scales_of
from rnngrad.analyses.sweep.scaling import scaled_by
from rnngrad.arithmetic.arrays import Array
from rnngrad.net.problem import Problem
from rnngrad.progress import reported

LOW, HIGH, COUNTS = 0.25, 4.0, (33, 17, 9, 5)
"""The scales where none are asked for, evenly spaced in ratio; fewer where each takes long."""

CHAINS = 7.0
"""log10_chain takes so many times a point of a sweep, whose chain has but its end: 5 for lstm (784,
32), 9 for rnn (60, 16)."""

SECONDS = 30.0
"""What all scales may take unasked."""


class ScaledChain(NamedTuple):
    """``log10_chain`` as derive has it, of the net with W_hh times ``scale``."""

    scale: float
    log10_chain: Array

    @property
    def rate(self) -> float:
        """Natural logarithm, per step."""
        return growth_rate(float(self.log10_chain[0]), len(self.log10_chain) - 1)

    @property
    def regime(self) -> str | None:
        """``vanishing``, ``steady`` or ``exploding``."""
        return regime(self.rate)


def with_one(scales: Sequence[float]) -> tuple[float, ...]:
    """The scales in order, the spec's own W_hh among them."""
    others = [scale for scale in scales if not isclose(scale, 1.0, rel_tol=1e-9)]
    return tuple(sorted([*others, 1.0]))


def affordable_scales(problems: Sequence[Problem]) -> tuple[float, ...]:
    """As many as these nets can be looked at under in half a minute; none where not even five."""
    settings = [Setting(0, one.steps, one.activation.name) for one in problems]
    a_scale = CHAINS * sum(map(seconds_a_point, problems, settings))
    count = next((count for count in COUNTS if count * a_scale <= SECONDS), 0)
    return with_one(scales_of(f"{LOW}:{HIGH}:{count}:log")) if count else ()


def scaled_chains(problem: Problem, scales: Sequence[float]) -> Iterator[ScaledChain]:
    """One a scale."""
    for scale in reported(scales, len(scales), "scales"):
        net = problem if scale == 1.0 else scaled_by(problem, scale)
        yield ScaledChain(scale, Quantities(net)["log10_chain"])
