"""Sides of an answer in which numbers have been put in: −2·(0.6 − 0.577268) = −0.0454632.

A number typed with three significant digits or more was rounded, by half a unit of its last digit
at most; a shorter one is taken as it is. What the roundings can do to the side's value is bounded
by interval arithmetic.
Source: Moore, *Interval Analysis* (1966), chapter 2.
"""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

import numpy as np

from rnngrad.algebra.expressions import (
    Add,
    Call,
    Div,
    FormulaError,
    Mul,
    Neg,
    Node,
    Number,
    Power,
    nodes,
)
from rnngrad.analyses.checking.comparing.verdicts import Verdict
from rnngrad.analyses.grading.numbers import FEWEST_DIGITS
from rnngrad.arithmetic.functions import ACTIVATIONS
from rnngrad.net.problem import Problem


class Interval(NamedTuple):
    """The values between ``low`` and ``high``."""

    low: float
    high: float

    def __neg__(self) -> Interval:
        return Interval(-self.high, -self.low)

    def plus(self, other: Interval) -> Interval:
        """u + v"""
        return Interval(self.low + other.low, self.high + other.high)

    def times(self, other: Interval) -> Interval:
        """u v"""
        ends = [a * b for a in self for b in other]
        return Interval(min(ends), max(ends))

    def inverse(self) -> Interval:
        """1/u. Raises FormulaError where u may be 0."""
        if self.low <= 0 <= self.high:
            raise FormulaError("divides by 0, or by what its digits do not tell from 0")
        return Interval(1 / self.high, 1 / self.low)


def is_worked(side: Node) -> bool:
    """Whether a side holds numbers and no name: then it is the net's own value that it gives."""
    known = Number | Neg | Add | Mul | Div | Power | Call
    return all(isinstance(node, known) for node in nodes(side))


def interval(side: Node, problem: Problem) -> Interval:
    """What the side may be, given the digits of its numbers. Raises FormulaError."""
    if isinstance(side, Number):
        return _typed(side.text)
    if isinstance(side, Neg):
        return -interval(side.operand, problem)
    if isinstance(side, Add):
        total = interval(side.terms[0], problem)
        for term in side.terms[1:]:
            total = total.plus(interval(term, problem))
        return total
    if isinstance(side, Mul):
        total = interval(side.factors[0], problem)
        for factor in side.factors[1:]:
            total = total.times(interval(factor, problem))
        return total
    if isinstance(side, Div):
        return interval(side.top, problem).times(interval(side.bottom, problem).inverse())
    if isinstance(side, Power):
        base, total = interval(side.base, problem), Interval(1.0, 1.0)
        for _ in range(abs(side.exponent)):
            total = total.times(base)
        return total if side.exponent >= 0 else total.inverse()
    assert isinstance(side, Call)
    return _called(side, interval(side.argument, problem), problem)


def _typed(text: str) -> Interval:
    try:
        number = Decimal(text)
    except ArithmeticError:
        raise FormulaError("a number is too large") from None
    digits = len(number.as_tuple().digits)
    exponent = int(number.as_tuple().exponent)
    rounded = exponent < 0 and digits >= FEWEST_DIGITS
    unit = Decimal(5).scaleb(exponent - 1) if rounded else Decimal(0)
    return Interval(float(number - unit), float(number + unit))


_SAMPLES = 9


def _called(call: Call, argument: Interval, problem: Problem) -> Interval:
    """f or f' of an interval as narrow as rounding makes it: the extremes of some points in it."""
    points = np.linspace(argument.low, argument.high, _SAMPLES)
    if call.function == "diag":
        return argument
    with np.errstate(all="ignore"):
        if call.function in ("exp", "ln"):
            values = np.exp(points) if call.function == "exp" else np.log(points)
        else:
            record = {"σ": problem.activation, "g": problem.output.elementwise}.get(
                call.function, ACTIVATIONS.get(call.function)
            )
            if record is None:
                raise FormulaError(f"{call.function} of a number is not read for this net")
            values = np.asarray(record.slope(points) if call.prime else record.f(points))
    return Interval(float(values.min()), float(values.max()))


def judged(side: Node, right: float, problem: Problem, rtol: float) -> Verdict:
    """An answer of numbers alone: right, and undecided where so few digits tell too little."""
    if not agrees(side, right, problem, rtol):
        return Verdict.FAIL
    low, high = interval(side, problem)
    told = high - low <= 10.0 ** (1 - FEWEST_DIGITS) * max(abs(low), abs(high))
    return Verdict.PASS if told else Verdict.INCONCLUSIVE


def agrees(side: Node, right: float, problem: Problem, rtol: float) -> bool:
    """Whether the side may be the net's own value, as far as the digits of its numbers tell."""
    found = interval(side, problem)
    slack = rtol * abs(right) + 4e-16 * max(abs(found.low), abs(found.high))
    return bool(found.low - slack <= right <= found.high + slack)
