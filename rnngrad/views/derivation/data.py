"""A derivation for programs: the JSON document, the rows of CSV and JSONL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import prod

import numpy as np

from rnngrad.analyses.derivation.derive import Derivation
from rnngrad.analyses.derivation.formulas import Line
from rnngrad.analyses.derivation.quantities import Quantity
from rnngrad.analyses.derivation.selection import HUGE, LARGE, Selection
from rnngrad.analyses.flow.flow import GradientFlow
from rnngrad.arithmetic.arrays import Array, finite_or_none, frobenius
from rnngrad.net.fingerprint import fingerprint
from rnngrad.net.problem import Problem
from rnngrad.version import __version__
from rnngrad.views.derivation import flow, lags
from rnngrad.views.formats.to_json import nested
from rnngrad.views.report import Cell

COLUMNS = ("quantity", "t", "i", "j", "value")


def document(
    result: Derivation, selection: Selection, arrays: dict[str, Array], gradient: GradientFlow
) -> dict[str, object]:
    """The document of the contract. With named quantities it holds those and no derivation."""
    shown: dict[str, object] = {
        "command": "derive",
        "version": __version__,
        "spec": spec_data(result.problem),
        "loss": None if result.loss is None else finite_or_none(result.loss),
        "first_nonfinite_step": result.first_nonfinite_step,
    }
    if selection.step is not None:
        shown["step"] = selection.step
    shown["quantities"] = {
        name: value(_at_step(result.record(name), arrays[name], selection.step), selection.full)
        for name in selection.names
    }
    if selection.named or selection.step is not None:
        return {**shown, "derivation": []}
    shown["derivation"] = [_line(result, line, arrays, selection.full) for line in result.lines]
    shown["remarks"] = list(result.remarks)
    if selection.paths:
        shown["paths"] = _paths(result)
    shown["gradient_flow"] = flow.data(gradient)
    shown["truncation"] = lags.truncation(gradient)
    return shown


def spec_data(problem: Problem) -> dict[str, object]:
    """The net, for programs."""
    return {
        "name": problem.name,
        "cell": problem.cell.name,
        "equations": [str(equation) for equation in problem.cell.equations.equations],
        "activation": problem.activation.name,
        "output_activation": problem.output.name,
        "loss": None if problem.loss is None or problem.upstream else problem.loss.name,
        **({"upstream": True} if problem.upstream else {}),
        "steps": problem.steps,
        "inputs": problem.given_inputs,
        **({} if problem.dense is None else {"dense": problem.inputs}),
        "hidden": problem.hidden,
        **_layers(problem),
        "outputs": problem.outputs,
        "seed": problem.seed,
        "hash": fingerprint(problem),
        **_of_batch(problem),
    }


def _of_batch(problem: Problem) -> dict[str, object]:
    """Which sequence of how many it is."""
    if problem.of_batch is None:
        return {}
    return dict(zip(("sequence", "batch_size"), problem.of_batch, strict=True))


def _layers(problem: Problem) -> dict[str, object]:
    """The units of each layer, lowest first, of a stack."""
    if problem.depth == 1:
        return {}
    return {"layers": [layer.hidden for layer in problem.layers]}


def value(array: Array, full: bool) -> object:
    """The numbers, or shape and norm where they are many."""
    if full or array.size <= LARGE:
        return nested(array)
    return {"shape": list(array.shape), "norm": finite_or_none(frobenius(array))}


def _line(
    result: Derivation, line: Line, arrays: dict[str, Array], full: bool
) -> dict[str, object]:
    shape = result.value_shape(line)
    shown: object = {"shape": list(shape), "norm": None}
    if line.quantity in arrays and result.of_one:
        shown = value(result.value(line), full)
    elif line.quantity in arrays:
        shown = value(line.value(arrays[line.quantity]), full)
    elif line.own is not None and (full or prod(shape) <= HUGE):
        shown = value(result.value(line), full)
    return {
        "id": line.id,
        "symbol": line.symbol,
        "formula": line.formula,
        "value": shown,
        "equations": line.equations,
    }


def _paths(result: Derivation) -> list[dict[str, object]]:
    return [
        {
            "weight": path_sum.weight,
            "count": path_sum.total,
            "left_out": path_sum.left_out,
            "left_out_share": finite_or_none(path_sum.left_out_share),
            "summands": [
                {
                    "t": summand.t,
                    "k": summand.k,
                    "log10_norm": finite_or_none(summand.log10_norm),
                    "share": finite_or_none(summand.share),
                }
                for summand in path_sum.summands
            ],
        }
        for path_sum in result.path_sums
    ]


def _at_step(record: Quantity, array: Array, step: int | None) -> Array:
    """The row of one step; everything without ``step``."""
    first = record.first_step
    return array if step is None or first is None else array[step - first]


def rows(
    result: Derivation, selection: Selection, arrays: dict[str, Array]
) -> Iterator[tuple[Cell, ...]]:
    """One number a row: quantity, t as on paper, i and j counted from 0 as in NumPy, value.

    Where an axis is itself a step (log10_paths) its index j is that step; log10_chain has its step
    k under t.
    """
    return rows_of(result.record, selection, arrays)


def rows_of(
    record_of: Callable[[str], Quantity], selection: Selection, arrays: dict[str, Array]
) -> Iterator[tuple[Cell, ...]]:
    """The same by the records alone."""
    for name in selection.names:
        record = record_of(name)
        first = record.first_step
        for index, value in np.ndenumerate(arrays[name]):
            t, i, j = _place(index, first, record.dims)
            if selection.step is None or t == selection.step:
                yield name, t, i, j, float(value)


def _place(
    index: tuple[int, ...], first: int | None, dims: tuple[str, ...]
) -> tuple[int | None, int | None, int | None]:
    t = None if first is None else index[0] + first
    rest = index if first is None else index[1:]
    if dims == ("T", "T+1"):
        return t, None, rest[0]
    i = rest[0] if rest else None
    return t, i, rest[1] if len(rest) > 1 else None
