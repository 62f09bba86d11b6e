"""∂L/∂W_hh by lag, and what truncation would cost: one table, and its data."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rnngrad.analyses.derivation.notation import Notation
from rnngrad.analyses.flow.flow import GradientFlow
from rnngrad.chains.lags import Truncation
from rnngrad.net.problem import Problem
from rnngrad.views.blocks import Block, Column, Lines, Table
from rnngrad.views.formats.to_json import finite, nested
from rnngrad.views.numbers import from_log10, grouped, percent

BELOW = 2.0**-53
"""An error below it is rounding: the rows that follow it are left out."""

DECADES = 16
"""The longest bar: an error of 100 %, a sign a decade."""

LAYERS = 3
"""So many layers at most have a column each."""


def blocks(flow: GradientFlow) -> Iterator[Block]:
    """A row for 1, 2, 4 … T steps that each loss keeps."""
    if flow.problem.steps < 2 or flow.lags is None:
        return
    names, whole = recurrent(flow.problem), flow.lags.truncation
    if np.isnan(whole.rel_error).any():
        yield Lines((f"∂L/∂{names} is 0 or not finite, so no truncation of it is shown.",))
        return
    layers = flow.lags.by_layer if 1 < len(flow.lags.by_layer) <= LAYERS else ()
    h = Notation(flow.problem).state
    columns = (
        Column("k"), Column("error"), *(Column(f"layer {i + 1}") for i in range(len(layers))),
        Column("cosine"), Column("lags"), Column("share"), Column("reach"),
        *([] if layers else [Column("", right=False)]),
    )  # fmt: skip
    count = int(np.argmax(whole.rel_error < BELOW)) + 1
    rows = [_row(flow, i, whole, layers) for i in range(count)]
    notes = [
        f"error: the norm of what ∂L/∂{names} loses, relative to it. share: the part of it that "
        f"these lags have, 100 % in all. reach: ‖∂L_t/∂{h}_{{t−k+1}}‖/‖∂L_t/∂{h}_t‖, median."
        + ("" if layers else f" Bars show the error, a sign a decade above 1e-{DECADES}."),
    ]
    if count < len(whole.steps):
        notes.append(
            f"From k = {grouped(int(whole.steps[count - 1]))} on the error is below rounding."
        )
    whose = f" {flow.result.of_one}" if flow.result.of_one else ""
    title = f"Truncation: ∂L/∂{names}{whose} if each L_t keeps its last k steps"
    yield Table(title, columns, tuple(rows), tuple(notes))


def _row(
    flow: GradientFlow, i: int, whole: Truncation, layers: tuple[Truncation, ...]
) -> tuple[str, ...]:
    assert flow.lags is not None
    last = int(whole.steps[i])
    first = 0 if i == 0 else int(whole.steps[i - 1])
    lags = grouped(first) if last == first + 1 else f"{grouped(first)}-{grouped(last - 1)}"
    reach = flow.lag_profile[last - 1]
    return (
        grouped(last),
        percent(float(whole.rel_error[i])),
        *(percent(float(one.rel_error[i])) for one in layers),
        f"{whole.cosine[i]:.4f}",
        lags,
        percent(float(flow.lags.shares[first:last].sum())),
        "" if np.isnan(reach) else from_log10(float(reach)),
        *([] if layers else [_bar(float(whole.rel_error[i]))]),
    )


def _bar(error: float) -> str:
    """A sign for each decade that the error is above rounding."""
    return "" if error <= 0 else "█" * max(0, min(DECADES, round(DECADES + np.log10(error))))


def recurrent(problem: Problem) -> str:
    """What W_hh is called in this net; where it is several, the first and the last."""
    blocks = {part: whole for whole, parts in problem.cell.blocks.items() for part in parts}
    names = list(dict.fromkeys(blocks.get(name, name) for name in problem.cell.scaled))
    if len(names) < 3:
        return names[0] if len(names) == 1 else f"({', '.join(names)})"
    return f"({names[0]}, .., {names[-1]})"


def truncation(flow: GradientFlow) -> list[dict[str, object]] | None:
    """The key ``truncation`` of derive's JSON; None where it does not exist, or is not computed
    unasked."""
    if not flow.affordable or flow.lags is None:
        return None
    whole, layers = flow.lags.truncation, flow.lags.by_layer
    return [
        {"steps": int(steps), **_costs(whole, i)}
        | ({"layers": [_costs(one, i) for one in layers]} if len(layers) > 1 else {})
        for i, steps in enumerate(whole.steps)
    ]


def _costs(one: Truncation, i: int) -> dict[str, object]:
    return {"rel_error": finite(float(one.rel_error[i])), "cosine": finite(float(one.cosine[i]))}


def data(flow: GradientFlow) -> dict[str, object]:
    """The keys ``shares`` and ``lag_profile`` of ``gradient_flow``."""
    shown: dict[str, object] = {}
    if flow.lags is not None:
        shown["shares"] = nested(flow.lags.shares)
    return shown | {"lag_profile": nested(flow.lag_profile)}
