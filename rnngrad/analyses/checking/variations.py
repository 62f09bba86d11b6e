"""The known mistakes as small changes to the rules of the right backward pass.

A function here takes the right `Rules` and yields the ways in which people make that mistake, the
most thorough first; nothing where it changes nothing (a σ' of the identity, a loss without a 2).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from rnngrad.analyses.checking.rules import (
    LayerRules,
    Rules,
    beside,
    by_reach,
    read,
    terms_with,
    through_time,
    with_direct,
)
from rnngrad.arithmetic.arrays import Array
from rnngrad.arithmetic.functions import Activation
from rnngrad.core.layers import source_values
from rnngrad.core.problem import Problem

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


Change = Callable[[Array], Array]


class Variation(NamedTuple):
    """One way of making a mistake: the rules so changed, and the quantities that it touches, by
    their names without a stack's number.

    ``thorough`` is False for one that changes the rule in some of its places only. ``steps`` is k
    where paths are cut. ``changes`` make a wrong array of the right one, where no rules do.
    ``where`` is "weights" where the change is in the immediate partials alone, or how the gates
    are ordered.
    """

    rules: Rules
    touches: frozenset[str]
    thorough: bool = True
    steps: int | None = None
    changes: Mapping[str, Change] = MappingProxyType({})
    where: str = ""

    def read(self, name: str, right: Array) -> Array:
        """The quantity as this mistake makes it."""
        for known in self._known_as(name):
            if known in self.changes:
                return self.changes[known](right)
        return read(self.rules, name)

    def hits(self, name: str) -> bool:
        """Whether it touches a quantity."""
        return not self.touches.isdisjoint(self._known_as(name))

    def _known_as(self, name: str) -> tuple[str, ...]:
        """Its name without a stack's number, and what stands for it."""
        cell, base = self.rules.problem.cell, name.partition(".")[0]
        of = base.removeprefix("dL_d")
        if base == of:
            return (base, "h") if base in cell.parts else (base,)
        if of in cell.parameters:
            return (base, PARAMETER)
        of_state = of == "h" or of.removesuffix("_0") in cell.parts
        return (base, STATE) if of_state else (base,)


Slope = Callable[[Activation, Array], Array]


def _other_slopes(rules: Rules, slope: Slope) -> Iterator[Variation]:
    """Another σ' everywhere, only on the way back, only at the weights."""
    changed = terms_with(rules, slope)
    if all(_same(new, one) for new, one in zip(changed.layers, rules.layers, strict=True)):
        return
    back = rules._replace(
        layers=tuple(
            one._replace(back=new.back)
            for one, new in zip(rules.layers, changed.layers, strict=True)
        )
    )
    here = changed._replace(
        layers=tuple(
            new._replace(back=one.back)
            for one, new in zip(rules.layers, changed.layers, strict=True)
        )
    )
    yield Variation(changed, THROUGH_TIME | CHAIN | IMMEDIATE)
    yield Variation(back, THROUGH_TIME | CHAIN, thorough=False)
    at_weights = here._replace(dL_ds=through_time(rules))
    touched = (THROUGH_TIME | IMMEDIATE) - OF_THE_STATES - {"log10_paths"}
    yield Variation(at_weights, touched, thorough=False, where="weights")


def _same(new: LayerRules, one: LayerRules) -> bool:
    return all(np.array_equal(*pair) for pair in zip(new.back, one.back, strict=True))


def no_slope(rules: Rules) -> Iterator[Variation]:
    return _other_slopes(rules, lambda record, a: np.ones_like(a))


def slope_of_output(rules: Rules) -> Iterator[Variation]:
    return _other_slopes(rules, lambda record, a: record.slope(record.f(a)))


def slope_of_wrong_step(rules: Rules) -> Iterator[Variation]:
    yield from _other_slopes(rules, lambda record, a: _earlier(record.slope(a)))
    yield from _other_slopes(rules, lambda record, a: _later(record.slope(a)))


def _earlier(rows: Array) -> Array:
    """Each row in the place of the next; the first twice. What is no matter of steps stays."""
    return rows if rows.ndim < 2 else np.concatenate([rows[:1], rows[:-1]])


def _later(rows: Array) -> Array:
    """Each row in the place of the one before; the last twice."""
    return rows if rows.ndim < 2 else np.concatenate([rows[1:], rows[-1:]])


def immediate_only(rules: Rules) -> Iterator[Variation]:
    """No state but s_t for L_t; s_0 with L_1, since nothing else leads there, or not."""
    levels = by_reach(rules)
    direct, level = next(levels), next(levels)
    if not level.any():
        return
    cut = rules._replace(dL_ds=direct)
    yield Variation(cut, THROUGH_TIME, changes={"log10_paths": partial(_within, 1)})
    yield _from_h_0(rules, direct, level[:1])


def truncated(rules: Rules) -> Iterator[Variation]:
    """L_t reaches ∂⁺s_t … ∂⁺s_{t−k+1}, for k = 2 … T; s_0 with the last of them, or not, or with
    the last loss that reaches it alone, or left at zero."""
    levels = by_reach(rules)
    dL_ds = next(levels).copy()
    size = sum(np.size(W) for one in rules.layers for W in one.own.values())
    affordable = MOST_WORK // (rules.steps * size + 1)
    for k, level in zip(range(1, min(rules.steps, affordable) + 1), levels, strict=False):
        if k > 1:
            cut = rules._replace(dL_ds=dL_ds.copy())
            paths = {"log10_paths": partial(_within, k)}
            yield Variation(cut, THROUGH_TIME, steps=k, changes=paths)
            for row in (dL_ds[:1] + level[:1], level[:1], np.zeros_like(level[:1])):
                yield _from_h_0(rules, dL_ds, row)._replace(steps=k)
        if rules.steps > MANY_STEPS and _negligible(level, dL_ds):
            return
        dL_ds += level


def _from_h_0(rules: Rules, dL_ds: Array, row: Array) -> Variation:
    """∂L/∂s_t as it is for t ≥ 1, and another row for s_0."""
    start = rules._replace(dL_ds=np.concatenate([row, dL_ds[1:]]))
    return Variation(start, OF_THE_STATES, thorough=False)


def _negligible(level: Array, dL_ds: Array) -> bool:
    """Whether longer paths are lost in rounding, so that no cut shows any more."""
    largest = np.abs(dL_ds).max(axis=1)[1:]
    return bool((np.abs(level[1:]).max(axis=1) <= 1e-18 * largest).all())


def _within(k: int, log10_paths: Array) -> Array:
    """What reaches back over k steps or more is cut off."""
    t, step = np.indices(log10_paths.shape)
    return np.where((t + 1 - step >= k) & (step <= t + 1), -np.inf, log10_paths)


def transposed_W_hh(rules: Rules) -> Iterator[Variation]:
    """Every recurrent matrix, gate by gate, where it is square."""
    names = rules.problem.cell.recurrent
    turned = rules.each(lambda one: one._replace(own=_turned(one.own, names)))
    if any(
        not np.array_equal(one.own[name], new.own[name])
        for one, new in zip(rules.layers, turned.layers, strict=True)
        for name in names
    ):
        yield Variation(turned, THROUGH_TIME | CHAIN)


def _turned(own: Mapping[str, Array], names: tuple[str, ...]) -> dict[str, Array]:
    square = {n for n in names if own[n].ndim == 2 and own[n].shape[0] == own[n].shape[1]}
    return {name: W.T if name in square else W for name, W in own.items()}


def h_t_for_h_prev(rules: Rules) -> Iterator[Variation]:
    first = rules.problem.cell.parts[0]
    yield from _other_h(rules, lambda rows: np.append(rows[1:], rows[-1:], 0), (first,))


def dropped_h_0(rules: Rules) -> Iterator[Variation]:
    """W_hh's own term at step 1, and ∂L/∂h_0 and ∂L/∂c_0."""
    parts = rules.problem.cell.parts
    yield from _other_h(rules, lambda rows: _no_first_row(rows), parts)
    changes: dict[str, Change] = dict.fromkeys(OF_THE_STATES, _no_first_row)
    yield Variation(rules, OF_THE_STATES, thorough=False, changes=changes)


def _other_h(rules: Rules, change: Change, parts: tuple[str, ...]) -> Iterator[Variation]:
    """Other numbers for s_{t−1} where the parameters meet it."""

    def changed(one: LayerRules) -> LayerRules:
        states = {
            part: change(rows) if part in parts else rows for part, rows in one.trace.states.items()
        }
        return one._replace(trace=one.trace._replace(states=states))

    other = rules.each(changed)
    touched = {
        name
        for one, new in zip(rules.layers, other.layers, strict=True)
        for name in rules.problem.cell.parameters
        if _meets_otherwise(rules.problem, one, new, name)
    }
    if touched:
        own = {f"dL_d{name}" for name in touched} | {"dht_dW_hh"} & {f"dht_d{n}" for n in touched}
        yield Variation(other, frozenset(own))


def _meets_otherwise(problem: Problem, one: LayerRules, new: LayerRules, name: str) -> bool:
    """Whether a parameter meets other numbers."""
    for part in problem.cell.blocks.get(name, (name,)):
        sources = {m.source for m in problem.cell.step.matrices if m.parameter == part}
        before, after = (
            [source_values(problem, rules.layer, rules.trace, key) for key in sources]
            for rules in (one, new)
        )
        if any(use.parameter == part for use in problem.cell.step.uses):
            before += beside(problem, one, part)
            after += beside(problem, new, part)
        if any(not np.array_equal(a, b) for a, b in zip(before, after, strict=True)):
            return True
    return False


def _no_first_row(array: Array) -> Array:
    """Zeros for row 0, or for all of what is row 0 by itself."""
    if array.ndim == 1:
        return np.zeros_like(array)
    return np.concatenate([np.zeros_like(array[:1]), array[1:]])


def last_loss_only(rules: Rules) -> Iterator[Variation]:
    if len(rules.counting) < 2:
        return
    last = np.zeros((rules.steps, 1))
    last[rules.counting[-1]] = 1.0
    only = with_direct(rules._replace(dL_dy=rules.dL_dy * last), rules.dL_da_y * last)
    yield Variation(only, OF_THE_LOSS)
    losses = {"losses": partial(np.multiply, last[:, 0])}
    yield Variation(only, frozenset({"losses"}), thorough=False, changes=losses)


def no_output_slope(rules: Rules) -> Iterator[Variation]:
    if not np.array_equal(rules.dL_dy, rules.dL_da_y):
        yield Variation(with_direct(rules, rules.dL_dy), OF_THE_LOSS - {"dL_dy"})


def sheet_eq_32(rules: Rules) -> Iterator[Variation]:
    """∂⁺h_2 for ∂⁺h_1 in L_3's longest path; in L_T's; in every L_t's; one step late, all told."""
    T = rules.steps
    if T < 3:
        return
    levels = by_reach(rules)
    first, second = next(levels), next(levels)
    later = (through_time(rules) - first - second)[1 : T - 1]
    ways: list[dict[int, Array]] = [
        {1: _pulled(rules, 3, 1)},
        {1: _pulled(rules, T, 1)},
        {1: later[0]},
        {T - 2: _pulled(rules, T, T - 2)},
        dict(enumerate(later, start=1)),
    ]
    for way in ways:
        yield _late(rules, way)


def _pulled(rules: Rules, t: int, k: int) -> Array:
    """∂L_t/∂h_k, (H,)"""
    row: Array = rules.dLt_dht[t - 1]
    for step in range(t, k, -1):
        one = rules.layers[0]
        row = np.asarray((row * one.back[0][step - 1]) @ one.own["W_hh"])
    return row


def _late(rules: Rules, rows: Mapping[int, Array]) -> Variation:
    """∂⁺h_{k+1} for ∂⁺h_k behind each row ∂L/∂h_k."""
    one = rules.layers[0]
    here = one.here[0]

    def moved(beside: Array, right: Array) -> Array:
        wrong = right.copy()
        for k, row in rows.items():
            wrong += np.multiply.outer(row * here[k], beside[k])
            wrong -= np.multiply.outer(row * here[k - 1], beside[k - 1])
        return wrong

    meets = {"dL_dW_xh": one.trace.x, "dL_dW_hh": one.trace.h[:-1], "dL_db_h": np.ones(rules.steps)}
    changes = {name: partial(moved, values) for name, values in meets.items()}
    return Variation(rules, frozenset({"dL_dW_xh"}), changes=changes)
