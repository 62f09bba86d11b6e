"""How numbers are written in tables: six significant digits, never cut."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rnngrad.arithmetic.arrays import Array, frobenius

GAP = "⋮"
"""Stands for rows or columns left out (and never U+2026)."""

EDGE = 6
"""Rows kept at either end of a long table."""

ROUNDING = 1e-12
"""A log10 of a norm, or a rate, that is smaller than this is shown as 0."""


def number(value: float) -> str:
    """0.0213, -1.5e-300, 12, nan, -inf; no minus before a zero."""
    return f"{value + 0.0:.6g}"


def apart(*values: float) -> list[str]:
    """Numbers to be told from each other: all their digits where six do not tell them."""
    short = [number(value) for value in values]
    if len(set(short)) == len(set(values)):
        return short
    return [repr(float(value)) for value in values]


def settled(log: float) -> float:
    """A logarithm of a size as tables show it: 0 where only rounding tells it from 0."""
    return 0.0 if abs(log) < ROUNDING else log


def decades(value: float) -> str:
    """A log10: four decimals, so that columns line up."""
    return f"{settled(value) + 0.0:.4f}" if np.isfinite(value) else number(value)


def from_log10(log10: float) -> str:
    """10^log10 to six digits, also where no float can hold it: 2.31e-4000."""
    if not np.isfinite(log10) or -290 < log10 < 290:
        return number(float(10.0**log10))
    power = int(np.floor(log10))
    return f"{10.0 ** (log10 - power):.4g}e{power:+d}"


def percent(share: float) -> str:
    """A share as percent with two decimals, tiny ones in powers of ten; nothing for a nan."""
    shown = 100.0 * share
    if np.isnan(shown):
        return ""
    if not np.isfinite(shown) or shown == 0 or abs(shown) >= 0.005:
        return f"{shown + 0.0:.2f} %"
    return f"{shown:.0e} %"


def vector(values: Array) -> str:
    """A short array written out, a longer one by its Frobenius norm."""
    if values.size == 1:
        return number(float(values.ravel()[0]))
    if values.ndim == 1 and values.size <= 3:
        return f"[{', '.join(number(float(v)) for v in values)}]"
    return f"norm {number(frobenius(values))}"


def length(row: Array) -> str:
    """A row as in a table with one cell for it: the number itself, or the row's norm."""
    return number(float(row[0]) if len(row) == 1 else frobenius(row))


def kept(count: int, full: bool, edge: int = EDGE) -> list[int | None]:
    """Which of ``count`` rows to show: all, or both ends with None for the gap between."""
    if full or count <= 4 * edge:
        return list(range(count))
    return [*range(edge), None, *range(count - edge, count)]


def kept_across(count: int, full: bool) -> list[int | None]:
    """Which of ``count`` columns to show: five of the widest numbers fit 80 characters."""
    if full or count <= 5:
        return list(range(count))
    return [0, 1, None, count - 2, count - 1]


def grouped(count: int) -> str:
    """12,345"""
    return f"{count:,}"


def times(shape: Sequence[int]) -> str:
    """100,000 × 64 × 64"""
    return " × ".join(map(grouped, shape)) if shape else "1"
