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

from rnngrad.algebra.expressions import Name
from rnngrad.analyses.checking.comparing.kinked_functions import Bend, functions_with_kinks, smooth
from rnngrad.analyses.checking.comparing.rounding import Noise, forward, with_functions
from rnngrad.analyses.checking.references.equations import key_of
from rnngrad.analyses.derivation.quantities import Passes
from rnngrad.analyses.mistakes.local_partials import Wrong
from rnngrad.analyses.mistakes.passes import Apart
from rnngrad.arithmetic.arrays import Array, quietly
from rnngrad.arithmetic.functions import Activation
from rnngrad.net.given_arrays import Mask
from rnngrad.net.losses import slope
from rnngrad.net.problem import Problem
from rnngrad.net.traces import BackwardTrace, ForwardTrace

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
            return tuple(rounded_anew(self.passes, draw) for draw in range(DRAWS))

    @cached_property
    def by_link(self) -> Passes:
        """Not rounded anew."""
        with quietly():
            return passes_by_link(self.passes)

    def noise(self, read: Read, eps: float = EPS) -> Array:
        """The noise of ``read(passes)``, entry by entry, for arithmetic with unit ``eps``."""
        with quietly():
            base = read(self.by_link)
            spread = np.zeros_like(base)
            for passes in self.redone:
                moved = read(passes)
                gap = np.where(moved == base, 0.0, np.abs(moved - base))
                spread = np.maximum(spread, np.where(np.isnan(gap), 0.0, gap))
            return SLACK * (eps / EPS) * spread

    @cached_property
    def kinks(self) -> tuple[tuple[int, int], ...]:
        """(row, column of ``_arguments``) of whatever is at a kink of its function, within
        rounding."""
        if smooth(self.passes.problem):
            return ()
        with quietly():
            apart = _apart(self.passes)
            near = (apart <= self.noise(_arguments)) | _at_a_kink(apart)
        return tuple((int(t), int(i)) for t, i in np.argwhere(near))

    def other_branches(self) -> Iterator[Passes]:
        """The passes with functions at their kink on the other side: each alone, then all."""
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


def _bends(passes: Passes) -> list[tuple[Bend, Array]]:
    """Every function with kinks, and what it is taken of, (T, n)."""
    problem, found = passes.problem, []
    for layer, share in zip(problem.layers, passes.forward.layers, strict=True):
        for bend in functions_with_kinks(problem, layer, share):
            a = np.atleast_2d(bend.a)
            found.append((bend, np.broadcast_to(a, (problem.steps, a.shape[1]))))
    return found


def _arguments(passes: Passes) -> Array:
    """All of that side by side."""
    return np.concatenate([a for _, a in _bends(passes)], axis=1)


def _apart(passes: Passes) -> Array:
    """How far each is from the nearest kink of its function."""
    functions = passes.problem.functions
    columns = [
        np.min([np.abs(a - kink) for kink in functions[bend.call.function].kinks], axis=0)
        for bend, a in _bends(passes)
    ]
    return np.concatenate(columns, axis=1)


def _flipped(passes: Passes, kinks: list[tuple[int, int]]) -> Passes:
    """The slopes there taken from the other side of the kink."""
    problem, start = passes.problem, 0
    masked = np.zeros(_arguments(passes).shape, dtype=bool)
    masked[tuple(np.transpose(kinks))] = True
    sides: dict[str, list[tuple[Array, Mask]]] = {}
    for bend, a in _bends(passes):
        mask = masked[:, start : start + a.shape[1]]
        start += a.shape[1]
        sides.setdefault(bend.call.function, []).append((a, mask))
    functions = dict(problem.functions)
    for sign, places in sides.items():
        functions[sign] = _other_side(functions[sign], places)
    return passes_by_link(with_trace(with_functions(problem, functions), passes.forward))


def _other_side(record: Activation, places: list[tuple[Array, Mask]]) -> Activation:
    """The function with its slope from the other side of a kink in some places of some arrays."""

    def slope(a: Array) -> Array:
        values = record.slope(a)
        for of, mask in places:
            if np.shape(a) == of.shape and np.allclose(a, of, rtol=1e-9, equal_nan=True):
                kinks = np.array(record.kinks)
                kink = kinks[np.abs(a[..., np.newaxis] - kinks).argmin(-1)]
                across = np.where(a > kink, kink, kink + np.maximum(np.abs(kink), 1.0) * EPS * 4)
                values = np.where(mask, record.slope(across), values)
        return values

    return record._replace(slope=slope)


def _at_a_kink(a: Array) -> Mask:
    """Where what is kinked at 0 is taken of 0 but for rounding."""
    return np.asarray(np.abs(a) <= KINK * np.abs(a).max(initial=0.0))


def on_the_same_branch(base: Passes, moved: ForwardTrace) -> ForwardTrace:
    """What stands at a kink stays on its side: which side is asked of it apart."""
    layers = []
    for number, share in enumerate(moved.layers):
        problem, values = base.problem, dict(share.values)
        for bend in functions_with_kinks(
            problem, problem.layers[number], base.forward.layers[number]
        ):
            key = key_of(bend.call.argument) if isinstance(bend.call.argument, Name) else ""
            if key in values:
                kinks = problem.functions[bend.call.function].kinks
                crossed = [(bend.a > kink) != (values[key] > kink) for kink in kinks]
                apart = np.min([np.abs(bend.a - kink) for kink in kinks], axis=0)
                stays = _at_a_kink(apart) & np.logical_or.reduce(crossed)
                values[key] = np.where(stays, bend.a, values[key])
        layers.append(share._replace(values=values))
    return moved._replace(layers=tuple(layers))


def passes_by_link(passes: Passes) -> Passes:
    """The same passes, the way back link by link: what is rounded anew is compared with that."""
    again = with_trace(passes.problem, passes.forward)
    if passes.problem.loss is not None:
        again.backward = backward_anew(passes, None)
    return again


def rounded_anew(base: Passes, draw: int) -> Passes:
    """The same passes with everything on the way rounded otherwise. To be run within
    ``quietly()``."""
    problem, noise = base.problem, Noise(draw)
    moved = noise.problem(problem)
    trace = forward(moved, noise)
    if not smooth(problem):
        trace = on_the_same_branch(base, trace)
    passes = with_trace(noise.functions(moved), trace)
    if problem.loss is not None:
        passes.backward = backward_anew(passes, noise)
    return passes


def backward_anew(passes: Passes, noise: Noise | None) -> BackwardTrace:
    """BPTT whose slopes are those of the problem, and whose output layer is rounded anew."""
    apart = Apart(passes)
    at_output = None if noise is None else at_the_output_anew(passes, noise)
    dL_dy, dL_da_y = at_output or (passes.backward.dL_dy, apart.dL_da_y)
    made = apart.made([Wrong(dL_da_y=dL_da_y)]) if at_output else apart.right

    def read(name: str) -> Array:
        found = apart.read(name, made)
        assert found is not None
        return np.asarray(found[0])

    return passes.backward._replace(
        dL_dy=dL_dy,
        dL_da_y=dL_da_y,
        dLt_dht=read("dLt_dht"),
        dL_ds={part: read(f"dL_d{part}") for part in passes.problem.cell.parts},
        dL_dx=read("dL_dx"),
        weights={name: read(f"dL_d{name}") for name in passes.problem.weights},
    )


def at_the_output_anew(passes: Passes, noise: Noise) -> tuple[Array, Array] | None:
    """∂L/∂y_t and ∂L/∂a from y alone, (T, O); None without a loss."""
    problem, y = passes.problem, passes.forward.y
    loss, targets, weights = problem.loss, problem.targets, problem.loss_weights
    if loss is None or targets is None or weights is None or loss.given:
        return None
    if loss.fused is not None:
        sizes = y * np.maximum(1.0, np.abs(targets).sum(axis=1, keepdims=True)) + np.abs(targets)
        moved = passes.backward.dL_da_y + weights[:, np.newaxis] * noise.unit(y.shape) * sizes
        return passes.backward.dL_dy, np.asarray(moved)
    if loss.of_the_gap is not None:
        slopes = loss.of_the_gap(y.shape[1]) * (targets - y)
    else:
        slopes = slope(loss, problem.output, targets, y, passes.forward.a_y)
    dL_dy = weights[:, np.newaxis] * slopes
    record = problem.output.elementwise
    if record is not None:
        return dL_dy, noise.slope(record)(passes.forward.a_y) * dL_dy
    terms = y * dL_dy
    mean = noise.on(terms).sum(axis=1, keepdims=True)
    return dL_dy, y * (dL_dy - mean + noise.unit(y.shape) * (np.abs(dL_dy) + np.abs(mean)))
