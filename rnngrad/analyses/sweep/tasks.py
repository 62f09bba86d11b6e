"""A sweep as tasks, in one loop over any ``concurrent.futures.Executor``, or over none.

A task is a few points of one setting, about a second's work, so that sending it is worth its while;
it carries the problem as bytes, and whoever gets it, in this process or on another machine, makes
the same rows of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import replace
from functools import lru_cache
from itertools import islice
from typing import Any, NamedTuple, TypeVar

from rnngrad.analyses.flow.stability import STEADY
from rnngrad.analyses.sweep.cost import seconds_a_point
from rnngrad.analyses.sweep.critical_scales import WIDTH, Gap, Zero, closed_in
from rnngrad.analyses.sweep.points import Net, Row, Setting
from rnngrad.analyses.sweep.scaling import check_gate, check_relative, check_scaled, kind_of
from rnngrad.analyses.sweep.serialising import packed, unpacked
from rnngrad.arithmetic.functions import ACTIVATIONS
from rnngrad.errors import UsageError, did_you_mean
from rnngrad.net.batch import Batch, alone
from rnngrad.net.problem import Problem

TASK_SECONDS = 1.0
"""Work that a task should carry."""

MOST_IN_A_TASK = 4096

T = TypeVar("T")


Base = tuple[str, int, int | None]
"""Spec, steps, sequence."""


class Plan(NamedTuple):
    """What to sweep. ``bases``: the problem to draw from and to shorten, by spec, number of steps
    and, of a batch, sequence; ``gate``: the one whose rows are scaled, None for all."""

    bases: Mapping[Base, Problem]
    scales: tuple[float, ...]
    settings: tuple[Setting, ...]
    relative_to: str = "weights"
    steady: float = STEADY
    width: float = WIDTH
    gate: str | None = None

    @property
    def points(self) -> int:
        """How many rows there will be."""
        return len(self.scales) * len(self.settings)

    @property
    def specs(self) -> Mapping[str, Problem]:
        """A problem of each spec, in order, by its name."""
        first: dict[str, Problem] = {}
        for (spec, *_), problem in self.bases.items():
            first.setdefault(spec, problem)
        return first

    def base(self, setting: Setting) -> Problem:
        """The problem that this setting draws from and shortens."""
        return self.bases[base_of(setting)]


def base_of(setting: Setting) -> Base:
    """Where a plan has the problem of a setting."""
    return setting.spec, setting.steps, setting.sequence


def plan(
    problem: Problem | Batch | Mapping[str, Problem | Batch],
    scales: tuple[float, ...],
    seeds: int = 1,
    *,
    steps: Iterable[int] = (),
    activations: Iterable[str] = (),
    relative_to: str = "weights",
    steady: float = STEADY,
    width: float = WIDTH,
    gate: str | None = None,
) -> Plan:
    """The plan of a sweep, of one problem or of several by name; UsageError for what cannot be
    swept."""
    specs = {problem.name: problem} if isinstance(problem, Problem | Batch) else problem
    steps, activations = tuple(dict.fromkeys(steps)), tuple(dict.fromkeys(activations))
    bases: dict[Base, Problem] = {}
    settings: list[Setting] = []
    for spec, one, sequence in _each(specs):
        lengths, names = steps or (one.steps,), activations or (one.activation.name,)
        _check(one, seeds, names, relative_to, gate)
        bases |= {(spec, length, sequence): _long_enough(one, length) for length in lengths}
        settings += [
            Setting(one.seed + i, length, name, spec, sequence)
            for name in names
            for length in lengths
            for i in range(seeds)
        ]
    if not all(0 <= size < float("inf") for size in (steady, width)):
        raise UsageError("--steady and --critical-rtol: must be 0 or more")
    return Plan(bases, scales, tuple(settings), relative_to, steady, width, gate)


def _each(
    specs: Mapping[str, Problem | Batch],
) -> Iterator[tuple[str, Problem, int | None]]:
    """Every spec's problem, or those of its sequences with their numbers."""
    for spec, one in specs.items():
        if isinstance(one, Problem):
            yield spec, alone(one), one.of_batch and one.of_batch[0]
        else:
            yield from ((spec, problem, k) for k, problem in enumerate(one.sequences, 1))


def _long_enough(problem: Problem, steps: int) -> Problem:
    """The problem with at least so many steps: itself, or drawn longer."""
    if steps < 1:
        raise UsageError(f"--steps {steps}: a sequence has at least 1 step")
    if steps <= problem.steps:
        return problem
    if problem.lengthen is None:
        raise UsageError(
            f"--steps {steps}: the inputs of '{problem.name}' have {problem.steps} steps, and only "
            "drawn or zero inputs and targets can be made longer"
        )
    return replace(problem.lengthen(steps), checkpoint=problem.checkpoint)


def _check(
    problem: Problem, seeds: int, names: tuple[str, ...], relative_to: str, gate: str | None
) -> None:
    if seeds < 1:
        raise UsageError(f"--seeds {seeds}: must be at least 1")
    if seeds > 1 and problem.draw is None:
        raise UsageError(f"--seeds {seeds}: nothing in '{problem.name}' is random")
    for name in names:
        if name not in ACTIVATIONS:
            hint = did_you_mean(name, ACTIVATIONS) or f"; they are {', '.join(ACTIVATIONS)}"
            raise UsageError(f"--activation: no activation is called '{name}'{hint}")
        if problem.cell.activation not in (None, name):
            raise UsageError(
                f"--activation {name}: '{problem.name}' is {kind_of(problem)}, whose "
                "activations are fixed"
            )
    check_relative(problem, relative_to)
    check_gate(problem, gate)
    check_scaled(problem)


# ---------------------------------------------------------------------------- tasks


def bytes_needed(plan: Plan) -> float:
    """About how much memory the rows and one net take."""
    base = max(plan.bases.values(), key=lambda problem: problem.steps)
    units = len(base.cell.step.kept) * base.state_size
    passes = 8.0 * base.steps * (8 * units + base.inputs + 3 * base.outputs)
    return 1200.0 * plan.points + passes + 8.0 * 12 * base.state_size**2


def rows_of(
    plan: Plan,
    executor: Executor | None = None,
    workers: int = 1,
    done: frozenset[tuple[Setting, float]] = frozenset(),
) -> Iterator[list[Row]]:
    """The rows that are not ``done``, a task at a time, as they come in.

    What a task computes together decides the last bits of its rows: so tasks are cut alike whatever
    is done, and a sweep that was cut short and resumed has the rows of one that was not.
    """
    calls = (
        (_rows, (parcel, setting, plan.relative_to, plan.gate, scales, plan.steady))
        for parcel, setting, scales in _portions(plan, done)
    )
    for rows in completed(calls, executor, workers):
        yield [row for row in rows if (row.setting, row.scale) not in done]


def _portions(
    plan: Plan, done: frozenset[tuple[Setting, float]]
) -> Iterator[tuple[bytes, Setting, tuple[float, ...]]]:
    parcels = {key: packed(base) for key, base in plan.bases.items()}
    for setting in plan.settings:
        size = int(TASK_SECONDS / seconds_a_point(plan.base(setting), setting))
        size = min(max(size, 1), MOST_IN_A_TASK)
        scales = iter(plan.scales)
        while portion := tuple(islice(scales, size)):
            if any((setting, scale) not in done for scale in portion):
                yield parcels[base_of(setting)], setting, portion


def zeros_of(
    plan: Plan,
    gaps: Iterable[Gap],
    executor: Executor | None = None,
    workers: int = 1,
    tell: Callable[[], None] | None = None,
) -> Iterator[Zero]:
    """The zero in each gap, as they come in. In this process ``tell`` hears of every rate."""
    parcels = {key: packed(base) for key, base in plan.bases.items()}
    heard = tell if executor is None else None
    calls = (
        (_zero, (parcels[base_of(gap.setting)], gap, plan.relative_to, plan.gate,
                 plan.width, heard))
        for gap in gaps
    )  # fmt: skip
    yield from completed(calls, executor, workers)


def _rows(
    parcel: bytes,
    setting: Setting,
    relative_to: str,
    gate: str | None,
    scales: tuple[float, ...],
    steady: float,
) -> list[Row]:
    return _net(parcel, setting, relative_to, gate).rows(scales, steady)


def _zero(
    parcel: bytes,
    gap: Gap,
    relative_to: str,
    gate: str | None,
    width: float,
    tell: Callable[[], None] | None,
) -> Zero:
    net = _net(parcel, gap.setting, relative_to, gate)

    def rate(scale: float) -> float:
        found = float(net.rates([scale])[0])
        if tell is not None:
            tell()
        return found

    return closed_in(gap, rate, width)


@lru_cache(maxsize=1)
def _net(parcel: bytes, setting: Setting, relative_to: str, gate: str | None) -> Net:
    """The net of the task before is kept: its eigenvalues take as long as a short task."""
    return Net(unpacked(parcel), setting, relative_to, gate)


def forget() -> None:
    """Keep nothing between sweeps."""
    _net.cache_clear()


# ---------------------------------------------------------------------------- the one loop


def completed(
    calls: Iterable[tuple[Callable[..., T], tuple[Any, ...]]],
    executor: Executor | None,
    workers: int,
) -> Iterator[T]:
    """The results of all calls in the order in which they are ready; without an executor, one after
    the other in this process. Two calls a worker are on their way at a time, the others wait here:
    what is interrupted has little to take back."""
    if executor is None:
        for call, arguments in calls:
            yield call(*arguments)
        return
    waiting = iter(calls)
    running: set[Future[T]] = set()
    try:
        while True:
            for call, arguments in islice(waiting, max(2 * workers - len(running), 0)):
                running.add(executor.submit(call, *arguments))
            if not running:
                return
            ready, running = wait(running, return_when=FIRST_COMPLETED)
            for future in ready:
                yield future.result()
    finally:
        for future in running:
            future.cancel()
