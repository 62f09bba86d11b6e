"""One derivative written out: its chain rule, each factor, each product, their sum."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from rnngrad.analyses.derivation.chain_rules import derivation, first_use, loss_steps
from rnngrad.analyses.derivation.derive import Derivation
from rnngrad.analyses.derivation.formulas import (
    Line,
    Partial,
    Path,
    paths_to_state,
    paths_to_weight,
    product_text,
)
from rnngrad.arithmetic.arrays import Array
from rnngrad.errors import UsageError, did_you_mean, escaped
from rnngrad.net.problem import Problem
from rnngrad.views.blocks import Block, Formula, Formulas, Lines
from rnngrad.views.derivation.heading import title
from rnngrad.views.homework.put_in import typed
from rnngrad.views.homework.sheet import Sheet, added, apart, at_step
from rnngrad.views.report import Cell, Report
from rnngrad.views.typesetting.layout import Row
from rnngrad.views.typesetting.reading import read
from rnngrad.views.typesetting.writing import Plain

MOST_PATHS = 60
"""Summands that are written out one by one."""

COLUMNS = ("part", "symbol", "formula", "numbers", "value")
_PLAIN = Plain()


class Step(NamedTuple):
    """One equation of the explanation: ``symbol`` = ``formula`` = ``numbers`` = ``value``, of which
    formula and numbers may be missing."""

    part: str
    symbol: str
    formula: str
    numbers: Row | None
    value: Row | None

    def formula_block_row(self) -> Formula:
        """As an equation, a line a side."""
        sides = [read(side) for side in self.formula.split(" = ") if side]
        sides += [one for one in (self.numbers, self.value) if one is not None]
        kept = [side for at, side in enumerate(sides) if at == 0 or side != sides[at - 1]]
        return Formula(read(self.symbol), tuple(kept))


def line_named(result: Derivation, name: str, *, matrix: bool = False) -> Line:
    """The line with that id; UsageError where there is none."""
    lines = {line.id: line for line in derivation(result.problem, matrix=matrix)}
    if name in lines:
        return lines[name]
    hint = _asked_by(name, result.problem, lines) or did_you_mean(name.lower(), lines)
    shown = escaped(name[:40])
    raise UsageError(f"--explain {shown}: no subtask is called so; there are {_some(lines)}{hint}")


def _asked_by(name: str, problem: Problem, lines: dict[str, Line]) -> str:
    """The subtasks that ask for a quantity, where that is what was named: dL_dW_hh, W_hh."""
    weight = name.removeprefix("dL_d")
    rows = problem.cell.whole(weight)
    quantity = f"dL_d{rows or weight}"
    found = [line.id for line in lines.values() if line.quantity in (name, quantity)]
    of = f"{weight} is rows of {rows}; " if rows else ""
    return f"; {of}{quantity} is {' and '.join(found)}" if found else ""


def _some(lines: dict[str, Line]) -> str:
    names = list(lines)
    return ", ".join(names) if len(names) <= 24 else f"{', '.join(names[:20])} and more"


def explained(result: Derivation, name: str, *, matrix: bool = False) -> Report:
    """The steps of one derivative, as equations, as a document and as rows."""
    line = line_named(result, name, matrix=matrix)
    explanation = _Explanation(Sheet(result, matrix=matrix), line)
    return Report(
        blocks=explanation.blocks,
        document=lambda: {
            "command": "derive",
            "spec": {"name": result.problem.name},
            "explain": {"id": line.id, "symbol": line.symbol, "equations": line.equations},
            "steps": [dict(zip(COLUMNS, row, strict=True)) for row in explanation.rows()],
        },
        columns=COLUMNS,
        rows=explanation.rows,
    )


class _Explanation:
    def __init__(self, sheet: Sheet, line: Line) -> None:
        self.sheet, self.line = sheet, line
        self.problem, self.notation = sheet.problem, sheet.notation

    def blocks(self) -> Iterator[Block]:
        yield title(self.sheet.result)
        name = self.sheet.heading(self.line)
        yield Lines((f"{name}: {self.line.symbol}, step by step.",))
        parts: dict[str, list[Step]] = {}
        for step in self.steps():
            parts.setdefault(step.part, []).append(step)
        for name, steps in parts.items():
            yield Formulas(name, tuple(step.formula_block_row() for step in steps))

    def rows(self) -> Iterator[tuple[Cell, ...]]:
        for step in self.steps():
            shown = (_PLAIN.row(row) if row is not None else None
                     for row in (step.numbers, step.value))  # fmt: skip
            yield step.part, step.symbol, step.formula, *shown

    def steps(self) -> Iterator[Step]:
        """Forward, the chain rule, its factors, its summands, their sum."""
        yield from self._forward()
        if self.sheet.every_step(self.line):
            yield Step("The derivative", self.line.symbol, self.line.formula, None, None)
            rows = self._value() if self.sheet.affordable(self.line) else ()
            for t in self.sheet.steps_shown() if len(rows) else ():
                one = self.sheet.at_step(self.line, t, rows[t - 1])
                yield Step("At each step", _PLAIN.row(one.left), "", one.sides[0], None)
            return
        formula, _ = apart(self.line.formula)
        yield Step("The chain rule", self.line.symbol, formula, None, None)
        yield from self._factors(formula)
        value = None
        if self.sheet.affordable(self.line):
            value = Row((self.sheet.value(self._value(), row=self.line.row is not None),))
        products = list(self._products())
        yield from products
        summands = [step.value for step in products if step.value is not None]
        together = added(summands) if len(summands) > 1 else None
        numbers = together or self.sheet.with_numbers(
            formula.split(" = ")[-1], columns=self.line.id not in ("a1", "a2")
        )
        yield Step("The sum" if len(summands) > 1 else "The value", self.line.symbol, "",
                   numbers, value)  # fmt: skip

    def _value(self) -> Array:
        return self.sheet.value_of(self.line)

    # ------------------------------------------------------------------ forward

    def _forward(self) -> Iterator[Step]:
        """Each equation of the net at each step that the derivative may look at."""
        if self.problem.depth > 1:
            return
        equations = [
            (text.replace("∘", "·") if self.notation.scalar else text).partition(" = ")[::2]
            for text in self._equations()
            if "_t" in text.partition(" = ")[0] and "," not in text.partition(" = ")[0]
        ]
        for t in self.sheet.steps_shown():
            for symbol, right in equations:
                value = self.sheet.numbers.name(at_step(symbol, t))
                if value is None:
                    continue
                one = value.size == 1  # not rounded to what an answer needs
                shown = Row(
                    (typed(float(value[0])) if one else self.sheet.value(value, row=False),)
                )
                formula = at_step(right, t)
                numbers = self.sheet.with_numbers(formula) if self.notation.scalar else None
                yield Step("Forward", at_step(symbol, t), formula, numbers, shown)

    def _equations(self) -> Iterator[str]:
        from rnngrad.views.derivation.heading import equations_of

        if self.problem.cell.activation is not None:
            yield from map(str, self.problem.cell.equations.equations)
        h = "h_t = σ(a_t)"
        for text in equations_of(self.problem):
            known = self.problem.cell.activation is None or text.startswith("y_t")
            if known and not text.startswith(("L", "σ", "g =", "h_t")):
                yield text
                yield from [h] if text.startswith("a_t") else []

    # ------------------------------------------------------------------ factors

    def _factors(self, formula: str) -> Iterator[Step]:
        """Every partial of the chain rule: what it is, its numbers, its value."""
        seen = dict[str, None]()
        for path in self._paths():
            seen |= dict.fromkeys(map(str, (*path.head, *path.tail)))
        if not seen:
            found = re.findall(r"∂⁺?[^ ·()]+/∂(?:\{[^}]*\}|[^ ·()])+", formula)
            seen |= dict.fromkeys(found)
        for text in seen:
            if text != self.line.symbol:
                step = self._factor(text)
                yield from [step] if step is not None else []

    def _factor(self, text: str) -> Step | None:
        match = re.fullmatch(r"∂(⁺?)(.+)_\{?(\d+)\}?/∂(.+)", text)
        if match is None:
            return None
        plus, top, step, bottom = match[1], match[2], int(match[3]), match[4]
        formula = self._formula_of(plus, top, step, bottom)
        array = self.sheet.numbers.partial(f"{top}_{step}", bottom, immediate=bool(plus))
        if array is None and plus and f"dht_d{bottom}" in self.sheet.result:
            array = self.sheet.result[f"dht_d{bottom}"][step - 1]
        value = None if array is None else Row((self.sheet.value(array, row=array.ndim > 1),))
        if formula is None and value is None:
            return None
        numbers = None
        if formula and value is not None:
            columns = top != "L"
            numbers = self.sheet.with_numbers(formula.split(" = ")[-1], columns=columns)
        return Step("Its factors", text, formula or "", numbers, value)

    def _formula_of(self, plus: str, top: str, t: int, bottom: str) -> str | None:
        notation = self.notation
        if top == "L":
            return notation.loss_slope(t) if bottom.startswith("y_") else None
        if top == "y":
            return notation.readout_slope(t) if bottom.startswith(f"{notation.first}_") else None
        if not self.problem.single_rnn:
            return self._of_a_step(f"∂{plus}{top}_t/∂{bottom}", t)
        if plus:
            what = {"W_xh": "x_t", "W_hh": "h_{t−1}"}.get(bottom)
            return None if what is None else at_step(notation.immediate(what), t)
        return at_step(notation.one_step(), t)

    def _of_a_step(self, text: str, t: int) -> str | None:
        """What the subtasks have for a partial of one step, with its step in the place of t."""
        symbol = text.replace(f"_{t - 1}", "_{t−1}")
        line = next((line for line in self.sheet.lines if line.symbol == symbol), None)
        return None if line is None else at_step(line.formula, t)

    # ------------------------------------------------------------------ summands

    def _paths(self) -> list[Path]:
        """The paths that the derivative is the sum of; none where it is none, or of too many."""
        quantity, problem = self.line.quantity, self.problem
        counting, s = loss_steps(problem), self.notation.state
        name = quantity.removeprefix("dL_d")
        if self.line.row is not None and name in problem.cell.parts and self.line.id[0] in "ac":
            found = paths_to_state(self.line.row, counting, state=s, end=name,
                                   seen=self.notation.first)  # fmt: skip
        elif self.line.row is None and quantity.startswith("dL_d") and name in problem.weights:
            first = first_use(problem, name)
            found = paths_to_weight(name, counting, first_step=first, state=s)
        else:
            return []
        taken = list[Path]()
        for path in found:
            taken.append(path)
            if len(taken) > MOST_PATHS:
                return []
        return taken

    def _products(self) -> Iterator[Step]:
        """Each summand: its factors, their numbers, their product."""
        paths = self._paths()
        if len(paths) < 2:
            return
        for path in paths:
            text = product_text((*path.head, *path.tail))
            value = self._product((*path.head, *path.tail))
            shown = None if value is None else Row((self.sheet.value(value),))
            numbers = None if value is None else self.sheet.with_numbers(text)
            yield Step("Its summands, one a path", text, "", numbers, shown)

    def _product(self, factors: tuple[Partial, ...]) -> Array | None:
        """The factors multiplied; a last one by a matrix of weights has its own form."""
        total: Array | None = None
        for factor in factors:
            array = self.sheet.numbers.partial(factor.top, factor.bottom,
                                               immediate=factor.immediate)  # fmt: skip
            if array is None and factor.immediate:
                return self._outwards(total, factor)
            if array is None:
                return None
            total = array if total is None else total @ array
        return total

    def _outwards(self, row: Array | None, last: Partial) -> Array | None:
        """r · ∂⁺s_k/∂W, a part of the state at a time: of the compact form, whose blocks have a
        row for each unit i, an entry of row i is r[i] times it."""
        if row is None or self.problem.depth > 1:
            return None
        k = int(last.top.rpartition("_")[2].strip("{}"))
        total = np.zeros(self.problem.weights[last.bottom].shape)
        if total.ndim != 2:
            return None
        for part, units in zip(self.problem.cell.parts, self.problem.layers[0].state, strict=True):
            partial, r = self._immediate(f"∂⁺{part}_t/∂{last.bottom}", k), row.ravel()[units]
            if partial is None:
                continue
            if partial.ndim == 3:
                total += np.tensordot(r, partial, 1)
            else:
                total += np.resize(r, len(partial))[:, np.newaxis] * partial
        return total

    def _immediate(self, symbol: str, k: int) -> Array | None:
        """At step k, by the line that it is; None where that part has no such partial."""
        line = next((line for line in self.sheet.lines if line.symbol == symbol), None)
        if line is None:
            return None
        result = self.sheet.result
        return result.value_at(line, k) if line.own else self.sheet.value_of(line)[k - 1]
