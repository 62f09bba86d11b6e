"""One step in full: ``rnngrad derive --step t``."""

from __future__ import annotations

from collections.abc import Iterator

from rnngrad.analyses.derivation.derive import Derivation
from rnngrad.analyses.derivation.gates import Gate, gates
from rnngrad.analyses.derivation.notation import raised
from rnngrad.analyses.derivation.quantities import dL_dx_of
from rnngrad.analyses.derivation.selection import HUGE, Selection
from rnngrad.arithmetic.arrays import Array
from rnngrad.net.problem import Layer, Problem
from rnngrad.views.arrays import array_table
from rnngrad.views.blocks import Block, Column, Table
from rnngrad.views.derivation.layers import has_gates, in_parts
from rnngrad.views.numbers import GAP, kept, number

MATRICES = ("dht_dhprev", "dht_dW_xh", "dht_dW_hh")


def step_blocks(result: Derivation, selection: Selection) -> Iterator[Block]:
    """Inputs, hidden units, gates and outputs of step t, one row a unit, then its matrices."""
    assert selection.step is not None
    t, problem = selection.step, result.problem
    for at, layer in enumerate(problem.layers):
        yield from _layer(result, at, layer, selection)
    yield from _units(f"Inputs at step {t}", _inputs(result, t), selection)
    outputs = "Upstream" if problem.upstream else "Outputs"
    yield from _units(f"{outputs} at step {t}", _outputs(result, t), selection)
    for name in MATRICES:
        if name in result and (selection.full or result.record(name).size(problem) <= HUGE):
            yield array_table(result.record(name), result[name], selection)


def _layer(result: Derivation, at: int, layer: Layer, selection: Selection) -> Iterator[Table]:
    """One layer: its units, their gates, their gradients."""
    t, problem = selection.step, result.problem
    assert t is not None
    which = f" of layer {at + 1}" if problem.depth > 1 else ""
    up = raised(at + 1) if problem.depth > 1 else ""
    yield from _units(f"Hidden units{which} at step {t}", _hidden(result, t, at, up), selection)
    found = list(gates(problem, layer, result.passes.forward.layers[at]))
    if has_gates(problem) and found:
        yield _gates(f"Gates{which} at step {t}", result, found, at, selection)
    if problem.loss is not None:
        columns = _hidden_gradients(result, t, at, up)
        title = f"Gradients{which}" if which else "Their gradients"
        yield from _units(f"{title} at step {t}", columns, selection)


def _hidden(result: Derivation, t: int, at: int, up: str) -> dict[str, Array]:
    problem, share = result.problem, result.passes.forward.layers[at]
    before = {f"{part}{up}_{t - 1}": rows[t - 1] for part, rows in share.states.items()}
    after = {f"{part}{up}_{t}": rows[t] for part, rows in share.states.items()}
    if has_gates(problem):
        return before | after
    between, slopes = {}, {}
    for gate in gates(problem, problem.layers[at], share):
        if gate.a is not None and gate.slope is not None:
            between[f"a{up}_{t}"] = gate.a[t - 1]
            slopes[f"{gate.function}'(a{up}_{t})"] = gate.slope[t - 1]
    return before | between | after | slopes


def _gates(
    title: str, result: Derivation, found: list[Gate], at: int, selection: Selection
) -> Table:
    """A row a gate and unit: pre-activation, value, slope, and ∂L/∂a."""
    assert selection.step is not None
    row = selection.step - 1
    with_loss = result.problem.loss is not None
    back = result.passes.backward.at[at]
    names = ["a", "value", "slope", *(["∂L/∂a"] if with_loss else [])]
    rows = []
    for gate in found:
        reached = back.get(gate.key) if gate.key is not None else None
        numbers = [gate.a, gate.value, gate.slope, *([reached] if with_loss else [])]
        for i in kept(gate.value.shape[1], selection.full):
            cells = (_cell(values, row, i) for values in numbers)
            rows.append((gate.name, GAP if i is None else str(i), *cells))
    columns = (Column("gate", right=False), Column("i"), *map(Column, names))
    return Table(title, columns, tuple(rows))


def _cell(values: Array | None, row: int, i: int | None) -> str:
    """A number; nothing where the equation is no function of a_t, or a_t is not summed up."""
    if values is None:
        return ""
    return GAP if i is None else number(float(values[row, i]))


def _hidden_gradients(result: Derivation, t: int, at: int, up: str) -> dict[str, Array]:
    problem, back = result.problem, result.passes.backward
    layer, first = problem.layers[at], problem.cell.parts[0]
    columns = {f"∂L_{t}/∂{first}{up}_{t}": back.dLt_dht[t - 1, layer.units]}
    for (part, rows), units in zip(back.dL_ds.items(), layer.parts, strict=True):
        columns[f"∂L/∂{part}{up}_{t}"] = rows[t, units]
    if not has_gates(problem):
        share = result.passes.forward.layers[at]
        for gate in gates(problem, layer, share):
            if gate.key is not None and gate.key in back.at[at]:
                columns[f"∂L/∂a{up}_{t}"] = back.at[at][gate.key][t - 1]
    return columns


def _inputs(result: Derivation, t: int) -> dict[str, Array]:
    columns, dense = {f"x_{t}": result.problem.x[t - 1]}, result.problem.dense
    if dense is not None:
        columns = {f"x_{t}": dense.x[t - 1], f"x'_{t}": result.problem.x[t - 1]}
    if result.problem.loss is None:
        return columns
    return {**columns, f"∂L/∂x_{t}": dL_dx_of(result.passes)[t - 1]}


def _outputs(result: Derivation, t: int) -> dict[str, Array]:
    problem: Problem = result.problem
    columns = {f"y_{t}": result.passes.forward.y[t - 1]}
    if problem.targets is None:
        return columns
    if problem.upstream:
        return {f"u_{t}": problem.targets[t - 1]}
    return {
        **columns,
        f"t_{t}": problem.targets[t - 1],
        f"∂L/∂y_{t}": result.passes.backward.dL_dy[t - 1],
    }


def _units(title: str, columns: dict[str, Array], selection: Selection) -> Iterator[Table]:
    """A row a unit; parts of the state may have more or fewer."""
    for beside in in_parts(len(columns), 5):
        shown = dict(list(columns.items())[beside])
        rows = []
        for i in kept(max(map(len, shown.values())), selection.full):
            if i is None:
                rows.append((GAP,) * (len(shown) + 1))
                continue
            cells = (number(float(v[i])) if i < len(v) else "" for v in shown.values())
            rows.append((str(i), *cells))
        yield Table(title, (Column("i"), *map(Column, shown)), tuple(rows))
