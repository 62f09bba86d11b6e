"""The Lyapunov spectrum from both ends: the large half forward, the small half by inverses.

    J_t Q_{t−1} = Q_t R_t   ⇔   J_t⁻ᵀ Q_{t−1} = Q_t R_t⁻ᵀ,      J_t⁻ᵀ = diag(1/σ'(a_t)) W⁻ᵀ

The first columns of Q need no others for their QR; and since R_t⁻ᵀ is lower triangular, the last
columns, taken last first, have a QR of their own too, with 1/R[i, i] on its diagonal. So each half
is pushed on by itself, and the condition of its R grows only with the spread of its own exponents:
more steps go into one QR, of fewer columns.
Where the halves meet is chosen after the first steps.

Asked for only where W is irreducible and no worse conditioned than ``INVERTIBLE`` and no slope is
0; given up where one step alone is conditioned worse than ``LIMIT``. Error: about S·LIMIT·2⁻⁵³ in
each R[i, i] and S·2⁻⁵³·κ(W) in each step. Source: the QR method is that of ``exponents.lyapunov``;
the adjoint's spectrum is Kuptsov, Parlitz, *Theory and computation of covariant Lyapunov vectors*,
J. Nonlinear Sci. 22 (2012), section 2.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from rnngrad.arithmetic.arrays import Array, Integers
from rnngrad.arithmetic.scaled import LN_2, Scaled
from rnngrad.exponents.qr_order import OrderKept
from rnngrad.exponents.tangents import INVERTIBLE
from rnngrad.progress import reported

LIMIT = 2e6
"""How ill-conditioned R may become before the next QR."""

GOAL = 0.97 * math.log(LIMIT)
"""What ln κ(R) is aimed at."""

LONGEST = 64
"""Steps that one QR takes at most."""

NEAR = 12
"""Bits that slopes may be away from 1: ``LONGEST`` products of them stay within range."""

FEWEST, SHORTEST = 16, 1000
"""Units and steps below which halves save nothing."""

UNEVEN = 1e-3
"""Rows that differ by more are sorted by size before Householder's reflections meet them."""


class Halves(NamedTuple):
    """ln |R[i, i]| summed over each stretch, (n, S), and how many QRs of a half it took."""

    logs: Array
    decompositions: int


def well_conditioned(W: Array, slopes: Scaled) -> bool:
    """Whether the inverses exist and are good; irreducibility is for the caller to know."""
    if len(W) < FEWEST or len(slopes.mantissa) < SHORTEST or (slopes.mantissa == 0).any():
        return False
    sizes = np.linalg.svd(W, compute_uv=False)
    return bool(sizes[0] <= INVERTIBLE * sizes[-1])


def two_sided_spectrum(W: Array, slopes: Scaled, ends: Integers, limit: float) -> Halves | None:
    """The sums over the stretches of steps that end at ``ends``, the last of them T.

    None where a half would not do, or rounding in Q grew by ``limit`` within one or
    where they meet (``exponents.qr_order``).
    """
    forward = _Half(W, slopes, limit)
    inverse = np.asarray(np.linalg.inv(W), dtype=np.float64)
    backward = _Half(inverse.T, Scaled(1.0 / slopes.mantissa, -slopes.exponent), limit)
    Q_T, large = np.eye(len(W)), len(W) // 2
    logs, across = np.empty((len(ends), len(W))), 0.0
    for i, end in reported(list(enumerate(ends)), len(ends), "Lyapunov exponents"):
        forward.V, backward.V = Q_T[:large], Q_T[: large - 1 : -1]
        if not (forward.run(int(end)) and backward.run(int(end))):
            return None
        logs[i, :large], logs[i, large:] = forward.taken(), -backward.taken()[::-1]
        Q_T = np.concatenate((forward.V, backward.V[::-1]))
        if i == 1:
            large = _split(logs[:2].sum(axis=0))
            across = _outgrown_at_the_edge(forward, backward)
            forward.edge, backward.edge = forward.edge[-1:], backward.edge[-1:]
    if not (forward.switches.look() and backward.switches.look()):
        return None
    if not np.exp(max(across, _outgrown_at_the_edge(forward, backward))) <= limit:
        return None
    return Halves(logs, forward.decompositions + backward.decompositions)


def _outgrown_at_the_edge(large: _Half, small: _Half) -> float:
    """How far the first direction of the small half outgrew the last of the large one, at most: the
    logarithm of a factor. Both have sums at times of their own."""
    times, sums = (np.array(column) for column in zip(*large.edge, strict=True))
    other_times, other_sums = (np.array(column) for column in zip(*small.edge, strict=True))
    both = np.union1d(times, other_times)
    apart = -np.interp(both, other_times, other_sums) - np.interp(both, times, sums)
    return float((apart - np.minimum.accumulate(apart)).max())


def _split(logs: Array) -> int:
    """Where the halves meet: a QR of m columns costs about 12 + m, and they are as frequent as the
    spread of their exponents is wide."""
    rates = np.sort(logs)[::-1]
    m = np.arange(1, len(rates))
    cost = (12 + m) * (rates[0] - rates[:-1]) + (12 + len(rates) - m) * (rates[1:] - rates[-1])
    return int(np.clip(np.argmin(cost) + 1, 2, len(rates) - 2))


class _Half:
    """Some columns of Q, as the rows of ``V``, under V ← (V Mᵀ) ∘ σ'.

    ``edge``: steps so far and Σ ln |R[m, m]| of the last column, next to the other half.
    """

    V: Array

    def __init__(self, M: Array, slopes: Scaled, limit: float) -> None:
        self.rows, self.top = _floats(slopes)
        self.uneven = self.rows.min(axis=1) < UNEVEN * self.rows.max(axis=1)
        self.M_T = np.ascontiguousarray(M.T)
        self.t, self.interval, self.decompositions = 0, 1, 0
        self.logs: Array | float = 0.0
        self.switches, self.edge = OrderKept(0, limit), [(0, 0.0)]

    def taken(self) -> Array:
        """The sums since they were last asked for."""
        logs, self.logs = np.broadcast_to(self.logs, len(self.V)), 0.0
        return logs

    def run(self, end: int) -> bool:
        """On to step ``end``; whether every R was good."""
        while self.t < end and self.switches.held:
            count = min(self.interval, end - self.t)
            while not self._factorised(count):
                if count == 1:
                    return False
                count = max(1, count // 2)
        return self.switches.held

    def _factorised(self, count: int) -> bool:
        """So many steps and a QR, unless R is too ill-conditioned."""
        V = self._pushed(count)
        order = None
        if self.uneven[self.t + count - 1]:
            order = np.argsort(-np.abs(V).max(axis=0), kind="stable")
            V = V[:, order]
        if not np.isfinite(V).all():
            return False
        Q, R = np.linalg.qr(V.T)
        diagonal = np.abs(R.diagonal())
        least = float(diagonal.min())
        largest = max(float(R.max()), -float(R.min()))
        if not (least > 0 and largest <= LIMIT * least):
            return False
        self.V = Q.T if order is None else _unsorted(Q.T, order)
        exponent = int(self.top[self.t : self.t + count].sum())
        more = np.log(diagonal) + LN_2 * exponent
        self.logs = self.logs + more
        self._watch(R)
        self.t, self.decompositions = self.t + count, self.decompositions + 1
        self.edge.append((self.t, self.edge[-1][1] + float(more[-1])))
        a_step = max(math.log(largest / least) / count, 1e-3)
        self.interval = max(1, min(int(GOAL / a_step), 2 * count, LONGEST))
        return True

    def _watch(self, R: Array) -> None:
        if len(self.switches.grown) != len(R) and self.switches.look():
            self.switches = OrderKept(len(R), self.switches.limit)
        if self.switches.held:
            self.switches.add(R)

    def _pushed(self, count: int) -> Array:
        V, dot, multiply = self.V, np.dot, np.multiply
        after, before = np.empty((2, *V.shape))
        for row in self.rows[self.t : self.t + count]:
            dot(V, self.M_T, after)
            multiply(after, row, after)
            V, after, before = after, before, after
        return V


def _floats(slopes: Scaled) -> tuple[Array, Integers]:
    """Plain floats, with an exponent a step taken out of them where they go far."""
    if np.abs(slopes.exponent).max() < NEAR:
        top = np.zeros(len(slopes.exponent), dtype=np.int64)
        return np.ldexp(slopes.mantissa, slopes.exponent.astype(np.intc)), top
    top = slopes.exponent.max(axis=1)
    by = np.maximum(slopes.exponent - top[:, None], -2000)
    return np.ldexp(slopes.mantissa, by.astype(np.intc)), top


def _unsorted(V: Array, order: Integers) -> Array:
    turned = np.empty_like(V)
    turned[:, order] = V
    return turned
