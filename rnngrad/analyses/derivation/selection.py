"""Which quantities a report holds, how much of each, and the arrays themselves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from rnngrad.algebra.equations import X
from rnngrad.analyses.derivation.derive import (
    BatchDerivation,
    BidirectionalDerivation,
    Derivation,
)
from rnngrad.analyses.derivation.quantities import Quantity
from rnngrad.arithmetic.arrays import Array
from rnngrad.chains.checkpointing import Report
from rnngrad.errors import UsageError, escaped
from rnngrad.net.batch import one_sequence
from rnngrad.net.problem import Problem

LARGE = 10_000
"""A quantity with more numbers is given by its shape and norm in JSON, unless ``full``."""

HUGE = 10_000_000
"""A quantity with more numbers is computed only when named, or with ``full``."""

SLOW = 8_000_000_000
"""T² times the sizes of the matrices that every path goes through: some five seconds."""

QUICK = 1_000_000_000
"""The same with 2,000 more for each path's own work, up to which the path sums of any net take a
second or two."""

SLOW_SUMS = 40_000_000_000
"""The same for the path sums of one layer of rnn."""


class Selection(NamedTuple):
    """``names`` are shown, ``left_out`` are too large to be computed unasked.

    ``named``: the user chose them. ``step``: only what belongs to that step. ``full``: nothing is
    shortened. ``paths``: the path sums are affordable. ``exponents``: so many Lyapunov exponents
    were asked for. ``sections``: just these parts of the tables. ``kept``: the steps that the
    truncations keep.
    """

    names: tuple[str, ...]
    left_out: tuple[str, ...]
    named: bool = False
    step: int | None = None
    full: bool = False
    paths: bool = True
    exponents: int | None = None
    sections: tuple[str, ...] = ()
    kept: tuple[int, ...] = ()


def select(
    result: Derivation,
    quantities: Sequence[str],
    step: int | None,
    full: bool,
    exponents: str | None = None,
    sections: Sequence[str] = (),
    truncation: str | None = None,
) -> Selection:
    """The selection that the options ask for; QuantityError or UsageError where they cannot."""
    steps = result.problem.steps
    if step is not None and not 1 <= step <= steps:
        raise UsageError(f"--step {step}: the steps are 1 to {steps}")
    if sections and (quantities or step is not None):
        other = "--quantity" if quantities else "--step"
        raise UsageError(f"--section and {other} cannot stand together: each chooses what is shown")
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
    paths = full or "paths" in sections or affordable_sums(result.problem)
    count = None if exponents is None else _count(exponents, result.problem.state_size)
    kept = () if truncation is None else kept_of(truncation.split(","), result.problem)
    if kept and (quantities or step is not None):
        other = "--quantity" if quantities else "--step"
        raise UsageError(f"--truncation and {other} cannot stand together: there is no such table")
    return Selection(
        shown, left_out, bool(quantities), step, full, paths, count, tuple(sections), kept
    )


def kept_of(asked: Iterable[str | int], problem: Problem) -> tuple[int, ...]:
    """The steps that each loss keeps, by ``--truncation``. Raises UsageError."""
    texts = [str(one).strip() for one in asked]
    for text in texts:
        if not (text.isdecimal() and 1 <= int(text) <= problem.steps):
            shown = escaped(text) or "''"
            raise UsageError(f"--truncation {shown}: the steps are 1 to {problem.steps}")
    if problem.loss is None:
        raise UsageError(f"--truncation: '{problem.name}' has no targets, so there is no loss")
    if not problem.cell.scaled:
        raise UsageError(f"--truncation: no parameter of {problem.cell.name} is recurrent")
    return tuple(map(int, texts))


def select_of_batch(
    result: BatchDerivation, quantities: Sequence[str], full: bool, refused: Mapping[str, object]
) -> Selection:
    """The same of a batch, which has totals alone; ``refused`` are options with their values that
    look at one sequence."""
    for option, value in refused.items():
        if value not in (None, [], ()):
            size = result.batch.size
            raise UsageError(
                f"{option} looks at one sequence, and '{result.batch.name}' is a batch of {size}: "
                f"--set sequence=k chooses it, k from 1 to {size}"
            )
    names = tuple(dict.fromkeys(quantities)) or tuple(result)
    records = [result.record(name) for name in names]
    huge = (record.name for record in records if record.size(result.batch.net) > HUGE)
    left_out = tuple(huge) if not quantities and not full else ()
    shown = tuple(name for name in names if name not in left_out)
    return Selection(shown, left_out, named=bool(quantities), full=full)


def select_of_bidirectional(
    result: BidirectionalDerivation,
    quantities: Sequence[str],
    full: bool,
    refused: Mapping[str, object],
) -> Selection:
    """The same of a bidirectional net; ``refused`` are options that look at one chain."""
    for option, value in refused.items():
        if value not in (None, [], ()):
            one_sequence(result.both, option)
    names = tuple(dict.fromkeys(quantities)) or tuple(result)
    records = [result.record(name) for name in names]
    huge = {record.name for record in records if record.size(result.problem) > HUGE}
    left_out = tuple(huge) if not quantities and not full else ()
    shown = tuple(record.name for record in records if record.name not in left_out)
    return Selection(shown, left_out, named=bool(quantities), full=full)


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
    return pairs <= HUGE and (problem.single_rnn or pairs * size_of_path_matrices(problem) <= SLOW)


def quick_paths(problem: Problem) -> bool:
    """Whether the path sums take no more than a second or two."""
    return problem.steps**2 * (size_of_path_matrices(problem) + 2_000) <= QUICK


def size_of_path_matrices(problem: Problem) -> int:
    """The sizes of the matrices that every path goes through, together."""
    return sum(
        layer.own[matrix.parameter].size
        for at, layer in enumerate(problem.layers)
        for matrix in problem.cell.step.matrices
        if at or matrix.source != X
    )


def _refuse_stepless(records: Sequence[Quantity], steps: int) -> None:
    for record in records:
        if record.first_step is None:
            raise UsageError(f"--step: '{record.name}' is one array for all {steps} steps")


def computed(
    result: Derivation, selection: Selection, *, every: bool, report: Report | None = None
) -> dict[str, Array]:
    """The arrays that the selection names, if ``every`` or if the user named them; else none, for
    each section of the tables computes what it shows. ``report`` as in ``Derivation.together``."""
    return result.together(selection.names if every or selection.named else (), report)
