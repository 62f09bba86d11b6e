"""The loss over two parameters as a picture."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rnngrad.analyses.flow.cliff import Cliff, Parameter, cliff
from rnngrad.views.pictures.nets import Nets
from rnngrad.views.pictures.picture import Axis, Heat, Line, Picture, on_one_scale
from rnngrad.views.pictures.words import called, rough, signed


def cliff_of_the_loss(nets: Nets) -> Iterator[Picture]:
    """log10 of the loss over the two parameters of ``--cliff``; one a net."""
    if nets.cliff is None:
        return
    over = nets.cliff
    yield from on_one_scale(
        _cliff(cliff(flow.problem, over), over, called(flow.problem)) for flow in nets.flows
    )


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
            f"From one point to the next the loss changes by a factor of up to "
            f"{rough(found.jump)}, near {of[0].written} = {across}, {of[1].written} = {up}."
        )
    overflow = int(np.isnan(found.log10).sum())
    notes = (f"White: {overflow} points where the loss is not finite.",) if overflow else ()
    return Picture("cliff", title, finding, x, y, (heat, here), notes=notes, of=net)
