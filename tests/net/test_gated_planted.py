"""Deliberate mistakes in gated nets and stacks: each, planted in a cell, must be called.

The mistakes are those that people make: gates in another order, z for 1 − z, a path left out. Each
is another equation of the cell, or another partial in the graph of its step, so that everything
above runs as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pytest

from oracles import gated_nets, gated_products
from oracles.compare import wrong_rows
from oracles.conditioning import inexcusable
from oracles.gated_nets import Plan
from oracles.plain import Net
from rnngrad.algebra.equations import read_cell
from rnngrad.algebra.expressions import Add, Call, Mul, Name, Neg, Node
from rnngrad.algebra.step_graph import BEFORE, NOW
from rnngrad.analyses.derivation.quantities import Quantities
from rnngrad.net.problem import Problem

Mistake = Callable[[Problem], Problem]


def _net(cell: str, hidden: tuple[int, ...] = (3,)) -> Net:
    plan = Plan(cell, hidden, 2, 2, 5, ("tanh", "sigmoid", "squared_error"), 0.8)
    return gated_nets.drawn_net(np.random.default_rng(9), plan) | {"loss_weights": np.ones(5)}


def _equations(*changed: tuple[str, str]) -> Mistake:
    """The cell with other equations, text for text."""

    def planted(problem: Problem) -> Problem:
        old = problem.cell.equations
        texts = list(map(str, old.equations))
        for right, wrong in changed:
            assert sum(right in text for text in texts) == 1, (right, texts)
            texts = [text.replace(right, wrong) for text in texts]
        cell = replace(problem.cell, equations=read_cell("wrong", texts, old.state), own=True)
        return replace(problem, cell=cell)

    return planted


def _edge(target: str, source: str, factor: str) -> Mistake:
    """The cell with another partial: the forward pass is right."""

    def planted(problem: Problem) -> Problem:
        step = problem.cell.step
        at = [i for i, d in enumerate(step.diagonals) if (d.target, d.source) == (target, source)]
        assert len(at) == 1
        (equation,) = read_cell("factor", [f"h_t = {factor}"], ["h"]).equations
        wrong = step.diagonals[at[0]]._replace(factor=_as_keys(equation.right))
        diagonals = (*step.diagonals[: at[0]], wrong, *step.diagonals[at[0] + 1 :])
        cell = replace(problem.cell, own=True)
        cell.__dict__["step"] = step._replace(diagonals=diagonals)
        return replace(problem, cell=cell)

    return planted


def _as_keys(node: Node) -> Node:
    """a_i -> the pre-activation of gate i, h0 and c0 -> the state before, h1 and c1 -> it now."""
    if isinstance(node, Name):
        if node.head[:2] == "a_":
            return Name(f"a.{node.head[2:]}", NOW)
        return Name(node.head[0], BEFORE if node.head[1] == "0" else NOW)
    if isinstance(node, Call):
        return node._replace(argument=_as_keys(node.argument))
    if isinstance(node, Neg):
        return Neg(_as_keys(node.operand))
    if isinstance(node, Mul):
        return Mul(tuple(map(_as_keys, node.factors)))
    if isinstance(node, Add):
        return Add(tuple(map(_as_keys, node.terms)))
    return node


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


GATES = {"dL_dh", "dL_dx", "dL_dW_xh", "dL_dW_hh", "dht_dhprev", "log10_chain"}

MISTAKES: dict[str, tuple[str, Mistake, set[str]]] = {
    # forward
    "gru: gates z, r, n": ("gru", _rolled_gates((1, 0, 2)), GATES | {"h", "y", "losses"}),
    "lstm: gates i, g, f, o": ("lstm", _rolled_gates((0, 2, 1, 3)), GATES | {"h", "y"}),
    "gru: z for 1 − z": ("gru", _equations(
        ("(1 − z_t) ∘ n_t + z_t ∘ h_{t−1}", "z_t ∘ n_t + (1 - z_t) ∘ h_{t-1}")),
        GATES | {"h", "y"}),
    "gru: r left out of n": ("gru", _equations(
        ("r_t ∘ (W_hn h_{t−1} + b_hn)", "W_hn h_{t-1} + b_hn")), {"h", "y", "log10_chain"}),
    "lstm: h = o c": ("lstm", _equations(("tanh(c_t)", "c_t")), {"h", "y", "dL_dh", "dLt_dht"}),
    # the partials
    "gru: z for 1 − z in n's slope": ("gru", _edge("h", "a.n", "σ(a_z) ∘ σ(a_n)"), GATES),
    "gru: the slope of z without h_{t−1} − n": (
        "gru", _edge("h", "a.z", "σ(a_z) ∘ σ(-a_z)"), GATES | {"dL_db_xh"}),
    "gru: n − h_{t−1} for h_{t−1} − n": (
        "gru", _edge("h", "a.z", "(tanh(a_n) - h0) ∘ σ(a_z) ∘ σ(-a_z)"), GATES | {"dL_db_hh"}),
    "gru: r's slope without W_hn h + b_hn": (
        "gru", _edge("a.n", "a.r", "σ(a_r) ∘ σ(-a_r)"), GATES | {"dL_db_xh"}),
    "gru: b_hh's n gate without r": (
        "gru", _edge("a.n", "a.n2", "1 + 0 a_r"), GATES | {"dL_db_hh"}),
    "gru: z past the matrix is 1 − z": ("gru", _edge("h", "h⁻", "σ(-a_z)"), GATES),
    "lstm: tanh's slope at c dropped": ("lstm", _edge("h", "c", "σ(a_o)"), GATES | {"dL_dc"}),
    "lstm: c_t for c_{t−1} in f's slope": (
        "lstm", _edge("c", "a.f", "c1 ∘ σ(a_f) ∘ σ(-a_f)"), GATES | {"dL_db_h"}),
    "lstm: c for tanh(c) in o's slope": (
        "lstm", _edge("h", "a.o", "c1 ∘ σ(a_o) ∘ σ(-a_o)"), GATES | {"dL_db_h"}),
    "lstm: i for g in i's slope": (
        "lstm", _edge("c", "a.i", "σ(a_i) ∘ σ(a_i) ∘ σ(-a_i)"), GATES | {"dL_db_h"}),
    "lstm: the forget gate is 1": ("lstm", _edge("c", "c⁻", "1 + 0 a_f"), GATES | {"dL_dc"}),
    "lstm: c's own path dropped": ("lstm", _edge("c", "c⁻", "0 a_f"), GATES | {"dL_dc"}),
    "lstm: h does not reach c": ("lstm", _edge("h", "c", "0 a_o"), GATES | {"dL_dc"}),
}  # fmt: skip


def _found(net: Net, problem: Problem) -> set[str]:
    rows = wrong_rows(Quantities(problem), gated_products.quantities(net))
    return {row.name for row in inexcusable(net, rows, gated_products.quantities)}


@pytest.mark.cases(None)
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


@pytest.mark.cases(8)
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
