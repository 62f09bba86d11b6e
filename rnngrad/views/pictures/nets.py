"""What derive's pictures are made from: one net, or several beside each other."""

from __future__ import annotations

from typing import NamedTuple

from rnngrad.analyses.flow.cliff import Parameter
from rnngrad.analyses.flow.flow import GradientFlow


class Nets(NamedTuple):
    """``step``: where the window of a long net lies; at its end by default. ``cliff``: the two
    parameters over which the loss is drawn."""

    flows: tuple[GradientFlow, ...]
    step: int | None = None
    cliff: tuple[Parameter, Parameter] | None = None
