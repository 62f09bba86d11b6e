"""What the options of ``sweep`` ask for, as a plan."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from glob import glob
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

from rnngrad.analyses.sweep.cost import seconds_a_point, seconds_a_zero
from rnngrad.analyses.sweep.points import Setting
from rnngrad.analyses.sweep.scales import points_in, scales_of
from rnngrad.analyses.sweep.tasks import Plan, bytes_needed, plan
from rnngrad.arithmetic.functions import ACTIVATIONS
from rnngrad.cli.boundary import say
from rnngrad.errors import SpecError, UsageError
from rnngrad.files import load
from rnngrad.files.specification.checkpoints import in_order
from rnngrad.net.batch import Batch, BidirectionalBatch, one_sequence
from rnngrad.net.bidirectional import Bidirectional, apart
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
    checkpoints: str | None = None


def planned(wanted: Wanted) -> tuple[Mapping[str, Problem | Batch], Plan]:
    """The problems as the specs have them, by name, and the plan; UsageError and SpecError for
    mistakes."""
    count = points_in(wanted.scales)
    lengths = _lengths(wanted.steps)
    specs = _loaded(wanted)
    seeds = 1 if wanted.seeds is None else wanted.seeds
    names = [name.strip() for name in (wanted.activation or "").split(",") if name.strip()]
    nets = max(seeds, 1) * max(len(lengths), 1) * max(len(set(names)), 1)
    nets *= sum(1 if isinstance(one, Problem) else one.size for one in specs.values())
    firsts = [one if isinstance(one, Problem) else one.net for one in specs.values()]
    times = [_seconds_a_point(one, lengths, names, count) for one in firsts]
    a_point, first = sum(times) / len(times), firsts[0]
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


def _loaded(wanted: Wanted) -> Mapping[str, Problem | Batch]:
    if wanted.checkpoints is not None:
        return _checkpoints(wanted, wanted.checkpoints)
    specs = loaded(wanted.specs, wanted.overrides)
    for problem in specs.values():
        _check_seeds(wanted, problem)
    return specs


def loaded(specs: Sequence[str], overrides: Sequence[str]) -> dict[str, Problem | Batch]:
    """The problems by name; those that share a name by the path of their spec."""
    for spec, times in Counter(specs).items():
        if times > 1:
            raise UsageError(f"'{spec}' is given {times} times; once is enough")
    problems = [load(spec, overrides=overrides) for spec in specs]
    names = Counter(problem.name for problem in problems)
    found: dict[str, Problem | Batch] = {}
    for spec, problem in zip(specs, problems, strict=True):
        name = problem.name if names[problem.name] == 1 else spec
        if isinstance(problem, Bidirectional):
            halves = zip(problem.halves, apart(problem), strict=True)
            found |= {f"{name}, {half.name}": one for half, one in halves}
        elif isinstance(problem, BidirectionalBatch):
            by_half = zip(problem.each[0].halves, problem.halves, strict=True)
            found |= {f"{name}, {half.name}": one for half, one in by_half}
        else:
            found[name] = problem
    return found


def _check_seeds(wanted: Wanted, problem: Problem | Batch) -> None:
    if wanted.seeds is not None and problem.draw is None:
        raise UsageError(
            f"--seeds {wanted.seeds}: nothing in '{problem.name}' is random, so all seeds give "
            "the same"
        )


def _checkpoints(wanted: Wanted, pattern: str) -> dict[str, Problem | Batch]:
    """Every trained file as the net of the spec, by its name; a file that holds another net, or
    none, is named on standard error and left out."""
    every = glob(pattern, recursive=True)  # noqa: PTH207 - a pattern may begin with /
    paths = in_order([path for path in every if Path(path).is_file()])
    if not paths:
        raise UsageError(f"--checkpoints '{pattern}': no file is called so")
    if len(wanted.specs) > 1:
        raise UsageError(
            "--checkpoints: give one spec; the checkpoints replace the file of its weights"
        )
    found: dict[str, Problem | Batch] = {}
    first: SpecError | None = None
    names = Counter(Path(path).name for path in paths)
    for path in paths:
        try:
            loaded = load(wanted.specs[0], overrides=wanted.overrides, checkpoint=path)
        except SpecError as error:
            first = first or error
            say(f"rnngrad: {path} is left out: {error.mistakes[0].splitlines()[0]}")
            continue
        loaded = loaded.each[0] if isinstance(loaded, BidirectionalBatch) else loaded
        net = loaded if isinstance(loaded, Batch) else one_sequence(loaded, "--checkpoints")
        _check_seeds(wanted, net)
        name = Path(path).name if names[Path(path).name] == 1 else Path(path).as_posix()
        if isinstance(net, Batch):
            sequences = tuple(replace(one, checkpoint=name) for one in net.sequences)
            found[name] = replace(net, sequences=sequences)
        else:
            found[name] = replace(net, checkpoint=name)
    if first is not None and not found:
        raise first
    return _of_one_shape(found)


def _of_one_shape(found: dict[str, Problem | Batch]) -> dict[str, Problem | Batch]:
    """Those of the shape that most have."""
    shapes = {name: _shape(net) for name, net in found.items()}
    usual = Counter(shapes.values()).most_common(1)[0][0]
    for name, shape in shapes.items():
        if shape != usual:
            (weight, mine), (_, others) = next(
                (a, b) for a, b in zip_longest(shape, usual, fillvalue=("", ())) if a != b
            )
            sides = "×".join(map(str, mine)), "×".join(map(str, others))
            words = f"its {weight} is {sides[0]}, that of the others {sides[1]}"
            say(f"rnngrad: {name} is left out: another net, {words}")
    return {name: net for name, net in found.items() if shapes[name] == usual}


def _shape(net: Problem | Batch) -> tuple[tuple[str, tuple[int, ...]], ...]:
    net = net.net if isinstance(net, Batch) else net
    return tuple((name, array.shape) for name, array in net.weights.items())


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
    net = Plan({(problem.name, problem.steps, None): problem}, (), ())
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
