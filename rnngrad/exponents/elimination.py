"""Nested volumes of tangents whose entries are of any size, by elimination.

Tangents v_1 … v_k span nested spaces; what QR calls |R[j, j]| is how much v_j adds to the volume of
those before it. Here a space is kept as the rows of an echelon: v_j has a pivot, its largest entry,
made 1, and 0 where those before it have theirs. So ΠR = Πpivots · Πdiag R of the echelon, and that
last R is well conditioned at any exponent: it is wanted only where the volumes are asked for.

Why not an orthogonal Q: an entry of 2⁻²⁸⁰⁰ beside a 1 may be all that is left of a tangent a step
later, when the unit of the 1 dies. Elimination keeps every entry to rounding at an exponent of its
own, and zeros stay zeros, as long as nothing cancels in v_j − m v_i.

Error: an entry is right to rounding relative to the terms that were subtracted. Where those cancel
beyond 2⁻⁵³ and the entry comes to count, it is wrong by any factor, which
``exponents.scaled_tangents`` finds out. Source: treppeniteration is Bauer, *Das Verfahren der
Treppeniteration* (1957).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rnngrad.arithmetic.arrays import Array, Integers, Numbers
from rnngrad.arithmetic.scaled import LN_2, ZERO, Scaled, normal, scaled

PLAIN = 200
"""Bits from 1 within which entries are eliminated as plain floats."""


class Echelon(NamedTuple):
    """The echelon (living, S), ln |pivot| of each of its rows, and which rows those were."""

    rows: Scaled
    logs: Array
    alive: Integers


def echelon(rows: Scaled, noise: Scaled | None = None, moved: Array | None = None) -> Echelon:
    """The echelon of rows (k, S), in their order; one that has nothing left is dropped.

    ``noise`` (k, S): how large an entry may be and still be nothing. ``moved`` (k, 2S): factors
    near 1 by which entries are multiplied after every subtraction, other ones each time: two rows
    that hold little besides multiples of a third are parallel to the last bit without.
    """
    if (plain := _plain(rows, noise, moved)) is not None:
        return plain
    left = _Left(rows, noise, moved)
    logs, alive = np.full(len(rows), -np.inf), []
    for j in range(len(rows)):
        pivot = left.pivot(j)
        if pivot is not None:
            alive.append(j)
            logs[j] = left.eliminate(j, pivot)
    kept = np.array(alive, dtype=np.int64)
    return Echelon(left[kept], logs[kept], kept)


class _Left:
    """What is left of the rows, and how much of it may be nothing."""

    def __init__(self, rows: Scaled, noise: Scaled | None, moved: Array | None) -> None:
        self.mantissa, self.exponent = rows.mantissa.copy(), rows.exponent.copy()
        self.noise, self.moved = noise, moved

    def __getitem__(self, at: int | slice | Integers) -> Scaled:
        return Scaled(self.mantissa[at], self.exponent[at])

    def __setitem__(self, at: int | slice, rows: Scaled) -> None:
        self.mantissa[at], self.exponent[at] = rows.mantissa, rows.exponent

    def pivot(self, j: int) -> int | None:
        """Where the largest entry of row j is; None where there is none."""
        mantissa, exponent = self.mantissa[j], self.exponent[j]
        if self.noise is not None:
            silent = _log2(self[j]) <= _log2(self.noise[j])
            mantissa[silent], exponent[silent] = 0.0, ZERO
        if not mantissa.any():
            return None
        return int(np.where(exponent == exponent.max(), np.abs(mantissa), 0.0).argmax())

    def eliminate(self, j: int, pivot: int) -> float:
        """Bring row j to 1 at its pivot and the later rows to 0 there; ln |pivot|."""
        size, top = float(self.mantissa[j, pivot]), int(self.exponent[j, pivot])
        self[j] = row = normal(self.mantissa[j] / size, self.exponent[j] - top)
        later = slice(j + 1, None)
        factors = self[later][:, pivot, None]
        rest = self[later] + -factors * row
        if self.moved is not None:
            rest = normal(rest.mantissa * after(self.moved, j), rest.exponent)
        self[later] = rest
        self.mantissa[later, pivot], self.exponent[later, pivot] = 0.0, ZERO
        if self.noise is not None:
            spread = normal(self.noise.mantissa[j] / abs(size), self.noise.exponent[j] - top)
            more = self.noise[later] + abs(factors) * spread
            self.noise = Scaled(
                np.concatenate([self.noise.mantissa[: j + 1], more.mantissa]),
                np.concatenate([self.noise.exponent[: j + 1], more.exponent]),
            )
        return float(np.log(abs(size))) + top * LN_2


def _log2(values: Scaled) -> Array:
    log2: Array = np.log2(np.abs(values.mantissa)) + values.exponent
    return log2


def volumes(echelon: Array) -> Array:
    """ln |R[j, j]| of the rows as columns, in plain floats."""
    R = np.linalg.qr(echelon.T, mode="r")
    logs: Array = np.log(np.abs(np.diagonal(R)))
    return logs


def pseudo_random(count: int, call: int) -> Array:
    """So many numbers in [−1, 1), the same at every run, others at every call.

    They must not be linear in their place: minors would not move.
    """
    random_numbers = 43758.5453 * np.sin(12.9898 * np.arange(1.0, count + 1.0) + 78.233 * call)
    scattered: Array = 2.0 * (random_numbers - np.floor(random_numbers)) - 1.0
    return scattered


def after(moved: Numbers, j: int) -> Numbers:
    """The factors for the rows behind row j, once it has been taken out of them."""
    size = moved.shape[1] // 2
    return moved[j + 1 :, j % size : j % size + size]


def _plain(rows: Scaled, noise: Scaled | None, moved: Array | None) -> Echelon | None:
    """The same in plain floats; None where one would underflow."""
    tops = rows.exponent.max(axis=1)
    depth = np.where(rows.mantissa == 0, 0, tops[:, None] - rows.exponent)
    if depth.max(initial=0) > PLAIN or tops.min(initial=0) <= ZERO:
        return None
    values = np.ldexp(rows.mantissa, -depth.astype(np.intc))
    silent = None if noise is None else _floats(noise, tops)
    sizes, alive = np.empty(len(values)), []
    try:
        with np.errstate(under="raise"):
            for j, row in enumerate(values):
                if silent is not None:
                    row[np.abs(row) <= silent[j]] = 0.0
                pivot = int(np.abs(row).argmax())
                sizes[j] = size = abs(row[pivot])
                if size == 0:
                    continue
                alive.append(j)
                row /= row[pivot]
                later = values[j + 1 :]
                factors = later[:, pivot].copy()
                later -= np.multiply.outer(factors, row)
                if moved is not None:
                    later *= after(moved, j)
                later[:, pivot] = 0.0
                if silent is not None:
                    silent[j + 1 :] += np.multiply.outer(np.abs(factors) / size, silent[j])
    except FloatingPointError:
        return None
    kept = np.array(alive, dtype=np.int64)
    if noise is None and len(kept) < len(values):
        return None
    return Echelon(scaled(values[kept]), np.log(sizes[kept]) + tops[kept] * LN_2, kept)


def _floats(noise: Scaled, tops: Integers) -> Array:
    """In units of 2^tops; what is far below that is nothing."""
    by = np.clip(noise.exponent - tops[:, None], -2000, 1000)
    floats: Array = np.where(by > -PLAIN - 100, np.ldexp(noise.mantissa, by.astype(np.intc)), 0.0)
    return floats
