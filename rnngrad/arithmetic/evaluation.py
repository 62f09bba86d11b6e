"""A tape of ``algebra.tape`` run in plain numbers, real or complex, or beyond the range of floats.

Beyond their range every place holds the float (which functions are taken of) and, where some float
does not do, the number with an exponent of its own:

    f(a), f'(a)      from their logarithms where floats underflow; f(a) = a f'(0) for a tiny a
    u + v            where u = f(a) only tends to a limit, as tanh(a) to 1: v + limit first, in
                     floats, and then what f(a) lacks, as 2e⁻²ᵃ/(1 + e⁻²ᵃ). So h − tanh(a) keeps
                     its digits though both are 1 in floats
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, reduce
from typing import Any, NamedTuple

import numpy as np

from rnngrad.arithmetic.arrays import Array, Numbers
from rnngrad.arithmetic.functions import Activation
from rnngrad.arithmetic.scaled import Scaled, reciprocal, scaled, scaled_from_log2

SMALLEST_SURE = 2.0**-1000
"""Below it a product of floats may be subnormal, and is taken from its logarithm."""

TINY = 1e-290
"""Below it a sum of products has lost digits in float64."""

HELD = 2.0**-450
"""Floats between it and its inverse: no product or quotient of two leaves the range."""

NEAR = 2.0**-10
"""How close to what it tends to a function is added up by what it lacks: a difference of floats
loses no more than these bits elsewhere."""

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


class Saturated(NamedTuple):
    """A number as ``limit`` + ``lack()``: the limit is 0 where no function is near its own."""

    limit: Array
    lack: Callable[[], Scaled]


class Wide:
    """A number as a float, and with an exponent of its own, which is the float's unless ``beyond``
    is given; ``saturated`` where a function has come near to what it tends to."""

    def __init__(
        self, plain: Array, beyond: Scaled | None = None, saturated: Saturated | None = None
    ) -> None:
        self.plain, self.beyond, self.saturated = plain, beyond, saturated

    @cached_property
    def exact(self) -> Scaled:
        """At its own exponent."""
        return scaled(self.plain) if self.beyond is None else self.beyond

    @cached_property
    def held(self) -> bool:
        """Whether floats do for a product with another such number."""
        if self.beyond is not None:
            return False
        sizes = np.abs(self.plain)
        if not sizes.max(initial=0.0) < 1 / HELD:
            return False
        return bool(sizes.min(initial=1.0) > HELD or sizes[sizes > 0].min(initial=1.0) > HELD)


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
    return Wide(np.atleast_1d(values))


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
        return sure_slope(record, a)
    if op == "power":
        return _power(values[arguments[0]], arguments[1])
    operands = [values[i] for i in arguments]
    if op == "neg":
        return _negative(operands[0])
    if op == "add":
        return _sum(operands)
    whole: Wide = reduce(_times if op == "mul" else _over, operands)
    return whole


def _times(u: Wide, v: Wide) -> Wide:
    return Wide(u.plain * v.plain, None if u.held and v.held else u.exact * v.exact)


def _over(u: Wide, v: Wide) -> Wide:
    return Wide(u.plain / v.plain, None if u.held and v.held else u.exact * reciprocal(v.exact))


def _power(base: Wide, n: int) -> Wide:
    one = wide(np.ones_like(base.plain))
    whole = reduce(_times, [base] * abs(n), one)
    return _over(one, whole) if n < 0 else whole


def _negative(value: Wide) -> Wide:
    beyond, side = value.beyond, value.saturated
    return Wide(
        -value.plain,
        None if beyond is None else -beyond,
        None if side is None else Saturated(-side.limit, lambda: -side.lack()),
    )


def sure_slope(record: Activation, a: Array) -> Wide:
    """f'(a), right to rounding even where it is no normal float any more."""
    slope = record.slope(a)
    tiny = np.abs(slope) < SMALLEST_SURE
    if not tiny.any():
        return Wide(slope)
    exact = scaled(slope)
    below = scaled_from_log2(record.log2_slope(a[tiny]))
    exact.mantissa[tiny] = np.where(slope[tiny] < 0, -1.0, 1.0) * below.mantissa
    exact.exponent[tiny] = below.exponent
    return Wide(slope, exact)


def scaled_slope(record: Activation, a: Array) -> Scaled:
    """The same with an exponent for every entry."""
    return sure_slope(record, a).exact


def _called(record: Activation, argument: Wide) -> Wide:
    a = argument.plain
    plain = np.asarray(record.f(a))
    exact: Scaled | None = None
    if record.log2 is not None:
        tiny = np.abs(plain) < SMALLEST_SURE
        if tiny.any():
            exact, below = scaled(plain), scaled_from_log2(record.log2(a[tiny]))
            exact.mantissa[tiny], exact.exponent[tiny] = below.mantissa, below.exponent
    elif not argument.held and float(np.asarray(record.f(np.zeros(())))) == 0.0:
        tiny = np.abs(a) < TINY
        if tiny.any():
            exact, slope = (
                scaled(plain),
                record.slope(np.where(argument.exact.mantissa > 0, TINY, -TINY)[tiny]),
            )
            linear = Scaled(argument.exact.mantissa[tiny], argument.exact.exponent[tiny])
            below = linear * scaled(slope)
            exact.mantissa[tiny], exact.exponent[tiny] = below.mantissa, below.exponent
    return Wide(plain, exact, _saturated(record, a, plain))


def _saturated(record: Activation, a: Array, plain: Array) -> Saturated | None:
    """The lack is f(a) itself where it is not near its limit."""
    ends = [(end, np.abs(plain - end) < NEAR) for end in record.tends if end]
    if not any(near.any() for _, near in ends):
        return None
    limit = np.zeros_like(plain)
    for end, near in ends:
        limit[near] = end

    def lack() -> Scaled:
        found = scaled(plain)
        for end, near in ends:
            gap = scaled_from_log2(record.tends[end](a[near]))
            found.mantissa[near] = gap.mantissa * (-1.0 if end > 0 else 1.0)
            found.exponent[near] = gap.exponent
        return found

    return Saturated(limit, lack)


def _sum(operands: Sequence[Wide]) -> Wide:
    """The floats and limits first, and then what is beside them, where digits would cancel."""
    plain = reduce(np.add, [one.plain for one in operands])
    if all(one.held for one in operands) and not _cancels(operands, plain):
        return Wide(plain)
    if all(one.saturated is None for one in operands):
        return Wide(plain, reduce(lambda u, v: u + v, [one.exact for one in operands]))
    limits: Array = np.zeros_like(plain)
    rests: list[Scaled] = []
    for one in operands:
        if one.saturated is None:
            tiny = np.abs(one.plain) < TINY
            limit, lack = np.where(tiny, 0.0, one.plain), _only(one.exact, tiny)
        else:
            limit, lack = one.saturated.limit, one.saturated.lack()
        limits = limits + limit
        rests.append(lack)
    return Wide(plain, reduce(lambda u, v: u + v, rests, scaled(limits)))


def _cancels(operands: Sequence[Wide], plain: Array) -> bool:
    """Whether what a function lacks at its limit would get lost somewhere."""
    limits = [one.saturated.limit != 0 for one in operands if one.saturated is not None]
    if not limits:
        return False
    sizes = reduce(np.add, [np.abs(one.plain) for one in operands])
    return bool((reduce(np.logical_or, limits) & (np.abs(plain) < NEAR * sizes)).any())


def _only(values: Scaled, where: Any) -> Scaled:
    kept = np.where(where, values.mantissa, 0.0)
    zero = scaled(np.zeros(()))
    return Scaled(kept, np.where(where & (values.mantissa != 0), values.exponent, zero.exponent))
