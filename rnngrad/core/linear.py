"""The net linearised along a trace: rows pulled back through a step, tangents pushed through it.

One step of one layer, for any cell (``core.cells``):

    ∂L/∂s_t  ->  ∂L/∂u_x, ∂L/∂u_h  ->  ∂L/∂s_{t−1} = what is kept + ∂L/∂u_h · W_hh
                                       ∂L/∂h_t of the layer below += ∂L/∂u_x · W_xh

In a stack the rows go down through the layers within the step, so a path from a layer to the one
above belongs to the Jacobian of step t, which is block lower triangular. All of it runs in floats
or beyond their range (``core.arithmetic``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from rnngrad.core.arithmetic import Arithmetic, Entries
from rnngrad.arithmetic.arrays import Integers
from rnngrad.core.cells import Cell, Gates, Terms, split
from rnngrad.core.problem import Layer, Problem
from rnngrad.core.traces import ForwardTrace


class AtGates(NamedTuple):
    """∂L/∂u_x and ∂L/∂u_h of one layer, (n, G·H): the same but for gru."""

    x: Entries
    h: Entries


class Pulled(NamedTuple):
    """Rows at s_{t−1}, (n, S), and on their way there at the pre-activations of each layer."""

    rows: Entries
    gates: tuple[AtGates, ...]


class LinearLayer(NamedTuple):
    """A layer's terms over all steps and its matrices, prepared."""

    layer: Layer
    terms: Terms
    W_xh: Any
    W_hh: Any
    W_xh_T: Any
    W_hh_T: Any


class LinearNet(NamedTuple):
    """All layers, lowest first, in one arithmetic."""

    cell: Cell
    layers: tuple[LinearLayer, ...]
    kind: Arithmetic

    @property
    def size(self) -> int:
        """S, the length of s."""
        return int(self.layers[-1].layer.state[-1].stop)

    def pull(self, rows: Entries, t: int) -> Pulled:
        """Rows ∂L/∂s_t, (n, S) -> ∂L/∂s_{t−1}, through step t (from 1)."""
        kind, states, gates = self.kind, [], []
        from_above: Entries | None = None
        for one in reversed(self.layers):
            parts = [rows[..., part] for part in one.layer.state]
            if from_above is not None:
                parts[0] = parts[0] + from_above
            pulled = self.cell.pull(_at(one.terms, t), tuple(parts))
            reached = AtGates(kind.join(pulled.at_x), kind.join(pulled.at_h))
            to_h, kept = kind.multiply(reached.h, one.W_hh), pulled.kept
            first = to_h if kept[0] is None else kept[0] + to_h
            states.append(kind.join([first, *kept[1:]]))
            gates.append(reached)
            if one is not self.layers[0]:
                from_above = kind.multiply(reached.x, one.W_xh)
        return Pulled(kind.join(states[::-1]), tuple(gates[::-1]))

    def push(self, tangents: Entries, t: int) -> Entries:
        """Tangents ṡ_{t−1}, a row each, (n, S) -> ṡ_t; the inputs held fixed."""
        states: list[Entries] = []
        for one in self.layers:
            parts = tuple(tangents[..., part] for part in one.layer.state)
            u_h = split(self.kind.multiply(parts[0], one.W_hh_T), len(self.cell.gates))
            u_x = self._from_below(states[-1], one) if states else None
            after = self.cell.push(_at(one.terms, t), u_x, u_h, parts)
            states.append(self.kind.join(after))
        return self.kind.join(states)

    def _from_below(self, state: Entries, one: LinearLayer) -> Gates:
        """W_xh times the ḣ_t of the layer below, whose ṡ_t is ``state``."""
        hidden = one.layer.weights["W_xh"].shape[1]
        return split(self.kind.multiply(state[..., :hidden], one.W_xh_T), len(self.cell.gates))


def _at(terms: Terms, t: int) -> Terms:
    return tuple(term[t - 1] for term in terms)


def linear_net(problem: Problem, trace: ForwardTrace, kind: Arithmetic) -> LinearNet:
    """The net linearised along its trajectory. To be run within ``quietly()``."""
    layers = [
        LinearLayer(
            layer,
            problem.cell.linearise(share, problem.activation, kind),
            kind.matrix(layer.weights["W_xh"]),
            kind.matrix(layer.weights["W_hh"]),
            kind.matrix(layer.weights["W_xh"].T),
            kind.matrix(layer.weights["W_hh"].T),
        )
        for layer, share in zip(problem.layers, trace.layers(problem), strict=True)
    ]
    return LinearNet(problem.cell, tuple(layers), kind)


def state_columns(layers: Sequence[Layer], part: int) -> Integers:
    """Where the h (part 0) or the c (part 1) of all layers stand in s, (H,)."""
    columns: Integers = np.concatenate(
        [np.arange(layer.state[part].start, layer.state[part].stop) for layer in layers]
    )
    return columns
