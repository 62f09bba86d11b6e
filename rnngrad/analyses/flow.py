"""How the gradient flows through one net: what ``derive`` shows under "gradient flow"."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np

from rnngrad.analyses.derive import Derivation
from rnngrad.analyses.horizons import Horizon, horizons, horizons_of_the_state
from rnngrad.analyses.selection import affordable_paths
from rnngrad.analyses.stability import growth_rate, regime
from rnngrad.arithmetic.arrays import Array, Integers, quietly
from rnngrad.arithmetic.scaled import LOG10_2, Bands, Scaled, reciprocal, scaled, times
from rnngrad.core.arithmetic import FLOATS
from rnngrad.core.jacobians import chain, log10_paths_from, one_step_jacobians, scaled_slopes
from rnngrad.core.leading_exponents import leading_exponents
from rnngrad.core.linear import linear_net, state_columns
from rnngrad.core.lyapunov import Lyapunov, lyapunov
from rnngrad.core.problem import Problem
from rnngrad.core.telling import heard
from rnngrad.core.traces import ForwardTrace

WORST = 1e12
"""Condition of a matrix beyond which its inverse is not trusted."""

AFFORDABLE = 2e9
"""T·(S³ + 20,000) up to which all this is computed unasked: a few seconds."""

EXPONENTS, ROWS = 8, 24
"""What is sampled where that is too much: so many exponents, and so many losses."""

SAMPLED = 1e10
"""T·(H² of all matrices + 300,000) up to which at least that is: some ten seconds."""

SURE = 1e-6
"""σ_min/σ_max above which one SVD has both right; below, σ_min comes from the inverse."""


class Shape(NamedTuple):
    """The singular values of ∂s_T/∂s_k for k = 0 … T, in two numbers each, (T+1,).

    ``log10_condition``: log10 σ_max/σ_min, inf where a direction is lost altogether, nan where a
    step of a gated or stacked net is conditioned worse than ``WORST`` and σ_min cannot be had.
    ``participation``: (Σσ²)²/Σσ⁴, how many directions take part, 1 to S; nan where all is 0.
    """

    log10_condition: Array
    participation: Array


class GradientFlow:
    """Growth, exponents, the shape of the chain, horizons and Ω of one derivation; what would take
    more than a few seconds, and is not wanted in ``full``, from a sample."""

    def __init__(self, result: Derivation, full: bool = False) -> None:
        self.result, self.problem, self.full = result, result.problem, full

    @cached_property
    def sampled(self) -> bool:
        """Whether the exponents are those of a few directions; the shape of the chain is not known
        then."""
        work = self.problem.steps * (self.problem.state_size**3 + 2e4)
        return not self.full and work > AFFORDABLE

    @cached_property
    def sampled_paths(self) -> bool:
        """Whether horizons and the credit map are those of a few losses."""
        slow = self.sampled or not affordable_paths(self.problem)
        return self.problem.loss is not None and not self.full and slow

    @property
    def affordable(self) -> bool:
        """Whether not even a sample takes too long."""
        if not self.sampled:
            return True
        weights = sum(layer.own[matrix.parameter].size for layer in self.problem.layers
                      for matrix in self.problem.cell.step.matrices)  # fmt: skip
        return self.problem.steps * (weights + 3e5) <= SAMPLED

    @property
    def losses(self) -> int:
        """How many losses count."""
        weights = self.problem.loss_weights
        return 0 if weights is None else int(np.count_nonzero(weights))

    @cached_property
    def sampled_steps(self) -> Integers:
        """The steps of ``ROWS`` losses, spread over all that count."""
        weights = self.problem.loss_weights
        counts = np.flatnonzero(np.zeros(0) if weights is None else weights) + 1
        at = np.linspace(0, len(counts) - 1, min(ROWS, len(counts))).astype(np.int64)
        return np.asarray(counts[at])

    @property
    def log10_step_norms(self) -> Array:
        """log10 ‖∂h_t/∂h_{t−1}‖ for t = 1 … T, (T,)."""
        return self.result.log10_step_norms

    @cached_property
    def rate(self) -> float:
        """(1/T) ln ‖∂h_T/∂h_0‖"""
        return growth_rate(float(self.result["log10_chain"][0]), self.problem.steps)

    @property
    def regime(self) -> str | None:
        """``vanishing``, ``steady`` or ``exploding``."""
        return regime(self.rate)

    @cached_property
    def lyapunov(self) -> Lyapunov:
        """The spectrum over all T steps from Q_0 = 1; of a sample, the leading ones alone."""
        if self.sampled:
            count = min(EXPONENTS, self.problem.state_size)
            return leading_exponents(self.problem, self.result.passes.forward, count)
        return lyapunov(self.problem, self.result.passes.forward)

    @cached_property
    def shape(self) -> Shape:
        """Condition and participation of ∂h_T/∂h_k, k = 0 … T."""
        return chain_shape(self.result)

    @cached_property
    def end(self) -> Shape:
        """The same of ∂h_T/∂h_0 alone, in a fraction of the time."""
        return chain_shape(self.result, whole=False)

    @cached_property
    def log10_paths(self) -> Array:
        """log10 ‖∂L_t/∂h_k‖, (T, T+1), or those of ``sampled_steps``, (n, T+1); there must be a
        loss. O(T²·H²) time, or O(n·T·H²)."""
        if self.sampled_paths:
            passes = self.result.passes
            return log10_paths_from(self.problem, passes.forward, passes.direct, self.sampled_steps)
        return self.result["log10_paths"]

    @property
    def path_steps(self) -> Sequence[int]:
        """The step t of each row of ``log10_paths``."""
        return (
            self.sampled_steps.tolist() if self.sampled_paths else range(1, self.problem.steps + 1)
        )

    def credit_rows(self) -> Iterator[tuple[int, Array]]:
        """(t, log10 ‖∂L_t/∂h_k‖ for k = 0 … T) for the losses that count."""
        for t, row in zip(self.path_steps, self.log10_paths, strict=True):
            if np.isfinite(row).any():
                yield t, row

    @cached_property
    def horizons(self) -> tuple[Horizon, ...]:
        """How far back the losses reach; without a loss, how far back the last state does."""
        if self.problem.loss is None:
            return horizons_of_the_state(self.result["log10_chain"])
        return horizons(self.log10_paths, self.path_steps)

    @cached_property
    def omega(self) -> Array:
        """Pascanu's Ω_t, (T,); empty without a loss."""
        return np.empty(0) if self.problem.loss is None else omega_terms(self.result)


def omega_terms(result: Derivation) -> Array:
    """Ω_t = (‖∂L/∂s_t · ∂s_t/∂s_{t−1}‖ / ‖∂L/∂s_t‖ − 1)² for t = 1 … T, (T,).

    nan where ∂L/∂s_t is 0. Their sum is 0 where the gradient keeps its length on its way back.
    Source: Pascanu, Mikolov, Bengio, ICML (2013), equation 9, with ∂L/∂h_t of all losses.
    """
    problem, trace = result.problem, result.passes.forward
    with quietly():
        net, reached = linear_net(problem, trace, FLOATS), _dL_ds(result)[1:]
        unit = reached / np.abs(reached).max(axis=1, keepdims=True)
        unit /= np.linalg.norm(unit, axis=1, keepdims=True)
        steps = heard(range(1, problem.steps + 1), problem.steps, "Ω")
        pulled = (net.pull(unit[t - 1], t).rows for t in steps)
        terms: Array = (np.array([np.linalg.norm(row) for row in pulled]) - 1.0) ** 2
        return terms


def _dL_ds(result: Derivation) -> Array:
    """∂L/∂s_t for t = 0 … T, (T+1, S)."""
    problem, back = result.problem, result.passes.backward
    dL_ds = np.empty((problem.steps + 1, problem.state_size))
    for part, rows in enumerate(back.dL_ds.values()):
        dL_ds[:, state_columns(problem.layers, part)] = rows
    return dL_ds


def chain_shape(result: Derivation, whole: bool = True) -> Shape:
    """Condition and participation of ∂s_T/∂s_k, for k = 0 … T; for k = 0 alone unless ``whole``.

    σ_min of a product that is worse conditioned than 1/rounding is 1/σ_max of its inverse,
    J_{k+1}⁻¹ ⋯ J_T⁻¹, which is a chain of its own: transposed, for rnn of the slopes 1/σ' and W⁻ᵀ.
    That inverse is right as long as no J_t itself is near singular.
    """
    with quietly():
        sigmas, exponents = _singular_values(result, whole)
        condition = np.log10(sigmas[:, 0] / sigmas[:, -1])
        squares = (sigmas / sigmas[:, :1]) ** 2
        participation = squares.sum(axis=1) ** 2 / (squares**2).sum(axis=1)
        unsure = ~(sigmas[:, -1] > SURE * sigmas[:, 0])
        if unsure.any():
            through_inverse = _log10_inverse_norms(result, whole)
            norms = np.log10(sigmas[:, 0]) + exponents * LOG10_2
            condition = np.where(unsure, norms + through_inverse, condition)
    return Shape(condition, participation)


def _singular_values(result: Derivation, whole: bool) -> tuple[Array, Array]:
    """Of ∂s_T/∂s_k, (T+1, S), without 2^exponent, (T+1,); of ∂s_T/∂s_0 unless ``whole``."""
    products = chain(result.problem, result.passes.forward)
    counted = heard(products, result.problem.steps + 1, "shape of the chain")
    found = [_sigmas(*p) for p in (counted if whole else deque(counted, maxlen=1))][::-1]
    return np.array([sigmas for sigmas, _ in found]), np.array([top for _, top in found])


def _sigmas(values: Array, exponent: int) -> tuple[Array, float]:
    """The singular values of values · 2^exponent, and that exponent."""
    if not np.isfinite(values).all():
        return np.full(len(values), np.nan), 0.0
    return np.asarray(np.linalg.svd(values, compute_uv=False), np.float64), float(exponent)


def _log10_inverse_norms(result: Derivation, whole: bool) -> Array:
    """log10 of 1/σ_min of ∂s_T/∂s_k, (T+1,); from the last step on that has no inverse inf, or nan
    where that is only not to be trusted."""
    steps = result.problem.steps
    unknown = np.inf if result.problem.single_rnn else np.nan
    norms = np.full(steps + 1 if whole else 1, unknown)
    for k, product in zip(range(steps, -1, -1), inverse_chain(result), strict=False):
        if k and not whole:
            continue
        values, exponent = product.aligned(axis=(0, 1))
        sigmas, top = _sigmas(values, int(exponent))
        norms[k] = np.log10(sigmas[0]) + top * LOG10_2
    return norms


def inverse_chain(result: Derivation) -> Iterator[Scaled]:
    """(∂s_T/∂s_k)⁻ᵀ for k = T, T−1 …; ends before the first step that loses a direction."""
    problem, trace = result.problem, result.passes.forward
    rows = scaled(np.eye(problem.state_size))
    yield rows
    inverses = _rnn_inverses(problem, trace) if problem.single_rnn else _inverses(problem, trace)
    for slopes, inverse in inverses:
        rows = times(rows if slopes is None else rows * slopes, inverse)
        yield rows


def _rnn_inverses(problem: Problem, trace: ForwardTrace) -> Iterator[tuple[Scaled | None, Bands]]:
    """J_t⁻ᵀ = diag(1/σ'(a_t)) W_hh⁻ᵀ for t = T, T−1 …"""
    W, slopes = problem.weights["W_hh"], scaled_slopes(problem, trace)
    if np.linalg.cond(W) > WORST:
        return
    inverse = Bands(np.asarray(np.linalg.inv(W).T, np.float64))
    for t in range(problem.steps - 1, -1, -1):
        if not slopes.mantissa[t].all():
            return
        yield reciprocal(slopes[t]), inverse


def _inverses(problem: Problem, trace: ForwardTrace) -> Iterator[tuple[Scaled | None, Bands]]:
    """J_t⁻ᵀ as it is."""
    jacobians = one_step_jacobians(problem, trace)
    for jacobian in jacobians[::-1]:
        if not (np.isfinite(jacobian).all() and np.linalg.cond(jacobian) < WORST):
            return
        yield None, Bands(np.asarray(np.linalg.inv(jacobian).T, np.float64))
