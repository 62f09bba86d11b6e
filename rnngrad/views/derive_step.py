"""One step in full: ``rnngrad derive --step t``."""

from __future__ import annotations

from collections.abc import Iterator

from rnngrad.analyses.derive import Derivation
from rnngrad.analyses.selection import Selection
from rnngrad.core.arrays import Array
from rnngrad.core.problem import Problem
from rnngrad.views.arrays import array_table
from rnngrad.views.blocks import Block, Column, Table
from rnngrad.views.numbers import GAP, kept, number

MATRICES = ("dht_dhprev", "dht_dW_xh", "dht_dW_hh")


def step_blocks(result: Derivation, selection: Selection) -> Iterator[Block]:
    """Inputs, hidden units and outputs of step t, one row a unit, then its matrices."""
    assert selection.step is not None
    t = selection.step
    yield _units(f"Hidden units at step {t}", _hidden(result, t), selection)
    if result.problem.loss is not None:
        yield _units(f"Their gradients at step {t}", _hidden_gradients(result, t), selection)
    yield _units(f"Inputs at step {t}", _inputs(result, t), selection)
    yield _units(f"Outputs at step {t}", _outputs(result, t), selection)
    for name in MATRICES:
        yield array_table(result.record(name), result[name], selection)


def _hidden(result: Derivation, t: int) -> dict[str, Array]:
    problem, trace = result.problem, result.passes.forward
    return {
        f"h_{t - 1}": trace.h[t - 1],
        f"a_{t}": trace.a[t - 1],
        f"h_{t}": trace.h[t],
        f"σ'(a_{t})": problem.activation.slope(trace.a[t - 1]),
    }


def _hidden_gradients(result: Derivation, t: int) -> dict[str, Array]:
    back = result.passes.backward
    return {
        f"∂L_{t}/∂h_{t}": back.dLt_dht[t - 1],
        f"∂L/∂h_{t}": back.dL_dh[t],
        f"∂L/∂a_{t}": back.dL_da[t - 1],
    }


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
