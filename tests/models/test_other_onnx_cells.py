"""ONNX nodes whose cell is none of rnn, gru and lstm: outputs against ONNX Runtime, gradients
against the complex step through the operators' equations as ONNX writes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

import rnngrad
from models.test_onnx import (
    GATES,
    HIDDEN,
    SQUEEZE,
    T,
    inputs,
    model,
    node,
    truth,
    two,
    weights,
    written,
)
from models.test_other_cells import close, starter_of
from rnngrad.files.models import choose, read_model

ORDERS = {"RNN": "h", "GRU": "zrn", "LSTM": "iofg"}
Function = Callable[[Any], Any]


def sigmoid(a: Any) -> Any:
    return 1 / (1 + np.exp(-a))


def hard(alpha: float, beta: float) -> Function:
    return lambda a: np.where(
        (alpha * a + beta).real <= 0, 0, np.where((alpha * a + beta).real >= 1, 1, alpha * a + beta)
    )


def leaky(alpha: float) -> Function:
    return lambda a: np.where(a.real > 0, a, alpha * a)


def elu(alpha: float) -> Function:
    return lambda a: np.where(a.real > 0, a, alpha * (np.exp(a) - 1))


def softsign(a: Any) -> Any:
    return a / (1 + np.where(a.real > 0, a, -a))


FUNCTIONS: dict[str, tuple[str, list[float], list[float], Function]] = {
    "hard": ("HardSigmoid", [], [], hard(0.2, 0.5)),
    "harder": ("HardSigmoid", [0.3], [0.4], hard(0.3, 0.4)),
    "leaky": ("LeakyRelu", [], [], leaky(0.01)),
    "leakier": ("LeakyRelu", [0.25], [], leaky(0.25)),
    "negative": ("LeakyRelu", [-0.5], [], leaky(-0.5)),
    "elu": ("Elu", [], [], elu(1.0)),
    "elu 2": ("Elu", [0.7], [], elu(0.7)),
    "affine": ("Affine", [0.4], [-0.3], lambda a: 0.4 * a - 0.3),
    "scaled": ("ScaledTanh", [1.7], [0.6], lambda a: 1.7 * np.tanh(0.6 * a)),
    "softsign": ("Softsign", [], [], softsign),
    "softplus": ("Softplus", [], [], lambda a: np.log1p(np.exp(a))),
    "relu": ("Relu", [], [], leaky(0.0)),
    "sigmoid": ("Sigmoid", [], [], sigmoid),
    "tanh": ("Tanh", [], [], np.tanh),
}
"""a name -> ONNX's name, alpha, beta, the function"""
DEFAULTS = {"RNN": ["tanh"], "GRU": ["sigmoid", "tanh"], "LSTM": ["sigmoid", "tanh", "tanh"]}


def walked(op: str, arrays: dict[str, Any], x: Any, functions: list[Function], said: Any) -> Any:
    """h_1 … h_T as the operators' pages have it; ``arrays`` without the axis of directions."""
    gates = ORDERS[op]
    W, R = (dict(zip(gates, np.split(arrays[n], len(gates)), strict=True)) for n in "WR")
    halves = np.split(arrays["B"], 2)
    Wb, Rb = (dict(zip(gates, np.split(b, len(gates)), strict=True)) for b in halves)
    P = dict(zip("iof", np.split(arrays.get("P", np.zeros(3 * HIDDEN)), 3), strict=True))
    h = c = np.zeros(HIDDEN)
    out = []
    for row in x:
        a = {g: W[g] @ row + R[g] @ h + Wb[g] + Rb[g] for g in gates}
        if op == "RNN":
            h = functions[0](a["h"])
        elif op == "GRU":
            z, r = functions[0](a["z"]), functions[0](a["r"])
            inner = W["n"] @ row + R["n"] @ (r * h) + Rb["n"] + Wb["n"]
            if said.get("linear_before_reset"):
                inner = W["n"] @ row + r * (R["n"] @ h + Rb["n"]) + Wb["n"]
            h = (1 - z) * functions[1](inner) + z * h
        else:
            f, g, top = functions
            i = f(a["i"] + P["i"] * c)
            forget = 1 - i if said.get("input_forget") else f(a["f"] + P["f"] * c)
            c = forget * c + i * g(a["g"])
            h = f(a["o"] + P["o"] * c) * top(c)
        out.append(h)
    return np.array(out)


def gradients(op: str, arrays: dict[str, Any], x: Any, functions: Any, said: Any) -> dict[str, Any]:
    """∂(Σ h²)/∂ each array by the complex step."""
    found = {}
    for name, array in arrays.items():
        found[name] = np.zeros(array.shape)
        for at in np.ndindex(array.shape):
            moved = array.astype(complex)
            moved[at] += 1e-30j
            h = walked(op, {**arrays, name: moved}, x, functions, said)
            found[name][at] = np.sum(h**2).imag / 1e-30
    return found


def proved(folder: Path, op: str, said: dict[str, Any], words: list[str], peephole: bool) -> Any:
    """Builds the node, and compares outputs and gradients."""
    constants = weights(op)
    more: tuple[str, ...] = ()
    if peephole:
        rng = np.random.default_rng(4)
        constants["P"] = rng.normal(size=(1, 3 * HIDDEN), scale=0.6).astype(np.float32)
        more = ("", "", "", "P")
    used = [FUNCTIONS[word] for word in words]
    lists = {
        "activations": [each[0] for each in used],
        "activation_alpha": [value for each in used for value in each[1]],
        "activation_beta": [value for each in used for value in each[2]],
    }
    options = {key: value for key, value in lists.items() if value and words != DEFAULTS[op]}
    made = helper.make_node(
        op, ["X", "W", "R", "B", *more], ["Y"], "net", hidden_size=HIDDEN, **said, **options
    )
    path = written(folder, model([made], constants))
    x, functions = inputs(), [each[3] for each in used]
    data = {**starter_of(path, folder), "inputs": x.tolist(), "targets": [[0.0] * HIDDEN] * T}
    data["weights"]["file"] = str(path)
    problem = rnngrad.load(data)
    got = rnngrad.gradients(problem)
    wide = {name: array[0].astype(float) for name, array in constants.items()}
    h = walked(op, wide, x.astype(float), functions, said)
    close(got["h"][1:], h, 1e-6 if options else 1e-12)
    close(got["h"][1:], truth(path, x[:, None])[:, 0, 0], 1e-5)
    theirs = gradients(op, wide, x.astype(float), functions, said)
    for name in problem.weights:
        close(got[f"dL_d{name}"], part(op, name, theirs), 1e-6 if options else 1e-11)
    assert rnngrad.check(problem)["verdict"] == "pass"
    return data["cell"]


def part(op: str, name: str, theirs: dict[str, Any]) -> Any:
    """The rows of ONNX's arrays that a parameter of the equations holds."""
    kind, gate = name.split("_", 1)
    if kind == "w":
        return np.split(theirs["P"], 3)["iof".index(gate[1])]
    source = "B" if kind == "b" else "W" if gate[0] == "x" else "R"
    rows = theirs[source]
    if source == "B":
        rows = rows[: len(rows) // 2] if gate[0] != "h" or op == "RNN" else rows[len(rows) // 2 :]
    blocks = np.split(rows, GATES[op])
    if len(gate) == 2 and gate[1] == "h" and op == "GRU":
        return np.concatenate([blocks["zrn".index(each)] for each in "rzn"])
    return blocks[ORDERS[op].index(gate[-1])]


def test_reset_before_the_product(tmp_path: Path) -> None:
    """ONNX's default, linear_before_reset=0."""
    assert proved(tmp_path, "GRU", {}, DEFAULTS["GRU"], False) == "gru_reset_before"


def test_peepholes(tmp_path: Path) -> None:
    assert proved(tmp_path, "LSTM", {}, DEFAULTS["LSTM"], True) == "lstm_peephole"


def test_coupled_gates(tmp_path: Path) -> None:
    cell = proved(tmp_path, "LSTM", {"input_forget": 1}, DEFAULTS["LSTM"], False)
    assert cell == "lstm_coupled"


def test_coupled_gates_with_peepholes(tmp_path: Path) -> None:
    cell = proved(tmp_path, "LSTM", {"input_forget": 1}, DEFAULTS["LSTM"], True)
    assert cell["name"] == "lstm_peephole f_t = 1 - i_t"
    assert cell["equations"][1] == "f_t = 1 - i_t"


@pytest.mark.parametrize("word", sorted(FUNCTIONS))
def test_every_function_of_an_rnn(word: str, tmp_path: Path) -> None:
    cell = proved(tmp_path, "RNN", {}, [word], False)
    plain = word in ("leaky", "elu", "softsign", "softplus", "relu", "sigmoid", "tanh")
    assert (cell == "rnn") is plain


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["hard", "tanh"], {}),
        (["harder", "scaled"], {"linear_before_reset": 1}),
        (["sigmoid", "leakier"], {}),
        (["affine", "softsign"], {}),
        (["sigmoid", "relu"], {"linear_before_reset": 1}),
    ],
)
def test_functions_of_a_gru(words: list[str], said: dict[str, Any], tmp_path: Path) -> None:
    proved(tmp_path, "GRU", said, words, False)


@pytest.mark.parametrize(
    ("words", "said", "peephole"),
    [
        (["hard", "tanh", "tanh"], {}, False),
        (["harder", "scaled", "leakier"], {}, False),
        (["harder", "elu 2", "affine"], {}, True),
        (["sigmoid", "relu", "tanh"], {"input_forget": 1}, False),
        (["harder", "softsign", "elu 2"], {"input_forget": 1}, True),
        (["leakier", "softplus", "sigmoid"], {}, False),
    ],
)
def test_functions_of_an_lstm(
    words: list[str], said: dict[str, Any], peephole: bool, tmp_path: Path
) -> None:
    cell = proved(tmp_path, "LSTM", said, words, peephole)
    assert "with" in cell["name"]
    if words[-1] == "affine":
        assert cell["equations"][-1] == "h_t = o_t ∘ (0.4 c_t - 0.3)"


def test_the_two_directions_have_functions_of_their_own(tmp_path: Path) -> None:
    words = ["HardSigmoid", "Tanh", "LeakyRelu", "HardSigmoid", "Relu", "Tanh"]
    alphas, betas = [0.3, 0.25, 0.1], [0.4, 0.6]
    said = {"activations": words, "activation_alpha": alphas, "activation_beta": betas}
    both = node("LSTM", direction="bidirectional", **said)
    path = written(tmp_path, model([both], weights("LSTM", 2)))
    x = inputs()
    y = truth(path, x[:, None])[:, :, 0]
    for at, way in enumerate(("forward", "reverse")):
        turn = -1 if at else 1
        data = starter_of(path, tmp_path, "--direction", way)
        data["weights"]["file"] = str(path)
        got = rnngrad.gradients(rnngrad.load({**data, "inputs": x[::turn].tolist()}))
        close(got["h"][1:], y[::turn, at], 1e-5)


def test_a_short_list_of_alphas_is_used_up_in_order(tmp_path: Path) -> None:
    """HardSigmoid takes the only alpha, LeakyRelu then has its default, as in ONNX Runtime."""
    said = {"activations": ["HardSigmoid", "LeakyRelu"], "activation_alpha": [0.25]}
    path = written(tmp_path, model([node("GRU", **said)], weights("GRU")))
    x = inputs()
    data = {**starter_of(path, tmp_path), "inputs": x.tolist()}
    data["weights"]["file"] = str(path)
    got = rnngrad.gradients(rnngrad.load(data))["h"][1:]
    close(got, truth(path, x[:, None])[:, 0, 0], 1e-5)
    assert "hard_sigmoid(1.5 (" in data["cell"]["equations"][0]


def test_another_cell_than_the_files_is_refused(tmp_path: Path) -> None:
    said = {"activations": ["HardSigmoid", "Tanh", "Tanh"]}
    path = written(tmp_path, model([node("LSTM", **said)], weights("LSTM")))
    data = starter_of(path, tmp_path)
    data["weights"]["file"] = str(path)
    left_out = {key: value for key, value in data.items() if key != "cell"}
    assert rnngrad.load(left_out).cell.name == "lstm with hard_sigmoid(1.2 a)"
    with pytest.raises(rnngrad.SpecError, match="the file's net is lstm with hard_sigmoid"):
        rnngrad.load({**data, "cell": "lstm"})
    changed = [text.replace("1.2", "1.3") for text in data["cell"]["equations"]]
    with pytest.raises(rnngrad.SpecError, match="has other equations than the file's net"):
        rnngrad.load({**data, "cell": {**data["cell"], "equations": changed}})


@pytest.mark.parametrize(
    ("op", "said", "name"),
    [
        ("GRU", {"linear_before_reset": 0}, "gru_reset_before"),
        ("LSTM", {"input_forget": 1}, "lstm_coupled"),
        ("LSTM", {"activations": ["HardSigmoid", "Tanh", "Tanh"]},
         "lstm with hard_sigmoid(1.2 a)"),
    ],
)  # fmt: skip
def test_stacks(op: str, said: dict[str, Any], name: str, tmp_path: Path) -> None:
    """Two nodes of one cell are a stack; of two cells they are none."""
    made = two(op, SQUEEZE)
    nodes = [each for each in made.graph.node if each.op_type == op]
    for each in nodes:
        others = [a for a in each.attribute if a.name not in said]
        del each.attribute[:]
        more = [helper.make_attribute(*pair) for pair in said.items()]
        each.attribute.extend([*others, *more])
    path, x = written(tmp_path, made), inputs()
    data = {**starter_of(path, tmp_path), "inputs": x.tolist()}
    data["weights"]["file"] = str(path)
    problem = rnngrad.load(data)
    assert (problem.cell.name, problem.depth) == (name, 2)
    h = rnngrad.gradients(problem)["h"][1:]
    close(h[:, HIDDEN:], truth(path, x[:, None])[:, 0, 0], 1e-5)
    assert rnngrad.check(problem)["verdict"] == "pass"
    kept = [a for a in nodes[1].attribute if a.name not in said]
    del nodes[1].attribute[:]
    nodes[1].attribute.extend(kept)
    if op == "GRU":
        nodes[1].attribute.append(helper.make_attribute("linear_before_reset", 1))
    assert len(read_model(written(tmp_path, made)).recurrent) == 2


def test_the_operators_own_functions_need_no_equations(tmp_path: Path) -> None:
    said = {"activations": ["SIGMOID", "TanH"]}
    net = choose(read_model(written(tmp_path, model([node("GRU", **said)], weights("GRU")))), None)
    assert (net.cell, net.own) == ("gru", None)
