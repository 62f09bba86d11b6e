"""What a check can afford: every entry, or every parameter by direction and sampled entries."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rnngrad.analyses.checking.references import finite_differences, perturbations
from rnngrad.analyses.checking.references.methods import AUTO, Method, method_named
from rnngrad.analyses.derivation.quantities import records
from rnngrad.analyses.derivation.selection import HUGE
from rnngrad.arithmetic.arrays import Integers
from rnngrad.net.problem import Problem

AFFORDABLE = 2e7
"""Units (perturbations × steps × hidden units) in some two seconds."""

PATHS = ("dLt_dhk", "dLt_dak")
"""Each ∂L_t/∂h_k and each ∂L_t/∂a_k: T² rows."""

ROWS = 4e7
"""The same for rows by direction."""


class Plan(NamedTuple):
    """``every``: entry by entry. ``stride``: one step in so many, where it is by direction.
    ``left_out`` are the quantities that derive computes only when named; ``state`` is the letter
    of what the recurrence carries."""

    method: Method
    chosen: str
    every: bool
    stride: int
    left_out: tuple[str, ...]
    state: str = "h"

    def title(self, *, per_step: bool) -> str:
        """The method as it is applied to one quantity."""
        if self.every:
            return self.method.title
        sampled = f", one step in {self.stride}" if per_step and self.stride > 1 else ""
        return f"{self.method.title}, by direction{sampled}"

    @property
    def words(self) -> tuple[str, ...]:
        """What is done, for the head of the report."""
        how = f"{self.method.title}: {self.method.words}"
        lines = [f"method {self.chosen}: {how}", self._scope()]
        if self.left_out:
            names = ", ".join(self.left_out)
            lines.append(f"left out, more than {HUGE:,} numbers or paths each: {names}")
        return tuple(lines)

    def _scope(self) -> str:
        if self.every:
            paths = f"each ∂L_t/∂{self.state}_k and each summand of ∂L/∂W"
            return f"every entry of every quantity, {paths}"
        steps = "every step" if self.stride == 1 else f"one step in {self.stride}"
        rows = ""
        if not set(PATHS) & set(self.left_out):
            state, count = self.state, perturbations.OF_A_ROW
            rows = f", every ∂L_t/∂{state}_k from the row of step k + 1 by {count} directions"
        why = "by direction" if self.method.by_direction else "too large for every entry"
        return (
            f"{why}: each parameter by {perturbations.DIRECTIONS} directions of ±1 and "
            f"{perturbations.SAMPLED} entries or more, {steps} by a direction and an entry{rows}"
            f"; chance misses a wrong parameter once in {2**perturbations.DIRECTIONS} times at "
            "most, what is wrong in n of the steps once in 2^n"
        )


def plan(problem: Problem, method: str = AUTO) -> Plan:
    """The plan for a problem; UsageError for a method that does not exist."""
    record = method_named(method)
    calls = 2 * finite_differences.COUNT if record.finite else 1
    every = not record.by_direction and calls * units(problem) <= AFFORDABLE
    row_units = _rows_a_step(problem) * problem.steps**2 / 2 * _width(problem) * calls
    stride = 1 if every else max(1, int(np.ceil(row_units / ROWS)))
    left_out = tuple(name for name, r in records(problem).items() if r.size(problem) > HUGE)
    left_out += PATHS if problem.steps**2 > HUGE else ()
    return Plan(record, method, every, stride, left_out, "h" if problem.single_rnn else "s")


def units(problem: Problem) -> float:
    """Perturbations × steps × units, entry by entry."""
    steps, kept = problem.steps, _kept(problem)
    rows = (steps + 1) * problem.state_size + steps * (kept + problem.inputs)
    weights = sum(weight.size for weight in problem.weights.values())
    entries = rows / 2 + weights * (1 + problem.hidden / 16)
    return float(entries * steps * _width(problem))


def _kept(problem: Problem) -> int:
    """How many numbers a step keeps, all layers told."""
    return max([columns.stop for columns in perturbations.places(problem).values()], default=0)


def _width(problem: Problem) -> int:
    """Units a step: those of rnn, or what the step of any other cell computes."""
    return problem.hidden if problem.cell.activation is None else _kept(problem)


def _rows_a_step(problem: Problem) -> float:
    """Perturbations of a step where each is by direction: two of every part of each layer's state,
    of each group of places in its graph, and of the inputs."""
    return 2.0 * (1 + problem.depth * len(problem.cell.parts) + len(perturbations.groups(problem)))


def steps_chosen(problem: Problem, first: int, stride: int) -> Integers:
    """The steps from ``first`` to T, one in ``stride``, both ends included."""
    return np.unique(np.append(np.arange(first, problem.steps + 1, stride), problem.steps))
