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

from rnngrad.analyses.checking.rules import READ, Rules, by_reach, through_time, with_direct
from rnngrad.core.arrays import Array

IMMEDIATE = frozenset({"dht_dW_xh", "dht_dW_hh", "dht_db_h"})
THROUGH_TIME = frozenset({"dL_dh", "dL_dW_xh", "dL_dW_hh", "dL_db_h", "dL_dx", "log10_paths"})
CHAIN = frozenset({"dht_dhprev", "log10_chain"})
AT_THE_OUTPUT = frozenset({"dLt_dht", "dL_dW_hy", "dL_db_y"})
TOTALS = frozenset({"dL_dW_xh", "dL_dW_hh", "dL_db_h", "dL_dW_hy", "dL_db_y"})
OF_THE_LOSS = THROUGH_TIME | AT_THE_OUTPUT | {"dL_dy"}
EVERYTHING = OF_THE_LOSS | IMMEDIATE | CHAIN | {"h", "y", "losses", "loss"}

MANY_STEPS = 100
MOST_WORK = 2 * 10**9
"""Multiplications spent on truncations of every length."""


Change = Callable[[Array], Array]


class Variation(NamedTuple):
    """One way of making a mistake: the rules so changed, and the quantities that it touches.

    ``thorough`` is False for one that changes the rule in some of its places only. ``steps`` is k
    where paths are cut. ``changes`` make a wrong array of the right one, where no rules do.
    ``where`` is "weights" where the change is in the immediate partials alone.
    """

    rules: Rules
    touches: frozenset[str]
    thorough: bool = True
    steps: int | None = None
    changes: Mapping[str, Change] = MappingProxyType({})
    where: str = ""

    def read(self, name: str, right: Array) -> Array:
        """The quantity as this mistake makes it."""
        return self.changes[name](right) if name in self.changes else READ[name](self.rules)


def _other_slopes(rules: Rules, slopes: Array) -> Iterator[Variation]:
    """Another σ': everywhere, only on the way back through time, only at the weights."""
    if np.array_equal(slopes, rules.back):
        return
    everywhere = rules._replace(back=slopes, here=slopes)
    yield Variation(everywhere, THROUGH_TIME | CHAIN | IMMEDIATE)
    yield Variation(rules._replace(back=slopes), THROUGH_TIME | CHAIN, thorough=False)
    at_weights = rules._replace(here=slopes, dL_dh=through_time(rules))
    touched = (THROUGH_TIME | IMMEDIATE) - {"dL_dh", "log10_paths"}
    yield Variation(at_weights, touched, thorough=False, where="weights")


def no_slope(rules: Rules) -> Iterator[Variation]:
    return _other_slopes(rules, np.ones_like(rules.back))


def slope_of_output(rules: Rules) -> Iterator[Variation]:
    return _other_slopes(rules, rules.slope(rules.h))


def slope_of_wrong_step(rules: Rules) -> Iterator[Variation]:
    before = np.concatenate([rules.back[:1], rules.back[:-1]])
    after = np.concatenate([rules.back[1:], rules.back[-1:]])
    yield from _other_slopes(rules, before)
    yield from _other_slopes(rules, after)


def immediate_only(rules: Rules) -> Iterator[Variation]:
    """No state but h_t for L_t; h_0 with L_1, since nothing else leads there, or not."""
    if not rules.W_hh.any():
        return
    none = rules._replace(W_hh=np.zeros_like(rules.W_hh))
    yield Variation(none, THROUGH_TIME)
    levels = by_reach(rules)
    dL_dh, level = next(levels), next(levels)
    yield _from_h_0(rules, dL_dh, level[:1])


def truncated(rules: Rules) -> Iterator[Variation]:
    """L_t reaches ∂⁺h_t … ∂⁺h_{t−k+1}, for k = 2 … T; h_0 with the last of them, or not, or with
    the last loss that reaches it alone, or left at zero."""
    levels = by_reach(rules)
    dL_dh = next(levels).copy()
    affordable = MOST_WORK // (rules.steps * rules.W_hh.size + 1)
    for k, level in zip(range(1, min(rules.steps, affordable) + 1), levels, strict=False):
        if k > 1:
            cut = rules._replace(dL_dh=dL_dh.copy())
            paths = {"log10_paths": partial(_within, k)}
            yield Variation(cut, THROUGH_TIME, steps=k, changes=paths)
            for row in (dL_dh[:1] + level[:1], level[:1], np.zeros_like(level[:1])):
                yield _from_h_0(rules, dL_dh, row)._replace(steps=k)
        if rules.steps > MANY_STEPS and _negligible(level, dL_dh):
            return
        dL_dh += level


def _from_h_0(rules: Rules, dL_dh: Array, row: Array) -> Variation:
    """∂L/∂h_t as it is for t ≥ 1, and another row for h_0."""
    start = rules._replace(dL_dh=np.concatenate([row, dL_dh[1:]]))
    return Variation(start, frozenset({"dL_dh"}), thorough=False)


def _negligible(level: Array, dL_dh: Array) -> bool:
    """Whether longer paths are lost in rounding, so that no cut shows any more."""
    largest = np.abs(dL_dh).max(axis=1)[1:]
    return bool((np.abs(level[1:]).max(axis=1) <= 1e-18 * largest).all())


def _within(k: int, log10_paths: Array) -> Array:
    """What reaches back over k steps or more is cut off."""
    t, step = np.indices(log10_paths.shape)
    return np.where((t + 1 - step >= k) & (step <= t + 1), -np.inf, log10_paths)


def transposed_W_hh(rules: Rules) -> Iterator[Variation]:
    if not np.array_equal(rules.W_hh, rules.W_hh.T):
        yield Variation(rules._replace(W_hh=rules.W_hh.T), THROUGH_TIME | CHAIN)


def h_t_for_h_prev(rules: Rules) -> Iterator[Variation]:
    yield Variation(rules._replace(h_prev=rules.h), frozenset({"dL_dW_hh", "dht_dW_hh"}))


def dropped_h_0(rules: Rules) -> Iterator[Variation]:
    """W_hh's own term at step 1, and ∂L/∂h_0."""
    without = np.concatenate([np.zeros_like(rules.h_prev[:1]), rules.h_prev[1:]])
    touched = frozenset({"dL_dW_hh", "dht_dW_hh"})
    if rules.h_prev[0].any():
        yield Variation(rules._replace(h_prev=without), touched)
    yield Variation(rules, frozenset({"dL_dh"}), thorough=False, changes={"dL_dh": _no_first_row})


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
        row = np.asarray((row * rules.back[step - 1]) @ rules.W_hh)
    return row


def _late(rules: Rules, rows: Mapping[int, Array]) -> Variation:
    """∂⁺h_{k+1} for ∂⁺h_k behind each row ∂L/∂h_k."""
    here = rules.here

    def moved(beside: Array, right: Array) -> Array:
        wrong = right.copy()
        for k, row in rows.items():
            wrong += np.multiply.outer(row * here[k], beside[k])
            wrong -= np.multiply.outer(row * here[k - 1], beside[k - 1])
        return wrong

    beside = {"dL_dW_xh": rules.x, "dL_dW_hh": rules.h_prev, "dL_db_h": np.ones(rules.steps)}
    changes = {name: partial(moved, values) for name, values in beside.items()}
    return Variation(rules, frozenset({"dL_dW_xh"}), changes=changes)


def sign_flipped(rules: Rules) -> Iterator[Variation]:
    yield _times(rules, -1.0, OF_THE_LOSS)
    yield _times(rules, -1.0, EVERYTHING, thorough=False)


def half(rules: Rules) -> Iterator[Variation]:
    yield _times(rules, 0.5, OF_THE_LOSS)
    yield _times(rules, 0.5, frozenset({"losses"}), thorough=False)


def averaged(rules: Rules) -> Iterator[Variation]:
    """Over all steps, or those that count: in the loss, or only in the weights' gradients."""
    for steps in dict.fromkeys((rules.steps, len(rules.counting))):
        if steps > 1:
            yield _times(rules, 1.0 / steps, OF_THE_LOSS)
            yield _times(rules, 1.0 / steps, TOTALS)
            yield _times(rules, 1.0 / steps, frozenset({"losses"}), thorough=False)


def _times(
    rules: Rules, factor: float, touches: frozenset[str], *, thorough: bool = True
) -> Variation:
    """Quantities that are linear in L, times a number; their logarithms are shifted."""
    changes: dict[str, Change] = {name: partial(np.multiply, factor) for name in touches}
    if "log10_paths" in touches:
        changes["log10_paths"] = partial(np.add, np.log10(abs(factor)))
    if factor < 0 and not thorough:
        changes["log10_paths"] = changes["log10_chain"] = np.negative
    return Variation(rules, touches, thorough, changes=changes)


def turned(rules: Rules) -> Iterator[Variation]:
    """The array itself transposed: a matrix, or the two last axes of one a step."""
    turn = dict.fromkeys(EVERYTHING, _turn)
    yield Variation(rules, EVERYTHING, changes=turn)


def _turn(array: Array) -> Array:
    return np.swapaxes(array, -1, -2) if array.ndim > 1 else array
