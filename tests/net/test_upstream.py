"""∂L/∂h_t given in place of targets and read-out: every gradient that follows from it.

Three proofs: autograd of PyTorch behind a head that rnngrad never sees (attention over all h_t),
the same net with its own read-out and loss, and rnngrad's check with a mistake planted.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnngrad
from cli.running import run
from oracles.compare import wrong_rows

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

T, INPUTS, HIDDEN = 9, 3, 4
KINDS = {"rnn": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}


def _net(kind: str, layers: int) -> tuple[Any, np.ndarray]:
    torch.manual_seed(3)
    net = KINDS[kind](INPUTS, HIDDEN, layers).double()
    return net, torch.randn(T, INPUTS, dtype=torch.float64).numpy()


def _head(h: Any) -> Any:
    """Attention of the last step over all: every h_t, nonlinearly, in one number."""
    weights = torch.softmax(h @ h[-1] / 2.0, dim=0)
    return ((weights @ h) ** 3).sum() + torch.tanh(h).prod(dim=1).sum()


def _by_autograd(net: Any, x: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """∂L/∂h_t of the head alone, and the gradients of the net's parameters and inputs."""
    inputs = torch.tensor(x, requires_grad=True)
    h, _ = net(inputs)
    cut = h.detach().requires_grad_()
    _head(cut).backward()
    _head(h).backward()
    gradients = {name: p.grad.numpy() for name, p in net.named_parameters()}
    return cut.grad.numpy(), {**gradients, "x": inputs.grad.numpy()}


def _weights(net: Any, kind: str, layers: int) -> dict[str, Any]:
    state = {name: p.detach().numpy() for name, p in net.named_parameters()}
    found = []
    for at in range(layers):
        two = (state[f"bias_ih_l{at}"], state[f"bias_hh_l{at}"])
        biases = {"b_xh": two[0], "b_hh": two[1]} if kind == "gru" else {"b_h": sum(two)}
        W = {"W_xh": state[f"weight_ih_l{at}"], "W_hh": state[f"weight_hh_l{at}"]}
        found.append({**W, **biases})
    return found[0] if layers == 1 else {"layers": found}


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("kind", tuple(KINDS))
def test_gradients_are_those_of_autograd_behind_a_head_of_its_own(kind: str, layers: int) -> None:
    net, x = _net(kind, layers)
    upstream, expected = _by_autograd(net, x)
    spec = {"cell": kind, "weights": _weights(net, kind, layers), "inputs": x, "upstream": upstream}
    got = rnngrad.gradients(rnngrad.load(spec))
    assert {"loss", "losses"}.isdisjoint(got)
    named = {"weight_ih": "dL_dW_xh", "weight_hh": "dL_dW_hh",
             "bias_ih": "dL_db_xh" if kind == "gru" else "dL_db_h",
             "bias_hh": "dL_db_hh" if kind == "gru" else "dL_db_h"}  # fmt: skip
    compared = {"dL_dx": expected["x"]}
    for name, array in expected.items():
        if name != "x":
            own, _, layer = name.partition("_l")
            compared[named[own] + (f".{layer}" if layers > 1 else "")] = array
    assert not wrong_rows({name: got[name] for name in compared}, compared)
    direct = np.asarray(got["dLt_dht"])
    assert np.array_equal(direct[:, -HIDDEN:], upstream)
    assert not direct[:, :-HIDDEN].any()


def _own_head(cell: str) -> dict[str, Any]:
    seed = np.random.default_rng(5)
    return {
        "cell": cell,
        "sizes": {"hidden": HIDDEN},
        "weights": {"W_xh": {"init": "normal"}, "W_hh": {"init": "orthogonal"},
                    "W_hy": seed.standard_normal((2, HIDDEN))},
        "inputs": seed.standard_normal((T, INPUTS)),
        "targets": seed.standard_normal((T, 2)),
        "loss_steps": [2, 5, 9],
    }  # fmt: skip


def _in_its_place(spec: dict[str, Any]) -> dict[str, Any]:
    """The same net, told only what its own read-out and loss send back."""
    direct = rnngrad.derive(rnngrad.load(spec))["dLt_dht"]
    kept = {key: spec[key] for key in ("cell", "sizes", "inputs")}
    weights = {name: value for name, value in spec["weights"].items() if name != "W_hy"}
    return {**kept, "weights": weights, "upstream": direct}


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm", "lstm_peephole"])
def test_every_quantity_is_that_of_the_net_with_its_own_read_out(cell: str) -> None:
    spec = _own_head("lstm" if cell == "lstm_peephole" else cell)
    if cell == "lstm_peephole":
        spec["cell"] = cell
        parameters = rnngrad.load({"cell": cell, "weights": _every(cell), "inputs": [[0, 0, 0]]})
        stream = np.random.default_rng(6)
        spec["weights"] = {
            **{n: stream.standard_normal(w.shape) for n, w in parameters.weights.items()},
            "W_hy": spec["weights"]["W_hy"],
        }
    whole, given = rnngrad.derive(rnngrad.load(spec)), rnngrad.derive(
        rnngrad.load(_in_its_place(spec))
    )  # fmt: skip
    assert whole.loss is not None
    assert given.loss is None
    others = {"y", "losses", "dL_dy", "dL_dW_hy", "dL_db_y"}
    names = [name for name in whole if name not in others]
    assert names == [name for name in given if name not in others]
    assert not wrong_rows({n: given[n] for n in names}, {n: whole[n] for n in names})
    assert {"log10_paths", "dL_dh", "dL_dx", "dL_dW_hh" if cell != "lstm_peephole" else "dL_dW_hi"
            } <= set(names)  # fmt: skip


def _every(cell: str) -> dict[str, Any]:
    from rnngrad.cells import CELLS

    sizes = {"H": HIDDEN, "I": INPUTS}
    return {
        name: np.zeros([sizes[letter] for letter in shape])
        for name, shape in CELLS[cell].parameters.items()
    }


@pytest.fixture
def spec(tmp_path: Path) -> str:
    stream = np.random.default_rng(8)
    np.save(tmp_path / "dh.npy", stream.standard_normal((5, 2)))
    np.save(tmp_path / "x.npy", stream.standard_normal((5, 3)))
    path = tmp_path / "net.yaml"
    path.write_text(
        "cell: lstm\nsizes: {hidden: 2}\n"
        "weights: {W_xh: {init: normal}, W_hh: {init: normal}}\n"
        "inputs: {file: x.npy}\nupstream: {file: dh.npy}\n"
    )
    return str(path)


def test_json_has_no_loss_and_all_gradients(spec: str) -> None:
    found = json.loads(run("derive", spec, "--json").stdout)
    assert found["loss"] is None
    assert found["spec"]["loss"] is None
    assert {"dL_dW_xh", "dL_dx", "dL_dc", "log10_paths"} <= set(found["quantities"])
    a3 = next(line for line in found["derivation"] if line["id"] == "a3")
    assert a3["formula"] == "u_5, given as upstream"
    assert "∂y_" not in json.dumps(found["derivation"], ensure_ascii=False)


def test_rows_of_zeros_are_steps_that_do_not_count(spec: str) -> None:
    text = Path(spec).read_text().replace("{file: dh.npy}", "{zeros: 5}")
    Path(spec).write_text(text)
    done = run("derive", spec)
    assert done.returncode == 0
    assert "given as upstream, 0 at every step" in done.stdout
    gradients: Any = rnngrad.gradients(rnngrad.load(spec))
    assert not gradients["dL_dW_hh"].any()
    assert run("check", spec).returncode == 0


def test_a_batch_of_them(tmp_path: Path) -> None:
    stream = np.random.default_rng(9)
    x, upstream = stream.standard_normal((2, 5, 3)), stream.standard_normal((2, 5, 2))
    weights = {"W_xh": stream.standard_normal((2, 3)), "W_hh": stream.standard_normal((2, 2))}
    every: Any = rnngrad.gradients(
        rnngrad.load({"batch": "first", "weights": weights, "inputs": x, "upstream": upstream})
    )
    each: list[Any] = [
        rnngrad.gradients(rnngrad.load({"weights": weights, "inputs": a, "upstream": b}))
        for a, b in zip(x, upstream, strict=True)
    ]
    total = sum(one["dL_dW_hh"] for one in each)
    assert not wrong_rows({"dL_dW_hh": every["dL_dW_hh"]}, {"dL_dW_hh": total})
    (tmp_path / "net.yaml").write_text(
        "batch: first\nsizes: {hidden: 2, inputs: 3}\n"
        "weights: {W_xh: {init: normal}, W_hh: {init: normal}}\n"
        "inputs: {random: normal, steps: 5, sequences: 2}\n"
        "upstream: {random: normal, sequences: 2}\n"
    )
    done = run("derive", str(tmp_path / "net.yaml"))
    assert "not known: ∂L/∂h_t is given (upstream)" in done.stdout
    assert "‖∂L/∂W‖" in done.stdout
    assert run("check", str(tmp_path / "net.yaml")).returncode == 0


def test_every_verb_takes_it(spec: str) -> None:
    assert "given (upstream)" in run("derive", spec).stdout
    row = json.loads(run("sweep", spec, "--whh-scale", "0.5,1", "--json").stdout)["rows"][1]
    assert row["loss"] is None
    assert row["norm_dL_dW_hh"] > 0
    assert "def backward(weights, inputs, upstream, h_0" in run("init", "--function", spec).stdout


@pytest.mark.parametrize("method", ["complex-step", "differences", "taylor", "adjoint"])
def test_check_proves_its_own_gradients(spec: str, method: str) -> None:
    finite = method in ("differences", "taylor")
    done = run("check", spec, "--method", method, *(("--rtol", "1e-6") if finite else ()))
    assert done.returncode == 0, done.stdout


def test_a_gradient_without_the_direct_term_of_one_step_is_found(spec: str) -> None:
    problem = rnngrad.load(spec)
    upstream = np.array(problem.targets)
    upstream[2] = 0.0
    without = rnngrad.load(
        {"cell": "lstm", "sizes": {"hidden": 2}, "weights": dict(problem.weights),
         "inputs": problem.x, "upstream": upstream}
    )  # fmt: skip
    wrong = rnngrad.gradients(without)
    report: Any = rnngrad.check(problem, {"dL_dW_hh": wrong["dL_dW_hh"], "dL_dh": wrong["dL_dh"]})
    assert report["verdict"] == "fail"
    assert rnngrad.check(problem, {"dL_dh": rnngrad.gradients(problem)["dL_dh"]})["verdict"] == (
        "pass"
    )


def test_a_function_is_called_with_the_rows(spec: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import rnngrad\n"
        "def backward(weights, inputs, upstream, h_0):\n"
        "    spec = {'cell': 'lstm', 'weights': weights, 'inputs': inputs, 'upstream': upstream}\n"
        "    return {'dL_dW_hh': rnngrad.gradients(rnngrad.load(spec))['dL_dW_hh']}\n"
    )
    done = run("check", spec, "--against", f"{tmp_path / 'mine.py'}:backward")
    assert done.returncode == 0, done.stdout + done.stderr


MISTAKES = {
    "targets: [[1, 2]]": "targets stands beside upstream",
    "loss_steps: last": "loss_steps stands beside upstream",
    "output_activation: sigmoid": "output_activation stands beside upstream",
    "upstream: [[1, 2, 3], [1, 2, 3], [1, 2, 3], [1, 2, 3], [1, 2, 3]]":
        "upstream has 3 numbers a row, must have 2",
    "upstream: [[1, 2], [3, 4]]": "upstream has 2 steps, must have 5",
}  # fmt: skip


@pytest.mark.parametrize("line", MISTAKES)
def test_what_does_not_go_with_it_is_refused_with_its_place(spec: str, line: str) -> None:
    text = Path(spec).read_text()
    if line.startswith("upstream"):
        text = text.replace("upstream: {file: dh.npy}\n", "")
    Path(spec).write_text(text + line + "\n")
    done = run("derive", spec)
    assert done.returncode == 2
    at = len((text + line).splitlines())
    assert f"net.yaml:{at}:" in done.stderr
    assert MISTAKES[line] in done.stderr.replace("\n", " ")


def test_a_read_out_beside_it_is_refused(spec: str) -> None:
    done = run("derive", spec, "--set", "weights.W_hy={init: normal}")
    assert done.returncode == 2
    assert "weights.W_hy is a read-out beside upstream" in done.stderr
