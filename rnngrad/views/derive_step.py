"""One step in full: ``rnngrad derive --step t``."""

from __future__ import annotations

from collections.abc import Iterator

from rnngrad.analyses.derive import Derivation
from rnngrad.analyses.gates import Gate, gates
from rnngrad.analyses.notation import raised
from rnngrad.analyses.selection import HUGE, Selection
from rnngrad.arithmetic.arrays import Array

from rnngrad.core.problem import Layer, Problem
from rnngrad.views.arrays import array_table
from rnngrad.views.blocks import Block, Column, Table
from rnngrad.views.numbers import GAP, kept, number

MATRICES = ("dht_dhprev", "dht_dW_xh", "dht_dW_hh")


def step_blocks(result: Derivation, selection: Selection) -> Iterator[Block]:
    """Inputs, hidden units, gates and outputs of step t, one row a unit, then its matrices."""
    assert selection.step is not None
    t, problem = selection.step, result.problem
    for at, layer in enumerate(problem.layers):
        yield from _layer(result, at, layer, selection)
    yield _units(f"Inputs at step {t}", _inputs(result, t), selection)
    yield _units(f"Outputs at step {t}", _outputs(result, t), selection)
    for name in MATRICES:
        if name in result and (selection.full or result.record(name).size(problem) <= HUGE):
            yield array_table(result.record(name), result[name], selection)


def _layer(result: Derivation, at: int, layer: Layer, selection: Selection) -> Iterator[Table]:
    """One layer: its units, their gates, their gradients."""
    t, problem = selection.step, result.problem
    assert t is not None
    which = f" of layer {at + 1}" if problem.depth > 1 else ""
    up = raised(at + 1) if problem.depth > 1 else ""
    yield _units(f"Hidden units{which} at step {t}", _hidden(result, t, layer, up), selection)
    if len(problem.cell.gates) > 1:
        share = result.passes.forward.layers[at]
        found = list(gates(problem, share))
        yield _gates(f"Gates{which} at step {t}", result, found, layer, selection)
    if problem.loss is not None:
        columns = _hidden_gradients(result, t, layer, up)
        title = f"Gradients{which}" if which else "Their gradients"
        yield _units(f"{title} at step {t}", columns, selection)


def _hidden(result: Derivation, t: int, layer: Layer, up: str) -> dict[str, Array]:
    problem, trace, units = result.problem, result.passes.forward, layer.units
    before = {f"h{up}_{t - 1}": trace.h[t - 1, units]}
    after = {f"h{up}_{t}": trace.h[t, units]}
    if trace.c is not None:
        before[f"c{up}_{t - 1}"] = trace.c[t - 1, units]
        after[f"c{up}_{t}"] = trace.c[t, units]
    if len(problem.cell.gates) > 1:
        return before | after
    a = trace.a[t - 1, layer.gates]
    slope = problem.activation.slope(a)
    return before | {f"a{up}_{t}": a} | after | {f"σ'(a{up}_{t})": slope}


def _gates(
    title: str, result: Derivation, found: list[Gate], layer: Layer, selection: Selection
) -> Table:
    """A row a gate and unit: pre-activation, value, slope, and ∂L/∂a."""
    assert selection.step is not None
    row = selection.step - 1
    with_loss = result.problem.loss is not None
    dL_da = split(result.passes.backward.dL_da[row, layer.gates], len(found))
    names = ["a", "value", "slope", *(["∂L/∂a"] if with_loss else [])]
    rows = []
    for gate, reached in zip(found, dL_da, strict=True):
        numbers = [gate.a[row], gate.value[row], gate.slope[row], *([reached] if with_loss else [])]
        for i in kept(layer.hidden, selection.full):
            cells = (GAP if i is None else number(float(values[i])) for values in numbers)
            rows.append((gate.name, GAP if i is None else str(i), *cells))
    columns = (Column("gate", right=False), Column("i"), *map(Column, names))
    return Table(title, columns, tuple(rows))


def _hidden_gradients(result: Derivation, t: int, layer: Layer, up: str) -> dict[str, Array]:
    back, units = result.passes.backward, layer.units
    columns = {
        f"∂L_{t}/∂h{up}_{t}": back.dLt_dht[t - 1, units],
        f"∂L/∂h{up}_{t}": back.dL_dh[t, units],
    }
    if back.dL_dc is not None:
        columns[f"∂L/∂c{up}_{t}"] = back.dL_dc[t, units]
    if len(result.problem.cell.gates) == 1:
        columns[f"∂L/∂a{up}_{t}"] = back.dL_da[t - 1, layer.gates]
    return columns


def _inputs(result: Derivation, t: int) -> dict[str, Array]:
    columns = {f"x_{t}": result.problem.x[t - 1]}
    if result.problem.loss is None:
        return columns
    return {**columns, f"∂L/∂x_{t}": result.passes.backward.dL_dx[t - 1]}


def _outputs(result: Derivation, t: int) -> dict[str, Array]:
    problem: Problem = result.problem
    columns = {f"y_{t}": result.passes.forward.y[t - 1]}
    if problem.targets is None:
        return columns
    return {
        **columns,
        f"t_{t}": problem.targets[t - 1],
        f"∂L/∂y_{t}": result.passes.backward.dL_dy[t - 1],
    }


def _units(title: str, columns: dict[str, Array], selection: Selection) -> Table:
    count = len(next(iter(columns.values())))
    rows = []
    for i in kept(count, selection.full):
        if i is None:
            rows.append((GAP,) * (len(columns) + 1))
        else:
            rows.append((str(i), *(number(float(values[i])) for values in columns.values())))
    return Table(title, (Column("i"), *map(Column, columns)), tuple(rows))
