"""What derive's pictures are made from: one net, or several beside each other."""

from __future__ import annotations

from typing import NamedTuple

from rnngrad.analyses.flow.flow import GradientFlow


class Nets(NamedTuple):
    """``step``: where the window of a long net lies; at its end by default."""

    flows: tuple[GradientFlow, ...]
    step: int | None = None
