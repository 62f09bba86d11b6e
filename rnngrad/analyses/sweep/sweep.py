"""The verb ``sweep``: where gradients vanish and explode as W_hh grows, and what theory says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from math import isclose
from typing import NamedTuple

from rnngrad.analyses.flow.stability import STEADY
from rnngrad.analyses.sweep.critical_scales import (
    WIDTH,
    Critical,
    Zero,
    critical,
    first_upward,
    gaps,
)
from rnngrad.analyses.sweep.points import Net, Row, Setting
from rnngrad.analyses.sweep.scales import scales_of
from rnngrad.analyses.sweep.scaling import what_is_scaled
from rnngrad.analyses.sweep.tasks import Plan, forget, plan, rows_of, zeros_of
from rnngrad.analyses.sweep.theory import Measured, Statement, mean_field_exponents, statements
from rnngrad.errors import UsageError
from rnngrad.net.batch import Batch, BidirectionalBatch
from rnngrad.net.bidirectional import Bidirectional, apart
from rnngrad.net.problem import Problem


class Part(NamedTuple):
    """One spec, activation and length: its rows, its critical scale, what theory says. ``kept``:
    the rows are all that is known of it."""

    steps: int
    activation: str
    rows: tuple[Row, ...]
    critical: Critical | None
    theory: tuple[Statement, ...]
    interrupted: bool = False
    spec: str = ""
    kept: bool = False


class SweepResult(NamedTuple):
    """A sweep, in the order of the plan; ``parts`` by spec, activation and length."""

    plan: Plan
    rows: tuple[Row, ...]
    zeros: tuple[Zero, ...]
    parts: tuple[Part, ...]
    interrupted: bool = False

    @property
    def of_training(self) -> bool:
        """Whether it is one net's checkpoints at one scale."""
        return len(self.plan.scales) == 1 and all(row.checkpoint is not None for row in self.rows)

    @property
    def pooled(self) -> bool:
        """Whether a spec's parts are sequences of a batch that differ in length alone, so that they
        are one net as seeds are."""
        nets = [(row.spec, row.scale, row.seed, row.sequence) for row in self.rows]
        return self.of_training and len(set(nets)) == len(nets)


def cut_short(done: SweepResult) -> SweepResult:
    """The same without a critical scale: its zeros were not looked for to the end."""
    parts = tuple(part._replace(critical=None, interrupted=True) for part in done.parts)
    return done._replace(zeros=(), parts=parts, interrupted=True)


def swept(
    problem: Problem | Batch | Bidirectional | Sequence[Problem | Batch | Bidirectional],
    scales: str | float | Iterable[float],
    seeds: int = 1,
    *,
    steps: Iterable[int] = (),
    activations: Iterable[str] = (),
    relative_to: str = "weights",
    steady: float = STEADY,
    critical_rtol: float = WIDTH,
    gate: str | None = None,
    executor: Executor | None = None,
    workers: int = 1,
) -> SweepResult:
    """Norms, rates, exponents and the critical scale as W_hh is scaled; ``rnngrad.sweep`` says what
    each argument is. Raises UsageError for what cannot be swept."""
    whole = plan(
        by_name(problem, "sweep"), scales_of(scales), seeds, steps=steps, activations=activations,
        relative_to=relative_to, steady=steady, gate=gate, width=critical_rtol,
    )  # fmt: skip
    try:
        rows = [row for task in rows_of(whole, executor, workers) for row in task]
        zeros = list(zeros_of(whole, gaps(rows), executor, workers))
        return result(whole, rows, zeros)
    finally:
        forget()


def by_name(
    problem: Problem | Batch | Bidirectional | Sequence[Problem | Batch | Bidirectional], verb: str
) -> dict[str, Problem | Batch]:
    """The problems by name, of a bidirectional net its halves; UsageError, which names the verb,
    where two have one name."""
    given = [problem] if isinstance(problem, Problem | Batch | Bidirectional) else list(problem)
    problems = [part for one in given for part in _parts(one)]
    named = {one.name: one for one in problems}
    if len(named) < len(problems):
        raise UsageError(f"{verb}: two problems have the same name; set the key 'name' of one")
    if not named:
        raise UsageError(f"{verb}: no problem is given")
    return named


def _parts(one: Problem | Batch | Bidirectional) -> Sequence[Problem | Batch]:
    if isinstance(one, BidirectionalBatch):
        return one.halves
    return [one] if isinstance(one, Batch) else apart(one)


def result(whole: Plan, rows: Iterable[Row], zeros: Iterable[Zero]) -> SweepResult:
    """Rows and zeros, in whatever order they came, as the result of the plan."""
    order = {setting: i for i, setting in enumerate(whole.settings)}
    places = {scale: i for i, scale in enumerate(whole.scales)}

    def place(row: Row) -> tuple[int, int]:
        return order[row.setting], places[row.scale]

    ordered = tuple(sorted(rows, key=place))
    found = tuple(sorted(zeros, key=lambda zero: (order[zero.setting], zero.low)))
    kinds = dict.fromkeys((s.spec, s.activation, s.steps) for s in whole.settings)
    parts = (_part(whole, ordered, found, *kind) for kind in kinds)
    return SweepResult(whole, ordered, found, tuple(part for part in parts if part.rows))


def kept(rows: Sequence[Row]) -> SweepResult:
    """What rows alone tell, without their specs: zeros as close as the scales are, no theory.

    Those of several gates are told apart by names. UsageError where there are none, or where their
    scales are of different sizes.
    """
    if not rows:
        raise UsageError("no row has been kept yet")
    ways = {way for way in map(_relative_to, rows) if way}
    if len(ways) > 1:
        raise UsageError(
            f"the rows are of --relative-to {' and '.join(sorted(ways))}, whose scales cannot be "
            "in one table"
        )
    gates = {row.gate for row in rows}
    named = {row: row if len(gates) == 1 else _of_gate(row) for row in rows}
    kinds = list(dict.fromkeys(map(_kind, named.values())))
    named = dict(
        sorted(
            named.items(),
            key=lambda n: (kinds.index(_kind(n[1])), n[1].seed, n[1].sequence or 0, n[1].scale),
        )
    )
    ours = tuple(named.values())
    settings = tuple(dict.fromkeys(row.setting for row in ours))
    scales = tuple(sorted({row.scale for row in ours}))
    gate = gates.pop() if len(gates) == 1 else None
    whole = Plan({}, scales, settings, next(iter(ways), "weights"), gate=gate)
    zeros = tuple(gap.zero for gap in gaps(ours))
    parts = tuple(_kept_part([row for row in ours if _kind(row) == kind]) for kind in kinds)
    return SweepResult(whole, tuple(named), zeros, parts)


def nets_in(rows: Iterable[Row]) -> set[tuple[int, int | None]]:
    """The seeds of some rows, and the sequences of a batch."""
    return {(row.seed, row.sequence) for row in rows}


def _kind(row: Row) -> tuple[str, str, int]:
    return row.spec, row.activation, row.steps


def _kept_part(rows: Sequence[Row]) -> Part:
    spec, activation, steps = _kind(rows[0])
    zeros = [gap.zero for gap in gaps(rows)]
    found = critical(zeros, steps, activation, len(nets_in(rows)))
    if found is not None:
        firsts = first_upward(zeros)
        found = found._replace(low=min(z.low for z in firsts), high=max(z.high for z in firsts))
    return Part(steps, activation, tuple(rows), found, (), spec=spec, kept=True)


def _relative_to(row: Row) -> str:
    """What its scale is relative to; empty where a scale of 0 does not tell."""
    if row.scale == 0:
        return ""
    if row.factor == row.scale:
        return "weights"
    size = row.spectral_radius
    near = size is not None and isclose(size, abs(row.scale), rel_tol=1e-6)
    return "spectral-radius" if near else "sigma-max"


def _of_gate(row: Row) -> Row:
    return row._replace(spec=f"{row.spec}, gate {row.gate}" if row.gate else f"{row.spec}, all")


def _part(
    whole: Plan,
    rows: Sequence[Row],
    zeros: Sequence[Zero],
    spec: str,
    activation: str,
    steps: int,
) -> Part:
    kind = (spec, activation, steps)
    ours = tuple(row for row in rows if (row.spec, row.activation, row.steps) == kind)
    seeds = len(nets_in(ours))
    found = critical([z for z in zeros if z.setting.spec == spec], steps, activation, seeds)
    settings = [s for s in whole.settings if (s.spec, s.activation, s.steps) == kind]
    said = statements(Measured(ours, found, _nets(whole, settings))) if ours else ()
    return Part(steps, activation, ours, found, said, spec=spec)


def mean_field_of(done: SweepResult, part: Part) -> list[float] | None:
    """λ of mean field theory at the scales of a part, ascending; None where it does not apply, or
    the nets themselves are not known."""
    whole, kind = done.plan, (part.spec, part.activation, part.steps)
    if part.kept:
        return None
    settings = [s for s in whole.settings if (s.spec, s.activation, s.steps) == kind]
    return mean_field_exponents(_nets(whole, settings)(), sorted({row.scale for row in part.rows}))


def _nets(whole: Plan, settings: Sequence[Setting]) -> Callable[[], Iterable[Net]]:
    return lambda: (Net(whole.base(s), s, whole.relative_to, whole.gate) for s in settings)


def document(done: SweepResult) -> dict[str, object]:
    """The document of the contract, None for what is not finite. With several specs,
    lengths or activations ``steps`` lists the lengths, and ``critical_scale`` is that of the first
    part."""
    steps = list(dict.fromkeys(setting.steps for setting in done.plan.settings))
    return {
        "command": "sweep",
        "steps": steps[0] if len(steps) == 1 else steps,
        "relative_to": done.plan.relative_to,
        "gate": done.plan.gate,
        "steady": done.plan.steady if done.plan.bases else None,
        "interrupted": done.interrupted,
        "rows": [row._asdict() for row in done.rows],
        "critical_scale": _critical(done.parts[0].critical) if done.parts else None,
        "zeros": [
            {**zero.setting._asdict(), "low": zero.low, "high": zero.high, "upward": zero.upward}
            for zero in done.zeros
        ],
        "parts": [
            {
                "spec": part.spec,
                "steps": part.steps,
                "activation": part.activation,
                "scaled": None
                if part.kept
                else what_is_scaled(done.plan.specs[part.spec].cell, done.plan.gate),
                "critical_scale": _critical(part.critical),
                "theory": [statement._asdict() for statement in part.theory],
            }
            for part in done.parts
        ],
    }


def _critical(found: Critical | None) -> dict[str, object] | None:
    if found is None:
        return None
    return {
        "value": found.value,
        "low": found.low,
        "high": found.high,
        "crossings": list(found.crossings),
        "seeds_with_one": found.seeds,
        "seeds": found.of,
    }
