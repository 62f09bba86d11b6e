"""One step of the linearised net as factors through which an elimination keeps its digits.

A product of diagonals of any size and matrices with entries about 1 is safe to push tangents
through, if they are made an echelon again behind each (``exponents.elimination``). The whole
∂s_t/∂s_{t−1} is not: of lstm's

    c' = f c + K h,   h' = D c' + diag(o' ∘ tanh c') W_ho h

the columns of c are f times [D; 1], so with f = 1e-26 what makes them independent of those of h is
gone from the rows of J. Factor by factor it is still there:

    [h; c] -> [h; f c] -> [A h; c + K h] -> [h + D c; c]         A = diag(o' ∘ tanh c') W_ho

Likewise a stack is first each layer by itself, and then what rises from a layer to the one above:
a shear, which loses nothing. Source: the products are those of Bojanczyk, Ewerbring, Luk, Van
Dooren, *An accurate product SVD algorithm*, Signal Processing 25 (1991).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from rnngrad.algebra.step_graph import before
from rnngrad.arithmetic.number_types import SCALED
from rnngrad.arithmetic.scaled import Bands, Scaled, scaled
from rnngrad.exponents.rank import exact_rank
from rnngrad.net.linearised import LinearLayer, LinearNet, push_layer

Stage = Callable[[Scaled, int], Scaled]
"""Tangents, a row each, (k, S), through a factor of step t (from 1)."""


class StepFactors(NamedTuple):
    """The factors of every step of a net in ``SCALED`` arithmetic."""

    net: LinearNet

    def each(self) -> Sequence[Stage]:
        """First to last."""
        found = [self.within]
        if self._remembers:
            found = [self.kept, *found]
        if self._remembers or len(self.net.layers) > 1:
            found.append(self.upward)
        return found

    @property
    def _remembers(self) -> bool:
        """Whether the state is [h, c] of lstm."""
        return self.net.layers[0].cell.name == "lstm" and not self.net.layers[0].cell.own

    def kept(self, rows: Scaled, t: int) -> Scaled:
        """c -> f c (lstm)."""
        parts = []
        for one in self.net.layers:
            h, c = one.layer.state
            parts += [rows[:, h], rows[:, c] * one.term("c", before("c"))[t - 1]]
        return _joined(parts)

    def within(self, rows: Scaled, t: int) -> Scaled:
        """Each layer by itself, as if its inputs were held fixed; lstm: h -> A h, c -> c + K h."""
        parts: list[Scaled] = []
        for one in self.net.layers:
            state = [rows[:, part] for part in one.layer.state]
            if self._remembers:
                u_i, u_f, u_g, u_o = _gates(one, before("h"), state[0])
                h, c = u_o * _at(one, "h", "a.o", t), state[1] + u_i * _at(one, "c", "a.i", t)
                parts += [h, c + u_f * _at(one, "c", "a.f", t) + u_g * _at(one, "c", "a.g", t)]
            else:
                parts += push_layer(one, SCALED, state, t, None)
        return _joined(parts)

    def upward(self, rows: Scaled, t: int) -> Scaled:
        """h -> h + D c (lstm), and what the layer below adds: lowest first, for it goes on."""
        parts: list[Scaled] = []
        below: Scaled | None = None
        for one in self.net.layers:
            state = [rows[:, part] for part in one.layer.state]
            if self._remembers:
                state[0] = state[0] + _at(one, "h", "c", t) * state[1]
            if below is not None:
                none = [scaled(np.zeros(part.shape)) for part in state]
                added = push_layer(one, SCALED, none, t, below)
                state = [part + more for part, more in zip(state, added, strict=True)]
            below = state[0]
            parts += state
        return _joined(parts)


def sizes_of(net: LinearNet) -> LinearNet:
    """The net with |terms| and |W|: its products are the sums of the sizes of what is added up."""
    layers = tuple(
        one._replace(
            terms=tuple(abs(term) for term in one.terms),
            forth=tuple(Bands(np.abs(matrix.matrix)) for matrix in one.forth),
        )
        for one in net.layers
    )
    return net._replace(layers=layers)


def missing_ranks(net: LinearNet) -> int:
    """How many directions die at every step, at least: where the matrix that a determinant hangs on
    is exactly singular (not in gru, whose state is kept by z as well)."""
    if net.layers[0].cell.name not in ("rnn", "lstm"):
        return 0
    last = (one.layer.weights["W_hh"][-one.layer.hidden :] for one in net.layers)
    return sum(len(W) - exact_rank(W) for W in last)


def _gates(one: LinearLayer, source: str, rows: Scaled) -> list[Scaled]:
    """What a group of matrices makes of tangents, block by block."""
    product = SCALED.multiply(rows, one.forth[one.cell.by_source[source]])
    size = one.layer.hidden
    return [product[..., i * size : (i + 1) * size] for i in range(product.shape[-1] // size)]


def _at(one: LinearLayer, target: str, source: str, t: int) -> Scaled:
    term: Scaled = one.term(target, source)[t - 1]
    return term


def _joined(parts: Sequence[Scaled]) -> Scaled:
    joined: Scaled = SCALED.join(parts)
    return joined
