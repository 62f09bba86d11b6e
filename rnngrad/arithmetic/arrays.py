"""The array types, and the one floating-point policy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float64]
"""Real numbers; every public array is one."""

Integers: TypeAlias = npt.NDArray[np.int64]
"""Step numbers and exponents."""

Numbers: TypeAlias = npt.NDArray[Any]
"""Real or complex: the forward pass takes either, for the complex step's sake."""


def quietly() -> np.errstate:
    """The floating-point policy of forward, backward and everything built on them.

    Overflow and underflow are what rnngrad measures, so they are data in the arrays (inf, nan, 0),
    never warnings on the screen.
    """
    return np.errstate(all="ignore")


KEPT = 2**22 - 2**12
"""Numbers, just below 32 MiB."""


@cache
def keep_freed_memory() -> None:
    """Once a process: when an array of this size has been freed, glibc's malloc takes all up to it
    from its heap, and gives that back from twice as much on. Without it every pass takes its memory
    anew, page by page, which is a fifth to a third of its time."""
    np.empty(KEPT)  # never touched


def frozen(values: npt.ArrayLike) -> Array:
    """A read-only float64 array; a copy, unless ``values`` is one already."""
    array = np.asarray(values, dtype=np.float64)
    if array.flags.writeable:
        array = array.copy() if array is values or array.base is not None else array
        array.flags.writeable = False
    return array


def finite_or_none(value: float | np.floating[Any] | None) -> float | None:
    """The number, or None where JSON has none for it."""
    return None if value is None or not math.isfinite(value) else float(value)


def frobenius(values: Array) -> float:
    """√Σ v², scaled by the largest first: the squares of 1e-200 and 1e200 are no floats."""
    with quietly():
        largest = float(np.maximum.reduce(np.abs(values), axis=None, initial=0.0))
        if largest == 0.0 or not math.isfinite(largest):
            return largest
        return largest * math.sqrt(np.add.reduce((values / largest) ** 2, axis=None))


def norm_of(arrays: Mapping[str, Array]) -> float:
    """That of several arrays taken together as one."""
    return frobenius(np.array([frobenius(one) for one in arrays.values()]))


def weighted(weights: Array, rows: Numbers) -> Numbers:
    """Row t times weights[t], (T, …); a weight of 0 wins over an infinite row."""
    if rows.ndim > 1:
        weights = column(weights)
    product: Numbers = weights * rows
    return product if np.count_nonzero(weights) == weights.size else np.where(weights, product, 0.0)


def column(values: Numbers) -> Numbers:
    """shape (n,) -> (n, 1)"""
    return values[:, np.newaxis]


def side_by_side(parts: Sequence[Numbers]) -> Numbers:
    """Columns after one another; a single part is that part itself, no copy."""
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
