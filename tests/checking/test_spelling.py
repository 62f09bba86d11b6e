"""Names as people write them, columns for vectors: the same verdict, and a note."""

from __future__ import annotations

import csv
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import rnngrad
from cli.running import run
from rnngrad.analyses.checking.against import check_arrays, names_that_do_not_exist
from rnngrad.analyses.checking.comparing.verdicts import Verdict
from rnngrad.analyses.checking.spelling import SPELLINGS
from rnngrad.errors import QuantityError
from rnngrad.net.problem import Problem

LSTM = "lstm"


def net(cell: str = "rnn", layers: int = 1, readout: bool = True) -> Problem:
    """Sizes that differ from one another, so that no array fits another's name."""
    rows = {"rnn": 1, "gru": 3, LSTM: 4}[cell]
    widths = [3, *[4 + k for k in range(layers)]]
    rng = np.random.default_rng(7)
    one = [
        {
            "W_xh": rng.normal(size=(rows * out, into)) / 2,
            "W_hh": rng.normal(size=(rows * out, out)) / 2,
        }
        for into, out in pairwise(widths)
    ]
    weights: dict[str, object] = dict(one[0]) if layers == 1 else {"layers": one}
    outputs = 2 if readout else widths[-1]
    if readout:
        weights |= {"W_hy": rng.normal(size=(2, widths[-1])), "b_y": [0.1, 0.2]}
    spec = {
        "cell": cell,
        "weights": weights,
        "h_0": 0.3,
        "inputs": rng.normal(size=(5, 3)),
        "targets": rng.normal(size=(5, outputs)),
    }
    return rnngrad.load(spec)


RNN = net()


def right(problem: Problem) -> dict[str, np.ndarray]:
    gradients = rnngrad.gradients(problem)
    found = {name: np.array(gradients[name]) for name in gradients if name.startswith("dL_d")}
    found["dL_dh_0"] = found["dL_dh"][0]
    if "dL_dc" in found:
        found["dL_dc_0"] = found["dL_dc"][0]
    return found


MEANT = {
    # min-char-rnn
    "dWxh": "dL_dW_xh", "dWhh": "dL_dW_hh", "dWhy": "dL_dW_hy", "dbh": "dL_db_h", "dby": "dL_db_y",
    # the course assignment
    "dWax": "dL_dW_xh", "dWaa": "dL_dW_hh", "dba": "dL_db_h", "dWya": "dL_dW_hy",
    "da0": "dL_dh_0", "dx": "dL_dx",
    # spellings of the contract's own
    "dW_xh": "dL_dW_xh", "grad_W_xh": "dL_dW_xh", "dLdWxh": "dL_dW_xh", "dL/dW_xh": "dL_dW_xh",
    "∂L/∂W_xh": "dL_dW_xh", "DL_DW_XH": "dL_dW_xh", "dl_dw_xh": "dL_dW_xh", "W_xh.grad": "dL_dW_xh",
    "W_xh_grad": "dL_dW_xh", "gradWxh": "dL_dW_xh", "dJ_dW_hh": "dL_dW_hh", "dloss_db_y": "dL_db_y",
    "dL/dh": "dL_dh", "dh0": "dL_dh_0", "dL_dh_0": "dL_dh_0", "dL_dh0": "dL_dh_0",
    "grad_h_0": "dL_dh_0", "dW_ih": "dL_dW_xh", "dWhx": "dL_dW_xh", "dWyh": "dL_dW_hy",
    # PyTorch
    "weight_ih_l0": "dL_dW_xh", "weight_ih_l0.grad": "dL_dW_xh", "grad_weight_hh_l0": "dL_dW_hh",
    "rnn.weight_hh_l0": "dL_dW_hh", "weight_ih": "dL_dW_xh", "bias_ih_l0": "dL_db_h",
    "encoder.rnn.bias_hh_l0.grad": "dL_db_h",
}  # fmt: skip


@pytest.mark.parametrize(("written", "meant"), MEANT.items())
def test_a_name_as_people_write_it(written: str, meant: str) -> None:
    (entry,) = check_arrays(RNN, {written: right(RNN)[meant]})
    assert (entry.name, entry.verdict) == (meant, Verdict.PASS)
    assert entry.note == ("" if written == meant else f"given as {written}")
    (entry,) = check_arrays(RNN, {written: 1.01 * right(RNN)[meant]})
    assert (entry.name, entry.verdict) == (meant, Verdict.FAIL)


@pytest.mark.parametrize(
    "written",
    ["W_xh", "dU", "dW", "dV", "db", "dWx", "dWh", "dWf", "dy", "dh", "dWhz", "weight_ih_l1",
     "weight_ih_l0_reverse", "fc.weight", "dbxy", "", "d", "grad", "dW_xh.0"],
)  # fmt: skip
def test_what_may_mean_something_else_is_refused(written: str) -> None:
    """Weights themselves, one letter for different matrices, a gate's own array."""
    assert set(names_that_do_not_exist(RNN, [written])) == {written}
    with pytest.raises(QuantityError, match="no quantity is called"):
        check_arrays(RNN, {written: np.zeros((4, 3))})


@pytest.mark.parametrize(
    "written",
    ["dW\x1b[2J_xh", "dWαxh", "a\n.weight_ih_l0", "a" * 300 + ".weight_ih_l0", "dW_xh\u202e"],
)
def test_nothing_is_dropped_unseen(written: str) -> None:
    """What a terminal would act on, or what would fill it, never reaches a note."""
    assert set(names_that_do_not_exist(RNN, [written])) == {written}


def test_an_unknown_name_is_told_what_is_near() -> None:
    assert "did you mean 'dL_dW_hh'" in names_that_do_not_exist(RNN, ["dW_hhh"])["dW_hhh"]


@pytest.mark.parametrize(
    ("cell", "meant"),
    [
        ("gru", {"dWxh": "dL_dW_xh", "dbxh": "dL_db_xh", "dbhh": "dL_db_hh", "dWaa": "dL_dW_hh",
                 "weight_ih_l0": "dL_dW_xh", "bias_ih_l0": "dL_db_xh", "bias_hh_l0": "dL_db_hh",
                 "b_ih.grad": "dL_db_xh"}),
        (LSTM, {"dWxh": "dL_dW_xh", "dbh": "dL_db_h", "dba": "dL_db_h", "bias_hh_l0": "dL_db_h",
                "dc0": "dL_dc_0", "dL_dc_0": "dL_dc_0", "dL/dc": "dL_dc"}),
    ],
)  # fmt: skip
def test_each_cell_has_its_own(cell: str, meant: dict[str, str]) -> None:
    problem = net(cell)
    arrays = right(problem)
    for written, name in meant.items():
        (entry,) = check_arrays(problem, {written: arrays[name]})
        assert (entry.name, entry.verdict) == (name, Verdict.PASS)


def test_gru_has_two_biases_and_no_b_h() -> None:
    assert set(names_that_do_not_exist(net("gru"), ["dbh", "dba"])) == {"dbh", "dba"}


def test_the_layers_of_a_stack() -> None:
    problem = net(LSTM, layers=2)
    arrays = right(problem)
    meant = {"weight_ih_l0": "dL_dW_xh.0", "net.weight_hh_l1.grad": "dL_dW_hh.1",
             "bias_ih_l1": "dL_db_h.1", "dWxh.1": "dL_dW_xh.1", "dWhy": "dL_dW_hy"}  # fmt: skip
    checked = check_arrays(problem, {w: arrays[name] for w, name in meant.items()})
    assert {entry.name for entry in checked} == set(meant.values())
    assert {entry.verdict for entry in checked} == {Verdict.PASS}
    refused = ["dWxh", "weight_ih", "weight_ih_l2", "dWxh1", "dWxh_1"]
    assert set(names_that_do_not_exist(problem, refused)) == set(refused)


def test_a_read_out_by_the_key_of_the_trained_model(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    rng = np.random.default_rng(0)
    model = {"rnn.weight_ih_l0": rng.normal(size=(4, 3)),
             "rnn.weight_hh_l0": rng.normal(size=(4, 4)),
             "fc.weight": rng.normal(size=(2, 4)), "fc.bias": rng.normal(size=2)}  # fmt: skip
    save_file(model, tmp_path / "m.safetensors")
    at = str(tmp_path / "m.safetensors")
    weights = {"file": at, "layout": "torch", "W_hy": {"file": at, "key": "fc.weight"},
               "b_y": {"file": at, "key": "fc.bias"}}  # fmt: skip
    problem = rnngrad.load({"weights": weights, "inputs": rng.normal(size=(5, 3)),
                            "targets": rng.normal(size=(5, 2))})  # fmt: skip
    arrays = right(problem)
    keys = {"fc.weight.grad": "dL_dW_hy", "fc.bias": "dL_db_y", "rnn.weight_ih_l0": "dL_dW_xh"}
    checked = check_arrays(problem, {key: arrays[name] for key, name in keys.items()})
    assert [entry.verdict for entry in checked] == [Verdict.PASS] * 3


def test_pytorch_s_two_biases_have_one_gradient() -> None:
    db = right(RNN)["dL_db_h"]
    (entry,) = check_arrays(RNN, {"bias_ih_l0": db, "bias_hh_l0": db})
    assert (entry.name, entry.verdict) == ("dL_db_h", Verdict.PASS)
    assert entry.note == "given as bias_ih_l0 and as bias_hh_l0"
    for wrong in ({"bias_ih_l0": db, "bias_hh_l0": 2 * db}, {"b_ih.grad": 2 * db, "b_hh.grad": db}):
        (entry,) = check_arrays(RNN, wrong)
        assert entry.verdict is Verdict.FAIL
    assert entry.reason == ""
    (entry,) = check_arrays(RNN, {"bias_ih_l0": db, "bias_hh_l0": 2 * db})
    assert entry.reason == "the array of bias_hh_l0"


@pytest.mark.parametrize(
    "pair",
    [("dWxh", "dL_dW_xh"), ("dWxh", "dWax"), ("encoder.weight_ih_l0", "decoder.weight_ih_l0"),
     ("dbh", "bias_ih_l0"), ("a.bias_ih_l0", "b.bias_ih_l0")],
)  # fmt: skip
def test_two_names_of_one_gradient_are_a_mistake(pair: tuple[str, str]) -> None:
    with pytest.raises(QuantityError) as caught:
        check_arrays(RNN, dict.fromkeys(pair, np.zeros(4)))
    assert all(f"'{name}'" in str(caught.value) for name in pair)


def test_every_spelling_of_the_table_is_tried_here_and_means_a_parameter() -> None:
    parameters = {"W_xh", "W_hh", "b_h", "b_xh", "b_hh", "W_hy", "b_y", "h_0", "c_0", "x"}
    for record in SPELLINGS:
        assert set(record.means) <= parameters
        problems = [net(cell) for cell in ("rnn", "gru", LSTM)]
        written = record.written if record.bare else f"d{record.written}"
        assert any(not names_that_do_not_exist(problem, [written]) for problem in problems)


# ---------------------------------------------------------------- columns


@pytest.mark.parametrize("name", ["dL_db_h", "dL_db_y", "dL_dh_0", "losses", "log10_chain"])
@pytest.mark.parametrize("turn", [False, True], ids=["column", "row"])
def test_a_column_is_a_vector(name: str, turn: bool) -> None:
    vector = right(RNN)[name] if name.startswith("dL") else np.array(rnngrad.derive(RNN)[name])
    column = vector[np.newaxis] if turn else vector[:, np.newaxis]
    (entry,) = check_arrays(RNN, {name: column})
    sides = "×".join(map(str, column.shape))
    assert (entry.verdict, entry.note) == (Verdict.PASS, f"{sides} for {len(vector)} numbers")
    wrong = column.copy()
    wrong.flat[-1] += 1
    (entry,) = check_arrays(RNN, {name: wrong})
    assert entry.verdict is Verdict.FAIL
    assert entry.worst_index == (len(vector) - 1,)


def test_a_column_of_one() -> None:
    problem = rnngrad.load(
        {"weights": {"W_xh": 1, "W_hh": 0.5}, "inputs": [1, 1], "targets": [0, 1]}
    )
    (entry,) = check_arrays(problem, {"dbh": right(problem)["dL_db_h"].reshape(1, 1)})
    assert (entry.verdict, entry.note) == (Verdict.PASS, "given as dbh, 1×1 for 1 number")


@pytest.mark.parametrize(
    ("name", "shape"),
    [("dL_db_h", (4, 2)), ("dL_db_h", (2, 2)), ("dL_db_h", (1, 4, 1)), ("dL_dW_xh", (12, 1)),
     ("dL_dW_xh", (4, 3, 1)), ("dL_db_h", (3, 1)), ("dL_db_h", (0, 1))],
)  # fmt: skip
def test_any_other_shape_fails(name: str, shape: tuple[int, ...]) -> None:
    (entry,) = check_arrays(RNN, {name: np.zeros(shape)})
    assert (entry.verdict, entry.max_rel_error, entry.note) == (Verdict.FAIL, None, "")
    assert "must be" in entry.reason


# ---------------------------------------------------------------- ∂L/∂h_0 by itself


def test_the_start_s_gradient_is_diagnosed_with_the_others() -> None:
    arrays = right(RNN)
    wrong = {"dh0": 0.2 * arrays["dL_dh_0"], "dWxh": 0.2 * arrays["dL_dW_xh"]}
    checked = check_arrays(RNN, wrong)
    bugs = {entry.diagnosis.bug for entry in checked if entry.diagnosis}
    assert bugs == {"averaged-over-steps"}  # 1/T = 0.2


# ---------------------------------------------------------------- files, functions, the command


SPEC = """\
activation: tanh
output_activation: softmax
loss: cross_entropy
sizes: {inputs: 3, hidden: 4, outputs: 5}
weights:
  W_xh: {init: normal, std: 0.1}
  W_hh: {init: normal, std: 0.1}
  W_hy: {init: normal, std: 0.1}
inputs: {random: one_hot, steps: 7}
targets: {random: one_hot}
seed: 8
"""

MIN_CHAR = """\
import numpy as np

def lossFun(weights, inputs, targets, h_0):
    Wxh, Whh, Why = weights["W_xh"], weights["W_hh"], weights["W_hy"]
    bh, by = weights["b_h"][:, None], weights["b_y"][:, None]
    hs, ps, loss = {-1: np.copy(h_0[:, None])}, {}, 0
    for t in range(len(inputs)):
        x = inputs[t][:, None]
        hs[t] = np.tanh(np.dot(Wxh, x) + np.dot(Whh, hs[t-1]) + bh)
        y = np.dot(Why, hs[t]) + by
        ps[t] = np.exp(y) / np.sum(np.exp(y))
        loss += -np.log(ps[t][targets[t].argmax(), 0])
    dWxh, dWhh, dWhy = np.zeros_like(Wxh), np.zeros_like(Whh), np.zeros_like(Why)
    dbh, dby = np.zeros_like(bh), np.zeros_like(by)
    dhnext = np.zeros_like(hs[0])
    for t in reversed(range(len(inputs))):
        dy = np.copy(ps[t])
        dy[targets[t].argmax()] -= 1
        dWhy += np.dot(dy, hs[t].T)
        dby += dy
        dh = np.dot(Why.T, dy) + dhnext
        dhraw = (1 - hs[t] * hs[t]) * dh
        dbh += dhraw
        dWxh += np.dot(dhraw, inputs[t][None])
        dWhh += np.dot(dhraw, hs[t-1].T)
        dhnext = np.dot(Whh.T, dhraw)
    return {"loss": loss, "dWxh": dWxh, "dWhh": dWhh, "dWhy": dWhy, "dbh": dbh, "dby": dby}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "net.yaml").write_text(SPEC, encoding="utf-8")
    (tmp_path / "student.py").write_text(MIN_CHAR, encoding="utf-8")
    return tmp_path


def test_min_char_rnn_as_it_stands_passes_and_is_noted(folder: Path) -> None:
    done = run("check", "net.yaml", "--against", "student.py:lossFun", "--trials", "3", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    words = " ".join(done.stdout.split())
    assert "dL_dW_xh: given as dWxh; dL_dW_hh: given as dWhh" in words
    assert "dL_db_h: given as dbh, 4×1 for 4 numbers" in words
    done = run("check", "net.yaml", "--against", "student.py:lossFun", "--json", cwd=folder)
    notes = {q["name"]: q["note"] for q in json.loads(done.stdout)["quantities"]}
    assert notes["dL_db_y"] == "given as dby, 5×1 for 5 numbers"
    assert notes["loss"] is None


@pytest.mark.parametrize("kind", ["npz", "json", "yaml"])
def test_files_and_python_take_them_too(folder: Path, kind: str) -> None:
    problem = rnngrad.load(folder / "net.yaml")
    gradients = right(problem)
    arrays = {"dWxh": gradients["dL_dW_xh"], "dby": gradients["dL_db_y"][:, np.newaxis]}
    path = folder / f"mine.{kind}"
    if kind == "npz":
        np.savez(path, **arrays)
    else:
        path.write_text(json.dumps({name: a.tolist() for name, a in arrays.items()}))
    for against in (path, arrays):
        document = rnngrad.check(problem, against)  # type: ignore[arg-type]
        assert document["verdict"] == "pass"
        quantities = document["quantities"]
        assert isinstance(quantities, list)
        assert [q["note"] for q in quantities] == [
            "given as dWxh", "given as dby, 5×1 for 5 numbers"
        ]  # fmt: skip
    done = run("check", "net.yaml", "--against", str(path), "--format", "csv", cwd=folder)
    assert done.returncode == 0, done.stderr
    first = next(csv.DictReader(done.stdout.splitlines()))
    assert first["note"] == "given as dWxh"


def test_one_gradient_twice_in_a_file_is_exit_2_with_its_place(folder: Path) -> None:
    (folder / "mine.yaml").write_text("dbh: [1, 2, 3, 4]\ndL_db_h: [1, 2, 3, 4]\n")
    done = run("check", "net.yaml", "--against", "mine.yaml", cwd=folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("mine.yaml:2:1: 'dL_db_h' is dL_db_h, and so is 'dbh'")


def test_an_unknown_name_of_pytorch_names_the_layout(folder: Path) -> None:
    np.savez(
        folder / "mine.npz", **{"rnn.weight_ih_l0": np.zeros((4, 3)), "fc.weight": np.zeros(3)}
    )
    done = run("check", "net.yaml", "--against", "mine.npz", cwd=folder)
    assert done.returncode == 2
    assert "'fc.weight'" in done.stderr
    assert "--layout torch reads PyTorch's names" in done.stderr
    assert "weight_ih_l0'" not in done.stderr
