"""``sweep`` of every cell: rows against the net with its weights multiplied by hand, and which."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnngrad
from cli.running import run
from oracles import any_cell
from rnngrad.analyses.sweep.scaling import kind_of, what_is_scaled
from rnngrad.cells import CELLS, NAMES
from rnngrad.errors import UsageError
from rnngrad.net.cells import Cell
from rnngrad.net.problem import Problem

NO_MATRIX = ("mingru", "minlstm", "qrnn", "elstm", "lru", "rg_lru", "tgru", "tlstm", "trnn")
"""Where no matrix or vector stands on a path, or the data file says which count."""
BY_THE_JACOBIAN = ("mingru", "minlstm", "qrnn", "rg_lru", "trnn")
SCALES = (0.5, 1.0, 2.0)
STEPS = 4
A = (
    "brc cfc cfn cornn ctrnn ctrnn_current ctrnn_rate delta_rnn dsgu fastgrnn fastrnn "
    "gated_antisymmetric_rnn gru gru1 gru2 gru3 gru_reset_before janet jordan lem light_ru ligru "
    "lipschitz_rnn mi_rnn mingru minimal_rnn minlstm mogrifier_lstm mut1 mut2 mut3 nas plrnn qrnn "
    "ran star tau_gru tgru tlstm trnn ugrnn unicornn"
)


def multiplied(problem: Problem, names: list[str], factor: float) -> Problem:
    weights = {n: factor * W if n in names else W for n, W in problem.weights.items()}
    return replace(problem, weights=weights)


@pytest.mark.parametrize("name", NAMES)
def test_a_row_is_the_chain_of_the_net_with_what_is_named_multiplied(name: str) -> None:
    problem = any_cell.problem_of(CELLS[name], steps=STEPS)
    if name in ("irnn", "indrnn"):  # relu: no unit is to die
        problem = replace(problem, weights={**problem.weights, "b_h": np.full(3, 4.0)})
    report: dict[str, Any] = rnngrad.sweep(problem, SCALES)
    named = report["parts"][0]["scaled"].split(", ")
    assert set(named) <= set(problem.weights)
    for row in report["rows"]:
        by_hand = multiplied(problem, named, row["scale"])
        chain = rnngrad.log10_chain(by_hand)
        assert row["log10_chain_norm"] == pytest.approx(chain[0], rel=1e-12, abs=1e-12)
        assert row["rate"] == pytest.approx(chain[0] * np.log(10) / STEPS, rel=1e-12, abs=1e-12)
        assert row["loss"] == pytest.approx(rnngrad.gradients(by_hand)["loss"], rel=1e-12)
    assert len({row["log10_chain_norm"] for row in report["rows"]}) == len(SCALES)


@pytest.mark.parametrize("name", BY_THE_JACOBIAN)
def test_scaled_are_the_weights_on_which_the_jacobian_depends(name: str) -> None:
    """Every weight is moved, s_{t−1} held fixed, and the Jacobian by complex step looked at."""
    problem = any_cell.problem_of(CELLS[name], steps=1)
    unread = {"qrnn": 3}.get(name, 0)  # h of qrnn
    before = any_cell.jacobians(problem)[0]
    moved = []
    for weight in problem.cell.weights:
        after = any_cell.jacobians(multiplied(problem, [weight], 1.1))[0]
        if np.abs(after - before)[unread:].max() > 1e-6:
            moved.append(weight)
    assert list(problem.cell.scaled) == moved


def test_what_the_data_files_say() -> None:
    found = {name: what_is_scaled(CELLS[name]) for name in ("elstm", "lru", "tgru", "tlstm")}
    assert found == {
        "elstm": "w_cf, w_cz", "lru": "nu, theta", "tgru": "W_vf, W_xf", "tlstm": "W_vf, W_xf",
    }  # fmt: skip


@pytest.mark.parametrize("name", NO_MATRIX)
def test_the_command(name: str, tmp_path: Path) -> None:
    """The start of ``init --cell``; its scale 2 is derive of weights twice as large."""
    spec = str(tmp_path / "net.yaml")
    assert run("init", "--cell", name, "-o", spec).returncode == 0
    done = run("sweep", spec, "--whh-scale", "0.5,2")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    scaled = what_is_scaled(CELLS[name])
    assert lines[1] == f"{scaled} = scale · the spec's {scaled}"
    assert max(map(len, lines)) <= 80
    report: dict[str, Any] = json.loads(run("sweep", spec, "--whh-scale", "0.5,2", "--json").stdout)
    problem = rnngrad.load(spec)
    settings = []
    for weight in scaled.split(", "):
        twice = json.dumps((2 * problem.weights[weight]).tolist())
        settings += ["--set", f"weights.{weight}={twice}"]
    done = run("derive", spec, *settings, "--json", "--quantity", "log10_chain")
    chain = json.loads(done.stdout)["quantities"]["log10_chain"]
    assert report["rows"][1]["log10_chain_norm"] == pytest.approx(chain[0], rel=1e-12)


def test_a_gate_is_an_equation() -> None:
    problem = any_cell.problem_of(CELLS["minlstm"], steps=5)
    report: dict[str, Any] = rnngrad.sweep(problem, [3], gate="i")
    (row,) = report["rows"]
    chain = rnngrad.log10_chain(multiplied(problem, ["W_xi"], 3.0))
    assert row["log10_chain_norm"] == pytest.approx(chain[0], rel=1e-12)
    with pytest.raises(UsageError, match="the gates of 'net', a minlstm, are f, i"):
        rnngrad.sweep(problem, [3], gate="n")


@pytest.mark.parametrize(("cell", "why"), [
    ({"equations": ["h_t = 0.5 h_{t-1} + W_xh x_t"]}, "no weight changes its Jacobian"),
    ({"equations": ["h_t = tanh(W_xh x_t + W h_{t-1})"], "recurrent": []},
     "its key 'recurrent' is empty"),
])  # fmt: skip
def test_nothing_to_scale(cell: dict[str, Any], why: str) -> None:
    drawn = {name: {"init": "gaussian"} for name in ("W_xh", "W")}
    text = " ".join(cell["equations"])
    net = {
        "name": "net",
        "cell": {"name": "leak", **cell},
        "sizes": {"inputs": 2, "hidden": 3},
        "weights": {n: d for n, d in drawn.items() if f"{n} " in text},
        "inputs": {"random": "normal", "steps": 4},
    }
    with pytest.raises(UsageError, match=f"is a leak: {why}.*, so there is nothing to scale"):
        rnngrad.sweep(rnngrad.load(net), [1])


def test_an_mgu_and_a_gru() -> None:
    """As they are said: letter by letter where nobody can say them otherwise."""
    problem = any_cell.problem_of(CELLS["gru"], steps=1)
    for name in NAMES:
        called = replace(problem, cell=_called(CELLS["gru"], name))
        assert kind_of(called) == f"{'a' if name in A.split() else 'an'} {name}"


def _called(cell: Cell, name: str) -> Cell:
    return replace(cell, equations=cell.equations._replace(name=name))
