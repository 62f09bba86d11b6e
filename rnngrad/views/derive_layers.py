"""Tables with a row a step, and those of gated and stacked nets layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from rnngrad.analyses.derive import Derivation
from rnngrad.analyses.gates import gates
from rnngrad.analyses.notation import raised
from rnngrad.analyses.selection import Selection
from rnngrad.arithmetic.arrays import Array, quietly
from rnngrad.core.problem import Problem
from rnngrad.views.blocks import Column, Table
from rnngrad.views.numbers import GAP, kept, kept_across, length, number


def headers(*names: tuple[str, int]) -> tuple[Column, ...]:
    """Column heads: the symbol where the cell holds the number itself, else its norm."""
    return tuple(Column(name if size == 1 else f"‖{name}‖") for name, size in names)


Cells = Callable[[int], str]
"""A column by steps: row t − 1 -> its cell, written when shown; of a million steps few are."""


def lengths(rows: Array) -> Cells:
    """The length of each row."""
    return lambda at: length(rows[at])


def stepwise(cells: list[Cells], steps: int, selection: Selection) -> list[tuple[str, ...]]:
    """A row for each step from 1, its cells out of columns of T."""
    rows = []
    for index in kept(steps, selection.full):
        if index is None:
            rows.append((GAP,) * (len(cells) + 1))
        else:
            rows.append((str(index + 1), *(cell(index) for cell in cells)))
    return rows


def layer_tables(result: Derivation, selection: Selection) -> Iterator[Table]:
    """Gates of each layer, in a stack its state as well; of one layer of rnn there are none."""
    problem, trace = result.problem, result.passes.forward
    if problem.single_rnn:
        return
    for at, share in enumerate(trace.layers):
        up = _up(problem, at)
        states = {f"h{up}_t": share.h[1:]} if up else {}
        if up and "c" in share.states:
            states[f"c{up}_t"] = share.states["c"][1:]
        columns = list(headers(*((name, rows.shape[1]) for name, rows in states.items())))
        cells = [lengths(rows) for rows in states.values()]
        for gate in gates(problem, share):
            columns.append(Column(_mean_of(problem, gate.name, up)))
            is_slope = len(problem.cell.gates) <= 1
            cells.append(_means(gate.slope if is_slope else gate.value))
        layer = f" of layer {at + 1}" if problem.depth > 1 else ""
        title = f"{'Gates' if len(problem.cell.gates) > 1 else 'State'}{layer}"
        rows = stepwise(cells, problem.steps, selection)
        yield Table(title, (Column("t"), *columns), tuple(rows), _note(problem, share.h))


def _up(problem: Problem, at: int) -> str:
    return raised(at + 1) if problem.depth > 1 else ""


def _mean_of(problem: Problem, name: str, up: str) -> str:
    return f"σ'(a{up}_t)" if len(problem.cell.gates) <= 1 else f"{name}{up}_t"


def _means(rows: Array) -> Cells:
    def cell(at: int) -> str:
        with quietly():
            mean = float(rows[at].mean())
        return f"{mean + 0.0:.4f}" if np.isfinite(mean) else number(mean)

    return cell


def _note(problem: Problem, h: Array) -> tuple[str, ...]:
    if h.shape[1] == 1:
        return ()
    what = "σ'(a_t) is" if len(problem.cell.gates) <= 1 else "Gates are"
    return (f"{what} the mean over the units.",)


def gradients_by_layer(result: Derivation, selection: Selection) -> Table:
    """‖∂L/∂h_t‖, and of lstm ‖∂L/∂c_t‖, of each layer of a stack."""
    problem, back = result.problem, result.passes.backward
    shown: dict[str, Array] = {}
    for at, layer in enumerate(problem.layers):
        shown[f"∂L/∂h{_up(problem, at)}_t"] = back.dL_dh[:, layer.units]
        if "c" in back.dL_ds:
            shown[f"∂L/∂c{_up(problem, at)}_t"] = back.dL_ds["c"][:, layer.units]
    names = list(shown)
    picked = [None if j is None else names[j] for j in kept_across(len(names), selection.full)]
    columns = [Column(GAP) if name is None else headers((name, shown[name].shape[1]))[0]
               for name in picked]  # fmt: skip
    start = ("0", *(GAP if name is None else length(shown[name][0]) for name in picked))
    cells = [(lambda _: GAP) if name is None else lengths(shown[name][1:]) for name in picked]
    rows = stepwise(cells, problem.steps, selection)
    return Table("Gradients layer by layer", (Column("t"), *columns), (start, *rows))
