"""A trained model's file all the way: init writes a spec, derive runs on it, check compares."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import rnngrad
from cli.running import run
from models.test_torch import FIXTURES, RUNNABLE, expected, fixture
from rnngrad.files.models import read_model


def spec_of(name: str, folder: Path, **more: Any) -> dict[str, Any]:
    """The spec of a fixture with its own sequence, its read-out by key."""
    truth, path = expected(name), str(fixture(name))
    np.save(folder / "x.npy", truth["x"])
    np.save(folder / "targets.npy", truth["targets"])
    (dense,) = read_model(fixture(name)).dense
    weights: dict[str, Any] = {"file": path, "prefix": RUNNABLE[name][2]}
    for parameter, key in (("W_hy", dense.W_key), ("b_y", dense.b_key)):
        weights[parameter] = {"file": path, "key": key}
    if path.endswith(".json"):  # the arrays of an index lie in its shards
        weights |= {"W_hy": dense.W.tolist(), "b_y": np.asarray(dense.b).tolist()}
    activation = {"activation": "relu"} if name == "rnn_relu" else {}
    sequences = {"inputs": {"file": "x.npy"}, "targets": {"file": "targets.npy"}}
    return {"weights": weights, **activation, **sequences, **more}


def written(spec: dict[str, Any], folder: Path) -> str:
    (folder / "net.yaml").write_text(yaml.safe_dump(spec), encoding="utf-8")
    return str(folder / "net.yaml")


@pytest.mark.parametrize("name", RUNNABLE)
def test_outputs_and_loss_are_pytorchs(name: str, tmp_path: Path) -> None:
    problem = rnngrad.load(written(spec_of(name, tmp_path), tmp_path))
    assert (problem.cell.name, problem.depth) == RUNNABLE[name][:2]
    got, truth = rnngrad.gradients(problem), expected(name)
    tolerance = 1e-5 if name == "lstm_float32" else 1e-10
    np.testing.assert_allclose(got["y"], truth["y"], rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(got["loss"], truth["loss"], rtol=tolerance)
    top = problem.layers[-1].units
    np.testing.assert_allclose(got["h"][1:, top], truth["h"], rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", RUNNABLE)
def test_every_gradient_is_what_pytorch_left(name: str, tmp_path: Path) -> None:
    """In the precision that the model was run in: float32 for one fixture, else float64."""
    grads = fixture(name).with_name(f"{name}.grads.safetensors")
    spec = written(spec_of(name, tmp_path), tmp_path)
    done = run("check", spec, "--against", str(grads), "--layout", "torch", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    problem = rnngrad.load(spec)
    named = {entry["name"] for entry in report["quantities"]}
    biases = set() if name == "gru_no_bias" else {f"dL_d{n}" for n in problem.weights}
    assert named >= biases - ({"dL_dW_hy", "dL_db_y"} if "sharded" in name else set())
    worst = max(entry["max_rel_error"] for entry in report["quantities"])
    assert worst < (1e-5 if name == "lstm_float32" else 1e-10)
    assert rnngrad.check(problem, grads)["verdict"] == "pass"


def test_a_wrong_gradient_of_pytorchs_names_fails(tmp_path: Path) -> None:
    spec = written(spec_of("lstm", tmp_path), tmp_path)
    right = rnngrad.gradients(rnngrad.load(spec))
    arrays = {"weight_hh_l0": right["dL_dW_hh"].copy(), "weight_ih_l0": right["dL_dW_xh"]}
    arrays["weight_hh_l0"][3, 1] *= 1 + 1e-7
    np.savez(tmp_path / "grads.npz", **arrays)
    done = run("check", spec, "--against", str(tmp_path / "grads.npz"), "--layout", "torch")
    assert done.returncode == 1
    assert "[3, 1]" in done.stdout


def test_what_of_the_file_was_not_checked_is_said(tmp_path: Path) -> None:
    spec = written(spec_of("rnn", tmp_path), tmp_path)
    right = rnngrad.gradients(rnngrad.load(spec))
    arrays = {"module.rnn.weight_hh_l0": right["dL_dW_hh"], "head.weight": right["dL_dW_hy"]}
    np.savez(tmp_path / "g.npz", **arrays, **{"module.fc.weight": 3 * right["dL_dW_hy"]})
    done = run("check", spec, "--against", str(tmp_path / "g.npz"), "--layout", "torch")
    assert done.returncode == 1
    assert "verdict: fail (1 wrong, 1 right)" in done.stdout
    assert "not checked, for the spec names no such parameter: head.weight" in done.stderr


def test_a_wrong_second_bias_fails(tmp_path: Path) -> None:
    spec = written(spec_of("rnn", tmp_path), tmp_path)
    right = rnngrad.gradients(rnngrad.load(spec))
    arrays = {"bias_ih_l0": right["dL_db_h"], "bias_hh_l0": 2 * right["dL_db_h"]}
    np.savez(tmp_path / "g.npz", weight_hh_l0=right["dL_dW_hh"], **arrays)
    done = run("check", spec, "--against", str(tmp_path / "g.npz"), "--layout", "torch")
    assert done.returncode == 1
    assert "the array of bias_hh_l0" in " ".join(done.stdout.split())


def test_a_header_that_looks_like_a_pickles_mark(tmp_path: Path) -> None:
    """A .safetensors begins with the length of its header: 0x0480 is a mark of pickle 4."""
    import struct

    W = np.eye(4)
    entry = {"dtype": "F64", "shape": [4, 4]}
    header = {
        "weight_ih_l0": {**entry, "data_offsets": [0, 128]},
        "weight_hh_l0": {**entry, "data_offsets": [128, 256]},
    }
    text = json.dumps(header).encode().ljust(0x0480)
    (tmp_path / "m.safetensors").write_bytes(struct.pack("<Q", 0x0480) + text + W.tobytes() * 2)
    net = {"weights": {"file": str(tmp_path / "m.safetensors")}, "inputs": {"zeros": 3}}
    np.testing.assert_array_equal(rnngrad.load(net).weights["W_hh"], W)


@pytest.mark.parametrize("name", [name for name in RUNNABLE if name != "lstm_sharded"])
def test_init_writes_a_spec_that_derive_runs(name: str, tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    done = run("init", str(fixture(name)), "-o", str(path))
    cell, _, key, dtype = RUNNABLE[name]
    assert (done.returncode, done.stdout) == (0, "")
    assert [key, cell] == done.stderr.splitlines()[1].split()[:2]
    assert dtype in done.stderr
    shown = run("derive", str(path), "--quantity", "log10_chain", "--json")
    assert shown.returncode == 0, shown.stderr
    assert len(json.loads(shown.stdout)["quantities"]["log10_chain"]) == 201
    assert ("note: assumed: activation" in shown.stderr) is False  # the spec says it by now


def test_init_names_the_file_as_the_spec_sees_it(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "m.safetensors").write_bytes(fixture("gru").read_bytes())
    (tmp_path / "specs").mkdir()
    done = run("init", "models/m.safetensors", "-o", "specs/net.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "../models/m.safetensors" in (tmp_path / "specs" / "net.yaml").read_text()
    assert run("derive", "specs/net.yaml", cwd=tmp_path).returncode == 0


def test_init_asks_which_of_two(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays = {
        f"{net}.weight_{side}": rng.normal(size=(rows, 3))
        for net, rows in (("encoder", 9), ("decoder", 12))
        for side in ("ih", "hh")
    }
    np.savez(tmp_path / "two.npz", **arrays)
    asked = run("init", "two.npz", cwd=tmp_path)
    assert (asked.returncode, asked.stdout) == (2, "")
    assert "two.npz holds 2 recurrent nets; choose one with --prefix KEY" in asked.stderr
    assert [line.split()[:2] for line in asked.stderr.splitlines()[2:4]] == [
        ["encoder.", "gru"],
        ["decoder.", "lstm"],
    ]
    done = run("init", "two.npz", "--prefix", "encoder", "-o", "net.yaml", cwd=tmp_path)
    assert done.returncode == 0
    assert "cell: gru" in (tmp_path / "net.yaml").read_text()
    wrong = run("init", "two.npz", "--prefix", "encodr.", cwd=tmp_path)
    assert "did you mean 'encoder.'?" in wrong.stderr
    assert wrong.returncode == 2


@pytest.mark.parametrize(
    ("change", "place", "words"),
    [
        ({"weights": {"file": "gone.safetensors"}}, "weights.file", "no such file"),
        ({"weights": {"file": "LSTM", "layout": "torhc"}}, "weights.layout", "did you mean 'torc"),
        ({"weights": {"file": "LSTM", "layout": "keras"}}, "weights.file", "must end in .keras"),
        ({"weights": {"file": "LSTM", "prefix": "rn."}}, "weights.prefix", "did you mean 'rnn.'"),
        ({"weights": {"file": "LSTM", "prefix": 3}}, "weights.prefix", "must be text, or a list"),
        ({"weights": {"file": "LSTM", "W_xh": 1}}, "weights.W_xh", "unknown key 'W_xh'"),
        ({"cell": "gru", "weights": {"file": "LSTM"}}, "cell", "the file's net is lstm"),
        ({"activation": "relu", "weights": {"file": "LSTM"}}, "activation", "is for rnn"),
        ({"c_0": [1, 2], "weights": {"file": "LSTM"}}, "c_0", "must have length 4"),
        ({"weights": {"file": "LSTM", "W_hy": {"file": "LSTM", "key": "fc.wieght"}}},
         "weights.W_hy", "did you mean 'fc.weight'"),
        ({"weights": {"file": "LSTM", "W_hy": [[1, 2]]}}, "weights.W_hy", "must be 1×4"),
        ({"cell": "lstm", "weights": {"file": "PROJECTED"}}, "cell", "net is lstm_projection"),
    ],
)  # fmt: skip
def test_mistakes_have_their_places(change: dict[str, Any], place: str, words: str) -> None:
    text = json.dumps({"inputs": [[1, 2, 3]], **change})
    for short, name in (("LSTM", "lstm"), ("PROJECTED", "lstm_projected")):
        text = text.replace(f'"{short}"', json.dumps(str(fixture(name))))
    with pytest.raises(rnngrad.SpecError) as caught:
        rnngrad.load(json.loads(text))
    assert str(caught.value).startswith(place), caught.value
    assert words in str(caught.value), caught.value


def test_what_the_file_leaves_open_is_said(tmp_path: Path) -> None:
    spec = written(spec_of("rnn", tmp_path), tmp_path)
    assert "note: assumed: activation tanh" in run("derive", spec).stderr
    told = written(spec_of("rnn", tmp_path, activation="tanh"), tmp_path)
    assert run("derive", told).stderr == ""


def test_layout_needs_a_file_of_gradients(tmp_path: Path) -> None:
    spec = written(spec_of("rnn", tmp_path), tmp_path)
    alone = run("check", spec, "--layout", "torch")
    assert (alone.returncode, "needs --against FILE" in alone.stderr) == (2, True)
    other = run(
        "check", spec, "--against", str(FIXTURES / "rnn.grads.safetensors"), "--layout", "x"
    )
    assert (other.returncode, "in the layout torch" in other.stderr) == (2, True)
    gone = run("check", spec, "--against", "gone.safetensors")
    assert (gone.returncode, "no such file" in gone.stderr) == (2, True)


def test_init_makes_a_stack_of_several_layers(tmp_path: Path) -> None:
    """``--prefix`` in the order from below; layers that do not fit are said."""
    rng = np.random.default_rng(0)
    arrays = {
        f"rnns.{k}.{name}": rng.normal(size=shape)
        for k, inputs in enumerate((3, 4))
        for name, shape in (("weight_ih_l0", (16, inputs)), ("weight_hh_l0", (16, 4)))
    }
    np.savez(tmp_path / "net.npz", **arrays)
    layers = ("--prefix", "rnns.0.", "--prefix", "rnns.1.")
    done = run("init", "net.npz", *layers, "-o", "net.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    spec = yaml.safe_load((tmp_path / "net.yaml").read_text(encoding="utf-8"))
    assert spec["weights"]["prefix"] == ["rnns.0.", "rnns.1."]
    problem = rnngrad.load(str(tmp_path / "net.yaml"))
    assert (problem.depth, problem.inputs) == (2, 3)
    np.testing.assert_array_equal(problem.weights["W_xh.1"], arrays["rnns.1.weight_ih_l0"])
    wrong = run("init", "net.npz", "--prefix", "rnns.1.", "--prefix", "rnns.0.", cwd=tmp_path)
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "layer 1 takes 3 inputs, layer 0 has 4 units" in wrong.stderr


def test_init_refuses_a_net_of_another_equation(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays = {
        "cell.weight_ih": rng.normal(size=(16, 3)),
        "cell.weight_hh": rng.normal(size=(16, 4)),
    }
    np.savez(tmp_path / "net.npz", **arrays, **{"cell.ln_h.weight": np.ones(16)})
    done = run("init", "net.npz", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "net.npz[cell.] holds beside its weights 'cell.ln_h.weight'" in done.stderr


@pytest.mark.parametrize("name", ["exported_lstm_2", "exported_gru_2"])
def test_init_makes_one_stack_of_exported_layers(name: str, tmp_path: Path) -> None:
    done = run("init", str(FIXTURES / f"{name}.onnx"), "-o", "net.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "3 → 4 → 4" in done.stderr
    assert rnngrad.load(str(tmp_path / "net.yaml")).depth == 2


def test_init_writes_no_path_of_this_machine(tmp_path: Path) -> None:
    """A spec and its model go to another machine together, however the model was named."""
    (tmp_path / "real" / "deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real" / "deep")
    model = tmp_path / "model.safetensors"
    model.write_bytes((FIXTURES / "lstm.safetensors").read_bytes())
    for spec, seen in (("net.yaml", "model.safetensors"), ("real/net.yaml", "../model.safetensors"),
                       ("link/net.yaml", "../../model.safetensors")):  # fmt: skip
        assert run("init", str(model), "-o", spec, cwd=tmp_path).returncode == 0
        text = (tmp_path / spec).read_text(encoding="utf-8")
        assert yaml.safe_load(text)["weights"]["file"] == seen
        assert str(tmp_path) not in text
        assert "file:/" not in text
        assert run("derive", str(tmp_path / spec)).returncode == 0
    assert "file: model.safetensors" in run("init", str(model), cwd=tmp_path).stdout
    plain = run("init").stdout, run("init", "--cell", "mgu").stdout
    assert not any(
        "file://" in text or str(Path(rnngrad.__file__).parent) in text for text in plain
    )
