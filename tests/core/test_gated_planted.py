"""Deliberate mistakes in gated nets and stacks: each, planted in a cell's record, must be called.

The mistakes are those that people make: gates in another order, z for 1 − z, a path left out. Each
is one wrong function in the record of a cell, so that everything above it runs as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from oracles import gated_nets, gated_products
from oracles.compare import wrong_rows
from oracles.conditioning import inexcusable
from oracles.gated_nets import Plan
from oracles.plain import Net
from rnngrad.analyses.quantities import Quantities
from rnngrad.core.cells import CELLS, Advanced, Cell, PulledTerms, split
from rnngrad.core.problem import Problem

GRU, LSTM = CELLS["gru"], CELLS["lstm"]
Mistake = Callable[[Problem], Problem]


def _net(cell: str, hidden: tuple[int, ...] = (3,)) -> Net:
    plan = Plan(cell, hidden, 2, 2, 5, ("tanh", "sigmoid", "squared_error"), 0.8)
    return gated_nets.drawn_net(np.random.default_rng(9), plan) | {"loss_weights": np.ones(5)}


def _cell(**changed: Any) -> Mistake:
    """Under another name, so that nothing faster than the record is taken for it."""
    return lambda problem: replace(
        problem, cell=problem.cell._replace(name="a cell with a mistake", **changed)
    )


def _terms(cell: Cell, change: Callable[..., tuple[Any, ...]]) -> Mistake:
    """The cell's diagonals, changed; ``change`` gets the terms, the trace and the arithmetic."""
    return _cell(
        linearise=lambda trace, f, kind: change(cell.linearise(trace, f, kind), trace, kind)
    )


def _pull(cell: Cell, change: Callable[[Any, Any, PulledTerms], PulledTerms]) -> Mistake:
    return _cell(pull=lambda terms, rows: change(terms, rows, cell.pull(terms, rows)))


def _rolled_gates(order: tuple[int, ...]) -> Mistake:
    """The rows of every parameter in another order of gates."""

    def changed(problem: Problem) -> Problem:
        weights = {
            name: np.concatenate([np.split(w, len(order))[g] for g in order])
            if name in problem.cell.parameters
            else w
            for name, w in problem.weights.items()
        }
        return replace(problem, weights=MappingProxyType(weights))

    return changed


def _reset_before_the_product(u_x: Any, u_h: Any, state: Any, f: Any) -> Advanced:
    """n = tanh(u_xn + u_hn): r is where the first papers had it, so not behind the product."""
    right = GRU.advance(u_x, u_h, state, f)
    a_r, a_z, _ = split(right.a, 3)
    a_n = split(u_x, 3)[2] + split(u_h, 3)[2]
    z = 1 / (1 + np.exp(-a_z))
    return Advanced(
        np.concatenate([a_r, a_z, a_n]), right.inner, ((1 - z) * f.f(a_n) + z * state[0],)
    )


def _z_exchanged(u_x: Any, u_h: Any, state: Any, f: Any) -> Advanced:
    """h = z n + (1 − z) h_{t−1}, as Cho's paper has it."""
    right = GRU.advance(u_x, u_h, state, f)
    _, a_z, a_n = split(right.a, 3)
    z = 1 / (1 + np.exp(-a_z))
    return right._replace(state=(z * f.f(a_n) + (1 - z) * state[0],))


def _h_without_tanh(u_x: Any, u_h: Any, state: Any, f: Any) -> Advanced:
    right = LSTM.advance(u_x, u_h, state, f)
    return right._replace(
        state=(right.state[0] / np.tanh(right.state[1]) * right.state[1], right.state[1])
    )


def _none(entries: Any) -> Any:
    """Zeros, in either kind of number."""
    return entries + -entries


GATES = {"dL_dh", "dL_dx", "dL_dW_xh", "dL_dW_hh", "dht_dhprev", "log10_chain"}

MISTAKES: dict[str, tuple[str, Mistake, set[str]]] = {
    # forward
    "gru: gates z, r, n": ("gru", _rolled_gates((1, 0, 2)), GATES | {"h", "y", "losses"}),
    "lstm: gates i, g, f, o": ("lstm", _rolled_gates((0, 2, 1, 3)), GATES | {"h", "y"}),
    "gru: z for 1 − z": ("gru", _cell(advance=_z_exchanged), GATES | {"h", "y"}),
    "gru: r left out of n": ("gru", _cell(advance=_reset_before_the_product), GATES | {"h"}),
    "lstm: h = o c": ("lstm", _cell(advance=_h_without_tanh), {"h", "y", "dL_dh", "dLt_dht"}),
    # the terms
    "gru: z for 1 − z in n's slope": (
        "gru", _terms(GRU, lambda t, trace, kind: (
            *t[:3], *(term * t[0] for term in t[3:]))), GATES | {"dL_db_xh"}),
    "gru: the slope of z without h_{t−1} − n": (
        "gru", _terms(GRU, lambda t, trace, kind: (
            *t[:2], t[0] * kind.sigmoid(-split(trace.a, 3)[1]), *t[3:])), GATES | {"dL_db_xh"}),
    "gru: n − h_{t−1} for h_{t−1} − n": (
        "gru", _terms(GRU, lambda t, trace, kind: (*t[:2], -t[2], *t[3:])), GATES | {"dL_db_hh"}),
    "gru: r's slope without W_hn h + b_hn": (
        "gru", _terms(GRU, lambda t, trace, kind: (
            t[0], t[3] * kind.sigmoid(split(trace.a, 3)[0]) * kind.sigmoid(-split(trace.a, 3)[0]),
            *t[2:])), GATES | {"dL_db_xh"}),
    "gru: b_hh's n gate without r": (
        "gru", _terms(GRU, lambda t, trace, kind: (*t[:4], t[3])), GATES | {"dL_db_hh"}),
    "gru: one step late": (
        "gru", _terms(GRU, lambda t, trace, kind: tuple(
            term[np.maximum(np.arange(5) - 1, 0)] for term in t)), GATES),
    "lstm: tanh's slope at c dropped": (
        "lstm", _terms(LSTM, lambda t, trace, kind: (
            t[0], kind.sigmoid(split(trace.a, 4)[3]), *t[2:])), GATES | {"dL_dc"}),
    "lstm: c_t for c_{t−1} in f's slope": (
        "lstm", _terms(LSTM, lambda t, trace, kind: (
            *t[:3], t[0] * kind.sigmoid(-split(trace.a, 4)[1]) * kind.of(trace.c[1:]), *t[4:])),
        GATES | {"dL_dc", "dL_db_h"}),
    "lstm: c for tanh(c) in o's slope": (
        "lstm", _terms(LSTM, lambda t, trace, kind: (
            *t[:5], kind.sigmoid(split(trace.a, 4)[3]) * kind.sigmoid(-split(trace.a, 4)[3])
            * kind.of(trace.c[1:]))), GATES | {"dL_db_h"}),
    "lstm: the forget gate is 1": (
        "lstm", _terms(LSTM, lambda t, trace, kind: (
            kind.of(np.ones_like(trace.a[:, :3])), *t[1:])), GATES | {"dL_dc"}),
    # the way back
    "gru: the path z past the matrix dropped": (
        "gru", _pull(GRU, lambda t, rows, p: p._replace(kept=(None,))), GATES),
    "lstm: c's own path dropped": (
        "lstm", _pull(LSTM, lambda t, rows, p: p._replace(kept=(None, _none(rows[1])))),
        (GATES | {"dL_dc"})),
    "lstm: c reached through h alone": (
        "lstm", _pull(LSTM, lambda t, rows, p: LSTM.pull(t, (rows[0], _none(rows[1])))),
        GATES | {"dL_dc"}),
    "lstm: h does not reach c": (
        "lstm", _pull(LSTM, lambda t, rows, p: LSTM.pull(
            (t[0], _none(t[1]), *t[2:]), rows)), GATES | {"dL_dc"}),
}  # fmt: skip


def _found(net: Net, problem: Problem) -> set[str]:
    rows = wrong_rows(Quantities(problem), gated_products.quantities(net))
    return {row.name for row in inexcusable(net, rows, gated_products.quantities)}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_planted_mistake_is_caught(name: str) -> None:
    cell, mistake, affected = MISTAKES[name]
    net = _net(cell)
    problem = gated_nets.problem_of(net)
    assert _found(net, problem) == set()
    assert affected <= _found(net, mistake(problem))


def _swapped(a: str, b: str) -> Mistake:
    def changed(problem: Problem) -> Problem:
        weights = dict(problem.weights)
        weights[a], weights[b] = weights[b], weights[a]
        return replace(problem, weights=MappingProxyType(weights))

    return changed


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_the_matrix_of_the_wrong_layer(cell: str) -> None:
    net = _net(cell, (2, 2))
    wrong = _swapped("W_hh.0", "W_hh.1")(gated_nets.problem_of(net))
    assert _found(net, wrong) >= {"h", "dht_dhprev", "dL_dh", "dL_dx", "dL_dW_hh.0", "log10_chain"}


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize(
    ("name", "mistake"),
    [
        ("dL_dW_hh.0", lambda q: q["dL_dW_hh.1"]),
        ("dL_dW_hh.1", lambda q: q["dL_dW_hh.1"].T.reshape(q["dL_dW_hh.1"].shape)),
        ("dL_dh", lambda q: q["dL_dh"][:, ::-1]),
        ("dL_dh", lambda q: np.vstack([0 * q["dL_dh"][:1], q["dL_dh"][1:]])),
        ("dht_dhprev", lambda q: np.swapaxes(q["dht_dhprev"], 1, 2)),
        ("dht_dhprev", lambda q: np.tril(q["dht_dhprev"])),
        ("log10_chain", lambda q: q["log10_chain"] / np.log10(np.e)),
        ("dLt_dht", lambda q: q["dL_dh"][1:]),
    ],
)
def test_an_array_tampered_with(
    cell: str, name: str, mistake: Callable[[Quantities], np.ndarray]
) -> None:
    net = _net(cell, (2, 2))
    q = Quantities(gated_nets.problem_of(net))
    planted = dict(q) | {name: mistake(q)}
    truth = gated_products.quantities(net)
    rows = inexcusable(net, wrong_rows(planted, truth), gated_products.quantities)
    assert {row.name for row in rows} == {name}


def test_c_of_the_last_step_is_no_part_of_the_loss() -> None:
    """Autodiff of a whole step has ∂L/∂c_T ≠ 0 through h_T; the contract has 0, and h_T's row."""
    net = _net("lstm")
    q = Quantities(gated_nets.problem_of(net))
    wrong = q["dL_dc"].copy()
    wrong[-1] = q["dL_dh"][-1]
    found = wrong_rows(dict(q) | {"dL_dc": wrong}, gated_products.quantities(net))
    assert [(row.name, row.row) for row in found] == [("dL_dc", len(wrong) - 1)]
