"""A derivation for people: the tables of ``rnngrad derive``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise

import numpy as np

from rnngrad.analyses.derivation.derive import Derivation
from rnngrad.analyses.derivation.gates import pre_activations
from rnngrad.analyses.derivation.notation import Notation
from rnngrad.analyses.derivation.paths import PathSum
from rnngrad.analyses.derivation.quantities import dL_dx_of
from rnngrad.analyses.derivation.selection import Selection
from rnngrad.analyses.flow.flow import GradientFlow
from rnngrad.arithmetic.arrays import Array, frobenius
from rnngrad.net.cells import INPUT
from rnngrad.views.arrays import array_table
from rnngrad.views.blocks import Block, Column, Fitted, Lines, Table
from rnngrad.views.derivation.heading import heading
from rnngrad.views.derivation.layers import (
    Cells,
    gradients_by_layer,
    headers,
    in_parts,
    lengths,
    stepwise,
)
from rnngrad.views.derivation.step import step_blocks
from rnngrad.views.derivation.view import View, blocks_of, view_of
from rnngrad.views.numbers import (
    GAP,
    decades,
    from_log10,
    grouped,
    kept,
    length,
    number,
    percent,
    settled,
    times,
    vector,
)

BAR = 16
"""Width of the longest bar of the chain table."""

MANY = 24
"""Steps from which on the chain is shown in a line as well."""

SUMMAND = 46
"""Longest summand that leaves its row on 80 columns; beyond it, ∂L_t/∂h_k stands for the chain."""


def blocks(
    result: Derivation, selection: Selection, arrays: dict[str, Array], flow: GradientFlow
) -> Iterator[Block]:
    """The whole report, or the tables of what was asked for."""
    if selection.named:
        for name in selection.names:
            yield array_table(result.record(name), arrays[name], selection)
        return
    if selection.step is not None:
        yield heading(result)
        yield from step_blocks(result, selection)
        return
    view = view_of(result, selection, arrays, flow)
    for section in view.sections:
        empty = True
        for block in blocks_of(section, view) if section.exists(result.problem) else ():
            empty = False
            yield block
        if empty and selection.sections:
            yield Lines((f"Section {section.name} is empty for this net.",))


def forward(view: View) -> Iterator[Table]:
    """Inputs, states, outputs, targets and losses, a row a step."""
    result, selection = view.result, view.selection
    problem, trace = result.problem, result.passes.forward
    shown = {"x_t": problem.x}
    if problem.dense is not None:
        shown = {"x_t": problem.dense.x, "x'_t": problem.x}
    if problem.single_rnn:
        shown["a_t"] = trace.a
    states = {f"{part}_t": trace.part(part) for part in problem.cell.parts}
    start = {name: length(rows[0]) for name, rows in states.items()}
    shown |= {name: rows[1:] for name, rows in states.items()}
    if not problem.upstream:
        shown["y_t"] = trace.y
    if problem.targets is not None:
        shown["u_t" if problem.upstream else "t_t"] = problem.targets
    columns = list(headers(*((name, rows.shape[1]) for name, rows in shown.items())))
    cells = [lengths(rows) for rows in shown.values()]
    if problem.targets is not None and not problem.upstream:
        columns.append(Column("L_t"))
        cells.append(lambda at: number(float(trace.losses[at])))
    first = [start.get(name, "") for name in (*shown, "L_t")]
    yield from _from_0("Forward pass", columns, cells, first, result, selection, 6)


def _from_0(
    title: str, columns: list[Column], cells: list[Cells], start: list[str],
    result: Derivation, selection: Selection, most: int, notes: tuple[str, ...] = (),
) -> Iterator[Table]:  # fmt: skip
    """A row for step 0 and one for each step; in several tables where there are more columns than
    ``most``, and fit beside one another."""
    for beside in in_parts(len(columns), most):
        rows = stepwise(cells[beside], result.problem.steps, selection)
        last, first = beside.stop == len(columns), ("0", *start[beside])
        table = Table(title, (Column("t"), *columns[beside]), (first, *rows))
        yield table._replace(notes=notes) if last else table


def parameters(view: View) -> Iterator[Table]:
    """∂L/∂W of every parameter, a row each."""
    whose = ", of all sequences" if view.result.of_one else ""
    weights = dict(view.result.weights)
    weights |= {name: view.result[f"dL_d{name}"] for name in INPUT if view.result.problem.dense}
    yield gradients_table(f"Gradients of the parameters{whose}", weights)


def gradients_table(title: str, gradients: Mapping[str, Array]) -> Table:
    """∂L/∂W by the parameters' names, a row each."""
    columns = [Column("parameter", right=False), Column("shape"), Column("norm of ∂L/∂W")]
    largest = any(gradient.size > 1 for gradient in gradients.values())
    if largest:
        columns.append(Column("largest entry"))
        columns.append(Column("at", right=False))
    rows = []
    for name, gradient in gradients.items():
        row = [name, times(gradient.shape), number(frobenius(gradient))]
        rows.append((*row, *_largest(gradient)) if largest else (*row[:2], vector(gradient)))
    if not largest:
        columns[2] = Column("∂L/∂W")
    return Table(title, tuple(columns), tuple(rows))


def _largest(gradient: Array) -> tuple[str, str]:
    index = np.unravel_index(int(np.argmax(np.abs(gradient))), gradient.shape)
    return number(float(gradient[index])), f"[{', '.join(str(int(i)) for i in index)}]"


def per_step(view: View) -> Iterator[Table]:
    """The gradients of outputs, states and inputs, a row a step; of a stack layer by layer too."""
    result, selection = view.result, view.selection
    problem, back = result.problem, result.passes.backward
    h, *others = (f"{part}_t" for part in problem.cell.parts)
    shown = {} if problem.upstream else {"∂L/∂y_t": back.dL_dy}
    shown[f"∂L_t/∂{h}"] = back.dLt_dht
    states = {f"∂L/∂{part}_t": rows for part, rows in back.dL_ds.items()}
    shown |= {name: rows[1:] for name, rows in states.items()}
    if not others and (keys := pre_activations(problem.cell)):
        shown["∂L/∂a_t"] = np.concatenate([at[key] for at in back.at for key in keys], axis=1)
    shown["∂L/∂x_t"] = dL_dx_of(result.passes)
    start = [length(states[name][0]) if name in states else "" for name in shown]
    columns = list(headers(*((name, rows.shape[1]) for name, rows in shown.items())))
    cells = [lengths(array) for array in shown.values()]
    note = f"∂L_t/∂{h} is the direct term alone; ∂L/∂{h} adds every path through later steps."
    yield from _from_0(
        "Gradients step by step", columns, cells, start, result, selection, 5, (note,)
    )
    if problem.depth > 1:
        yield gradients_by_layer(result, selection)


def paths(view: View) -> Iterator[Block]:
    """The largest summands of ∂L/∂W, matrix by matrix."""
    result = view.result
    if not view.selection.paths:
        pairs = result.problem.steps * (result.problem.steps + 1) // 2
        text = f"{grouped(pairs)} pairs (t, k) are not computed unasked; --section paths does."
        yield Lines((f"Paths: {text}",))
        return
    state = Notation(result.problem).state
    for path_sum in result.path_sums:
        if path_sum.summands:
            yield _path_table(path_sum, state, result.of_one)


def _path_table(path_sum: PathSum, state: str, of_one: str) -> Table:
    weight = path_sum.weight
    scalar = path_sum.summands[0].value is not None
    columns = (
        Column("t"),
        Column("k"),
        Column("summand", right=False, formula=True),
        Column("value" if scalar else "norm"),
        Column("share"),
    )
    texts = [_summand_text(summand.t, summand.k, weight, state) for summand in path_sum.summands]
    if max(map(len, texts)) > SUMMAND:
        texts = [f"∂L_{t}/∂{state}_{k} · ∂⁺{state}_{k}/∂{weight}"
                 for t, k, *_ in path_sum.summands]  # fmt: skip
    rows = [
        (
            str(summand.t),
            str(summand.k),
            text,
            from_log10(summand.log10_norm) if summand.value is None else number(summand.value),
            percent(summand.share),
        )
        for summand, text in zip(path_sum.summands, texts, strict=True)
    ]
    whose = f" {of_one}" if of_one else ""
    notes = [f"A share is the summand's part of ∂L/∂{weight}{whose}; all shares add up to 100 %."]
    if np.isnan(path_sum.left_out_share):
        notes = [f"∂L/∂{weight} is 0 or not finite, so there are no shares of it."]
    if path_sum.left_out:
        rows.append(("", "", f"{grouped(path_sum.left_out)} smaller ones, left out", "",
                     percent(path_sum.left_out_share)))  # fmt: skip
    title = f"Paths of ∂L/∂{weight}: from the loss L_t to the use of {weight} at step k"
    return Table(title, columns, tuple(rows), tuple(notes))


def _summand_text(t: int, k: int, weight: str, h: str) -> str:
    back = "" if t == k else f" · ∂{h}_{t}/∂{h}_{k}"
    return f"∂L_{t}/∂{h}_{t}{back} · ∂⁺{h}_{k}/∂{weight}"


def chain(view: View) -> Iterator[Table | Fitted]:
    """‖∂s_t/∂s_{t−1}‖ and ‖∂s_T/∂s_t‖, a row a step."""
    result, chain = view.result, view.result["log10_chain"]
    shown = kept(len(chain), view.selection.full)
    steps = result.log10_step_norms_at([t for t in shown if t])
    h = Notation(result.problem).state
    columns = (
        Column("t"),
        Column(f"‖∂{h}_t/∂{h}_{{t−1}}‖"),
        Column(f"‖∂{h}_T/∂{h}_t‖"),
        Column("its log10"),
        Column("", right=False),
    )
    longest = settled(float(np.max(np.abs(chain), initial=0.0, where=np.isfinite(chain))))
    rows = []
    for t in shown:
        if t is None:
            rows.append((GAP,) * 5)
            continue
        step = "" if t == 0 else from_log10(steps[t])
        log10 = settled(float(chain[t]))
        rows.append((str(t), step, from_log10(log10), decades(log10), _bar(log10, longest)))
    notes = ["‖·‖ is the largest singular value. Bars show the log10: - below 1, + above."]
    rate = float(chain[0]) / result.problem.steps
    if np.isfinite(rate):
        notes.append(
            f"Mean factor a step, back to {h}_0: {from_log10(rate)} "
            f"(growth rate {number(settled(rate * np.log(10.0)))})."
        )
    if len(chain) > MANY and np.isfinite(chain).any():
        above = f"log10 ‖∂{h}_T/∂{h}_t‖, t = 0 to T from left to right"
        yield Fitted(above, lambda width: _sparkline(above, chain, width))
    title = f"Norms of the chain of ∂{h}_t/∂{h}_{{t−1}}"
    yield Table(title, columns, tuple(rows), tuple(notes))


HEIGHTS = "▁▂▃▄▅▆▇█"
"""From the least to the largest that is finite; a blank is not."""


def _sparkline(title: str, values: Array, width: int) -> Table:
    """The values in one line, the mean of some where they are too many."""
    ends = [len(values) * i // min(width, len(values)) for i in range(min(width, len(values)) + 1)]
    means = np.array([np.mean(values[low:high]) for low, high in pairwise(ends)])
    finite = means[np.isfinite(means)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    steps = (len(HEIGHTS) - 1) / (high - low) if high > low else 0.0
    line = "".join(
        HEIGHTS[round((mean - low) * steps)] if np.isfinite(mean) else " " for mean in means
    )
    note = f"From {decades(low)} ({HEIGHTS[0]}) to {decades(high)} ({HEIGHTS[-1]})."
    return Table(title, (Column("", right=False),), ((line,),), (note,))


def _bar(log10: float, longest: float) -> str:
    if not np.isfinite(log10) or longest == 0.0:
        return ""
    return ("-" if log10 < 0 else "+") * round(BAR * abs(log10) / longest)
