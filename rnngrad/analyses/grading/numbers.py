"""Answers that are numbers: right to the digits given.

A number is right when it is within half a unit of its last digit of the net's own value, or
within ``rtol`` of it relatively; integers and zero are exact. Fewer than three significant digits
can only be wrong or inconclusive: 0.05 is near too much. Lists are compared entry by entry, and
the points are the share of them that is right, rounded down to a half.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal

import numpy as np

from rnngrad.algebra.equation_numbers import without_number
from rnngrad.algebra.expressions import FormulaError, Mul, Neg, Node, Number
from rnngrad.algebra.grammar import parse
from rnngrad.algebra.latex import undressed
from rnngrad.analyses.checking.comparing.tolerance import RTOL
from rnngrad.analyses.checking.comparing.verdicts import Verdict, worst
from rnngrad.analyses.derivation.chain_rules import derivation
from rnngrad.analyses.derivation.formulas import Line
from rnngrad.analyses.derivation.quantities import Quantities
from rnngrad.analyses.grading.points import OF, Answer
from rnngrad.arithmetic.arrays import Array
from rnngrad.net.problem import Problem

FEWEST_DIGITS = 3

_NUMBER = re.compile(r"\s*[-+−]?\s*(?:\d+\.?\d*|\.\d+)(?:[eE][-+−]?\d{1,4})?\s*")


def is_number(text: str) -> bool:
    """Whether a text is one number and nothing else."""
    return len(text) < 400 and _NUMBER.fullmatch(text) is not None


def number_in(answer: Answer) -> Answer | None:
    """A list, or a number without the dollars, box or full stop around it; None: a formula."""
    if not isinstance(answer, str):
        return answer
    if len(answer) >= 400:
        return None
    plain = undressed(without_number(answer).text).strip(" \t\r\n$")
    return plain if is_number(plain) else None


def typed_number(side: Node) -> str | None:
    """8.02·10⁻¹, (−0.802) as one number with its digits: 8.02e-1; None: it is none, or several."""
    if isinstance(side, Number):
        return side.text if is_number(side.text) else None
    if isinstance(side, Neg):
        inner = typed_number(side.operand)
        return inner and f"-{inner}".removeprefix("--")
    if isinstance(side, Mul) and len(side.factors) == 2:
        first, ten = typed_number(side.factors[0]), side.factors[1]
        if first and isinstance(ten, Number) and re.fullmatch(r"1e-?\d{1,3}", ten.text):
            found = f"{Decimal(first).scaleb(int(ten.text[2:]))}"
            return found if is_number(found) else None
    return None


def _as_typed(text: str) -> str:
    """An entry of a list; one with a power of ten or brackets as a plain number."""
    try:
        sides = parse(text) if len(text) < 400 and not is_number(text) else ()
    except FormulaError:
        return text
    return (typed_number(sides[0]) if len(sides) == 1 else None) or text


def as_number(text: str) -> Decimal:
    """The number, with the digits that it was typed with."""
    return Decimal(re.sub(r"\s", "", text.replace("−", "-")))


class References:
    """The net's own values by subtask, each computed when it is asked for."""

    def __init__(self, problem: Problem, rtol: float = RTOL) -> None:
        self.rtol = Decimal(rtol)
        self.quantities = Quantities(problem)
        self.lines: dict[str, Line] = {line.id: line for line in derivation(problem)}

    def one(self, name: str) -> float | None:
        """The net's own value of a subtask that is a single number."""
        line = self.lines[name]
        right = np.asarray(line.value(self.quantities[line.quantity]), dtype=np.float64)
        return float(right.ravel()[0]) if right.size == 1 else None

    def judge(self, name: str, answer: Answer, *, hide: bool) -> tuple[float, Verdict, str]:
        """Points, verdict and hint for numbers typed for one subtask."""
        line = self.lines[name]
        right = np.asarray(line.value(self.quantities[line.quantity]), dtype=np.float64)
        typed = _flat(answer)
        shape = tuple(size for size in _shape(answer) if size != 1)
        if typed is None:
            return 0.0, Verdict.FAIL, "a list must hold numbers and nothing else"
        if isinstance(answer, str) and typed == [0] and not right.any():
            return OF, Verdict.PASS, ""
        if len(typed) != right.size or shape != _squeezed(right):
            return 0.0, Verdict.FAIL, _shape_words(right, len(typed))
        verdicts = [
            _judge(t, float(v), self.rtol) for t, v in zip(typed, right.ravel(), strict=True)
        ]
        return together(verdicts, right, hide=hide)


def _squeezed(right: Array) -> tuple[int, ...]:
    """The shape without its ones: a row is as good as a list, a number as a list of one."""
    return tuple(size for size in right.shape if size != 1)


def _flat(answer: Answer) -> list[Decimal] | None:
    if isinstance(answer, str):
        text = _as_typed(answer)
        return [as_number(text)] if is_number(text) else None
    parts = [_flat(part) for part in answer]
    return None if None in parts else [n for part in parts if part is not None for n in part]


def _shape(answer: Answer | Sequence[Answer]) -> tuple[int, ...]:
    if isinstance(answer, str):
        return ()
    shapes = {_shape(part) for part in answer}
    return (len(answer), *shapes.pop()) if len(shapes) == 1 else (-1,)


def _shape_words(right: Array, typed: int) -> str:
    wanted = _squeezed(right)
    if not wanted:
        return f"{typed} numbers; there is one"
    if wanted == (typed,):
        return f"must be one list of {typed} numbers, without lists in it"
    if len(wanted) == 1:
        return f"{typed} number{'s' if typed != 1 else ''}; must be a list of {wanted[0]}"
    return f"must be nested lists, {' × '.join(map(str, wanted))} numbers"


def _judge(typed: Decimal, right: float, rtol: Decimal) -> Verdict:
    """One number against one."""
    if not np.isfinite(right):
        return Verdict.INCONCLUSIVE
    exponent, digits = int(typed.as_tuple().exponent), len(typed.as_tuple().digits)
    written_out = exponent >= 0 or typed == 0
    unit = Decimal(0) if written_out else Decimal(5).scaleb(exponent - 1)
    gap, allowed = abs(typed - Decimal(right)), max(unit, abs(Decimal(right)) * rtol)
    if gap > allowed * (1 + Decimal("1e-12")):
        return Verdict.FAIL
    return Verdict.PASS if written_out or digits >= FEWEST_DIGITS else Verdict.INCONCLUSIVE


def together(verdicts: list[Verdict], right: Array, *, hide: bool) -> tuple[float, Verdict, str]:
    """Points, verdict and hint for numbers of which each has its verdict."""
    count, passed = len(verdicts), verdicts.count(Verdict.PASS)
    verdict = worst(verdicts)
    points = float(np.floor(2.0 * OF * passed / count) / 2.0)
    if verdict is Verdict.PASS:
        return OF, verdict, ""
    if verdict is Verdict.INCONCLUSIVE:
        return min(points, OF - 0.5), verdict, f"give at least {FEWEST_DIGITS} significant digits"
    wrong = verdicts.count(Verdict.FAIL)
    verb = "is" if wrong == 1 else "are"
    said = "the number is wrong" if count == 1 else f"{wrong} of {count} numbers {verb} wrong"
    shown = "" if hide or count > 1 else f"; it is {right.ravel()[0]:.6g}"
    return min(points, OF - 0.5), verdict, said + shown
