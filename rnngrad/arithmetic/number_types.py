"""Two kinds of numbers for one linearised net: plain floats, and numbers beyond their range.

The linearised net is sums and products of diagonals and weights. Written once, it runs in either
kind: floats for back-propagation, ``arithmetic.scaled`` for chains of thousands of Jacobians.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from rnngrad.arithmetic.arrays import Array
from rnngrad.arithmetic.scaled import Bands, Scaled, scaled, times

Entries: TypeAlias = Any
"""An Array or a Scaled: ``*``, ``+`` and indexing are all that the equations need."""


class Arithmetic(NamedTuple):
    """``wide``: whether it goes beyond floats. ``matrix`` prepares W for ``multiply(rows, W)`` =
    rows · W, (n, ·); ``join`` puts parts side by side along the last axis; ``nothing(like, n)`` is
    0 in n columns beside the rows of another."""

    wide: bool
    matrix: Callable[[Array], Any]
    multiply: Callable[[Entries, Any], Entries]
    join: Callable[[Sequence[Entries]], Entries]
    nothing: Callable[[Entries, int], Entries]


def _float_join(parts: Sequence[Array]) -> Array:
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1)


def _scaled_join(parts: Sequence[Scaled]) -> Scaled:
    if len(parts) == 1:
        return parts[0]
    return Scaled(
        np.concatenate([part.mantissa for part in parts], axis=-1),
        np.concatenate([part.exponent for part in parts], axis=-1),
    )


def _no_floats(like: Array, size: int) -> Array:
    return np.zeros((*like.shape[:-1], size), like.dtype)


def _no_scaled(like: Scaled, size: int) -> Scaled:
    return scaled(np.zeros((*like.shape[:-1], size)))


FLOATS = Arithmetic(False, lambda W: W, np.dot, _float_join, _no_floats)

SCALED = Arithmetic(True, Bands, times, _scaled_join, _no_scaled)
