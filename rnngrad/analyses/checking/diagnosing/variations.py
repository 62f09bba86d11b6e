"""How people make the known mistakes: wrong passes (``mistakes.passes``), and changes of the right
array where no pass makes them.

One mistake can be made in several ways; each is a variation, tried on every array that it touches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property, partial
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from rnngrad.algebra.equations import X
from rnngrad.algebra.expressions import Call, Name, Node, rebuilt
from rnngrad.algebra.step_graph import BEFORE, NOW, Matrix
from rnngrad.analyses.derivation.step_text import rebuilt_names
from rnngrad.analyses.mistakes.alternatives import slopes
from rnngrad.analyses.mistakes.local_partials import (
    BACK,
    BOTH,
    HERE,
    Change,
    LayerApart,
    Met,
    Other,
    Turned,
    Wrong,
    rows_moved,
)
from rnngrad.analyses.mistakes.passes import Apart, Made, jacobians, log10_chain, log10_paths
from rnngrad.arithmetic.arrays import Array, Numbers
from rnngrad.net.cells import OF_THE_INPUTS
from rnngrad.net.dense import pre_activations, pulled_back
from rnngrad.net.problem import Dense, Problem

STATE, PARAMETER = "dL_d<part>", "dL_d<parameter>"
"""What stands for the gradients of every part of the state, and of every parameter of the cell."""

IMMEDIATE = frozenset({"dht_dW_xh", "dht_dW_hh", "dht_db_h"})
OF_THE_STATES = frozenset({STATE})
BY_GATE = frozenset({PARAMETER})
THROUGH_TIME = OF_THE_STATES | BY_GATE | {"dL_dx", "log10_paths"}
CHAIN = frozenset({"dht_dhprev", "log10_chain"})
AT_THE_OUTPUT = frozenset({"dLt_dht", "dL_dW_hy", "dL_db_y"})
TOTALS = BY_GATE | {"dL_dW_hy", "dL_db_y"}
OF_THE_LOSS = THROUGH_TIME | AT_THE_OUTPUT | {"dL_dy"}
EVERYTHING = OF_THE_LOSS | IMMEDIATE | CHAIN | {"h", "y", "losses", "loss"}

MANY_STEPS = 100
MOST_WORK = 2 * 10**9
"""Multiplications spent on truncations of every length."""


ArrayChange = Callable[[Array], Array]


RIGHT = Wrong()
"""The pass as it ought to be."""


class Variation(NamedTuple):
    """One way of making a mistake: the pass so changed, and the quantities that it touches, by
    their names without a stack's number.

    ``thorough`` is False for one that changes the rule in some of its places only. ``steps`` is k
    where paths are cut. ``changes`` make a wrong array of the right one, where no pass does.
    ``where`` is "weights" where the change is in the immediate partials alone, "start" where only
    ∂L/∂s_0 is, or how the gates are ordered.
    """

    wrong: Wrong
    touches: frozenset[str]
    thorough: bool = True
    steps: int | None = None
    changes: Mapping[str, ArrayChange] = MappingProxyType({})
    where: str = ""


class Reading:
    """What a variation makes of each array. To be used within ``quietly()``."""

    def __init__(self, variation: Variation, apart: Apart) -> None:
        self.variation, self.apart = variation, apart

    @cached_property
    def made(self) -> Made:
        """The wrong pass, made once."""
        wrong, touches = self.variation.wrong, self.variation.touches
        if wrong.dL_ds is not None and touches <= OF_THE_STATES:  # the parameters are not asked for
            return Made(self.apart.dL_da_y[:, np.newaxis], wrong.dL_ds[:, np.newaxis], ())
        return self.apart.made([wrong])

    def hits(self, name: str) -> bool:
        """Whether it touches a quantity."""
        return not self.variation.touches.isdisjoint(self._known_as(name))

    def of(self, name: str, right: Array) -> Array:
        """The quantity as this mistake makes it."""
        for known in self._known_as(name):
            if known in self.variation.changes:
                return self.variation.changes[known](right)
        if name in _OF_THE_CHAIN:
            return _OF_THE_CHAIN[name](self.apart, self.variation.wrong)
        if name in IMMEDIATE:
            return self._immediate(name.removeprefix("dht_d"))
        found = self.apart.read(name, self.made)
        assert found is not None
        dense = self.apart.problem.dense
        if name == "dL_dx" and dense is not None:  # what the graph has is that of x'
            return pulled_back(dense, found[0]).x
        return np.asarray(found[0])

    def _immediate(self, parameter: str) -> Array:
        """∂⁺h_t/∂b, or ∂⁺h_t[i]/∂W[i, k] of one layer of rnn, (T, H, n)."""
        wrong, layer = self.variation.wrong, self.apart.layers[0]
        rows = self.apart.immediate(wrong)
        if parameter == "b_h":
            return rows
        v = layer.terms[parameter][0].beside
        for one in wrong.met:
            if one.parameter == parameter:
                (v,) = layer.of([one.other], v.shape[1])
        return np.asarray(rows[:, :, np.newaxis] * v[:, np.newaxis, :])

    def _known_as(self, name: str) -> tuple[str, ...]:
        """Its name without a stack's number, and what stands for it."""
        cell, base = self.apart.problem.cell, name.partition(".")[0]
        of = base.removeprefix("dL_d")
        if base == of:
            return (base, "h") if base in cell.parts else (base,)
        if of in cell.parameters:
            return (base, PARAMETER)
        if of in OF_THE_INPUTS:  # they follow from ∂L/∂x_t
            return (base, "dL_dx")
        of_state = of == "h" or of.removesuffix("_0") in cell.parts
        return (base, STATE) if of_state else (base,)


_OF_THE_CHAIN: Mapping[str, Callable[[Apart, Wrong], Array]] = MappingProxyType(
    {"dht_dhprev": jacobians, "log10_chain": log10_chain, "log10_paths": log10_paths}
)


def _links(apart: Apart) -> Iterator[tuple[tuple[str, int], Node | Matrix]]:
    for target, links in apart.graph.links.items():
        for i, link in enumerate(links):
            yield (target, i), link.factor


# ---------------------------------------------------------------------------- slopes

Slope = Callable[[LayerApart, Call], Node]
"""What is taken for f'(a)."""


def _other_slopes(apart: Apart, slope: Slope) -> Iterator[Variation]:
    """Another σ' everywhere, only on the way back, only at the weights."""
    layer = apart.layers[0]
    others = {}
    for edge, factor in _links(apart):
        if not isinstance(factor, Matrix):
            node = _with_slopes(layer, factor, slope)
            if node != factor:
                others[edge] = Other(node)
    if not any(
        _differs(one, edge, other) for one in apart.layers for edge, other in others.items()
    ):
        return
    met = _met(apart, lambda node: Other(_with_slopes(layer, node, slope)))

    def changes(at: str) -> tuple[Change, ...]:
        return tuple(Change(edge, other, at) for edge, other in others.items())

    yield Variation(Wrong(changes(BOTH), met=met), THROUGH_TIME | CHAIN | IMMEDIATE)
    yield Variation(Wrong(changes(BACK)), THROUGH_TIME | CHAIN, thorough=False)
    touched = (THROUGH_TIME | IMMEDIATE) - OF_THE_STATES - {"log10_paths"}
    yield Variation(Wrong(changes(HERE), met=met), touched, thorough=False, where="weights")


def _with_slopes(layer: LayerApart, node: Node, slope: Slope) -> Node:
    """Every f'(a) in it replaced."""
    if isinstance(node, Call) and node.prime:
        return slope(layer, node)
    return rebuilt(node, lambda part: _with_slopes(layer, part, slope))


def _differs(layer: LayerApart, edge: tuple[str, int], other: Other) -> bool:
    (values,) = layer.of([other], layer.width(edge[0]))
    return not np.array_equal(values, layer.factors[edge])


def _met(apart: Apart, change: Callable[[Node], Other]) -> tuple[Met, ...]:
    """Every term of a parameter that then meets other numbers."""
    found = []
    for part, terms in apart.layers[0].terms.items():
        for i, term in enumerate(terms):
            other = change(_written_out(apart.layers[0], term.written))
            if any(_meets(layer, part, i, other) for layer in apart.layers):
                found.append(Met(part, i, other))
    return tuple(found)


def _meets(layer: LayerApart, part: str, number: int, other: Other) -> bool:
    v = layer.terms[part][number].beside
    (values,) = layer.of([other], v.shape[1])
    return not np.array_equal(values, v)


def missing_activation_derivative(apart: Apart) -> Iterator[Variation]:
    yield from _other_slopes(apart, lambda layer, call: slopes(layer, call)["left out"])
    yield from _of_dense(apart, lambda dense: np.ones_like(dense.W[:, 0]))


def activation_derivative_of_output(apart: Apart) -> Iterator[Variation]:
    yield from _other_slopes(
        apart, lambda layer, call: call._replace(argument=call._replace(prime=False))
    )
    yield from _of_dense(
        apart, lambda dense: dense.activation.slope(dense.activation.f(pre_activations(dense)))
    )


def _of_dense(apart: Apart, slopes_of: Callable[[Dense], Numbers]) -> Iterator[Variation]:
    """Other slopes in the dense layer before the net."""
    dense = apart.problem.dense
    if dense is None:
        return
    dL_da = slopes_of(dense) * apart.right.at[0][X][:, 0]
    made = {"dL_dW_in": dL_da.T @ dense.x, "dL_db_in": dL_da.sum(axis=0), "dL_dx": dL_da @ dense.W}
    changes = {name: partial(_instead, array) for name, array in made.items()}
    yield Variation(RIGHT, frozenset(made), changes=changes, where="dense")


def _instead(made: Array, right: Array) -> Array:
    return made


def activation_derivative_wrong_step(apart: Apart) -> Iterator[Variation]:
    for by in (-1, 1):
        yield from _other_slopes(apart, partial(_of_step, by))


def _of_step(by: int, layer: LayerApart, call: Call) -> Node:
    return rows_moved(call, by)


# ---------------------------------------------------------------------------- paths


def immediate_only(apart: Apart) -> Iterator[Variation]:
    """No state but s_t for L_t; s_0 with L_1, since nothing else leads there, or not."""
    levels = apart.by_lag()
    direct, level = next(levels), next(levels)
    if not level.any():
        return
    cut = Wrong(dL_ds=direct)
    yield Variation(cut, THROUGH_TIME, changes={"log10_paths": partial(_within, 1)})
    yield _from_h_0(direct, level[:1])


def truncated(apart: Apart) -> Iterator[Variation]:
    """L_t reaches ∂⁺s_t … ∂⁺s_{t−k+1}, for k = 2 … T; s_0 with the last of them, or not, or with
    the last loss that reaches it alone, or left at zero."""
    levels = apart.by_lag()
    dL_ds = next(levels).copy()
    size = sum(np.size(W) for one in apart.layers for W in one.layer.own.values())
    affordable = MOST_WORK // (apart.steps * size + 1)
    for k, level in zip(range(1, min(apart.steps, affordable) + 1), levels, strict=False):
        if k > 1:
            cut = Wrong(dL_ds=dL_ds.copy())
            paths = {"log10_paths": partial(_within, k)}
            yield Variation(cut, THROUGH_TIME, steps=k, changes=paths)
            for row in (dL_ds[:1] + level[:1], level[:1], np.zeros_like(level[:1])):
                yield _from_h_0(dL_ds, row)._replace(steps=k)
        if apart.steps > MANY_STEPS and _negligible(level, dL_ds):
            return
        dL_ds += level


def _from_h_0(dL_ds: Array, row: Array) -> Variation:
    """∂L/∂s_t as it is for t ≥ 1, and another row for s_0."""
    start = Wrong(dL_ds=np.concatenate([row, dL_ds[1:]]))
    return Variation(start, OF_THE_STATES, thorough=False)


def _negligible(level: Array, dL_ds: Array) -> bool:
    """Whether longer paths are lost in rounding, so that no cut shows any more."""
    largest = np.abs(dL_ds).max(axis=1)[1:]
    return bool((np.abs(level[1:]).max(axis=1) <= 1e-18 * largest).all())


def _within(k: int, log10_paths: Array) -> Array:
    """What reaches back over k steps or more is cut off."""
    t, step = np.indices(log10_paths.shape)
    return np.where((t + 1 - step >= k) & (step <= t + 1), -np.inf, log10_paths)


def transposed_W_hh(apart: Apart) -> Iterator[Variation]:
    """Every recurrent matrix, gate by gate, where it is square."""
    names = set(apart.problem.cell.recurrent)
    changes = [
        Change(edge, Other(Turned("T")))
        for edge, factor in _links(apart)
        if isinstance(factor, Matrix) and factor.parameter in names
        and any(_turns(layer.layer.own[factor.parameter]) for layer in apart.layers)
    ]  # fmt: skip
    if changes:
        yield Variation(Wrong(tuple(changes)), THROUGH_TIME | CHAIN)


def _turns(W: Array) -> bool:
    """Whether it can be taken the wrong way round, and is then another one."""
    return W.ndim == 2 and W.shape[0] == W.shape[1] and not np.array_equal(W, W.T)


# ---------------------------------------------------------------------------- what parameters meet


def h_t_for_h_prev(apart: Apart) -> Iterator[Variation]:
    first = apart.problem.cell.parts[0]

    def later(name: Name) -> Name:
        is_it = name.head == first and name.step == BEFORE
        return name._replace(step=NOW) if is_it else name

    yield from _other_states(apart, lambda node: Other(rebuilt_names(node, later)))


def dropped_h_0(apart: Apart) -> Iterator[Variation]:
    """W_hh's own term at step 1, and ∂L/∂h_0 and ∂L/∂c_0."""
    yield from _other_states(apart, lambda node: Other(node, "none"))
    changes: dict[str, ArrayChange] = dict.fromkeys(OF_THE_STATES, _no_first_row)
    yield Variation(RIGHT, OF_THE_STATES, thorough=False, changes=changes, where="start")


def _other_states(apart: Apart, change: Callable[[Node], Other]) -> Iterator[Variation]:
    """Other numbers for s_{t−1} where the parameters meet it."""
    met, cell = _met(apart, change), apart.problem.cell
    parts = {one.parameter for one in met}
    touched = {
        name for name in cell.parameters if parts.intersection(cell.blocks.get(name, (name,)))
    }
    if touched:
        own = {f"dL_d{name}" for name in touched} | {"dht_dW_hh"} & {f"dht_d{n}" for n in touched}
        yield Variation(Wrong(met=met), frozenset(own))


def _written_out(layer: LayerApart, node: Node) -> Node:
    """With the equation for whatever has no name of its own."""

    def one(name: Name) -> Node:
        rest = layer.unnamed.get(name.head)
        return name if rest is None else _written_out(layer, rest)

    return rebuilt_names(node, one)


def _no_first_row(array: Array) -> Array:
    """Zeros for row 0, or for all of what is row 0 by itself."""
    if array.ndim == 1:
        return np.zeros_like(array)
    return np.concatenate([np.zeros_like(array[:1]), array[1:]])


# ---------------------------------------------------------------------------- losses


def counting(problem: Problem) -> tuple[int, ...]:
    """The rows of the steps whose loss counts."""
    if problem.loss_weights is None:
        return ()
    return tuple(int(row) for row in np.flatnonzero(problem.loss_weights))


def last_loss_only(apart: Apart) -> Iterator[Variation]:
    rows = counting(apart.problem)
    if len(rows) < 2:
        return
    last = np.zeros((apart.steps, 1))
    last[rows[-1]] = 1.0
    only = Wrong(dL_da_y=apart.dL_da_y * last)
    yield Variation(only, OF_THE_LOSS, changes={"dL_dy": partial(np.multiply, last)})
    losses = {"losses": partial(np.multiply, last[:, 0])}
    yield Variation(only, frozenset({"losses"}), thorough=False, changes=losses)


def missing_output_derivative(apart: Apart) -> Iterator[Variation]:
    dL_dy = apart.passes.backward.dL_dy
    if not np.array_equal(dL_dy, apart.dL_da_y):
        yield Variation(Wrong(dL_da_y=dL_dy), OF_THE_LOSS - {"dL_dy"})


def sheet_eq_32(apart: Apart) -> Iterator[Variation]:
    """∂⁺h_2 for ∂⁺h_1 in L_3's longest path; in L_T's; in every L_t's; one step late, all told."""
    T = apart.steps
    if T < 3:
        return
    levels = apart.by_lag()
    first, second = next(levels), next(levels)
    later = (apart.right.dL_ds[:, 0] - first - second)[1 : T - 1]
    ways: list[dict[int, Array]] = [
        {1: _pulled(apart, 3, 1)},
        {1: _pulled(apart, T, 1)},
        {1: later[0]},
        {T - 2: _pulled(apart, T, T - 2)},
        dict(enumerate(later, start=1)),
    ]
    for way in ways:
        yield _late(apart, way)


def _pulled(apart: Apart, t: int, k: int) -> Array:
    """∂L_t/∂h_k, (H,)"""
    row: Array = apart.alone(apart.dL_da_y[:, np.newaxis])[t, 0]
    for step in range(t, k, -1):
        row = row @ apart.jacobian(RIGHT, step)
    return row


def _late(apart: Apart, rows: Mapping[int, Array]) -> Variation:
    """∂⁺h_{k+1} for ∂⁺h_k behind each row ∂L/∂h_k."""
    here, trace = apart.immediate(RIGHT), apart.layers[0].trace

    def moved(beside: Array, right: Array) -> Array:
        wrong = right.copy()
        for k, row in rows.items():
            wrong += np.multiply.outer(row * here[k], beside[k])
            wrong -= np.multiply.outer(row * here[k - 1], beside[k - 1])
        return wrong

    meets = {"dL_dW_xh": trace.x, "dL_dW_hh": trace.h[:-1], "dL_db_h": np.ones(apart.steps)}
    changes = {name: partial(moved, values) for name, values in meets.items()}
    return Variation(RIGHT, frozenset({"dL_dW_xh"}), changes=changes)
