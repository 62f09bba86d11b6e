"""When two arrays agree: relative to a step's own row, and never beyond what can be known.

    pass           |got − expected| + error ≤ rtol · size
    fail           |got − expected| − error > rtol · size
    inconclusive   in between: the method, or rounding itself, cannot tell

``size`` is the largest entry of the row (of the whole quantity where it has no step axis);
``error`` is how far the reference itself may be off. The ``log10_`` quantities are compared
absolutely.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from rnngrad.analyses.checking.comparing.verdicts import Checked, Verdict
from rnngrad.arithmetic.arrays import Array, quietly

RTOL = 1e-9
"""What --rtol is by default, relative to the largest entry of a row; of grading too."""

LOG10_ATOL = 1e-8
WIDEST = 1e-4
"""Where rounding alone may move a row by more than this, nothing is called right or wrong."""

UNDERFLOW = 1e-312
"""What floats lose at their lower end, summed over a sequence."""

EPS = float(np.finfo(np.float64).eps)


class Compared(NamedTuple):
    """What is compared: (R, n) each; ``size`` (R,) is what errors are relative to.

    ``place(row, column)`` is the index of an entry in the quantity, shorter than ``axes`` where it
    is a direction of a row and not a single entry; ``resolution`` is the relative
    precision of the method, for the estimate of what rounding explains.
    """

    name: str
    method: str
    got: Array
    expected: Array
    error: Array
    size: Array
    place: Callable[[int, int], tuple[int, ...]]
    resolution: float = EPS
    axes: int = 0


NOT_FINITE = "the reference is not finite there, or beyond the range of floats"

Noise = Callable[[], Array]
"""The change of each row, (R,), that relative rounding of size 1 explains."""


def judged(compared: Compared, limit: float, noise: Noise | None) -> Checked:
    """The verdict on one quantity; ``noise`` is only asked for where something disagrees."""
    with quietly():
        gap = _gap(compared)
        relative = gap / compared.size[:, np.newaxis]
        relative = np.where(gap == 0, 0.0, np.where(np.isnan(relative), np.inf, relative))
        slack = compared.error / compared.size[:, np.newaxis]
        slack = np.where(compared.error == 0, 0.0, slack)
        known = np.isfinite(compared.expected) | _equal(compared.got, compared.expected)
        known = np.logical_and(known, ~np.isnan(slack))
        # a row that holds a nan has no largest entry to compare the others with
        known = known & ((gap == 0) | ~np.isnan(compared.size)[:, np.newaxis])
        fails = known & (relative - slack > limit)
        unsure = ~known | (~fails & (relative + slack > limit))
        excused = _excused(compared, fails, relative, noise)
        found = _verdict(compared, relative, slack, fails, unsure, excused, known, limit)
    widened = float(np.max(excused, initial=0.0)) if found.verdict is Verdict.PASS else 0.0
    return found._replace(limit=max(limit, widened))


def _equal(got: Array, expected: Array) -> Array:
    same: Array = (got == expected) | (np.isnan(got) & np.isnan(expected))
    return same


def _gap(compared: Compared) -> Array:
    """|got − expected|; 0 where it is nothing but underflow."""
    got, expected = compared.got, compared.expected
    gap = np.where(_equal(got, expected), 0.0, np.abs(got - expected))
    if compared.name.startswith("log10_"):
        return gap
    return np.where(gap <= UNDERFLOW, 0.0, gap)


def _excused(compared: Compared, fails: Array, relative: Array, noise: Noise | None) -> Array:
    """The noise, (R,), of rows whose disagreement it explains; 0 for the others."""
    rows = np.any(fails, axis=1)
    if noise is None or not rows.any():
        return np.zeros(len(fails))
    level = noise() * compared.resolution / compared.size
    level = np.nan_to_num(level, nan=0.0, posinf=np.inf)
    worst = np.max(np.where(fails, relative, 0.0), axis=1)
    excused: Array = np.where(rows & (worst <= level), level, 0.0)
    return excused


def _verdict(
    compared: Compared, relative: Array, slack: Array, fails: Array, unsure: Array,
    excused: Array, known: Array, limit: float,
) -> Checked:  # fmt: skip
    wrong = fails & (excused == 0)[:, np.newaxis]
    if wrong.any():
        return _checked(compared, Verdict.FAIL, relative, wrong, "")
    unknown = np.logical_not(known)
    if unknown.any():
        return _checked(compared, Verdict.INCONCLUSIVE, relative, unknown, NOT_FINITE)
    if unsure.any():
        worst = float(np.max(np.where(unsure, slack, 0.0)))
        return _checked(compared, Verdict.INCONCLUSIVE, relative, unsure, _floor(worst, limit))
    level = float(np.max(excused, initial=0.0))
    if level > WIDEST:
        share = f"may change a row by {level:.0e} of itself"
        reason = f"rounding alone {share if np.isfinite(level) else 'may be all that a row holds'}"
        reason = f"{reason}: it cannot be decided"
        return _checked(compared, Verdict.INCONCLUSIVE, relative, fails, reason)
    reason = f"tolerance widened to {level:.0e}, as far as the net amplifies rounding"
    return _checked(compared, Verdict.PASS, relative, known, reason if level else "")


def _floor(worst: float, limit: float) -> str:
    seen = f"less than {worst:.0e} of a row" if np.isfinite(worst) else "a row as small as this"
    return (
        f"the method does not see {seen}, and {limit:.0e} is asked for: its noise floor; "
        "--method complex-step has none"
    )


def _checked(
    compared: Compared, verdict: Verdict, relative: Array, among: Array, reason: str
) -> Checked:
    """The worst entry among those; by direction an entry is known only where it was one alone."""
    if not among.size:
        return Checked(compared.name, verdict, compared.method, 0.0)
    row, column = np.unravel_index(np.argmax(np.where(among, relative, -1.0)), relative.shape)
    values = float(compared.expected[row, column]), float(compared.got[row, column])
    error = float(relative[row, column])
    place = tuple(int(i) for i in compared.place(int(row), int(column))) or None
    single = place is not None and len(place) >= compared.axes
    if not among.any():
        error, values = 0.0, (float("nan"), float("nan"))
    if verdict is Verdict.PASS and error == 0.0:
        return Checked(compared.name, verdict, compared.method, 0.0, reason=reason)
    expected, got = values if single else (None, None)
    return Checked(
        compared.name, verdict, compared.method, error, place, expected, got, reason=reason
    )
