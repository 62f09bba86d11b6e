"""What a net makes of rounding: how far each quantity moves when everything is rounded anew.

    noise(q) = SLACK · max over draws of |q(rounded anew) − q|

Every weight, input, target and state is moved by one unit of rounding, at random, the
pre-activations by one of the sum of the sizes of their terms: the backward error of any reasonable
order of operations (Higham, *Accuracy and Stability of Numerical Algorithms* (2002), sections 1.5
and 3.1). So are the slopes, target − y and softmax as textbooks and libraries compute them, from
the output: 1 − h² has an absolute error of one unit, however small it is. A gradient so computed
is right; it is only less exact than rnngrad's own where units saturate. A chaotic net, a saturated
one, or two paths that nearly cancel make the spread large; nothing else does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property

import numpy as np

from rnngrad.analyses.checking.rounding import Noise, forward
from rnngrad.analyses.checking.rules import read, right_rules, through_time, with_direct
from rnngrad.analyses.quantities import Passes
from rnngrad.arithmetic.arrays import Array, quietly
from rnngrad.core.given import Mask
from rnngrad.core.problem import Problem
from rnngrad.core.traces import BackwardTrace, ForwardTrace

DRAWS = 4
SLACK = 16.0
EPS = float(np.finfo(np.float64).eps)
KINK = 64.0 * EPS
MOST_KINKS = 64

Read = Callable[[Passes], Array]
"""One array of a problem's passes."""


class Conditioning:
    """The same problem rounded anew, a few times; each is computed once, when first needed."""

    def __init__(self, passes: Passes) -> None:
        self.passes = passes

    @cached_property
    def redone(self) -> tuple[Passes, ...]:
        with quietly():
            return tuple(_rounded_anew(self.passes, draw) for draw in range(DRAWS))

    def noise(self, read: Read, eps: float = EPS) -> Array:
        """The noise of ``read(passes)``, entry by entry, for arithmetic with unit ``eps``."""
        with quietly():
            base = read(self.passes)
            spread = np.zeros_like(base)
            for passes in self.redone:
                moved = read(passes)
                gap = np.where(moved == base, 0.0, np.abs(moved - base))
                spread = np.maximum(spread, np.where(np.isnan(gap), 0.0, gap))
            return SLACK * (eps / EPS) * spread

    @cached_property
    def kinks(self) -> tuple[tuple[int, int], ...]:
        """(row, unit) of every relu whose pre-activation is 0 within rounding."""
        if self.passes.problem.activation.name != "relu":
            return ()
        a = self.passes.forward.a
        near = (np.abs(a) <= self.noise(lambda passes: passes.forward.a)) | _at_a_kink(a)
        return tuple((int(t), int(i)) for t, i in np.argwhere(near))

    def other_branches(self) -> Iterator[Passes]:
        """The passes with relus at their kink on the other side: each alone, then all."""
        ways = [[kink] for kink in self.kinks[:MOST_KINKS]]
        if len(self.kinks) > 1:
            ways.append([*self.kinks])
        for way in ways:
            yield _flipped(self.passes, way)


def with_trace(problem: Problem, trace: ForwardTrace) -> Passes:
    """Passes whose forward pass is done already."""
    passes = Passes(problem)
    passes.forward = trace
    return passes


def _flipped(passes: Passes, kinks: list[tuple[int, int]]) -> Passes:
    """a moved across the kink by nothing that h would notice."""
    a = passes.forward.a.copy()
    for at in kinks:
        a[at] = 0.0 if a[at] > 0 else np.finfo(np.float64).tiny
    return with_trace(passes.problem, passes.forward._replace(a=a))


def _at_a_kink(a: Array) -> Mask:
    """Where a relu's pre-activation is 0 but for rounding."""
    return np.asarray(np.abs(a) <= KINK * np.abs(a).max(initial=0.0))


def _same_branch(base: Array, moved: Array) -> Array:
    """Units at their kink stay on their side: which side is asked of them apart."""
    return np.where(_at_a_kink(base) & ((base > 0) != (moved > 0)), base, moved)


def _rounded_anew(base: Passes, draw: int) -> Passes:
    problem, noise = base.problem, Noise(draw)
    moved = noise.problem(problem)
    trace = forward(moved, noise)
    if problem.activation.name == "relu":
        trace = trace._replace(a=_same_branch(base.forward.a, trace.a))
    passes = with_trace(noise.slopes(moved), trace)
    if problem.loss is not None:
        passes.backward = _backward(passes, noise)
    return passes


def _backward(passes: Passes, noise: Noise) -> BackwardTrace:
    """BPTT whose slopes are those of the problem, and whose output layer is rounded anew."""
    rules = right_rules(passes)
    at_output = _at_the_output(passes, noise)
    if at_output is not None:
        rules = with_direct(rules._replace(dL_dy=at_output[0]), at_output[1])
    rules = rules._replace(dL_ds=through_time(rules))
    has_c = len(passes.problem.cell.parts) > 1
    return passes.backward._replace(
        dL_dy=rules.dL_dy,
        dL_da_y=rules.dL_da_y,
        dLt_dht=read(rules, "dLt_dht"),
        dL_dh=read(rules, "dL_dh"),
        dL_dc=read(rules, "dL_dc") if has_c else None,
        dL_dx=read(rules, "dL_dx"),
        weights={name: read(rules, f"dL_d{name}") for name in passes.problem.weights},
    )


def _at_the_output(passes: Passes, noise: Noise) -> tuple[Array, Array] | None:
    """∂L/∂y_t and ∂L/∂a from y alone, (T, O); None without a loss."""
    problem, y = passes.problem, passes.forward.y
    loss, targets, weights = problem.loss, problem.targets, problem.loss_weights
    if loss is None or targets is None or weights is None:
        return None
    if loss.of_the_gap is None:
        sizes = y * np.maximum(1.0, np.abs(targets).sum(axis=1, keepdims=True)) + np.abs(targets)
        moved = passes.backward.dL_da_y + weights[:, np.newaxis] * noise.unit(y.shape) * sizes
        return passes.backward.dL_dy, np.asarray(moved)
    dL_dy = weights[:, np.newaxis] * loss.of_the_gap(y.shape[1]) * (targets - y)
    record = problem.output.elementwise
    if record is not None:
        return dL_dy, noise.slope(record)(passes.forward.a_y) * dL_dy
    terms = y * dL_dy
    mean = noise.on(terms).sum(axis=1, keepdims=True)
    return dL_dy, y * (dL_dy - mean + noise.unit(y.shape) * (np.abs(dL_dy) + np.abs(mean)))
