"""One backward pass with every rule in it open to change: what the known mistakes are made of.

    ∂L/∂s_{t−1} = ∂L_{t−1}/∂s_{t−1} + ∂L/∂s_t · ∂s_t/∂s_{t−1}
    ∂L/∂W       = Σ_t ∂L/∂a ⊗ v of a = W v + …    of a vector Σ_t ∂L/∂a ∘ (what stands beside it)

The Jacobian is made of the terms ``back`` and the matrices ``own``, what reaches each place in the
graph of the terms ``here`` (``core.linear``; for one layer of rnn both are σ'(a_t)). In the right
pass they are the same; a mistake replaces one field or another, and needs no hook in
``core.backward``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from rnngrad.algebra.equations import X
from rnngrad.algebra.steps import Matrix
from rnngrad.algebra.tape import tape_of
from rnngrad.analyses.quantities import Passes
from rnngrad.arithmetic.arrays import Array
from rnngrad.arithmetic.evaluation import Functions
from rnngrad.arithmetic.functions import Activation
from rnngrad.arithmetic.scaled import Scaled, log10_lengths, log10_spectral_norms, scaled
from rnngrad.core.arithmetic import FLOATS, SCALED, Arithmetic
from rnngrad.core.cells import READOUT
from rnngrad.core.layers import source_values
from rnngrad.core.linear import LinearLayer, LinearNet, linear_layer, state_columns
from rnngrad.core.problem import Layer, Problem
from rnngrad.core.terms import Terms, evaluated, terms_of
from rnngrad.core.traces import LayerTrace


class LayerRules(NamedTuple):
    """One layer, step t in row t − 1: its ``trace``, of which the parameters meet x_t and s_{t−1};
    the matrices of the way back by the names of the equations; the terms (T, n) of its Jacobian
    and of its immediate partials, and the ``functions`` whose slopes vectors meet."""

    layer: Layer
    trace: LayerTrace
    own: Mapping[str, Array]
    back: Terms
    here: Terms
    functions: Functions


class Rules(NamedTuple):
    """What a backward pass multiplies, step t in row t − 1.

    ``h`` (T, H) beside W_hy and ``dLt_dht`` (T, H) are those of the top layer, ``dL_dy`` and
    ``dL_da_y`` (T, O), ``counting`` the rows of the losses that count. ``dL_ds`` (T+1, S) is taken
    as it is where it is given.
    """

    problem: Problem
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
        terms = terms_of(problem, layer, share)
        layers.append(LayerRules(layer, share, layer.own, terms, terms, problem.functions))
    top = problem.layers[-1].units
    return Rules(
        problem=problem,
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


def terms_with(rules: Rules, slope: Callable[[Activation, Array], Array]) -> Rules:
    """The same with another derivative of every function."""
    problem = rules.problem
    functions = {
        sign: record._replace(slope=partial(slope, record))
        for sign, record in problem.functions.items()
    }

    def changed(one: LayerRules) -> LayerRules:
        terms = terms_of(problem, one.layer, one.trace, functions=functions)
        return one._replace(back=terms, here=terms, functions=functions)

    return rules.each(changed)


def _net(rules: Rules, terms: list[Terms], kind: Arithmetic = FLOATS) -> LinearNet:
    """These rules as a linearised net."""
    cell, layers = rules.problem.cell, list[LinearLayer]()
    for one, each in zip(rules.layers, terms, strict=True):
        layers.append(linear_layer(one.layer._replace(own=one.own), cell, each, kind))
    return LinearNet(tuple(layers), kind)


def _all_at_once(terms: Terms) -> Terms:
    """As step 1 of a net whose every row has its own step: (1, T, n)."""
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


def _at(rules: Rules, layer: int) -> Mapping[str, Array]:
    """∂L/∂ of what the graph of a layer keeps, and of x_t, (T, n) each."""
    rows = through_time(rules)[1:]
    net = _net(rules, [_all_at_once(one.here) for one in rules.layers])
    reached = rows.any(axis=1, keepdims=True)
    found = net.pull(rows, 1, to_x=True).at[layer]
    return {key: np.where(reached, values, 0.0) for key, values in found.items()}


def _parameter(rules: Rules, name: str, layer: int) -> Array:
    """∂L/∂ of a parameter: its products and what it stands beside, over all steps."""
    cell = rules.problem.cell
    parts = cell.blocks.get(name, (name,))
    at, one = _at(rules, layer), rules.layers[layer]
    return np.concatenate([np.atleast_1d(_of_own(rules, one, at, part)) for part in parts]).reshape(
        np.shape(one.layer.weights[name])
    )


def _of_own(rules: Rules, one: LayerRules, at: Mapping[str, Array], name: str) -> Array:
    problem, found = rules.problem, np.zeros(np.shape(one.layer.own[name]))
    for matrix in problem.cell.step.matrices:
        if matrix.parameter == name:
            found = found + _of_matrix(problem, one, at, matrix)
    uses = [use for use in problem.cell.step.uses if use.parameter == name]
    factors = beside(problem, one, name) if uses else ()
    for use, factor in zip(uses, factors, strict=True):
        summed = (at[use.target] * factor).sum(axis=0)
        found = found + (summed if found.ndim else summed.sum())
    return np.asarray(found)


def _of_matrix(problem: Problem, one: LayerRules, at: Mapping[str, Array], matrix: Matrix) -> Array:
    block = at[matrix.target].T @ source_values(problem, one.layer, one.trace, matrix.source)
    return matrix.sign * (block.T if matrix.transposed else block)


def beside(problem: Problem, one: LayerRules, name: str) -> tuple[Array, ...]:
    """What a vector or a number of the equations stands beside, use by use, (T, n) each."""
    cell = problem.cell
    uses = [use for use in cell.step.uses if use.parameter == name]
    tape = tape_of([use.factor for use in uses], cell.given, cell.defined)
    widths = [one.layer.sizes[cell.step.sizes[use.target]] for use in uses]
    return evaluated(problem, one.layer, one.trace, tape, widths, functions=one.functions)


def _part(rules: Rules, part: int) -> Array:
    """∂L/∂ of a part of the state of all layers."""
    return through_time(rules)[:, state_columns(rules.problem.layers, part)]


def _direct(rules: Rules) -> Array:
    return rules.direct[1:, state_columns(rules.problem.layers, 0)]


def _scaled_net(rules: Rules) -> LinearNet:
    terms = [tuple(scaled(term) for term in one.back) for one in rules.layers]
    return _net(rules, terms, SCALED)


def _jacobians(rules: Rules) -> Array:
    net = _net(rules, [one.back for one in rules.layers])
    units = np.eye(rules.problem.state_size)
    return np.array([net.pull(units, t).rows for t in range(1, rules.steps + 1)])


def _log10_chain(rules: Rules) -> Array:
    rows, net = scaled(np.eye(rules.problem.state_size)), _scaled_net(rules)
    logs = [0.0]
    for t in range(rules.steps, 0, -1):
        rows = net.pull(rows, t).rows
        values, exponent = rows.aligned(axis=(0, 1))
        norms = log10_spectral_norms(values[np.newaxis], np.atleast_1d(exponent))
        logs.append(float(norms[0]))
    return np.array(logs[::-1])


def _log10_paths(rules: Rules) -> Array:
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


_READ: Mapping[str, Callable[[Rules], Array]] = MappingProxyType(
    {
        "dL_dy": lambda r: r.dL_dy,
        "dLt_dht": _direct,
        "dht_dhprev": _jacobians,
        "dL_dh": lambda r: _part(r, 0),
        "dht_dW_xh": lambda r: _units(r, r.layers[0].trace.x),
        "dht_dW_hh": lambda r: _units(r, r.layers[0].trace.h[:-1]),
        "dht_db_h": lambda r: r.layers[0].here[0],
        "dL_dW_hy": lambda r: r.dL_da_y.T @ r.h,
        "dL_db_y": lambda r: r.dL_da_y.sum(axis=0),
        "dL_dx": lambda r: _at(r, 0)[X],
        "log10_chain": _log10_chain,
        "log10_paths": _log10_paths,
    }
)
"""name of a quantity -> how these rules make it; the parts' and the parameters' are by name."""


def read(rules: Rules, name: str) -> Array:
    """A quantity as these rules make it; ``dL_dW_xh.1`` is that of the second layer."""
    base, _, number = name.partition(".")
    of, cell = base.removeprefix("dL_d"), rules.problem.cell
    if base.startswith("dL_d") and of in cell.parameters and of not in READOUT:
        return _parameter(rules, of, int(number or 0))
    if base.startswith("dL_d") and of in cell.parts:
        return _part(rules, cell.parts.index(of))
    if base.startswith("dL_d") and of.removesuffix("_0") in cell.parts:
        return np.asarray(_part(rules, cell.parts.index(of.removesuffix("_0")))[0])
    return _READ[base](rules)
