"""How the gradient flows, as pictures: the credit map, the reach, what truncation costs."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from rnngrad.analyses.derivation.notation import Notation
from rnngrad.analyses.flow.credit_map import Grid, credit_grid
from rnngrad.analyses.flow.flow import GradientFlow
from rnngrad.analyses.flow.horizons import UNITS
from rnngrad.views.derivation.lags import recurrent
from rnngrad.views.numbers import grouped, percent
from rnngrad.views.pictures.nets import Nets
from rnngrad.views.pictures.picture import Axis, Heat, Level, Line, Mark, Picture
from rnngrad.views.pictures.words import growth, rough

CELLS = 400
"""Rows and columns of a map at most: more than a page can show."""

BACK = 10
"""How many steps back the finding of a credit map looks."""


def credit_map(nets: Nets) -> Iterator[Picture]:
    """log10 ‖∂L_t/∂h_k‖, k across and t down; one a net."""
    yield from map(_credit_map, nets.flows)


def _credit_map(flow: GradientFlow) -> Picture:
    h = Notation(flow.problem).state
    title, x, y = "Who learns from whom", Axis(f"state {h}_k"), Axis("loss L_t", down=True)
    grid = credit_grid(flow, CELLS, CELLS)
    if not np.isfinite(grid.log10).any():
        why = "No loss has a gradient that is finite and not 0."
        return Picture("credit-map", title, why, x, y, (), of=flow.problem.name)
    middles = np.array([(low + high - 1) / 2 for low, high in pairwise(grid.edges)])
    heat = Heat(f"log10 ‖∂L_t/∂{h}_k‖", middles, np.array(grid.steps, float), grid.log10)
    return Picture(
        "credit-map", title, _kept(flow), x, y, (heat,),
        notes=_thinned(grid, flow), of=flow.problem.name,
    )  # fmt: skip


def _kept(flow: GradientFlow) -> str:
    """How much of a loss is left some steps back."""
    profile = flow.lag_profile
    known = np.flatnonzero(~np.isnan(profile))
    back = min(BACK, int(known[-1])) if len(known) else 0
    if back == 0:
        return growth([flow])
    left, steps = float(profile[back]), "1 step" if back == 1 else f"{back} steps"
    many = "the median loss's gradient" if flow.losses > 1 else "the loss's gradient"
    if left == -np.inf:
        return f"{steps} back nothing is left of {many}."
    if left > 0.3:
        return f"{steps} back {many} is {rough(left)} times as large."
    return f"{steps} back {rough(left)} of {many} is left."


def _thinned(grid: Grid, flow: GradientFlow) -> tuple[str, ...]:
    """What of the map is not drawn."""
    said = []
    if len(grid.steps) < grid.losses:
        said.append(f"{grouped(len(grid.steps))} of {grouped(grid.losses)} losses")
    widest = max(high - low for low, high in pairwise(grid.edges))
    if widest > 1:
        said.append(f"a column has the largest of up to {grouped(widest)} steps")
    return (f"Thinned: {', '.join(said)}.",) if said else ()


def reach(nets: Nets) -> Iterator[Picture]:
    """log10 ‖∂s_T/∂s_k‖ against T − k, a line a net, and the rounding of number formats."""
    marks: list[Mark] = []
    for flow in nets.flows:
        back = flow.result["log10_chain"][::-1]
        marks.append(Line(flow.problem.name, np.arange(len(back), dtype=float), back))
    floors = [Level(name, y=log2 * np.log10(2.0)) for name, log2 in UNITS.items()]
    h = Notation(nets.flows[0].problem).state if len(nets.flows) == 1 else "s"
    yield Picture(
        "reach", "How far it reaches, and where a number format ends", growth(nets.flows),
        Axis("steps back, T − k"), Axis(f"log10 ‖∂{h}_T/∂{h}_k‖"), (*marks, *floors),
        of=nets.flows[0].problem.name if len(nets.flows) == 1 else "",
    )  # fmt: skip


ENOUGH = 0.01
"""An error of truncation that a finding calls small."""


def truncation(nets: Nets) -> Iterator[Picture]:
    """Relative error and cosine of ∂L/∂W_hh against the steps that each loss keeps; one a net."""
    yield from map(_truncation, nets.flows)


def _truncation(flow: GradientFlow) -> Picture:
    names, found = recurrent(flow.problem), flow.lags
    x, y = Axis("steps that each loss keeps", log=True), Axis("relative error", log=True)
    title, of = f"What truncation costs ∂L/∂{names}", flow.problem.name
    if found is None or np.isnan(found.truncation.rel_error).any():
        why = f"∂L/∂{names} is 0 or not finite, so no truncation of it is shown."
        return Picture("truncation", title, why, x, y, (), of=of)
    steps = np.asarray(found.truncation.steps, float)
    error, cosine = found.truncation.rel_error, found.truncation.cosine
    if len(steps) == 1:
        why = "With one step there is nothing to be cut off."
        return Picture("truncation", title, why, x, y, (), of=of)
    left = np.where(error > 0, error, np.nan)
    marks: tuple[Mark, ...] = (
        Line("relative error", steps, left),
        Line("cosine", steps, cosine, dashed=True, right=True),
    )
    sampled = len(flow.sampled_steps)
    notes = (f"Of {sampled} of {grouped(flow.losses)} losses.",) if flow.sampled_lags else ()
    return Picture(
        "truncation", title, _costs(flow, names), x, y, marks,
        right=Axis("cosine with the whole"), notes=notes, of=of,
    )  # fmt: skip


def _costs(flow: GradientFlow, names: str) -> str:
    """From how many steps on the error is small, and how large it is with half of them."""
    assert flow.lags is not None
    steps, error = flow.lags.truncation.steps, flow.lags.truncation.rel_error
    i = int(np.argmax(error <= ENOUGH))
    of = f"of ∂L/∂{names}"
    if i == 0:
        return f"One step has all but {percent(float(error[0]))} {of}."
    before, enough = int(steps[i - 1]), int(steps[i])
    kept = "1 step" if before == 1 else f"{grouped(before)} steps"
    rest = "nothing" if error[i] == 0 else percent(float(error[i]))
    return (
        f"{kept} lose {percent(float(error[i - 1]))} {of}, {grouped(enough)} lose {rest}.".replace(
            "1 step lose", "1 step loses", 1 if before == 1 else 0
        )
    )
