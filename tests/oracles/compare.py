"""Two sets of quantities compared relatively, row by row.

A row is compared with its own largest entry, so that a vanishing row counts like any other; a row
of exact zeros must be exactly zero. Only below `TINY`, where float64's own underflow takes the
digits, a row has to be no larger than that and no more. The ``log10_`` quantities are compared
absolutely, and their infinities and NaN must stand in the same places.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

RTOL = 1e-10
LOG10_ATOL = 1e-8
TINY = 1e-290


class Row(NamedTuple):
    """One row that disagrees; ``row`` is None where the whole array is wrong in shape."""

    name: str
    row: int | None
    error: float


def as_rows(name: str, array: np.ndarray) -> np.ndarray:
    """Rows of the comparison: a step's, a unit's within a step, or a weight matrix's.

    A vector over steps (``losses``, ``log10_chain``) counts entry by entry, a bias as a whole.
    """
    if array.ndim == 1:
        return array.reshape(-1, 1) if name in ("losses", "log10_chain") else array.reshape(1, -1)
    return array.reshape(-1, array.shape[-1])


def row_errors(name: str, got: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """max |got − expected| / max |expected| of each row (absolute for ``log10_``); inf where
    that has no meaning."""
    got, expected = as_rows(name, got), as_rows(name, expected)
    gap = _gap(got, expected)
    if name.startswith("log10_"):
        return gap
    size = np.max(np.abs(expected), axis=1, initial=0.0)
    underflows = (size > 0) & (size < TINY) & (np.max(np.abs(got), axis=1, initial=0.0) < TINY)
    with np.errstate(all="ignore"):
        relative = np.where((gap == 0) | underflows, 0.0, gap / size)
    return np.where(np.isnan(relative), np.inf, relative)


def _gap(got: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """max |got − expected| of each row; equal infinities and NaN in the same place are no gap."""
    same = (got == expected) | (np.isnan(got) & np.isnan(expected))
    with np.errstate(all="ignore"):
        difference = np.where(same, 0.0, np.abs(got - expected))
    return np.max(np.where(np.isnan(difference), np.inf, difference), axis=1, initial=0.0)


def wrong_rows(
    got: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray], rtol: float = RTOL
) -> list[Row]:
    """Every row of ``expected`` that ``got`` does not reproduce; empty when all agree."""
    wrong = []
    for name, reference in expected.items():
        value = np.asarray(got[name])
        if value.shape != reference.shape:
            wrong.append(Row(name, None, np.inf))
            continue
        errors = row_errors(name, value, reference)
        limit = LOG10_ATOL if name.startswith("log10_") else rtol
        wrong += [Row(name, int(r), float(errors[r])) for r in np.flatnonzero(errors > limit)]
    return wrong


def small_rows(expected: Mapping[str, np.ndarray], floor: float) -> set[tuple[str, int]]:
    """The rows whose largest entry is below ``floor``, but not zero."""
    sizes = {n: np.max(np.abs(as_rows(n, v)), axis=1, initial=0.0) for n, v in expected.items()}
    return {
        (name, int(row))
        for name, size in sizes.items()
        for row in np.flatnonzero((size > 0) & (size < floor))
    }


def count_rows(expected: Mapping[str, np.ndarray]) -> int:
    """How many rows there are to compare."""
    return sum(len(as_rows(name, value)) for name, value in expected.items())
