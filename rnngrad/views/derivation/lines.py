"""The derivation as tables: each derivative with its chain rule and its value."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import prod

import numpy as np

from rnngrad.analyses.derivation.chain_rules import of_the_sheet
from rnngrad.analyses.derivation.formulas import Line
from rnngrad.analyses.derivation.selection import HUGE
from rnngrad.arithmetic.arrays import Array
from rnngrad.net.problem import Problem
from rnngrad.views.blocks import Block, Column, Lines, Table
from rnngrad.views.derivation.view import View
from rnngrad.views.numbers import GAP, grouped, times, vector

LAYERS_SHOWN = 2
"""Layers whose inside is shown unasked: the ones above differ in nothing but their names."""


def subtasks(view: View) -> Iterator[Block]:
    """The sheet's subtasks, and what there is to say about the sheet."""
    result = view.result
    lines = [line for line in result.lines if line.quantity or not line.id.startswith("g")]
    yield _table(_title(result.problem), view, lines)
    if result.remarks:
        yield Lines(tuple(f"* {remark}" for remark in result.remarks))


def inside(view: View) -> Iterator[Block]:
    """What is inside a step, layer by layer."""
    lines, layers, full = view.result.lines, view.result.problem.layers, view.selection.full
    for at, layer in enumerate(layers):
        own = [line for line in lines if line.id.startswith("g") and line.id.endswith(layer.suffix)]
        if own and (at < LAYERS_SHOWN or full):
            yield _table(_inside_title(view.result.problem, at), view, own)
    if len(layers) > LAYERS_SHOWN and not full:
        yield Lines((f"Layers above {LAYERS_SHOWN} likewise; --full and JSON have them.",))


def _table(title: str, view: View, lines: Sequence[Line]) -> Table:
    columns = (
        Column("", right=False),
        Column("derivative", right=False, formula=True),
        Column("chain rule", words=True, formula=True),
        Column("value"),
    )
    rows = tuple(_row(view, line) for line in lines)
    notes = ("norm: the Frobenius norm",) if any("norm " in row[-1] for row in rows) else ()
    return Table(title, columns, rows, notes, ruled=True)


def _title(problem: Problem) -> str:
    asked = "" if problem.steps == 3 else f", with T = {grouped(problem.steps)} for its 3"
    if not problem.single_rnn:
        return f"The derivation, after the exercise sheet{asked}"
    if problem.loss is None:
        return "The subtasks of the exercise sheet that need no loss"
    if problem.upstream:
        return "The subtasks of the sheet that need no read-out"
    if of_the_sheet(problem):
        return "The ten subtasks of the exercise sheet (its equations in brackets)"
    return f"The {'' if problem.steps == 1 else 'ten '}subtasks of the exercise sheet{asked}"


def _inside_title(problem: Problem, at: int) -> str:
    layer = f" of layer {at + 1}" if problem.depth > 1 else ""
    name = problem.cell.name  # of a cell of one's own it may be several words
    whose = f"the {name} cell" if name.isidentifier() and len(name) <= 20 else "the cell"
    return f"Inside a step{layer}: the partials of {whose} itself"


def _row(view: View, line: Line) -> tuple[str, ...]:
    symbol = f"{line.symbol}\n({line.equations})" if line.equations else line.symbol
    return line.id, symbol, _a_line_each(line.formula), _value(view, line)


def _value(view: View, line: Line) -> str:
    result, shape = view.result, view.result.value_shape(line)
    if line.own is not None:
        if prod(shape) > HUGE:
            return times(shape)
        steps = _steps(result.problem.steps, full=view.selection.full)
        return _at_each(steps, lambda t: result.value_at(line, t))
    record = result.record(line.quantity)
    known = view.arrays.get(line.quantity)
    if known is None or result.of_one:
        if record.size(result.problem) > HUGE:
            return times(record.shape(result.problem))
        known = result.of_sequence(line.quantity)
    if line.row is not None or record.first_step is None:
        written = vector(line.value(known))
        return written if result.problem.single_rnn else written.replace(", ", ",\n")
    return _at_each(_steps(len(known), full=view.selection.full), lambda t: known[t - 1])


def _a_line_each(formula: str) -> str:
    """Equals signs, and the summands of different losses, begin a line, as on the sheet; so do the
    products that a cell's partial is the sum of, the rows of a matrix of blocks, and the gates that
    stand in line."""
    broken = formula.replace(" + ∂L_", "\n+ ∂L_").replace(" = ", "\n= ").replace("], [", "],\n[")
    broken = broken.replace(" + diag(", "\n+ diag(").replace(" − diag(", "\n− diag(")
    return broken.replace(", ", ",\n") if " ⊗ " in broken else broken


def _at_each(shown: Sequence[int | None], at: Callable[[int], Array]) -> str:
    """A line a step, None the gap."""
    return "\n".join(GAP if t is None else _at(at(t), t) for t in shown)


def _steps(count: int, *, full: bool) -> Sequence[int | None]:
    """All steps, or both ends of a long sequence."""
    return range(1, count + 1) if full or count <= 4 else (1, 2, None, count)


def _at(row: Array, t: int) -> str:
    return f"t={t}  {vector(row if row.ndim > 1 or row.size == 1 else row[np.newaxis])}"
