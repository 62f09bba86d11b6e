"""Labels for rows of targets, against PyTorch: outputs, loss and every gradient."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnngrad
from cli.running import run
from oracles.compare import wrong_rows

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

T, INPUTS, HIDDEN, CLASSES = 8, 3, 5, 4
LABELS = [0, 3, 1, 1, 2, 3, 0, 2]
WEIGHTS = [0.5, 2.0, 0.0, 1.25]


def _net() -> tuple[Any, Any, np.ndarray]:
    torch.manual_seed(11)
    net = torch.nn.GRU(INPUTS, HIDDEN).double()
    head = torch.nn.Linear(HIDDEN, CLASSES).double()
    return net, head, torch.randn(T, INPUTS, dtype=torch.float64).numpy()


def _spec(net: Any, head: Any, x: Any) -> dict[str, Any]:
    p = {name: value.detach().numpy() for name, value in net.named_parameters()}
    return {
        "cell": "gru",
        "weights": {"W_xh": p["weight_ih_l0"], "W_hh": p["weight_hh_l0"],
                    "b_xh": p["bias_ih_l0"], "b_hh": p["bias_hh_l0"],
                    "W_hy": head.weight.detach().numpy(), "b_y": head.bias.detach().numpy()},
        "output_activation": "softmax",
        "loss": "cross_entropy",
        "inputs": x,
    }  # fmt: skip


def _gradients(net: Any, head: Any) -> dict[str, np.ndarray]:
    names = {"weight_ih_l0": "dL_dW_xh", "weight_hh_l0": "dL_dW_hh", "bias_ih_l0": "dL_db_xh",
             "bias_hh_l0": "dL_db_hh"}  # fmt: skip
    found = {names[name]: p.grad.numpy() for name, p in net.named_parameters()}
    return {**found, "dL_dW_hy": head.weight.grad.numpy(), "dL_db_y": head.bias.grad.numpy()}


CASES: dict[str, dict[str, Any]] = {
    "sum": {},
    "mean": {"loss_reduction": "mean"},
    "weights": {"class_weights": WEIGHTS},
    "mean of weights": {"class_weights": WEIGHTS, "loss_reduction": "mean"},
    "ignored": {"targets": [0, -100, 1, 1, -100, 3, 0, -100], "loss_reduction": "mean"},
    "ignored by another number": {
        "targets": [0, 3, 1, 7, 2, 3, 7, 2], "ignore_index": 7, "class_weights": WEIGHTS,
        "loss_reduction": "mean",
    },
    "a class that is ignored": {"ignore_index": 3, "loss_reduction": "mean"},
    "some steps": {"loss_steps": [2, 5, 8], "loss_reduction": "mean", "class_weights": WEIGHTS},
    "last": {"loss_steps": "last"},
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_loss_and_gradients_are_those_of_pytorch(case: str) -> None:
    net, head, x = _net()
    more = {"targets": LABELS, **CASES[case]}
    inputs = torch.tensor(x, requires_grad=True)
    logits = head(net(inputs)[0])
    steps = {"all": range(T), "last": [T - 1]}.get(str(more.get("loss_steps", "all")))
    rows = list(steps if steps is not None else [t - 1 for t in more["loss_steps"]])
    weight = torch.tensor(more["class_weights"]).double() if "class_weights" in more else None
    loss = torch.nn.functional.cross_entropy(
        logits[rows], torch.tensor(more["targets"])[rows], weight=weight,
        ignore_index=more.get("ignore_index", -100), reduction=more.get("loss_reduction", "sum"),
    )  # fmt: skip
    loss.backward()
    got: Any = rnngrad.gradients(rnngrad.load({**_spec(net, head, x), **more}))
    assert got["loss"] == pytest.approx(loss.item(), rel=1e-12)
    expected = {**_gradients(net, head), "dL_dx": inputs.grad.numpy(),
                "y": torch.softmax(logits, dim=1).detach().numpy()}  # fmt: skip
    assert not wrong_rows({name: got[name] for name in expected}, expected)


def test_labels_are_what_rows_with_a_one_are() -> None:
    spec = _spec(*_net())
    rows = np.eye(CLASSES)[LABELS]
    by_label = rnngrad.derive(rnngrad.load({**spec, "targets": LABELS}))
    by_row = rnngrad.derive(rnngrad.load({**spec, "targets": rows}))
    assert all(np.array_equal(by_label[n], by_row[n], equal_nan=True) for n in by_row)


@pytest.mark.parametrize("as_column", [False, True])
@pytest.mark.parametrize("ending", ["npy", "npz", "csv"])
def test_labels_come_from_every_kind_of_file(tmp_path: Path, ending: str, as_column: bool) -> None:
    labels = np.array(LABELS)[:, np.newaxis] if as_column else np.array(LABELS)
    path = tmp_path / f"labels.{ending}"
    if ending == "npy":
        np.save(path, labels)
    elif ending == "npz":
        np.savez(path, labels=labels)
    else:
        path.write_text("\n".join(map(str, LABELS)) + "\n")
    spec = _spec(*_net())
    got = rnngrad.load({**spec, "targets": {"file": str(path)}})
    assert np.array_equal(np.array(got.targets), np.eye(CLASSES)[LABELS])


def test_one_label_for_the_last_step() -> None:
    spec = {**_spec(*_net()), "loss_steps": "last"}
    whole: Any = rnngrad.gradients(rnngrad.load({**spec, "targets": LABELS}))
    for one in (LABELS[-1], [LABELS[-1]], np.array([LABELS[-1]]), [[0, 0, 1, 0]]):
        got: Any = rnngrad.gradients(rnngrad.load({**spec, "targets": one}))
        assert got["loss"] == whole["loss"]
        assert np.array_equal(got["dL_dW_hh"], whole["dL_dW_hh"])


def test_binary_labels_may_be_ignored() -> None:
    net, _, x = _net()
    head = torch.nn.Linear(HIDDEN, 1).double()
    labels = [0, 1, -1, 1, 0, -1, 1, 0]
    spec = _spec(net, head, x) | {
        "output_activation": "sigmoid", "loss": "binary_cross_entropy", "targets": labels,
        "ignore_index": -1, "loss_reduction": "mean",
    }  # fmt: skip
    logits = head(net(torch.tensor(x))[0])[:, 0]
    kept = [t for t, label in enumerate(labels) if label >= 0]
    loss = torch.nn.functional.binary_cross_entropy_with_logits(
        logits[kept], torch.tensor(labels, dtype=torch.float64)[kept]
    )
    loss.backward()
    got: Any = rnngrad.gradients(rnngrad.load(spec))
    assert got["loss"] == pytest.approx(loss.item(), rel=1e-12)
    assert not wrong_rows(got, _gradients(net, head))


def test_check_proves_them_and_a_mean_over_all_steps_is_found() -> None:
    spec = _spec(*_net()) | {"targets": [0, -100, 1, 1, -100, 3, 0, -100], "loss_reduction": "mean"}
    problem = rnngrad.load(spec)
    assert rnngrad.check(problem)["verdict"] == "pass"
    right: Any = rnngrad.gradients(problem)
    names = ("dL_dW_xh", "dL_dW_hh", "dL_dW_hy")
    report: Any = rnngrad.check(problem, {name: right[name] * 5 / 8 for name in names})
    assert report["verdict"] == "fail"


def test_fewer_steps_keep_a_mean_over_the_weights_that_count() -> None:
    from rnngrad.analyses.sweep.points import shortened

    spec = _spec(*_net()) | {"class_weights": WEIGHTS, "loss_reduction": "mean"}
    x = spec["inputs"]
    whole = rnngrad.load({**spec, "targets": LABELS})
    short = rnngrad.load({**spec, "inputs": x[:5], "targets": LABELS[:5]})
    got, expected = (rnngrad.gradients(p) for p in (shortened(whole, 5), short))
    assert float(got["loss"]) == pytest.approx(float(expected["loss"]), rel=1e-14)


TEXT = """\
sizes: {inputs: 2, hidden: 3, outputs: 4}
weights: {W_xh: {init: normal}, W_hh: {init: normal}, W_hy: {init: normal}}
output_activation: softmax
loss: cross_entropy
inputs: {random: normal, steps: 3}
"""
MISTAKES = {
    "targets: [0, 4, 7]": (
        "6:14", "the label of step 2 is 4, must be a class from 0 to 3, or ignore_index, -100 "
        "(and 1 more label)"),
    "targets: [0, 1, -1]": ("6:17", "the label of step 3 is -1, must be a class from 0 to 3"),
    "targets: [0, 1.5, 1]": ("6:14", "the label of step 2 is 1.5, must be a whole number"),
    "targets: [0, 1]": ("6:10", "targets has 2 steps, must have 3"),
    "targets: [-100, -100, -100]": ("6:10", "no label counts"),
    "targets: [0, 1, 2]\nclass_weights: [1, 2]": ("7:16", "class_weights has length 2, must have"),
    "targets: [0, 1, 2]\nclass_weights: [1, 2, -3, 4]": ("7:16", "the weight of class 2 is -3"),
    "targets: {random: one_hot}\nclass_weights: [1, 2, 3, 4]": (
        "7:1", "class_weights is for targets that are labels"),
    "targets: {random: one_hot}\nignore_index: 3": ("7:1", "ignore_index is for targets that are"),
}  # fmt: skip


@pytest.mark.parametrize("lines", MISTAKES)
def test_a_mistake_has_its_place_row_and_value(tmp_path: Path, lines: str) -> None:
    (tmp_path / "net.yaml").write_text(TEXT + lines + "\n")
    done = run("derive", str(tmp_path / "net.yaml"))
    place, words = MISTAKES[lines]
    assert done.returncode == 2
    assert f"net.yaml:{place}: " in done.stderr
    assert words in " ".join(done.stderr.split())


def test_labels_of_another_loss_are_asked_about(tmp_path: Path) -> None:
    text = TEXT.replace("softmax", "identity").replace("cross_entropy", "squared_error")
    (tmp_path / "net.yaml").write_text(text + "targets: [0, 1, 2]\n")
    done = run("derive", str(tmp_path / "net.yaml"))
    assert done.returncode == 2
    assert "labels, classes from 0, need loss: cross_entropy" in " ".join(done.stderr.split())


def test_without_a_number_of_classes_it_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text(TEXT.replace(", outputs: 4", "") + "targets: [0, 1, 2]\n")
    done = run("derive", str(tmp_path / "net.yaml"))
    assert done.returncode == 2
    assert "nothing fixes the number of outputs" in done.stderr
