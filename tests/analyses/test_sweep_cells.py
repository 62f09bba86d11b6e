"""Sweeps of gru, lstm and stacks: rows against explicit products, what --gate scales, refusals."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

import rnngrad
from oracles import gated_nets, gated_products
from oracles.gated_nets import Plan
from oracles.plain import Net
from rnngrad.analyses.sweep import points
from rnngrad.analyses.sweep.scaling import scaled_by
from rnngrad.analyses.sweep.serialising import packed, unpacked
from rnngrad.errors import UsageError
from rnngrad.net.problem import Problem, TrainedIn

STACKS = [("gru", (3,)), ("lstm", (2,)), ("rnn", (2, 3)), ("gru", (2, 1)), ("lstm", (1, 2))]
SCALES = [0.3, 1.0, 2.5]
GATES = {"gru": ["r", "z", "n"], "lstm": ["i", "f", "g", "o"]}

SPEC: dict[str, Any] = {
    "seed": 3,
    "sizes": {"inputs": 2, "hidden": 4, "outputs": 1},
    "weights": {
        "W_xh": {"init": "normal", "std": 0.4},
        "W_hh": {"init": "gaussian"},
        "W_hy": {"init": "gaussian"},
    },
    "inputs": {"random": "normal", "steps": 30},
    "targets": {"random": "normal", "steps": 30},
}
LAYER = {"W_xh": {"init": "normal", "std": 0.4}, "W_hh": {"init": "gaussian"}}
OF_ONE_RNN = ("spectral_radius", "sigma_max", "log10_bound")


def drawn(cell: str, hidden: tuple[int, ...], steps: int = 25) -> Net:
    plan = Plan(cell, hidden, 2, 1, steps, ("tanh", "identity", "squared_error"), 0.8)
    return gated_nets.drawn_net(np.random.default_rng([5, *hidden]), plan)


def scaled_by_hand(net: Net, scale: float, gate: int | None = None) -> Net:
    """The plain net with its W_hh scaled row by row."""
    scaled = dict(net)
    for name in net:
        if name.startswith("W_hh"):
            H = net[name].shape[1]
            rows = np.arange(len(net[name]))
            ours = np.full(len(rows), True) if gate is None else rows // H == gate
            scaled[name] = np.where(ours[:, None], scale * net[name], net[name])
    return scaled


def rows_of(problem: Problem, **options: Any) -> list[dict[str, Any]]:
    return rnngrad.sweep(problem, SCALES, **options)["rows"]


def assert_rows(net: Net, place: int | None = None, **options: Any) -> None:
    """Every row against a product of Jacobians in mpmath, and against QR by QR."""
    for row in rows_of(gated_nets.problem_of(net), **options):
        again = scaled_by_hand(net, row["scale"], place)
        jacobians = gated_products.jacobians(again)
        expected = gated_products.log10_chain(again)[0]
        assert row["log10_chain_norm"] == pytest.approx(expected, rel=0, abs=1e-8)
        assert row["rate"] == pytest.approx(expected * math.log(10) / len(jacobians), abs=1e-9)
        largest = largest_exponent([j.astype(float) for j in jacobians])
        assert row["lyapunov_max"] == pytest.approx(largest, abs=1e-8)


def largest_exponent(jacobians: list[np.ndarray]) -> float:
    Q, logs = np.eye(len(jacobians[0])), np.zeros(len(jacobians[0]))
    for J in jacobians:
        Q, R = np.linalg.qr(J @ Q)
        logs += np.log(np.abs(np.diagonal(R)))
    return float(logs.max() / len(jacobians))


# --- rows


@pytest.mark.parametrize(("cell", "hidden"), STACKS, ids=str)
def test_rows_against_products_of_jacobians(cell: str, hidden: tuple[int, ...]) -> None:
    assert_rows(drawn(cell, hidden))


@pytest.mark.parametrize(("cell", "gate"), [(c, g) for c, names in GATES.items() for g in names])
def test_a_gate_against_products_of_jacobians(cell: str, gate: str) -> None:
    assert_rows(drawn(cell, (2, 2), 10), GATES[cell].index(gate), gate=gate)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
@pytest.mark.parametrize("depth", [1, 2])
def test_a_row_is_derive_of_its_seed(cell: str, depth: int) -> None:
    spec = {**SPEC, "cell": cell, "sizes": {"inputs": 2, "hidden": 4, "outputs": 1}}
    if depth > 1:
        spec["weights"] = {"layers": [LAYER] * depth, "W_hy": {"init": "gaussian"}}
    for row in rnngrad.sweep(rnngrad.load(spec), [0.5, 2.0], 2)["rows"]:
        drawn = rnngrad.load({**spec, "seed": row["seed"]})
        weights = {
            name: row["scale"] * value if name.startswith("W_hh") else value
            for name, value in drawn.weights.items()
        }
        again = replace(drawn, weights=MappingProxyType(weights))
        got = rnngrad.gradients(again)
        expected = {
            "log10_chain_norm": rnngrad.log10_chain(again)[0],
            "lyapunov_max": rnngrad.lyapunov_spectrum(again)[0],
            "loss": float(got["loss"]),
            "norm_dL_dW_xh": total(got, "dL_dW_xh"),
            "norm_dL_dW_hh": total(got, "dL_dW_hh"),
            "norm_dL_db_h": total(got, "dL_db_h", "dL_db_xh", "dL_db_hh"),
            "norm_dL_dh_0": np.linalg.norm(got["dL_dh"][0]),
        }
        for name, value in expected.items():
            assert row[name] == pytest.approx(value, rel=1e-9, abs=1e-9), name


def total(gradients: Any, *names: str) -> float:
    """The norm of these gradients of all layers together."""
    ours = [np.ravel(g) for name, g in gradients.items() if name.split(".")[0] in names]
    assert ours
    return float(np.linalg.norm(np.concatenate(ours)))


def test_the_mean_slope_is_over_every_gates_own_function() -> None:
    """At a_t = 0 the slope of a sigmoid is 1/4 and that of tanh 1."""
    zeros = {"W_xh": {"init": "zeros"}, "W_hh": {"init": "zeros"}}
    for cell, expected in (("gru", (2 / 4 + 1) / 3), ("lstm", (3 / 4 + 1) / 4)):
        net = {"cell": cell, "sizes": {"inputs": 1, "hidden": 3}, "weights": zeros}
        row = rnngrad.sweep(rnngrad.load({**net, "inputs": {"zeros": 4}}), [1])["rows"][0]
        assert row["mean_slope"] == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize(("cell", "hidden"), STACKS, ids=str)
def test_what_only_one_layer_of_rnn_has_is_null(cell: str, hidden: tuple[int, ...]) -> None:
    report = rnngrad.sweep(gated_nets.problem_of(drawn(cell, hidden)), SCALES)
    assert all(row[name] is None for row in report["rows"] for name in OF_ONE_RNN)
    said = report["parts"][0]["theory"]
    assert [s["id"] for s in said] == ["bound", "eigenvalues", "mean field"]
    assert {s["verdict"] for s in said} == {"does not apply"}
    kind = f"a stack of 2 {cell} layers" if len(hidden) > 1 else cell
    assert all(kind in s["why"] and s["scale"] is None for s in said)


def test_the_critical_scale_is_where_the_chain_neither_grows_nor_shrinks() -> None:
    net = drawn("gru", (3,), 40)
    found = rnngrad.sweep(gated_nets.problem_of(net), [0.1, 9.0])["critical_scale"]
    ends = [
        gated_products.log10_chain(scaled_by_hand(net, found[end]))[0] for end in ("low", "high")
    ]
    assert ends[0] < 0 <= ends[1]
    assert 0 < found["high"] - found["low"] <= 1e-5 * 9.0


def test_a_dead_chain_vanishes() -> None:
    """An rnn stack at scale 0: nothing of s_{t−1} reaches s_t."""
    row = rnngrad.sweep(gated_nets.problem_of(drawn("rnn", (2, 2))), [0])["rows"][0]
    assert (row["regime"], row["log10_chain_norm"], row["lyapunov_max"]) == (
        "vanishing",
        None,
        None,
    )


# --- what is scaled


@pytest.mark.parametrize(("cell", "hidden"), STACKS, ids=str)
def test_only_W_hh_is_scaled_and_all_of_it(cell: str, hidden: tuple[int, ...]) -> None:
    net = drawn(cell, hidden)
    for gate in [None, *GATES.get(cell, [])]:
        found = scaled_by(gated_nets.problem_of(net), 3.0, gate).weights
        expected = scaled_by_hand(net, 3.0, None if gate is None else GATES[cell].index(gate))
        for name, value in found.items():
            np.testing.assert_array_equal(value, expected[name])


def first_layer_only(problem: Problem, factor: float, gate: str | None = None) -> Problem:
    right = scaled_by(problem, factor, gate).weights
    upper = {n: w for n, w in problem.weights.items() if n.startswith("W_hh") and n[-1] != "0"}
    return replace(problem, weights=MappingProxyType({**right, **upper}))


def next_gate(problem: Problem, factor: float, gate: str | None = None) -> Problem:
    gates = problem.cell.gates
    other = None if gate is None else gates[(gates.index(gate) + 1) % len(gates)]
    return scaled_by(problem, factor, other)


def all_gates(problem: Problem, factor: float, gate: str | None = None) -> Problem:
    return scaled_by(problem, factor)


@pytest.mark.parametrize("mistake", [first_layer_only, next_gate, all_gates])
def test_a_planted_mistake_is_seen(
    mistake: Callable[..., Problem], monkeypatch: pytest.MonkeyPatch
) -> None:
    net = drawn("lstm", (2, 2), 10)
    assert_rows(net, 1, gate="f")
    monkeypatch.setattr(points, "scaled_by", mistake)
    with pytest.raises(AssertionError):
        assert_rows(net, 1, gate="f")


# --- what cannot be swept


@pytest.mark.parametrize(("cell", "options", "words"), [
    ("gru", {"relative_to": "spectral-radius"}, "relative_to=spectral-radius: 'net' is a gru"),
    ("lstm", {"relative_to": "sigma-max"}, "'net' is an lstm"),
    ("lstm", {"relative_to": "sigmamax"}, "did you mean 'sigma-max'?"),
    ("rnn", {"gate": "f"}, "'net' is a stack of 2 rnn layers and has no gates; gru r, z, n;"),
    ("gru", {"gate": "f"}, "the gates of 'net', a gru, are r, z, n"),
    ("gru", {"gate": "reset"}, "did you mean 'r'?"),
    ("lstm", {"gate": "forgte"}, "did you mean 'f'?"),
    ("lstm", {"gate": "O"}, "did you mean 'o'?"),
    ("gru", {"activations": ["relu"]}, "activations=relu: 'net' is a gru, whose activations"),
])  # fmt: skip
def test_refusals(cell: str, options: dict[str, Any], words: str) -> None:
    hidden = (2, 2) if cell == "rnn" else (3,)
    with pytest.raises(UsageError) as caught:
        rows_of(gated_nets.problem_of(drawn(cell, hidden)), **options)
    assert words in str(caught.value)


# --- several at once


def several() -> list[Problem]:
    return [rnngrad.load({**SPEC, "cell": c, "name": c}) for c in ("gru", "rnn", "lstm")]


def test_several_problems_are_each_as_alone() -> None:
    together = rnngrad.sweep(several(), [0.5, 1.0, 20.0], 2)
    alone = [rnngrad.sweep(one, [0.5, 1.0, 20.0], 2) for one in several()]
    assert together["rows"] == [row for report in alone for row in report["rows"]]
    assert together["zeros"] == [zero for report in alone for zero in report["zeros"]]
    assert together["parts"] == [part for report in alone for part in report["parts"]]
    assert [part["spec"] for part in together["parts"]] == ["gru", "rnn", "lstm"]
    assert together["critical_scale"] == alone[0]["critical_scale"] is not None


def test_threads_sweep_several_problems_as_one_thread_does() -> None:
    expected = rnngrad.sweep(several(), "0.2:3:5", 2)
    with ThreadPoolExecutor(2) as pool:
        assert rnngrad.sweep(several(), "0.2:3:5", 2, executor=pool, workers=2) == expected


def test_two_problems_of_one_name_are_told_so() -> None:
    with pytest.raises(UsageError, match="same name"):
        rnngrad.sweep([several()[0]] * 2, [1])
    with pytest.raises(UsageError, match="no problem"):
        rnngrad.sweep([], [1])


def test_all_of_a_gated_problem_survives_the_post() -> None:
    problem = rnngrad.load({**SPEC, "cell": "lstm", "c_0": [1, 2, 3, 4]})
    trained = TrainedIn("encoder.", "forward", MappingProxyType({"W_hy": "out.weight"}), ("tanh",))
    again = unpacked(packed(replace(problem, trained=trained)))
    assert again.trained == trained
    for name, value in rnngrad.gradients(problem).items():
        np.testing.assert_array_equal(rnngrad.gradients(again)[name], value)
    assert again.lengthen is not None
    assert problem.lengthen is not None
    np.testing.assert_array_equal(again.lengthen(44).x, problem.lengthen(44).x)
