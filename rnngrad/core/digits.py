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
from collections.abc import Iterator, Sequence

import numpy as np

from rnngrad.core.arithmetic import FLOATS
from rnngrad.core.arrays import Array, Numbers
from rnngrad.core.linear import LinearNet
from rnngrad.core.nested import scattered
from rnngrad.core.scaled import Scaled

AFFORDABLE = 3.0
"""Seconds that a number of digits may take, as ``_seconds`` has them."""

TRIED = (60, 240, 960, 3840, 15360)
"""Numbers of digits, one after the other."""

GUARD = 2
"""Digits that the second run moves."""


def in_digits(net: LinearNet, ends: Sequence[int]) -> Iterator[tuple[Array, Array]]:
    """ln |R[i, i]| up to each of ``ends`` of two runs, (n, S) each; with ever more digits."""
    for digits in TRIED:
        if _seconds(net, ends[-1], digits) > AFFORDABLE:
            return
        with decimal.localcontext(_context(digits)):
            exact = _decimal(net)
            yield (
                _run(exact, ends, None),
                _run(exact, ends, decimal.Decimal(10) ** (GUARD - digits)),
            )


def _seconds(net: LinearNet, steps: int, digits: int) -> float:
    """About how long two runs take: microseconds for a multiplication, measured on one machine."""
    size, rows = net.size, sum(len(one.layer.weights["W_hh"]) for one in net.layers)
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
            W_xh_T=_of_floats(one.layer.weights["W_xh"].T),
            W_hh_T=_of_floats(one.layer.weights["W_hh"].T),
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


def _run(net: LinearNet, ends: Sequence[int], nudge: decimal.Decimal | None) -> Array:
    """ln |R[i, i]| of the steps up to each end, (n, S); entries moved by up to ``nudge``."""
    size = net.size
    rows, logs, found, done = _of_floats(np.eye(size)), np.zeros(size), [], 0
    for end in ends:
        for t in range(done + 1, end + 1):
            rows = _moved(net.push(_moved(rows, nudge, 2 * t), t), nudge, 2 * t + 1)
            logs += _eliminated(rows)
        done = end
        R = np.linalg.qr(rows.astype(np.float64).T, mode="r")
        found.append(logs + np.log(np.abs(np.diagonal(R))))
    return np.array(found)


def _moved(rows: Numbers, nudge: decimal.Decimal | None, call: int) -> Numbers:
    if nudge is None:
        return rows
    by = _of_floats(scattered(rows.size, call).reshape(rows.shape))
    return np.asarray(rows * (1 + nudge * by))


def _eliminated(rows: Numbers) -> Array:
    """ln |pivot| of every row, −inf for one that is 0; the rows become an echelon in place."""
    logs = np.full(len(rows), -np.inf)
    for j, row in enumerate(rows):
        pivot = int(np.argmax(np.abs(row)))
        if row[pivot]:
            logs[j] = _ln(abs(row[pivot]))
            row /= row[pivot]
            later = rows[j + 1 :]
            later -= np.multiply.outer(later[:, pivot], row)
            later[:, pivot] = decimal.Decimal(0)
    return logs


def _ln(value: decimal.Decimal) -> float:
    """From the digits that a float has and the exponent, which it may not have."""
    exponent = value.adjusted()
    return float(np.log(float(value.scaleb(-exponent))) + exponent * np.log(10.0))
