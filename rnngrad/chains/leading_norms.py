"""log10 ‖J_T ⋯ J_{k+1}‖₂ for every k, or for k = 0, any cell and stack, from few directions.

    P = J_T ⋯ J_{k+1},   U with orthonormal columns       M = Uᵀ P       X = (1 − U Uᵀ) P

Only M and a few rows G P are pulled back through the steps, G drawn from a normal distribution.
U is all of 1 at first; now and then it is turned to the singular vectors of M, and what is below
``dropped`` of the largest is left out. In the basis of U and its complement

    P Pᵀ = [ M Mᵀ   Eᵀ  ]                μ = ‖M‖²,  e ≥ ‖E‖,  y ≥ ‖X‖
           [ E      X Xᵀ]

    μ ≤ ‖P‖² ≤ (μ + y²)/2 + √((μ − y²)²/4 + e²)

since the norm of a matrix of blocks is at most that of the matrix of their norms. Both y and e are
had at every k from G P − (G U) M = G X and G X Mᵀ = G E: for any A that G does not know,

    ‖A‖ ≤ ``MARGIN`` · max_j ‖g_j A‖      but for a chance of (0.8/MARGIN)ʳ, 7e-14 for r = ``TESTS``

(Halko, Martinsson, Tropp, *Finding structure with randomness*, SIAM Review 53 (2011), section 4.3;
for the quadratic effect of E, Golub, Van Loan, *Matrix Computations* (2013), section 8.1). So every
norm has its own certificate. A direction that was dropped and comes up later, a step that cancels,
rounding that comes to count: all of these are in G P as they are, and not in M. Where the
bracket is wider than ``SURE``, the rows from before the last turn are taken up again.

For k = 0 alone the columns of U are the range of P Ω, Ω drawn: tangents pushed from step 0 to T,
with a QR now and then, of which those are left that ended within ``FADED`` of the largest. Rows are
pulled back once, [Uᵀ P; G P], and the same bracket holds whatever U is.

All in plain floats, one exponent for all rows: see ``chains.jacobian_product`` for what these must
fit.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from rnngrad.arithmetic.arrays import Array
from rnngrad.arithmetic.scaled import LOG10_2
from rnngrad.chains.blocks import NARROW, Which
from rnngrad.chains.matrix_norms import ln_largest
from rnngrad.net.linearised import LinearNet
from rnngrad.progress import OF_A_STEP, announce

TESTS, MARGIN = 12, 10.0
"""r, and see above."""

SURE = 1e-8
"""Width of the bracket of ln ‖P‖ beyond which it is not certified: 5e-9 in log10."""

DROPPED, STRICTER, LEAST_DROPPED = 5e-7, 1e-2, 1e-11
"""Directions below that of ‖P‖ are left out; after a certificate failed, below less of it."""

HELD = 2**20
"""Numbers in the Gram matrices whose norms are taken at once."""

IN_CACHE = 2**17
"""Numbers of the rows that go through a step together (1 MiB)."""

BLOCK, NEGLIGIBLE = 4, 1e-12
"""Rows of M to begin with, and the width of the bracket for which the others are left out."""

STEPS, FIRST, TURNS = 32, 4, 1.25
"""At most so many steps are done before a look; U is turned at T − k = ``FIRST``, and again when
T − k has grown so many times."""


FADING = 12
"""S times that over T − k are the rows that are guessed of a step, before they are known."""

FADED = 1e-6
"""Tangents that are smaller than that at the end, relative to the largest, are left out of U."""

SHARE, FEWEST, APART = 6, 32, 8
"""S/``SHARE`` tangents to begin with, or ``FEWEST``; steps between two QRs."""


class _Rows(NamedTuple):
    """[M; G P] at s_t, (q + r, S), without 2^``exponent``; ``GU`` (r, q), r = 0 while U = 1."""

    rows: Array
    exponent: int
    GU: Array
    t: int

    @property
    def kept(self) -> int:
        """q"""
        return int(self.GU.shape[1])


def log10_leading_norms(net: LinearNet, steps: int) -> Array | None:
    """(T+1,): entry k for J_T ⋯ J_{k+1}, entry T is 0; None where plain floats do not do: an entry
    leaves them, or nothing is left. ``net`` in ``FLOATS``. To be run within ``quietly()``."""
    size = net.size
    now = _Rows(np.eye(size), 0, np.empty((0, size)), steps)
    found = np.zeros(steps + 1)
    before: list[_Rows] = []
    dropped, turn_at, spent = DROPPED, steps - FIRST, 0.0
    while now.t > 0:
        pulled = _pulled(net, now, max(now.t - turn_at, 1))
        if pulled is None:
            return None
        after, grams, exponents = pulled
        spent += len(grams) * float(_work(np.array(now.kept), size))
        norms, sure = _norms(grams, now)
        span = slice(after.t, now.t)
        if not sure.all():
            failed = now.t - 1 - int(np.argmin(sure))
            now, dropped = before.pop(), max(dropped * STRICTER, LEAST_DROPPED)
            turn_at = min(turn_at, failed)
            continue
        found[span] = (norms / np.log(10.0) + exponents * LOG10_2)[::-1]
        now = after
        share = spent / (spent + _left(now.kept, size, steps - now.t, steps))
        announce(share, "log10_chain")
        if now.t <= turn_at:
            fewer = _turned(now, grams[-1], dropped)
            if fewer is not now:
                before.append(now)
                now = fewer
            turn_at = min(now.t - 2, steps - int(TURNS * (steps - now.t)))
    return found


def work_of_all(size: int, steps: int) -> float:
    """What all norms take, guessed beforehand."""
    return _left(size, size, 0, steps)


def _left(q: int, size: int, done: int, steps: int) -> float:
    """The work that is left after ``done`` steps, if the rows get fewer as 1/(T − k) does, which is
    what they do in most nets."""
    n = np.arange(done + 1, steps + 1)
    return float(_work(np.minimum(q, max(FADING * size, q * done) / n), size).sum())


def _work(rows: Array, size: int) -> Array:
    """Of a step of so many rows: they are pulled, and their norm is that of a Gram matrix."""
    work: Array = OF_A_STEP + rows + rows**2 / size
    return work


def _pulled(net: LinearNet, now: _Rows, most: int) -> tuple[_Rows, Array, Array] | None:
    """The rows some steps earlier, and after each of these steps all their scalar products,
    (n, q + r, q + r), with their exponents, (n,); None where plain floats do not do."""
    count = len(now.rows)
    n = min(most, now.t, STEPS, max(1, HELD // count**2))
    grams, exponents = np.empty((n, count, count)), np.empty(n)
    for i in range(n):
        after = _one_step(net, now)
        if after is None:
            return None
        now = after
        np.dot(now.rows, now.rows.T, grams[i])
        exponents[i] = now.exponent
    return now, grams, exponents


def _one_step(net: LinearNet, now: _Rows) -> _Rows | None:
    """The rows one step earlier, their largest entry near 1."""
    after, largest, least = np.empty_like(now.rows), 0.0, np.inf
    for part in _in_cache(*after.shape):
        after[part] = net.pull(now.rows[part], now.t).rows
        sizes = np.abs(after[part])
        largest = max(largest, float(sizes.max()))
        least = min(least, float(np.min(sizes, where=sizes > 0, initial=np.inf)))
    if not (0 < largest < np.inf and least > NARROW * largest and np.isfinite(after).all()):
        return None
    shift = int(np.frexp(largest)[1])
    return _Rows(np.ldexp(after, -shift, after), now.exponent + shift, now.GU, now.t - 1)


def _in_cache(count: int, size: int) -> Iterator[slice]:
    at_once = max(1, IN_CACHE // size)
    return (slice(i, i + at_once) for i in range(0, count, at_once))


def _norms(grams: Array, now: _Rows) -> tuple[Array, Which]:
    """ln ‖M‖ for every Gram matrix, and whether it is certified to be ln ‖P‖."""
    q = now.kept
    norms = 0.5 * _ln_leading(grams[:, :q, :q])
    if q == len(now.rows):
        return norms, np.ones(len(norms), dtype=np.bool_)
    GU, MM, PM, PP = now.GU, grams[:, :q, :q], grams[:, q:, :q], grams[:, q:, q:]
    E = PM - GU @ MM
    squares = np.einsum("njj->nj", PP - PM @ GU.T) - np.einsum("nji,ji->nj", E, GU)
    y2 = MARGIN**2 * np.maximum(squares.max(axis=1), 0.0)
    e2 = MARGIN**2 * (E**2).sum(axis=2).max(axis=1)
    sure: Which = _width(np.exp(2 * norms), e2, y2) <= 2 * SURE
    return norms, sure


def _width(mu: Array, e2: Array, y2: Array) -> Array:
    """How far ln ‖P‖² may be above ln μ; nan compares as not sure."""
    upper = 0.5 * (mu + y2) + np.sqrt(0.25 * (mu - y2) ** 2 + e2)
    width: Array = np.log(upper / mu)
    return width


def _ln_leading(MM: Array) -> Array:
    """ln λ₁ of M Mᵀ from its first rows alone where the same bracket allows it."""
    diagonal = np.einsum("nii->ni", MM)
    u = BLOCK
    while u < MM.shape[1]:
        e2 = (MM[:, u:, :u] ** 2).sum(axis=(1, 2))
        y2 = diagonal[:, u:].sum(axis=1)
        if (_width(diagonal[:, :u].max(axis=1), e2, y2) <= NEGLIGIBLE).all():
            return ln_largest(np.ascontiguousarray(MM[:, :u, :u]))
        u *= 2
    return ln_largest(MM)


def _turned(now: _Rows, gram: Array, dropped: float) -> _Rows:
    """U turned to the singular vectors of M, the least of them left out; as it was where that
    leaves out little."""
    q = now.kept
    squares, V = np.linalg.eigh(gram[:q, :q])
    first = int(np.searchsorted(squares, dropped**2 * squares[-1]))
    tests = 0 if len(now.GU) else TESTS
    if first <= tests + q // 8:
        return now
    V = np.ascontiguousarray(V[:, : first - 1 if first else None : -1])
    M, GU, GP = now.rows[:q], now.GU, now.rows[q:]
    if tests:
        GU = np.random.default_rng(q).normal(size=(TESTS, q))
        GP = GU @ M
    return now._replace(rows=np.concatenate([V.T @ M, GP]), GU=GU @ V)


# ------------------------------------------------------------------------------ the end alone


def log10_end_norm(net: LinearNet, steps: int) -> float | None:
    """log10 ‖J_T ⋯ J_1‖₂; None where too many directions count, plain floats do not do, or it is
    not certified. ``net`` in ``FLOATS``. To be run within ``quietly()``."""
    U = _reached(net, steps)
    if U is None:
        return None
    G = np.random.default_rng(len(U)).normal(size=(TESTS, net.size))
    now: _Rows | None = _Rows(np.concatenate([U, G]), 0, G @ U.T, steps)
    for done in range(steps):
        announce(0.5 + 0.5 * done / steps, "growth rate")
        now = None if now is None else _one_step(net, now)
    if now is None:
        return None
    norms, sure = _norms((now.rows @ now.rows.T)[np.newaxis], now)
    return float(norms[0] / np.log(10.0) + now.exponent * LOG10_2) if sure[0] else None


def _reached(net: LinearNet, steps: int) -> Array | None:
    """Uᵀ, (q, S): the tangents of the last step that have not ``FADED``; None where none has."""
    size = net.size
    count = min(size, max(FEWEST, size // SHARE))
    Q = np.linalg.qr(np.random.default_rng(size).normal(size=(size, count)))[0]
    rows, logs = np.ascontiguousarray(Q.T), np.zeros(count)
    for t in range(1, steps + 1):
        announce(0.5 * (t - 1) / steps, "growth rate")
        rows = net.push(rows, t)
        if t % APART and t < steps:
            continue
        if not np.isfinite(rows).all():
            return None
        Q, R = np.linalg.qr(rows.T)
        logs = logs + np.log(np.abs(np.diagonal(R)))
        there = np.flatnonzero(logs > logs.max() + np.log(FADED))
        all_left = len(there) and there[-1] == count - 1
        if all_left and 4 * t >= steps and (logs.min() - logs.max()) * steps > np.log(FADED) * t:
            return None
        left = int(there[-1]) + 1 if len(there) else 0
        if not left:
            return None
        rows, logs = np.ascontiguousarray(Q.T[:left]), logs[:left]
    return rows
