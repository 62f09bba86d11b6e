"""The Lyapunov spectrum: how fast each direction of the state grows, by QR.

    Q_0 = 1,   J_t Q_{t−1} = Q_t R_t,   λ_i = (1/T) Σ_t ln |R_t[i, i]|,   J_t = ∂s_t/∂s_{t−1}

The product of the R_t is the R of J_T ⋯ J_1 itself, so how many steps go into one QR is a matter
of rounding alone: as many as keep max |R| / min |R[i, i]| below ``LIMIT``, tried, measured and, if
that fails, done again with half of them. Rows are sorted by size first: Householder's reflections
are then right row by row, and a slope of 1e-40 keeps its digits beside one of 1.

Where the net is reducible (blocks that do not feed one another, or only one way), which block
dominates may switch, and what leaked from one to the other by rounding would then be all that is
seen: there every step has a QR of its own, in which zeros stay zeros (``core.graded_qr``). A step
of gated cells or of a stack that is conditioned worse than ``LIMIT`` goes factor by factor, with a
QR behind each (``core.stages``).

A direction that is sent to exactly 0 dies: λ_i = −inf, and it takes no part from then on (an
arbitrary vector put in its place would be rotated into those that live). That can happen only
where a slope is exactly 0 or a matrix exactly singular; there what lies below its own rounding
counts as 0.

Error: about S·LIMIT·2⁻⁵³ in each R[i, i], unless one step alone is conditioned worse than LIMIT.
Sources: Benettin, Galgani, Giorgilli, Strelcyn, Meccanica 15 (1980); Geist, Parlitz, Lauterborn,
Prog. Theor. Phys. 83 (1990), section 2.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rnngrad.core import lyapunov_halves
from rnngrad.core.arrays import Array, Integers, quietly
from rnngrad.core.graded_qr import graded_qr
from rnngrad.core.problem import Problem
from rnngrad.core.scaled import Scaled
from rnngrad.core.tangents import OfRnn, Tangents, tangents
from rnngrad.core.traces import ForwardTrace
from rnngrad.errors import UsageError

LIMIT = 1e5
"""How ill-conditioned R may become before the next QR."""

LONGEST = 64
"""Steps that one QR takes at most."""

MARKS = 64
"""Points of the convergence trace, about."""

NOISE = 2.0**-47
"""Times Σ_k |W_ik Q_kj| it is what rounding may leave of an exact 0 in W Q."""


class Lyapunov(NamedTuple):
    """``exponents`` (S,), largest first, natural log per step over T − ``warmup`` steps.

    ``steps`` (n,) and ``trace`` (n, S): the estimate from the steps so far, in the order of
    ``exponents``. ``spread`` (S,): the standard error of the mean over blocks between the marks,
    nan with fewer than four. ``interval``: steps in a QR, on average.
    """

    exponents: Array
    steps: Integers
    trace: Array
    spread: Array
    interval: float
    warmup: int


def lyapunov(problem: Problem, trace: ForwardTrace, warmup: int = 0) -> Lyapunov:
    """The spectrum along one trajectory; the first ``warmup`` steps turn Q but do not count.

    Raises UsageError unless 0 ≤ warmup < T. O(T·S³) time.
    """
    if not 0 <= warmup < problem.steps:
        raise UsageError(f"warmup {warmup}: must be 0 to T − 1 = {problem.steps - 1}")
    with quietly():
        return _Run(tangents(problem, trace), warmup).result()


class _Run:
    """Q, where it is, and the sums so far."""

    def __init__(self, net: Tangents, warmup: int) -> None:
        self.net, self.steps, self.warmup = net, net.steps, warmup
        self.Q = np.eye(net.size)
        self.alive = np.arange(net.size)
        self.t, self.interval, self.decompositions = 0, 1, 0
        self.sums = np.zeros(net.size)
        self.marks: list[tuple[int, Array]] = []

    def result(self) -> Lyapunov:
        undefined = self.net.undefined
        if not (undefined or self.net.reducible or self.net.singular):
            self._by_halves()
        while self.t < self.steps and self.alive.size and not undefined:
            self._advance()
        died = np.ones(len(self.sums), bool)
        died[self.alive] = False
        self.sums[died] = -np.inf
        sums = np.full_like(self.sums, np.nan) if undefined else self.sums
        order = np.argsort(-sums, kind="stable")
        counted = self.steps - self.warmup
        steps, trace, spread = self._trace(order)
        interval = self.t / max(self.decompositions, 1)
        return Lyapunov(sums[order] / counted, steps, trace, spread, interval, self.warmup)

    def _by_halves(self) -> None:
        """All steps, where both halves of Q can be had by themselves."""
        if not isinstance(self.net, OfRnn):
            return
        W, slopes = self.net.W, Scaled(self.net.mantissa, self.net.exponent)
        if not lyapunov_halves.applies(W, slopes):
            return
        every = max(1, (self.steps - self.warmup) // MARKS)
        ends = np.append(np.arange(self.warmup, self.steps, every), self.steps)
        found = lyapunov_halves.by_halves(W, slopes, ends)
        if found is not None:
            sums = np.cumsum(found.logs[1:], axis=0)
            self.marks = list(zip(ends[1:].tolist(), sums, strict=True))
            self.sums, self.t = sums[-1], self.steps
            self.decompositions = max(1, found.decompositions // 2)

    def _advance(self) -> None:
        """One QR over as many steps as its condition allows."""
        if self.net.reducible:
            self._carefully()
            return
        boundary = self.warmup if self.t < self.warmup else self.steps
        count = min(self.interval, boundary - self.t)
        while True:
            block = self._pushed(count)
            if block is not None:
                values, log = block
                order = np.argsort(-np.abs(values).max(axis=1), kind="stable")
                Q, R = np.linalg.qr(values[order])
                least = float(np.abs(np.diagonal(R)).min())
                condition = np.abs(R).max() / least if least else np.inf
                if count == 1 or condition <= LIMIT:
                    break
            elif count == 1:
                self._carefully()
                return
            count = max(1, count // 2)
        if count == 1 and self._doubtful(R, order, condition):
            self._carefully()
            return
        turned = np.empty_like(Q)
        turned[order] = Q
        self._accept(turned, np.log(np.abs(np.diagonal(R))) + log, count)
        a_step = max(float(np.log(condition)) / count, 1e-3)
        longest = 1 if self.net.singular else min(2 * count, LONGEST)
        self.interval = int(np.clip(np.log(LIMIT) / a_step, 1, longest))

    def _accept(self, Q: Array, logs: Array, count: int) -> None:
        self.Q, self.t = Q, self.t + count
        self.decompositions += 1
        if self.t > self.warmup:
            self.sums[self.alive] += logs
            every = max(1, (self.steps - self.warmup) // MARKS)
            if not self.marks or self.t - self.marks[-1][0] >= every or self.t == self.steps:
                marked = np.full_like(self.sums, -np.inf)
                marked[self.alive] = self.sums[self.alive]
                self.marks.append((self.t, marked))

    def _pushed(self, count: int) -> tuple[Array, float] | None:
        """J_{t+count} ⋯ J_{t+1} Q and the logarithm of a factor taken out of it; None where plain
        floats would lose a row, or a unit is dead."""
        values, log = self.Q, 0.0
        for t in range(self.t, self.t + count):
            pushed = self.net.plain(t, values)
            if pushed is None:
                return None
            values, top = pushed
            size = float(np.abs(values).max())
            if not 1e-250 < size < 1e250:
                return None
            log += top * np.log(2.0)
        return values, log

    def _doubtful(self, R: Array, order: Integers, condition: float) -> bool:
        """Whether the QR of a single step is not to be trusted."""
        if not self.net.by_rows:
            return bool(condition > LIMIT)
        return self.net.may_die and self._suspect(R, order)

    def _suspect(self, R: Array, order: Integers) -> bool:
        """Whether a diagonal entry of R is no larger than its rounding, and may be an exact 0."""
        found = self.net.stages(self.t)[0](self.Q)
        top = found.exponents.max()
        slopes = np.ldexp(1.0, np.maximum(found.exponents - top, -2000).astype(np.intc))
        sizes = np.linalg.norm(slopes[:, None] * found.sizes, axis=0)
        return bool((np.abs(np.diagonal(R)) <= NOISE * len(order) * sizes).any())

    def _carefully(self) -> None:
        """One step, entry by entry and factor by factor: rows that are far apart in size, and
        directions that die."""
        logs = np.zeros(len(self.alive))
        for stage in self.net.stages(self.t):
            if not self.alive.size:
                break
            found = stage(self.Q)
            noise = found.sizes * (NOISE if self.net.may_die else 0.0)
            self.Q, more, living = graded_qr(found.values, noise, found.exponents)
            self.alive, logs = self.alive[living], logs[living] + more
        self._accept(self.Q, logs, 1)
        self.interval = 1

    def _trace(self, order: Integers) -> tuple[Integers, Array, Array]:
        steps = np.array([t for t, _ in self.marks], dtype=np.int64)
        size = len(self.sums)
        sums = np.array([s for _, s in self.marks]).reshape(len(steps), size)[:, order]
        counted = (steps - self.warmup)[:, None]
        blocks = np.diff(sums, axis=0, prepend=0.0) / np.diff(counted, axis=0, prepend=0)
        spread = np.full(size, np.nan)
        if len(steps) >= 4:
            spread = blocks.std(axis=0, ddof=1) / np.sqrt(len(steps))
        return steps, sums / counted, spread
