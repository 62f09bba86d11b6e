"""A sweep over two of its axes as a map: the growth rate, the median over all that is not an axis.

Its cells are of one size whatever they are of: a scale, a seed, an activation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

import numpy as np

from rnngrad.analyses.sweep.points import Row
from rnngrad.analyses.sweep.sweep import SweepResult
from rnngrad.analyses.sweep.tasks import Plan
from rnngrad.errors import UsageError, did_you_mean, escaped
from rnngrad.views.numbers import grouped
from rnngrad.views.pictures.picture import Axis, Heat, Picture

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

FEW = 8
"""Cells whose values stand at an axis at most."""

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
    """UsageError for an axis of which there is one value alone."""
    for name in over:
        column = "spec" if name == "checkpoint" else name
        values = set(plan.scales if name == "scale" else
                     (getattr(one, column) for one in plan.settings))  # fmt: skip
        if len(values) < 2:
            raise UsageError(f"a map over '{','.join(over)}': only one {SWEPT[name]} is swept")


def rate_map(swept: Swept) -> Iterator[Picture]:
    """The growth rate over the two axes of ``--map``."""
    if swept.over is not None:
        yield mapped(swept.done, swept.done.rows, swept.over)


def mapped(
    done: SweepResult, rows: Sequence[Row], over: Over, finding: str = "", of: str = ""
) -> Picture:
    """The median rate of the rows of each cell, the first axis across and the second up."""
    across, up = (_values(rows, name) for name in over)
    rates: dict[tuple[object, object], list[float]] = {}
    for row in rows:
        if row.rate is not None:
            rates.setdefault((_of(row, over[0]), _of(row, over[1])), []).append(row.rate)
    z = np.array([[median(rates.get((x, y), [np.nan])) for x in across] for y in up])
    x, y = (
        Axis(_label(name, done), ticks=_ticks(some))
        for name, some in ((over[0], across), (over[1], up))
    )
    return Picture(
        "map", f"Growth rate over {SWEPT[over[0]]} and {SWEPT[over[1]]}",
        finding or _finding(z, done.plan.steady), x, y,
        (Heat(RATE, np.arange(len(across), dtype=float), np.arange(len(up), dtype=float), z,
              across=across, down=up),),
        notes=_notes(rows, over), of=of,
    )  # fmt: skip


def _of(row: Row, name: str) -> float | str:
    value = getattr(row, name)
    return "" if value is None else value


def _values(rows: Sequence[Row], name: str) -> tuple[float | str, ...]:
    """Numbers by their size, names as they come."""
    found = dict.fromkeys(_of(row, name) for row in rows)
    numbers = [value for value in found if not isinstance(value, str)]
    return tuple(sorted(numbers)) if len(numbers) == len(found) else tuple(found)


def _ticks(values: Sequence[float | str]) -> tuple[tuple[float, str], ...]:
    shown = np.unique(np.linspace(0, len(values) - 1, min(len(values), FEW)).round())
    return tuple((float(i), _words(values[int(i)])) for i in shown)


def _words(value: float | str) -> str:
    if isinstance(value, str):
        return value if len(value) <= 16 else f"{value[:8]}...{value[-5:]}"
    return grouped(value) if isinstance(value, int) else f"{value:.3g}"


def scale_label(done: SweepResult) -> str:
    """What a scale is of."""
    gate = f" (gate {done.plan.gate})" if done.plan.gate else ""
    sizes = {"spectral-radius": "spectral radius", "sigma-max": "σ_max"}
    return f"{sizes.get(done.plan.relative_to, 'scale')} of W_hh{gate}"


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
    kinds = {name: _values(rows, name) for name in SWEPT if name not in over}
    many = [f"{grouped(len(some))} {SWEPT[name]}s" for name, some in kinds.items()
            if len(some) > 1]  # fmt: skip
    said = [f"A cell is the median over {' and '.join(many)}."] if many else []
    if "steps" in kinds and len(kinds["steps"]) == 1:
        said.append(f"T = {_words(kinds['steps'][0])}.")
    missing = sum(row.rate is None for row in rows)
    if missing:
        said.append(f"{grouped(missing)} points have no finite rate.")
    return tuple(said)
