"""How the gradient flows, as pictures: the credit map, the reach, what truncation costs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from rnngrad.analyses.derivation.notation import Notation
from rnngrad.analyses.flow.credit_map import Grid, credit_grid
from rnngrad.analyses.flow.flow import GradientFlow
from rnngrad.analyses.flow.horizons import UNITS
from rnngrad.views.derivation.lags import BELOW, recurrent
from rnngrad.views.numbers import grouped, percent
from rnngrad.views.pictures.nets import Nets
from rnngrad.views.pictures.picture import Axis, Heat, Level, Line, Mark, Picture, on_one_scale
from rnngrad.views.pictures.words import called, growth, rough, unaffordable

CELLS = 400
"""Rows and columns of a map at most: more than a page can show."""

BACK = 10
"""How many steps back the finding of a credit map looks."""


def credit_map(nets: Nets) -> Iterator[Picture]:
    """log10 ‖∂L_t/∂h_k‖, k across and t down; one a net, all in one scale of colours."""
    yield from on_one_scale(map(_credit_map, nets.flows))


def _credit_map(flow: GradientFlow) -> Picture:
    h = Notation(flow.problem).state
    title, x, y = (
        "Who learns from whom",
        Axis(f"k of the state {h}_k", whole=True),
        Axis("t of the loss L_t", down=True, whole=True),
    )
    if not flow.affordable:
        return Picture("credit-map", title, unaffordable(flow), x, y, (), of=called(flow.problem))
    grid = credit_grid(flow, CELLS, CELLS)
    if not np.isfinite(grid.log10).any():
        why = "No loss has a gradient that is finite and not 0."
        return Picture("credit-map", title, why, x, y, (), of=called(flow.problem))
    middles = np.array([(low + high - 1) / 2 for low, high in pairwise(grid.edges)])
    heat = Heat(f"log10 ‖∂L_t/∂{h}_k‖", middles, np.array(grid.steps, float), grid.log10)
    return Picture(
        "credit-map", title, _kept(flow), x, y, (heat,),
        notes=_thinned(grid, flow), of=called(flow.problem),
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
    known = flow.losses if flow.sampled_paths else grid.losses
    if len(grid.steps) < known:
        said.append(f"{grouped(len(grid.steps))} of {grouped(known)} losses")
    widest = max(high - low for low, high in pairwise(grid.edges))
    if widest > 1:
        said.append(f"a column has the largest of up to {grouped(widest)} steps")
    notes = [f"Thinned: {', '.join(said)}."] if said else []
    if not flow.sampled_paths and grid.losses < flow.losses:
        missing = grouped(flow.losses - grid.losses)
        notes.append(f"Not drawn: {missing} losses whose gradients are all 0 or not finite.")
    return tuple(notes)


def reach(nets: Nets) -> Iterator[Picture]:
    """log10 ‖∂s_T/∂s_k‖ against T − k, a line a net, and the rounding of number formats."""
    marks: list[Mark] = []
    for flow in nets.flows:
        back = flow.result["log10_chain"][::-1]
        marks.append(Line(called(flow.problem), np.arange(len(back), dtype=float), back))
    floors = [Level(name, y=log2 * np.log10(2.0)) for name, log2 in UNITS.items()]
    h = Notation(nets.flows[0].problem).state if len(nets.flows) == 1 else "s"
    longest = max(flow.problem.steps for flow in nets.flows)
    x = Axis("steps back, T − k", whole=True, low=-0.03 * longest, high=1.03 * longest)
    yield Picture(
        "reach", "How far it reaches, and where a number format ends", growth(nets.flows),
        x, Axis(f"log10 ‖∂{h}_T/∂{h}_k‖"), (*marks, *floors),
        of=called(nets.flows[0].problem) if len(nets.flows) == 1 else "",
    )  # fmt: skip


ENOUGH = 0.01
"""An error of truncation that a finding calls small."""


def truncation(nets: Nets) -> Iterator[Picture]:
    """Relative error and cosine of ∂L/∂W_hh against the steps that each loss keeps; of several
    nets their errors."""
    yield _truncation(nets.flows[0]) if len(nets.flows) == 1 else _truncations(nets.flows)


def _truncation(flow: GradientFlow) -> Picture:
    names, (line, notes) = recurrent(flow.problem), _error(flow, "relative error")
    title, of = f"What truncation costs ∂L/∂{names}", called(flow.problem)
    if line is None:
        return Picture("truncation", title, *_kept_axes("", [line]), (), of=of)._replace(
            finding=notes[0]
        )
    assert flow.lags is not None
    if np.isnan(line.y).all():
        return Picture(
            "truncation", title, *_kept_axes(_costs(flow, f"∂L/∂{names}"), [line]), (), of=of
        )
    cosine = flow.lags.truncation.cosine
    least = min(float(np.nanmin(cosine, initial=1.0)), 0.99)
    room = 0.05 * (1.0 - least)
    return Picture(
        "truncation", title, *_kept_axes(_costs(flow, f"∂L/∂{names}"), [line]),
        (line, Line("cosine", line.x, cosine, dashed=True, right=True)),
        right=Axis("cosine with the whole", low=least - room, high=1.0 + room), notes=notes, of=of,
    )  # fmt: skip


def _truncations(flows: Sequence[GradientFlow]) -> Picture:
    found = [_error(flow, called(flow.problem), f" of {called(flow.problem)}") for flow in flows]
    lines = [line for line, _ in found if line is not None]
    said = [
        _costs(flow, f"∂L/∂{recurrent(flow.problem)} of {called(flow.problem)}")
        for flow, (line, _) in zip(flows, found, strict=True)
        if line is not None
    ]
    notes = dict.fromkeys(note for _, some in found for note in some)
    names = {recurrent(flow.problem) for flow in flows}
    whole = f"∂L/∂{names.pop()}" if len(names) == 1 else "the recurrent gradient"
    return Picture(
        "truncation", f"What truncation costs {whole}", *_kept_axes(" ".join(said), lines),
        tuple(lines), notes=tuple(notes),
    )  # fmt: skip


def _kept_axes(finding: str, lines: Sequence[Line | None]) -> tuple[str, Axis, Axis]:
    """The finding, and both axes."""
    steps = sorted({float(k) for line in lines if line is not None for k in line.x})
    ticks = tuple((k, grouped(int(k))) for k in _apart(steps))
    x = Axis("steps that each loss keeps", log=True, whole=True, ticks=ticks)
    return finding, x, Axis("relative error", log=True)


def _apart(steps: Sequence[float]) -> list[float]:
    """Those on a log axis that do not touch each other, the last among them."""
    kept = list(steps[-1:])
    for k in steps[-2::-1]:
        if np.log(kept[0] / k) > 0.1 * np.log(steps[-1] / steps[0]):
            kept.insert(0, k)
    return kept


def _error(flow: GradientFlow, name: str, of: str = "") -> tuple[Line | None, tuple[str, ...]]:
    """The error against the steps that are kept, as far as it is above rounding; what there is to
    be said, or why there is none. ``of``: of which net, where there are several."""
    if not flow.affordable:
        return None, (unaffordable(flow),)
    names, found = recurrent(flow.problem), flow.lags
    if flow.problem.steps == 1:
        return None, (f"With one step{of} there is nothing to be cut off.",)
    if found is None or np.isnan(found.truncation.rel_error).any():
        return None, (f"∂L/∂{names}{of} is 0 or not finite, so no truncation of it is shown.",)
    error = found.truncation.rel_error
    steps = np.asarray(found.truncation.steps, float)
    notes = []
    if flow.sampled_lags:
        notes.append(f"Of {len(flow.sampled_steps)} of {grouped(flow.losses)} losses{of}.")
    if (error < BELOW).any():
        first = grouped(int(steps[np.argmax(error < BELOW)]))
        notes.append(f"From {first} steps on the error of ∂L/∂{names}{of} is below rounding.")
    return Line(name, steps, np.where(error < BELOW, np.nan, error)), tuple(notes)


def _costs(flow: GradientFlow, names: str) -> str:
    """From how many steps on the error is small, and how large it is with half of them."""
    assert flow.lags is not None
    steps, error = flow.lags.truncation.steps, flow.lags.truncation.rel_error
    i, first = int(np.argmax(error <= ENOUGH)), int(steps[0])
    least = "One step has" if first == 1 else f"{grouped(first)} steps have"
    if error[0] < BELOW:
        return f"{least} all of {names}."
    if i == 0:
        return f"{least} all but {percent(float(error[0]))} of {names}."
    before, enough = int(steps[i - 1]), int(steps[i])
    kept = "1 step" if before == 1 else f"{grouped(before)} steps"
    lost = percent(float(error[i - 1]))
    rest = "nothing" if error[i] < BELOW else percent(float(error[i]))
    return f"Keeping {kept} loses {lost} of {names}, keeping {grouped(enough)} loses {rest}."
