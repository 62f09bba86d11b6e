"""A sweep over two of its axes as maps of the growth rate: the median over seeds and sequences, a
map for each of the other settings.

Its cells are of one size whatever they are of: a scale, a seed, an activation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import inf, prod
from statistics import median
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

import numpy as np

from rnngrad.analyses.sweep.points import Row
from rnngrad.analyses.sweep.scaling import what_is_scaled
from rnngrad.analyses.sweep.sweep import SweepResult
from rnngrad.analyses.sweep.tasks import Plan
from rnngrad.errors import UsageError, did_you_mean, escaped
from rnngrad.views.numbers import grouped
from rnngrad.views.pictures.picture import Axis, Heat, Picture, on_one_scale

RATE = "growth rate, ln per step"

SWEPT: Mapping[str, str] = MappingProxyType(
    {
        "scale": "scale",
        "steps": "length",
        "seed": "seed",
        "sequence": "sequence",
        "activation": "activation",
        "spec": "net",
        "checkpoint": "checkpoint",
    }
)
"""What may be an axis, by its column in CSV, and what it is called."""

POOLED = ("seed", "sequence")
"""What a cell may be the median over."""

MOST = 12
"""Maps on a page."""

FEW, ROOM = 8, 40
"""Cells whose values stand at an axis at most; letters that there is room for below a map."""

Over: TypeAlias = tuple[str, str]


class Swept(NamedTuple):
    """A sweep, and the two axes of ``--map``."""

    done: SweepResult
    over: Over | None = None


def axes(text: str) -> Over:
    """The two of ``--map scale,seed``. Raises UsageError."""
    names = [part.strip() for part in text.split(",")]
    for name in names:
        if name not in SWEPT:
            hint = did_you_mean(name, SWEPT) or f"; they are {', '.join(SWEPT)}"
            raise UsageError(f"a map over '{escaped(text)}': no axis is called '{name}'{hint}")
    if len(set(names)) != 2:
        raise UsageError(f"a map over '{escaped(text)}': expected two axes, such as scale,seed")
    return names[0], names[1]


def check_swept(over: Over, plan: Plan) -> None:
    """UsageError for an axis of which there is one value alone, and for too many maps."""
    said = f"a map over '{','.join(over)}'"
    many = {name: len(set(plan.scales if name == "scale" else
                          (getattr(one, "spec" if name == "checkpoint" else name)
                           for one in plan.settings))) for name in SWEPT}  # fmt: skip
    for name in over:
        if many[name] < 2:
            raise UsageError(f"{said}: only one {SWEPT[name]} is swept")
    others = {name: many[name] for name in _apart(over) if name != "checkpoint" and many[name] > 1}
    maps = prod(others.values())
    if maps > MOST:
        each = " and ".join(f"each of {grouped(n)} {SWEPT[name]}s" for name, n in others.items())
        raise UsageError(
            f"{said}: that is a map for {each}, {grouped(maps)} in all; at most {MOST} are drawn"
        )


def _apart(over: Over) -> tuple[str, ...]:
    """What each map has one of; a checkpoint is a net."""
    ours = {*over, *({"spec", "checkpoint"} if {"spec", "checkpoint"} & {*over} else ())}
    return tuple(name for name in SWEPT if name not in ours and name not in POOLED)


def rate_map(swept: Swept) -> Iterator[Picture]:
    """The growth rate over the two axes of ``--map``, a map for each of all else but seeds and
    sequences; all in one scale of colours."""
    if swept.over is None:
        return
    done, apart = swept.done, _apart(swept.over)
    kinds: dict[tuple[float | str, ...], list[Row]] = {}
    for row in done.rows:
        kinds.setdefault(tuple(_of(row, name) for name in apart), []).append(row)
    several = [i for i, _ in enumerate(apart) if len({kind[i] for kind in kinds}) > 1]
    names = [", ".join(_said(apart[i], kind[i]) for i in several) for kind in kinds]
    yield from on_one_scale(
        mapped(done, rows, swept.over, of=name)
        for name, rows in zip(names, kinds.values(), strict=True)
    )


def _said(name: str, value: float | str) -> str:
    """A net by its name, a length as T = 30."""
    if isinstance(value, str):
        return escaped(value)
    return f"T = {grouped(int(value))}" if name == "steps" else f"{SWEPT[name]} {value:.3g}"


def mapped(
    done: SweepResult, rows: Sequence[Row], over: Over, finding: str = "", of: str = ""
) -> Picture:
    """The median rate of the rows of each cell, the first axis across and the second up."""
    across, up = (_values(rows, name) for name in over)
    rates: dict[tuple[object, object], list[float]] = {}
    for row in rows:
        rate = row.value("rate")
        if rate is not None:
            rates.setdefault((_of(row, over[0]), _of(row, over[1])), []).append(rate)
    z = np.array([[median(rates.get((x, y), [np.nan])) for x in across] for y in up])
    ticks, listed = _below(across)
    x, y = Axis(_label(over[0], done), ticks=ticks), Axis(_label(over[1], done), ticks=_ticks(up))
    return Picture(
        "map", f"Growth rate over {SWEPT[over[0]]} and {SWEPT[over[1]]}",
        finding or _finding(z, done.plan.steady), x, y,
        (Heat(RATE, np.arange(len(across), dtype=float), np.arange(len(up), dtype=float), z,
              across=across, down=up),),
        notes=(*listed, *_notes(rows, over)), of=of,
    )  # fmt: skip


def _of(row: Row, name: str) -> float | str:
    value = getattr(row, name)
    return "" if value is None else value


def _values(rows: Sequence[Row], name: str) -> tuple[float | str, ...]:
    """Numbers by their size, names as they come."""
    found = dict.fromkeys(_of(row, name) for row in rows)
    numbers = [value for value in found if not isinstance(value, str)]
    return tuple(sorted(numbers)) if len(numbers) == len(found) else tuple(found)


Ticks: TypeAlias = tuple[tuple[float, str], ...]


def _ticks(values: Sequence[float | str], few: int = FEW) -> Ticks:
    shown = np.unique(np.linspace(0, len(values) - 1, min(len(values), few)).round())
    return tuple((float(i), _words(values[int(i)])) for i in shown)


def _below(values: Sequence[float | str]) -> tuple[Ticks, tuple[str, ...]]:
    """As many as there is room for; names that have none are numbered, and a note lists them."""
    room = max(len(_words(value)) for value in values) + 2
    if len(values) * room <= ROOM or not isinstance(values[0], str):
        return _ticks(values, max(2, min(FEW, ROOM // room))), ()
    names = "; ".join(f"{i} {escaped(str(name))}" for i, name in enumerate(values, start=1))
    return _ticks(range(1, len(values) + 1), FEW), (f"Across: {names}.",)


def _words(value: float | str) -> str:
    if isinstance(value, str):
        return value if len(value) <= 16 else f"{value[:8]}...{value[-5:]}"
    return grouped(value) if isinstance(value, int) else f"{value:.3g}"


def scale_label(done: SweepResult) -> str:
    """What a scale is of; of a file of rows that is known of one layer of rnn alone."""
    gate, cells = done.plan.gate, {one.cell for one in done.plan.specs.values()}
    names = {what_is_scaled(cell, gate) for cell in cells}
    if not cells and all(row.spectral_radius is not None for row in done.rows):
        names = {"W_hh"}
    scaled = names.pop() if len(names) == 1 else ""
    scaled = scaled if 0 < len(scaled) <= ROOM else "the recurrent parameters"
    sizes = {"spectral-radius": "spectral radius", "sigma-max": "σ_max"}
    return f"{sizes.get(done.plan.relative_to, 'scale')} of {scaled}"


def _label(name: str, done: SweepResult) -> str:
    return {"scale": scale_label(done), "steps": "steps T"}.get(name, SWEPT[name])


def _finding(z: np.ndarray[tuple[int, int], np.dtype[np.float64]], steady: float) -> str:
    known = z[~np.isnan(z)]
    gone, blown = int((known < -steady).sum()), int((known > steady).sum())
    return (
        f"The gradient vanishes in {grouped(gone)} of {grouped(len(known))} cells and explodes in "
        f"{grouped(blown)}."
    )


def _notes(rows: Sequence[Row], over: Over) -> tuple[str, ...]:
    """What a cell is the median over, and what all of them share."""
    pooled = {name: len(_values(rows, name)) for name in POOLED if name not in over}
    many = [f"{grouped(count)} {SWEPT[name]}s" for name, count in pooled.items() if count > 1]
    said = [f"A cell is the median over {' and '.join(many)}."] if many else []
    if "steps" not in over:
        said.append(f"T = {grouped(rows[0].steps)}.")
    said += [f"{words[0].upper()}{words[1:]}." for words in without_a_rate(rows)]
    return tuple(said)


def without_a_rate(rows: Sequence[Row]) -> Iterator[str]:
    """How many points vanish to an exact zero, and how many are not defined."""
    values = [row.value("rate") for row in rows]
    zeros, unknown = values.count(-inf), values.count(None)
    if zeros:
        yield f"at {grouped(zeros)} point{'s' * (zeros > 1)} the chain is exactly 0: rate −∞"
    if unknown:
        yield f"{grouped(unknown)} point{'s have' if unknown > 1 else ' has'} no rate"
