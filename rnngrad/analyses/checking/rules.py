"""One backward pass with every rule in it open to change: what the known mistakes are made of.

    ∂L/∂s_{t−1} = ∂L_{t−1}/∂s_{t−1} + ∂L/∂s_t · ∂s_t/∂s_{t−1}
    ∂L/∂W_hh    = Σ_t ∂L/∂u_h ⊗ h_{t−1}               likewise W_xh with u_x and x_t, biases with 1

The Jacobian is made of the terms ``back`` and the matrices, what reaches the gates of the terms
``here`` (``core.cells``; for one layer of rnn both are σ'(a_t)). In the right pass they are the
same; a mistake replaces one field or another, and needs no hook in ``core.backward``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from rnngrad.analyses.quantities import Passes
from rnngrad.core.arithmetic import FLOATS, SCALED, Arithmetic
from rnngrad.arithmetic.arrays import Array
from rnngrad.core.cells import Terms
from rnngrad.core.linear import AtGates, LinearLayer, LinearNet, state_columns
from rnngrad.core.problem import Layer, Problem
from rnngrad.arithmetic.scaled import Scaled, log10_lengths, log10_spectral_norms, scaled
from rnngrad.core.traces import ForwardTrace


class LayerRules(NamedTuple):
    """One layer, step t in row t − 1: ``x`` (T, I) beside W_xh, ``h_prev`` (T, H) beside W_hh, the
    matrices of the way back, and the terms (T, H) of its Jacobian and of its immediate partials."""

    layer: Layer
    x: Array
    h_prev: Array
    W_xh: Array
    W_hh: Array
    back: Terms
    here: Terms


class Rules(NamedTuple):
    """What a backward pass multiplies, step t in row t − 1.

    ``h`` (T, H) beside W_hy and ``dLt_dht`` (T, H) are those of the top layer, ``dL_dy`` and
    ``dL_da_y`` (T, O), ``counting`` the rows of the losses that count. ``dL_ds`` (T+1, S) is taken
    as it is where it is given.
    """

    problem: Problem
    trace: ForwardTrace
    layers: tuple[LayerRules, ...]
    h: Array
    W_hy: Array | None
    dL_dy: Array
    dL_da_y: Array
    dLt_dht: Array
    counting: tuple[int, ...]
    dL_ds: Array | None = None

    @property
    def steps(self) -> int:
        """T"""
        return len(self.h)

    @property
    def direct(self) -> Array:
        """∂L_t/∂s_t for t = 0 … T, (T+1, S): that of the top layer's h alone."""
        wide = np.zeros((self.steps + 1, self.problem.state_size))
        wide[1:, self.layers[-1].layer.state[0]] = self.dLt_dht
        return wide

    def each(self, change: Callable[[LayerRules], LayerRules]) -> Rules:
        """The same with every layer changed."""
        return self._replace(layers=tuple(change(one) for one in self.layers))


def right_rules(passes: Passes) -> Rules:
    """The rules as they ought to be."""
    problem, forward, backward = passes.problem, passes.forward, passes.backward
    layers = []
    for layer, share in zip(problem.layers, forward.layers, strict=True):
        terms = problem.cell.linearise(share, problem.activation, FLOATS)
        W = layer.weights
        layers.append(LayerRules(layer, share.x, share.h[:-1], W["W_xh"], W["W_hh"], terms, terms))
    top = problem.layers[-1].units
    return Rules(
        problem=problem,
        trace=forward,
        layers=tuple(layers),
        h=forward.h[1:, top],
        W_hy=problem.weights.get("W_hy"),
        dL_dy=backward.dL_dy,
        dL_da_y=backward.dL_da_y,
        dLt_dht=backward.dLt_dht[:, top],
        counting=_counting(problem),
    )


def _counting(problem: Problem) -> tuple[int, ...]:
    """The rows of the steps whose loss counts."""
    if problem.loss_weights is None:
        return ()
    return tuple(int(row) for row in np.flatnonzero(problem.loss_weights))


def terms_with(rules: Rules, kind: Arithmetic) -> list[Terms]:
    """The terms of every layer in other arithmetic, such as one whose slopes are all 1."""
    problem = rules.problem
    return [
        problem.cell.linearise(share, problem.activation, kind)
        for share in rules.trace.layers
    ]


def _net(rules: Rules, terms: list[Terms], kind: Arithmetic = FLOATS) -> LinearNet:
    """These rules as a linearised net."""
    layers = [
        LinearLayer(
            one.layer, each, kind.matrix(one.W_xh), kind.matrix(one.W_hh),
            kind.matrix(one.W_xh.T), kind.matrix(one.W_hh.T),
        )
        for one, each in zip(rules.layers, terms, strict=True)
    ]  # fmt: skip
    return LinearNet(rules.problem.cell, tuple(layers), kind)


def _all_at_once(terms: Terms) -> Terms:
    """As step 1 of a net whose every row has its own step: (1, T, H)."""
    return tuple(term[np.newaxis] for term in terms)


def through_time(rules: Rules) -> Array:
    """∂L/∂s_t for t = 0 … T, (T+1, S)."""
    if rules.dL_ds is not None:
        return rules.dL_ds
    dL_ds, net = rules.direct, _net(rules, [one.back for one in rules.layers])
    for t in range(rules.steps, 0, -1):
        if dL_ds[t].any():
            dL_ds[t - 1] += net.pull(dL_ds[t], t).rows
    return dL_ds


def by_reach(rules: Rules) -> Iterator[Array]:
    """∂L_{t+d}/∂s_t for every t = 0 … T at once, (T+1, S), for d = 0, 1 … T."""
    rows = rules.direct
    net = _net(rules, [_all_at_once(one.back) for one in rules.layers])
    yield rows
    for _ in range(rules.steps):
        rows = np.concatenate([net.pull(rows[1:], 1).rows, np.zeros_like(rows[:1])])
        yield rows


def with_direct(rules: Rules, dL_da_y: Array) -> Rules:
    """The same with another ∂L/∂(W_hy h_t + b_y), and what follows for ∂L_t/∂h_t."""
    direct = dL_da_y if rules.W_hy is None else dL_da_y @ rules.W_hy
    return rules._replace(dL_da_y=dL_da_y, dLt_dht=direct)


def _at_gates(rules: Rules, layer: int) -> AtGates:
    """∂L/∂u_x and ∂L/∂u_h of a layer, (T, G·H)."""
    rows = through_time(rules)[1:]
    net = _net(rules, [_all_at_once(one.here) for one in rules.layers])
    found, reached = net.pull(rows, 1).gates[layer], rows.any(axis=1, keepdims=True)
    return AtGates(np.where(reached, found.x, 0.0), np.where(reached, found.h, 0.0))


def _side(rules: Rules, layer: int, side: str) -> Array:
    gates = _at_gates(rules, layer)
    return np.asarray(gates.x if side == "x" else gates.h)


def _columns(part: int) -> Callable[[Rules, int], Array]:
    """h or c of all layers."""
    return lambda rules, _: through_time(rules)[:, state_columns(rules.problem.layers, part)]


def _direct(rules: Rules, _: int) -> Array:
    return rules.direct[1:, state_columns(rules.problem.layers, 0)]


def _scaled_net(rules: Rules) -> LinearNet:
    terms = [tuple(scaled(term) for term in one.back) for one in rules.layers]
    return _net(rules, terms, SCALED)


def _jacobians(rules: Rules, _: int) -> Array:
    net = _net(rules, [one.back for one in rules.layers])
    units = np.eye(rules.problem.state_size)
    return np.array([net.pull(units, t).rows for t in range(1, rules.steps + 1)])


def _log10_chain(rules: Rules, _: int) -> Array:
    rows, net = scaled(np.eye(rules.problem.state_size)), _scaled_net(rules)
    logs = [0.0]
    for t in range(rules.steps, 0, -1):
        rows = net.pull(rows, t).rows
        values, exponent = rows.aligned(axis=(0, 1))
        norms = log10_spectral_norms(values[np.newaxis], np.atleast_1d(exponent))
        logs.append(float(norms[0]))
    return np.array(logs[::-1])


def _log10_paths(rules: Rules, _: int) -> Array:
    """Row t − 1, column k: log10 ‖∂L_t/∂s_k‖₂."""
    steps, net, direct = rules.steps, _scaled_net(rules), scaled(rules.direct)
    paths = np.where(np.arange(steps + 1) > np.arange(1, steps + 1)[:, np.newaxis], np.nan, -np.inf)
    rows = direct[:0]
    for k in range(steps, 0, -1):
        rows = Scaled(
            np.concatenate([direct.mantissa[k : k + 1], rows.mantissa]),
            np.concatenate([direct.exponent[k : k + 1], rows.exponent]),
        )
        paths[k - 1 :, k] = log10_lengths(rows)
        rows = net.pull(rows, k).rows
    paths[:, 0] = log10_lengths(rows)
    return paths


def _units(rules: Rules, beside: Array) -> Array:
    """∂⁺h_t[i]/∂W[i, k] of one layer of rnn, (T, H, n)."""
    return np.asarray(rules.layers[0].here[0][:, :, np.newaxis] * beside[:, np.newaxis, :])


_READ: Mapping[str, Callable[[Rules, int], Array]] = MappingProxyType(
    {
        "dL_dy": lambda r, _: r.dL_dy,
        "dLt_dht": _direct,
        "dht_dhprev": _jacobians,
        "dL_dh": _columns(0),
        "dL_dc": _columns(1),
        "dL_dh_0": lambda r, _: _columns(0)(r, 0)[0],
        "dL_dc_0": lambda r, _: _columns(1)(r, 0)[0],
        "dht_dW_xh": lambda r, _: _units(r, r.layers[0].x),
        "dht_dW_hh": lambda r, _: _units(r, r.layers[0].h_prev),
        "dht_db_h": lambda r, _: r.layers[0].here[0],
        "dL_dW_xh": lambda r, at: _side(r, at, "x").T @ r.layers[at].x,
        "dL_dW_hh": lambda r, at: _side(r, at, "h").T @ r.layers[at].h_prev,
        "dL_db_h": lambda r, at: _side(r, at, "x").sum(axis=0),
        "dL_db_xh": lambda r, at: _side(r, at, "x").sum(axis=0),
        "dL_db_hh": lambda r, at: _side(r, at, "h").sum(axis=0),
        "dL_dW_hy": lambda r, _: r.dL_da_y.T @ r.h,
        "dL_db_y": lambda r, _: r.dL_da_y.sum(axis=0),
        "dL_dx": lambda r, _: _side(r, 0, "x") @ r.layers[0].W_xh,
        "log10_chain": _log10_chain,
        "log10_paths": _log10_paths,
    }
)
"""name of a quantity, without a stack's number -> how these rules make it."""


def read(rules: Rules, name: str) -> Array:
    """A quantity as these rules make it; ``dL_dW_xh.1`` is that of the second layer."""
    base, _, number = name.partition(".")
    return _READ[base](rules, int(number or 0))
