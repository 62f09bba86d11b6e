"""Whether what a mistake makes is a given array, and how much that proves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from rnngrad.analyses.checking.comparing.comparing import compare, relative_tolerance, scales
from rnngrad.analyses.checking.diagnosing.fitting import Case, digits
from rnngrad.analyses.mistakes.passes import Apart, Made
from rnngrad.analyses.mistakes.words import Found
from rnngrad.arithmetic.arrays import Array, Integers
from rnngrad.net.given_arrays import Mask

ENTRIES = 48
"""Numbers of an array that are looked at first."""
GOLDEN = 0.6180339887498949
"""Its multiples fall apart evenly between 0 and 1, in step with no row (Weyl)."""
MARGIN = 5.0
"""Decimal digits of evidence beyond those that the number of trials uses up."""


class Explained(NamedTuple):
    """One or two mistakes that together make an array, and what is left then; ``digits`` are those
    that agree, ``trials`` how many there were."""

    found: tuple[Found, ...]
    error: float
    digits: float
    trials: float

    @property
    def proven(self) -> bool:
        """Whether chance would not have met it."""
        return bool(self.digits >= np.log10(max(self.trials, 1.0)) + MARGIN)

    @property
    def key(self) -> tuple[object, ...]:
        """What makes it another one."""
        return tuple(sorted((one.key for one in self.found), key=repr))

    @property
    def rank(self) -> tuple[int, int]:
        """The smaller the more specific."""
        return len(self.found), sum(one.rank for one in self.found)


def best(found: Iterable[Explained]) -> list[Explained]:
    """The most specific, each mistake once."""
    kept: dict[object, Explained] = {}
    for one in found:
        if one.key not in kept or one.error < kept[one.key].error:
            kept[one.key] = one
    if not kept:
        return []
    first = min(one.rank for one in kept.values())
    return [one for one in kept.values() if one.rank == first]


def common(sums: Mapping[str, list[Explained]]) -> dict[str, list[Explained]]:
    """The mistake of a sum that explains every array, where there is one."""
    if not sums or not all(sums.values()):
        return {}
    keys = [{one.key for one in found} for found in sums.values()]
    shared = set.intersection(*keys)
    digits = Counter[object]()
    for found in sums.values():
        digits.update({one.key: one.digits for one in found})
    return (
        {
            name: best(one._replace(digits=digits[one.key]) for one in found
                       if one.key in shared)
            for name, found in sums.items()
        }
        if shared
        else {}
    )  # fmt: skip


def most_shared(sums: Mapping[str, list[Explained]]) -> dict[str, list[Explained]]:
    """Of equals, what explains the most arrays."""
    count = Counter(one.key for found in sums.values() for one in found)
    most = {name: max((count[one.key] for one in found), default=0) for name, found in sums.items()}
    return {
        name: [one for one in found if count[one.key] == most[name]]
        for name, found in sums.items()
    }  # fmt: skip


# ---------------------------------------------------------------------------- arrays


class Some(NamedTuple):
    """Some entries of a given array: which, what was given there, and how far an array that
    ``agrees`` may be off at most."""

    entries: Integers
    got: Array
    tolerance: Array

    def may_agree(self, made: Array) -> Mask:
        """Which of K arrays, of which these entries are (K, m), may be the given one, (K,)."""
        return np.asarray((np.abs(made - self.got) <= self.tolerance).all(axis=1))


def some_of(case: Case) -> Some:
    """Entries of all parts of an array, and those that are the most wrong."""
    got, size = case.got.values, case.got.values.size
    entries = np.arange(size)
    if size > 2 * ENTRIES:
        off = np.abs(got - case.right).reshape(-1)
        chosen = (size * (np.arange(ENTRIES) * GOLDEN % 1.0)).astype(np.int64)
        entries = np.unique(np.concatenate([chosen, np.argsort(off)[-ENTRIES:]]))
    axes = tuple(range(1, got.ndim)) if case.record.first_step is not None and got.ndim else None
    scale = np.broadcast_to(np.abs(got).max(axis=axes, keepdims=True, initial=0.0), got.shape)
    tolerance = 2.0 * relative_tolerance(case.got, case.rtol) * scale + 1e-299
    if case.got.half_unit is not None:
        tolerance = np.maximum(tolerance, 1.01 * case.got.half_unit)
    if case.noise is not None and case.loudness >= 1.0:
        tolerance = np.maximum(tolerance, 2.0 * case.noise * scale)
    return Some(entries, got.reshape(-1)[entries], tolerance.reshape(-1)[entries])


def agrees(case: Case, made: Array) -> tuple[float, float] | None:
    """What is left and the digits that agree, where it is the given array to its tolerance."""
    if made.shape != case.got.values.shape or not np.isfinite(made).all():
        return None
    noise = None
    if case.noise is not None and case.loudness >= 1.0:
        noise = case.noise * scales(made, case.record)
    compared = compare(case.got, made, case.record, case.rtol, noise)
    if not compared.fits:
        return None
    return compared.largest_error, digits(case, made)


def array_of_pass(apart: Apart, case: Case, made: Made) -> Array:
    """The array as each pass makes it, (K, …)."""
    found = apart.read(case.name, made)
    assert found is not None
    if made.came is None or case.record.first_step != 0:
        return found
    return _as_kept(apart, case, found, made)


def _as_kept(apart: Apart, case: Case, after: Array, made: Made) -> Array:
    """∂L/∂h_t was kept after something was done with what came back, or before: of each pass
    the nearest, (K, T+1, n). Nothing is done with what comes back to s_0 in most loops."""
    assert made.came is not None
    came = apart.read(case.name, made._replace(dL_ds=made.came))
    assert came is not None
    at_last = np.concatenate([came[:, :1], after[:, 1:]], axis=1)
    ways = np.stack([after, at_last, came])
    gaps = np.abs(ways - case.got.values).max(axis=(2, 3))
    return np.asarray(ways[gaps.argmin(axis=0), np.arange(len(after))])
