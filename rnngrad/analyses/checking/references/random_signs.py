"""Signs that look random and are the same on every machine: SplitMix64 of a running number.

Directions of ±1 see an error in a single entry undiminished. They are no draw of the spec's, so
they leave its streams alone. Source: Steele, Lea, Flood, *Fast splittable pseudorandom number
generators*, OOPSLA (2014).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rnngrad.arithmetic.arrays import Array

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_FACTORS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_SHIFTS = (np.uint64(30), np.uint64(27), np.uint64(31))


def _mixed(count: int, stream: int) -> npt.NDArray[np.uint64]:
    """``count`` numbers of 64 mixed bits; streams do not overlap for any array that fits."""
    state = np.arange(1, count + 1, dtype=np.uint64) + np.uint64(stream << 40)
    with np.errstate(over="ignore"):
        state = state * _GAMMA
        for shift, factor in zip(_SHIFTS[:2], _FACTORS, strict=True):
            state = (state ^ (state >> shift)) * factor
    return state ^ (state >> _SHIFTS[2])


def signs(shape: tuple[int, ...], stream: int) -> Array:
    """An array of ±1."""
    bits = _mixed(int(np.prod(shape)), stream) >> np.uint64(63)
    return (2.0 * bits.astype(np.float64) - 1.0).reshape(shape)


def picked(count: int, size: int, stream: int) -> npt.NDArray[np.int64]:
    """``count`` numbers from 0 to size − 1; all of them, in order, where there are no more."""
    if size <= count:
        return np.arange(size)
    return np.unique((_mixed(count, stream) % np.uint64(size)).astype(np.int64))
