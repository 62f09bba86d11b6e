"""What derive's pictures are made from: one net, or several beside each other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from rnngrad.analyses.derivation.selection import Selection
from rnngrad.analyses.flow.cliff import Parameter
from rnngrad.analyses.flow.flow import GradientFlow
from rnngrad.views.pictures.kinds import PICTURES, pictures
from rnngrad.views.pictures.picture import Picture


class Nets(NamedTuple):
    """``step``: where the window of a long net lies; at its end by default. ``cliff``: the two
    parameters over which the loss is drawn. ``weights``: whose paths, where the user named some."""

    flows: tuple[GradientFlow, ...]
    step: int | None = None
    cliff: tuple[Parameter, Parameter] | None = None
    weights: tuple[str, ...] = ()


def of_a_net(flow: GradientFlow, selection: Selection, names: Iterable[str]) -> Iterator[Picture]:
    """Those of these kinds that there are of a net and that take no longer than its tables."""
    for name in names:
        kind = PICTURES[name]
        affordable = selection.paths if name == "paths" else flow.affordable
        if affordable and not kind.asked and not kind.why_not(flow.problem):
            yield from pictures(name, Nets((flow,)))
