"""What a pass leaves behind, and how it is indexed: said here once.

Steps count from 1, as on paper, and arrays from 0. An array with T + 1 rows has the state's index:
``h[t]`` is h_t and ``h[0]`` is h_0. An array with T rows has step t in row t − 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from rnngrad.arithmetic.arrays import Array, Numbers
from rnngrad.core.cells import LayerTrace
from rnngrad.core.problem import Layer, Problem


class ForwardTrace(NamedTuple):
    """The forward pass: ``a`` (T, G·H), ``h`` (T+1, H), ``a_y`` and ``y`` (T, O), ``losses`` (T,).

    ``losses`` holds L_t with its weight, so L is their sum; zeros where there is no loss. ``c``
    (T+1, H) for lstm, ``inner`` (T, H) for gru: W_hn h_{t−1} + b_hn. The layers of a stack stand
    side by side, lowest first; G is the number of gates.
    """

    a: Numbers
    h: Numbers
    a_y: Numbers
    y: Numbers
    losses: Numbers
    c: Numbers | None = None
    inner: Numbers | None = None

    @property
    def loss(self) -> float:
        """L = Σ_t L_t"""
        return float(np.add.reduce(self.losses))

    @property
    def first_nonfinite_step(self) -> int | None:
        """The first step with an inf or nan in it, or None."""
        parts = [self.a, self.h[1:], self.a_y, self.y, self.losses]
        parts += [] if self.c is None else [self.c[1:]]
        finite = np.logical_and.reduce([_finite_rows(part) for part in parts])
        return None if finite.all() else int(np.argmin(finite)) + 1

    def of(self, layer: Layer, x: Numbers) -> LayerTrace:
        """One layer's share; ``x`` (T, I) is what enters it."""
        units = layer.units
        return LayerTrace(
            x,
            self.a[:, layer.gates],
            self.h[:, units],
            None if self.c is None else self.c[:, units],
            None if self.inner is None else self.inner[:, units],
        )

    def layers(self, problem: Problem) -> tuple[LayerTrace, ...]:
        """Every layer's share, lowest first."""
        traces: list[LayerTrace] = []
        for layer in problem.layers:
            traces.append(self.of(layer, traces[-1].h[1:] if traces else problem.x))
        return tuple(traces)


def _finite_rows(values: Numbers) -> Numbers:
    return np.asarray(np.isfinite(values.reshape(len(values), -1)).all(axis=1))


class BackwardTrace(NamedTuple):
    """Back-propagation through time.

    ``dL_dy`` (T, O), ``dL_da_y`` (T, O) = ∂L/∂(W_hy h_t + b_y), ``dLt_dht`` (T, H) the direct term
    alone, ``dL_dh`` (T+1, H) all paths, ``dL_da`` (T, G·H) = ∂L/∂(W_xh x_t), for rnn
    σ'(a_t) ∘ ∂L/∂h_t, ``dL_dx`` (T, I), ``weights`` each parameter's gradient by the parameter's
    name, shaped as the parameter, ``dL_dc`` (T+1, H) for lstm.
    """

    dL_dy: Array
    dL_da_y: Array
    dLt_dht: Array
    dL_dh: Array
    dL_da: Array
    dL_dx: Array
    weights: Mapping[str, Array]
    dL_dc: Array | None = None
