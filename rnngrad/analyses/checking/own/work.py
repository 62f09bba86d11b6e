"""How much of a check each of its parts is: for the bar, and to tell how long all of it takes.

The unit is one row on its way through one step, M products of numbers, M the sizes of the matrices
that it goes through; a step costs ``OF_A_STEP`` rows however few there are (``rnngrad.progress``).
Fitted to lstm of (784, 128) and of two layers of (100, 512), rnn of (500, 512).
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import accumulate

import numpy as np

from rnngrad.algebra.equations import X
from rnngrad.analyses.checking.references import finite_differences, perturbations
from rnngrad.analyses.checking.references.plan import PATHS, Plan, steps_chosen
from rnngrad.analyses.checking.references.products import by_rows
from rnngrad.chains.leading_norms import work_of_all
from rnngrad.net.problem import Problem
from rnngrad.progress import OF_A_STEP

EXPLICIT, CHAIN = "explicit Jacobians", "log10_chain"

A_WEIGHT = perturbations.DIRECTIONS + perturbations.SAMPLED
"""Perturbations of a parameter that is not looked at entry by entry, about."""


def shares(
    problem: Problem, plan: Plan, tested: Collection[str], paths: bool
) -> dict[str, tuple[float, float]]:
    """part -> where it begins in the whole check, from 0 to 1, and its share; in their order."""
    works = _works(problem, plan, tested, paths)
    ends = list(accumulate(works.values()))
    whole = max(ends[-1], 1.0) if ends else 1.0
    return {
        name: ((end - work) / whole, work / whole)
        for (name, work), end in zip(works.items(), ends, strict=True)
    }


def _works(problem: Problem, plan: Plan, tested: Collection[str], paths: bool) -> dict[str, float]:
    steps, size = problem.steps, problem.state_size
    losses = 0 if problem.loss_weights is None else int(np.count_nonzero(problem.loss_weights))
    dense = size**2 / max(1, _on_the_way(problem))  # of a product with a whole Jacobian
    chain, norms = CHAIN in tested, "log10_paths" in tested and problem.loss is not None
    rows = losses / 2 if norms and not by_rows(plan, paths) else 0.0
    works: dict[str, float] = {}
    if chain or norms:
        each = OF_A_STEP + size + dense * (rows + (size if chain else 0))
        works[EXPLICIT] = steps * each if chain or rows else 0.0
    if chain:
        works[CHAIN] = work_of_all(size, steps)
    if problem.loss is None:
        return works
    again = 2 * finite_differences.COUNT if plan.method.finite else 1

    def answers(count: float) -> float:
        return float(again * steps * (2 * OF_A_STEP + count))

    parts = problem.depth * len(problem.cell.parts)
    chosen = len(steps_chosen(problem, 0, plan.stride)) / 2  # of which half have begun
    kept = max([columns.stop for columns in perturbations.places(problem).values()], default=0)
    works["dL_dh"] = answers(chosen * (size if plan.every else 2 * parts))
    if paths:
        works[PATHS[0]] = steps * (2 * OF_A_STEP + 2.5 * losses / 2)
        if norms and "log10_paths" not in plan.left_out:
            works["log10_paths"] = steps * (OF_A_STEP + losses / 2)
        groups = len(perturbations.groups(problem))
        works[PATHS[1]] = answers(chosen * (kept if plan.every else 2 * groups))
    if "dL_dx" in tested:
        works["dL_dx"] = answers(chosen * (problem.inputs if plan.every else 2))
    for name, weight in problem.weights.items():
        if f"dL_d{name}" in tested:
            works[f"dL_d{name}"] = answers(weight.size if plan.every else A_WEIGHT)
    return works


def _on_the_way(problem: Problem) -> int:
    """M"""
    return sum(
        layer.own[matrix.parameter].size
        for at, layer in enumerate(problem.layers)
        for matrix in problem.cell.step.matrices
        if at or matrix.source != X
    )
