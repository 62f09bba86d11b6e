"""Tables with a row a step, and those of gated and stacked nets layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np

from rnngrad.analyses.derivation.derive import Derivation
from rnngrad.analyses.derivation.gates import Gate, gates
from rnngrad.analyses.derivation.notation import raised
from rnngrad.analyses.derivation.selection import Selection
from rnngrad.arithmetic.arrays import Array, quietly
from rnngrad.net.problem import Problem
from rnngrad.views.blocks import Column, Table
from rnngrad.views.derivation.view import View
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


def in_parts(count: int, most: int) -> Iterator[slice]:
    """So many columns as slices of no more than fit beside one another, about equally many each."""
    tables = -(-count // most)
    edges = [count * i // tables for i in range(tables + 1)] if tables else []
    return (slice(low, high) for low, high in pairwise(edges))


def layer_tables(view: View) -> Iterator[Table]:
    """Gates of each layer, in a stack its state as well; of one layer of rnn there are none."""
    problem, trace, selection = view.result.problem, view.result.passes.forward, view.selection
    if problem.single_rnn:
        return
    for at, (layer, share) in enumerate(zip(problem.layers, trace.layers, strict=True)):
        up = _up(problem, at)
        states = {f"{part}{up}_t": rows[1:] for part, rows in share.states.items()} if up else {}
        found = list(gates(problem, layer, share))
        names = list(states) + [_mean_of(problem, gate, up) for gate in found]
        if not names:
            continue
        columns = list(headers(*((name, rows.shape[1]) for name, rows in states.items())))
        columns += [Column(_mean_of(problem, gate, up)) for gate in found]
        cells = [lengths(rows) for rows in states.values()]
        cells += [_means(_shown(problem, gate)) for gate in found]
        layers = f" of layer {at + 1}" if problem.depth > 1 else ""
        title = f"{'Gates' if has_gates(problem) else 'State'}{layers}"
        for beside in in_parts(len(columns), 7):
            below = tuple(stepwise(cells[beside], problem.steps, selection))
            yield Table(title, (Column("t"), *columns[beside]), below, _note(problem, found))


def has_gates(problem: Problem) -> bool:
    """Whether there are equations besides those of the state."""
    return len(problem.cell.equations.equations) > len(problem.cell.parts)


def _up(problem: Problem, at: int) -> str:
    return raised(at + 1) if problem.depth > 1 else ""


def _mean_of(problem: Problem, gate: Gate, up: str) -> str:
    return f"{gate.name}{up}_t" if has_gates(problem) else f"{gate.function}'(a{up}_t)"


def _shown(problem: Problem, gate: Gate) -> Array:
    return gate.value if gate.slope is None or has_gates(problem) else gate.slope


def _means(rows: Array) -> Cells:
    def cell(at: int) -> str:
        with quietly():
            mean = float(rows[at].mean())
        return f"{mean + 0.0:.4f}" if np.isfinite(mean) else number(mean)

    return cell


def _note(problem: Problem, found: list[Gate]) -> tuple[str, ...]:
    if all(gate.value.shape[1] == 1 for gate in found):
        return ()
    what = "Gates are" if has_gates(problem) else f"{found[0].function}'(a_t) is"
    return (f"{what} the mean over the units.",)


def gradients_by_layer(result: Derivation, selection: Selection) -> Table:
    """‖∂L/∂h_t‖, ‖∂L/∂c_t‖ … of each layer of a stack."""
    problem, back = result.problem, result.passes.backward
    shown: dict[str, Array] = {}
    for at, layer in enumerate(problem.layers):
        for (part, rows), columns in zip(back.dL_ds.items(), layer.parts, strict=True):
            shown[f"∂L/∂{part}{_up(problem, at)}_t"] = rows[:, columns]
    names = list(shown)
    picked = [None if j is None else names[j] for j in kept_across(len(names), selection.full)]
    heads = [Column(GAP) if name is None else headers((name, shown[name].shape[1]))[0]
             for name in picked]  # fmt: skip
    start = ("0", *(GAP if name is None else length(shown[name][0]) for name in picked))
    cells = [(lambda _: GAP) if name is None else lengths(shown[name][1:]) for name in picked]
    below = stepwise(cells, problem.steps, selection)
    return Table("Gradients layer by layer", (Column("t"), *heads), (start, *below))
