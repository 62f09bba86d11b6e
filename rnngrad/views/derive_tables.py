"""A derivation for people: the tables of ``rnngrad derive``."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rnngrad.analyses.derivation import Line, loss_steps
from rnngrad.analyses.derive import Derivation
from rnngrad.analyses.notation import Notation
from rnngrad.analyses.paths import PathSum
from rnngrad.analyses.selection import Selection
from rnngrad.core.arrays import Array, frobenius
from rnngrad.core.problem import Problem
from rnngrad.views import flow
from rnngrad.views.arrays import array_table
from rnngrad.views.blocks import Block, Column, Lines, Table
from rnngrad.views.derive_step import step_blocks
from rnngrad.views.numbers import (
    GAP,
    decades,
    from_log10,
    grouped,
    kept,
    lengths,
    number,
    percent,
    times,
    vector,
)  # fmt: skip
from rnngrad.views.plain import one_line

BAR = 16
"""Width of the longest bar of the chain table."""


def blocks(result: Derivation, selection: Selection, arrays: dict[str, Array]) -> Iterator[Block]:
    """The whole report, or the tables of what was asked for."""
    if selection.named:
        for name in selection.names:
            yield array_table(result.record(name), arrays[name], selection)
        return
    yield _heading(result)
    if selection.step is not None:
        yield from step_blocks(result, selection)
        return
    yield _forward(result, selection)
    yield _subtasks(result, arrays)
    yield Lines(tuple(f"* {remark}" for remark in result.remarks))
    if result.problem.loss is not None:
        yield _parameters(result)
        yield _per_step(result, selection)
        yield from _paths(result, selection)
    yield _chain(result, selection, arrays)
    yield from flow.blocks(result, selection)


def _heading(result: Derivation) -> Lines:
    problem = result.problem
    sizes = f"T = {grouped(problem.steps)}, I = {problem.inputs}, H = {problem.hidden}"
    lines = [
        f"{one_line(problem.name)}: {problem.cell.name}, {sizes}, O = {problem.outputs}",
        *_equations(problem),
    ]
    if problem.loss is None or result.loss is None:
        lines.append("no targets, so no loss: only the recurrence is analysed")
    else:
        lines.append(
            f"L = Σ L_t over {_counting(problem)} = {number(result.loss)},  {_L_t(problem)}"
        )
    return Lines(tuple(lines), titled=True)


def _equations(problem: Problem) -> tuple[str, str]:
    """The net on two lines, each function with its name."""
    notation = Notation(problem)
    readout = "W_hy h_t + b_y" if problem.has_readout else "h_t"
    state = "h_t = σ(a_t),  a_t = W_xh x_t + W_hh h_{t−1} + b_h"
    if problem.output.name == "identity":
        return f"{state},  σ = {problem.activation.name}", f"y_t = {readout}"
    named = "" if notation.g == "σ" else f",  g = {problem.output.name}"
    output = f"y_t = {notation.g}({readout}){named}"
    return f"{state},  σ = {problem.activation.name}", output


def _counting(problem: Problem) -> str:
    steps = loss_steps(problem)
    if len(steps) == problem.steps:
        return "all steps"
    if len(steps) <= 6:
        return f"step{'s' if len(steps) > 1 else ''} {', '.join(map(str, steps))}"
    return f"{grouped(len(steps))} of {grouped(problem.steps)} steps"


def _L_t(problem: Problem) -> str:
    assert problem.loss is not None
    formula = problem.loss.formula.replace("target_t", "t_t")
    summed = "" if problem.outputs == 1 or formula.startswith("−Σ") else "Σ_o "
    return f"L_t = {Notation(problem).weighted(summed + formula)}"


def _headers(problem: Problem, *names: tuple[str, int]) -> tuple[Column, ...]:
    """Column heads: the symbol where the cell holds the number itself, else its norm."""
    return tuple(Column(name if size == 1 else f"‖{name}‖") for name, size in names)


def _forward(result: Derivation, selection: Selection) -> Table:
    problem, trace = result.problem, result.passes.forward
    sizes = problem.inputs, problem.hidden, problem.outputs
    cells = [lengths(problem.x), lengths(trace.a), lengths(trace.h[1:]), lengths(trace.y)]
    names = list(zip(("x_t", "a_t", "h_t", "y_t"), (sizes[0], sizes[1], *sizes[1:]), strict=True))
    if problem.targets is not None:
        names.append(("t_t", sizes[2]))
        cells += [lengths(problem.targets), [number(float(v)) for v in trace.losses]]
    columns = (Column("t"), *_headers(problem, *names))
    if problem.targets is not None:
        columns = (*columns, Column("L_t"))
    start = ("0", *("" for _ in range(2)), lengths(trace.h[:1])[0])
    rows = [(*start, *("" for _ in range(len(columns) - len(start))))]
    rows += _stepwise(cells, problem.steps, len(columns), selection)
    return Table("Forward pass", columns, tuple(rows))


def _stepwise(
    cells: list[list[str]], steps: int, width: int, selection: Selection
) -> list[tuple[str, ...]]:
    """A row for each step from 1, its cells out of columns of T."""
    rows = []
    for index in kept(steps, selection.full):
        if index is None:
            rows.append((GAP,) * width)
        else:
            rows.append((str(index + 1), *(column[index] for column in cells)))
    return rows


def _subtasks(result: Derivation, arrays: dict[str, Array]) -> Table:
    columns = (
        Column("", right=False),
        Column("derivative", right=False),
        Column("chain rule", words=True),
        Column("value"),
    )
    rows = tuple(_subtask(result, line, arrays) for line in result.lines)
    return Table(_subtasks_title(result.problem), columns, rows, ruled=True)


def _subtasks_title(problem: Problem) -> str:
    if problem.loss is None:
        return "The subtasks of the exercise sheet that need no loss (its equations in brackets)"
    if problem.steps == 3:
        return "The ten subtasks of the exercise sheet (its equations in brackets)"
    return f"The ten subtasks of the exercise sheet, with T = {grouped(problem.steps)} for its 3"


def _subtask(result: Derivation, line: Line, arrays: dict[str, Array]) -> tuple[str, ...]:
    known, record = arrays.get(line.quantity), result.record(line.quantity)
    if known is None:
        shape = record.shape(result.problem)
        value = times(shape)
    elif line.row is not None or record.first_step is None:
        value = vector(line.value(known))
    else:
        value = _for_every_t(known)
    return line.id, f"{line.symbol}\n({line.equations})", _a_line_each(line.formula), value


def _a_line_each(formula: str) -> str:
    """Equals signs, and the summands of different losses, begin a line, as on the sheet."""
    return formula.replace(" + ∂L_", "\n+ ∂L_").replace(" = ", "\n= ")


def _for_every_t(rows: Array) -> str:
    """A line a step; both ends of a long sequence."""
    shown = range(len(rows)) if len(rows) <= 4 else (0, 1, None, len(rows) - 1)
    return "\n".join(GAP if t is None else f"t={t + 1}  {vector(rows[t])}" for t in shown)


def _parameters(result: Derivation) -> Table:
    problem, gradients = result.problem, result.passes.backward.weights
    columns = [Column("parameter", right=False), Column("shape"), Column("norm of ∂L/∂W")]
    largest = any(gradient.size > 1 for gradient in gradients.values())
    if largest:
        columns.append(Column("largest entry"))
        columns.append(Column("at", right=False))
    rows = []
    for name, gradient in gradients.items():
        row = [name, times(problem.weights[name].shape), number(frobenius(gradient))]
        rows.append((*row, *_largest(gradient)) if largest else (*row[:2], vector(gradient)))
    if not largest:
        columns[2] = Column("∂L/∂W")
    return Table("Gradients of the parameters", tuple(columns), tuple(rows))


def _largest(gradient: Array) -> tuple[str, str]:
    index = np.unravel_index(int(np.argmax(np.abs(gradient))), gradient.shape)
    return number(float(gradient[index])), f"[{', '.join(str(int(i)) for i in index)}]"


def _per_step(result: Derivation, selection: Selection) -> Table:
    problem, back = result.problem, result.passes.backward
    names = [
        ("∂L/∂y_t", problem.outputs),
        ("∂L_t/∂h_t", problem.hidden),
        ("∂L/∂h_t", problem.hidden),
        ("∂L/∂a_t", problem.hidden),
        ("∂L/∂x_t", problem.inputs),
    ]
    arrays = (back.dL_dy, back.dLt_dht, back.dL_dh[1:], back.dL_da, back.dL_dx)
    columns = (Column("t"), *_headers(problem, *names))
    start = ("0", "", "", lengths(back.dL_dh[:1])[0], "", "")
    rows = _stepwise([lengths(array) for array in arrays], problem.steps, len(columns), selection)
    note = "∂L_t/∂h_t is the direct term alone; ∂L/∂h_t adds every path through later steps."
    return Table("Gradients step by step", columns, (start, *rows), (note,))


def _paths(result: Derivation, selection: Selection) -> Iterator[Block]:
    if not selection.paths:
        pairs = result.problem.steps * (result.problem.steps + 1) // 2
        text = f"Paths: {grouped(pairs)} pairs (t, k) are not computed unasked; --full does."
        yield Lines((text,))
        return
    for path_sum in result.path_sums:
        if path_sum.summands:
            yield _path_table(path_sum)


def _path_table(path_sum: PathSum) -> Table:
    weight = path_sum.weight
    scalar = path_sum.summands[0].value is not None
    columns = (
        Column("t"),
        Column("k"),
        Column("summand", right=False),
        Column("value" if scalar else "norm"),
        Column("share"),
    )
    rows = [
        (
            str(summand.t),
            str(summand.k),
            _summand_text(summand.t, summand.k, weight),
            from_log10(summand.log10_norm) if summand.value is None else number(summand.value),
            percent(summand.share),
        )
        for summand in path_sum.summands
    ]
    notes = [f"A share is the summand's part of ∂L/∂{weight}; all shares add up to 100 %."]
    if np.isnan(path_sum.left_out_share):
        notes = [f"∂L/∂{weight} is 0 or not finite, so there are no shares of it."]
    if path_sum.left_out:
        rows.append(("", "", f"{grouped(path_sum.left_out)} smaller ones, left out", "",
                     percent(path_sum.left_out_share)))  # fmt: skip
    title = f"Paths of ∂L/∂{weight}: from the loss L_t to the use of {weight} at step k"
    return Table(title, columns, tuple(rows), tuple(notes))


def _summand_text(t: int, k: int, weight: str) -> str:
    back = "" if t == k else f" · ∂h_{t}/∂h_{k}"
    return f"∂L_{t}/∂h_{t}{back} · ∂⁺h_{k}/∂{weight}"


def _chain(result: Derivation, selection: Selection, arrays: dict[str, Array]) -> Table:
    chain, steps = arrays["log10_chain"], result.log10_step_norms
    columns = (
        Column("t"),
        Column("‖∂h_t/∂h_{t−1}‖"),
        Column("‖∂h_T/∂h_t‖"),
        Column("its log10"),
        Column("", right=False),
    )
    longest = float(np.max(np.abs(chain), initial=0.0, where=np.isfinite(chain)))
    rows = []
    for t in kept(len(chain), selection.full):
        if t is None:
            rows.append((GAP,) * 5)
            continue
        step = "" if t == 0 else from_log10(float(steps[t - 1]))
        log10 = float(chain[t])
        rows.append((str(t), step, from_log10(log10), decades(log10), _bar(log10, longest)))
    T = result.problem.steps
    rate = float(chain[0]) / T * np.log(10.0)
    notes = ["‖·‖ is the largest singular value. Bars show the log10: - below 1, + above."]
    rate = float(chain[0]) / result.problem.steps
    if np.isfinite(rate):
        notes.append(
            f"Mean factor a step, back to h_0: {from_log10(rate)} "
            f"(growth rate {number(rate * np.log(10.0))})."
        )
    return Table("Norms of the chain of ∂h_t/∂h_{t−1}", columns, tuple(rows), tuple(notes))


def _bar(log10: float, longest: float) -> str:
    if not np.isfinite(log10) or longest == 0.0:
        return ""
    return ("-" if log10 < 0 else "+") * round(BAR * abs(log10) / longest)
