"""What is graded, and the points for it: five a subtask, in halves.

    all right                                             5
    n paths, m of them not there once and right           5 (n − max(m, w)) / n, rounded down to a
                                                          half; w: summands that are no right path
    right but for a constant factor (a sign, a 2)         2.5
    right for scalars, the order wrong with vectors       2.5
    holds at one step alone where every t is asked        2.5
    the left-hand side is another derivative              2.5

A path tried and missed is one mistake, not two: hence the maximum, not the sum.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from rnngrad.arithmetic.arrays import Array

Answer: TypeAlias = "str | Sequence[Answer]"
"""A formula or a number as it was typed, or nested lists of numbers."""

OF = 5.0
HALF = 2.5


def for_paths(coefficients: Array, wrong: int) -> float:
    """The points of a sum of paths, given how often each is there and what else is."""
    n = len(coefficients)
    if n == 0:
        return 0.0
    if wrong == 0 and constant_factor(coefficients) is not None:
        return HALF
    missing = int(np.sum(coefficients != 1.0))
    right = max(n - max(missing, wrong), 0)
    return math.floor(2.0 * OF * right / n) / 2.0 if right < n else OF


def constant_factor(coefficients: Array) -> float | None:
    """c where the answer is c times the right one, c ≠ 0, 1; else None."""
    first = float(coefficients[0]) if len(coefficients) else 0.0
    same = bool(np.all(np.abs(coefficients - first) <= 1e-6 * abs(first)))
    return first if same and first not in (0.0, 1.0) else None
