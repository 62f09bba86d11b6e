"""What a sweep shows, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from statistics import median

import numpy as np

from rnngrad.analyses.sweep.points import Row
from rnngrad.analyses.sweep.sweep import Part
from rnngrad.arithmetic.arrays import quietly
from rnngrad.arithmetic.functions import ACTIVATIONS
from rnngrad.arithmetic.scaled import LEAST
from rnngrad.views.numbers import grouped, number

FAR = 100.0
"""A pre-activation at which every σ that saturates has."""

BEYOND = 1e13
"""One at which every σ' that falls exponentially is below 2^``LEAST``."""

VERBS = {"vanishing": "vanishes", "steady": "is steady", "exploding": "explodes"}


def words(part: Part) -> Iterator[str]:
    """Where it vanishes and explodes, the critical scale, and why it may vanish again."""
    yield _where(part.rows)
    yield from _critical(part)
    yield from _saturated(part)
    yield from _exact_zeros(part)
    undefined = [row for row in part.rows if row.first_nonfinite_step is not None]
    if undefined:
        least = min(abs(row.scale) for row in undefined)
        yield f"The forward pass itself overflows from {_sized(part.rows)} {number(least)} on."


def of_what(rows: Sequence[Row]) -> str:
    """What the rows of one scale are: seeds, or the sequences of a batch, or both."""
    if rows[0].sequence is None:
        return "seeds"
    return "sequences" if len({row.seed for row in rows}) == 1 else "sequences and seeds"


def _where(rows: Sequence[Row]) -> str:
    """Runs of scales whose seeds mostly are in one regime, and in how many of them it is so."""
    by_scale: dict[float, list[str]] = {}
    for row in rows:
        by_scale.setdefault(row.scale, []).append(row.regime or "undefined")
    most = [(scale, _majority(names), names) for scale, names in sorted(by_scale.items())]
    one = "sequence" if of_what(rows) == "sequences" else "seed"
    verbs = {**VERBS, "mixed": f"differs from {one} to {one}"}
    runs = []
    for name, group in groupby(most, key=lambda one: one[1]):
        run = list(group)
        ends = number(run[0][0])
        ends += f" to {number(run[-1][0])}" if len(run) > 1 else ""
        counts = {(names.count(name), len(names)) for _, _, names in run}
        least, of = min(counts, key=lambda count: count[0] / count[1])
        some = f"{'at least ' * (len(counts) > 1)}{least} of {of} {of_what(rows)}"
        where = f" (in {some})" if name != "mixed" and least < of else ""
        runs.append(f"{verbs.get(name, 'is undefined')} at {ends}{where}")
    return f"The gradient {'; '.join(runs)}."


def _majority(names: Sequence[str]) -> str:
    """The regime of more than half of the seeds; ``mixed`` where there is none."""
    most = max(names, key=names.count)
    return most if 2 * names.count(most) > len(names) else "mixed"


def _critical(part: Part) -> Iterator[str]:
    found = part.critical
    if part.interrupted:
        yield "Interrupted: the critical scale was not looked for to the end."
        return
    if found is None:
        yield "Its rate does not pass 0 upward in this range: no critical scale."
        return
    ends = f"between {found.low:.7g} and {found.high:.7g}"
    others = "; the others have none" if found.seeds < found.of else ""
    if part.kept:
        yield f"The rate first passes 0 {ends}{whose(part)}{others}."
        return
    if found.of == 1:
        yield f"Critical scale: {found.value:.6g}, {ends}, where the rate passes 0."
    else:
        ends = f", {ends}" if found.seeds > 1 else ""
        yield f"Critical scale: {found.value:.6g}{whose(part)}{ends}{others}."
    if len(found.crossings) > found.seeds:
        shown = ", ".join(f"{zero:.5g}" for zero in found.crossings[:8])
        more = f" and {len(found.crossings) - 8} more" if len(found.crossings) > 8 else ""
        yield f"The rate passes 0 {grouped(len(found.crossings))} times: at {shown}{more}."
    yield (
        f"This is at T = {grouped(part.steps)}: a chain of finite length need not turn where an "
        "endless one does, since a product of matrices that are not normal grows before it decays."
    )


def whose(part: Part) -> str:
    """Whose the critical scale is, where there are several seeds: not all need have one."""
    found = part.critical
    if found is None or found.of == 1:
        return ""
    some = "" if found.seeds == found.of else f"{grouped(found.seeds)} of "
    of = f"{some}{grouped(found.of)} {of_what(part.rows)}"
    return f", {'in' if found.seeds == 1 else 'the median of'} {of}"


def _saturated(part: Part) -> Iterator[str]:
    """Why a net with a large W_hh can vanish again: σ' takes away more than W_hh gives."""
    largest = max(abs(row.scale) for row in part.rows)
    rows = [row for row in part.rows if abs(row.scale) == largest]
    slopes = [row.mean_slope for row in rows if row.mean_slope is not None]
    bounds = [row.log10_bound for row in rows if row.log10_bound is not None]
    norms = [row.log10_chain_norm for row in rows if row.log10_chain_norm is not None]
    activation = ACTIVATIONS[part.activation]
    steepest = activation.steepest
    if not (slopes and bounds and norms) or median(slopes) > 0.5 * steepest:
        return
    if activation.slope(np.array([-FAR, FAR])).max() > 0.5 * steepest:
        return  # relu has units that are off, at any scale
    lost = median(bounds) - median(norms)
    again = ", so the gradient vanishes although W_hh is large" if median(norms) < 0 else ""
    yield (
        f"At {_sized(part.rows)} {number(largest)} the units are saturated: σ' is "
        f"{median(slopes):.3g} on average, at most {steepest:g}. That takes {lost:.4g} decades off "
        f"what W_hh alone could give{again}."
    )


def _exact_zeros(part: Part) -> Iterator[str]:
    """What −inf may stand for, where σ' has slopes below the least number there is."""
    gone = [row for row in part.rows if row.log10_chain_norm is None and row.regime == "vanishing"]
    scales = [abs(row.scale) for row in gone if row.scale]
    with quietly():
        slopes = ACTIVATIONS[part.activation].log2_slope(np.array([-BEYOND, BEYOND]))
    if scales and (np.isfinite(slopes) & (slopes < LEAST)).any():
        yield (
            f"-inf, first at {_sized(part.rows)} {number(min(scales))}, is an exact zero, or comes "
            "of slopes σ' below 2^(-2^40), which count as exact zeros."
        )


def _sized(rows: Sequence[Row]) -> str:
    """What is compared by its size."""
    return "|scale|" if any(row.scale < 0 for row in rows) else "scale"
