"""Outputs and losses written so that a check can differentiate them: no digits lost on the way.

A complex step is only as exact as the function it goes through. 1 − y, with y within rounding of 1,
has lost its digits before anybody differentiates, so here softmax is written in differences of
logits, and target − y, where it cancels, is taken with 60 digits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal, localcontext
from types import MappingProxyType

import numpy as np

from rnngrad.arithmetic.arrays import Array, Numbers
from rnngrad.arithmetic.functions import sigmoid
from rnngrad.net.problem import Problem
from rnngrad.net.traces import ForwardTrace

DIGITS = 60
CANCELLING = 1e-2
"""target − y below this fraction of y is taken with DIGITS digits."""


def _ratios(a: Numbers) -> Numbers:
    """Σ_{j≠i} exp(a_j − a_i), the real part of an exponent at most 700."""
    differences = a[..., np.newaxis, :] - a[..., :, np.newaxis]
    real = np.minimum(np.real(differences), 700.0)
    terms = np.exp(real + 1j * np.imag(differences) if np.iscomplexobj(a) else real)
    return np.asarray(np.sum(np.where(np.eye(a.shape[-1]) == 1, 0.0, terms), axis=-1))


def outputs(problem: Problem, a_y: Numbers) -> Numbers:
    """y = g(a_y); softmax as y_i = 1/(1 + Σ_{j≠i} exp(a_j − a_i))."""
    if problem.output.name != "softmax":
        return problem.output.g(a_y)
    return np.asarray(1.0 / (1.0 + _ratios(a_y)))


def losses(problem: Problem, a_y: Numbers, target: Array, gap: Array) -> Numbers:
    """ℓ of one step (…, O) -> (…), without its weight; ``gap`` is target − y at the real part.

    A loss of target − y alone is moved to where y has no real part: the same number, but the
    difference is ``gap`` and nothing cancels. Without an imaginary part it is as in ``net``.
    """
    loss = problem.loss
    assert loss is not None
    y = outputs(problem, a_y)
    if loss.of_the_gap is not None and np.iscomplexobj(a_y):
        return loss.value(gap, 1j * np.imag(y), a_y)
    return loss.value(target, y, a_y)


def loss_of_gap(problem: Problem, y: Numbers, target: Array) -> Numbers:
    """ℓ as a function of target − y, output by output, (T, O): no other one is in its rounding."""
    loss = problem.loss
    assert loss is not None
    assert loss.of_the_gap is not None
    columns = range(y.shape[1])
    single = [loss.value(target[:, o, np.newaxis], y[:, o, np.newaxis], y) for o in columns]
    share = loss.of_the_gap(1) / loss.of_the_gap(y.shape[1])
    return np.stack(single, axis=1) / share


def logarithms(problem: Problem, trace: ForwardTrace) -> list[tuple[Array, Array, float]]:
    """The terms weight · ln u of a cross entropy: weight, u and ∂u/∂y, the arrays (T, O)."""
    loss, target = problem.loss, problem.targets
    assert loss is not None
    assert target is not None
    terms = [(-target, trace.y, 1.0)]
    if loss.name == "binary_cross_entropy":
        terms.append((target - 1.0, np.asarray(sigmoid(-trace.a_y)), -1.0))
    return terms


def gaps(problem: Problem, trace: ForwardTrace) -> Array:
    """target − y, (T, O), to relative rounding also where it cancels."""
    assert problem.targets is not None
    difference: Array = problem.targets - trace.y
    exact = _EXACT.get(problem.output.name)
    if exact is None:
        return difference
    near = np.isfinite(trace.y) & (np.abs(difference) < CANCELLING * np.abs(problem.targets))
    near |= (problem.targets == 0) & (np.abs(trace.y) < np.finfo(np.float64).tiny)
    with localcontext() as context:
        context.prec, context.Emin, context.Emax = DIGITS, -(10**15), 10**15
        context.clear_traps()
        for t in np.flatnonzero(near.any(axis=1)):
            row = exact([Decimal(float(a)) for a in trace.a_y[t]])
            for o in np.flatnonzero(near[t]):
                difference[t, o] = float(Decimal(float(problem.targets[t, o])) - row[o])
    return difference


def _decimal_sigmoid(a: Decimal) -> Decimal:
    return 1 / (1 + (-a).exp())


def _decimal_softmax(row: list[Decimal]) -> list[Decimal]:
    powers = [(a - max(row)).exp() for a in row]
    return [power / sum(powers) for power in powers]


def _each(function: Callable[[Decimal], Decimal]) -> Callable[[list[Decimal]], list[Decimal]]:
    return lambda row: [function(a) for a in row]


_EXACT: Mapping[str, Callable[[list[Decimal]], list[Decimal]]] = MappingProxyType(
    {
        "sigmoid": _each(_decimal_sigmoid),
        "tanh": _each(lambda a: 2 * _decimal_sigmoid(2 * a) - 1),
        "softplus": _each(lambda a: (1 + a.exp()).ln()),
        "softmax": _decimal_softmax,
    }
)
"""Outputs whose y only tends to a limit, row by row; the others are exact as they are."""
