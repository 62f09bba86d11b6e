"""The right answers: for each subtask what is asked, and the paths that it is the sum of.

What is asked is a derivative, and its value is that of ``tangents``. The paths are those of
``analyses.derivation.formulas``, as text, read by the same grammar as an answer.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import NamedTuple

from rnngrad.algebra.expressions import Derivative, Node
from rnngrad.algebra.grammar import parse_one
from rnngrad.analyses.derivation.chain_rules import derivation, first_use, loss_steps
from rnngrad.analyses.derivation.formulas import Path, paths_to_state, paths_to_weight, product_text
from rnngrad.net.problem import Problem

MOST_PATHS = 500
"""A sum of more paths (T > 31) is graded as a whole."""

MOST_STEPS = 200
"""Steps of a net whose answers are graded."""


class Way(NamedTuple):
    """One path from L_t back to step k, and its formula; None for a subtask without that step."""

    t: int | None
    k: int | None
    tree: Node


class Task(NamedTuple):
    """One subtask: ∂top/∂bottom, its paths, and the step that t means in it.

    ``every_step``: it holds for every t. ``weight``: the parameter that it is differentiated by.
    """

    id: str
    asked: Derivative
    ways: tuple[Way, ...]
    step: int | None = None
    every_step: bool = False
    weight: str | None = None


def tasks(problem: Problem) -> dict[str, Task]:
    """The subtasks that exist for this problem, by id, in the sheet's order."""
    return {line.id: _task(problem, line.id, line.symbol) for line in derivation(problem)}


def _task(problem: Problem, name: str, symbol: str) -> Task:
    asked = parse_one(symbol)
    assert isinstance(asked, Derivative)
    step = {"a1": problem.steps, "a2": problem.steps - 1, "a3": problem.steps}.get(name)
    if name in ("a4", "b1", "b2"):
        weight = {"b1": "W_xh", "b2": "W_hh"}.get(name)
        return Task(name, asked, (Way(None, None, asked),), None, True, weight)
    if name in ("b3", "b4"):
        weight = asked.bottom.head
        return Task(name, asked, _weight_ways(problem, weight), weight=weight)
    if step is not None:
        return Task(name, asked, (Way(step, None, asked),), step)
    k = 1 if name == "a6" else problem.steps - 1
    return Task(name, asked, _ways(_few(paths_to_state(k, loss_steps(problem)))))


def _weight_ways(problem: Problem, weight: str) -> tuple[Way, ...]:
    first = first_use(problem, weight)
    return _ways(_few(paths_to_weight(weight, loss_steps(problem), first_step=first)))


def _few(paths: Iterable[Path]) -> list[Path]:
    """All paths, or none where there are too many to tell them apart."""
    found = list(islice(paths, MOST_PATHS + 1))
    return found if len(found) <= MOST_PATHS else []


def _ways(paths: list[Path]) -> tuple[Way, ...]:
    return tuple(Way(p.t, p.k, parse_one(product_text((*p.head, *p.tail)))) for p in paths)
