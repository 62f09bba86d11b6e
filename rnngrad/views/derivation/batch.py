"""A batch as a report: its totals, and a row a sequence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from rnngrad.analyses.derivation.derive import BatchDerivation, BidirectionalDerivation, Derivation
from rnngrad.analyses.derivation.selection import Selection
from rnngrad.analyses.flow.horizons import UNITS, Horizon
from rnngrad.analyses.flow.sequences import SequenceRow, rows_by_half, rows_of
from rnngrad.arithmetic.arrays import Array, finite_or_none, frobenius
from rnngrad.errors import escaped
from rnngrad.net.batch import Batch, BidirectionalBatch
from rnngrad.net.fingerprint import fingerprint
from rnngrad.version import __version__
from rnngrad.views.arrays import array_table
from rnngrad.views.blocks import Block, Column, Lines, Table
from rnngrad.views.derivation.data import COLUMNS, spec_data, value
from rnngrad.views.derivation.flow import horizon_data
from rnngrad.views.derivation.tables import gradients_table
from rnngrad.views.numbers import grouped, kept, number, settled
from rnngrad.views.provenance import provenance
from rnngrad.views.report import Cell, Report

EDGE = 12
"""Sequences shown at either end of a long table."""


def report(result: BatchDerivation, selection: Selection, arrays: dict[str, Array]) -> Report:
    """What the formats need of the derivation of a batch."""
    return Report(
        blocks=lambda: _blocks(result, selection, arrays),
        document=lambda: _document(result, selection, arrays),
        columns=COLUMNS,
        rows=lambda: _rows(selection, arrays),
        provenance=lambda: (provenance(result.batch),),
    )


def _document(
    result: BatchDerivation, selection: Selection, arrays: dict[str, Array]
) -> dict[str, object]:
    """The document of the contract, with one row a sequence instead of a derivation."""
    batch = result.batch
    shown: dict[str, object] = {
        "command": "derive",
        "version": __version__,
        "spec": {
            **spec_data(batch.net),
            **_of_directions(batch),
            "hash": fingerprint(batch),
            "sequence": None,
            "steps": batch.steps,
            "batch": batch.axis,
            "batch_size": batch.size,
            "lengths": list(batch.lengths),
            "batch_reduction": batch.reduction,
        },
        "loss": None if result.loss is None else finite_or_none(result.loss),
        "first_nonfinite_step": result.first_nonfinite_step,
        "quantities": {name: value(arrays[name], selection.full) for name in selection.names},
    }
    if isinstance(batch, BidirectionalBatch) and not selection.named:
        by_half = rows_by_half(result, selection.full)
        shown["sequences"] = [
            _of_halves(result.sequences[at], rows) for at, rows in enumerate(by_half)
        ]
    elif not selection.named:
        shown["sequences"] = [_sequence(row) for row in rows_of(result, selection.full)]
    return {**shown, "derivation": []}


def _of_directions(batch: Batch) -> dict[str, object]:
    if not isinstance(batch, BidirectionalBatch):
        return {}
    return {"outputs": _outputs(batch), "direction": "both"}


def _outputs(batch: Batch) -> int:
    """O; without a read-out y_t is [h_t; h_reverse_t]."""
    twice = isinstance(batch, BidirectionalBatch) and not batch.net.has_readout
    return 2 * batch.net.layers[-1].hidden if twice else batch.net.outputs


def _of_halves(
    whole: Derivation | BidirectionalDerivation, rows: Mapping[str, SequenceRow]
) -> dict[str, object]:
    """A sequence of bidirectional layers: what each half has of its own."""
    every = {name: _sequence(row) for name, row in rows.items()}
    one, loss = next(iter(every.values())), whole.loss
    own = ("rate", "regime", "lyapunov_max", "horizons")
    halves = [{"half": name, **{key: row[key] for key in own}} for name, row in every.items()]
    return {
        "sequence": one["sequence"],
        "steps": one["steps"],
        "loss": None if loss is None else finite_or_none(loss),
        "first_nonfinite_step": whole.first_nonfinite_step,
        "halves": halves,
    }


def _sequence(row: SequenceRow) -> dict[str, object]:
    return {
        "sequence": row.sequence,
        "steps": row.steps,
        "loss": None if row.loss is None else finite_or_none(row.loss),
        "rate": finite_or_none(row.rate),
        "regime": row.regime,
        "lyapunov_max": finite_or_none(row.lyapunov_max),
        "horizons": None if row.horizons is None else horizon_data(row.horizons),
        "first_nonfinite_step": row.first_nonfinite_step,
    }


def _rows(selection: Selection, arrays: dict[str, Array]) -> Iterator[tuple[Cell, ...]]:
    """One number a row, as of a single sequence; a total has no step."""
    for name in selection.names:
        for index, entry in np.ndenumerate(arrays[name]):
            i, j = (*index, None, None)[:2]
            yield name, None, i, j, float(entry)


def _blocks(
    result: BatchDerivation, selection: Selection, arrays: dict[str, Array]
) -> Iterator[Block]:
    if selection.named:
        for name in selection.names:
            yield array_table(result.record(name), arrays[name], selection)
        return
    yield Lines((_title(result.batch),), titled=True)
    if isinstance(result.batch, BidirectionalBatch):
        by_half = tuple(rows_by_half(result, selection.full))
        yield _summary(result, [row for one in by_half for row in one.values()])
        yield _sequences_by_half(result, by_half, selection.full)
    else:
        rows = tuple(rows_of(result, selection.full))
        yield _summary(result, rows)
        yield _sequences(rows, selection.full)
    if result.loss is not None:
        weights = {name.removeprefix("dL_d"): result[name] for name in result}
        yield gradients_table("Gradients of the parameters, of all sequences", weights)


def _title(batch: Batch) -> str:
    net, steps = batch.net, sorted(set(batch.lengths))
    T = f"T = {grouped(steps[0])}" + (f" to {grouped(steps[-1])}" if len(steps) > 1 else "")
    both = isinstance(batch, BidirectionalBatch)
    hidden = " + ".join("2·" * both + str(layer.hidden) for layer in net.layers)
    return (
        f"{escaped(batch.name)}: {'bidirectional ' * both}{net.cell.name}, "
        f"a batch of {grouped(batch.size)}, {T}, "
        f"I = {net.given_inputs}, H = {hidden}, O = {_outputs(batch)}"
    )


def _summary(result: BatchDerivation, rows: Sequence[SequenceRow]) -> Table:
    loss = result.loss
    said = "none: there are no targets"
    if result.batch.net.upstream:
        said = "not known: ∂L/∂h_t is given (upstream)"
    elif loss is not None:
        said = f"{number(loss)}, {_reduced(result.batch)}"
    lines = [("loss", said)]
    if result.batch.net.loss is not None:
        norms = {name: frobenius(one) for name, one in result.passes.weights.items()}
        every = frobenius(np.array(list(norms.values())))
        named = ", ".join(f"{name}\N{NO-BREAK SPACE}{number(norm)}" for name, norm in norms.items())
        lines.append(("‖∂L/∂W‖", f"{named}; together {number(every)}"))
    lines.append(("growth rate", _spread([row.rate for row in rows])))
    lines.append(("one of them", "--set sequence=k shows it in full"))
    columns = (Column("", right=False), Column("", words=True))
    return Table("Summary", columns, tuple(lines))


def _reduced(batch: Batch) -> str:
    """How L is made of the sequences' losses."""
    if batch.reduction == "mean_of_steps":
        weights = (one.loss_weights for one in batch.sequences)
        count = sum(int(np.count_nonzero(w)) for w in weights if w is not None)
        return f"the mean over the {grouped(count)} losses that count, of all sequences"
    of = "mean" if batch.reduction == "mean" else "sum"
    return f"the {of} over {grouped(batch.size)} sequences"


def _spread(values: Sequence[float]) -> str:
    known = np.sort([settled(value) for value in values if not np.isnan(value)])
    if not len(known):
        return "not known"
    middle = float(known[(len(known) - 1) // 2] + known[len(known) // 2]) / 2
    return f"median {number(middle)} a step, {number(known[0])} to {number(known[-1])}"


def _sequences(rows: Sequence[SequenceRow], full: bool) -> Table:
    columns = (
        Column("k"),
        Column("T"),
        Column("L_k"),
        Column("rate"),
        Column("regime", right=False, coloured="flow"),
        Column("exponent"),
        *(Column(name) for name in UNITS),
    )
    lines = []
    for at in kept(len(rows), full, EDGE):
        if at is None:
            lines.append(("⋮",) * len(columns))
            continue
        row = rows[at]
        lines.append((
            str(row.sequence), grouped(row.steps), "" if row.loss is None else number(row.loss),
            number(settled(row.rate)), row.regime or "", number(settled(row.lyapunov_max)),
            *lags(row.horizons),
        ))  # fmt: skip
    notes = ["rate and exponent, the largest, are natural logarithms a step."]
    if any(row.horizons for row in rows):
        notes.append("The last columns are horizons: steps back to where each format forgets.")
    if any(row.horizons is None for row in rows):
        notes.append("Horizons are not computed unasked here; --full does.")
    return Table("Sequences", columns, tuple(lines), tuple(notes))


def _sequences_by_half(
    result: BatchDerivation, rows: Sequence[Mapping[str, SequenceRow]], full: bool
) -> Table:
    """A row a sequence, with the growth rate of each half."""
    names = list(rows[0])
    columns = (Column("k"), Column("T"), Column("L_k"), *(Column(f"rate {n}") for n in names))
    lines = []
    for at in kept(len(rows), full, EDGE):
        if at is None:
            lines.append(("⋮",) * len(columns))
            continue
        loss = result.sequences[at].loss
        lines.append((
            str(at + 1), grouped(result.batch.lengths[at]), "" if loss is None else number(loss),
            *(number(settled(rows[at][name].rate)) for name in names),
        ))  # fmt: skip
    note = (
        "A rate is a natural logarithm a step of the half's own time, from the sequence's own end."
    )
    return Table("Sequences", columns, tuple(lines), (note,))


def lags(found: tuple[Horizon, ...] | None) -> list[str]:
    """The median in each format; beyond h_0 as the sign of infinity."""
    medians = {one.format: one.median for one in found or ()}
    shown = [medians.get(name) for name in UNITS]
    return ["" if lag is None else f"{lag:g}" if np.isfinite(lag) else "> T" for lag in shown]
