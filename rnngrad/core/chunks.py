"""A recurrence of many steps as a few hundred matrix products: chunks of time advance together.

    u_j = source_j + M z_{j−1},   z_j = φ_j(u_j),   j = 0 … n−1,   z_{−1} given

The n steps are cut into K chunks of L steps, each started from 0 (the first from its own z): one
step of all chunks is one (K, S) · (S, S) product. Then every chunk is run again from the end of the
one before it, until its rows are those of the first run; what follows needs no second run. A
contracting recurrence forgets its start, so that this takes far fewer than L steps.

*Merged* means |u_j − earlier u_j| ≤ 4·2⁻⁵³ (|M||z_{j−1}| + |u_j|), entry by entry: no more than one
product with M may be wrong by anyway. So every row satisfies the recurrence within the rounding of
a plain loop, and rows that vanish are as right, relatively, as any other. Two starts are tried on
the first steps to see how fast they merge; near criticality, in chaos, or where sources are rare
they do not, and the caller goes on one step at a time. Source: Jacobi iteration in time, as in
Gander, *50 years of time parallel time integration* (2015), section 3, stopped where it is exact.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from rnngrad.core.arrays import Array

ROUNDING = 4 * 2.0**-53
"""Times |M||z| + |u| it is what one step may be wrong by."""

PROBE = 96
"""Steps on which two starts are tried."""

CHECK = 8
"""Steps between two looks at whether the chunks have merged."""

FEWEST = 2000
"""Steps below which chunks are not worth the trial."""

Phi = Callable[[int, int, Array, Array], object]
"""phi(i, stride, u, z): z[c] ← φ_{i + c·stride}(u[c]) for every row c."""


class Recurrence(NamedTuple):
    """``M_T`` (S, S) is Mᵀ; ``source``, ``u`` and ``z`` (n, S), the last two to be filled; ``z_0``
    (S,) is what z_{−1} is; ``phi`` as ``Phi``."""

    M_T: Array
    source: Array
    z_0: Array
    u: Array
    z: Array
    phi: Phi


class _Plan(NamedTuple):
    chunks: int
    length: int
    merge: float
    patience: int


def advance(r: Recurrence) -> int:
    """Fill as many leading rows of ``u`` and ``z`` as chunks can; how many that are."""
    steps, size = r.source.shape
    if steps < FEWEST:
        return 0
    plan = _planned(steps - PROBE, size, _steps_to_merge(r))
    if plan is None:
        return PROBE
    return PROBE + _chunked(r, plan)


def _steps_to_merge(r: Recurrence) -> float:
    """From a true and a false start on the first ``PROBE`` steps, whose true rows are kept; inf
    where they do not draw near."""
    z = np.stack([r.z_0, np.zeros_like(r.z_0) if r.z_0.any() else np.ones_like(r.z_0)])
    u = np.empty_like(z)
    for i in range(PROBE):
        before = z.copy()
        np.dot(before, r.M_T, out=u)
        u += r.source[i]
        r.phi(i, 0, u, z)
        r.u[i], r.z[i] = u[0], z[0]
    allowed = np.abs(before[0]).dot(np.abs(r.M_T)) + np.abs(u[0])
    gap = np.abs(u[0] - u[1])
    apart = float((gap[gap > 0] / allowed[gap > 0]).max(initial=ROUNDING))
    return PROBE * float(np.log(ROUNDING) / np.log(apart)) if apart < 0.5 else np.inf


def _planned(steps: int, size: int, merge: float) -> _Plan | None:
    """How many chunks, or None where a plain loop is faster.

    In microseconds, roughly, a step of one row costs 0.9 + S²/12000, and one of K rows
    4 + S²/11000 + K (S/480 + S²/25000): that times L + merge is least for the K taken.
    """
    if not np.isfinite(merge):
        return None
    call, row = 4 + size**2 / 11000, size / 480 + size**2 / 25000
    chunks = int(np.sqrt(call / row * steps / merge))
    if chunks < 2:
        return None
    length = steps // chunks
    affordable = int(steps * (0.9 + size**2 / 12000) / (call + chunks * row)) - length
    return _Plan(chunks, length, merge, affordable) if merge < 0.8 * affordable else None


def _chunked(r: Recurrence, plan: _Plan) -> int:
    """The rows after the probe's; how many are filled and sure: all, or the leading chunks that
    were run from their true start before patience ended."""
    run = _Chunks(r, plan)
    run.advance(plan.length, look_from=plan.length)
    sure, left = 1, plan.patience
    while not run.merged(min(left, plan.length), look_from=int(plan.merge / 2)):
        left -= plan.length
        if left <= 0 or sure == plan.chunks - 1 or run.share_merged() < 0.5:
            return sure * plan.length
        sure += 1
    return plan.chunks * plan.length


class _Chunks:
    """The rows of chunk c and step j of it, as [c, j] of ``source``, ``u`` and ``z``; ``start`` (K,
    S) is z before the first step of each, at first 0 but for the true one."""

    def __init__(self, r: Recurrence, plan: _Plan) -> None:
        self.phi, self.length = r.phi, plan.length
        rows = slice(PROBE, PROBE + plan.chunks * plan.length)
        shape = (plan.chunks, plan.length, -1)
        self.source, self.u, self.z = (p[rows].reshape(shape) for p in (r.source, r.u, r.z))
        self.M_T, self.size_of_M = np.ascontiguousarray(r.M_T), np.abs(r.M_T)
        self.start = np.zeros((plan.chunks, self.u.shape[2]))
        self.start[0] = r.z[PROBE - 1]

    def merged(self, patience: int, look_from: int) -> bool:
        """Every chunk again from the end of the one before it; whether all came to the rows that
        were there, within ``patience`` steps."""
        self.start[1:] = self.z[:-1, -1]
        return self.advance(patience, look_from)

    def advance(self, steps: int, look_from: int) -> bool:
        """Fill so many rows of every chunk; stop, with True, where they are there already."""
        source, phi, M_T, dot, add = self.source, self.phi, self.M_T, np.dot, np.add
        z, u = self.start.copy(), np.empty_like(self.start)
        for j in range(steps):
            dot(z, M_T, u)
            add(u, source[:, j], u)
            if j >= look_from and j % CHECK == 0 and self._same(z, u, self.u[:, j]):
                return True
            self.u[:, j] = u
            phi(PROBE + j, self.length, u, z)
            self.z[:, j] = z
        return False

    def share_merged(self) -> float:
        """The share of chunks from whose ends, as they are now, their successors were run."""
        return float((self.z[:-1, -1] == self.start[1:]).all(axis=1).mean())

    def _same(self, z: Array, u: Array, earlier: Array) -> bool:
        allowed = np.abs(z).dot(self.size_of_M) + np.abs(u)
        return bool((np.abs(u - earlier) <= ROUNDING * allowed).all())
