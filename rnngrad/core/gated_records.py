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


class Back(NamedTuple):
    """A layer's backward walk: ∂L/∂h_t and ∂L/∂c_t as they come from step t + 1, (T+1, H), and
    ∂L/∂u_x, ∂L/∂u_h, (T, G·H)."""

    h: Array
    c: Array | None
    at_x: Array
    at_h: Array


SIGMOIDS: Mapping[str, list[bool]] = MappingProxyType(
    {"lstm": [True, True, False, True], "gru": [True, True, False]}
)
"""cell -> which gates are sigmoids."""


def safe(a: Array, cell: str) -> bool:
    """Whether e⁻ᵃ of every sigmoid is a float, and all else finite; ``a`` (T, G·H) as in traces."""
    low, high = a.min(axis=0, initial=0.0), a.max(axis=0, initial=0.0)
    gates = low.reshape(len(SIGMOIDS[cell]), -1)[SIGMOIDS[cell]]
    return bool(np.isfinite(low).all() and np.isfinite(high).all() and (gates > -LARGEST).all())


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
