"""Token ids with an embedding as inputs: the way of a language model, against PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnngrad
from cli.running import run
from oracles.compare import wrong_rows

torch = pytest.importorskip("torch")
save_file = pytest.importorskip("safetensors.torch").save_file
pytestmark = pytest.mark.torch

V, D, H, T = 7, 3, 4, 9
IDS = [0, 3, 3, 6, 1, 3, 2, 6, 0]
NEXT = [3, 3, 6, 1, 3, 2, 6, 0, 5]


class Model(torch.nn.Module):  # type: ignore[misc]
    """Embedding, recurrent layers, a read-out: what a tutorial builds."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.emb = torch.nn.Embedding(V, D)
        self.rnn = torch.nn.LSTM(D, H)
        self.out = torch.nn.Linear(H, V)
        self.double()

    def forward(self, ids: Any) -> Any:
        return self.out(self.rnn(self.emb(ids))[0])


@pytest.fixture
def trained(tmp_path: Path) -> tuple[Path, Model, float]:
    """A folder with what a user has: the state_dict, its gradients, two .npy, and the spec."""
    model = Model()
    loss = torch.nn.functional.cross_entropy(model(torch.tensor(IDS)), torch.tensor(NEXT))
    loss.backward()
    save_file(model.state_dict(), tmp_path / "lm.safetensors")
    save_file({n: p.grad for n, p in model.named_parameters()}, tmp_path / "grads.safetensors")
    np.save(tmp_path / "ids.npy", np.array(IDS))
    np.save(tmp_path / "next.npy", np.array(NEXT))
    (tmp_path / "net.yaml").write_text(
        "cell: lstm\n"
        "weights:\n"
        "  file: lm.safetensors\n"
        "  W_hy: {file: lm.safetensors, key: out.weight}\n"
        "  b_y: {file: lm.safetensors, key: out.bias}\n"
        "output_activation: softmax\nloss: cross_entropy\nloss_reduction: mean\n"
        "inputs: {file: ids.npy, embedding: {file: lm.safetensors, key: emb.weight}}\n"
        "targets: {file: next.npy}\n"
    )
    return tmp_path, model, loss.item()


def test_loss_and_gradients_are_those_of_pytorch(trained: tuple[Path, Model, float]) -> None:
    folder, model, loss = trained
    problem = rnngrad.load(folder / "net.yaml")
    result = rnngrad.derive(problem)
    assert result.loss == pytest.approx(loss, rel=1e-12)
    grads = {name: p.grad.numpy() for name, p in model.named_parameters()}
    expected = {
        "dL_dW_xh": grads["rnn.weight_ih_l0"], "dL_dW_hh": grads["rnn.weight_hh_l0"],
        "dL_db_h": grads["rnn.bias_ih_l0"], "dL_dW_hy": grads["out.weight"],
        "dL_db_y": grads["out.bias"], "dL_dembedding": grads["emb.weight"],
    }  # fmt: skip
    assert not wrong_rows({name: result[name] for name in expected}, expected)
    assert not np.array(result["dL_dembedding"])[[4, 5]].any()  # of no step


def test_the_gradients_that_pytorch_left_pass_with_the_embeddings(
    trained: tuple[Path, Model, float],
) -> None:
    folder, _, _ = trained
    done = run("check", "net.yaml", "--against", "grads.safetensors", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "dL_dembedding" in done.stdout


def test_a_row_that_was_written_and_not_added_fails(trained: tuple[Path, Model, float]) -> None:
    folder, _, _ = trained
    problem = rnngrad.load(folder / "net.yaml")
    dL_dx = np.asarray(rnngrad.gradients(problem)["dL_dx"])
    overwritten = np.zeros((V, D))
    overwritten[IDS] = dL_dx  # = for +=
    report: Any = rnngrad.check(problem, {"dL_dembedding": overwritten})
    assert report["verdict"] == "fail"
    added = np.zeros((V, D))
    np.add.at(added, IDS, dL_dx)
    assert rnngrad.check(problem, {"dL_dembedding": added})["verdict"] == "pass"


def test_own_gradients_are_proved(trained: tuple[Path, Model, float]) -> None:
    assert run("check", "net.yaml", cwd=trained[0]).returncode == 0


@pytest.mark.parametrize("form", ["npy", "npz", "csv", "column", "list", "rows"])
def test_every_form_of_ids_and_table_is_the_looked_up_rows(
    trained: tuple[Path, Model, float], form: str
) -> None:
    folder, model, _ = trained
    table = model.emb.weight.detach().numpy()
    embedding: Any = {"file": str(folder / "lm.safetensors"), "key": "emb.weight"}
    if form in ("npy", "npz", "csv", "column"):
        path = folder / f"other.{'npy' if form == 'column' else form}"
        if form == "npz":
            np.savez(path, ids=IDS)
        elif form == "csv":
            path.write_text("\n".join(map(str, IDS)))
        else:
            np.save(path, np.array(IDS)[:, None] if form == "column" else IDS)
        inputs: Any = {"file": str(path), "embedding": embedding}
    else:
        inputs = {"ids": IDS, "embedding": table.tolist() if form == "rows" else embedding}
    weights = {"W_xh": {"init": "normal"}, "W_hh": {"init": "normal"}}
    problem = rnngrad.load({"weights": weights, "sizes": {"hidden": 2}, "inputs": inputs})
    assert np.array_equal(problem.x, table[IDS])


def test_ids_at_hand_are_taken_as_numpy_has_them() -> None:
    table = np.arange(6.0).reshape(3, 2)
    weights = {"W_xh": {"init": "normal"}, "W_hh": {"init": "normal"}}
    inputs = {"ids": np.array([2, 0, 2]), "embedding": table}
    problem = rnngrad.load({"weights": weights, "sizes": {"hidden": 2}, "inputs": inputs})
    assert np.array_equal(problem.x, table[[2, 0, 2]])


TEXT = """\
sizes: {hidden: 3}
weights: {W_xh: {init: normal}, W_hh: {init: normal}}
"""


def test_rows_of_another_width_are_no_question_of_tokens(tmp_path: Path) -> None:
    line = "inputs: {ids: [0, 1], embedding: [[1], [2]]}\n"
    (tmp_path / "net.yaml").write_text(TEXT.replace("{hidden: 3}", "{hidden: 3, inputs: 2}") + line)
    done = run("derive", "net.yaml", cwd=tmp_path)
    assert "inputs has 1 number a row, must have 2" in done.stderr
    assert "are they token ids" not in done.stderr


MISTAKES = {
    "inputs: {ids: [0, 1, 5, 2, 9], embedding: [[1, 2], [3, 4], [5, 6]]}": (
        "3:22", "inputs: the token id of step 3 is 5, must be a whole number from 0 to 2, a row of "
        "the embedding (and 1 more id)"),
    "inputs: {ids: [0, -1], embedding: [[1, 2], [3, 4]]}": ("3:19", "the token id of step 2 is -1"),
    "inputs: {ids: [0, 0.5], embedding: [[1, 2], [3, 4]]}": ("3:19", "of step 2 is 0.5, must be a"),
    "inputs: {ids: [0, 1]}": ("3:1", "inputs lacks embedding"),
    "inputs: {embedding: [[1, 2], [3, 4]]}": ("3:9", "inputs needs file or ids, one of them"),
    "inputs: {ids: [0, 1], embedding: [1, 2]}": ("3:34", "inputs.embedding is 2, must be rows"),
    "inputs: {ids: [0, 1], embeding: [[1, 2]]}": ("3:23", "did you mean 'embedding'?"),
}  # fmt: skip


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_has_its_place_row_and_value(tmp_path: Path, line: str) -> None:
    (tmp_path / "net.yaml").write_text(TEXT + line + "\n")
    done = run("derive", "net.yaml", cwd=tmp_path)
    place, words = MISTAKES[line]
    assert done.returncode == 2
    assert f"net.yaml:{place}: " in done.stderr
    assert words in " ".join(done.stderr.split())


def test_ids_without_an_embedding_are_told_where_it_is(trained: tuple[Path, Model, float]) -> None:
    folder, _, _ = trained
    spec = folder / "net.yaml"
    text = spec.read_text().replace(", embedding: {file: lm.safetensors, key: emb.weight}", "")
    spec.write_text(text)
    done = run("derive", "net.yaml", cwd=folder)
    assert done.returncode == 2
    told = "inputs: {file: ids.npy, embedding: {file: lm.safetensors, key: emb.weight}}"
    assert told in " ".join(done.stderr.split())
