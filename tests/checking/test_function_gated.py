"""Students' functions for gated nets, and what the command refuses for them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import rnngrad
from checking import cells
from cli.running import run as command
from rnngrad.cli.checks import against, answers
from rnngrad.cli.checks.options import CheckOptions
from rnngrad.errors import UsageError
from rnngrad.net.problem import Problem

LSTM = """
import numpy as np

def sigmoid(a):
    return 1 / (1 + np.exp(-a))

def backward(weights, inputs, targets, h_0, c_0, wrong=False):
    W, H = weights, len(h_0)
    h, c, gates = [h_0], [c_0], []
    for x in inputs:
        a = W["W_xh"] @ x + W["W_hh"] @ h[-1] + W["b_h"]
        i, f, o = (sigmoid(a[k * H:(k + 1) * H]) for k in (0, 1, 3))
        g = np.tanh(a[2 * H:3 * H])
        c.append(f * c[-1] + i * g)
        h.append(o * np.tanh(c[-1]))
        gates.append((i, f, g, o))
    total = {"dL_d" + name: np.zeros_like(w) for name, w in W.items()}
    dh, dc = np.zeros(H), np.zeros(H)
    for t in reversed(range(len(inputs))):
        dy = -2 * (targets[t] - W["W_hy"] @ h[t + 1] - W["b_y"])
        dh = dh + W["W_hy"].T @ dy
        i, f, g, o = gates[t]
        dc = dc + dh * o * (1 - np.tanh(c[t + 1]) ** 2)
        slopes = [1] * 4 if wrong else [i * (1 - i), f * (1 - f), 1 - g ** 2, o * (1 - o)]
        into = [dc * g, dc * c[t], dc * i, dh * np.tanh(c[t + 1])]
        da = np.concatenate([u * s for u, s in zip(into, slopes)])
        total["dL_dW_xh"] += np.outer(da, inputs[t])
        total["dL_dW_hh"] += np.outer(da, h[t])
        total["dL_db_h"] += da
        total["dL_dW_hy"] += np.outer(dy, h[t + 1])
        total["dL_db_y"] += dy
        dh, dc = W["W_hh"].T @ da, dc * f
    return total

def without_c_0(weights, inputs, targets, h_0):
    return backward(weights, inputs, targets, h_0, np.zeros_like(h_0))

def anything(*given, **named):
    assert not named
    return without_c_0(*given)

def spoils(weights, inputs, targets, h_0, *, c_0):
    total = backward(weights, inputs, targets, h_0, c_0)
    c_0 += 1
    return total

def ifog(weights, inputs, targets, h_0, c_0):
    total = backward(weights, inputs, targets, h_0, c_0)
    blocks = np.split(total["dL_dW_hh"], 4)
    return {"dL_dW_hh": np.concatenate([blocks[g] for g in (0, 1, 3, 2)])}

def layers(weights, inputs, targets, h_0):
    return {"dL_dW_hh.1": np.zeros_like(weights["W_hh.1"])}
"""


@pytest.fixture
def student(tmp_path: Path) -> str:
    (tmp_path / "student.py").write_text(LSTM)
    return str(tmp_path / "student.py")


def lstm(seed: int = 1, **changes: object) -> Problem:
    net = cells.spec(seed, ("lstm", 1), steps=5, hidden=3, scale=0.6)
    return rnngrad.load(net | {"output_activation": "identity"} | changes)


def run(problem: Problem, source: str, **options: object) -> tuple[str, list[dict[str, object]]]:
    report, verdict, _ = against.run(problem, source, CheckOptions(**options))  # type: ignore[arg-type]
    quantities = report.document()["quantities"]
    assert isinstance(quantities, list)
    return str(verdict), quantities


def test_c_0_is_given_to_a_function_that_asks_for_it(student: str) -> None:
    problem = lstm()
    assert problem.starts["c"].any()
    assert run(problem, f"{student}:backward", random=20)[0] == "pass"


def test_a_function_without_c_0_is_called_without(
    student: str, capsys: pytest.CaptureFixture[str]
) -> None:
    at_rest = lstm(c_0=0)
    assert run(at_rest, f"{student}:without_c_0", random=10)[0] == "pass"
    assert run(at_rest, f"{student}:anything")[0] == "pass"
    assert "c_0" not in capsys.readouterr().err
    assert run(lstm(), f"{student}:without_c_0")[0] == "fail"
    assert "without_c_0 has no parameter c_0, and c_0 of net 1 is not 0" in capsys.readouterr().err


def test_c_0_is_a_copy(student: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(lstm(), f"{student}:spoils")[0] == "pass"
    assert "changes its inputs: c_0" in capsys.readouterr().err


def test_wrong_functions_are_named(student: str) -> None:
    (entry,) = run(lstm(), f"{student}:ifog")[1]
    assert isinstance(entry["diagnosis"], dict)
    assert entry["diagnosis"]["bug"] == "gate-order"


def test_a_stack_s_parameters_have_the_layer_s_number(student: str) -> None:
    problem = cells.problem(3, ("lstm", 2), steps=4, hidden=2)
    verdict, (entry,) = run(problem, f"{student}:layers")
    assert (verdict, entry["name"]) == ("fail", "dL_dW_hh.1")


@pytest.mark.parametrize(
    ("kind", "words"),
    [(("gru", 1), "not for gru"), (("lstm", 2), "2 layers of lstm"), (("rnn", 2), "layers of rnn")],
)
def test_formulas_are_for_one_layer_of_rnn(kind: tuple[str, int], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        answers.run(cells.problem(0, kind), ["answers.yaml"], CheckOptions())


def test_the_command(tmp_path: Path) -> None:
    """Exit codes and JSON of a spec in a file, its own gradients and somebody else's."""
    net = cells.spec(4, ("lstm", 2), steps=4, hidden=2, scale=0.6)
    (tmp_path / "net.yaml").write_text(json.dumps(_plain(net)))
    done = command("check", str(tmp_path / "net.yaml"), "--json")
    assert done.returncode == 0, done.stderr
    names = [entry["name"] for entry in json.loads(done.stdout)["quantities"]]
    assert {"dL_dc", "dL_dW_xh.1", "dht_dhprev", "log10_paths", "dLt_dhk", "dLt_dak"} <= set(names)
    right = rnngrad.gradients(rnngrad.load(str(tmp_path / "net.yaml")))
    for factor, code in ((1.0, 0), (1 + 1e-8, 1)):
        np.savez(tmp_path / "g.npz", **{"dL_dW_hh.1": right["dL_dW_hh.1"] * factor})
        options = ("--against", str(tmp_path / "g.npz"), "--json", "--hide-expected")
        done = command("check", str(tmp_path / "net.yaml"), *options)
        assert done.returncode == code, done.stderr


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return value.tolist() if isinstance(value, np.ndarray) else value
