"""What the walks of gru and lstm share: where they begin, what they leave, and when they may go."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from rnngrad.arithmetic.arrays import Array

LARGEST = 700.0
"""e to it is a float, and so is a sum of two."""

FEWEST = 400
"""Steps below which chunks are not worth the trial."""

BLOCK = 2**13
"""Steps whose sources or diagonals are laid out together: memory has no further term in T."""

IN_CACHE = 2**13
"""Numbers of h taken together where several functions follow one another."""


class Start(NamedTuple):
    """Where a layer begins: h_0 (H,), c_0 (H,) or None."""

    h: Array
    c: Array | None


SIGMOIDS: Mapping[str, list[bool]] = MappingProxyType(
    {"lstm": [True, True, False, True], "gru": [True, True, False]}
)
"""cell -> which gates are sigmoids."""

KEYS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"lstm": ("a.i", "a.f", "a.g", "a.o"), "gru": ("a.r", "a.z", "a.n")}
)
"""cell -> what its gates' pre-activations are called in a trace."""


def by_gate(a: Array, cell: str) -> dict[str, Array]:
    """(T, G·H) -> a view for each gate."""
    keys = KEYS[cell]
    size = a.shape[1] // len(keys)
    return {key: a[:, i * size : (i + 1) * size] for i, key in enumerate(keys)}


def safe(values: Mapping[str, Array], last: int, cell: str) -> bool:
    """Whether e⁻ᵃ of every sigmoid is a float, and all else finite, in the first ``last`` steps."""
    for a, is_sigmoid in zip(values.values(), SIGMOIDS[cell], strict=False):
        low, high = a[:last].min(initial=0.0), a[:last].max(initial=0.0)
        if not (np.isfinite(low) and np.isfinite(high)) or (is_sigmoid and low <= -LARGEST):
            return False
    return True


def signs(cell: str, hidden: int) -> Array:
    """−1 for the rows of every sigmoid, so that e⁻ᵃ is one call; (G·H,)"""
    return np.repeat(np.where(SIGMOIDS[cell], -1.0, 1.0), hidden)


def blocks(steps: int, rows: int) -> Iterator[slice]:
    """So many rows at a time."""
    return (slice(first, min(first + rows, steps)) for first in range(0, steps, max(rows, 1)))


def backwards(end: int, *arrays: Array) -> Iterator[tuple[Array, ...]]:
    """The rows of step ``end``, ``end`` − 1 … 1 of every array, side by side."""
    if not end:
        return iter(())
    return zip(*(array[end - 1 :: -1] for array in arrays), strict=False)


def values_and_slopes(a: Array, cell: str) -> tuple[Array, Array]:
    """(n, G, H) each: σ(a) and σ'(a) = e⁻ᵃ σ² of the sigmoids; for g of lstm and n of gru only the
    slope, as σ'(2|a|) = tanh'(a)/4. All gates of ``a`` (n, G, H) go through in one call."""
    e = np.negative(a)
    other = SIGMOIDS[cell].index(False)
    inner = e[:, other]
    np.abs(inner, inner)
    np.multiply(inner, -2.0, inner)
    np.exp(e, e)
    value = e + 1.0
    np.reciprocal(value, value)
    np.multiply(e, value, e)
    np.multiply(e, value, e)
    return value, e
