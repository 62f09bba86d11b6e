"""One step of the linearised net as factors through which a QR keeps its digits.

A product of diagonals of any size and matrices with entries about 1 is safe to push Q through, if Q
is made orthogonal again behind each: Householder is right row by row. The whole ∂s_t/∂s_{t−1} is
not: of lstm's

    c' = f c + K h,   h' = D c' + diag(o' ∘ tanh c') W_ho h

the columns of c are f times [D; 1], so with f = 1e-26 what makes them independent of those of h is
gone from the rows of J Q. Factor by factor it is still there:

    [h; c] -> [h; f c] -> [A h; c + K h] -> [h + D c; c]         A = diag(o' ∘ tanh c') W_ho

Likewise a stack is first each layer by itself, and then what rises from a layer to the one above:
a shear, which loses nothing. Source: the products are those of Bojanczyk, Ewerbring, Luk, Van
Dooren, *An accurate product SVD algorithm*, Signal Processing 25 (1991), with QR for SVD.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rnngrad.core.arrays import Array, Integers
from rnngrad.core.cells import Gates, split
from rnngrad.core.linear import LinearLayer, LinearNet
from rnngrad.core.scaled import Scaled, scaled

LOWEST = -(2**50)


class Graded(NamedTuple):
    """A factor times Q as 2^exponents · values, (S, n) and (S,), and Σ_k |factor_ik Q_kj| without
    the exponent: what rounding is relative to, 0 where nothing can vanish."""

    values: Array
    sizes: Array
    exponents: Integers


class Stages(NamedTuple):
    """The factors of step t (from 1), first to last; ``exact`` and ``floats`` are the same net."""

    exact: LinearNet
    floats: LinearNet

    @property
    def remembers(self) -> bool:
        """Whether there is a c."""
        return len(self.exact.cell.parts) > 1

    def kept(self, t: int, Q: Array) -> Graded:
        """c -> f c (lstm)."""
        mantissa, exponents = np.ones(len(Q)), np.zeros(len(Q), dtype=np.int64)
        for one in self.exact.layers:
            c, forget = one.layer.state[1], one.terms[0][t - 1]
            mantissa[c], exponents[c] = forget.mantissa, np.maximum(forget.exponent, LOWEST)
        return Graded(Q * mantissa[:, None], np.abs(Q) * mantissa[:, None], exponents)

    def within(self, t: int, Q: Array) -> Graded:
        """Each layer by itself, as if its inputs were held fixed; lstm: h -> A h, c -> c + K h."""
        values, sizes = np.empty_like(Q), np.empty_like(Q)
        exponents = np.zeros(len(Q), dtype=np.int64)
        for exact, floats in zip(self.exact.layers, self.floats.layers, strict=True):
            h = exact.layer.state[0]
            factor = _output_of_h(exact, t) if self.remembers else self._jacobian(exact, t)
            rows, exponent = factor.aligned(axis=1)
            values[h], sizes[h] = rows @ Q[h], np.abs(rows) @ np.abs(Q[h])
            exponents[h] = np.maximum(exponent, LOWEST)
            if self.remembers:
                c, K = exact.layer.state[1], _memory_of_h(floats, t)
                values[c] = Q[c] + K @ Q[h]
                sizes[c] = np.abs(Q[c]) + np.abs(K) @ np.abs(Q[h])
        return Graded(values, sizes, exponents)

    def _jacobian(self, one: LinearLayer, t: int) -> Scaled:
        """∂h_t/∂h_{t−1} of one layer, (H, H)."""
        hidden = one.layer.hidden
        alone = one._replace(layer=one.layer._replace(state=(slice(0, hidden),)))
        jacobian: Scaled = self.exact._replace(layers=(alone,)).pull(scaled(np.eye(hidden)), t).rows
        return jacobian

    def upward(self, t: int, Q: Array) -> Graded:
        """h -> h + D c (lstm), and what the layer below adds: lowest first, for it goes on."""
        values, below = Q.copy(), None
        for one in self.floats.layers:
            terms = tuple(term[t - 1] for term in one.terms)
            h, c = one.layer.state[0], one.layer.state[-1]
            if self.remembers:
                values[h] += terms[1][:, None] * Q[c]
            if below is not None:
                u_x = split(values[below].T @ one.W_xh_T, len(self.floats.cell.gates))
                nothing = tuple(np.zeros_like(u) for u in u_x)
                state = nothing[: len(one.layer.state)]
                added: Gates = self.floats.cell.push(terms, u_x, nothing, state)
                for part, more in zip(one.layer.state, added, strict=True):
                    values[part] += more.T
            below = h
        return Graded(values, np.zeros_like(Q), np.zeros(len(Q), dtype=np.int64))


def _output_of_h(one: LinearLayer, t: int) -> Scaled:
    """diag(o' ∘ tanh c_t) W_ho, (H, H)."""
    term: Scaled = one.terms[-1][t - 1]
    return term[:, None] * scaled(one.layer.weights["W_hh"][-one.layer.hidden :])


def _memory_of_h(one: LinearLayer, t: int) -> Array:
    """∂c_t/∂h_{t−1} through i, f and g, (H, H)."""
    blocks = split(one.layer.weights["W_hh"].T, 4)[:3]
    K: Array = sum(
        (term[t - 1][:, None] * W.T for term, W in zip(one.terms[2:5], blocks, strict=True)),
        np.zeros((one.layer.hidden, one.layer.hidden)),
    )
    return K
