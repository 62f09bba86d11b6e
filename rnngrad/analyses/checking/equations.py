"""The cells' equations as on paper, once more: what ``cell.advance`` must agree with.

Every check goes through the core's ``advance``, so it is itself compared with these, step by step.
Sources: as in ``core.cells``; gru and lstm in the form and row order of PyTorch's documentation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from rnngrad.analyses.checking.experiments import Setting
from rnngrad.arithmetic.arrays import Array
from rnngrad.core.problem import Layer, Problem


def states(setting: Setting) -> Array:
    """h_t of every layer, (T+1, H): each step from h_{t−1} and x_t of the trace, c_t from its own
    recursion, which forgets rounding as it forgets all else."""
    problem, columns = setting.problem, []
    for one, share in zip(setting.layers, setting.trace.layers, strict=True):
        after = _CELLS[problem.cell.name](problem, one.layer, share.x, share.h[:-1])
        columns.append(np.concatenate([problem.h_0[np.newaxis, one.layer.units], after]))
    return np.concatenate(columns, axis=1)


def _times(matrix: Array, rows: Array) -> Array:
    return np.asarray(np.einsum("ij,tj->ti", matrix, rows))


def _rnn(problem: Problem, layer: Layer, x: Array, before: Array) -> Array:
    W = layer.weights
    a = _times(W["W_hh"], before) + _times(W["W_xh"], x) + W["b_h"]
    return np.asarray(problem.activation.f(a))


def _gru(problem: Problem, layer: Layer, x: Array, before: Array) -> Array:
    W = layer.weights
    x_r, x_z, x_n = np.split(_times(W["W_xh"], x) + W["b_xh"], 3, axis=1)
    h_r, h_z, h_n = np.split(_times(W["W_hh"], before) + W["b_hh"], 3, axis=1)
    r, z = _sigmoid(x_r + h_r), _sigmoid(x_z + h_z)
    n = np.tanh(x_n + r * h_n)
    return np.asarray(_sigmoid(-x_z - h_z) * n + z * before)


def _lstm(problem: Problem, layer: Layer, x: Array, before: Array) -> Array:
    W = layer.weights
    a = _times(W["W_hh"], before) + _times(W["W_xh"], x) + W["b_h"]
    i, f, g, o = np.split(a, 4, axis=1)
    gained, kept = _sigmoid(i) * np.tanh(g), _sigmoid(f)
    c = np.zeros(layer.hidden) if problem.c_0 is None else problem.c_0[layer.units]
    cells = np.empty_like(before)
    for t in range(len(before)):
        c = cells[t] = kept[t] * c + gained[t]
    return np.asarray(_sigmoid(o) * np.tanh(cells))


def _sigmoid(a: Array) -> Array:
    """½ (1 + tanh(a/2)) where that has its digits, else eᵃ/(1 + eᵃ)."""
    power = np.exp(np.minimum(a, 0.0))
    return np.where(a > 0, 0.5 * (1.0 + np.tanh(0.5 * a)), power / (1.0 + power))


_CELLS: Mapping[str, Callable[[Problem, Layer, Array, Array], Array]] = MappingProxyType(
    {"rnn": _rnn, "gru": _gru, "lstm": _lstm}
)
"""name of a cell -> h_1 … h_T of one layer, (T, H)."""
