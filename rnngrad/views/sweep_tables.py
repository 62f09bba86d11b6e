"""A sweep for people: a picture, the numbers beside it, and what they mean in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isfinite
from statistics import median
from typing import NamedTuple

from rnngrad.analyses.sweep import Part, SweepResult
from rnngrad.analyses.sweeping import Row
from rnngrad.analyses.theory import Statement
from rnngrad.views.blocks import Block, Column, Lines, Table
from rnngrad.views.numbers import GAP, decades, grouped, kept, number
from rnngrad.views.sweep_words import words

BAR = 14
"""Signs of the longest bar to either side."""

EDGE = 25
"""Scales kept at either end of a picture that is longer than a hundred."""


class Scale(NamedTuple):
    """The rows of one scale, one a seed."""

    scale: float
    rows: tuple[Row, ...]

    def median(self, name: str) -> float | None:
        """The median over the seeds that have this number; None where none has."""
        values = [getattr(row, name) for row in self.rows]
        present = [value for value in values if value is not None]
        return median(present) if present else None

    @property
    def regime(self) -> str:
        """The regime, or how many seeds are in each."""
        names = [row.regime or "undefined" for row in self.rows]
        counts = {name: names.count(name) for name in dict.fromkeys(names)}
        if len(counts) == 1:
            return names[0]
        return ", ".join(f"{count} {name}" for name, count in counts.items())


def blocks(done: SweepResult, full: bool) -> Iterator[Block]:
    """The whole report, part by part."""
    yield _heading(done)
    for part in done.parts:
        scales = _by_scale(part.rows)
        yield _picture(part, scales, full)
        yield _numbers(part, scales, full)
        yield Lines(tuple(f"* {line}" for line in words(part)))
        yield _theory(part)


def _heading(done: SweepResult) -> Lines:
    problem = next(iter(done.plan.bases.values()))
    seeds = sorted({setting.seed for setting in done.plan.settings})
    sizes = f"I = {problem.inputs}, H = {problem.hidden}, O = {problem.outputs}"
    relative = {
        "weights": "W_hh = scale · the spec's W_hh",
        "spectral-radius": "W_hh scaled so that ρ(W_hh) = scale",
        "sigma-max": "W_hh scaled so that σ_max(W_hh) = scale",
    }[done.plan.relative_to]
    drawn = f"; seeds {seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else ""
    return Lines(
        (f"{problem.name}: sweep of a {problem.cell.name}, {sizes}", f"{relative}{drawn}"),
        titled=True,
    )


def _by_scale(rows: Sequence[Row]) -> list[Scale]:
    by_scale: dict[float, list[Row]] = {}
    for row in rows:
        by_scale.setdefault(row.scale, []).append(row)
    return [Scale(scale, tuple(by_scale[scale])) for scale in sorted(by_scale)]


def _kept(scales: Sequence[Scale], full: bool) -> list[int | None]:
    return kept(len(scales), full, edge=EDGE)


def _picture(part: Part, scales: Sequence[Scale], full: bool) -> Table:
    norms = [scale.median("log10_chain_norm") for scale in scales]
    longest = max((abs(norm) for norm in norms if norm is not None), default=0.0)
    columns = (
        Column("scale"),
        Column("log10 norm"),
        Column("rate"),
        Column("vanishes │ explodes".center(2 * BAR + 1), right=False),
        Column("regime", words=True),
    )
    rows = []
    for i in _kept(scales, full):
        if i is None:
            rows.append((GAP,) * len(columns))
            continue
        scale, rate = scales[i], scales[i].median("rate")
        rows.append((
            number(scale.scale),
            "-inf" if norms[i] is None and "vanishing" in scale.regime else _decades(norms[i]),
            "" if rate is None else f"{rate:.4f}",
            _bar(norms[i], longest, scale.regime),
            scale.regime,
        ))  # fmt: skip
    several = ", median over seeds" if len(scales[0].rows) > 1 else ""
    title = f"‖∂h_T/∂h_0‖ at T = {grouped(part.steps)}, {part.activation}{several}"
    notes = ("Bars show its log10; rate is its natural log per step.",)
    return Table(title, columns, tuple(rows), notes)


def _bar(log10: float | None, longest: float, regime: str) -> str:
    if log10 is None:
        return ("▒" * BAR if "vanishing" in regime else " " * BAR) + "│"
    length = 0 if longest == 0.0 else max(round(BAR * abs(log10) / longest), int(log10 != 0))
    signs = "█" * length
    return f"{signs:>{BAR}}│" if log10 < 0 else f"{'':{BAR}}│{signs}"


def _decades(value: float | None) -> str:
    return "" if value is None else decades(value)


def _numbers(part: Part, scales: Sequence[Scale], full: bool) -> Table:
    names = {
        "spectral_radius": "ρ",
        "sigma_max": "σ_max",
        "lyapunov_max": "λ_max",
        "log10_bound": "bound",
        "mean_slope": "mean σ'",
        "loss": "L",
        "norm_dL_dW_hh": "‖∂L/∂W_hh‖",
    }
    present = {n: h for n, h in names.items() if any(s.median(n) is not None for s in scales)}
    rows = []
    for i in _kept(scales, full):
        if i is None:
            rows.append((GAP,) * (1 + len(present)))
        else:
            rows.append((number(scales[i].scale), *(_short(scales[i].median(n)) for n in present)))
    notes = ("The bound is T·log10(γ σ_max), γ = sup σ'; mean σ' is small where units saturate.",)
    columns = (Column("scale"), *map(Column, present.values()))
    return Table("The same scales in numbers", columns, tuple(rows), notes)


def _short(value: float | None) -> str:
    return "" if value is None or not isfinite(value) else f"{value + 0.0:.4g}"


def _theory(part: Part) -> Lines:
    """A line a statement: what it says, where that is, whether it is so, and why."""
    return Lines(("What theory says (docs/theory.md)", *map(_statement, part.theory)))


def _statement(said: Statement) -> str:
    place = "" if said.scale is None else f": scale {said.scale:.5g}"
    return f"* {said.claim}{place}. {said.verdict.upper()}: {said.why}."
