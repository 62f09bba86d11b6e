"""Which quantities a report holds, how much of each, and the arrays themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rnngrad.algebra.equations import X
from rnngrad.analyses.derivation.derive import Derivation
from rnngrad.analyses.derivation.quantities import Quantity
from rnngrad.arithmetic.arrays import Array
from rnngrad.chains.segments import Report
from rnngrad.errors import UsageError
from rnngrad.net.problem import Problem

LARGE = 10_000
"""A quantity with more numbers is given by its shape and norm in JSON, unless ``full``."""

HUGE = 10_000_000
"""A quantity with more numbers is computed only when named, or with ``full``."""

SLOW = 8_000_000_000
"""T² times the sizes of the matrices that every path goes through: some five seconds."""

SLOW_SUMS = 40_000_000_000
"""The same for the path sums of one layer of rnn."""


class Selection(NamedTuple):
    """``names`` are shown, ``left_out`` are too large to be computed unasked.

    ``named``: the user chose them. ``step``: only what belongs to that step. ``full``: nothing is
    shortened. ``paths``: the path sums are affordable. ``exponents``: so many Lyapunov exponents
    were asked for.
    """

    names: tuple[str, ...]
    left_out: tuple[str, ...]
    named: bool = False
    step: int | None = None
    full: bool = False
    paths: bool = True
    exponents: int | None = None


def select(
    result: Derivation,
    quantities: Sequence[str],
    step: int | None,
    full: bool,
    exponents: str | None = None,
) -> Selection:
    """The selection that the options ask for; QuantityError or UsageError where they cannot."""
    steps = result.problem.steps
    if step is not None and not 1 <= step <= steps:
        raise UsageError(f"--step {step}: the steps are 1 to {steps}")
    names = tuple(dict.fromkeys(quantities)) or result.names()
    records = [result.record(name) for name in names]
    if step is not None and quantities:
        _refuse_stepless(records, steps)
    unasked = not quantities and not full
    huge = {record.name for record in records if record.size(result.problem) > HUGE}
    left_out = tuple(name for name in names if unasked and name in huge)
    shown = tuple(name for name in names if name not in left_out)
    if step is not None:
        shown = tuple(name for name in shown if result.record(name).first_step is not None)
    paths = full or affordable_sums(result.problem)
    count = None if exponents is None else _count(exponents, result.problem.state_size)
    return Selection(shown, left_out, bool(quantities), step, full, paths, count)


def _count(exponents: str, size: int) -> int:
    """How many Lyapunov exponents ``--exponents`` asks for: a number, or all."""
    if exponents == "all":
        return size
    if not (exponents.isdecimal() and 1 <= int(exponents) <= size):
        of = f"1 to {size}, as the state has {size} numbers" if size > 1 else "1"
        raise UsageError(f"--exponents {exponents}: expected {of}, or all")
    return int(exponents)


def affordable_sums(problem: Problem) -> bool:
    """Whether the path sums take some seconds at most."""
    slow = problem.single_rnn and problem.steps**2 * problem.hidden**2 > SLOW_SUMS
    return affordable_paths(problem) and not slow


def affordable_paths(problem: Problem) -> bool:
    """Whether all paths take some seconds at most: no more than HUGE pairs (t, k), and for what
    is more than one layer of rnn no more than SLOW products of numbers."""
    pairs = problem.steps**2
    if problem.single_rnn:
        return pairs <= HUGE
    sizes = [
        layer.own[matrix.parameter].size
        for at, layer in enumerate(problem.layers)
        for matrix in problem.cell.step.matrices
        if at or matrix.source != X
    ]
    return pairs <= HUGE and pairs * sum(sizes) <= SLOW


def _refuse_stepless(records: Sequence[Quantity], steps: int) -> None:
    for record in records:
        if record.first_step is None:
            raise UsageError(f"--step: '{record.name}' is one array for all {steps} steps")


TABLES_NEED = ("log10_chain",)
"""What the tables show of the quantities besides the values of the derivation."""


def computed(
    result: Derivation, selection: Selection, *, every: bool, report: Report | None = None
) -> dict[str, Array]:
    """The arrays that a report needs: all that the selection names if ``every``, or if the user
    named them; else only what the tables show of them. ``report`` as in ``Derivation.together``."""
    names = dict.fromkeys(selection.names if every or selection.named else ())
    if not selection.named and selection.step is None:
        needed = (*TABLES_NEED, *(line.quantity for line in result.lines if line.quantity))
        sizes = {name: result.record(name).size(result.problem) for name in needed}
        names |= dict.fromkeys(name for name in needed if sizes[name] <= HUGE)
    return result.together(names, report)
