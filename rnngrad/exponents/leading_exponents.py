"""The leading Lyapunov exponents of a large net, from a few tangents pushed forward.

    J_t Q_{t−1} = Q_t R_t,   λ_i ≈ (1/T) Σ_t ln |R_t[i, i]|          Q_0 (S, k)

The first k exponents need k tangents only; k of any directions will do in the long run, and Q_0 is
drawn, where the whole spectrum begins with Q_0 = 1: the two differ by O(1/T), by the time that
tangents take to turn to the directions that grow. One QR a step. Source: Benettin, Galgani,
Giorgilli, Strelcyn, Meccanica 15 (1980).
"""

from __future__ import annotations

import numpy as np

from rnngrad.arithmetic.arrays import quietly
from rnngrad.arithmetic.number_types import FLOATS
from rnngrad.exponents.elimination import pseudo_random
from rnngrad.exponents.lyapunov import Lyapunov
from rnngrad.net.linearised import linear_net
from rnngrad.net.problem import Problem
from rnngrad.net.traces import ForwardTrace
from rnngrad.progress import reported

LOST = 1e-12
"""R[i, i] below that of R[0, 0] is rounding: that exponent is not known."""

BLOCKS = 16
"""Blocks of time that the spread is taken from, about."""


def leading_exponents(problem: Problem, trace: ForwardTrace, count: int) -> Lyapunov:
    """So many exponents, largest first, nan last: not known; O(T·count·H²) time."""
    steps, size = problem.steps, problem.state_size
    logs = np.empty((steps, count))
    with quietly():
        net = linear_net(problem, trace, FLOATS)
        Q = np.linalg.qr(pseudo_random(size * count, 1).reshape(size, count))[0]
        for t in reported(range(1, steps + 1), steps, "leading exponents"):
            columns = net.push(np.ascontiguousarray(Q.T), t).T
            if not np.isfinite(columns).all():
                logs[t - 1 :] = np.nan
                break
            Q, R = np.linalg.qr(columns)
            sizes = np.abs(np.diagonal(R))
            logs[t - 1] = np.where(sizes > LOST * sizes[0], np.log(sizes), np.nan)
        every = max(1, steps // BLOCKS)
        marks = np.append(np.arange(every, steps, every), steps)
        sums = np.cumsum(logs, axis=0)[marks - 1]
        order = np.argsort(-sums[-1], kind="stable")
        sums = sums[:, order]
        spread = np.full(count, np.nan)
        if len(marks) >= 4:
            lengths = np.diff(marks, prepend=0)[:, np.newaxis]
            blocks = np.diff(sums, axis=0, prepend=0.0) / lengths
            spread = blocks.std(axis=0, ddof=1) / np.sqrt(len(marks))
        estimates = sums / marks[:, np.newaxis]
    return Lyapunov(estimates[-1].copy(), marks, estimates, spread, 1.0, 0)
