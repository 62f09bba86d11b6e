"""The Lyapunov spectrum: how fast each direction of the state grows, by QR.

    Q_0 = 1,   J_t Q_{t−1} = Q_t R_t,   λ_i = (1/T) Σ_t ln |R_t[i, i]|,   J_t = ∂s_t/∂s_{t−1}

The product of the R_t is the R of J_T ⋯ J_1 itself, so how many steps go into one QR is a matter
of rounding alone: as many as keep max |R| / min |R[i, i]| below ``LIMIT``, tried, measured and, if
that fails, done again with half of them. Rows are sorted by size first: Householder's reflections
are then right row by row, and a slope of 1e-40 keeps its digits beside one of 1.

Where units die and come back, or blocks that do not feed one another take turns, what is left of a
tangent besides its largest entries comes to count later, and Q has lost it in rounding. How much
rounding can have done is kept (``exponents.qr_order``); if it is too much, all is done again
entry by entry (``exponents.scaled_tangents``). So it is from the start where a direction is sent to
exactly 0, as an exact 0 of a slope or a determinant does: it dies, λ_i = −inf, and takes no part
from then on. What dies whatever the numbers (``exponents.rank.by_structure``) is left out of Q_0.

Error: about S·LIMIT·2⁻⁵³ in each R[i, i], or what ``exponents.scaled_tangents`` says; nan if
rounding decides. Sources: Benettin, Galgani, Giorgilli, Strelcyn, Meccanica 15 (1980); Geist,
Parlitz, Lauterborn, Prog. Theor. Phys. 83 (1990), section 2.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from rnngrad.arithmetic.arrays import Array, Integers, quietly
from rnngrad.arithmetic.scaled import LN_2
from rnngrad.chains.jacobians import chain_end
from rnngrad.errors import UsageError
from rnngrad.exponents import two_sided
from rnngrad.exponents.qr_order import OrderKept
from rnngrad.exponents.scaled_tangents import ROUNDING, excluded, spectrum_at_any_exponent
from rnngrad.exponents.tangents import OfRnn, Tangents, irreducible, tangents
from rnngrad.net.problem import Problem
from rnngrad.net.traces import ForwardTrace
from rnngrad.progress import reported

LIMIT = 1e5
"""How ill-conditioned R may become before the next QR."""

LONGEST = 64
"""Steps that one QR takes at most."""

MARKS = 64
"""Points of the convergence trace, about."""

STEEPEST = 1e7
"""How ill-conditioned R of a single step may be where not only its rows differ in size."""

SWITCHED = 1e6
"""Times T, how much rounding in Q may have grown until it counts: 2⁻⁵³ to 1e-10 in an exponent."""


class Lyapunov(NamedTuple):
    """``exponents`` (S,), largest first, natural log per step over T − ``warmup`` steps.

    nan where rounding decides: those are last, but for one before all if the largest is not known.

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


class _Sums(NamedTuple):
    """Σ ln |R[i, i]| from ``warmup`` on, at some steps (n,), (n, S); and how many QRs it took."""

    steps: Integers
    logs: Array
    decompositions: int


def lyapunov(problem: Problem, trace: ForwardTrace, warmup: int = 0) -> Lyapunov:
    """The spectrum along one trajectory; the first ``warmup`` steps turn Q but do not count.

    Raises UsageError unless 0 ≤ warmup < T. O(T·S³) time.
    """
    if not 0 <= warmup < problem.steps:
        raise UsageError(f"warmup {warmup}: must be 0 to T − 1 = {problem.steps - 1}")
    with quietly():
        net = tangents(problem, trace)
        if net.undefined:
            nothing = np.full((1, net.size), np.nan)
            return _result(_Sums(np.array([net.steps]), nothing, net.steps), warmup)
        found = _by_halves(net, warmup) or _Run(net, warmup).sums()
        if found is None:
            found = _entry_by_entry(net, warmup)
        logs = np.full((len(found.steps), net.size), -np.inf)
        logs[:, slice(None) if found.logs.shape == logs.shape else net.alive] = found.logs
        _put_the_largest(net, logs[-1], warmup, lambda: chain_end(problem, trace)[1])
        return _result(found._replace(logs=logs), warmup)


def _result(sums: _Sums, warmup: int) -> Lyapunov:
    last = sums.logs[-1]
    order = np.argsort(-last, kind="stable")  # inf goes first, nan last
    counted, logs = (sums.steps - warmup)[:, None], sums.logs[:, order]
    logs[np.isposinf(logs)] = np.nan
    spread = np.full(len(last), np.nan)
    if len(logs) >= 4:
        blocks = np.diff(logs, axis=0, prepend=0.0) / np.diff(counted, axis=0, prepend=0)
        spread = blocks.std(axis=0, ddof=1) / np.sqrt(len(logs))
    trace = logs / counted
    interval = int(sums.steps[-1]) / sums.decompositions
    return Lyapunov(trace[-1].copy(), sums.steps, trace, spread, interval, warmup)


def _put_the_largest(
    net: Tangents, logs: Array, warmup: int, log10_growth: Callable[[], float]
) -> None:
    """Where some are nan: the largest of all from ∂s_T/∂s_0 itself, in place of one of them.

    If it is one of the others already, nothing is to be done; if not even that is certain, one of
    the nan becomes +inf, the sign of a nan that comes first.
    """
    unknown = np.isnan(logs)
    if not unknown.any():
        return
    growth = np.nan if warmup else log10_growth() * np.log(10.0)
    largest = np.max(logs[~unknown], initial=-np.inf)
    known = growth <= largest + ROUNDING * abs(largest)
    if np.isnan(growth) and not warmup:
        known = excluded(net.exact, net.steps, logs)
    if not known:
        logs[np.flatnonzero(unknown)[0]] = np.inf if np.isnan(growth) else growth


def _every(steps: int, warmup: int) -> int:
    """Steps between two marks."""
    return max(1, (steps - warmup) // MARKS)


def _ends(net: Tangents, warmup: int) -> Integers:
    """The warm-up's end and all marks, T the last."""
    return np.append(np.arange(warmup, net.steps, _every(net.steps, warmup)), net.steps)


def _entry_by_entry(net: Tangents, warmup: int) -> _Sums:
    """Of the columns that are alive; if they may have died, so that others live, of all of them."""
    ends, all_alive = _ends(net, warmup), len(net.alive) == net.size
    if not net.may_die:
        logs = spectrum_at_any_exponent(net.exact, ends.tolist(), False, net.alive)
    if net.may_die or not (all_alive or np.isfinite(logs[-1]).all()):
        logs = spectrum_at_any_exponent(net.exact, ends.tolist(), True)
    logs = np.where(np.isneginf(logs[1:]), logs[1:], logs[1:] - logs[0])
    return _Sums(ends[1:], logs, net.steps)


def _by_halves(net: Tangents, warmup: int) -> _Sums | None:
    """All steps, where both halves of Q can be had by themselves."""
    if not isinstance(net, OfRnn) or not irreducible(net.W):
        return None
    if not two_sided.well_conditioned(net.W, net.slopes):
        return None
    ends = _ends(net, warmup)
    found = two_sided.two_sided_spectrum(net.W, net.slopes, ends, SWITCHED * net.steps)
    if found is None:
        return None
    logs = np.cumsum(found.logs[1:], axis=0)
    return _Sums(ends[1:], logs, max(1, found.decompositions // 2))


class _Run:
    """Q, where it is, and the sums so far."""

    def __init__(self, net: Tangents, warmup: int) -> None:
        self.net, self.ends = net, _ends(net, warmup)
        self.Q, self.logs = np.eye(net.size)[:, net.alive], np.zeros(len(net.alive))
        self.switches = OrderKept(len(net.alive), SWITCHED * net.steps)
        self.t, self.interval, self.decompositions = 0, 1, 0
        self.steepest = np.inf if net.by_rows and not net.may_die else STEEPEST

    def sums(self) -> _Sums | None:
        """Over all steps; None where a step is too ill-conditioned, or directions switched."""
        found = []
        for end in reported(self.ends.tolist(), len(self.ends), "Lyapunov exponents"):
            while self.t < end:
                if not self._advance(end):
                    return None
            found.append(self.logs)
        if not self.switches.look():
            return None
        logs = np.array(found[1:]) - found[0]
        return _Sums(self.ends[1:], logs, self.decompositions)

    def _advance(self, end: int) -> bool:
        """One QR over as many steps as its condition allows; whether it is to be trusted."""
        count = min(self.interval, end - self.t)
        while True:
            block = self._pushed(count)
            if block is not None:
                values, log = block
                order = np.argsort(-np.abs(values).max(axis=1), kind="stable")
                Q, R = np.linalg.qr(values[order])
                least = float(np.abs(np.diagonal(R)).min())
                condition = float(np.abs(R).max()) / least if least else np.inf
                if condition <= (LIMIT if count > 1 else self.steepest):
                    break
            if count == 1:
                return False
            count = max(1, count // 2)
        self.Q = np.empty_like(Q)
        self.Q[order] = Q
        self.logs = self.logs + np.log(np.abs(np.diagonal(R))) + log
        self.t, self.decompositions = self.t + count, self.decompositions + 1
        self.switches.add(R)
        a_step = max(float(np.log(condition)) / count, 1e-3)
        self.interval = int(np.clip(np.log(LIMIT) / a_step, 1, min(2 * count, LONGEST)))
        return self.switches.held

    def _pushed(self, count: int) -> tuple[Array, float] | None:
        """J_{t+count} ⋯ J_{t+1} Q and the logarithm of a factor taken out of it; None where plain
        floats would lose a row."""
        values, log = self.Q, 0.0
        for t in range(self.t, self.t + count):
            pushed = self.net.plain(t, values)
            if pushed is None:
                return None
            values, top = pushed
            size = float(np.abs(values).max())
            if not 1e-250 < size < 1e250:
                return None
            log += top * LN_2
        return values, log
