"""A sweep as a report, for whichever format follows."""

from __future__ import annotations

from collections.abc import Iterator

from rnngrad.analyses.sweep.points import Row
from rnngrad.analyses.sweep.sweep import SweepResult, document
from rnngrad.net.batch import Batch
from rnngrad.net.fingerprint import fingerprint
from rnngrad.net.problem import Problem
from rnngrad.version import __version__
from rnngrad.views.pictures.kinds import pictures
from rnngrad.views.pictures.rate_map import Over, Swept
from rnngrad.views.provenance import Provenance
from rnngrad.views.report import Cell, Report
from rnngrad.views.sweeps import tables

COLUMNS = Row._fields


def report(done: SweepResult, full: bool, over: Over | None = None) -> Report:
    """What the formats need of a sweep; ``over``: the axes of a map besides."""
    kinds = ("rate",) if over is None else ("rate", "map")
    return Report(
        blocks=lambda: tables.blocks(done, full),
        document=lambda: _document(done),
        columns=COLUMNS,
        rows=lambda: rows(done),
        pictures=lambda: (one for kind in kinds for one in pictures(kind, Swept(done, over))),
        provenance=lambda: _made(done),
    )


def _made(done: SweepResult) -> Iterator[Provenance]:
    """Of a batch, its sequences together; none where the nets are not known, in a file of rows."""
    found: dict[str, dict[int | None, Problem]] = {}
    for (spec, _, sequence), problem in done.plan.bases.items():
        found.setdefault(spec, {}).setdefault(sequence, problem)
    for spec, each in found.items():
        one = next(iter(each.values()))
        whole = one if None in each else Batch(tuple(each.values()))
        yield Provenance(spec, one.seed, fingerprint(whole))


def _document(done: SweepResult) -> dict[str, object]:
    found = document(done)
    kind = {"command": found.pop("command")}
    specs = [one._asdict() for one in _made(done)]
    return {**kind, "version": __version__, "specs": specs, **found}


def rows(done: SweepResult) -> Iterator[tuple[Cell, ...]]:
    """One point a row."""
    yield from done.rows
