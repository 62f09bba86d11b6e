"""What a pass leaves behind, and how it is indexed: said here once.

Steps count from 1, as on paper, and arrays from 0. An array with T + 1 rows has the state's index:
``h[t]`` is h_t and ``h[0]`` is h_0. An array with T rows has step t in row t − 1. Of a batch of
B sequences (``net.batch_passes``) each row is B rows, one a sequence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from rnngrad.algebra.equations import X
from rnngrad.algebra.step_graph import before
from rnngrad.arithmetic.arrays import Array, Numbers, side_by_side


class LayerTrace(NamedTuple):
    """One layer over T steps: ``x`` (T, I) what enters it, ``states`` (T+1, n) each part of the
    state, ``values`` (T, n) what was computed with matrices: pre-activations such as ``a.i``;
    ``walked``: whether a walk of ``net.walks`` computed these, and found them in its range; that of
    a batch leaves more beside them. ``sequences``: B, 1 where it is no batch."""

    x: Numbers
    states: Mapping[str, Numbers]
    values: Mapping[str, Numbers]
    walked: bool = False
    sequences: int = 1

    @property
    def h(self) -> Numbers:
        """What the layer above and the read-out see: the first part, (T+1, n)."""
        return next(iter(self.states.values()))

    def given(self, key: str) -> Numbers:
        """x_t, a part of s_t or s_{t−1}, or a value, over all steps, (T, n)."""
        if key == X:
            return self.x
        if key in self.values:
            return self.values[key]
        if key in self.states:
            return self.states[key][self.sequences :]
        for part, rows in self.states.items():
            if key == before(part):
                return rows[: -self.sequences]
        raise KeyError(key)

    def at_step(self, t: int) -> LayerTrace:
        """Step t alone, as a trace of one step."""
        row, states = slice(t - 1, t), slice(t - 1, t + 1)
        return LayerTrace(
            self.x[row],
            {part: rows[states] for part, rows in self.states.items()},
            {key: rows[row] for key, rows in self.values.items()},
        )


class ForwardTrace(NamedTuple):
    """The forward pass: the layers, lowest first; ``a_y`` and ``y`` (T, O), ``losses`` (T,).

    ``losses`` holds L_t with its weight, so L is their sum; zeros where there is no loss.
    """

    layers: tuple[LayerTrace, ...]
    a_y: Numbers
    y: Numbers
    losses: Numbers

    @property
    def h(self) -> Numbers:
        """The first part of the state of all layers side by side, (T+1, H)."""
        return side_by_side([layer.h for layer in self.layers])

    def part(self, name: str) -> Numbers:
        """A part of the state of all layers side by side, (T+1, ·)."""
        return side_by_side([layer.states[name] for layer in self.layers])

    @property
    def a(self) -> Numbers:
        """All that was computed with matrices side by side, (T, ·); of one layer of rnn a_t."""
        return side_by_side([rows for layer in self.layers for rows in layer.values.values()])

    @property
    def loss(self) -> float:
        """L = Σ_t L_t"""
        return float(np.add.reduce(self.losses))

    @property
    def first_nonfinite_step(self) -> int | None:
        """The first step with an inf or nan in it, or None."""
        parts = [rows for layer in self.layers for rows in layer.values.values()]
        parts += [rows[1:] for layer in self.layers for rows in layer.states.values()]
        parts += [self.a_y, self.y, self.losses]
        finite = np.logical_and.reduce([_finite_rows(part) for part in parts])
        return None if finite.all() else int(np.argmin(finite)) + 1


def _finite_rows(values: Numbers) -> Numbers:
    return np.asarray(np.isfinite(values.reshape(len(values), -1)).all(axis=1))


class Back(NamedTuple):
    """A layer's backward walk: ``states`` (T+1, n) ∂L/∂s_t part by part as it comes from step
    t + 1, ``at`` (T, n) ∂L/∂ of what the graph keeps, such as ``a.i`` and c, all paths; ``wide``
    holds some of these side by side where they were computed so, with their order."""

    states: Mapping[str, Array]
    at: Mapping[str, Array]
    wide: Mapping[tuple[str, ...], tuple[tuple[str, ...], Array]] = MappingProxyType({})

    def joined(self, keys: Sequence[str]) -> tuple[tuple[str, ...], Array]:
        """Those of several keys side by side, in the order in which they lie."""
        keys = tuple(keys)
        found = self.wide.get(keys)
        return (keys, side_by_side([self.at[key] for key in keys])) if found is None else found


class BackwardTrace(NamedTuple):
    """Back-propagation through time.

    ``dL_dy`` (T, O), ``dL_da_y`` (T, O) = ∂L/∂(W_hy h_t + b_y), ``dLt_dht`` (T, H) the direct term
    alone, ``dL_ds`` (T+1, ·) each part of the state of all layers side by side, all paths,
    ``at`` ∂L/∂ of what the graph keeps, a mapping a layer, ``dL_dx`` (T, I), ``weights`` each
    parameter's gradient by the parameter's name, shaped as the parameter.
    """

    dL_dy: Array
    dL_da_y: Array
    dLt_dht: Array
    dL_ds: Mapping[str, Array]
    at: tuple[Mapping[str, Array], ...]
    dL_dx: Array
    weights: Mapping[str, Array]

    @property
    def dL_dh(self) -> Array:
        """∂L/∂h_t, h the first part of the state, (T+1, H)."""
        return next(iter(self.dL_ds.values()))
