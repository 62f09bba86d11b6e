"""The array types, and the one floating-point policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


def frozen(values: npt.ArrayLike) -> Array:
    """A read-only float64 array; a copy, unless ``values`` is one already."""
    array = np.asarray(values, dtype=np.float64)
    if array.flags.writeable:
        array = array.copy() if array is values or array.base is not None else array
        array.flags.writeable = False
    return array


def frobenius(values: Array) -> float:
    """√Σ v², scaled by the largest first: the squares of 1e-200 and 1e200 are no floats."""
    with quietly():
        largest = float(np.max(np.abs(values), initial=0.0))
        if largest == 0.0 or not np.isfinite(largest):
            return largest
        return largest * float(np.sqrt(np.sum((values / largest) ** 2)))


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
