"""The unrolled net as a picture: the gradient's way back, arrow by arrow."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

import numpy as np

from rnngrad.analyses.derivation.notation import Notation
from rnngrad.analyses.flow.flow import GradientFlow
from rnngrad.analyses.flow.unrolled import Sizes, Window, window
from rnngrad.views.numbers import grouped
from rnngrad.views.pictures.nets import Nets
from rnngrad.views.pictures.picture import Arrow, Axis, Graph, Node, Picture
from rnngrad.views.pictures.words import called, rough


def unrolled(nets: Nets) -> Iterator[Picture]:
    """States and losses, and an arrow back for what each step and each loss lets through."""
    for flow in nets.flows:
        yield _unrolled(flow, window(flow.result, nets.step))


def _unrolled(flow: GradientFlow, seen: Window) -> Picture:
    problem = flow.problem
    h, top = Notation(problem).state, Notation(problem).top
    states = [_state(h, t, seen) for t in range(seen.first, seen.last + 1)]
    losses = [Node(f"L_{t}", float(t - seen.first), 1.0, round=False)
              for t in range(seen.first + 1, seen.last + 1)]  # fmt: skip
    arrows = [
        Arrow(states[i + 1], states[i], float(log10), f"×{rough(float(log10), float(sign))}")
        for i, (log10, sign) in enumerate(zip(*seen.jacobians, strict=True))
    ]
    counted = []
    if seen.direct is not None:
        for i, (log10, sign) in enumerate(zip(*seen.direct, strict=True)):
            if log10 > -inf or np.isnan(log10):
                counted.append(losses[i])
                words = rough(float(log10), float(sign))
                arrows.append(Arrow(losses[i], states[i + 1], float(log10), words))
    notes = []
    if seen.last - seen.first < problem.steps:
        notes.append(f"Steps {grouped(seen.first + 1)} to {grouped(seen.last)} of "
                     f"{grouped(problem.steps)}.")  # fmt: skip
    notes.append(
        f"Beside an arrow: ‖∂{h}_t/∂{h}_{{t−1}}‖"
        + (f", ‖∂L_t/∂{top}_t‖; below a state ‖∂L/∂{h}_t‖." if seen.whole is not None else ".")
    )
    if problem.state_size == 1:
        notes[-1] = notes[-1].replace("‖", "")
    if any(arrow.log10 < 0 for arrow in arrows):
        notes[-1] += " A striped arrow lets less than 1 through."
    return Picture(
        "unrolled", "What each arrow lets through", _finding(h, seen), Axis(""), Axis(""),
        (Graph((*states, *counted), tuple(arrows)),), notes=tuple(notes), of=called(problem),
    )  # fmt: skip


def _state(h: str, t: int, seen: Window) -> Node:
    at = t - seen.first
    if seen.whole is None:
        return Node(f"{h}_{t}", float(at), 0.0)
    log10, sign = float(seen.whole.log10[at]), float(seen.whole.signs[at])
    value = float(10.0**log10) if -300 < log10 < 300 else None
    value = value if value is None or not sign else sign * value
    return Node(f"{h}_{t}", float(at), 0.0, words=rough(log10, sign), value=value)


def _finding(h: str, seen: Window) -> str:
    """Between what and what the arrows of the chain multiply."""
    sizes: Sizes = seen.jacobians
    if np.isnan(sizes.log10).any():
        return "An arrow back multiplies by what is not a number."
    low, high = rough(float(sizes.log10.min())), rough(float(sizes.log10.max()))
    by = low if low == high else f"{low} to {high}"
    most = "" if sizes.signs.all() else " at most"
    return f"An arrow back multiplies a gradient by{most} {by}."
