"""The paths that ∂L/∂W is the sum of, as a waterfall."""

from __future__ import annotations

from collections.abc import Iterator
from math import isnan

from rnngrad.analyses.derivation.paths import PathSum
from rnngrad.analyses.derivation.selection import affordable_sums
from rnngrad.views.numbers import grouped, percent
from rnngrad.views.pictures.nets import Nets
from rnngrad.views.pictures.picture import Axis, Bar, Bars, Level, Picture
from rnngrad.views.pictures.words import called, unaffordable

ROUNDING = 1e-12
"""A share below it is shown as 0."""

SUMS = 2
"""So many parameters have a picture, of one net: in rnn, gru and lstm W_hh and W_xh."""


def paths(nets: Nets) -> Iterator[Picture]:
    """Signed shares of S(t, k), largest first, that add up to 100 %."""
    for flow in nets.flows:
        if not (flow.full or affordable_sums(flow.problem)):
            title, name = "The paths that ∂L/∂W is the sum of", called(flow.problem)
            yield Picture("paths", title, unaffordable(flow), Axis(""), Axis(""), (), of=name)
            continue
        sums = flow.result.path_sums
        shown = [one for one in sums if one.weight in nets.weights]
        if not nets.weights:
            shown = list(sums[: 1 if len(nets.flows) > 1 else SUMS])
        for one in shown:
            left_out = len(sums) - len(shown)
            yield _waterfall(one, left_out, called(flow.problem))


def _waterfall(one: PathSum, left_out: int, of: str) -> Picture:
    title = f"The paths that ∂L/∂{one.weight} is the sum of"
    x, y = Axis(f"share of ∂L/∂{one.weight}, %"), Axis("")
    if not one.summands or any(isnan(path.share) for path in one.summands):
        why = f"∂L/∂{one.weight} is 0 or not finite, so its paths have no shares."
        return Picture("paths", title, why, x, y, (), of=of)
    largest = sorted(one.summands, key=lambda path: -abs(path.share))
    bars, at = [], 0.0
    for path in largest:
        name = f"L_{path.t} → step {path.k}"
        bars.append(_bar(name, at, path.share))
        at = bars[-1].end
    if one.left_out:
        bars.append(_bar(f"{grouped(one.left_out)} more", at, one.left_out_share))
    first = largest[0]
    finding = (
        f"The largest of {grouped(one.total)} paths, from L_{first.t} to step {first.k}, "
        f"has {percent(first.share)}."
        if one.total > 1
        else f"There is one path, from L_{first.t} to step {first.k}."
    )
    notes = (f"Not shown: the paths of {left_out} more of its parameters.",) if left_out else ()
    return Picture("paths", title, finding, x, y, (Bars(tuple(bars)), Level("", x=100.0)),
                   notes=notes, of=of)  # fmt: skip


def _bar(name: str, at: float, share: float) -> Bar:
    share = 0.0 if abs(share) < ROUNDING else share
    words = percent(share).replace("-", "−") if share < 0 else f"+{percent(share)}"
    return Bar(name, at, at + 100.0 * share, words, "blown up" if share >= 0 else "gone")
