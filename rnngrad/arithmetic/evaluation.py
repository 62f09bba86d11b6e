"""A tape of ``algebra.tape`` run in plain numbers, real or complex, or beyond the range of floats.

Beyond their range every place holds the float (which functions are taken of) and the number with an
exponent of its own:

    f(a), f'(a)      from their logarithms where floats underflow; f(a) = a f'(0) for a tiny a
    u + v            where u = f(a) only tends to a limit, as tanh(a) to 1: v + limit first, in
                     floats, and then what f(a) lacks, as 2e⁻²ᵃ/(1 + e⁻²ᵃ). So h − tanh(a) keeps
                     its digits though both are 1 in floats
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any, NamedTuple

import numpy as np

from rnngrad.arithmetic.arrays import Array, Numbers
from rnngrad.arithmetic.functions import Activation
from rnngrad.arithmetic.scaled import Scaled, reciprocal, scaled, scaled_from_log2

SMALLEST_SURE = 2.0**-1000
"""Below it a product of floats may be subnormal, and is taken from its logarithm."""

TINY = 1e-290
"""Below it a sum of products has lost digits in float64."""

Functions = Mapping[str, Activation]
"""Sign -> record: σ is the sigmoid, or for rnn what the spec chose."""

Instructions = Sequence[tuple[Any, ...]]


def run(
    instructions: Instructions, given: Callable[[str], Numbers], functions: Functions
) -> list[Numbers]:
    """The value of every place, in real or complex floats; ``given`` has those of names."""
    values: list[Numbers] = []
    for op, *arguments in instructions:
        values.append(_plain(op, arguments, values, given, functions))
    return values


def _plain(
    op: str, arguments: list[Any], values: list[Numbers],
    given: Callable[[str], Numbers], functions: Functions,
) -> Any:  # fmt: skip
    if op == "name":
        return given(arguments[0])
    if op == "number":
        return arguments[0]
    if op in ("call", "slope"):
        record, a = functions[arguments[0]], values[arguments[1]]
        return record.f(a) if op == "call" else record.slope(a)
    if op == "power":
        return values[arguments[0]] ** arguments[1]
    operands = [values[i] for i in arguments]
    if op == "neg":
        return -operands[0]
    if op == "add":
        return reduce(np.add, operands)
    return reduce(np.multiply, operands) if op == "mul" else operands[0] / operands[1]


# ---------------------------------------------------------------------------- beyond floats


class Wide(NamedTuple):
    """A number as a float, and with an exponent of its own; ``saturated`` (limit, lack): it is
    limit + lack, where a function has come near to what it tends to."""

    plain: Array
    exact: Scaled
    saturated: tuple[Array, Scaled] | None = None


def run_wide(
    instructions: Instructions, given: Callable[[str], Wide], functions: Functions
) -> list[Wide]:
    """The same at any exponent. To be run within ``quietly()``."""
    values: list[Wide] = []
    for op, *arguments in instructions:
        values.append(_wide(op, arguments, values, given, functions))
    return values


def wide(values: Array) -> Wide:
    """A float as it stands; a single number in an array of one."""
    values = np.atleast_1d(values)
    return Wide(values, scaled(values))


def _wide(
    op: str, arguments: list[Any], values: list[Wide],
    given: Callable[[str], Wide], functions: Functions,
) -> Wide:  # fmt: skip
    if op == "name":
        return given(arguments[0])
    if op == "number":
        return wide(np.asarray(arguments[0], np.float64))
    if op == "call":
        return _called(functions[arguments[0]], values[arguments[1]])
    if op == "slope":
        record, a = functions[arguments[0]], values[arguments[1]].plain
        return Wide(record.slope(a), scaled_slope(record, a))
    if op == "power":
        return _power(values[arguments[0]], arguments[1])
    operands = [values[i] for i in arguments]
    if op == "neg":
        return _negative(operands[0])
    if op == "add":
        return _sum(operands)
    plain = _plain(op, list(range(len(operands))), [v.plain for v in operands], _none, {})
    exact = [v.exact for v in operands]
    if op == "mul":
        return Wide(plain, reduce(lambda u, v: u * v, exact))
    return Wide(plain, exact[0] * reciprocal(exact[1]))


def _none(name: str) -> Numbers:
    raise KeyError(name)


def _power(base: Wide, n: int) -> Wide:
    exact = reduce(lambda u, v: u * v, [base.exact] * max(abs(n), 1))
    if n == 0:
        return wide(np.ones_like(base.plain))
    return Wide(base.plain ** float(n), reciprocal(exact) if n < 0 else exact)


def _negative(value: Wide) -> Wide:
    side = value.saturated
    return Wide(-value.plain, -value.exact, None if side is None else (-side[0], -side[1]))


def scaled_slope(record: Activation, a: Array) -> Scaled:
    """f'(a), right to rounding even where it is no normal float any more."""
    slope = record.slope(a)
    exact = scaled(slope)
    tiny = np.abs(slope) < SMALLEST_SURE
    if tiny.any():
        below = scaled_from_log2(record.log2_slope(a[tiny]))
        exact.mantissa[tiny] = np.where(slope[tiny] < 0, -1.0, 1.0) * below.mantissa
        exact.exponent[tiny] = below.exponent
    return exact


def _called(record: Activation, argument: Wide) -> Wide:
    a = argument.plain
    plain = np.asarray(record.f(a))
    exact = scaled(plain)
    if record.log2 is not None:
        tiny = np.abs(plain) < SMALLEST_SURE
        if tiny.any():
            below = scaled_from_log2(record.log2(a[tiny]))
            exact.mantissa[tiny], exact.exponent[tiny] = below.mantissa, below.exponent
    elif float(np.asarray(record.f(np.zeros(())))) == 0.0:
        tiny = np.abs(a) < TINY
        if tiny.any():
            slope = record.slope(np.where(argument.exact.mantissa > 0, TINY, -TINY)[tiny])
            linear = Scaled(argument.exact.mantissa[tiny], argument.exact.exponent[tiny])
            below = linear * scaled(slope)
            exact.mantissa[tiny], exact.exponent[tiny] = below.mantissa, below.exponent
    return Wide(plain, exact, _saturated(record, a, plain) if record.tends else None)


def _saturated(record: Activation, a: Array, plain: Array) -> tuple[Array, Scaled]:
    """Limit and lack: 0 and f(a) itself where it is not near its limit."""
    limit, lack = np.zeros_like(plain), scaled(plain)
    for end, log2 in record.tends.items():
        if end == 0.0:
            continue
        near = np.abs(plain - end) < 0.5
        if near.any():
            limit[near] = end
            gap = scaled_from_log2(log2(a[near]))
            lack.mantissa[near] = gap.mantissa * (-1.0 if end > 0 else 1.0)
            lack.exponent[near] = gap.exponent
    return limit, lack


def _sum(operands: Sequence[Wide]) -> Wide:
    """The floats and limits first, and then what is beside them."""
    plain = reduce(np.add, [one.plain for one in operands])
    if all(one.saturated is None for one in operands):
        return Wide(plain, reduce(lambda u, v: u + v, [one.exact for one in operands]))
    limits: Array = np.zeros_like(plain)
    rests: list[Scaled] = []
    for one in operands:
        limit, lack = (one.plain, None) if one.saturated is None else one.saturated
        if lack is None:
            tiny = np.abs(one.plain) < TINY
            limit, lack = np.where(tiny, 0.0, limit), _only(one.exact, tiny)
        limits = limits + limit
        rests.append(lack)
    return Wide(plain, reduce(lambda u, v: u + v, rests, scaled(limits)))


def _only(values: Scaled, where: Any) -> Scaled:
    kept = np.where(where, values.mantissa, 0.0)
    zero = scaled(np.zeros(()))
    return Scaled(kept, np.where(where & (values.mantissa != 0), values.exponent, zero.exponent))
