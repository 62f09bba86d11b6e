"""A sweep as pictures: the growth rate against the scale of W_hh, or against the length."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from math import isfinite
from statistics import median

import numpy as np

from rnngrad.analyses.sweep.points import Row
from rnngrad.analyses.sweep.sweep import Part, SweepResult, mean_field_of
from rnngrad.arithmetic.arrays import Array
from rnngrad.views.numbers import grouped
from rnngrad.views.pictures.picture import (
    Axis,
    Band,
    Level,
    Line,
    Mark,
    Picture,
    Region,
    on_one_scale,
)
from rnngrad.views.pictures.rate_map import RATE, Swept, mapped, scale_label, without_a_rate
from rnngrad.views.sweeps.words import VERBS, of_what, whose, words


def rate(swept: Swept) -> Iterator[Picture]:
    """One picture of all parts; of several lengths and scales a map for each spec and activation,
    and of several lengths at one scale a line against the length; of checkpoints at one scale one
    against the training."""
    done = swept.done
    kinds = dict.fromkeys((part.spec, part.activation) for part in done.parts)
    groups = [[p for p in done.parts if (p.spec, p.activation) == kind] for kind in kinds]
    if done.pooled:
        yield _against_training(done)
    elif all(len(group) == 1 for group in groups):
        yield _against_scale(done)
    elif len({row.scale for row in done.rows}) == 1:
        yield _against_length(done)
    else:
        yield from on_one_scale(_by_length(group, done) for group in groups)


def _name(part: Part, parts: Sequence[Part]) -> str:
    """What tells a part from the others."""
    specs = {p.spec for p in parts}
    said = [part.spec] if len(specs) > 1 else []
    if len(specs) == len(parts):
        return part.spec if said else "rate"
    said += [part.activation] if len({p.activation for p in parts}) > 1 else []
    said += [f"T = {grouped(part.steps)}"] if len({p.steps for p in parts}) > 1 else []
    return ", ".join(said) or "rate"


def _medians(rows: Sequence[Row], by: str) -> tuple[list[float], list[list[float]]]:
    """The values on the axis, and the rates of all seeds at each."""
    at: dict[float, list[float]] = {}
    for row in sorted(rows, key=lambda row: float(getattr(row, by))):
        found = row.value("rate")
        if found is not None:
            at.setdefault(float(getattr(row, by)), []).append(found)
    return list(at), list(at.values())


def _curve(name: str, rows: Sequence[Row], by: str) -> Iterator[Mark]:
    at, rates = _medians(rows, by)
    x = np.array(at)
    yield from _all(f"{name}, all seeds" if name != "rate" else "all seeds", x, rates)
    several = any(len(some) > 1 for some in rates)
    called = f"{name}, median" if several and name == "rate" else name
    middle = np.array([median(some) for some in rates])
    middle[np.isinf(middle)] = np.nan
    yield Line(called, x, middle, points=len(at) == 1)


def _regions(steady: float) -> tuple[Region, Region]:
    """Where it vanishes and explodes."""
    return (
        Region("vanishes", -np.inf, -steady, "gone"),
        Region("explodes", steady, np.inf, "blown up"),
    )


def _against_scale(done: SweepResult) -> Picture:
    marks: list[Mark] = []
    for part in done.parts:
        marks += _curve(_name(part, done.parts), part.rows, "scale")
    alone = done.parts[0] if len(done.parts) == 1 else None
    if alone is not None:
        marks += [*_mean_field(done, alone), *_places(alone)]
    scales = [row.scale for row in done.rows]
    log = min(scales) > 0 and max(scales) >= 20 * min(scales)
    x = Axis(scale_label(done), log=log)
    return Picture(
        "rate", "Vanishing and exploding", _finding(done.parts), x, Axis(RATE),
        (*_regions(done.plan.steady), *marks), notes=_about(done),
        of=alone.spec if alone is not None else "",
    )  # fmt: skip


def _mean_field(done: SweepResult, part: Part) -> Iterator[Line]:
    """The exponent that theory has for endless nets."""
    exponents = mean_field_of(done, part)
    if exponents is not None:
        at = np.array(sorted({row.scale for row in part.rows}))
        yield Line("mean field, H → ∞", at, np.array(exponents), dashed=True)


def _places(part: Part) -> Iterator[Level]:
    """Where the rate passes 0, and where theory puts it."""
    names = {"bound": "1/(γ·σ_max)", "eigenvalues": "1/ρ"}
    if part.critical is not None:
        found = part.critical
        ends = f", {found.low:.4g} to {found.high:.4g}" if found.seeds > 1 else ""
        seeds = f" ({found.seeds} of {found.of} {of_what(part.rows)}{ends})"
        seeds = seeds if found.of > 1 else ""
        yield Level(f"critical scale = {found.value:.4g}{seeds}", x=found.value)
    for statement in part.theory:
        applies = statement.verdict != "does not apply" and statement.id in names
        if statement.scale is not None and applies:
            yield Level(f"{names[statement.id]} = {statement.scale:.4g}", x=statement.scale)


def _finding(parts: Sequence[Part]) -> str:
    """Where it vanishes and explodes; of several parts, the critical scale of each."""
    found = parts[0].critical
    if len(parts) == 1 and found is not None and len(found.crossings) == found.seeds == found.of:
        below = f"{found.value:.4g}{whose(parts[0])}"
        return f"The gradient vanishes below {below}, and explodes above."
    if len(parts) == 1:
        return next(words(parts[0]))
    said = []
    for part in parts:
        found = part.critical
        at = "none" if found is None else f"{found.value:.4g}"
        some = found is not None and found.seeds < found.of
        at += f" ({found.seeds} of {found.of} {of_what(part.rows)})" if found and some else ""
        said.append(f"{_name(part, parts)} {at}")
    return f"Critical scale: {'; '.join(said)}."


def _about(done: SweepResult) -> tuple[str, ...]:
    """Seeds, length, and points without a rate."""
    seeds = max(len({row.seed for row in part.rows}) for part in done.parts)
    steps = sorted({row.steps for row in done.rows})
    said = [f"T = {', '.join(map(grouped, steps[:6]))}{' …' if len(steps) > 6 else ''}"]
    said += [f"{seeds} seeds"] if seeds > 1 else []
    sequences = len({row.sequence for row in done.rows})
    said += [f"lines: median over {sequences} sequences"] if done.pooled and sequences > 1 else []
    return (f"{'; '.join([*said, *without_a_rate(done.rows)])}.",)


def _against_length(done: SweepResult) -> Picture:
    marks: list[Mark] = []
    kinds = dict.fromkeys((part.spec, part.activation) for part in done.parts)
    for spec, activation in kinds:
        rows = [r for r in done.rows if (r.spec, r.activation) == (spec, activation)]
        name = spec if len({s for s, _ in kinds}) > 1 else activation
        marks += _curve(name if len(kinds) > 1 else "rate", rows, "steps")
    regimes = [row.regime or "undefined" for row in done.rows]
    most = max(regimes, key=regimes.count)
    count = f"{regimes.count(most)} of {len(regimes)} points"
    said = f"The gradient {VERBS.get(most, 'is undefined')} at {count}."
    return Picture(
        "rate", "Growth rate against the length", said, Axis("steps T", whole=True), Axis(RATE),
        (*_regions(done.plan.steady), *marks), notes=_about(done),
    )  # fmt: skip


MOST_NAMES = 6
"""Checkpoints whose names stand below the axis."""


def _against_training(done: SweepResult) -> Picture:
    """The rate and the largest exponent of each checkpoint, in order; the median over seeds and
    sequences, and all rates behind it."""
    names = list(dict.fromkeys(row.checkpoint or "" for row in done.rows))
    marks: list[Mark] = []
    medians: dict[str, list[float]] = {}
    for called, column in (("growth rate", "rate"), ("largest exponent", "lyapunov_max")):
        values = [
            [v for row in done.rows if row.checkpoint == name
             if (v := row.value(column)) is not None] for name in names
        ]  # fmt: skip
        medians[column] = [median(some) if some else np.nan for some in values]
        x, y = np.arange(1.0, len(names) + 1), np.array(medians[column])
        y[np.isinf(y)] = np.nan
        if column == "rate":
            marks += _all(f"{called}, all {of_what(done.rows)}", x, values)
        marks.append(Line(called, x, y, points=len(names) == 1, dashed=column != "rate"))
    known = [(n, v) for n, v in zip(names, medians["rate"], strict=True) if np.isfinite(v)]
    said = "No checkpoint has a finite growth rate."
    if known:
        (first, before), (last, after) = known[0], known[-1]
        said = f"The growth rate goes from {before:.4g} ({first}) to {after:.4g} ({last})."
    shown = np.unique(np.linspace(0, len(names) - 1, min(len(names), MOST_NAMES)).round())
    ticks = tuple((float(i) + 1.0, _numbers_in(names[int(i)])) for i in shown)
    return Picture(
        "rate", "Growth rate against the training", said,
        Axis("checkpoint, by its numbers", ticks=ticks), Axis("ln per step"),
        (*_regions(done.plan.steady), *marks), notes=_about(done),
    )  # fmt: skip


def _all(name: str, x: Array, values: Sequence[Sequence[float]]) -> Iterator[Band]:
    """From the least to the largest, where there are several; an exact zero has no place: down to
    the lowest that has."""
    if any(len(some) > 1 for some in values):
        lowest = min((v for some in values for v in some if isfinite(v)), default=0.0)
        low, high = ([end(some) if some else np.nan for some in values] for end in (min, max))
        yield Band(name, x, np.maximum(low, lowest), np.maximum(high, lowest))


def _numbers_in(name: str) -> str:
    """``3-400`` of epoch=3-step=400.safetensors; the name without its ending where it has none."""
    stem = name.rpartition(".")[0] or name
    return "-".join(re.findall(r"\d+", stem)) or stem


def _by_length(parts: Sequence[Part], done: SweepResult) -> Picture:
    """A map over scale and length of one spec and activation."""
    found = [part.critical.value for part in parts if part.critical is not None]
    said = "The rate passes 0 nowhere in this range."
    if found:
        low, high = f"{min(found):.4g}", f"{max(found):.4g}"
        between = low if low == high else f"between {low} and {high}"
        every = "" if len(found) == len(parts) else f" for {len(found)} of {len(parts)} lengths"
        some = any(part.critical and part.critical.seeds < part.critical.of for part in parts)
        lost = "; not every seed has one" if some else ""
        said = f"The critical scale lies {'at ' if low == high else ''}{between}{every}{lost}."
    kinds = {(part.spec, part.activation) for part in done.parts}
    names = [parts[0].spec] if len({spec for spec, _ in kinds}) > 1 or len(kinds) == 1 else []
    names += [parts[0].activation] if len({name for _, name in kinds}) > 1 else []
    rows = [row for part in parts for row in part.rows]
    drawn = mapped(done, rows, ("scale", "steps"), said, ", ".join(names))
    return drawn._replace(name="rate")
