"""A sweep as tasks, in one loop over any ``concurrent.futures.Executor``, or over none.

A task is a few points of one setting, about a second's work, so that sending it is worth its while;
it carries the problem as bytes, and whoever gets it, in this process or on another machine, makes
the same rows of it.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from functools import lru_cache
from itertools import islice
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

from rnngrad.analyses.stability import STEADY
from rnngrad.analyses.sweeping import RELATIVE, Net, Row, Setting
from rnngrad.analyses.sweeping_cost import seconds_a_point
from rnngrad.analyses.sweeping_zeros import WIDTH, Gap, Zero, closed_in
from rnngrad.core.activations import ACTIVATIONS
from rnngrad.core.arrays import frozen
from rnngrad.core.cells import CELLS
from rnngrad.core.losses import LOSSES
from rnngrad.core.outputs import OUTPUTS
from rnngrad.core.problem import Problem
from rnngrad.errors import UsageError, did_you_mean

TASK_SECONDS = 1.0
"""Work that a task should carry."""

MOST_IN_A_TASK = 4096

T = TypeVar("T")


class Plan(NamedTuple):
    """What to sweep. ``bases``: the problem to draw from and to shorten, by the number of steps."""

    bases: Mapping[int, Problem]
    scales: tuple[float, ...]
    settings: tuple[Setting, ...]
    relative_to: str = "weights"
    steady: float = STEADY
    width: float = WIDTH

    @property
    def points(self) -> int:
        """How many rows there will be."""
        return len(self.scales) * len(self.settings)


def plan(
    problem: Problem,
    scales: tuple[float, ...],
    seeds: int = 1,
    *,
    steps: Iterable[int] = (),
    activations: Iterable[str] = (),
    relative_to: str = "weights",
    steady: float = STEADY,
    width: float = WIDTH,
) -> Plan:
    """The plan of a sweep; UsageError for what cannot be swept."""
    lengths = tuple(dict.fromkeys(steps)) or (problem.steps,)
    names = tuple(dict.fromkeys(activations)) or (problem.activation.name,)
    _check(problem, seeds, names, relative_to, steady, width)
    bases = {length: _long_enough(problem, length) for length in lengths}
    settings = tuple(
        Setting(problem.seed + i, length, name)
        for name in names
        for length in lengths
        for i in range(seeds)
    )
    return Plan(bases, scales, settings, relative_to, steady, width)


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
    return problem.lengthen(steps)


def _check(
    problem: Problem, seeds: int, names: tuple[str, ...], relative_to: str, *widths: float
) -> None:
    if seeds < 1:
        raise UsageError(f"--seeds {seeds}: must be at least 1")
    if seeds > 1 and problem.draw is None:
        raise UsageError(f"--seeds {seeds}: nothing in '{problem.name}' is random")
    for name in names:
        if name not in ACTIVATIONS:
            hint = did_you_mean(name, ACTIVATIONS) or f"; they are {', '.join(ACTIVATIONS)}"
            raise UsageError(f"--activation: no activation is called '{name}'{hint}")
    if relative_to not in RELATIVE:
        hint = did_you_mean(relative_to, RELATIVE) or f"; give one of {', '.join(RELATIVE)}"
        raise UsageError(f"--relative-to: '{relative_to}' is none of them{hint}")
    if not all(0 <= width < float("inf") for width in widths):
        raise UsageError("--steady and --bracket: must be 0 or more")


# ---------------------------------------------------------------------------- tasks


def bytes_needed(plan: Plan) -> float:
    """About how much memory the rows and one net take."""
    base = max(plan.bases.values(), key=lambda problem: problem.steps)
    passes = 8.0 * base.steps * (8 * base.hidden + base.inputs + 3 * base.outputs)
    return 1200.0 * plan.points + passes + 8.0 * 12 * base.hidden**2


def rows_of(
    plan: Plan,
    executor: Executor | None = None,
    workers: int = 1,
    done: frozenset[tuple[Setting, float]] = frozenset(),
) -> Iterator[list[Row]]:
    """The rows that are not ``done``, a task at a time, as they come in."""
    calls = (
        (_rows, (parcel, setting, plan.relative_to, scales, plan.steady))
        for parcel, setting, scales in _portions(plan, done)
    )
    yield from completed(calls, executor, workers)


def _portions(
    plan: Plan, done: frozenset[tuple[Setting, float]]
) -> Iterator[tuple[bytes, Setting, tuple[float, ...]]]:
    parcels = {steps: packed(base) for steps, base in plan.bases.items()}
    for setting in plan.settings:
        base = plan.bases[setting.steps]
        size = int(TASK_SECONDS / seconds_a_point(base.hidden, setting))
        size = min(max(size, 1), MOST_IN_A_TASK)
        missing = (scale for scale in plan.scales if (setting, scale) not in done)
        while portion := tuple(islice(missing, size)):
            yield parcels[setting.steps], setting, portion


def zeros_of(
    plan: Plan,
    gaps: Iterable[Gap],
    executor: Executor | None = None,
    workers: int = 1,
    tell: Callable[[], None] | None = None,
) -> Iterator[Zero]:
    """The zero in each gap, as they come in. In this process ``tell`` hears of every rate."""
    parcels = {steps: packed(base) for steps, base in plan.bases.items()}
    heard = tell if executor is None else None
    calls = (
        (_zero, (parcels[gap.setting.steps], gap, plan.relative_to, plan.width, heard))
        for gap in gaps
    )
    yield from completed(calls, executor, workers)


def _rows(
    parcel: bytes, setting: Setting, relative_to: str, scales: tuple[float, ...], steady: float
) -> list[Row]:
    return _net(parcel, setting, relative_to).rows(scales, steady)


def _zero(
    parcel: bytes, gap: Gap, relative_to: str, width: float, tell: Callable[[], None] | None
) -> Zero:
    net = _net(parcel, gap.setting, relative_to)

    def rate(scale: float) -> float:
        found = float(net.rates([scale])[0])
        if tell is not None:
            tell()
        return found

    return closed_in(gap, rate, width)


@lru_cache(maxsize=1)
def _net(parcel: bytes, setting: Setting, relative_to: str) -> Net:
    """The net of the task before is kept: its eigenvalues take as long as a short task."""
    return Net(unpacked(parcel), setting, relative_to)


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


# ---------------------------------------------------------------------------- the problem as bytes


def packed(problem: Problem) -> bytes:
    """A problem for another process: its records by name, its arrays, how it is drawn again."""
    names = (
        problem.name,
        problem.cell.name,
        problem.activation.name,
        problem.output.name,
        None if problem.loss is None else problem.loss.name,
    )
    arrays = (dict(problem.weights), problem.x, problem.h_0, problem.targets, problem.loss_weights)
    return pickle.dumps((names, arrays, problem.seed, problem.draw), protocol=5)


def unpacked(parcel: bytes) -> Problem:
    """The problem again; only what ``packed`` made in this very run is ever unpickled."""
    names, arrays, seed, draw = pickle.loads(parcel)
    name, cell, activation, output, loss = names
    weights, x, h_0, targets, loss_weights = arrays
    return Problem(
        name=name,
        cell=CELLS[cell],
        activation=ACTIVATIONS[activation],
        output=OUTPUTS[output],
        weights=MappingProxyType({key: frozen(array) for key, array in weights.items()}),
        x=frozen(x),
        h_0=frozen(h_0),
        loss=None if loss is None else LOSSES[loss],
        targets=None if targets is None else frozen(targets),
        loss_weights=None if loss_weights is None else frozen(loss_weights),
        seed=seed,
        draw=draw,
    )
