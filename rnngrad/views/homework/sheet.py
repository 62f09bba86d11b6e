"""The subtasks of a derivation as equations: chain rule, numbers put in, value."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from math import prod

import numpy as np

from rnngrad.analyses.derivation.chain_rules import (
    ERRATA,
    asked_before,
    conventions,
    derivation,
    first_use,
    loss_steps,
    of_the_sheet,
)
from rnngrad.analyses.derivation.derive import Derivation
from rnngrad.analyses.derivation.formulas import Line
from rnngrad.analyses.derivation.notation import Notation
from rnngrad.analyses.derivation.selection import HUGE
from rnngrad.analyses.derivation.worked import Numbers
from rnngrad.arithmetic.arrays import Array, frobenius
from rnngrad.views.blocks import Block, Formula, Formulas, Lines
from rnngrad.views.derivation.heading import equations_of, title
from rnngrad.views.homework.given import MOST_STEPS, given
from rnngrad.views.homework.put_in import (
    LARGEST,
    NoNumberError,
    PutIn,
    diagonal,
    fits,
    result_of,
    shown,
    typed,
)
from rnngrad.views.numbers import grouped, number
from rnngrad.views.typesetting.layout import Number, Piece, Row, Sign, Word, width
from rnngrad.views.typesetting.reading import read

WIDEST_VALUE = 54.0
"""Digits of a value beside one another."""

MOST_TERMS = 12
"""Terms of a sum that numbers are put in for."""


class Sheet:
    """One derivation in one notation; ``matrix``: with diag also where all sizes are 1."""

    def __init__(self, result: Derivation, *, matrix: bool = False) -> None:
        self.result, self.problem = result, result.problem
        self.notation = Notation(result.problem, matrix)
        self.numbers = Numbers(result)

    @cached_property
    def lines(self) -> tuple[Line, ...]:
        """The subtasks, and of another cell what is inside a step."""
        return derivation(self.problem, matrix=self.notation.matrix)

    def opening(self) -> Iterator[Block]:
        """The net, its numbers, and what the symbols mean: of answers and of questions."""
        yield title(self.result)
        yield self.net()
        yield given(self.problem)
        said = (*conventions(self.problem, self.lines), *self._of_vectors())
        yield from [Formulas("Notation", (), said)] if said else []

    def _of_vectors(self) -> Iterator[str]:
        """Which way round the derivatives of vectors stand."""
        if self.notation.all_one:
            return
        s, lines = self.notation.state, self.lines
        jacobian = f"∂{s}_t/∂{s}_{{t−1}}"
        one = f"∂L/∂{s}_t is one row; " if self.problem.loss is not None else ""
        yield f"{one}{jacobian} has as many rows as {s}_t has entries."
        outer = {len(self.result.value_shape(line)) for line in lines if "⊗" in line.formula}
        if 3 in outer:
            where = "Where a vector stands before ⊗, row" if 4 in outer else "Row"
            yield (f"{where} i, column k of ∂⁺h_t/∂W is the derivative of the unit of row i by "
                   "W[i, k]; all else is 0.")  # fmt: skip
        if 4 in outer:
            yield ("Where a matrix stands before ⊗, W acts on every unit: its entry [i, j] times "
                   "entry k behind ⊗ is the derivative of unit i by W[j, k].")  # fmt: skip
        if any(line.id == "a1" and "/y_" in line.formula.rpartition(" = ")[2] for line in lines):
            yield "A quotient of vectors is taken entry by entry."

    def heading(self, line: Line) -> str:
        """(b4), with the sheet's numbers of its equations; and that an earlier subtask asks for the
        same, if one does."""
        numbers = f" equations {line.equations}" if line.equations else ""
        earlier = self.again.get(line.id)
        same = f", the same as ({earlier}) because T = {self.problem.steps}" if earlier else ""
        return f"({line.id}){numbers}{same}"

    @cached_property
    def again(self) -> dict[str, str]:
        """Which subtask asks for the same as which before."""
        return asked_before(self.problem, self.lines)

    def blocks(self) -> Iterator[Block]:
        """The net, then every subtask."""
        yield from self.opening()
        for line in self.lines:
            yield self.subtask(line)
        if of_the_sheet(self.problem):
            yield Lines(ERRATA)

    def net(self) -> Formulas:
        """The equations of the net."""
        rows, notes = [], []
        for text in equations_of(self.problem):
            left, equals, right = text.partition(" = ")
            if self.notation.scalar:
                right = right.replace("∘", "·")
            if equals:
                rows.append(Formula(read(left), (read(right),)))
            else:
                notes.append(text)
        return Formulas("The net", tuple(rows), tuple(notes))

    def subtask(self, line: Line) -> Formulas:
        """One derivative."""
        if self.every_step(line):
            return Formulas(self.heading(line), tuple(self._at_every_step(line)))
        formula, why = apart(line.formula)
        sides = [self.chain(formula), *self.worked_out(line, formula)]
        notes = (why,) if why else ()
        rows = (Formula(read(line.symbol), tuple(sides)),)
        return Formulas(self.heading(line), rows, notes)

    @staticmethod
    def every_step(line: Line) -> bool:
        """Whether it holds for every t."""
        return "_t" in line.symbol

    def chain(self, formula: str) -> Row:
        """The sides of a formula one after the other: they are broken where they are too long."""
        return joined([read(side) for side in formula.split(" = ")])

    def worked_out(self, line: Line, formula: str) -> list[Row]:
        """Numbers put in, and the value."""
        if formula in ("0", "") or not self.affordable(line):
            return []
        value = Row((self.value(self.value_of(line), row=line.row is not None),))
        if (terms := self._terms(line, formula)) is not None:
            return [*terms, value]
        numbers = self.with_numbers(formula.split(" = ")[-1], columns=line.id not in ("a1", "a2"))
        return [value] if numbers in (None, value) else [*filter(None, [numbers]), value]

    def affordable(self, line: Line) -> bool:
        """Whether its numbers are few enough to be computed unasked."""
        return prod(self.result.value_shape(line)) <= HUGE

    def value_of(self, line: Line) -> Array:
        return np.asarray(self.result.value(line))

    def with_numbers(self, formula: str, *, columns: bool = True) -> Row | None:
        """One side with its numbers; None where some have no place on a line."""
        put = PutIn(self.numbers, scalar=self.notation.scalar, columns=columns)
        try:
            return put.row(read(formula))
        except NoNumberError:
            return None

    def value(self, array: Array, *, row: bool = True) -> Piece:
        """A number, a vector or matrix of some rows, else its norm."""
        if array.size == 1:
            return result_of(float(array.ravel()[0]))
        if fits(array) and width(found := shown(array, column=not row)) <= WIDEST_VALUE:
            return found
        words = f"{' × '.join(map(grouped, array.shape))} numbers, Frobenius norm"
        return Row((Word(words), Number(number(frobenius(array)))))

    # ------------------------------------------------------------------ sums over time

    def _terms(self, line: Line, formula: str) -> list[Row] | None:
        """Sides of a sum over time that is not spelled out, or is one of matrices: by its steps."""
        name = line.quantity.removeprefix("dL_d")
        if line.row is None and line.quantity.startswith("dL_d") and name in self.problem.weights:
            if "Σ" not in formula and self.notation.all_one and self.problem.single_rnn:
                return None
            return [*self._of_weight(name, in_full="Σ" not in formula)]
        if "Σ" in formula and line.row is not None:
            return [*self._of_state(line)]
        return None

    def _of_weight(self, weight: str, *, in_full: bool) -> Iterator[Row]:
        """Σ_k ∂L/∂s_k · ∂⁺s_k/∂W, and its terms; ``in_full``: where there is a formula without Σ,
        just if there is room for the terms."""
        steps = range(first_use(self.problem, weight), self.problem.last_step_with_loss + 1)
        s = self.notation.state
        if len(steps) < 2:
            return
        terms = self._terms_of_weight(weight, steps)
        if terms or not in_full:
            yield read(f"Σ_{{k={steps[0]}..{steps[-1]}}} ∂L/∂{s}_k · ∂⁺{s}_k/∂{weight}")
            yield from [added(terms)] if terms else []

    def _terms_of_weight(self, weight: str, steps: range) -> list[Row]:
        """A product of numbers a step, or a matrix; nothing where there are too many."""
        s, shape = self.notation.state, self.problem.weights[weight].shape
        if len(steps) > MOST_TERMS or max(shape, default=1) > LARGEST:
            return []
        products = [self.with_numbers(f"∂L/∂{s}_{k} · ∂⁺{s}_{k}/∂{weight}") for k in steps]
        found = [one for one in products if one is not None]
        if self.notation.all_one and len(found) == len(steps):
            return found
        terms = self.numbers.by_step(weight)
        if terms is None:
            return []
        return [Row((shown(terms[k - 1], column=terms.ndim > 2),)) for k in steps]

    def _of_state(self, line: Line) -> Iterator[Row]:
        """∂L/∂h_k = ∂L_k/∂y_k · ∂y_k/∂h_k + ∂L/∂h_{k+1} · ∂h_{k+1}/∂h_k."""
        k, part = line.row, line.quantity.removeprefix("dL_d")
        assert k is not None
        s, first = self.notation.state, self.notation.first
        direct = k in loss_steps(self.problem) and part == first
        terms = [f"∂L_{k}/∂y_{k} · ∂y_{k}/∂{part}_{k}"] if direct else []
        formula = " + ".join([*terms, f"∂L/∂{s}_{k + 1} · ∂{s}_{k + 1}/∂{part}_{k}"])
        yield read(formula)
        numbers = self.with_numbers(formula)
        yield from [] if numbers is None else [numbers]

    # ------------------------------------------------------------------ for every t

    def _at_every_step(self, line: Line) -> Iterator[Formula]:
        yield Formula(read(line.symbol), (self.chain(line.formula),))
        if not self.affordable(line):
            return
        rows = self.value_of(line)
        for t in self.steps_shown():
            yield self.at_step(line, t, rows[t - 1])

    def at_step(self, line: Line, t: int, value: Array) -> Formula:
        """The same at one step, in numbers."""
        last = Row((self.value(value, row=False),))
        numbers = self.with_numbers(at_step(line.formula.split(" = ")[-1], t))
        if value.size == 1 and numbers == Row((typed(float(value.ravel()[0])),)):
            numbers = None  # not said twice, as −0.2 = −0.200
        if line.formula.rpartition(" = ")[2].startswith("diag(") and value.ndim == 1:
            last = Row((diagonal(value),))
        sides = [last] if numbers in (None, last) else [joined([*filter(None, [numbers]), last])]
        return Formula(read(at_step(line.symbol, t)), tuple(sides))

    def steps_shown(self) -> list[int]:
        """All steps, or the ends of a long sequence."""
        steps = self.problem.steps
        return [*range(1, steps + 1)] if steps <= MOST_STEPS else [1, 2, steps]


def apart(formula: str) -> tuple[str, str]:
    """A formula without the words behind it, and these as a sentence."""
    found = re.search(r", (because|given) ", formula)
    if found is None:
        return formula, ""
    words = formula[found.start() + 2 :]
    return formula[: found.start()], f"{words[0].upper()}{words[1:]}."


def at_step(text: str, t: int) -> str:
    """h_t as h_3, h_{t−1} as h_2."""
    text = re.sub(r"_t(?![A-Za-z0-9])", f"_{t}", text)
    return re.sub(r"_\{t−1\}", f"_{t - 1}", text)


def joined(sides: Sequence[Row]) -> Row:
    """a = b = c"""
    pieces = list[Piece](sides[0].pieces)
    for side in sides[1:]:
        pieces += [Sign("="), *side.pieces]
    return Row(tuple(pieces))


def added(terms: Sequence[Row]) -> Row:
    """a + b − c"""
    pieces = list[Piece]()
    for term in terms:
        first = term.pieces[0]
        negative = isinstance(first, Number) and first.text.startswith("-")
        if pieces and negative and isinstance(first, Number):
            pieces += [Sign("−"), Number(first.text[1:]), *term.pieces[1:]]
        else:
            pieces += [Sign("+"), *term.pieces] if pieces else term.pieces
    return Row(tuple(pieces))
