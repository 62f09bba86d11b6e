"""A recurrence of many steps as a few hundred matrix products: chunks of time advance together.

    s_j = φ_j(M z_{j−1}, s_{j−1}),   j = 0 … n−1,   z the columns of s that M takes, s_{−1} given

The n steps are cut into K chunks of L steps, each started from 0 (the first from its own s): one
step of all chunks is one (K, S) · (S, S) product. Then every chunk is run again from the end of the
one before it, until its rows are those of the first run; what follows needs no second run. A
contracting recurrence forgets its start, so that this takes far fewer than L steps.

*Merged* after step j means |M (z − z')| ≤ 4·2⁻⁵³ |M||z|, entry by entry, the rows of the first run
being primed: no more than one product with M may be wrong by anyway. Where φ takes s_j besides, as
the memory of a gated cell, which is affine in it, then what that product's rounding may move φ by,
and the rounding of φ's own terms: with p = M z'

    |φ(p, s) − φ(p, s')| ≤ 2·4·2⁻⁵³ (|φ(p, s)| + |φ(p, 0)| + |φ(p + |M||z|, s) − φ(p, s)|)

So every row satisfies the recurrence within the rounding of a plain loop, and rows that vanish are
as right, relatively, as any other. Two starts are tried on the first steps to see how fast they
merge; near criticality, in chaos, or where sources are rare they do not, and the caller goes on one
step at a time. Source: Jacobi iteration in time, as in Gander, *50 years of time parallel time
integration* (2015), section 3, stopped where it is exact. The 2 is for both runs being rounded: of
what is carried on, each has its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from rnngrad.arithmetic.arrays import Array

ROUNDING = 4 * 2.0**-53
"""Times |M||z| it is what one step may be wrong by."""

PROBE = 96
"""Steps, at most, on which two starts are tried."""

SHORTEST_PROBE = 16
"""Of a walk of a thousand steps a long probe would be a large part."""

SINGLE = 0.65
"""What a single entry's slowness counts for."""

ROOM = 1.25
"""Times the steps to merge a chunk must at least be long."""

State = tuple[Array, ...]
"""The parts of s, a row for each chunk."""

Step = Callable[..., object]
"""step(*given): s ← φ(p, s)"""

Prepare = Callable[[Array, State], Step]
"""The step on buffers p, (K, P) or (G, K, P), and s, that stay where they are."""


class Costs(NamedTuple):
    """Microseconds, roughly: a ``plain`` step of a row, and one of K rows, ``call`` + K ``row``."""

    plain: float
    call: float
    row: float


class Recurrence(NamedTuple):
    """s_j = φ_j(M z_{j−1}, s_{j−1}) as in ``net.walks.chunks``.

    ``M_T`` (S, P) is Mᵀ, or (G, S, P) that of each gate; it takes ``columns`` of the first part.
    ``given`` is what φ_j takes from outside, (n, …) each; ``start`` the parts of s_{−1}, ``parts``
    (n, …) to be filled, in buffers (K, …); ``carries``: whether φ takes s.
    """

    M_T: Array
    given: State
    start: State
    parts: State
    prepare: Prepare
    costs: Costs
    columns: slice = slice(None)
    carries: bool = False


class Plan(NamedTuple):
    """The rows already ``probed``; K, L, the steps to merge, and those worth running again."""

    probed: int
    chunks: int
    length: int
    merge: float
    patience: int


def product(M_T: Array) -> np.ufunc | Callable[..., Array]:
    """What takes z to M z for all chunks: one product, or one of each gate."""
    return np.dot if M_T.ndim == 2 else np.matmul


def steps_to_merge(r: Recurrence, probed: int) -> float:
    """From a true and a false start on the first steps, whose true rows are kept; inf where they
    do not draw near. The false one comes in after a step, when there is a size to compare with."""
    s = tuple(np.stack([part, part]) for part in r.start)
    times, z, sizes = product(r.M_T), s[0][:, r.columns], [np.abs(part) for part in r.start]
    p = times(z, r.M_T)
    step = r.prepare(p, s)
    for i in range(probed):
        times(z, r.M_T, p)
        step(*(given[i] for given in r.given))
        for part, rows, size in zip(s, r.parts, sizes, strict=True):
            rows[i] = part[0]
            np.maximum(size / 2, np.abs(part[0]), out=size)
            if not i:
                part[1] = 0.0 if part[0].any() else 1.0
    allowed, gap = times(np.abs(z[:1]), np.abs(r.M_T)), np.abs(times(z[:1] - z[1:], r.M_T))
    merge = _at_the_rate_of(_apart(gap, allowed), probed)
    return max(merge, _steps_to_forget(r, s, sizes, probed)) if r.carries else merge


def _steps_to_forget(r: Recurrence, s: State, sizes: list[Array], probed: int) -> float:
    """The same from what is carried on: each part as a whole, and entry by entry. An entry that
    happens to be near 0 is measured by what it was before; single ones mislead the other way, so
    that they count for less, as tried on nets of forget biases −1 … 3."""
    beside = np.delete(s[0], r.columns, axis=1)
    wholes, apart = (beside, *s) if beside.size else s, ROUNDING
    for part in wholes:
        apart = max(apart, _apart(np.abs(part[0] - part[1]).max(), np.abs(part[0]).max()))
    entries = (_apart(np.abs(part[0] - part[1]), size) for part, size in zip(s, sizes, strict=True))
    single = SINGLE * _at_the_rate_of(max(entries), probed)
    return max(_at_the_rate_of(apart, probed), single)


def _apart(gap: Array, size: Array) -> float:
    """The largest relative gap; what is not finite never draws near."""
    if not np.isfinite(gap).all():
        return 1.0
    return float((gap[gap > 0] / size[gap > 0]).max(initial=ROUNDING))


def _at_the_rate_of(apart: float, probed: int) -> float:
    """The steps down to rounding, where so many came down to ``apart``."""
    return probed * float(np.log(ROUNDING) / np.log(apart)) if apart < 0.5 else np.inf


def planned(steps: int, probed: int, costs: Costs, merge: float) -> Plan | None:
    """How many chunks, or None where a plain loop is faster: (call + K row) (L + merge) is least
    for the K taken."""
    steps -= probed
    if not np.isfinite(merge):
        return None
    chunks = int(min(np.sqrt(costs.call / costs.row * steps / merge), steps / (ROOM * merge)))
    if chunks < 2:
        return None
    length = steps // chunks
    affordable = int(steps * costs.plain / (costs.call + chunks * costs.row)) - length
    return Plan(probed, chunks, length, merge, affordable) if merge < 0.8 * affordable else None


# ---------------------------------------------------------------------------- the passes


CHECK = 8
"""Steps between two looks at whether the chunks have merged."""

LOOK = 0.7
"""Times the steps to merge, as the probe has them, are run before the first look."""

MOST = 3
"""Runs again, at most."""

NEAR = 2.0**-30
"""Relative to a row, what will be gone in a third of the steps that merging took."""


def advance(r: Recurrence) -> int:
    """Fill as many leading rows of every part as chunks can; how many that are."""
    steps = len(r.parts[0])
    probed = min(max(SHORTEST_PROBE, steps // 64), PROBE, steps)
    plan = planned(steps, probed, r.costs, steps_to_merge(r, probed))
    return probed if plan is None else probed + _chunked(r, plan)


def _chunked(r: Recurrence, plan: Plan) -> int:
    """The rows after the probe's; how many are filled and sure: all, or the leading chunks that
    were run from their true start before patience ended."""
    run = _Chunks(r, plan)
    look_from = int(LOOK * plan.merge)
    run.advance(plan.length, plan.length, keep_from=look_from)  # the others are run again anyway
    sure, left = 1, plan.patience
    while not run.merged(min(left, plan.length), look_from):
        if left < plan.length or sure == min(plan.chunks - 1, MOST) or run.share_near() < 0.5:
            return sure * plan.length
        sure, look_from, left = sure + 1, 0, max(left - plan.length, plan.length)
    return plan.chunks * plan.length


class _Chunks:
    """The rows of chunk c and step j of it, as [c, j] of every part; ``start`` (K, S_i) is s before
    the first step of each, at first 0 but for the true one."""

    def __init__(self, r: Recurrence, plan: Plan) -> None:
        self.prepare, self.columns, self.carries = r.prepare, r.columns, r.carries
        self.given, self.parts = (
            tuple(_cut(array, plan) for array in arrays) for arrays in (r.given, r.parts)
        )
        self.M_T, self.size_of_M = np.ascontiguousarray(r.M_T), np.abs(r.M_T)
        self.times = product(r.M_T)
        self.room: tuple[Array, State, Step] | None = None
        self.start = tuple(_zeros(plan.chunks, part.shape[2:]) for part in self.parts)
        for start, rows in zip(self.start, r.parts, strict=True):
            start[0] = rows[plan.probed - 1]

    def merged(self, patience: int, look_from: int) -> bool:
        """Every chunk again from the end of the one before it; whether all came to the rows that
        were there, within ``patience`` steps."""
        for start, rows in zip(self.start, self.parts, strict=True):
            start[1:] = rows[:-1, -1]
        return self.advance(patience, look_from)

    def advance(self, steps: int, look_from: int, keep_from: int = 0) -> bool:
        """Fill so many rows of every chunk; stop, with True, where the next are there already."""
        s, given, M_T, times = tuple(map(np.copy, self.start)), self.given, self.M_T, self.times
        z = s[0][:, self.columns]
        p = times(z, M_T)
        step, stored = self.prepare(p, s), list(zip(self.parts, s, strict=True))
        for j in range(steps):
            times(z, M_T, p)
            step(*[array[:, j] for array in given])
            same = j >= look_from and j % CHECK == 0 and self._same(j, s)
            if j >= keep_from:
                for rows, part in stored:
                    rows[:, j] = part
            if same:
                return True
        return False

    def share_near(self) -> float:
        """The share of chunks that ended near to where their successors were started: one more run
        of those is short."""
        end, start = self.parts[0][:-1, -1], self.start[0][1:]
        rest = tuple(range(1, end.ndim))
        gap, size = np.abs(end - start).max(axis=rest), np.abs(end).max(axis=rest)
        return float((gap <= NEAR * size).mean())

    def _same(self, j: int, s: State) -> bool:
        """Whether the rows after j would do if those of step j were ``s``."""
        earlier = tuple(part[:, j] for part in self.parts)
        z, z_earlier = s[0][:, self.columns], earlier[0][:, self.columns]
        allowed = self.times(np.abs(z), self.size_of_M)
        gap = np.abs(self.times(z - z_earlier, self.M_T))
        if not (gap <= ROUNDING * allowed).all():
            return False
        if not self.carries or j + 1 == self.parts[0].shape[1]:
            return not self.carries
        p, nothing = self.times(z_earlier, self.M_T), tuple(map(np.zeros_like, s))
        now, then, alone = (self._after(j, p, state) for state in (s, earlier, nothing))
        moved = self._after(j, p + allowed, s)
        return all(
            (np.abs(a - b) <= 2 * ROUNDING * (np.abs(a) + np.abs(c) + np.abs(d - a))).all()
            for a, b, c, d in zip(now, then, alone, moved, strict=True)
        )

    def _after(self, j: int, p: Array, s: State) -> State:
        """φ_{j+1}(p, s), in room that is made once."""
        if self.room is None:
            room = np.empty_like(p), tuple(map(np.empty_like, s))
            self.room = (*room, self.prepare(*room))
        p_now, now, step = self.room
        for mine, part in zip((p_now, *now), (p, *s), strict=True):
            mine[...] = part
        step(*(array[:, j + 1] for array in self.given))
        return tuple(map(np.copy, now))


def _cut(array: Array, plan: Plan) -> Array:
    rows = slice(plan.probed, plan.probed + plan.chunks * plan.length)
    return array[rows].reshape(plan.chunks, plan.length, *array.shape[1:])


def _zeros(chunks: int, shape: tuple[int, ...]) -> Array:
    """(K, …), but of (K, G, H) all rows of a gate are neighbours: most steps are on one gate."""
    if len(shape) < 2:
        return np.zeros((chunks, *shape))
    return np.zeros((shape[0], chunks, *shape[1:])).swapaxes(0, 1)
