"""Products of explicit one-step Jacobians, entry by entry at any exponent.

rows · ∂s_t/∂s_{t−1}, which for one layer of rnn is diag(σ'(a_t)) W_hh and for any other net what
the tangent pass makes of every unit vector. Where the entries of a row lie within 2⁴⁰⁰ of each
other this is one matrix product; else every single term is formed with its own exponent before any
is added.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rnngrad.analyses.checking.experiments import Setting
from rnngrad.analyses.checking.tangent import in_parts, raised, step
from rnngrad.arithmetic.arrays import Array, Integers
from rnngrad.arithmetic.scaled import LOG10_2, Scaled, scaled, total
from rnngrad.core.telling import heard

TITLE = "explicit Jacobians"
"""Their product, each of them by complex step."""

SPREAD = 400
CHUNK = 2**22
"""Terms formed at a time."""


def pulled(rows: Scaled, slopes: Scaled, matrix: Array) -> Scaled:
    """rows (n, S) times diag(slopes) (S,) times ``matrix`` (S, S)."""
    return _times(rows * slopes, scaled(matrix))


def through_step(setting: Setting, rows: Scaled, t: int) -> Scaled:
    """rows (n, S) times ∂s_t/∂s_{t−1}."""
    if setting.problem.single_rnn:
        return pulled(rows, setting.slopes[t - 1], setting.problem.weights["W_hh"])
    return _times(rows, jacobian(setting, t))


def jacobian(setting: Setting, t: int) -> Scaled:
    """∂s_t/∂s_{t−1}, (S, S), rows the output."""
    units = scaled(np.eye(setting.problem.state_size))
    after = [part for parts in step(setting, t, in_parts(setting, units)) for part in parts]
    mantissa = np.concatenate([part.mantissa for part in after], axis=1)
    exponent = np.concatenate([part.exponent for part in after], axis=1)
    return Scaled(mantissa.T, exponent.T)


def _times(rows: Scaled, matrix: Scaled) -> Scaled:
    if _narrow(rows, axis=1) and _narrow(matrix, axis=None):
        values, exponent = rows.aligned(axis=1)
        plain, top = matrix.aligned(axis=(0, 1))
        return raised(scaled(values @ plain), exponent[:, np.newaxis] + top)
    return _term_by_term(rows, matrix)


def _narrow(entries: Scaled, axis: int | None) -> bool:
    zero = entries.mantissa == 0
    highest = np.max(np.where(zero, -(2**40), entries.exponent), axis=axis, initial=-(2**40))
    lowest = np.min(np.where(zero, 2**40, entries.exponent), axis=axis, initial=2**40)
    return bool(np.all(highest - lowest <= SPREAD))


def _term_by_term(rows: Scaled, matrix: Scaled) -> Scaled:
    size = max(1, matrix.mantissa.shape[0])
    chunk = max(1, CHUNK // size**2)
    parts = [
        total(rows[start : start + chunk, :, np.newaxis] * matrix, axis=1)
        for start in range(0, rows.mantissa.shape[0], chunk)
    ]
    return Scaled(
        np.concatenate([part.mantissa for part in parts]),
        np.concatenate([part.exponent for part in parts]),
    )


AFFORDABLE = 5e8
"""Of T·S³ numbers in the singular values of a chain."""


def chain_stride(setting: Setting) -> int:
    """At one step in how many the singular values of the chain are affordable."""
    work = setting.problem.steps * float(setting.problem.state_size) ** 3
    return int(np.ceil(work / AFFORDABLE))


def log10_chain(setting: Setting, stride: int = 1) -> Array:
    """log10 ‖J_T ⋯ J_{k+1}‖₂, J_t = ∂s_t/∂s_{t−1}, for k = 0 … T, (T+1,); nan where k is no
    multiple of ``stride``."""
    steps = setting.problem.steps
    rows = scaled(np.eye(setting.problem.state_size))
    result = np.full(steps + 1, np.nan)
    result[steps] = 0.0
    for t in heard(range(steps, 0, -1), steps, TITLE):
        rows = through_step(setting, rows, t)
        if (t - 1) % stride == 0:
            result[t - 1] = _log10_norm(rows)
    return result


def _log10_norm(rows: Scaled) -> float:
    """log10 of the largest singular value."""
    values, exponent = rows.aligned(axis=(0, 1))
    if not np.isfinite(values).all():
        return float("nan")
    size = float(np.linalg.norm(values, 2))
    return float(np.log10(size)) + float(exponent) * LOG10_2 if size else float("-inf")


def log10_lengths(rows: Scaled) -> Array:
    """log10 ‖row‖₂, (n,)."""
    values, exponent = rows.aligned(axis=-1)
    length = np.linalg.norm(values, axis=-1)
    lengths: Array = np.log10(length) + np.where(length == 0, 0, exponent) * LOG10_2
    return lengths


def paths(setting: Setting, direct: Scaled) -> Iterator[tuple[int, Integers, Scaled]]:
    """(k, t's, ∂L_t/∂s_k as rows), for k = T … 0, from ∂L_t/∂h_t of the top layer, (T, H), and the
    explicit Jacobians."""
    problem = setting.problem
    wide = scaled(np.zeros((problem.steps, problem.state_size)))
    wide.mantissa[:, setting.top], wide.exponent[:, setting.top] = direct.mantissa, direct.exponent
    weights = problem.loss_weights
    counts = np.zeros(problem.steps, bool) if weights is None else weights != 0
    steps: Integers = np.empty(0, dtype=np.int64)
    rows = scaled(np.empty((0, problem.state_size)))
    for k in range(problem.steps, -1, -1):
        if k and counts[k - 1]:
            rows, steps = _joined(rows, wide[k - 1 : k]), np.append(steps, k)
        yield k, steps, rows
        if k and len(steps):
            rows = through_step(setting, rows, k)


def _joined(first: Scaled, second: Scaled) -> Scaled:
    return Scaled(
        np.concatenate([first.mantissa, second.mantissa]),
        np.concatenate([first.exponent, second.exponent]),
    )
