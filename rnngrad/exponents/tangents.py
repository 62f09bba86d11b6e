"""What the Lyapunov spectrum needs of a net: its one-step Jacobians applied to a few tangents.

For one layer of rnn J_t = diag(σ'(a_t)) W_hh, rows of any size with one matrix; for any other net
J_t as ``net.linearised`` has it, in floats where every term is one, and entry by entry elsewhere.
"""

from __future__ import annotations

from functools import cached_property
from typing import Protocol

import numpy as np

from rnngrad.arithmetic.arrays import Array, Integers
from rnngrad.arithmetic.number_types import SCALED
from rnngrad.chains.jacobian_product import terms_fit
from rnngrad.chains.jacobians import scaled_slopes
from rnngrad.exponents.rank import by_structure, exact_rank
from rnngrad.net.linearised import LinearLayer, LinearNet, in_floats, linear_net
from rnngrad.net.problem import Problem
from rnngrad.net.traces import ForwardTrace

LOWEST = -(2**50)
"""The exponent of an exact zero among those of rows."""

INVERTIBLE = 1e5
"""How ill-conditioned W may be, so that W Q, or W⁻ᵀ Q, has all its columns to 1e-11."""

FAR = 400
"""Bits that a term may be away from 1 in plain floats."""

WEAK = 2.0**-30
"""Couplings weaker than this, relative to the largest, could drown in rounding."""


class Tangents(Protocol):
    """The Jacobians of a net along its trajectory, step t in 0 … T − 1.

    ``alive``: the columns of Q_0 = 1 that do not die whatever the numbers. ``may_die``: some J_t
    may be exactly singular on these. ``undefined``: something is not finite. ``by_rows``: only the
    rows of J_t differ in size, so one QR of J_t Q is right whatever its condition.
    """

    steps: int
    size: int
    alive: Integers
    may_die: bool
    undefined: bool
    by_rows: bool

    @property
    def exact(self) -> LinearNet:
        """The net at any exponent."""

    def plain(self, t: int, values: Array) -> tuple[Array, int] | None:
        """J_t · values as floats and a power of two beside them; None where floats lose a row."""


def tangents(problem: Problem, trace: ForwardTrace) -> Tangents:
    """The right one for a net. To be run within ``quietly()``."""
    return OfRnn(problem, trace) if problem.single_rnn else OfAny(problem, trace)


class OfRnn:
    """J_t = diag(σ'(a_t)) W_hh."""

    def __init__(self, problem: Problem, trace: ForwardTrace) -> None:
        self.problem, self.trace = problem, trace
        self.slopes = scaled_slopes(problem, trace)
        self.W = problem.weights["W_hh"]
        self.exponent: Integers = np.maximum(self.slopes.exponent, LOWEST)
        self.steps, self.size = problem.steps, problem.state_size
        self.alive = np.arange(self.size)
        self.may_die = bool((self.slopes.mantissa == 0).any()) or _exactly_singular(self.W)
        self.undefined = not np.isfinite(self.slopes.mantissa).all()
        self.by_rows = bool(np.linalg.cond(self.W) <= INVERTIBLE)

    @cached_property
    def exact(self) -> LinearNet:
        """See Tangents."""
        return linear_net(self.problem, self.trace, SCALED)

    def plain(self, t: int, values: Array) -> tuple[Array, int] | None:
        """See Tangents."""
        top = int(self.exponent[t].max())
        if int(self.exponent[t].min()) < top - 900:
            return None
        slopes = np.ldexp(self.slopes.mantissa[t], (self.exponent[t] - top).astype(np.intc))
        return slopes[:, None] * self.W.dot(values), top


class OfAny:
    """Any cell, any number of layers.

    det ∂s_t/∂s_{t−1} of lstm is that of
    diag(f_t ∘ o_t (1 − o_t) tanh(c_t)) W_ho, so it is singular where W_ho is, or a term is 0; that
    of gru vanishes by chance alone. Of other cells a term of 0 may do it.
    """

    def __init__(self, problem: Problem, trace: ForwardTrace) -> None:
        self.steps, self.size = problem.steps, problem.state_size
        self.exact = linear_net(problem, trace, SCALED)
        self.net = in_floats(self.exact)
        alive = by_structure(self.net)
        self.alive = alive[min(self.steps, len(alive)) - 1]
        self.may_die = not self.alive.size or any(map(_singular, self.exact.layers))
        self.undefined = not all(
            np.isfinite(term.mantissa).all() for one in self.exact.layers for term in one.terms
        )
        self.by_rows = False
        self.fits = terms_fit(self.exact, self.steps, FAR)

    def plain(self, t: int, values: Array) -> tuple[Array, int] | None:
        """See Tangents."""
        if not self.fits[t]:
            return None
        pushed: Array = self.net.push(np.ascontiguousarray(values.T), t + 1).T
        return pushed, 0


def _singular(one: LinearLayer) -> bool:
    """Whether some step's Jacobian of this layer may be exactly singular."""
    cell = one.cell
    if cell.name == "gru" and not cell.own:
        return False
    if cell.name in ("rnn", "lstm") and not cell.own:
        last = one.term("h", "a.o" if cell.name == "lstm" else "a.h")
        W = one.layer.weights["W_hh"][-one.layer.hidden :]
        return _exactly_singular(W) or bool((last.mantissa == 0).any())
    return any(bool((term.mantissa == 0).any()) for term in one.terms)


def _exactly_singular(W: Array) -> bool:
    """Whether det W = 0 as if in exact arithmetic; asked only where rounding leaves it open."""
    sizes = np.linalg.svd(W, compute_uv=False)
    return bool(sizes[-1] <= 1e-12 * sizes[0]) and exact_rank(W) < len(W)


def irreducible(W: Array) -> bool:
    """Whether every unit reaches every other through entries of W no less than ``WEAK`` of its
    largest: one step more of each path, by squaring the matrix of who reaches whom."""
    reach = (np.abs(W) >= WEAK * np.abs(W).max()) | np.eye(len(W), dtype=bool)
    for _ in range(len(W).bit_length()):
        reach = reach.astype(np.float32) @ reach.astype(np.float32) > 0
    return bool(reach.all())
