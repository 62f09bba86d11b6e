"""The chain rule as data: the lines of a derivation, their partial derivatives and paths.

A path is a product of partials from a loss L_t back to what it is differentiated by; a derivative
is the sum of the paths that exist. Text is made from the paths at the end, so a formula that is
shown is one that can be evaluated (the tests do). The recurrence runs through ``state``: h, or s
where the state is more than one h; a path may end in a part of it. A line is a symbol, its chain
rule, and where its numbers come from.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from rnngrad.algebra.writing import at
from rnngrad.analyses.derivation.quantities import Passes
from rnngrad.arithmetic.arrays import Array

SPELLED = 30
"""A sum of up to so many partials is spelled out; a longer one is written with Σ and ∏."""


class Partial(NamedTuple):
    """∂top/∂bottom; ``immediate``: ∂⁺, with h_{t−1} held fixed."""

    top: str
    bottom: str
    immediate: bool = False

    def __str__(self) -> str:
        return f"∂{'⁺' if self.immediate else ''}{self.top}/∂{self.bottom}"


class Path(NamedTuple):
    """One summand: from L_t to h_t (``head``), and on from there (``tail``) through step k."""

    t: int
    k: int
    head: tuple[Partial, ...]
    tail: tuple[Partial, ...]


def _head(t: int, state: str) -> tuple[Partial, ...]:
    return Partial(at("L", t), at("y", t)), Partial(at("y", t), at(state, t))


def _back(t: int, k: int, state: str, end: str) -> tuple[Partial, ...]:
    """∂h_t/∂h_{t−1} ⋯ ∂h_{k+1}/∂h_k; nothing for t = k."""
    return tuple(
        Partial(at(state, s), at(state if s - 1 > k else end, s - 1)) for s in range(t, k, -1)
    )


def paths_to_state(
    k: int, loss_steps: Iterable[int], *, state: str = "h", end: str = "h", seen: str = "h"
) -> Iterator[Path]:
    """The paths of ∂L/∂h_k: one from each L_t with t ≥ k; with ``end`` c of ∂L/∂c_k, which L_k
    does not reach: the read-out has ``seen`` h alone."""
    first = max(k, 1) if end in (state, seen) else k + 1
    for t in loss_steps:
        if t >= first:
            yield Path(t, k, _head(t, end if t == k else state), _back(t, k, state, end))


def paths_to_weight(
    weight: str, loss_steps: Iterable[int], *, first_step: int = 1, state: str = "h"
) -> Iterator[Path]:
    """The paths of ∂L/∂W: from each L_t to the use of W at each step k ≤ t.

    ``first_step`` is the first at which W's immediate partial is not zero whatever W: 2 for W_hh
    when h_0 = 0.
    """
    for t in loss_steps:
        for k in range(t, first_step - 1, -1):
            use = Partial(at(state, k), weight, immediate=True)
            yield Path(t, k, _head(t, state), (*_back(t, k, state, state), use))


def product_text(factors: Sequence[Partial]) -> str:
    """The factors with a dot between them."""
    return " · ".join(map(str, factors))


def sum_text(paths: Sequence[Path]) -> str:
    """The paths spelled out, those of one loss together: head · (tail + tail + …)."""
    groups = [list(group) for _, group in groupby(paths, key=lambda path: path.t)]
    return " + ".join(map(_group_text, groups)) if groups else "0"


def _group_text(group: Sequence[Path]) -> str:
    head, tails = product_text(group[0].head), [path.tail for path in group]
    if tails == [()]:
        return head
    inner = " + ".join(map(product_text, tails))
    return f"{head} · ({inner})" if len(tails) > 1 else f"{head} · {inner}"


def _short(paths: Iterator[Path]) -> tuple[Path, ...] | None:
    """The paths, if spelling them out takes no more than SPELLED partials; else None.

    Only as many are made as are needed to know.
    """
    taken = list[Path]()
    for path in paths:
        taken.append(path)
        if sum(len(one.head) + len(one.tail) for one in taken) > SPELLED:
            return None
    return tuple(taken)


def state_formula(
    k: int, loss_steps: Sequence[int], *, state: str = "h", end: str = "h", seen: str = "h"
) -> str:
    """∂L/∂h_k as the sum over its paths, spelled out or with Σ and ∏."""
    short = _short(paths_to_state(k, loss_steps, state=state, end=end, seen=seen))
    if short is not None:
        return sum_text(short)
    reaching = [t for t in loss_steps if t >= k + (end not in (state, seen))]
    part = "" if state == end else f" · ∂{at(state, k)}/∂{at(end, k)}"
    back = _product_back(str(k + 1), reaching, state)
    return f"{_over_losses(reaching, state)} · {back}{part}"


def weight_formula(
    weight: str, loss_steps: Sequence[int], first_step: int, *, state: str = "h"
) -> str:
    """∂L/∂W as the sum over its paths, spelled out or with Σ and ∏."""
    short = _short(paths_to_weight(weight, loss_steps, first_step=first_step, state=state))
    if short is not None:
        return sum_text(short)
    reaching = [t for t in loss_steps if t >= first_step]
    return (
        f"{_over_losses(reaching, state)} · Σ_{{k={first_step}..{_last(reaching)}}} "
        f"({_product_back('k+1', reaching, state)}) · ∂⁺{state}_k/∂{weight}"
    )


def _over_losses(steps: Sequence[int], state: str) -> str:
    """Σ_t ∂L_t/∂y_t · ∂y_t/∂h_t over the steps with a loss; no Σ for a single one."""
    if len(steps) == 1:
        return product_text(_head(steps[0], state))
    return f"Σ_{{{steps_text(steps)}}} ∂L_t/∂y_t · ∂y_t/∂{state}_t"


def without_output(formula: str) -> str:
    """The same with ∂L_t/∂h_t for ∂L_t/∂y_t · ∂y_t/∂h_t, where nobody sees y_t."""
    return re.sub(r"∂(L_(\w+|\{[^}]*\}))/∂y_\2 · ∂y_\2/∂", r"∂\1/∂", formula)


def _product_back(first: str, steps: Sequence[int], state: str) -> str:
    """Over the steps s, or j where s is the state."""
    step = "j" if state == "s" else "s"
    back = f"∂{state}_{step}/∂{state}_{{{step}−1}}"
    return f"∏_{{{step}={first}..{_last(steps)}}} {back}"


def _last(steps: Sequence[int]) -> str:
    return str(steps[0]) if len(steps) == 1 else "t"


def steps_text(steps: Sequence[int]) -> str:
    """``t=1..9`` for a run of steps, ``t∈{1, 4, 9}`` for a few, ``t∈{1, 4, 6, 8, .., 90}``."""
    if steps[-1] - steps[0] + 1 == len(steps):
        return f"t={steps[0]}..{steps[-1]}"
    shown = [*map(str, steps)] if len(steps) <= 6 else [*map(str, steps[:4]), "..", str(steps[-1])]
    return f"t∈{{{', '.join(shown)}}}"


class Own(NamedTuple):
    """Numbers that no quantity holds, computed when asked for: one entry a step."""

    shape: tuple[int, ...]
    compute: Callable[[Passes], Array]


class Line(NamedTuple):
    """One derivative: ``formula`` is its chain rule; its numbers are ``quantity``, or row ``row``.

    ``id`` is the sheet's subtask, ``equations`` the sheet's numbers for it, if it is about this
    net. ``quantity`` is empty where ``own`` has the numbers.
    """

    id: str
    symbol: str
    formula: str
    quantity: str
    row: int | None
    equations: str
    own: Own | None = None

    def shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the value, given the quantity's."""
        return shape if self.row is None else shape[1:]

    def value(self, quantity: Array) -> Array:
        """The value, given the quantity; one entry a step where it holds for every t."""
        return quantity if self.row is None else quantity[self.row]


def own_line(
    symbol: str, formula: str, shape: tuple[int, ...], compute: Callable[[Passes], Array]
) -> Line:
    """One with numbers of its own, whose id is given to it in its place."""
    return Line("", symbol, formula, "", None, "", Own(shape, compute))
