"""A sweep for people: a picture, the numbers beside it, and what they mean in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from math import inf, isfinite
from statistics import median
from typing import NamedTuple

from rnngrad.analyses.sweep.points import Row
from rnngrad.analyses.sweep.scaling import kind_of, what_is_scaled
from rnngrad.analyses.sweep.sweep import Part, SweepResult
from rnngrad.analyses.sweep.theory import Statement
from rnngrad.errors import escaped
from rnngrad.net.problem import Problem
from rnngrad.views.blocks import Block, Column, Lines, Table
from rnngrad.views.numbers import GAP, decades, grouped, kept, number, settled
from rnngrad.views.sweeps.words import of_what, words

BAR = 14
"""Signs of the longest bar to either side."""

SHORT_BAR = 10
"""The same beside a column of names."""

LONGEST_NAME = 18
"""Signs of a name in a column: more would not fit beside a picture of 80 columns."""

LOGARITHMS = ("log10_chain_norm", "rate", "lyapunov_max", "log10_bound")
"""Columns that are 0 where a size stays as it is."""

OF_RNN = ("spectral_radius", "sigma_max", "log10_bound")
"""Columns that are shown where every curve has them: beside gated nets they are in JSON alone."""

EDGE = 25
"""Scales kept at either end of a picture that is longer than a hundred."""


class Scale(NamedTuple):
    """The rows of one scale, one a seed."""

    scale: float
    rows: tuple[Row, ...]

    def median(self, name: str) -> float | None:
        """The median over the seeds that have this number, a logarithm ``settled``; or None."""
        values = [row.value(name) for row in self.rows]
        present = [value for value in values if value is not None]
        if not present:
            return None
        return settled(median(present)) if name in LOGARITHMS else median(present)

    @property
    def regime(self) -> str:
        """The regime, or how many seeds are in each."""
        names = [row.regime or "undefined" for row in self.rows]
        counts = {name: names.count(name) for name in dict.fromkeys(names)}
        if len(counts) == 1:
            return names[0]
        return ", ".join(f"{count} {name}" for name, count in counts.items())


def _name_in_column(name: str) -> str:
    """The end of a long name is what tells it apart from others."""
    return name if len(name) <= LONGEST_NAME else f"..{name[2 - LONGEST_NAME :]}"


class Curve(NamedTuple):
    """One part of a sweep, scale by scale; ``name`` is empty where there is but one spec."""

    name: str
    part: Part
    scales: tuple[Scale, ...]


def blocks(done: SweepResult, full: bool) -> Iterator[Block]:
    """The whole report: part by part, or the curves of several specs in one table."""
    yield _heading(done)
    training = done.of_training  # what there is to read is the table
    curves = [
        Curve(_name(done, parts[0]), parts[0], _by_scale([row for p in parts for row in p.rows]))
        for parts in _together(done)
    ]
    if len(_specs(done)) > 1 or training:
        yield _picture(done, curves, full)
        yield _numbers(curves, full)
    for curve in () if training else curves:
        if curve.name:
            yield Lines((curve.name,), titled=True)
        else:
            yield _picture(done, [curve], full)
            yield _numbers([curve], full)
        yield Lines(tuple(f"* {line}" for line in words(curve.part)), coloured="flow")
        alike = [other for other in curves if other.part.theory == curve.part.theory]
        if not curve.part.kept and curve is alike[-1]:
            yield _theory(curve.part, [other.name for other in alike], len(curves))
    if not done.plan.bases:
        yield Lines((KEPT,))


KEPT = (
    "From the points alone: rnngrad sweep with the spec, the same options and -o FILE --resume "
    "computes none again, closes in on the critical scale, and adds what theory says."
)


def _together(done: SweepResult) -> list[list[Part]]:
    """The parts by themselves; those of one checkpoint together where they are sequences."""
    if not done.pooled:
        return [[part] for part in done.parts]
    return [[part for part in done.parts if part.spec == spec] for spec in _specs(done)]


def _specs(done: SweepResult) -> tuple[str, ...]:
    """The names of the specs; of a kept sweep there is nothing else."""
    return tuple(dict.fromkeys(setting.spec for setting in done.plan.settings))


def _name(done: SweepResult, part: Part) -> str:
    """The spec's name, and what else tells the part from the others of its spec; of checkpoints
    without the ending, which all have in common."""
    alone = done.pooled or sum(other.spec == part.spec for other in done.parts) == 1
    if len(_specs(done)) == 1 and (alone or not done.of_training):
        return ""
    spec = escaped((done.of_training and part.spec.rpartition(".")[0]) or part.spec)
    return spec if alone else f"{spec} {part.activation} T={part.steps}"


def _heading(done: SweepResult) -> Lines:
    seeds = sorted({setting.seed for setting in done.plan.settings})
    drawn = f"; seeds {seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else ""
    sequences = {setting.sequence for setting in done.plan.settings} - {None}
    if len(sequences) == 1:
        drawn += f"; sequence {sequences.pop()}"
    elif sequences:
        drawn += f"; {grouped(len(sequences))} sequences"
    if not done.plan.bases:
        titles = [f"{escaped(name)}: a kept sweep" for name in _specs(done)]
        return Lines((*titles, f"{_kept_scaled(done)}{drawn}"), titled=True)
    specs = done.plan.specs
    titles = [_title(name, problem) for name, problem in specs.items()]
    if all(problem.checkpoint is not None for problem in specs.values()):
        one = next(iter(specs.values()))
        count = f"{grouped(len(specs))} checkpoint{'s' * (len(specs) > 1)}"
        titles = [_title(f"{one.name}, {count}", one)]
    return Lines((*titles, f"{_scaled(done)}{drawn}"), titled=True)


def _title(name: str, problem: Problem) -> str:
    sizes = f"I = {problem.given_inputs}, H = {problem.hidden}"
    if not problem.upstream:  # then there is a read-out: half a bidirectional net has none
        sizes += f", O = {problem.outputs}"
    return f"{escaped(name)}: sweep of {kind_of(problem)}, {sizes}"


LONG = 40
"""A list of names that is longer is said once."""


def _scaled(done: SweepResult) -> str:
    """What is multiplied."""
    layers = max(problem.depth for problem in done.plan.specs.values())
    each = " in every layer" if layers > 1 else ""
    cells = {problem.cell for problem in done.plan.specs.values()}
    if done.plan.gate is not None:
        gate = done.plan.gate
        (scaled, *others) = {what_is_scaled(cell, gate) for cell in cells}
        if all(cell.blocks for cell in cells):
            return f"rows of the gate {gate} of W_hh = scale · those of the spec's W_hh{each}"
        scaled = f"parameters of {gate}_t" if others else scaled
    else:
        (scaled, *others) = {what_is_scaled(cell) for cell in cells}
        scaled = "recurrent parameters" if others else scaled
    own = scaled if len(scaled) <= LONG else "own"
    return SIZES.get(done.plan.relative_to, f"{scaled} = scale · the spec's {own}{each}")


SIZES = {
    "spectral-radius": "W_hh scaled so that ρ(W_hh) = scale",
    "sigma-max": "W_hh scaled so that σ_max(W_hh) = scale",
}


def _kept_scaled(done: SweepResult) -> str:
    gate = f" of the gate {done.plan.gate}" if done.plan.gate else ""
    return SIZES.get(done.plan.relative_to, f"what is scaled{gate} = scale · the spec's own")


def _by_scale(rows: Sequence[Row]) -> tuple[Scale, ...]:
    by_scale: dict[float, list[Row]] = {}
    for row in rows:
        by_scale.setdefault(row.scale, []).append(row)
    return tuple(Scale(scale, tuple(by_scale[scale])) for scale in sorted(by_scale))


class _Body(NamedTuple):
    """The rows of one curve."""

    name: str
    rows: Sequence[tuple[str, ...]]


def _table(
    title: str, columns: Sequence[Column], notes: Sequence[str], bodies: Sequence[_Body], full: bool
) -> Table:
    """The rows of every curve one below the other, with a column for its name where it has one."""
    named, single = any(body.name for body in bodies), all(len(b.rows) == 1 for b in bodies)
    rows: list[tuple[str, ...]] = []
    for body in bodies:
        if rows and not single:
            rows.append(("",) * (len(columns) + named))
        for i in kept(len(body.rows), full, edge=EDGE):
            cells = (GAP,) * len(columns) if i is None else body.rows[i]
            rows.append((_name_in_column(body.name), *cells) if named else cells)
    first = (Column("net", words=True),) if named else ()
    return Table(title, (*first, *columns), tuple(rows), tuple(notes))


def _picture(done: SweepResult, curves: Sequence[Curve], full: bool) -> Table:
    norms = [s.median("log10_chain_norm") for curve in curves for s in curve.scales]
    sizes = [abs(norm) for norm in norms if norm is not None and isfinite(norm)]
    longest = max(sizes, default=0.0)
    bar = BAR if len(curves) == 1 else SHORT_BAR
    columns = (
        Column("scale"),
        Column("log10 norm"),
        Column("rate"),
        Column("vanishes │ explodes".center(2 * bar + 1), right=False, coloured="flow"),
        Column("regime", words=True, coloured="flow"),
    )
    bodies = [
        _Body(curve.name, [_drawn(scale, longest, bar) for scale in curve.scales])
        for curve in curves
    ]
    notes = ("Bars show its log10; rate is its natural log per step.",)
    return _table(_pictured(done, curves), columns, notes, bodies, full)


def _pictured(done: SweepResult, curves: Sequence[Curve]) -> str:
    """‖∂s_T/∂s_0‖, and what all curves have in common."""
    parts = [curve.part for curve in curves]
    of_h = all(_is_h(done, part) for part in parts)
    what = "‖∂h_T/∂h_0‖" if of_h else "‖∂s_T/∂s_0‖"
    rows = [row for curve in curves for scale in curve.scales for row in scale.rows]
    lengths, names = sorted({row.steps for row in rows}), {part.activation for part in parts}
    steps = f" at T = {grouped(lengths[0])}" if len(lengths) == 1 else ""
    steps = f" at T = {lengths[0]} to {lengths[-1]}" if done.pooled and not steps else steps
    chosen = len(names) == 1 and all(_chooses(done, part) for part in parts)
    activation = f", {parts[0].activation}" if chosen else ""
    of = curves[0].scales[0].rows
    several = f", median over {of_what(of)}" if len(of) > 1 else ""
    return f"{what}{steps}{activation}{several}"


def _is_h(done: SweepResult, part: Part) -> bool:
    """Whether the state is h; of a kept sweep that is known of one layer of rnn."""
    if part.kept:
        return all(row.spectral_radius is not None for row in part.rows)
    spec = done.plan.specs[part.spec]
    return spec.cell.parts == ("h",) and spec.depth == 1


def _chooses(done: SweepResult, part: Part) -> bool:
    """Whether the activation is the spec's choice, as that of rnn is; of a kept sweep that is known
    of one layer of rnn."""
    return _is_h(done, part) if part.kept else done.plan.specs[part.spec].cell.activation is None


def _drawn(scale: Scale, longest: float, bar: int) -> tuple[str, ...]:
    norm, rate = scale.median("log10_chain_norm"), scale.median("rate")
    return (
        number(scale.scale),
        _decades(norm),
        "" if rate is None or not isfinite(rate) else f"{rate:.4f}",
        _bar(norm, longest, bar),
        scale.regime,
    )


def _bar(log10: float | None, longest: float, bar: int) -> str:
    if log10 is None or not isfinite(log10):
        return ("▒" if log10 == -inf else " ") * bar + "│"
    length = 0 if longest == 0.0 else max(round(bar * abs(log10) / longest), int(log10 != 0))
    signs = "█" * length
    return f"{signs:>{bar}}│" if log10 < 0 else f"{'':{bar}}│{signs}"


def _decades(value: float | None) -> str:
    return "" if value is None else decades(value)


def _numbers(curves: Sequence[Curve], full: bool) -> Table:
    names = {
        "spectral_radius": "ρ",
        "sigma_max": "σ_max",
        "lyapunov_max": "λ_max",
        "log10_bound": "bound",
        "mean_slope": "mean σ'",
        "loss": "L",
        "norm_dL_dW_hh": "‖∂L/∂W_hh‖",
    }
    of_batch = any(row.sequence is not None for c in curves for s in c.scales for row in s.rows)
    if of_batch:
        names |= {"loss": "L of a sequence", "norm_dL_dW_hh": "‖∂L/∂W_hh‖ of a sequence"}
    have = {n: [any(s.median(n) is not None for s in c.scales) for c in curves] for n in names}
    present = {n: h for n, h in names.items() if (all if n in OF_RNN else any)(have[n])}
    bodies = [
        _Body(
            curve.name,
            [(number(s.scale), *(_short(s.median(n)) for n in present)) for s in curve.scales],
        )
        for curve in curves
    ]
    bound = "The bound is T·log10(γ σ_max), γ = sup σ'; " if "log10_bound" in present else ""
    adds = (
        " L of the batch is the sum over its sequences." if "loss" in present and of_batch else ""
    )
    notes = (f"{bound}mean σ' is small where units saturate.{adds}",)
    columns = (Column("scale"), *map(Column, present.values()))
    return _table("The same scales in numbers", columns, notes, bodies, full)


def _short(value: float | None) -> str:
    return "" if value is None or not isfinite(value) else f"{value + 0.0:.4g}"


def _theory(part: Part, names: Sequence[str], count: int) -> Lines:
    """A line a statement: what it says, where that is, whether it is so, and why; those with one
    reason in common on one line. ``names`` of those of ``count`` curves that share it."""
    lines = []
    for (verdict, why), said in groupby(part.theory, key=lambda said: (said.verdict, said.why)):
        claims = " ".join(f"{_claim(statement)}." for statement in said)
        lines.append(f"* {claims} {verdict.upper()}: {why}.")
    of = f" of {', '.join(names)}" if 1 < len(names) < count else " of each" * (len(names) > 1)
    return Lines((f"What theory says{of} (docs/theory.md)", *lines))


def _claim(said: Statement) -> str:
    return said.claim if said.scale is None else f"{said.claim}: scale {said.scale:.5g}"
