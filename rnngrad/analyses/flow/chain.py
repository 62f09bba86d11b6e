"""The shape of the chain of Jacobians of one net, and Pascanu's Ω."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from rnngrad.analyses.derivation.quantities import Passes
from rnngrad.arithmetic.arrays import Array, quietly
from rnngrad.arithmetic.number_types import FLOATS
from rnngrad.arithmetic.scaled import LOG10_2, Bands, Scaled, reciprocal, scaled, times
from rnngrad.chains.jacobians import chain, one_step_jacobians, scaled_slopes
from rnngrad.net.linearised import linear_net, state_columns
from rnngrad.net.problem import Problem
from rnngrad.net.traces import ForwardTrace
from rnngrad.progress import reported

WORST = 1e12
"""Condition of a matrix beyond which its inverse is not trusted."""

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


def omega_terms(passes: Passes) -> Array:
    """Ω_t = (‖∂L/∂s_t · ∂s_t/∂s_{t−1}‖ / ‖∂L/∂s_t‖ − 1)² for t = 1 … T, (T,).

    nan where ∂L/∂s_t is 0. Their sum is 0 where the gradient keeps its length on its way back.
    Source: Pascanu, Mikolov, Bengio, ICML (2013), equation 9, with ∂L/∂h_t of all losses.
    """
    problem, trace = passes.problem, passes.forward
    with quietly():
        net, reached = linear_net(problem, trace, FLOATS), dL_ds(passes)[1:]
        unit = reached / np.abs(reached).max(axis=1, keepdims=True)
        unit /= np.linalg.norm(unit, axis=1, keepdims=True)
        steps = reported(range(1, problem.steps + 1), problem.steps, "Ω")
        pulled = (net.pull(unit[t - 1], t).rows for t in steps)
        terms: Array = (np.array([np.linalg.norm(row) for row in pulled]) - 1.0) ** 2
        return terms


def dL_ds(passes: Passes) -> Array:
    """∂L/∂s_t for t = 0 … T, (T+1, S)."""
    problem, back = passes.problem, passes.backward
    whole = np.empty((problem.steps + 1, problem.state_size))
    for part, rows in enumerate(back.dL_ds.values()):
        whole[:, state_columns(problem.layers, part)] = rows
    return whole


def chain_shape(passes: Passes, whole: bool = True) -> Shape:
    """Condition and participation of ∂s_T/∂s_k, for k = 0 … T; for k = 0 alone unless ``whole``.

    σ_min of a product that is worse conditioned than 1/rounding is 1/σ_max of its inverse,
    J_{k+1}⁻¹ ⋯ J_T⁻¹, which is a chain of its own: transposed, for rnn of the slopes 1/σ' and W⁻ᵀ.
    That inverse is right as long as no J_t itself is near singular.
    """
    with quietly():
        sigmas, exponents = _singular_values(passes, whole)
        condition = np.log10(sigmas[:, 0] / sigmas[:, -1])
        squares = (sigmas / sigmas[:, :1]) ** 2
        participation = squares.sum(axis=1) ** 2 / (squares**2).sum(axis=1)
        unsure = ~(sigmas[:, -1] > SURE * sigmas[:, 0])
        if unsure.any():
            through_inverse = _log10_inverse_norms(passes, whole)
            norms = np.log10(sigmas[:, 0]) + exponents * LOG10_2
            condition = np.where(unsure, norms + through_inverse, condition)
    return Shape(condition, participation)


def _singular_values(passes: Passes, whole: bool) -> tuple[Array, Array]:
    """Of ∂s_T/∂s_k, (T+1, S), without 2^exponent, (T+1,); of ∂s_T/∂s_0 unless ``whole``."""
    products = chain(passes.problem, passes.forward)
    counted = reported(products, passes.problem.steps + 1, "shape of the chain")
    found = [_sigmas(*p) for p in (counted if whole else deque(counted, maxlen=1))][::-1]
    return np.array([sigmas for sigmas, _ in found]), np.array([top for _, top in found])


def _sigmas(values: Array, exponent: int) -> tuple[Array, float]:
    """The singular values of values · 2^exponent, and that exponent."""
    if not np.isfinite(values).all():
        return np.full(len(values), np.nan), 0.0
    return np.asarray(np.linalg.svd(values, compute_uv=False), np.float64), float(exponent)


def _log10_inverse_norms(passes: Passes, whole: bool) -> Array:
    """log10 of 1/σ_min of ∂s_T/∂s_k, (T+1,); from the last step on that has no inverse inf, or nan
    where that is only not to be trusted."""
    steps = passes.problem.steps
    unknown = np.inf if passes.problem.single_rnn else np.nan
    norms = np.full(steps + 1 if whole else 1, unknown)
    for k, product in zip(range(steps, -1, -1), inverse_chain(passes), strict=False):
        if k and not whole:
            continue
        values, exponent = product.aligned(axis=(0, 1))
        sigmas, top = _sigmas(values, int(exponent))
        norms[k] = np.log10(sigmas[0]) + top * LOG10_2
    return norms


def inverse_chain(passes: Passes) -> Iterator[Scaled]:
    """(∂s_T/∂s_k)⁻ᵀ for k = T, T−1 …; ends before the first step that loses a direction."""
    problem, trace = passes.problem, passes.forward
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
