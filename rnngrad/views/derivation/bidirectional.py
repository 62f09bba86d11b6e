"""A bidirectional net as a report: its totals, and how the gradient flows in each half."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from rnngrad.analyses.derivation.bidirectional import CHAIN
from rnngrad.analyses.derivation.derive import BidirectionalDerivation
from rnngrad.analyses.derivation.quantities import dL_dx_of
from rnngrad.analyses.derivation.selection import Selection
from rnngrad.analyses.flow.flow import GradientFlow
from rnngrad.analyses.flow.horizons import UNITS
from rnngrad.analyses.flow.sequences import SequenceRow, row_of
from rnngrad.arithmetic.arrays import Array, finite_or_none, frobenius
from rnngrad.errors import escaped
from rnngrad.net.batch import Chosen
from rnngrad.net.bidirectional import in_time
from rnngrad.version import __version__
from rnngrad.views.arrays import array_table
from rnngrad.views.blocks import Block, Column, Lines, Table
from rnngrad.views.derivation.batch import lags
from rnngrad.views.derivation.data import COLUMNS, rows_of, spec_data, value
from rnngrad.views.derivation.flow import horizon_data
from rnngrad.views.derivation.layers import headers
from rnngrad.views.derivation.tables import gradients_table
from rnngrad.views.numbers import GAP, decades, grouped, kept, length, number, settled
from rnngrad.views.report import Report

Row = tuple[str, SequenceRow]


def report(
    result: BidirectionalDerivation, selection: Selection, arrays: dict[str, Array]
) -> Report:
    """What the formats need of the derivation of a bidirectional net."""
    return Report(
        blocks=lambda: _blocks(result, selection, arrays),
        document=lambda: _document(result, selection, arrays),
        columns=COLUMNS,
        rows=lambda: rows_of(result.record, selection, arrays),
    )


def _rows(result: BidirectionalDerivation, full: bool) -> tuple[Row, ...]:
    """Each half by its name."""
    count = len(result.halves)
    return tuple(
        (name, row_of(at, one, full, count))
        for at, (name, one) in enumerate(result.halves.items(), 1)
    )


def _document(
    result: BidirectionalDerivation, selection: Selection, arrays: dict[str, Array]
) -> dict[str, object]:
    """The document of the contract, with a row a half instead of a derivation."""
    shown: dict[str, object] = {
        "command": "derive",
        "version": __version__,
        "spec": {
            **spec_data(result.problem),
            "outputs": result.passes.forward.y.shape[1],
            "direction": "both",
        },
        "loss": None if result.loss is None else finite_or_none(result.loss),
        "first_nonfinite_step": result.first_nonfinite_step,
        "quantities": {name: value(arrays[name], selection.full) for name in selection.names},
    }
    if not selection.named:
        shown["halves"] = [
            {
                "half": name,
                "rate": finite_or_none(row.rate),
                "regime": row.regime,
                "lyapunov_max": finite_or_none(row.lyapunov_max),
                "horizons": None if row.horizons is None else horizon_data(row.horizons),
            }
            for name, row in _rows(result, selection.full)
        ]
    return {**shown, "derivation": []}


def _blocks(
    result: BidirectionalDerivation, selection: Selection, arrays: dict[str, Array]
) -> Iterator[Block]:
    if selection.named:
        for name in selection.names:
            yield array_table(result.record(name), arrays[name], selection)
        return
    yield Lines((_title(result),), titled=True)
    yield _summary(result)
    yield _halves(_rows(result, selection.full))
    if result.problem.loss is not None:
        names = [n for n, r in result.records.items() if r.first_step is None]
        weights = {name.removeprefix("dL_d"): result[name] for name in names}
        of_all = ", of all sequences" if isinstance(result.problem, Chosen) else ""
        yield gradients_table(f"Gradients of the parameters{of_all}", weights)
        yield _by_step(result, selection.full)
    if any(GradientFlow(one, selection.full).sampled for one in result.halves.values()):
        chains = ", ".join(name for name in result if name.startswith(CHAIN))
        yield Lines((f"Norms of the chains are not computed unasked here: --quantity {chains}.",))
    else:
        yield _chains(result, selection.full)


def _title(result: BidirectionalDerivation) -> str:
    net = result.problem
    hidden = " + ".join(f"2·{layer.hidden}" for layer in net.layers)
    of = "sequence {} of {}, ".format(*net.of_batch) if net.of_batch is not None else ""
    return (
        f"{escaped(net.name)}: bidirectional {net.cell.name}, {of}T = {grouped(net.steps)}, "
        f"I = {net.given_inputs}, H = {hidden}, O = {result.passes.forward.y.shape[1]}"
    )


def _summary(result: BidirectionalDerivation) -> Table:
    net, loss = result.problem, result.loss
    said, of_all = "none: there are no targets", ""
    if isinstance(net, Chosen):
        of_all = ", of all sequences"
    if net.upstream:
        said = "not known: ∂L/∂[h_t; h_reverse_t] is given (upstream)"
    elif loss is not None:
        said = number(loss) + of_all
    lines = [("loss", said)]
    if net.loss is not None:
        norms = [frobenius(result[f"dL_d{name}"]) for name in net.weights]
        every = number(frobenius(np.array(norms)))
        lines.append(("‖∂L/∂W‖", f"{every}, of all parameters{of_all}"))
    names = " or ".join(list(result.halves)[-2:])
    lines.append(("one half", f"--set half=NAME shows it in full, such as {names}"))
    columns = (Column("", right=False), Column("", words=True))
    return Table("Summary", columns, tuple(lines))


def _halves(rows: Sequence[Row]) -> Table:
    columns = (
        Column("half", right=False),
        Column("rate"),
        Column("regime", right=False, coloured="flow"),
        Column("exponent"),
        *(Column(name) for name in UNITS),
    )
    lines = tuple(
        (name, number(settled(row.rate)), row.regime or "", number(settled(row.lyapunov_max)),
         *lags(row.horizons))
        for name, row in rows
    )  # fmt: skip
    notes = [
        "rate and exponent, the largest, are natural logarithms a step of the half's own time: a "
        "reverse one goes from step T to step 1."
    ]
    if any(row.horizons for _, row in rows):
        notes.append("The last columns are horizons: its steps back to where each format forgets.")
    if any(row.horizons is None for _, row in rows):
        notes.append("Horizons are not computed unasked here; --full does.")
    if len(rows) > 2:
        notes.append("In a stack a path may change halves between layers; no chain here has those.")
    return Table("Halves", columns, lines, tuple(notes))


def _by_step(result: BidirectionalDerivation, full: bool) -> Table:
    """The gradients of outputs, states and inputs, a row a step of the sequence."""
    steps, back = result.problem.steps, result.passes.backward
    shown = {"∂L/∂y_t": back.dL_dy}
    first = result.problem.cell.parts[0]
    for half, one in zip(result.both.halves, result.passes.halves, strict=True):
        own = np.asarray(in_time(half, one.backward.dL_ds[first][1:]))
        shown[f"∂L/∂{first}{half.suffix}_t"] = own
    shown["∂L/∂x_t"] = dL_dx_of(result.passes)
    lines = []
    for at in kept(steps, full):
        if at is None:
            lines.append((GAP,) * (1 + len(shown)))
        else:
            lines.append((str(at + 1), *(length(rows[at]) for rows in shown.values())))
    columns = (Column("t"), *headers(*((name, rows.shape[1]) for name, rows in shown.items())))
    note = f"∂L/∂{first}_t is that of all paths: its own half's, and those through layers above."
    return Table("Gradients step by step", columns, tuple(lines), (note,))


def _chains(result: BidirectionalDerivation, full: bool) -> Table:
    """The chain of each half, a row a step of the sequence, from its start h_0 or h_{T+1} on."""
    steps, columns, chains = result.problem.steps, [Column("t")], []
    for half, one in zip(result.both.halves, result.passes.halves, strict=True):
        chain = in_time(half, one.chain)
        outside = np.array([np.nan])
        chains.append(np.concatenate([outside, chain] if half.reverse else [chain, outside]))
        columns.append(Column(half.name))
    lines = []
    for t in kept(steps + 2, full):
        if t is None:
            lines.append((GAP,) * len(columns))
        else:
            at_t = (float(chain[t]) for chain in chains)
            lines.append((str(t), *("" if np.isnan(n) else decades(settled(n)) for n in at_t)))
    s = "s" if len(result.problem.cell.parts) > 1 else "h"
    title = f"Norms of the chains: log10 ‖∂{s}_T/∂{s}_t‖, of a reverse half ‖∂{s}_1/∂{s}_t‖"
    return Table(title, tuple(columns), tuple(lines), ("‖·‖ is the largest singular value.",))
