"""One quantity as a table: a number, or any array of one to three axes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rnngrad.analyses.derivation.quantities import Quantity
from rnngrad.analyses.derivation.selection import Selection
from rnngrad.arithmetic.arrays import Array
from rnngrad.views.blocks import Column, Table
from rnngrad.views.numbers import GAP, decades, kept, kept_across, number, times


def array_table(record: Quantity, array: Array, selection: Selection) -> Table:
    """The array with its indices: t as on paper, i and j (k for paths) counted from 0 as in NumPy,
    but k, where it is a step, as the step that it is."""
    step, full = selection.step, selection.full
    first = record.first_step
    if step is not None and first is not None:
        array, first = array[step - first : step - first + 1], step
    across = kept_across(array.shape[-1] if array.ndim > 1 else 1, full)
    lead = _leading(record, array.ndim)
    columns = [*map(Column, lead), *(Column(_across(record, array.ndim, j)) for j in across)]
    rows = tuple(_rows(record, array, first, across, full))
    title = f"{record.name}: {record.symbol}, {times(array.shape)}"
    left_out = any(j is None for j in across) or any(row[0] == GAP for row in rows)
    notes = ("Left out where ⋮ stands; --full shows all.",) if left_out else ()
    return Table(title, tuple(columns), rows, notes)


def _leading(record: Quantity, axes: int) -> list[str]:
    """The names of the index columns: all axes but the one that runs across."""
    if axes == 0:
        return []
    first = record.axis or ("i" if record.first_step is None else "t")
    return [first] + ["i"] * (axes - 2)


def _across(record: Quantity, axes: int, j: int | None) -> str:
    if j is None:
        return GAP
    if axes < 2:
        return record.symbol
    if record.columns:
        return record.columns[j]
    return f"k={j}" if record.dims[-1] == "T+1" else f"[{j}]"


def _rows(
    record: Quantity, array: Array, first: int | None, across: list[int | None], full: bool
) -> Iterator[tuple[str, ...]]:
    write = decades if record.name.startswith("log10_") else number
    if array.ndim == 0:
        yield (write(float(array)),)
        return
    flat = array.reshape(-1, array.shape[-1]) if array.ndim > 1 else array[:, np.newaxis]
    width = array.shape[1] if array.ndim == 3 else 1
    for index in kept(len(flat), full):
        if index is None:
            yield (GAP,) * (array.ndim - 1 + len(across) if array.ndim > 1 else 2)
            continue
        t, i = divmod(index, width)
        lead = [str(t + (first or 0)), *([str(i)] if array.ndim == 3 else [])]
        defined = t + (first or 0) if record.dims == ("T", "T+1") else array.shape[-1]
        cells = ((j, GAP if j is None else write(float(flat[index, j]))) for j in across)
        yield (*lead, *("" if j is not None and j > defined else cell for j, cell in cells))
