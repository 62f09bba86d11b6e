"""A dense layer before the recurrent one, against PyTorch and against the same net by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnngrad
from cli.running import run
from oracles.compare import wrong_rows

T, INPUTS, D, H, OUT = 6, 3, 5, 4, 2


def spec(cell: str = "rnn", both: bool = False, **more: Any) -> dict[str, Any]:
    draw, gates = np.random.default_rng(1), {"rnn": 1, "gru": 3, "lstm": 4}[cell]

    def some(*shape: int) -> np.ndarray:
        return draw.normal(scale=0.6, size=shape)

    weights = {name + way: array for way in ("", "_reverse")[: 1 + both] for name, array in
               {"W_xh": some(gates * H, D), "W_hh": some(gates * H, H)}.items()}  # fmt: skip
    weights |= {"W_in": some(D, INPUTS), "b_in": some(D), "W_hy": some(OUT, (1 + both) * H)}
    return {
        "cell": cell, "weights": weights, "inputs": some(T, INPUTS), "targets": some(T, OUT),
        **({"direction": "both"} if both else {}), **more,
    }  # fmt: skip


def by_torch(data: dict[str, Any]) -> dict[str, np.ndarray]:
    torch = pytest.importorskip("torch")
    functions = {"identity": lambda a: a, "tanh": torch.tanh, "relu": torch.relu}
    both = "direction" in data
    net = getattr(torch.nn, data["cell"].upper())(D, H, bidirectional=both).double()
    W = {n: torch.tensor(w, requires_grad=True) for n, w in data["weights"].items()}
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            way = "_reverse" if name.endswith("_reverse") else ""
            own = {"weight_ih": "W_xh", "weight_hh": "W_hh"}.get(name[:9])
            parameter.copy_(W[own + way] if own else torch.zeros_like(parameter))
    x = torch.tensor(data["inputs"], requires_grad=True)
    phi = functions[data.get("input_activation", "identity")]
    h, _ = net(phi(x @ W["W_in"].T + W["b_in"]))
    y = h @ W["W_hy"].T
    ((torch.tensor(data["targets"]) - y) ** 2).sum().backward()
    found = {"y": y.detach(), "dL_dx": x.grad, "dL_dW_hh": net.weight_hh_l0.grad}
    found |= {f"dL_d{name}": W[name].grad for name in ("W_in", "b_in", "W_hy")}
    return {name: tensor.numpy() for name, tensor in found.items()}


@pytest.mark.torch
@pytest.mark.parametrize("activation", ["identity", "tanh", "relu"])
@pytest.mark.parametrize(("cell", "both"), [("rnn", False), ("lstm", False), ("gru", True)])
def test_gradients_are_pytorchs(cell: str, both: bool, activation: str) -> None:
    data = spec(cell, both, input_activation=activation)
    problem = rnngrad.load(data)
    expected = by_torch(data)
    got: Any = rnngrad.gradients(problem)
    assert not wrong_rows({name: got[name] for name in expected}, expected)
    report: Any = rnngrad.check(problem)
    assert report["verdict"] == "pass"
    names = {one["name"] for one in report["quantities"]}
    assert {"dL_dW_in", "dL_db_in", "dL_dx"} <= names
    report = rnngrad.check(problem, expected)
    assert report["verdict"] == "pass"
    for name in ("dL_dW_in", "dL_db_in", "dL_dx"):
        wrong = {**expected, name: expected[name] * (1 + 1e-6)}
        report = rnngrad.check(problem, wrong)
        assert [o["name"] for o in report["quantities"] if o["verdict"] == "fail"] == [name]


def test_own_gradients_that_are_wrong_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: φ' left out on the way back."""
    from rnngrad.analyses.derivation import quantities
    from rnngrad.net.dense import DenseGradients

    def plainly(dense: Any, dL_dx: np.ndarray) -> Any:
        return DenseGradients(dL_dx.T @ dense.x, dL_dx.sum(axis=0), dL_dx @ dense.W)

    monkeypatch.setattr(quantities, "pulled_back", plainly)
    report: Any = rnngrad.check(rnngrad.load(spec(input_activation="tanh")))
    wrong = {one["name"] for one in report["quantities"] if one["verdict"] == "fail"}
    assert wrong == {"dL_dW_in", "dL_db_in", "dL_dx"}


@pytest.mark.parametrize("many", [False, True])
def test_mistakes_in_the_dense_layer_have_names(many: bool) -> None:
    """φ' left out, or taken of x'; and W_hhᵀ on the way back, whose
    consequence in W_in is told together with it."""
    data = spec(input_activation="tanh")
    if many:
        data |= {n: np.stack([data[n], data[n][::-1]]) for n in ("inputs", "targets")}
        data["batch"] = "first"
    problem: Any = rnngrad.load(data)
    right = {n: np.asarray(a) for n, a in rnngrad.gradients(problem).items()
             if n[:6] in ("dL_dW_", "dL_db_")}  # fmt: skip
    W, wrong = data["weights"], {}
    for kind in ("no slope", "slope of x'", "turned"):
        made = {n: np.zeros_like(a) for n, a in right.items()}
        for one in problem.sequences if many else (problem,):
            x, a = one.dense.x, one.dense.x @ W["W_in"].T + W["b_in"]
            g, back = rnngrad.gradients(one), np.zeros(H)
            h, dL_dy = np.asarray(g["h"]), np.asarray(g["dL_dy"])
            for t in range(one.steps, 0, -1):
                at_a = (1 - h[t] ** 2) * (dL_dy[t - 1] @ W["W_hy"] + back)
                back = at_a @ (W["W_hh"].T if kind == "turned" else W["W_hh"])
                of = {"no slope": 1.0, "slope of x'": 1 - np.tanh(np.tanh(a[t - 1])) ** 2}
                front = of.get(kind, 1 - np.tanh(a[t - 1]) ** 2) * (at_a @ W["W_xh"])
                for name, rows in (("W_in", x[t - 1]), ("b_in", None), ("W_hh", h[t - 1]),
                                   ("W_xh", np.tanh(a[t - 1])), ("b_h", None)):  # fmt: skip
                    left = front if name.endswith("in") else at_a
                    made[f"dL_d{name}"] += left if rows is None else np.outer(left, rows)
        wrong[kind] = made | {n: right[n] for n in ("dL_dW_hy", "dL_db_y")}
    bugs = {"no slope": "missing-activation-derivative", "turned": "transposed-W_hh",
            "slope of x'": "activation-derivative-of-output"}  # fmt: skip
    for kind, bug in bugs.items():
        report: Any = rnngrad.check(problem, wrong[kind])
        found = {o["name"]: o["diagnosis"] for o in report["quantities"] if o["verdict"] == "fail"}
        assert {one["bug"] for one in found.values()} == {bug}, kind
        assert {"dL_dW_in", "dL_db_in"} <= found.keys()
        assert ("dL_dW_hh" in found) is (kind == "turned")
        assert ("dense layer" in found["dL_dW_in"]["explanation"]) is (kind == "no slope")
    report = rnngrad.check(problem, right | {"dL_dW_in": 1 + right["dL_dW_in"]})
    (told,) = (o["diagnosis"] for o in report["quantities"] if o["verdict"] == "fail")
    assert told["explanation"].startswith("no known mistake gives these numbers")


def test_a_batch_and_token_ids() -> None:
    data, table = spec("gru"), np.random.default_rng(2).normal(size=(7, INPUTS))
    ids = np.array([[0, 1, 2, 6, 6, 3], [4, 4, 0, 0, 0, 5]])
    targets = np.random.default_rng(3).normal(size=(2, T, OUT))
    data |= {"inputs": {"ids": ids, "embedding": table}, "batch": "first", "targets": targets,
             "lengths": [6, 4], "input_activation": "tanh"}  # fmt: skip
    whole: Any = rnngrad.gradients(rnngrad.load(data))
    result: Any = rnngrad.derive(rnngrad.load(data))
    alone, chosen = result.sequences, rnngrad.derive(rnngrad.load({**data, "sequence": 2}))
    for name in ("dL_dW_in", "dL_db_in", "dL_dW_xh"):
        assert np.allclose(whole[name], alone[0][name] + alone[1][name], rtol=1e-12)
    assert np.allclose(whole["dL_dx"][1, :4], alone[1]["dL_dx"], rtol=1e-12)
    assert not whole["dL_dx"][1, 4:].any()
    assert np.array_equal(chosen["dL_dx"], alone[1]["dL_dx"])
    assert np.allclose(chosen["dL_dW_in"], whole["dL_dW_in"], rtol=1e-12)
    at_once: Any = rnngrad.gradients(rnngrad.load({**data, "sequence": 2}))
    assert np.array_equal(at_once["dL_dW_in"], whole["dL_dW_in"])
    expected = np.zeros((7, INPUTS))
    for k, length in enumerate((6, 4)):
        np.add.at(expected, ids[k, :length], alone[k]["dL_dx"])
    assert np.allclose(result["dL_dembedding"], expected, rtol=1e-12)
    given = {name: whole[name] for name in ("dL_dW_in", "dL_dW_hh", "dL_dx")}
    assert rnngrad.check(rnngrad.load(data), given)["verdict"] == "pass"
    assert rnngrad.check(rnngrad.load(data))["verdict"] == "pass"


def test_what_takes_no_dense_layer_says_so(tmp_path: Path) -> None:
    lines = ["weights:", "  W_in: [[1, 2], [3, 4]]", "  W_xh: [[1, 0.5]]", "  W_hh: 0.5",
             "inputs: [[1, 0], [0, 1]]", "targets: [1, 0]", "input_activation: tanh"]  # fmt: skip
    (tmp_path / "net.yaml").write_text("\n".join(lines) + "\n")
    done = run("derive", "net.yaml", "--explain", "a6", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "has a dense layer W_in" in done.stderr
    for form in (["latex"], ["typst"], ["markdown", "--math", "dollars"]):
        done = run("derive", "net.yaml", "--format", *form, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        assert f"--format {form[0]} takes nets without" in done.stderr.replace("\n", " ")
    done = run("derive", "net.yaml", cwd=tmp_path)
    assert "x'_t = φ(W_in x_t + b_in),  φ = tanh" in done.stdout
    assert "W_in" in done.stdout.partition("Gradients of the parameters")[2]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"weights": {"b_in": [1.0]}}, "b_in needs W_in"),
        ({"weights": {}, "input_activation": "tanh"}, "of a dense layer before the recurrent one"),
        ({"weights": {"W_in": np.ones((4, 3))}}, "W_in is 4×3, must be 5×3 because W_xh is 4×5"),
        ({"inputs": np.ones((T, 2))}, "has 2 numbers a row, must have 3"),
    ],
)
def test_mistakes(change: dict[str, Any], words: str) -> None:
    data = spec()
    kept = {n: W for n, W in data["weights"].items() if n not in ("W_in", "b_in")}
    kept = kept if "weights" in change else data["weights"]
    changed = {**data, **change, "weights": {**kept, **change.get("weights", {})}}
    with pytest.raises(rnngrad.SpecError, match=words):
        rnngrad.load(changed)


def test_wrong_totals_of_a_batch_get_a_verdict() -> None:
    """Reading such a batch otherwise ended with ValueError."""
    data = spec("gru") | {"batch": "first", "lengths": [6, 4]}
    draw = np.random.default_rng(4)
    data |= {"inputs": draw.normal(size=(2, T, INPUTS)), "targets": draw.normal(size=(2, T, OUT))}
    given = {
        name: np.asarray(array) + draw.normal(size=np.shape(array))
        for name, array in rnngrad.gradients(rnngrad.load(data)).items()
        if name in ("dL_dW_in", "dL_dW_hh", "dL_dW_hy")
    }
    report: Any = rnngrad.check(rnngrad.load(data), given)
    assert report["verdict"] == "fail"
    (words,) = [one["worst_entry"] for one in report["quantities"] if one["name"] == "dL_dW_in"]
    row, column = next(
        one["worst_index"] for one in report["quantities"] if one["name"] == "dL_dW_in"
    )
    assert words == f"unit {row} of W_in, from input {column}"


def test_the_head_tells_the_inputs_that_were_given() -> None:
    result: Any = rnngrad.derive(rnngrad.load(spec()))
    assert f"I = {INPUTS}, H = {H}" in result.as_text().splitlines()[0]
