"""Each ∂L_t/∂h_k and each ∂L_t/∂a_k on its own, relative to itself, however small it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from rnngrad.analyses.checking.checker import Checker
from rnngrad.analyses.checking.seeds import Probes
from rnngrad.analyses.checking.tolerance import Compared
from rnngrad.analyses.checking.verdicts import Checked
from rnngrad.analyses.quantities import Passes
from rnngrad.core.arrays import Array, Integers
from rnngrad.core.jacobians import PulledBack, pulled_back
from rnngrad.core.problem import Problem
from rnngrad.core.scaled import Scaled

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
    checker: Checker, name: str, probes: Probes, value: Scaled, error: Array
) -> Checked:
    """``name`` is dLt_dhk or dLt_dak; ``value`` and ``error``, (R, m, T), what the probes saw."""
    blocks = list(_blocks(checker, name, probes, value, error))
    widths = [(block.k, int(t)) for block in blocks for t in block.steps]
    entry = [block.entry for block in blocks for _ in block.steps]

    def place(row: int, column: int) -> tuple[int, ...]:
        k, t = widths[row]
        index = int(entry[row][column])
        start = (t - 1, k) if name == "dLt_dhk" else (t - 1, k - 1)
        return start if index < 0 else (*start, index)

    compared = Compared(
        name, checker.plan.title(per_step=True),
        _stack([block.got for block in blocks], probes),
        _stack([block.expected for block in blocks], probes),
        _stack([block.error for block in blocks], probes),
        np.concatenate([np.empty(0), *(block.size for block in blocks)]), place,
        axes=3,
    )  # fmt: skip
    measurable = checker.setting.problem.steps**2 * checker.setting.problem.hidden <= LARGEST
    chosen = frozenset(int(k) for k in probes.rows)

    def own_rows(problem: Problem) -> Array:
        return _directions_of_rows(name, problem, chosen)

    rows = own_rows if measurable else None
    return checker.judged(compared, rows)


def _stack(parts: list[Array], probes: Probes) -> Array:
    return np.concatenate([np.empty((0, probes.entry.shape[1])), *parts])


def _blocks(
    checker: Checker, name: str, probes: Probes, value: Scaled, error: Array
) -> Iterator[_Block]:
    assert checker.paths is not None
    where = {int(k): row for row, k in enumerate(probes.rows)}
    for reached in checker.paths():
        rows = _rows(reached, name)
        if rows is None or reached.k not in where or not len(reached.steps):
            continue
        row = where[reached.k]
        seen = value[row][:, reached.steps - 1]
        yield _block(checker, reached, rows, seen, error[row][:, reached.steps - 1], probes, row)


def _block(
    checker: Checker, reached: PulledBack, rows: Scaled, seen: Scaled, error: Array,
    probes: Probes, row: int,
) -> _Block:  # fmt: skip
    top = np.maximum(rows.exponent.max(axis=1), seen.exponent.max(axis=0))
    mine, expected = _lowered(rows, top[:, np.newaxis]), _lowered(seen, top).T
    direction, entry = probes.direction[row], probes.entry[row]
    claimed = np.where(entry >= 0, mine[:, np.maximum(entry, 0)], mine @ direction.T)
    size = np.max(np.abs(expected), axis=1, initial=0.0)
    if not checker.plan.every:
        size = np.maximum(np.max(np.abs(mine), axis=1), size / mine.shape[1])
    slack = np.ldexp(error.T, np.clip(-top, -2000, 2000).astype(np.intc)[:, np.newaxis])
    slack = np.where(error.T == 0, 0.0, slack)
    unseen = checker.faint[reached.steps - 1, np.newaxis]
    apart = np.abs(claimed - expected) > checker.rtol * size[:, np.newaxis]
    slack = np.where(unseen, np.where(apart, np.nan, 0.0), slack)
    return _Block(reached.k, reached.steps, claimed, expected, slack, size, entry)


def _rows(reached: PulledBack, name: str) -> Scaled | None:
    """∂L_t/∂h_k, or ∂L_t/∂a_k, which k = 0 has not."""
    if name == "dLt_dhk":
        return reached.at_s
    return None if reached.gates is None else reached.gates[0].x


def _lowered(entries: Scaled, top: Integers) -> Array:
    by = np.clip(entries.exponent - top, -2000, 0).astype(np.intc)
    lowered: Array = np.ldexp(entries.mantissa, by)
    return lowered


def _directions_of_rows(name: str, problem: Problem, chosen: frozenset[int]) -> Array:
    """Every row as a unit vector: how far rounding turns it (its length is in log10_paths)."""
    passes = Passes(problem)
    parts = [np.empty((0, problem.hidden))]
    for reached in pulled_back(problem, passes.forward, passes.direct):
        rows = _rows(reached, name)
        if rows is not None and reached.k in chosen and len(reached.steps):
            values, _ = rows.aligned(axis=1)
            parts.append(values / np.linalg.norm(values, axis=1, keepdims=True))
    return np.nan_to_num(np.concatenate(parts))
