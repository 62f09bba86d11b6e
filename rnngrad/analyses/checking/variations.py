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
    by_reach,
    read,
    terms_with,
    through_time,
    with_direct,
)
from rnngrad.arithmetic.functions import Activation
from rnngrad.core.arithmetic import FLOATS
from rnngrad.arithmetic.arrays import Array
from rnngrad.core.cells import Terms

IMMEDIATE = frozenset({"dht_dW_xh", "dht_dW_hh", "dht_db_h"})
OF_THE_STATES = frozenset({"dL_dh", "dL_dc", "dL_dh_0", "dL_dc_0"})
BY_GATE = frozenset({"dL_dW_xh", "dL_dW_hh", "dL_db_h", "dL_db_xh", "dL_db_hh"})
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
        change = self.changes.get(_base(name))
        return read(self.rules, name) if change is None else change(right)

    def hits(self, name: str) -> bool:
        """Whether it touches a quantity."""
        return _base(name) in self.touches


def _base(name: str) -> str:
    return name.partition(".")[0]


Slope = Callable[[Activation, Array], Array]


def _other_slopes(rules: Rules, slope: Slope) -> Iterator[Variation]:
    """Another σ' in every gate: everywhere, only on the way back, only at the weights."""
    terms = terms_with(rules, FLOATS._replace(slope=slope))
    if all(_same(new, one.back) for new, one in zip(terms, rules.layers, strict=True)):
        return
    back, here = _on_the_way_back(rules, terms), _at_the_weights(rules, terms)
    everywhere = _at_the_weights(back, terms)
    yield Variation(everywhere, THROUGH_TIME | CHAIN | IMMEDIATE)
    yield Variation(back, THROUGH_TIME | CHAIN, thorough=False)
    at_weights = here._replace(dL_ds=through_time(rules))
    touched = (THROUGH_TIME | IMMEDIATE) - OF_THE_STATES - {"log10_paths"}
    yield Variation(at_weights, touched, thorough=False, where="weights")


def _same(terms: Terms, others: Terms) -> bool:
    return all(np.array_equal(*pair) for pair in zip(terms, others, strict=True))


def _on_the_way_back(rules: Rules, terms: list[Terms]) -> Rules:
    layers = zip(rules.layers, terms, strict=True)
    return rules._replace(layers=tuple(one._replace(back=new) for one, new in layers))


def _at_the_weights(rules: Rules, terms: list[Terms]) -> Rules:
    layers = zip(rules.layers, terms, strict=True)
    return rules._replace(layers=tuple(one._replace(here=new) for one, new in layers))


def no_slope(rules: Rules) -> Iterator[Variation]:
    return _other_slopes(rules, lambda record, a: np.ones_like(a))


def slope_of_output(rules: Rules) -> Iterator[Variation]:
    return _other_slopes(rules, lambda record, a: record.slope(record.f(a)))


def slope_of_wrong_step(rules: Rules) -> Iterator[Variation]:
    yield from _other_slopes(rules, lambda record, a: _earlier(record.slope(a)))
    yield from _other_slopes(rules, lambda record, a: _earlier(record.slope(a)[::-1])[::-1])


def _earlier(rows: Array) -> Array:
    """Each row in the place of the next; the first twice."""
    return np.concatenate([rows[:1], rows[:-1]])


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
    affordable = MOST_WORK // (rules.steps * sum(one.W_hh.size for one in rules.layers) + 1)
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
    """Gate by gate."""
    turned = rules.each(_turned_back)
    if any(
        not np.array_equal(one.W_hh, new.W_hh)
        for one, new in zip(rules.layers, turned.layers, strict=True)
    ):
        yield Variation(turned, THROUGH_TIME | CHAIN)


def _turned_back(one: LayerRules) -> LayerRules:
    hidden = one.layer.hidden
    blocks = one.W_hh.reshape(-1, hidden, hidden).swapaxes(1, 2)
    return one._replace(W_hh=blocks.reshape(one.W_hh.shape))


def h_t_for_h_prev(rules: Rules) -> Iterator[Variation]:
    h = rules.trace.h[1:]
    late = rules.each(lambda one: one._replace(h_prev=h[:, one.layer.units]))
    yield Variation(late, frozenset({"dL_dW_hh", "dht_dW_hh"}))


def dropped_h_0(rules: Rules) -> Iterator[Variation]:
    """W_hh's own term at step 1, and ∂L/∂h_0 and ∂L/∂c_0."""
    if rules.trace.h[0].any():
        without = rules.each(lambda one: one._replace(h_prev=_no_first_row(one.h_prev)))
        yield Variation(without, frozenset({"dL_dW_hh", "dht_dW_hh"}))
    changes: dict[str, Change] = dict.fromkeys(OF_THE_STATES, _no_first_row)
    yield Variation(rules, OF_THE_STATES, thorough=False, changes=changes)


def _no_first_row(array: Array) -> Array:
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
        row = np.asarray((row * rules.layers[0].back[0][step - 1]) @ rules.layers[0].W_hh)
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

    beside = {"dL_dW_xh": one.x, "dL_dW_hh": one.h_prev, "dL_db_h": np.ones(rules.steps)}
    changes = {name: partial(moved, values) for name, values in beside.items()}
    return Variation(rules, frozenset({"dL_dW_xh"}), changes=changes)
