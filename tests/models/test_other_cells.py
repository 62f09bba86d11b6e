"""Nets of files whose cell is none of rnn, gru and lstm, against the framework that wrote them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import rnngrad
from cli.running import run
from models.test_torch import FIXTURES, saved, state
from rnngrad.files.models import ModelFileError, choose, read_model

PROJECTED = FIXTURES / "lstm_projected.safetensors"


def starter_of(path: Path, folder: Path, *more: str) -> dict[str, Any]:
    """What ``init`` writes, which derive must run."""
    spec = folder / "net.yaml"
    done = run("init", str(path), "-o", str(spec), "--force", *more)
    assert done.returncode == 0, done.stderr
    shown = run("derive", str(spec), "--quantity", "log10_chain", "--json")
    assert shown.returncode == 0, shown.stderr
    chain = json.loads(shown.stdout)["quantities"]["log10_chain"]
    assert len(chain) == 201
    data: dict[str, Any] = yaml.safe_load(spec.read_text(encoding="utf-8"))
    for part in (data["weights"], *data["weights"].values()):
        if isinstance(part, dict) and "file" in part:
            part["file"] = str(path)  # a mapping's files are seen from here
    return data


def close(got: Any, wanted: Any, rtol: float) -> None:
    """To ``rtol`` of the largest entry."""
    got, wanted = np.asarray(got, dtype=float), np.asarray(wanted, dtype=float)
    assert got.shape == wanted.shape
    assert np.max(np.abs(wanted)) > 0
    np.testing.assert_allclose(got, wanted, rtol=0, atol=rtol * float(np.max(np.abs(wanted))))


# ---------------------------------------------------------------------------- PyTorch's proj_size


def projected(folder: Path, **more: Any) -> dict[str, Any]:
    with np.load(FIXTURES / "lstm_projected.expected.npz") as truth:
        given = {"inputs": truth["x"].tolist(), "targets": truth["targets"].tolist()}
    return {**starter_of(PROJECTED, folder), **given, **more}


def test_a_projection_gives_pytorchs_outputs_and_loss(tmp_path: Path) -> None:
    data = projected(tmp_path)
    assert data["cell"] == "lstm_projection"
    got = rnngrad.gradients(rnngrad.load(data))
    with np.load(FIXTURES / "lstm_projected.expected.npz") as truth:
        close(got["h"][1:], truth["h"], 1e-12)
        close(got["y"], truth["y"], 1e-12)
        assert got["loss"] == pytest.approx(float(truth["loss"]), rel=1e-12)


def test_every_gradient_of_a_projection_is_what_pytorch_left(tmp_path: Path) -> None:
    """``check --layout torch``: weight_ih_l0 holds four parameters of the equations."""
    (tmp_path / "net.yaml").write_text(yaml.safe_dump(projected(tmp_path)), encoding="utf-8")
    grads = FIXTURES / "lstm_projected.grads.safetensors"
    done = run("check", "net.yaml", "--against", str(grads), "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads(done.stdout)["quantities"]
    problem = rnngrad.load(str(tmp_path / "net.yaml"))
    assert {row["name"] for row in rows} == {f"dL_d{name}" for name in problem.weights}
    assert max(row["max_rel_error"] for row in rows) < 1e-12
    alone = {key: value for key, value in projected(tmp_path).items() if key != "targets"}
    assert rnngrad.load(alone).layers[0].own["W_p"].shape == (2, 4)


def test_a_wrong_gradient_of_a_projection_fails(tmp_path: Path) -> None:
    problem = rnngrad.load(projected(tmp_path))
    right = rnngrad.gradients(problem)
    rows = np.concatenate([right[f"dL_dW_h{gate}"] for gate in "ifgo"])
    arrays = {"weight_hh_l0": rows, "weight_hr_l0": right["dL_dW_p"]}
    np.savez(tmp_path / "good.npz", **arrays)
    rows = rows.copy()
    rows[9, 1] *= 1 + 1e-6
    np.savez(tmp_path / "bad.npz", **{**arrays, "weight_hh_l0": rows})
    (tmp_path / "net.yaml").write_text(yaml.safe_dump(projected(tmp_path)), encoding="utf-8")
    check = ("check", "net.yaml", "--layout", "torch", "--json", "--against")
    assert run(*check, "good.npz", cwd=tmp_path).returncode == 0
    done = run(*check, "bad.npz", cwd=tmp_path)
    assert done.returncode == 1
    wrong = [row for row in json.loads(done.stdout)["quantities"] if row["verdict"] == "fail"]
    assert [(row["name"], row["worst_index"]) for row in wrong] == [("dL_dW_hg", [1, 1])]


@pytest.mark.torch
@pytest.mark.parametrize(("layers", "both"), [(2, False), (1, True)])
def test_stacks_and_halves_with_a_projection(layers: int, both: bool, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    save_file = pytest.importorskip("safetensors.torch").save_file
    torch.manual_seed(layers)
    made = {"proj_size": 2, "num_layers": layers, "bidirectional": both}
    net = torch.nn.LSTM(3, 5, **made).double()
    save_file(net.state_dict(), tmp_path / "net.safetensors")
    x = torch.randn(7, 3, dtype=torch.float64)
    out = net(x)[0][:, -2:]
    (out**2).sum().backward()
    grads = {name: p.grad.numpy() for name, p in net.named_parameters()}
    way = ("--direction", "reverse") if both else ()
    data = starter_of(tmp_path / "net.safetensors", tmp_path, *way)
    data["weights"]["file"] = str(tmp_path / "net.safetensors")
    given = {
        "inputs": x.numpy()[:: -1 if both else 1].tolist(),
        "targets": np.zeros((7, 2)).tolist(),
    }
    got = rnngrad.gradients(rnngrad.load({**data, **given}))
    seen = got["h"][1:][:: -1 if both else 1]
    close(seen[:, -2:], out.detach().numpy(), 1e-12)
    for layer in range(layers):
        end, key = f".{layer}" if layers > 1 else "", f"_l{layer}" + "_reverse" * both
        for kind, theirs in (("W_x", "weight_ih"), ("W_h", "weight_hh"), ("b_", "bias_ih")):
            mine = np.concatenate([got[f"dL_d{kind}{gate}{end}"] for gate in "ifgo"])
            close(mine, grads[theirs + key], 1e-11)
        close(got[f"dL_dW_p{end}"], grads[f"weight_hr{key}"], 1e-11)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"weight_hr_l0": (2, 3)}, r"\[a.weight_hr_l0\] is 2×3, must be 2×4 as a.weight_hh_l0"),
        ({"weight_hr_l0": (3, 4)}, r"\[a.weight_hr_l0\] is 3×4, must be 2×4 as a.weight_hh_l0"),
        ({"weight_hr_l0": (2,)}, r"\[a.weight_hr_l0\] is 2, must be 2×4 as"),
        ({"weight_hr_l0": (2, 4), "weight_ih_l0": (8, 3)}, r"weight_ih_l0\] is 8×3, must be 16×I"),
        ({"weight_hr_l0": None}, r"is 16×2, must be H×H \(rnn\), 3H×H"),
        ({"weight_ih_l1": (16, 2), "weight_hh_l1": (16, 2), "weight_hr_l0": (2, 4)},
         r"\[a.weight_hh_l1\] has no weight_hr beside it, as another layer has"),
        ({"weight_hh_l0": (12, 4), "weight_ih_l0": (12, 3), "weight_hr_l0": (2, 4)},
         r"\[a.weight_hr_l0\] is 2×4, must be 4×3 as a.weight_hh_l0 is 12×4"),
        ({"weight_hh_l0": (14, 4), "weight_hr_l0": (2, 4)}, r"is 14×4, must be 4H×P"),
    ],
)  # fmt: skip
def test_a_wrong_projection_is_named(
    changes: dict[str, tuple[int, ...] | None], words: str, tmp_path: Path
) -> None:
    arrays = state(**{"weight_hh_l0": (16, 2), "bias_ih_l0": None, "bias_hh_l0": None, **changes})
    with pytest.raises(ModelFileError, match=words):
        choose(read_model(saved(tmp_path, arrays)), "a.")
