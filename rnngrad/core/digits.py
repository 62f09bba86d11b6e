"""The Lyapunov spectrum with as many digits as it takes: ``core.careful`` in decimal arithmetic.

Where saturated units cut a net down to a single path, all but one direction of what goes on is
below the rounding of that one, however the numbers are arranged: only more digits hold it. The
standard library's ``decimal`` has them, and exponents of any size. A product of two numbers of n
digits takes some n^1.5, so this is for small nets, up to ``AFFORDABLE``; the number of digits grows
until the exponents no longer move when every entry is moved in its last ``GUARD`` digits.
"""

from __future__ import annotations

import decimal
import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rnngrad.arithmetic.arrays import Array, Numbers
from rnngrad.arithmetic.scaled import Scaled
from rnngrad.core.arithmetic import FLOATS
from rnngrad.core.linear import LinearNet, stacked_matrix
from rnngrad.core.living import living
from rnngrad.core.nested import after, scattered, volumes

Sure = Callable[[Array, Array], npt.NDArray[np.bool_]]

AFFORDABLE = 3.0
"""Seconds that a number of digits may take, as ``_seconds`` has them."""

TRIED = (60, 240, 960, 3840, 15360)
"""Numbers of digits, one after the other."""

GUARD = 4
"""Digits that the second run moves."""


class Level(NamedTuple):
    """ln |R[i, i]| up to each end in two runs of as many digits, (n, k) each."""

    found: Array
    again: Array


def in_digits(
    net: LinearNet, ends: Sequence[int], columns: Sequence[int] | None = None
) -> Iterator[Level]:
    """With ever more digits, for some columns of Q_0 = 1 or all, as long as it is affordable."""
    chosen = range(net.size) if columns is None else columns
    for digits in TRIED:
        if _seconds(net, ends[-1], digits) > AFFORDABLE:
            return
        with decimal.localcontext(_context(digits)):
            exact, nudge = _decimal(net), decimal.Decimal(10) ** (GUARD - digits)
            start = _of_floats(np.eye(net.size)[list(chosen)])
            yield Level(_run(exact, ends, start, None), _run(exact, ends, start, nudge))


def with_the_dead(net: LinearNet, steps: int, sure: Sure) -> Array | None:
    """ln |R[i, i]| of all ``steps``, (S,), where some directions die: −inf for those.

    They take no part in the end, and are left out from the start; ``sure`` says what two runs of
    the others agree on, nan the rest. None where not even the fewest digits are affordable.
    """
    if _seconds(net, steps, TRIED[0]) > AFFORDABLE:
        return None
    logs, alive = np.full(net.size, -np.inf), living(net, steps)
    for level in in_digits(net, [steps], alive) if alive else ():
        agreed = sure(level.found, level.again)
        logs[alive] = np.where(agreed, level.found, np.nan)[-1]
        if agreed.all():
            break
    return logs


def _seconds(net: LinearNet, steps: int, digits: int) -> float:
    """About how long two runs take: microseconds for a multiplication, measured on one machine."""
    size, rows = (
        net.size,
        sum(one.width(m.target) for one in net.layers for m in one.cell.step.matrices) // 2,
    )
    return 2e-6 * (steps * size * size * (size + rows)) * (0.3 + math.pow(digits / 200.0, 1.5))


def _context(digits: int) -> decimal.Context:
    return decimal.Context(
        prec=digits, Emin=decimal.MIN_EMIN, Emax=decimal.MAX_EMAX, traps=[decimal.InvalidOperation]
    )


def _decimal(net: LinearNet) -> LinearNet:
    """The net with objects for floats."""
    layers = tuple(
        one._replace(
            terms=tuple(_of_scaled(term) for term in one.terms),
            forth=tuple(
                _of_floats(stacked_matrix(one.layer.own, group).T) for group in one.cell.groups
            ),
        )
        for one in net.layers
    )
    return net._replace(layers=layers, kind=FLOATS)


def _of_floats(values: Array) -> Numbers:
    return np.asarray(np.frompyfunc(lambda v: +decimal.Decimal(float(v)), 1, 1)(values))


def _of_scaled(values: Scaled) -> Numbers:
    def whole(mantissa: float, exponent: int) -> decimal.Decimal:
        if not mantissa:
            return decimal.Decimal(0)
        return decimal.Decimal(float(mantissa)) * decimal.Decimal(2) ** int(exponent)

    return np.asarray(np.frompyfunc(whole, 2, 1)(values.mantissa, values.exponent))


def _run(
    net: LinearNet, ends: Sequence[int], rows: Numbers, nudge: decimal.Decimal | None
) -> Array:
    """ln |R[i, i]| of the steps up to each end, (n, k); entries moved by up to ``nudge``."""
    size, logs, found, done = net.size, np.zeros(len(rows)), [], 0
    for end in ends:
        for t in range(done + 1, end + 1):
            rows = net.push(_moved(rows, nudge, 3 * t), t)
            rows = _moved(rows, nudge, 3 * t + 1)
            logs += _eliminated(rows, _factors(len(rows), 2 * size, nudge, 3 * t + 2))
        done = end
        found.append(logs + volumes(rows.astype(np.float64)))
    return np.array(found)


def _moved(rows: Numbers, nudge: decimal.Decimal | None, call: int) -> Numbers:
    factors = _factors(len(rows), rows.shape[1], nudge, call)
    return rows if factors is None else np.asarray(rows * factors)


def _factors(k: int, size: int, nudge: decimal.Decimal | None, call: int) -> Numbers | None:
    if nudge is None:
        return None
    return np.asarray(1 + nudge * _of_floats(scattered(k * size, call).reshape(k, size)))


def _eliminated(rows: Numbers, moved: Numbers | None) -> Array:
    """ln |pivot| of every row, −inf for one that is 0; the rows become an echelon in place."""
    logs = np.full(len(rows), -np.inf)
    for j, row in enumerate(rows):
        pivot = int(np.argmax(np.abs(row)))
        if row[pivot]:
            logs[j] = _ln(abs(row[pivot]))
            row /= row[pivot]
            later = rows[j + 1 :]
            later -= np.multiply.outer(later[:, pivot], row)
            if moved is not None:
                later *= after(moved, j)
            later[:, pivot] = decimal.Decimal(0)
    return logs


def _ln(value: decimal.Decimal) -> float:
    """From the digits that a float has and the exponent, which it may not have."""
    exponent = value.adjusted()
    return float(np.log(float(value.scaleb(-exponent))) + exponent * np.log(10.0))
