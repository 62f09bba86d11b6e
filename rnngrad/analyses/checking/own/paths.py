"""Each ∂L_t/∂s_k and each ∂L_t/∂a_k on its own, relative to itself, however small it is.

A row is compared layer by layer, h and c apart, and so is each side of the pre-activations: what
reaches h_k of an lstm may be nothing beside what reaches c_k.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rnngrad.analyses.checking.comparing.tolerance import Compared
from rnngrad.analyses.checking.comparing.verdicts import Checked, worst
from rnngrad.analyses.checking.own.checker import Checker
from rnngrad.analyses.checking.own.every_row import MISS, EveryRow, length_and_direction, stacked
from rnngrad.analyses.checking.references import perturbations
from rnngrad.analyses.checking.references.probes import Group
from rnngrad.analyses.derivation.quantities import Passes
from rnngrad.arithmetic.arrays import Array, Integers
from rnngrad.arithmetic.scaled import Scaled
from rnngrad.chains.jacobians import PulledBack, pulled_back

LARGEST = 2**22
"""Numbers that are held to measure how the paths amplify rounding."""


class _Block(NamedTuple):
    """The rows of one step k: got, expected and error, (n, m), brought to a common exponent."""

    k: int
    steps: Integers
    got: Array
    expected: Array
    error: Array
    size: Array
    entry: Integers


def check_paths(
    checker: Checker, name: str, groups: Sequence[Group], value: Scaled, error: Array
) -> Checked:
    """``name`` is dLt_dhk or dLt_dak; ``value`` and ``error``, (R, m, T), what the probes of all
    groups, one after the other, saw."""
    with checker.within("dLt_dhk"):
        blocks = _blocks(checker, groups, value, error)
    widths = [(block.k, int(t)) for block in blocks for t in block.steps]
    entry = [block.entry for block in blocks for _ in block.steps]

    def place(row: int, column: int) -> tuple[int, ...]:
        k, t = widths[row]
        index = int(entry[row][column])
        start = (t - 1, k) if name == "dLt_dhk" else (t - 1, k - 1)
        return start if index < 0 else (*start, index)

    compared = Compared(
        name, checker.plan.title(per_step=True),
        stacked([block.got for block in blocks]),
        stacked([block.expected for block in blocks]),
        stacked([block.error for block in blocks]),
        np.concatenate([np.empty(0), *(block.size for block in blocks)]), place,
        axes=3,
    )  # fmt: skip
    rows = (lambda passes: _directions_of_rows(passes, groups)) if _measurable(checker) else None
    found = checker.judged(compared, rows, 1.0)
    if checker.plan.every:
        return found
    if name == "dLt_dhk" and checker.every_row is not None:
        return _with_every_row(checker, checker.every_row, found)
    return found._replace(
        miss=max(perturbations.miss_probability(group.probes) for group in groups)
    )


def _with_every_row(checker: Checker, every_row: EveryRow, sampled: Checked) -> Checked:
    """The verdict on the rows that were sampled and that on all of them, as one."""
    title = f"{checker.plan.title(per_step=True)}; every row by {perturbations.OF_A_ROW}"
    rows = every_row.directions if _measurable(checker) else None
    found = checker.judged(every_row.compared(sampled.name, title), rows, 1.0)
    if worst((sampled.verdict, found.verdict)) is not found.verdict:
        found = sampled._replace(method=title)
    error = max(found.max_rel_error or 0.0, sampled.max_rel_error or 0.0)
    return found._replace(miss=MISS, max_rel_error=error)


def _measurable(checker: Checker) -> bool:
    problem = checker.setting.problem
    return problem.steps**2 * problem.state_size <= LARGEST


def _blocks(checker: Checker, groups: Sequence[Group], value: Scaled, error: Array) -> list[_Block]:
    """Group by group, from k = T to 0; all of them from one walk along the paths."""
    found: list[list[_Block]] = [[] for _ in groups]
    where = [{int(k): row for row, k in enumerate(group.probes.rows)} for group in groups]
    stops = np.cumsum([0, *(group.probes.entry.shape[1] for group in groups)])
    for reached in checker.paths_at():
        for number, group in enumerate(groups):
            row = where[number].get(reached.k)
            if row is None or not len(reached.steps):
                continue
            rows = group.rows(reached)
            if rows is not None:
                mine = slice(stops[number], stops[number + 1])
                seen = value[row, mine][:, reached.steps - 1]
                slack = error[row, mine][:, reached.steps - 1]
                found[number].append(_block(checker, reached, rows, seen, slack, group, row))
    return [block for blocks in found for block in blocks]


def _block(
    checker: Checker, reached: PulledBack, rows: Scaled, seen: Scaled, error: Array,
    group: Group, row: int,
) -> _Block:  # fmt: skip
    top = np.maximum(rows.exponent.max(axis=1), seen.exponent.max(axis=0))
    mine, expected = _lowered(rows, top[:, np.newaxis]), _lowered(seen, top).T
    direction, entry = group.probes.direction[row], group.probes.entry[row]
    claimed = np.where(entry >= 0, mine[:, np.maximum(entry, 0)], mine @ direction.T)
    size = np.max(np.abs(expected), axis=1, initial=0.0)
    if not checker.plan.every:
        size = np.maximum(np.max(np.abs(mine), axis=1), size / mine.shape[1])
    slack = np.ldexp(error.T, np.clip(-top, -2000, 2000).astype(np.intc)[:, np.newaxis])
    slack = np.where(error.T == 0, 0.0, slack)
    unseen = checker.unseen(reached.k, reached.steps)[:, np.newaxis]
    apart = np.abs(claimed - expected) > checker.rtol * size[:, np.newaxis]
    slack = np.where(unseen, np.where(apart, np.nan, 0.0), slack)
    index = np.where(entry < 0, -1, entry + group.columns.start)
    return _Block(reached.k, reached.steps, claimed, expected, slack, size, index)


def _lowered(entries: Scaled, top: Integers) -> Array:
    by = np.clip(entries.exponent - top, -2000, 0).astype(np.intc)
    lowered: Array = np.ldexp(entries.mantissa, by)
    return lowered


def _directions_of_rows(passes: Passes, groups: Sequence[Group]) -> Array:
    """Every row as a unit vector and the logarithm of its length: how far rounding turns it, and
    by how much of itself it stretches it."""
    problem, parts = passes.problem, []
    for group in groups:
        chosen = frozenset(int(k) for k in group.probes.rows)
        for reached in pulled_back(problem, passes.forward, passes.direct):
            rows = group.rows(reached)
            if rows is not None and reached.k in chosen and len(reached.steps):
                parts.append(length_and_direction(rows))
    return np.nan_to_num(stacked(parts))
