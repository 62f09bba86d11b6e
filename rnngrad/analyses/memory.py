"""How much memory a verb takes at its peak, from the sizes alone: told before the work begins.

Bytes, the process itself among them; docs/safety.md has what was measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from rnngrad.analyses.derivation.bidirectional import records as records_of_bidirectional
from rnngrad.analyses.derivation.quantities import records
from rnngrad.analyses.derivation.selection import HUGE, Selection
from rnngrad.memory import ask
from rnngrad.net.batch import Batch, BidirectionalBatch
from rnngrad.net.bidirectional import Bidirectional
from rnngrad.net.given_arrays import GivenArray
from rnngrad.net.problem import Problem

PROCESS = 60e6
"""Python and NumPy."""

BATCHES = 80e6
"""Perturbations of a check that are run at a time."""

TEXT = 240.0
"""A number in a JSON document: the array's, Python's, the text of each, all texts together."""


AnyProblem = Problem | Batch | Bidirectional
"""Whatever a spec may describe."""


def of_net(problem: AnyProblem) -> float:
    """Both passes, and what the chain keeps; of a bidirectional net that is one of a half."""
    if isinstance(problem, Batch):
        each = 1.3 if isinstance(problem, BidirectionalBatch) else 0.7
        return each * sum(map(of_passes, problem.sequences))
    if isinstance(problem, Bidirectional):
        net = problem.net
        return 1.3 * of_passes(net) + 8.0 * 12 * (net.state_size // net.depth) ** 2
    return 1.5 * of_passes(problem) + 8.0 * 12 * problem.state_size**2


def of_passes(problem: Problem) -> float:
    """What a step keeps, all steps."""
    units = len(problem.cell.step.kept) * problem.state_size
    return 8.0 * problem.steps * (6 * units + problem.inputs + 3 * problem.outputs)


def of_derive(problem: AnyProblem, names: Iterable[str], *, arrays: bool, in_full: bool) -> float:
    """``arrays``: those of these names are made; ``in_full``: and written as text, every number."""
    one = problem if isinstance(problem, Problem) else problem.net
    both = isinstance(problem, Bidirectional | BidirectionalBatch)
    every = records_of_bidirectional(one) if both else records(one)
    sizes = {name: record.size(one) for name, record in every.items()}
    names = tuple(names)
    numbers = sum(sizes.get(name, 0) for name in names)
    each = TEXT if in_full else 10.0
    if arrays:
        paths = 16.0 * sizes.get("log10_paths", 0) * ("log10_paths" in names)  # made from copies
        return PROCESS + of_net(problem) + each * numbers + paths
    shown = (sizes["dht_dhprev"], 2 * sizes.get("log10_paths", 0))  # what tables are made of
    return PROCESS + of_net(problem) + 8.0 * sum(size for size in shown if size <= HUGE)


def ask_for_derive(problem: AnyProblem, selection: Selection, form: str, *, every: bool) -> None:
    """Raises MemoryLimitError where deriving what is selected takes more than is allowed."""
    needed = of_derive(
        problem, selection.names, arrays=every or selection.named,
        in_full=form == "json" and selection.full,
    )  # fmt: skip
    smaller = "--quantity NAME computes one of them, --save without --json writes no text"
    if not every and not selection.named:
        smaller = "a smaller T needs less, as --set inputs.steps=N where they are drawn"
    elif not selection.full:
        smaller = "--quantity NAME computes one of them"
    ask(needed, f"derive of '{problem.name}'", smaller)


def of_check(problem: Problem) -> float:
    """Passes of many perturbations side by side, in batches, and the quantities under test."""
    sizes = (record.size(problem) for record in records(problem).values())
    return PROCESS + BATCHES + 2 * of_net(problem) + 10.0 * sum(n for n in sizes if n <= HUGE)


def ask_for_check(problem: Problem) -> None:
    """The same of proving its gradients."""
    smaller = "a smaller T needs less, as --set inputs.steps=N where they are drawn"
    ask(of_check(problem), f"check of '{problem.name}'", smaller)


def of_against(problem: AnyProblem, arrays: Mapping[str, GivenArray | Any]) -> float:
    """Both passes, and each array given beside our own; not the search for a mistake."""
    both = isinstance(problem, Bidirectional | BidirectionalBatch)
    nets = problem.sequences if isinstance(problem, Batch) else (problem,)
    ones = (one.net if isinstance(one, Bidirectional) else one for one in nets)
    values = (one.values if isinstance(one, GivenArray) else one for one in arrays.values())
    passes = (1.0 if both else 0.5) * sum(map(of_passes, ones))
    return PROCESS + passes + 16.0 * sum(v.size for v in values if isinstance(v, np.ndarray))


def ask_for_against(problem: AnyProblem, arrays: Mapping[str, GivenArray | Any]) -> None:
    """The same of comparing somebody's arrays."""
    smaller = "fewer steps or sequences need less"
    ask(of_against(problem, arrays), f"check of '{problem.name}' against a file", smaller)
