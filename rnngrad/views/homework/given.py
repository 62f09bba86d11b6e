"""What a sheet begins with: the numbers of the net."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rnngrad.arithmetic.arrays import Array
from rnngrad.net.problem import Problem
from rnngrad.views.blocks import Formula, Formulas
from rnngrad.views.homework.put_in import COLUMNS, fits, shown, typed
from rnngrad.views.numbers import grouped, times
from rnngrad.views.typesetting.layout import Number, Piece, Row, Sign, Word
from rnngrad.views.typesetting.reading import read

MOST_STEPS = 8
"""Steps that are all written out."""


def given(problem: Problem) -> Formulas:
    """Weights, start, inputs and targets; what is large is in the spec."""
    rows = list[Formula]()
    exact = True
    for name, array in problem.weights.items():
        rows.append(Formula(read(name), (Row((_array(array),)),)))
        exact &= _exact(array)
    for index, part in enumerate(problem.cell.parts):
        start = problem.start(index)
        rows.append(Formula(read(f"{part}_0"), (Row((_array(start),)),)))
        exact &= _exact(start)
    sequences = [("x", problem.x)]
    if problem.targets is not None:
        sequences.append(("u" if problem.upstream else "t", problem.targets))
    for name, array in sequences:
        rows += _sequence(name, array)
        exact &= _exact(array)
    notes = list[str]()
    if problem.cell.blocks:
        names = ", ".join(problem.cell.blocks)
        notes.append(f"The rows of {names} are those of {', '.join(problem.cell.gates)}, in this "
                     "order.")  # fmt: skip
    notes += [] if exact else ["Numbers are rounded to six digits, in matrices to four."]
    if any(row.sides[0].pieces[:1] and isinstance(row.sides[0].pieces[0], Word) for row in rows):
        notes.append("What is not written out is in the spec.")
    return Formulas("Given", tuple(rows), tuple(notes))


def _sequence(name: str, rows: Array) -> Iterator[Formula]:
    """x_1, x_2, x_3 = 1, −0.5, 0.25"""
    if len(rows) > MOST_STEPS or rows.shape[1] > COLUMNS:
        words = f"{times(rows.shape)} numbers, a row a step"
        yield Formula(read(f"{name}_1, {name}_2, ⋯"), (Row((Word(words),)),))
        return
    names, values = list[Piece](), list[Piece]()
    for t, row in enumerate(rows, start=1):
        comma: list[Piece] = [Sign(",")] if names else []
        names += [*comma, *read(f"{name}_{t}").pieces]
        values += [*comma, _array(row)]
    yield Formula(Row(tuple(names)), (Row(tuple(values)),))


def _array(array: Array) -> Piece:
    if array.size == 1:
        return typed(float(array.ravel()[0]))
    if fits(array):
        return shown(array)
    if not np.any(array != array.ravel()[0]):
        return Row((Number(f"{array.ravel()[0]:g}"), Word("everywhere")))
    return Word(f"{' × '.join(map(grouped, array.shape))} numbers")


def _exact(array: Array) -> bool:
    digits = ".6g" if array.size == 1 else ".4g"
    return all(float(f"{value:{digits}}") == value for value in array.ravel()[:1000])
