"""Products of one-step Jacobians ∂h_t/∂h_{t−1} = diag(σ'(a_t)) W_hh, in log space.

Rows are pulled back through the steps, row · J_T · J_{T−1} ⋯ J_{k+1}, as ``core.scaled`` numbers:
nothing under- or overflows at any T, and a part that is small now is still there when it matters.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from rnngrad.core.arrays import Array, Integers, quietly
from rnngrad.core.chain_norms import log10_norms
from rnngrad.core.outputs import scaled_slope
from rnngrad.core.path_norms import log10_path_norms
from rnngrad.core.problem import Problem
from rnngrad.core.rnn_passes import sure_slopes
from rnngrad.core.scaled import (
    Scaled,
    bands,
    log10_spectral_norms,
    scaled,
    times,
)
from rnngrad.core.traces import ForwardTrace

CHUNK = 2**21
"""Numbers held back for one batched SVD (16 MiB)."""


def one_step_jacobians(problem: Problem, trace: ForwardTrace) -> Array:
    """∂h_t/∂h_{t−1} = diag(σ'(a_t)) W_hh, (T, H, H), rows the output."""
    with quietly():
        slopes = problem.activation.slope(trace.a)
        jacobians: Array = slopes[:, :, np.newaxis] * problem.weights["W_hh"]
        return jacobians


def log10_step_norms(problem: Problem, trace: ForwardTrace) -> Array:
    """log10 ‖∂h_t/∂h_{t−1}‖₂ for t = 1 … T, (T,)."""
    with quietly():
        slopes, W_hh = scaled_slopes(problem, trace), scaled(problem.weights["W_hh"])
        norms = _Norms(problem.steps, problem.hidden)
        for t in range(1, problem.steps + 1):
            norms.add(slopes[t - 1, :, np.newaxis] * W_hh)
        return norms.values()


def scaled_slopes(problem: Problem, trace: ForwardTrace) -> Scaled:
    """σ'(a_t), (T, H), right to rounding even where it is no normal float any more."""
    return scaled_slope(problem.activation, trace.a)


def log10_chain(problem: Problem, trace: ForwardTrace) -> Array:
    """log10 ‖∂h_T/∂h_k‖₂ for k = 0 … T, (T+1,); entry T is 0, −inf only for an exact zero.

    The largest singular value of J_T ⋯ J_{k+1}. Error: that of a product whose factors have
    entries right to rounding. Source: Pascanu, Mikolov, Bengio, *On the difficulty of training
    recurrent neural networks*, ICML (2013), section 2; see ``core.scaled`` for the range.
    """
    with quietly():
        return log10_norms(sure_slopes(problem.activation, trace.a), problem.weights["W_hh"])


class _Norms:
    """log10 spectral norms of matrices handed in one by one, taken by batched SVDs."""

    def __init__(self, count: int, size: int) -> None:
        self._batch = max(1, min(count, CHUNK // (size * size)))
        self._values = np.empty((self._batch, size, size))
        self._exponents = np.empty(self._batch, dtype=np.int64)
        self._filled = 0
        self._done: list[Array] = []

    def add(self, matrix: Scaled) -> None:
        values, exponent = matrix.aligned(axis=(0, 1))
        self._values[self._filled], self._exponents[self._filled] = values, exponent
        self._filled += 1
        if self._filled == self._batch:
            self._flush()

    def _flush(self) -> None:
        filled = slice(0, self._filled)
        self._done.append(log10_spectral_norms(self._values[filled], self._exponents[filled]))
        self._filled = 0

    def values(self) -> Array:
        if self._filled:
            self._flush()
        return np.concatenate(self._done)


class PulledBack(NamedTuple):
    """What reaches step k: ``at_h`` row i is ∂L_t/∂h_k and ``at_a`` is ∂L_t/∂a_k = ∂L_t/∂h_k ∘
    σ'(a_k), for t = ``steps[i]``, largest t first. There is no ``at_a`` for k = 0."""

    k: int
    steps: Integers
    at_h: Scaled
    at_a: Scaled | None


def pulled_back(problem: Problem, trace: ForwardTrace, direct: Scaled) -> Iterator[PulledBack]:
    """∂L_t/∂h_k for k = T, T−1 … 0 and every t ≥ k whose loss counts, each L_t on its own.

        ∂L_t/∂h_t = the direct term        ∂L_t/∂h_{k−1} = (∂L_t/∂h_k ∘ σ'(a_k)) W_hh

    ``direct`` is ∂L_t/∂h_t, (T, H) (``core.direct``). Steps without a loss (``loss_weights`` 0)
    have no row. To be run within ``quietly()``.
    """
    weights = problem.loss_weights
    counts = np.zeros(problem.steps, bool) if weights is None else weights != 0
    W_hh, slopes = bands(problem.weights["W_hh"]), scaled_slopes(problem, trace)
    steps: Integers = np.empty(0, dtype=np.int64)
    rows = Scaled(np.empty((0, problem.hidden)), np.empty((0, problem.hidden), dtype=np.int64))
    for k in range(problem.steps, 0, -1):
        if counts[k - 1]:
            rows, steps = _append(rows, direct[k - 1]), np.append(steps, k)
        at_a = rows * slopes[k - 1]
        yield PulledBack(k, steps, rows, at_a)
        rows = times(at_a, W_hh) if len(steps) else rows
    yield PulledBack(0, steps, rows, None)


def _append(rows: Scaled, row: Scaled) -> Scaled:
    return Scaled(
        np.vstack([rows.mantissa, row.mantissa]), np.vstack([rows.exponent, row.exponent])
    )


def log10_paths(problem: Problem, trace: ForwardTrace, direct: Scaled) -> Array:
    """log10 ‖∂L_t/∂h_k‖₂, (T, T+1), row t−1, column k; nan for k > t, −inf for an exact zero.

    Each loss on its own: the credit that step k gets from L_t.
    """
    weights = problem.loss_weights
    counts = np.zeros(problem.steps, bool) if weights is None else weights != 0
    with quietly():
        slopes = scaled_slopes(problem, trace)
        return log10_path_norms(slopes, problem.weights["W_hh"], direct, counts)
