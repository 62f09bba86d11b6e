"""The quantities of one step: values by plain evaluation, derivatives of one step's functions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import MappingProxyType

import numpy as np

from rnngrad.analyses.checking.references import loss_values, products
from rnngrad.analyses.checking.references.finite_differences import Estimate
from rnngrad.analyses.checking.references.methods import Method
from rnngrad.analyses.checking.references.perturbed_forward import Setting, stepped
from rnngrad.arithmetic.arrays import Array, Numbers
from rnngrad.arithmetic.functions import Activation

BLOCK = 2**18
"""Entries differentiated at a time."""


def part(setting: Setting, index: int) -> Array:
    """A part of the state of every layer, (T+1, ·): each step from s_{t−1} and x_t of the trace."""
    problem, name = setting.problem, setting.problem.cell.parts[index]
    start = problem.start(index)
    rows = np.concatenate([one.linear.values[name] for one in setting.layers], axis=1)
    return np.concatenate([start[np.newaxis], rows])


def y(setting: Setting) -> Array:
    """g(W_hy h_t + b_y), (T, O)."""
    return np.asarray(loss_values.outputs(setting.problem, _a_y(setting)))


def losses(setting: Setting) -> Array:
    """L_t, (T,)."""
    problem, a_y = setting.problem, _a_y(setting)
    assert problem.targets is not None
    assert problem.loss_weights is not None
    values = loss_values.losses(problem, a_y, problem.targets, setting.gap)
    return np.where(problem.loss_weights == 0, 0.0, problem.loss_weights * values)


def _a_y(setting: Setting) -> Array:
    problem, states = setting.problem, setting.states[1:, setting.top]
    if not problem.has_readout:
        return states
    a_y: Array = np.einsum("oh,th->to", problem.weights["W_hy"], states) + problem.weights["b_y"]
    return a_y


def dL_dy(setting: Setting, method: Method) -> Estimate:
    """∂L_t/∂y_t, the loss as a function of y alone: of target − y, of logarithms, with a step
    relative to their argument, or of y as it stands."""
    problem, trace = setting.problem, setting.trace
    loss, counts = problem.loss, problem.loss_weights
    assert loss is not None
    assert counts is not None
    if loss.of_the_gap is not None:
        return _counting(method.local(lambda step: _in_gap(setting, step)), counts)
    if loss.fused is None:
        return _counting(method.local(lambda step: _of_output(setting, step)), counts)
    parts = [_in_logarithm(method, *term) for term in loss_values.logarithms(problem, trace)]
    value = np.sum([part.value for part in parts], axis=0)
    return _counting(Estimate(value, np.sum([part.error for part in parts], axis=0)), counts)


def _in_logarithm(method: Method, weight: Array, u: Array, slope: float) -> Estimate:
    """d(weight · ln u)/dy, with a step relative to u; a weight of 0 wins over u = 0."""

    def moved(step: complex) -> Numbers:
        return np.asarray(weight * np.log(1.0 + step * np.ones_like(u)))

    found = method.local(moved)
    value = np.where(weight == 0, 0.0, slope * found.value / u)
    return Estimate(value, np.where(found.error == 0, 0.0, found.error / u))


def _of_output(setting: Setting, step: complex) -> Numbers:
    """The loss with y_o + step in place of y_o, (T, O); of one that is linear in y, without y."""
    problem, trace = setting.problem, setting.trace
    loss, target = problem.loss, problem.targets
    assert loss is not None
    assert target is not None
    y = np.zeros_like(trace.y) if loss.given else trace.y
    units = np.eye(y.shape[1])
    return np.stack([loss.value(target, y + step * unit, trace.a_y) for unit in units], axis=1)


def _in_gap(setting: Setting, step: complex) -> Numbers:
    """The loss of y + step, as one of target − y − step."""
    problem, gap = setting.problem, setting.gap
    moved = np.broadcast_to(np.asarray(step), gap.shape)
    return loss_values.loss_of_gap(problem, moved, gap)


def _counting(found: Estimate, weights: Array) -> Estimate:
    factor = weights[:, np.newaxis]
    return Estimate(
        np.where(factor == 0, 0.0, factor * found.value),
        np.where(factor == 0, 0.0, factor * found.error),
    )


def one_step(setting: Setting, method: Method, beside: str) -> Estimate:
    """For one layer of rnn f'(a_t)[i] times what a_t[i] moves with: W_hh[i, k], x_t[k], h_{t−1}[k]
    or 1; for any other net ∂s_t[i]/∂s_{t−1}[k]."""
    problem, trace = setting.problem, setting.trace
    if not problem.single_rnn:
        return _jacobians(setting, method)
    along = {
        "dht_dhprev": problem.weights["W_hh"][np.newaxis],
        "dht_dW_xh": problem.x[:, np.newaxis, :],
        "dht_dW_hh": trace.h[:-1, np.newaxis, :],
        "dht_db_h": np.ones((1, 1, 1)),
    }[beside]
    shape = (problem.steps, problem.hidden, along.shape[-1])
    parts = list(_blocks(problem.activation, trace.a, np.broadcast_to(along, shape), method))
    value, error = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
    final = shape[:2] if beside == "dht_db_h" else shape
    return Estimate(value.reshape(final), error.reshape(final))


def _jacobians(setting: Setting, method: Method) -> Estimate:
    """∂s_t/∂s_{t−1}, (T, S, S): the tangents of unit vectors, or every entry moved by itself."""
    size, steps = setting.problem.state_size, setting.problem.steps
    if not method.finite:
        exact = [products.jacobian(setting, t).floats() for t in range(1, steps + 1)]
        return Estimate(np.array(exact), np.zeros((steps, size, size)))
    count = max(1, BLOCK // size**2)
    parts = [
        method.local(partial(_moved, setting, slice(start, min(start + count, steps))))
        for start in range(0, steps, count)
    ]
    value, error = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
    return Estimate(value.swapaxes(1, 2), error.swapaxes(1, 2))


def _moved(setting: Setting, rows: slice, step: complex) -> Numbers:
    """s_t with entry k of s_{t−1} moved, (n, S, S): t, k, entry of s_t."""
    problem, parts = setting.problem, setting.problem.cell.parts
    before = setting.states[:-1][rows, np.newaxis] + np.real(step) * np.eye(problem.state_size)
    x: Array = problem.x[rows, np.newaxis]
    after: list[Array] = []
    for one in setting.layers:
        mine = {part: before[..., at] for part, at in zip(parts, one.layer.state, strict=True)}
        found = stepped(problem, one, x, mine, 0.0, {}, {})
        after += [np.broadcast_to(found[part], mine[part].shape) for part in parts]
        x = found[parts[0]]
    return np.concatenate(after, axis=-1)


def _blocks(activation: Activation, a: Array, along: Array, method: Method) -> Iterator[Estimate]:
    count = max(1, BLOCK // max(1, along[0].size))
    for start in range(0, len(a), count):
        block = slice(start, start + count)
        yield _along(activation, a[block, :, np.newaxis], along[block], method)


def _along(activation: Activation, a: Array, along: Array, method: Method) -> Estimate:
    """d f(a + ε·along)/dε, with ``along`` brought near 1 by a power of two and back; nan where a
    is, whatever ``along``: 0·nan is no 0."""
    _, power = np.frexp(np.max(np.abs(along), axis=(1, 2), keepdims=True))
    near = np.ldexp(along, -power)

    def moved(step: complex) -> Numbers:
        return activation.f(a + step * near)

    found = method.local(moved)
    error = np.where(along == 0, 0.0, np.ldexp(found.error, power))
    value = np.where(along == 0, 0.0, np.ldexp(found.value, power))
    return Estimate(np.where(np.isnan(a), np.nan, value), error)


VALUES: Mapping[str, Callable[[Setting], Array]] = MappingProxyType({"y": y, "losses": losses})
ONE_STEP = ("dht_dhprev", "dht_dW_xh", "dht_dW_hh", "dht_db_h")
