"""What the options of ``sweep`` ask for, as a plan."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from rnngrad.analyses.sweep.cost import seconds_a_point, seconds_a_zero
from rnngrad.analyses.sweep.points import Setting
from rnngrad.analyses.sweep.scales import points_in, scales_of
from rnngrad.analyses.sweep.tasks import Plan, bytes_needed, plan
from rnngrad.arithmetic.functions import ACTIVATIONS
from rnngrad.errors import UsageError
from rnngrad.files import load
from rnngrad.net.problem import Problem

MANY = 100_000
"""Points of a sweep that are not begun without ``--yes``."""

LONG = 3600.0
"""Seconds likewise."""


class Wanted(NamedTuple):
    """The options as given."""

    specs: tuple[str, ...]
    overrides: tuple[str, ...]
    scales: str
    seeds: int | None
    steps: str | None
    activation: str | None
    relative_to: str
    steady: float
    critical_rtol: float
    gate: str | None
    yes: bool


def planned(wanted: Wanted) -> tuple[Mapping[str, Problem], Plan]:
    """The problems as the specs have them, by name, and the plan; UsageError and SpecError for
    mistakes."""
    count = points_in(wanted.scales)
    lengths = _lengths(wanted.steps)
    specs = _loaded(wanted)
    seeds = 1 if wanted.seeds is None else wanted.seeds
    names = [name.strip() for name in (wanted.activation or "").split(",") if name.strip()]
    nets = max(seeds, 1) * max(len(lengths), 1) * max(len(set(names)), 1) * len(specs)
    times = [_seconds_a_point(one, lengths, names, count) for one in specs.values()]
    a_point, first = sum(times) / len(times), next(iter(specs.values()))
    if count * nets > MANY:
        _ask(wanted.yes, count * nets, first, a_point)
    whole = plan(
        specs, scales_of(wanted.scales), seeds, steps=lengths, activations=names,
        relative_to=wanted.relative_to, steady=wanted.steady, width=wanted.critical_rtol,
        gate=wanted.gate,
    )  # fmt: skip
    if whole.points * a_point > LONG:
        _ask(wanted.yes, whole.points, first, a_point)
    return specs, whole


def _loaded(wanted: Wanted) -> dict[str, Problem]:
    specs = loaded(wanted.specs, wanted.overrides)
    for problem in specs.values():
        if wanted.seeds is not None and problem.draw is None:
            raise UsageError(
                f"--seeds {wanted.seeds}: nothing in '{problem.name}' is random, so all seeds are "
                "one"
            )
    return specs


def loaded(specs: Sequence[str], overrides: Sequence[str]) -> dict[str, Problem]:
    """The problems by name; those that share a name by the path of their spec."""
    for spec, times in Counter(specs).items():
        if times > 1:
            raise UsageError(f"'{spec}' is given {times} times; once is enough")
    problems = [load(spec, overrides=overrides) for spec in specs]
    names = Counter(problem.name for problem in problems)
    return {
        problem.name if names[problem.name] == 1 else spec: problem
        for spec, problem in zip(specs, problems, strict=True)
    }


def _seconds_a_point(
    problem: Problem, lengths: Iterable[int], names: Iterable[str], count: int
) -> float:
    """On average over lengths and activations, of ``count`` points, with one zero between them."""
    known = [name for name in names if name in ACTIVATIONS] or [problem.activation.name]
    steps = list(lengths) or [problem.steps]
    settings = [Setting(0, n, name) for n in steps for name in known]
    points = sum(seconds_a_point(problem, setting) for setting in settings)
    zeros = sum(seconds_a_zero(problem, setting) for setting in settings) if count > 1 else 0.0
    return (points + zeros / max(count, 1)) / len(settings)


def _ask(yes: bool, points: int, problem: Problem, a_point: float) -> None:
    """Refuse what takes hours, with how many, unless told to go on."""
    if yes:
        return
    net = Plan({(problem.name, problem.steps): problem}, (), ())
    gigabytes = bytes_needed(net) / 1e9 + 1.2e-6 * points
    raise UsageError(
        f"{points:,} points would take about {_duration(points * a_point)} on one core and "
        f"{gigabytes:.1f} GB of memory; --yes starts them, --jobs and --scheduler share the work"
    )


def _duration(seconds: float) -> str:
    for unit, length in (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} seconds"


def _lengths(text: str | None) -> tuple[int, ...]:
    if text is None:
        return ()
    items = [item.strip() for item in text.split(",")]
    for item in items:
        if not item.isdecimal() or int(item) == 0:
            raise UsageError(f"--steps '{text}': '{item}' is no number of steps; give 50,100,200")
    return tuple(int(item) for item in items)
