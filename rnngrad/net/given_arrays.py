"""Arrays as somebody gave them: the numbers, and how exactly they were given."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from rnngrad.arithmetic.arrays import Array, Integers

Mask: TypeAlias = npt.NDArray[np.bool_]

EXACT = 99
"""Significant digits of a number that is meant as it stands: an integer, a zero, a float64."""


class GivenArray(NamedTuple):
    """``values`` in float64, nan where a number was left out (``blank``: null in JSON).

    ``eps`` is the unit of rounding of the type that the file held. For numbers typed by hand
    ``half_unit`` is half a unit of the last digit given and ``digits`` counts the significant ones
    (0 and EXACT for what is exact); both are None elsewhere. ``by_program``: the same file holds
    numbers that nobody types, so that its short ones may well be exact.
    """

    values: Array
    eps: float = float(np.finfo(np.float64).eps)
    half_unit: Array | None = None
    digits: Integers | None = None
    blank: Mask | None = None
    by_program: bool = False

    @property
    def typed(self) -> bool:
        """Whether its numbers were typed, so that they are right to the digits given."""
        return self.half_unit is not None


def reshaped(array: GivenArray, shape: tuple[int, ...]) -> GivenArray:
    """The same numbers in another shape."""
    return array._replace(
        values=array.values.reshape(shape),
        half_unit=None if array.half_unit is None else array.half_unit.reshape(shape),
        digits=None if array.digits is None else array.digits.reshape(shape),
        blank=None if array.blank is None else array.blank.reshape(shape),
    )


def some(array: GivenArray, index: Any) -> GivenArray:
    """The same numbers at an index."""
    return array._replace(
        values=array.values[index],
        half_unit=None if array.half_unit is None else array.half_unit[index],
        digits=None if array.digits is None else array.digits[index],
        blank=None if array.blank is None else array.blank[index],
    )


def real(array: npt.ArrayLike) -> npt.NDArray[Any]:
    """An array of real numbers of any type, as it stands.

    Raises TypeError for anything else: complex numbers, text, objects, rows of unequal length.
    """
    found: npt.NDArray[Any] = np.asarray(array)
    if found.dtype.kind not in "fiub":
        kinds = {"c": "complex numbers", "O": "Python objects", "U": "text", "S": "text"}
        raise TypeError(kinds.get(found.dtype.kind, f"values of type {found.dtype}"))
    return found


def given(array: npt.ArrayLike) -> GivenArray:
    """``real``, in float64, and how exactly it was given."""
    found = real(array)
    floating = found.dtype.kind == "f" and found.dtype.itemsize < 8
    eps = float(np.finfo(found.dtype).eps) if floating else float(np.finfo(np.float64).eps)
    with np.errstate(all="ignore"):
        return GivenArray(found.astype(np.float64), eps)
