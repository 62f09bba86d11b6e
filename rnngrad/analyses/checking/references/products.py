"""Products of explicit one-step Jacobians, entry by entry at any exponent.

rows · ∂s_t/∂s_{t−1}, which for one layer of rnn is diag(σ'(a_t)) W_hh and for any other net what
the tangent pass makes of every unit vector. Where the entries of a row lie within 2⁴⁰⁰ of each
other this is one matrix product; else every single term is formed with its own exponent before any
is added.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rnngrad.analyses.checking.references.perturbed_forward import Setting
from rnngrad.analyses.checking.references.plan import PATHS, Plan
from rnngrad.analyses.checking.references.tangent import in_parts, raised, step, step_in_floats
from rnngrad.arithmetic.arrays import Array
from rnngrad.arithmetic.scaled import LOG10_2, Scaled, scaled, total
from rnngrad.chains.float_rows import FloatRows
from rnngrad.progress import growing, reported

TITLE = "explicit Jacobians"
"""Their product, each of them by complex step."""

SPREAD = 400
CHUNK = 2**22
"""Terms formed at a time."""


def pulled(rows: Scaled, slopes: Scaled, matrix: Array) -> Scaled:
    """rows (n, S) times diag(slopes) (S,) times ``matrix`` (S, S)."""
    return times(rows * slopes, scaled(matrix))


def through_step(setting: Setting, rows: Scaled, t: int) -> Scaled:
    """rows (n, S) times ∂s_t/∂s_{t−1}."""
    if setting.problem.single_rnn:
        return pulled(rows, setting.slopes[t - 1], setting.problem.weights["W_hh"])
    return times(rows, jacobian(setting, t))


def jacobian(setting: Setting, t: int) -> Scaled:
    """∂s_t/∂s_{t−1}, (S, S), rows the output."""
    plain = jacobian_in_floats(setting, t)
    if plain is not None:
        return scaled(plain)
    units = scaled(np.eye(setting.problem.state_size))
    after = [part for parts in step(setting, t, in_parts(setting, units)) for part in parts]
    mantissa = np.concatenate([part.mantissa for part in after], axis=1)
    exponent = np.concatenate([part.exponent for part in after], axis=1)
    return Scaled(mantissa.T, exponent.T)


def jacobian_in_floats(setting: Setting, t: int) -> Array | None:
    """The same in plain floats; None where these do not do."""
    eye = np.eye(setting.problem.state_size)
    units = [[eye[:, part] for part in one.layer.state] for one in setting.layers]
    plain = step_in_floats(setting, t, units)
    if plain is None:
        return None
    return np.concatenate([part for parts in plain for part in parts], axis=1).T


def times(rows: Scaled, matrix: Scaled) -> Scaled:
    """rows (n, S) · matrix (S, ·)."""
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


def by_rows(plan: Plan, paths: bool) -> bool:
    """Whether ``log10_paths`` may be had from rows that are looked at one by one."""
    return paths and not plan.every and not set(PATHS) & set(plan.left_out)


class Explicit(NamedTuple):
    """log10 ‖J_T ⋯ J_{k+1}‖₂ for k = 0 … T, J_t = ∂s_t/∂s_{t−1}, nan where k is no multiple of the
    stride, and log10 ‖∂L_t/∂s_k‖₂, (T, T+1), row t − 1; what was not asked for is empty."""

    chain: Array
    paths: Array


def explicit(setting: Setting, stride: int | None, direct: Scaled | None) -> Explicit:
    """Both from one walk: the rows of all paths and those of the chain meet each Jacobian at once.
    ``stride`` None: no chain; ``direct``, ∂L_t/∂h_t of the top layer, (T, H), None: no paths."""
    problem, steps = setting.problem, setting.problem.steps
    size = problem.state_size if stride is not None else 0
    rows, reached = _Rows(setting, np.eye(problem.state_size)[:size]), np.empty(0, dtype=np.int64)
    chain = np.full(steps + 1 if stride is not None else 0, np.nan)
    chain[steps:] = 0.0
    later = np.arange(steps + 1) > np.arange(1, steps + 1)[:, np.newaxis]
    paths = np.where(later, np.nan, -np.inf) if direct is not None else np.empty((0, 0))
    weights = problem.loss_weights
    counts = np.zeros(steps, bool) if weights is None or direct is None else weights != 0
    work = growing([*(size + problem.state_size + np.cumsum(counts[::-1])), 0.0])
    for k in reported(range(steps, -1, -1), steps + 1, TITLE, work):
        if k and counts[k - 1] and direct is not None:
            rows.add(_wide(setting, direct[k - 1 : k]))
            reached = np.append(reached, k)
        if len(reached):
            paths[reached - 1, k] = rows.log10_lengths()[size:]
        if k < steps and stride is not None and k % stride == 0:
            chain[k] = _log10_norm(rows.exact[:size])
        if k:
            rows.through(k)
    return Explicit(chain, paths)


class _Rows:
    """Rows on their way back: in plain floats as long as these do (``chains.float_rows``)."""

    def __init__(self, setting: Setting, start: Array) -> None:
        self.setting = setting
        self.rows: FloatRows | Scaled = FloatRows(start, np.zeros(len(start), dtype=np.int64))

    @property
    def exact(self) -> Scaled:
        """With an exponent for every entry."""
        return self.rows.exact if isinstance(self.rows, FloatRows) else self.rows

    def log10_lengths(self) -> Array:
        """log10 ‖row‖₂ of each."""
        if isinstance(self.rows, FloatRows):
            return self.rows.log10_lengths()
        return log10_lengths(self.rows)

    def add(self, row: Scaled) -> None:
        """One more, (1, S)."""
        if isinstance(self.rows, FloatRows):
            self.rows = self.rows.added(row[0])
        else:
            self.rows = _joined(self.rows, row)

    def through(self, t: int) -> None:
        """Times ∂s_t/∂s_{t−1}."""
        moved: FloatRows | None = None
        if isinstance(self.rows, FloatRows) and not self.setting.problem.single_rnn:
            J = jacobian_in_floats(self.setting, t) if len(self.rows.values) else None
            moved = None if J is None else self.rows.moved(self.rows.values @ J)
        if moved is not None:
            self.rows = moved
        elif len(self.exact):
            self.rows = through_step(self.setting, self.exact, t)


def _wide(setting: Setting, row: Scaled) -> Scaled:
    """∂L_t/∂h_t of the top layer as ∂L_t/∂s_t, (1, S)."""
    wide = scaled(np.zeros((1, setting.problem.state_size)))
    wide.mantissa[:, setting.top], wide.exponent[:, setting.top] = row.mantissa, row.exponent
    return wide


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


def _joined(first: Scaled, second: Scaled) -> Scaled:
    return Scaled(
        np.concatenate([first.mantissa, second.mantissa]),
        np.concatenate([first.exponent, second.exponent]),
    )
