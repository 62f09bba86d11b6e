"""Keras's layers whose cell is none of rnn, gru and lstm, against Keras's own outputs and gradients
(on JAX it adds in float32: they agree to 1e-5, and no better)."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import rnngrad
from models.test_keras import (
    HIDDEN,
    SUFFIXES,
    T,
    built,
    inputs,
    jax,
    keras,
    layers,
    saved,
    seeded,
    trusted,
)  # fmt: skip
from models.test_other_cells import close, starter_of
from rnngrad.files.models import ModelFileError, choose, read_model

__all__ = ["seeded", "trusted"]


def layer(kind: str, **said: Any) -> Any:
    return getattr(layers, kind)(HIDDEN, return_sequences=True, **said)


def proved(folder: Path, model: Any, suffix: str, path: Path | None = None) -> Any:
    """The cell of ``init``'s spec; outputs and every gradient are Keras's."""
    path = path or saved(model, folder, suffix)
    x, targets = inputs(), np.random.default_rng(3).normal(size=(T, HIDDEN))

    def loss(variables: list[Any]) -> Any:
        y, _ = model.stateless_call(variables, model.non_trainable_variables, x[None])
        return ((targets - y[0]) ** 2).sum(), y[0]

    values = [v.value for v in model.trainable_variables]
    with jax.disable_jit():  # operation by operation, which JAX compiles once for all nets
        gradients, y = jax.grad(loss, has_aux=True)(values)
    data = {**starter_of(path, folder), "inputs": x.tolist(), "targets": targets.tolist()}
    data["weights"]["file"] = str(path)
    problem = rnngrad.load(data)
    got = rnngrad.gradients(problem)
    close(got["h"][1:], y, 1e-5)
    checked = dict.fromkeys(problem.weights, False)
    for name, theirs in by_name(problem, [np.asarray(each) for each in gradients]).items():
        close(got[f"dL_d{name}"], theirs, 2e-5)
        checked[name] = True
    assert all(checked.values())
    return data["cell"]


def by_name(problem: Any, gradients: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Keras's kernel, recurrent_kernel and bias, a gate a block of columns, by the equations'."""
    if set(problem.weights) <= {"W_xh", "W_hh", "b_h"}:
        return dict(zip(("W_xh", "W_hh", "b_h"), (g.T for g in gradients), strict=False))
    order = "ifgo" if len(gradients[1].T) == 4 * HIDDEN else "zrn"
    found = {}
    for kind, array in zip(("W_x", "W_h", "b"), gradients, strict=False):
        if kind == "b" and array.ndim == 2:
            rows = {"b_x": array[0], "b_h": array[1]}
        else:
            rows = {"b_" if kind == "b" else kind: array.T}
        for start, each in rows.items():
            blocks = np.split(each, len(order))
            found |= {f"{start}{gate}": b for gate, b in zip(order, blocks, strict=True)}
    return {name: array for name, array in found.items() if name in problem.weights}


@pytest.mark.cases(3)
@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("bias", [True, False])
def test_reset_before_the_product(tmp_path: Path, suffix: str, bias: bool) -> None:
    """Keras's reset_after=False; weights alone without a bias leave it open, and say so."""
    model = built(layer("GRU", reset_after=False, use_bias=bias))
    if suffix == ".weights.h5" and not bias:
        net = choose(read_model(saved(model, tmp_path, suffix)), None)
        assert (net.cell, "reset_after" in " ".join(net.assumed)) == ("gru", True)
        return
    if not bias:
        path = saved(model, tmp_path, suffix)
        assert choose(read_model(path), None).cell == "gru_reset_before"
        data = {**starter_of(path, tmp_path), "inputs": inputs().tolist()}
        data["weights"]["file"] = str(path)
        close(rnngrad.gradients(rnngrad.load(data))["h"][1:], model(inputs()[None])[0], 1e-5)
        return
    assert proved(tmp_path, model, suffix) == "gru_reset_before"


@pytest.mark.cases(2)
@pytest.mark.parametrize(
    ("kind", "said", "suffix"),
    [
        ("LSTM", {}, ".h5"),
        ("GRU", {}, ".keras"),
        ("GRU", {"reset_after": False}, ".h5"),
        ("LSTM", {"activation": "softsign"}, ".keras"),
    ],
)
def test_hard_sigmoid_is_kerass(
    tmp_path: Path, kind: str, said: dict[str, Any], suffix: str
) -> None:
    model = built(layer(kind, recurrent_activation="hard_sigmoid", **said))
    cell = proved(tmp_path, model, suffix)
    assert any("hard_sigmoid(W_x" in text for text in cell["equations"])


def of_version(path: Path, version: str | None) -> Path:
    """The file as another version of Keras had called it."""
    if path.suffix == ".h5":
        with h5py.File(path, "r+") as file:
            del file.attrs["keras_version"]
            if version is not None:
                file.attrs["keras_version"] = version
        return path
    other = path.with_name(f"old{path.suffix}")
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(other, "w") as target:
        for name in source.namelist():
            text = source.read(name)
            if name == "metadata.json":
                text = json.dumps({"keras_version": version} if version else {}).encode()
            target.writestr(name, text)
    return other


@pytest.mark.cases(2)
@pytest.mark.parametrize(
    ("kind", "version", "suffix"),
    [
        ("LSTM", "2.15.0", ".keras"),
        ("GRU", "2.15.0", ".h5"),
        ("LSTM", "1.2.2", ".h5"),
        ("GRU", None, ".keras"),
        ("LSTM", None, ".h5"),
    ],
)
def test_hard_sigmoid_was_another_before_keras_3(
    tmp_path: Path, kind: str, version: str | None, suffix: str
) -> None:
    """0.2 a + 0.5, which TensorFlow's and Theano's Keras had."""
    model = built(layer(kind, recurrent_activation="hard_sigmoid"))
    path = of_version(saved(model, tmp_path, suffix), version)
    new = np.asarray(model(inputs()[None]))[0]
    model.layers[0].cell.recurrent_activation = lambda a: keras.ops.clip(0.2 * a + 0.5, 0, 1)
    cell = proved(tmp_path, model, suffix, path)
    assert any("hard_sigmoid(1.2 (W_x" in text for text in cell["equations"])
    assert np.abs(new - np.asarray(model(inputs()[None]))[0]).max() > 1e-3
    unsaid = [words for words in choose(read_model(path), None).assumed if "hard" in words]
    assert bool(unsaid) is (version is None)


FUNCTIONS = [
    "relu", "linear", "softplus", "softsign", "elu", "selu", "silu", "gelu", "hard_tanh",
    "leaky_relu", "relu6", "exponential", "mish", "hard_sigmoid", "sigmoid",
]  # fmt: skip


@pytest.mark.cases(6)
@pytest.mark.parametrize(
    ("word", "kind"),
    [
        *((word, "LSTM") for word in FUNCTIONS),
        *((word, "GRU") for word in ("gelu", "hard_sigmoid", "linear", "relu6")),
        *((word, "SimpleRNN") for word in ("exponential", "leaky_relu", "mish", "relu", "sigmoid")),
    ],
)
def test_other_activations(tmp_path: Path, word: str, kind: str) -> None:
    """Every function where it is harder: an lstm takes it twice, of g and of c."""
    model = built(layer(kind, activation=word))
    small = 0.1 if word == "exponential" else 0.4  # exp(c_t) of an lstm soon leaves float32
    model.set_weights([small * w for w in model.get_weights()])
    proved(tmp_path, model, ".keras")


@pytest.mark.parametrize("word", ["softmax", "hard_shrink", "glu"])
def test_a_function_that_no_equation_has_is_named(tmp_path: Path, word: str) -> None:
    path = saved(built(layer("LSTM", activation=word)), tmp_path, ".keras")
    with pytest.raises(ModelFileError, match=f"has activation {word}, must be tanh, sigmoid"):
        choose(read_model(path), None)


def test_keras_1_called_it_inner_activation(tmp_path: Path) -> None:
    path = saved(built(layer("LSTM", recurrent_activation="hard_sigmoid")), tmp_path, ".h5")
    with h5py.File(path, "r+") as file:
        text = file.attrs["model_config"].replace("recurrent_activation", "inner_activation")
        file.attrs["model_config"], file.attrs["keras_version"] = text, "1.2.2"
    net = choose(read_model(path), None)
    assert net.cell == "lstm with hard_sigmoid(1.2 a)"


def test_halves_and_stacked_cells(tmp_path: Path) -> None:
    """A bidirectional layer, and two cells in an RNN layer."""
    said = {"reset_after": False, "recurrent_activation": "hard_sigmoid"}
    both = built(layers.Bidirectional(layer("GRU", **said)))
    path, x = saved(both, tmp_path, ".keras"), inputs()
    y = np.asarray(both(x[None]))[0]
    for way, turn, columns in (("forward", 1, slice(0, 4)), ("reverse", -1, slice(4, 8))):
        data = {**starter_of(path, tmp_path, "--direction", way), "inputs": x[::turn].tolist()}
        data["weights"]["file"] = str(path)
        close(rnngrad.gradients(rnngrad.load(data))["h"][1:][::turn], y[:, columns], 1e-5)
    cells = [layers.GRUCell(HIDDEN, **said), layers.GRUCell(5, **said)]
    stack = built(layers.RNN(cells, return_sequences=True))
    path = saved(stack, tmp_path, ".keras")
    data = {**starter_of(path, tmp_path), "inputs": x.tolist()}
    data["weights"]["file"] = str(path)
    problem = rnngrad.load(data)
    assert (problem.depth, problem.cell.name) == (2, "gru_reset_before with hard_sigmoid(a)")
    close(rnngrad.gradients(problem)["h"][1:, HIDDEN:], stack(x[None])[0], 1e-5)


def test_a_file_that_contradicts_itself_is_refused(tmp_path: Path) -> None:
    path = saved(built(layer("GRU", reset_after=False)), tmp_path, ".h5")
    with h5py.File(path, "r+") as file:
        text = file.attrs["model_config"]
        file.attrs["model_config"] = text.replace('"reset_after": false', '"reset_after": true')
    with pytest.raises(ModelFileError, match="but the configuration says True"):
        choose(read_model(path), None)
