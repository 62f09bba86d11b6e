"""Keras's files against Keras's own outputs: every way it saves, the cells it has, what is refused.

Keras runs on JAX here, where it adds in float32 whatever the layers' type (its ``result_type``
gives float32 for float64 on every backend but TensorFlow): outputs agree to 1e-5, and no better.
"""

from __future__ import annotations

import json
import os
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

import h5py
import numpy as np
import pytest

import rnngrad
from cli import running
from oracles.cells import gru as oracle_gru
from oracles.cells import run
from rnngrad.files.models import Found, ModelFileError, choose, load_model_array, read_model
from rnngrad.files.models.keras import hdf5_file

os.environ["KERAS_BACKEND"] = "jax"
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import jax
    import keras
    from keras import layers

T, INPUTS, HIDDEN = 7, 3, 4
SUFFIXES = [".keras", ".weights.h5", ".h5", ".hdf5"]
CELLS: dict[str, Callable[..., Any]] = {
    "rnn": layers.SimpleRNN,
    "gru": layers.GRU,
    "lstm": layers.LSTM,
}


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    """Keras warns of its own deprecations, and draws from a seed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        keras.utils.set_random_seed(0)
        yield


@pytest.fixture(autouse=True)
def trusted(request: pytest.FixtureRequest) -> Iterator[None]:
    """A file that Keras wrote is not read in a process of its own first, which takes a quarter of
    a second: ``test_hostile.py`` has that, and one that is cut short here."""
    if request.function.__name__ == "test_cut_short":
        yield
    else:
        with patch.object(hdf5_file, "rehearse"):
            yield


def built(*stack: Any, width: int = INPUTS) -> Any:
    """A sequential model whose biases are drawn too, since Keras starts them at zero. What Keras
    would draw for the others is not used, and JAX compiles a program for every shape of it."""
    with ExitStack() as instead:
        for initializer in (keras.initializers.Orthogonal, keras.initializers.GlorotUniform):
            zeros = patch.object(initializer, "__call__", keras.initializers.Zeros.__call__)
            instead.enter_context(zeros)
        model = keras.Sequential([keras.Input((T, width)), *stack])
    rng = np.random.default_rng(1)
    model.set_weights([rng.normal(size=w.shape, scale=0.5) for w in model.get_weights()])
    return model


def saved(model: Any, folder: Path, suffix: str) -> Path:
    """The model in a file of its own, as Keras writes it."""
    path = folder / f"net{suffix}"
    if suffix == ".weights.h5":
        model.save_weights(path)
    else:
        model.save(path)
    return path


def inputs() -> np.ndarray:
    return np.random.default_rng(2).normal(size=(T, INPUTS))


def outputs(model: Any, x: np.ndarray) -> np.ndarray:
    """Operation by operation: a net compiled for a single run of 7 steps costs a second."""
    with jax.disable_jit():
        return np.asarray(model(x[None]))[0]


def own(net: Found, x: np.ndarray) -> np.ndarray:
    rows = x[::-1] if net.direction == "reverse" else x
    return run(net.cell, [layer.parameters for layer in net.layers], rows, net.activation)


@pytest.mark.cases(6)
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(
    ("suffix", "bias"), [*((s, True) for s in SUFFIXES), (".keras", False), (".h5", False)]
)
def test_outputs_are_kerass(tmp_path: Path, cell: str, suffix: str, bias: bool) -> None:
    layer = CELLS[cell](HIDDEN, return_sequences=True, use_bias=bias)
    model = built(layer)
    net = choose(read_model(saved(model, tmp_path, suffix)), None)
    assert (net.cell, net.inputs, net.hidden, net.dtype) == (cell, INPUTS, HIDDEN, "float32")
    x = inputs()
    np.testing.assert_allclose(own(net, x), outputs(model, x), rtol=0, atol=1e-5)
    configured = suffix != ".weights.h5"
    assert net.activation == ("tanh" if configured and cell == "rnn" else None)
    assert bool(net.assumed) is not configured


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
def test_every_type_is_read_exactly(tmp_path: Path, cell: str, dtype: str) -> None:
    layer = CELLS[cell](HIDDEN, recurrent_initializer="glorot_uniform", dtype=dtype)
    with jax.enable_x64(dtype == "float64"):
        path = saved(built(layer), tmp_path, ".keras")
        kernel, recurrent = (np.asarray(w, dtype=np.float64) for w in layer.get_weights()[:2])
    net = choose(read_model(path), None)
    assert net.dtype == dtype
    for name, matrix in (("W_xh", kernel), ("W_hh", recurrent)):
        found = net.layers[0].parameters[name]
        assert np.array_equal(np.sort(found, axis=0), np.sort(matrix.T, axis=0))


@pytest.mark.parametrize("word", ["relu", "sigmoid", "linear", "softplus"])
def test_the_activation_is_read(tmp_path: Path, word: str) -> None:
    model = built(layers.SimpleRNN(HIDDEN, word, return_sequences=True))
    for suffix in (".keras", ".h5"):
        net = choose(read_model(saved(model, tmp_path, suffix)), None)
        assert net.activation == {"linear": "identity"}.get(word, word)
        x = inputs()
        np.testing.assert_allclose(own(net, x), outputs(model, x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_names_stacks_and_read_outs(tmp_path: Path, suffix: str) -> None:
    """Two named layers, stacked by a list of prefixes, and the dense layer behind them."""
    dense = layers.Dense(2, "softmax", name="out")
    model = built(
        layers.LSTM(HIDDEN, return_sequences=True, name="low"),
        layers.LSTM(5, return_sequences=True, name="high"),
        dense,
    )
    path = saved(model, tmp_path, suffix)
    found = read_model(path)
    net = choose(found, ["low", "high"])
    x = inputs()
    h = own(net, x)
    (out,) = found.dense
    assert out.b is not None
    assert out.key == "out"
    assert out.activation == (None if suffix == ".weights.h5" else "softmax")
    y = np.exp(h @ out.W.T + out.b)
    truth = outputs(model, x)
    np.testing.assert_allclose(y / y.sum(axis=1, keepdims=True), truth, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(load_model_array(path, out.W_key), out.W)
    np.testing.assert_array_equal(load_model_array(path, out.b_key), out.b)
    with pytest.raises(
        ModelFileError, match=r"holds 2 recurrent nets.*no recurrent net|2 recurrent"
    ):
        choose(found, None)
    with pytest.raises(ModelFileError, match="no recurrent net 'hihg'; did you mean 'high'"):
        choose(found, "hihg")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_cells_stacked_in_one_layer(tmp_path: Path, suffix: str) -> None:
    cells = [layers.GRUCell(n) for n in (4, 3, 5)]
    model = built(layers.RNN(cells, return_sequences=True))
    net = choose(read_model(saved(model, tmp_path, suffix)), None)
    assert [layer.hidden for layer in net.layers] == [4, 3, 5]
    x = inputs()
    np.testing.assert_allclose(own(net, x), outputs(model, x), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("cell", "suffix"), [*(("gru", s) for s in SUFFIXES), ("rnn", ".keras"), ("lstm", ".h5")]
)
def test_a_bidirectional_layer_is_two_nets(tmp_path: Path, cell: str, suffix: str) -> None:
    inner = CELLS[cell](HIDDEN, return_sequences=True)
    model = built(layers.Bidirectional(inner))
    found = read_model(saved(model, tmp_path, suffix))
    x = inputs()
    truth = outputs(model, x)
    assert choose(found, None).direction == "both"
    together = {"weights": {"file": str(tmp_path / f"net{suffix}")}, "inputs": x}
    y = rnngrad.derive(rnngrad.load(together))["y"]
    np.testing.assert_allclose(y, truth, rtol=0, atol=1e-5)
    forward, reverse = (choose(found, None, way) for way in ("forward", "reverse"))
    np.testing.assert_allclose(own(forward, x), truth[:, :HIDDEN], rtol=0, atol=1e-5)
    np.testing.assert_allclose(own(reverse, x)[::-1], truth[:, HIDDEN:], rtol=0, atol=1e-5)


def test_a_stack_of_bidirectional_layers(tmp_path: Path) -> None:
    low, high = (
        layers.Bidirectional(layers.LSTM(n, return_sequences=True), name=name)
        for n, name in ((3, "low"), (5, "high"))
    )
    model = built(low, high, layers.Dense(2, name="out"))
    file = str(saved(model, tmp_path, ".keras"))
    (dense,) = read_model(Path(file)).dense
    head = {"W_hy": {"file": file, "key": dense.W_key}, "b_y": {"file": file, "key": dense.b_key}}
    weights = {"file": file, "prefix": ["low", "high"], **head}
    x = inputs()
    problem = rnngrad.load({"weights": weights, "inputs": x})
    np.testing.assert_allclose(rnngrad.derive(problem)["y"], outputs(model, x), rtol=0, atol=1e-5)


@pytest.mark.parametrize("mode", ["sum", "mul", "ave"])
def test_halves_that_are_not_side_by_side_are_refused(tmp_path: Path, mode: str) -> None:
    inner = layers.GRU(HIDDEN, return_sequences=True)
    model = built(layers.Bidirectional(inner, merge_mode=mode))
    found = read_model(saved(model, tmp_path, ".keras"))
    with pytest.raises(ModelFileError, match=f"merge_mode is {mode}: no spec has both together"):
        choose(found, None)
    assert choose(found, None, "reverse").direction == "reverse"


def test_go_backwards_is_said(tmp_path: Path) -> None:
    layer = layers.GRU(HIDDEN, return_sequences=True, go_backwards=True)
    model = built(layer)
    net = choose(read_model(saved(model, tmp_path, ".keras")), None)
    assert net.direction == "reverse"
    assert any("reversed" in words for words in net.assumed)
    x = inputs()
    np.testing.assert_allclose(own(net, x), outputs(model, x), rtol=0, atol=1e-5)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (layers.LSTM(4, activation="log_softmax"), "has activation log_softmax, must be tanh"),
        (layers.GRU(4, recurrent_activation="softmax"), "has recurrent_activation softmax"),
        (layers.RNN([layers.SimpleRNNCell(4), layers.SimpleRNNCell(4, "relu")]), "a stack differ"),
    ],
)
def test_other_equations_are_refused(tmp_path: Path, layer: Any, words: str, suffix: str) -> None:
    layer = layer.__class__.from_config(layer.get_config())
    with pytest.raises(ModelFileError, match=words):
        choose(read_model(saved(built(layer), tmp_path, suffix)), None)


def test_nested_models_and_subclasses(tmp_path: Path) -> None:
    class Net(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.inner = keras.Sequential([layers.SimpleRNN(3, return_sequences=True)])
            self.top = layers.GRU(HIDDEN, return_sequences=True)

        def call(self, x: Any) -> Any:
            return self.top(self.inner(x))

    model = Net()
    x = inputs()
    truth = outputs(model, x)
    found = read_model(saved(model, tmp_path, ".weights.h5"))
    low = own(choose(found, "simple_rnn"), x)
    np.testing.assert_allclose(own(choose(found, "layers/gru"), low), truth, rtol=0, atol=1e-5)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_model_without_recurrence(tmp_path: Path, suffix: str) -> None:
    model = built(layers.Dense(4), layers.Dense(4))
    with pytest.raises(
        ModelFileError, match="holds no recurrent net in the layout keras; its keys"
    ):
        choose(read_model(saved(model, tmp_path, suffix)), None)


def test_files_that_are_no_keras_files(tmp_path: Path) -> None:
    other = tmp_path / "net.h5"
    with h5py.File(other, "w") as file:
        file["spectra/intensity"] = np.ones(3)
    with pytest.raises(ModelFileError, match=r"no recurrent net .* keys are 'spectra/intensity'"):
        choose(read_model(other), None)
    other.write_bytes(b"nothing of the kind")
    with pytest.raises(ModelFileError, match=r"net.h5 is no HDF5 file"):
        read_model(other)
    archive = tmp_path / "net.keras"
    archive.write_bytes(b"PK nothing of the kind")
    with pytest.raises(ModelFileError, match=r"net.keras is damaged"):
        read_model(archive)
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("config.json", "{}")
    with pytest.raises(ModelFileError, match=r"net.keras holds no model.weights.h5"):
        read_model(archive)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_the_last_step_alone_is_proposed(tmp_path: Path, suffix: str) -> None:
    """return_sequences=False of the layer, in a stack of the highest."""
    low, high = layers.GRU(HIDDEN, return_sequences=True), layers.GRU(HIDDEN)
    path = saved(built(low, high, layers.Dense(2)), tmp_path, suffix)
    keys = [net.key for net in read_model(path).recurrent]
    assert [choose(read_model(path), key).last for key in keys] == [False, True]
    stack = [word for key in keys for word in ("--prefix", key)]
    done = running.run("init", path.name, *stack, "-o", "s.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    spec = (tmp_path / "s.yaml").read_text()
    assert "loss_steps: last  # the model hands on its last step alone" in spec
    model = built(layers.GRU(HIDDEN, return_sequences=True), layers.Dense(2))
    assert not choose(read_model(saved(model, tmp_path, suffix))).last


@pytest.mark.parametrize("suffix", [".keras", ".weights.h5", ".h5"])
def test_a_dense_layer_for_each_step_is_the_read_out(tmp_path: Path, suffix: str) -> None:
    dense = layers.TimeDistributed(layers.Dense(2, activation="softmax"))
    model = built(layers.LSTM(HIDDEN, return_sequences=True), dense)
    path = saved(model, tmp_path, suffix)
    done = running.run("init", path.name, "-o", "s.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "not certain" not in done.stderr
    x = inputs()
    spec = (tmp_path / "s.yaml").read_text().replace("identity ", "softmax ")
    (tmp_path / "s.yaml").write_text(spec)
    problem = rnngrad.load(tmp_path / "s.yaml", overrides=[f"inputs={x.tolist()}"])
    got = np.asarray(rnngrad.gradients(problem)["y"])
    np.testing.assert_allclose(got, outputs(model, x), atol=1e-5)


def test_a_dense_layer_before_the_net_is_taken(tmp_path: Path) -> None:
    """The configuration has the order, and the activation that follows it."""
    front = layers.TimeDistributed(layers.Dense(5, activation="relu"))
    model = built(front, layers.LSTM(HIDDEN, return_sequences=True), layers.Dense(5))
    path = saved(model, tmp_path, ".keras")
    done = running.run("init", path.name, "-o", "s.yaml", cwd=tmp_path)
    assert " stands before the net, as W_in: the file has it before the net" in done.stderr
    x = inputs()
    problem = rnngrad.load(tmp_path / "s.yaml", overrides=[f"inputs={x.tolist()}"])
    got = np.asarray(rnngrad.gradients(problem)["y"])
    np.testing.assert_allclose(got, outputs(model, x), atol=1e-5)


def test_what_may_normalise_h_is_said(tmp_path: Path) -> None:
    norm = [layers.LayerNormalization(), layers.Dropout(0.5)]
    model = built(layers.LSTM(HIDDEN, return_sequences=True), *norm, layers.Dense(2))
    path = saved(model, tmp_path, ".keras")
    done = running.run("init", path.name, "-o", "s.yaml", cwd=tmp_path)
    assert "not certain: layers/layer_normalization has vectors as long as h_t" in done.stderr
    assert "# Not certain: layers/layer_normalization has" in (tmp_path / "s.yaml").read_text()


def test_a_configuration_that_is_none(tmp_path: Path) -> None:
    path = saved(built(layers.LSTM(4)), tmp_path, ".keras")
    with zipfile.ZipFile(path) as whole:
        weights = whole.read("model.weights.h5")
    for text in ("{", "[" * 100_000, '{"config": 1e999'):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("config.json", text)
            archive.writestr("model.weights.h5", weights)
        with pytest.raises(ModelFileError, match="its configuration is no JSON"):
            read_model(path)


def test_an_archive_that_would_burst_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("model.weights.h5", bytes(2**26))
    with pytest.raises(ModelFileError, match=r"would unpack to 67108864 bytes from a file of"):
        read_model(path)


def test_a_dataset_put_together_from_a_pipe_is_told_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with h5py.File(tmp_path / "net.h5", "w") as file:
        for name in ("kernel:0", "recurrent_kernel:0"):
            layout = h5py.VirtualLayout((4, 4), "f8")
            layout[...] = h5py.VirtualSource(str(tmp_path / "pipe"), "x", (4, 4))
            file.require_group("rnn/rnn").create_virtual_dataset(name, layout)
    begun = time.monotonic()
    with pytest.raises(ModelFileError, match="keeps its numbers in another file"):
        choose(read_model(tmp_path / "net.h5"), None)
    assert time.monotonic() - begun < 20


def test_datasets_that_reach_elsewhere_or_claim_too_much(tmp_path: Path) -> None:
    """External storage and a dataset of fill values alone: the first is another file, the second
    claims a GiB."""
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(8 * 16))
    path = tmp_path / "net.h5"
    with h5py.File(path, "w") as file:
        group = file.create_group("rnn/rnn")
        shape = (4, 4)
        group.create_dataset("kernel:0", shape, "f8", external=[(str(secret), 0, 128)])
        group["recurrent_kernel:0"] = np.ones(shape)
        group["bias:0"] = np.ones(4)
    with pytest.raises(ModelFileError, match=r"\[rnn/rnn/kernel:0\] keeps its numbers in another"):
        choose(read_model(path), None)
    with h5py.File(path, "w") as file:
        group = file.create_group("rnn/rnn")
        group.create_dataset("kernel:0", (2**25, 4), "f8", chunks=(1024, 4))
        group["recurrent_kernel:0"] = np.ones(shape)
    with pytest.raises(ModelFileError, match=r"kernel:0\] claims 1073741824 bytes in a file of"):
        choose(read_model(path), None)


def test_a_wrong_shape_is_named(tmp_path: Path) -> None:
    path = tmp_path / "net.h5"
    cases: list[tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], str]] = [
        ((3, 8), (4, 16), (16,), r"\[lstm/kernel:0\] is 3×8, must be I×16"),
        ((3, 16), (4, 18), (16,), r"recurrent_kernel:0\] is 4×18, must be H×H"),
        ((3, 16), (4, 16), (12,), r"\[lstm/bias:0\] is 12, must be 16"),
        ((3, 12), (4, 12), (3, 12), r"\[lstm/bias:0\] is 3×12, must be 2×12"),
    ]
    for kernel, recurrent, bias, words in cases:
        with h5py.File(path, "w") as file:
            for name, shape in zip(
                ("kernel", "recurrent_kernel", "bias"), (kernel, recurrent, bias), strict=True
            ):
                file[f"lstm/{name}:0"] = np.ones(shape)
        with pytest.raises(ModelFileError, match=words):
            choose(read_model(path), None)


def test_cut_short(tmp_path: Path) -> None:
    """At any length: a ModelFileError, or the whole file read right."""
    path = saved(built(layers.LSTM(4)), tmp_path, ".weights.h5")
    data = path.read_bytes()
    for length in range(0, len(data), 997):
        path.write_bytes(data[:length])
        with pytest.raises(ModelFileError, match=r"net.weights.h5"):
            choose(read_model(path), None)


def test_the_configuration_is_read_without_its_order(tmp_path: Path) -> None:
    """Two layers of one name that say different things leave the activation unknown, not wrong."""
    model = built(layers.SimpleRNN(4, "relu", name="twin"))
    path = saved(model, tmp_path, ".keras")
    with zipfile.ZipFile(path) as whole:
        weights, config = whole.read("model.weights.h5"), json.loads(whole.read("config.json"))
    twin = json.loads(json.dumps(config["config"]["layers"][1]))
    twin["config"]["activation"] = "tanh"
    config["config"]["layers"].append({"class_name": "Wrapper", "config": {"layer": twin}})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("model.weights.h5", weights)
    net = choose(read_model(path), None)
    assert net.activation is None
    assert "does not say" in net.assumed[0]


# ---------------------------------------------------------------------------- more in a file


def arrays_of(folder: Path, arrays: dict[str, tuple[int, ...]], config: Any = None) -> Path:
    """An HDF5 file as tf.keras 2 wrote it."""
    path, rng = folder / "net.h5", np.random.default_rng(4)
    with h5py.File(path, "w") as file:
        for key, shape in arrays.items():
            file[key] = rng.normal(size=shape).astype(np.float32)
        if config is not None:
            file.attrs["model_config"] = json.dumps(config)
    return path


def lstm_at(place: str) -> dict[str, tuple[int, ...]]:
    shapes = {"kernel:0": (3, 16), "recurrent_kernel:0": (4, 16), "bias:0": (16,)}
    return {f"{place}/{name}": shape for name, shape in shapes.items()}


CONFIG = {
    "class_name": "Sequential",
    "config": {
        "name": "sequential",
        "layers": [
            {
                "class_name": "LSTM",
                "config": {
                    "name": "lstm",
                    "activation": "tanh",
                    "recurrent_activation": "sigmoid",
                },
            }
        ],
    },
}


def test_an_optimizers_moments_are_no_net(tmp_path: Path) -> None:
    """tf.keras 2.14 after fit: Adam's m and v lie in groups like the layer's."""
    arrays = lstm_at("model_weights/lstm/lstm/lstm_cell")
    for moment in "mv":
        arrays |= lstm_at(f"optimizer_weights/Adam/{moment}/lstm/lstm_cell")
    found = read_model(arrays_of(tmp_path, arrays, CONFIG))
    (net,) = found.recurrent
    assert (net.key, net.cell, net.assumed, found.refused) == ("lstm", "lstm", (), ())
    assert any("optimizer_weights" in key for key in found.keys)


@pytest.mark.cases(1)
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_one_net_after_fit(tmp_path: Path, suffix: str) -> None:
    model = built(layers.GRU(HIDDEN, dropout=0.1), layers.Dense(1, name="out"))
    model.compile("adam", "mse")
    x = np.random.default_rng(0).normal(size=(8, T, INPUTS))
    model.fit(x, np.ones((8, 1)), verbose=0)
    found = read_model(saved(model, tmp_path, suffix))
    assert any("optimizer" in key for key in found.keys)
    (net,) = found.recurrent
    assert (net.cell, net.assumed, found.refused) == ("gru", (), ())
    assert [dense.key for dense in found.dense] == ["out"]


def side_by_side(names: tuple[str | None, str | None] = ("fast", "slow"), **said: Any) -> Any:
    """Two cells that are layers, neither fed by the other."""
    x, *states = (keras.Input((n,)) for n in (INPUTS, HIDDEN, HIDDEN))
    cells = [layers.GRUCell(HIDDEN, name=name, **said) for name in names]
    outs = [cell(x, [state])[0] for cell, state in zip(cells, states, strict=True)]
    model = keras.Model([x, *states], layers.Concatenate()(outs))
    rng = np.random.default_rng(1)
    model.set_weights([rng.normal(size=w.shape, scale=0.5) for w in model.get_weights()])
    return model


@pytest.mark.cases(4)
@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("names", [("fast", "slow"), (None, None)])
def test_cells_side_by_side_are_nets_of_their_own(
    tmp_path: Path, suffix: str, names: tuple[str | None, str | None]
) -> None:
    model = side_by_side(names)
    called = [layer.name for layer in model.layers if "GRUCell" in type(layer).__name__]
    found = read_model(saved(model, tmp_path, suffix))
    assert [len(net.layers) for net in found.recurrent] == [1, 1]
    x, h = inputs()[0], np.random.default_rng(3).normal(size=(2, HIDDEN))
    truth = np.asarray(model([x[None], h[:1], h[1:]]))[0].reshape(2, HIDDEN)
    for name, start, wanted in zip(called, h, truth, strict=True):
        net = choose(found, name)
        got, _ = oracle_gru(net.layers[0].parameters, x, start, start, "tanh")
        np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-5)
        unsaid = [words for words in net.assumed if "does not say" in words]
        assert bool(unsaid) is (suffix == ".weights.h5")


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_what_the_configuration_says_of_a_cell_counts(tmp_path: Path, suffix: str) -> None:
    path = saved(side_by_side(recurrent_activation="hard_sigmoid"), tmp_path, suffix)
    assert choose(read_model(path), "fast").cell == "gru with hard_sigmoid(a)"


def test_twins_in_nested_models_are_told_apart(tmp_path: Path) -> None:
    """Two layers of one name, each in a model of its own: the file says both activations."""
    parts = []
    for name, word in (("left", "relu"), ("right", "tanh")):
        twin = layers.SimpleRNN(HIDDEN, word, return_sequences=True, name="twin")
        parts.append(keras.Sequential([keras.Input((T, INPUTS)), twin], name=name))
    x = keras.Input((T, INPUTS))
    model = keras.Model(x, layers.Concatenate()([part(x) for part in parts]))
    found = read_model(saved(model, tmp_path, ".keras"))
    nets = {net.key: net for net in found.recurrent}
    assert sorted(str(net.activation) for net in nets.values()) == ["relu", "tanh"]
    assert all(net.assumed == () for net in nets.values())
    sides = np.split(outputs(model, inputs()), 2, axis=1)
    for net in nets.values():
        wanted = sides[net.activation == "tanh"]
        np.testing.assert_allclose(own(net, inputs()), wanted, rtol=1e-5, atol=1e-5)


def test_a_list_of_cells_is_no_stack(tmp_path: Path) -> None:
    class Net(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.cells = [layers.LSTMCell(INPUTS), layers.LSTMCell(INPUTS)]

        def call(self, x: Any) -> Any:
            return sum(cell(x, [x, x])[0] for cell in self.cells)

    model = Net()
    model(np.ones((1, INPUTS)))
    found = read_model(saved(model, tmp_path, ".weights.h5"))
    assert [len(net.layers) for net in found.recurrent] == [1, 1]


@pytest.mark.parametrize(
    "more",
    [
        {"lstm_cell/input_gate_peephole_weights:0": (4,)},
        {"lstm_cell/kernel_norm/gamma:0": (16,), "lstm_cell/kernel_norm/beta:0": (16,)},
        {"lstm_cell/projection_kernel:0": (4, 2)},
        {"attention/kernel:0": (9, 9)},
    ],
)
def test_more_in_a_cell_is_named(tmp_path: Path, more: dict[str, tuple[int, ...]]) -> None:
    """Cells of TensorFlow Addons and the like, as weights alone: no configuration tells."""
    place = "layer/rnn"
    arrays = lstm_at(f"{place}/lstm_cell") | {f"{place}/{key}": n for key, n in more.items()}
    with pytest.raises(ModelFileError, match="holds beside its weights") as caught:
        choose(read_model(arrays_of(tmp_path, arrays)), None)
    assert all(f"{place}/{key}" in str(caught.value) for key in more)


def test_a_cell_in_a_cell_is_refused(tmp_path: Path) -> None:
    class Outer(layers.Layer):
        def __init__(self, norm: bool) -> None:
            super().__init__()
            self.inner, self.state_size = layers.GRUCell(HIDDEN), HIDDEN
            self.norm = layers.LayerNormalization() if norm else None

        def build(self, shape: Any) -> None:
            self.inner.build(shape)
            if self.norm is not None:
                self.norm.build((None, HIDDEN))

        def call(self, x: Any, states: Any) -> Any:
            h, states = self.inner(x, states)
            return (h if self.norm is None else self.norm(h)) * 0.5, states

    for norm in (False, True):
        model = keras.Sequential([keras.Input((T, INPUTS)), layers.RNN(Outer(norm))])
        path = saved(model, tmp_path, ".weights.h5")
        with pytest.raises(ModelFileError, match="is a cell inside another cell"):
            choose(read_model(path), None)


def to_cudnn(matrix: np.ndarray, gates: int, recurrent: bool) -> np.ndarray:
    """A kernel as CuDNNLSTM and CuDNNGRU keep it: tf_keras's ``_convert_rnn_weights`` backward."""
    blocks = np.hsplit(matrix, gates)
    return np.hstack([k.T if recurrent else k.T.reshape(k.shape, order="C") for k in blocks])


@pytest.mark.parametrize(("cell", "gates"), [("gru", 3), ("lstm", 4)])
def test_cudnns_kernels_are_the_same_net(tmp_path: Path, cell: str, gates: int) -> None:
    rng = np.random.default_rng(5)
    kernel, recurrent = (rng.normal(size=(n, gates * HIDDEN)) for n in (INPUTS, HIDDEN))
    biases = rng.normal(size=(2, gates * HIDDEN))
    plain, cudnn = tmp_path / "plain.h5", tmp_path / "cudnn.h5"
    with h5py.File(plain, "w") as file:
        file["rnn/kernel:0"], file["rnn/recurrent_kernel:0"] = kernel, recurrent
        file["rnn/bias:0"] = biases if cell == "gru" else biases.sum(axis=0)
    with h5py.File(cudnn, "w") as file:
        file["rnn/kernel:0"] = to_cudnn(kernel, gates, recurrent=False)
        file["rnn/recurrent_kernel:0"] = to_cudnn(recurrent, gates, recurrent=True)
        file["rnn/bias:0"] = biases.ravel()
    one, other = (choose(read_model(path), None).layers[0] for path in (plain, cudnn))
    for name, array in one.parameters.items():
        np.testing.assert_array_equal(array, other.parameters[name])


@pytest.mark.parametrize("cell", CELLS)
def test_every_gradient_is_kerass(tmp_path: Path, cell: str) -> None:
    """Keras's gradients, saved as weights of the same model, go through the same conversion."""
    model = built(CELLS[cell](HIDDEN, return_sequences=True))
    x, targets = inputs(), np.random.default_rng(3).normal(size=(T, HIDDEN))

    def loss(variables: list[Any]) -> Any:
        y, _ = model.stateless_call(variables, model.non_trainable_variables, x[None])
        return ((targets - y[0]) ** 2).sum()

    gradients = jax.grad(loss)([v.value for v in model.trainable_variables])
    path = saved(model, tmp_path, ".keras")
    spec = {
        "weights": {"file": str(path)},
        "inputs": x.tolist(),
        "targets": targets.tolist(),
        "loss": "squared_error",
    }
    got = rnngrad.gradients(rnngrad.load(spec))
    model.set_weights([np.asarray(g) for g in gradients])
    (tmp_path / "left").mkdir()
    (layer,) = choose(read_model(saved(model, tmp_path / "left", ".keras")), None).layers
    for name, expected in layer.parameters.items():
        size = np.abs(expected).max()
        np.testing.assert_allclose(got[f"dL_d{name}"], expected, rtol=0, atol=1e-5 * size)
