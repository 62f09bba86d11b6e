"""The loss over two parameters as a picture."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rnngrad.analyses.flow.cliff import Cliff, Parameter, cliff, lacking
from rnngrad.analyses.flow.stability import LN_10
from rnngrad.views.pictures.nets import Nets
from rnngrad.views.pictures.picture import Axis, Heat, Line, Picture, on_one_scale
from rnngrad.views.pictures.words import called, rough, signed


def cliff_of_the_loss(nets: Nets) -> Iterator[Picture]:
    """log10 of the loss over the two parameters of ``--cliff``; one for each net
    that has both. Raises UsageError where none has."""
    if nets.cliff is None:
        return
    over = nets.cliff
    have = [flow for flow in nets.flows if not lacking(flow.problem, over)]
    yield from on_one_scale(
        _cliff(cliff(flow.problem, over), over, called(flow.problem)) for flow in have or nets.flows
    )


def _change(decades: float) -> str:
    """A factor; below 1.1 in percent."""
    if decades >= np.log10(1.1):
        return f"a factor of up to {rough(decades)}"
    return f"up to {100 * np.expm1(decades * LN_10):.2g} %"


def _cliff(found: Cliff, of: tuple[Parameter, Parameter], net: str) -> Picture:
    title = "The cliff: the loss over two parameters"
    x, y = (Axis(one.written.replace("-", "−")) for one in of)
    if not np.isfinite(found.log10).any():
        why = "The loss is 0 or not finite everywhere in this range."
        return Picture("cliff", title, why, x, y, (), of=net)
    heat = Heat("log10 loss", found.x, found.y, found.log10, diverging=False)
    here = Line("the net", np.array([found.here[0]]), np.array([found.here[1]]), points=True)
    finding = "The loss is finite at single points alone."
    if np.isfinite(found.jump):
        across, up = map(signed, found.at)
        finding = (
            f"From one point to the next the loss changes by {_change(found.jump)}, "
            f"near {of[0].written} = {across}, {of[1].written} = {up}."
        )
    overflow = int(np.isnan(found.log10).sum())
    notes = (f"White: {overflow} points where the loss is not finite.",) if overflow else ()
    return Picture("cliff", title, finding, x, y, (heat, here), notes=notes, of=net)
