"""Flax's, Haiku's and MLX's parameters: h_t as the framework itself computes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnngrad
from cli.running import run
from oracles.compare import wrong_rows
from rnngrad.files.models import ModelFileError, choose, load_model_array, read_model

FOLDER = Path(__file__).parent / "fixtures" / "named"
NAMES = sorted(path.stem for path in FOLDER.glob("*_*.npz"))
LAYOUTS = {"linen": "flax", "nnx": "flax", "haiku": "haiku", "mlx": "mlx"}
CELLS = {"haiku_gru": "gru_reset_before"}


def _layout(name: str) -> str:
    return LAYOUTS[name.partition("_")[0]]


def _expected() -> dict[str, np.ndarray]:
    with np.load(FOLDER / "expected.npz") as stored:
        return dict(stored)


@pytest.mark.parametrize("name", NAMES)
def test_states_are_those_of_the_framework(name: str) -> None:
    expected = _expected()
    spec = {"weights": {"file": str(FOLDER / f"{name}.npz")}, "inputs": expected["x"]}
    problem = rnngrad.load(spec)
    assert problem.cell.name == CELLS.get(name, name.split("_")[1])
    single = name.startswith("mlx")  # which computes in float32
    h = np.asarray(rnngrad.gradients(problem)["h"])[1:]
    assert not wrong_rows({"h": h}, {"h": expected[name]}, 1e-5 if single else 1e-14)


@pytest.mark.parametrize("name", NAMES)
def test_the_layout_is_found_and_may_be_named(name: str) -> None:
    path = FOLDER / f"{name}.npz"
    found = read_model(path)
    assert found.layout == _layout(name)
    assert read_model(path, found.layout).recurrent[0].key == found.recurrent[0].key


@pytest.mark.parametrize("name", ["linen_gru", "haiku_lstm", "mlx_rnn"])
def test_init_writes_a_spec_with_the_read_out_that_runs(name: str, tmp_path: Path) -> None:
    (tmp_path / "m.npz").write_bytes((FOLDER / f"{name}.npz").read_bytes())
    done = run("init", "m.npz", "-o", "net.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"layout: {_layout(name)}" in (tmp_path / "net.yaml").read_text()
    problem = rnngrad.load(tmp_path / "net.yaml")
    assert problem.weights["W_hy"].shape == (2, 4)
    with np.load(FOLDER / f"{name}.npz") as stored:
        W = next(a for a in stored.values() if a.shape in ((2, 4), (4, 2)))
    W_hy = np.array(problem.weights["W_hy"])
    assert np.array_equal(W_hy, W if W.shape == (2, 4) else W.T)


@pytest.mark.parametrize("name", ["linen_gru", "linen_lstm", "chunks"])
def test_what_flax_serialization_wrote(name: str, tmp_path: Path) -> None:
    """Written by Flax 0.12.8 itself, one of them in chunks: states to rounding, and every array
    bit by bit as in the .npz."""
    net = "linen_gru" if name == "chunks" else name
    path, expected = FOLDER / f"{name}.msgpack", _expected()
    problem = rnngrad.load({"weights": {"file": str(path)}, "inputs": expected["x"]})
    h = np.asarray(rnngrad.gradients(problem)["h"])[1:]
    assert not wrong_rows({"h": h}, {"h": expected[net]}, 1e-14)
    with np.load(FOLDER / f"{net}.npz") as stored:
        for key, array in stored.items():
            np.testing.assert_array_equal(load_model_array(path, key), array)
    (tmp_path / "m.msgpack").write_bytes(path.read_bytes())
    done = run("init", "m.msgpack", "-o", "net.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert rnngrad.load(tmp_path / "net.yaml").weights["W_hy"].shape == (2, 4)


def test_bfloat16_of_flax() -> None:
    with np.load(FOLDER / "linen_gru.npz") as stored:
        key = next(key for key in stored.files if key.endswith("hn/kernel"))
        exact = stored[key]
    got = load_model_array(FOLDER / "bfloat16.msgpack", key)
    error = np.abs(got - exact) / np.abs(exact)
    assert 0 < error.max() <= 2**-8


def _changed(name: str, tmp_path: Path, change: Any) -> Path:
    with np.load(FOLDER / f"{name}.npz") as stored:
        arrays = dict(stored)
    change(arrays)
    np.savez(tmp_path / "m.npz", **arrays)
    return tmp_path / "m.npz"


def _refusal(path: Path) -> str:
    with pytest.raises(ModelFileError) as refused:
        choose(read_model(path))
    return str(refused.value)


def test_an_array_that_is_none_of_the_cells_refuses_it(tmp_path: Path) -> None:
    def add(arrays: dict[str, np.ndarray]) -> None:
        arrays["params/LSTMCell_0/peephole_i"] = np.ones(4)

    words = _refusal(_changed("linen_lstm", tmp_path, add))
    assert "params/LSTMCell_0/peephole_i" in words


@pytest.mark.parametrize("key", ["params/LSTMCell_0/hf/kernel", "params/LSTMCell_0/if/kernel",
                                 "params/LSTMCell_0/ho/bias"])  # fmt: skip
def test_an_array_of_another_shape_is_refused(tmp_path: Path, key: str) -> None:
    def cut(arrays: dict[str, np.ndarray]) -> None:
        arrays[key] = arrays[key][:-1]

    assert "do not fit each other" in _refusal(_changed("linen_lstm", tmp_path, cut))


def test_a_gate_that_is_missing_is_no_cell(tmp_path: Path) -> None:
    def drop(arrays: dict[str, np.ndarray]) -> None:
        del arrays["params/LSTMCell_0/if/kernel"]

    assert "holds no recurrent net" in _refusal(_changed("linen_lstm", tmp_path, drop))


def test_two_cells_are_a_stack_by_a_list(tmp_path: Path) -> None:
    with np.load(FOLDER / "nnx_gru.npz") as stored:
        lower = {f"low.{key}": a for key, a in stored.items()}
    upper = {key.replace("low.", "high."): a for key, a in lower.items()}
    upper["high.cell.dense_i.kernel"] = np.random.default_rng(4).normal(size=(4, 12))
    np.savez(tmp_path / "m.npz", **lower, **upper)
    net = choose(read_model(tmp_path / "m.npz"), ["low.cell", "high.cell"])
    assert [layer.inputs for layer in net.layers] == [3, 4]
