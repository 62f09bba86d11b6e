"""Rows whose entries are near each other: plain floats with one exponent a row.

What every product of a step loses against entries at exponents of their own (``arithmetic.scaled``)
is nothing, as long as the entries of a row that are not exactly 0 stay within 2⁻⁶⁰⁰ of its largest,
which is looked at after each step; and it takes a tenth of the time.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rnngrad.arithmetic.arrays import Array, Integers
from rnngrad.arithmetic.scaled import LOG10_2, Scaled, normal
from rnngrad.chains.blocks import NARROW

FAR = 1000
"""Powers of 2 that are floats themselves, and their inverses as well."""


class FloatRows(NamedTuple):
    """Rows in plain floats, (n, S), with an exponent each, (n,): their largest entry is near 1."""

    values: Array
    exponents: Integers

    @property
    def exact(self) -> Scaled:
        """The same with an exponent for every entry."""
        return raised(self.values, self.exponents)

    def log10_lengths(self) -> Array:
        """log10 ‖row‖₂, (n,)."""
        lengths: Array = np.log10(np.linalg.norm(self.values, axis=1)) + self.exponents * LOG10_2
        return lengths

    def moved(self, values: Array) -> FloatRows | None:
        """Other rows in their place; None where an entry comes near the ends of floats."""
        sizes = np.abs(values)
        largest, least = sizes.max(axis=1), sizes.min(axis=1)
        if not (least > NARROW * largest).all():  # an exact 0 does no harm
            least = np.min(sizes, axis=1, where=sizes > 0, initial=np.inf)
        if not ((largest > 0) & (largest < np.inf) & (least > NARROW * largest)).all():
            return None
        shift = np.frexp(largest)[1]
        if np.abs(shift).max(initial=0) < FAR:  # a product is faster than ldexp
            values = values * np.ldexp(1.0, -shift)[:, np.newaxis]
        else:
            values = np.ldexp(values, -shift[:, np.newaxis])
        return FloatRows(values, self.exponents + shift)

    def added(self, row: Scaled) -> FloatRows:
        """And one row more, (S,)."""
        values, exponent = row[np.newaxis].aligned(axis=1)
        return FloatRows(
            np.concatenate([self.values, values]), np.concatenate([self.exponents, exponent])
        )


def raised(values: Array, exponents: Integers) -> Scaled:
    return normal(values, np.broadcast_to(exponents[:, np.newaxis], values.shape))
