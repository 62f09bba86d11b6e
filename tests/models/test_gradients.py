"""PyTorch's gradients by the contract's names, against the complex step through plain forwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.test_torch import FIXTURES, RUNNABLE, expected, fixture
from oracles.cells import run
from rnngrad.files.models import ModelFileError, choose, read_model
from rnngrad.files.submitted.framework_gradients import Asked, gradients_from_model_file

SMOOTH = [name for name in RUNNABLE if name not in ("rnn_relu", "lstm_float32")]
STEP = 1e-30


def loss(cell: str, layers: list[dict[str, Any]], W: Any, b: Any, x: Any, targets: Any) -> Any:
    y = run(cell, layers, x) @ W.T + b
    return ((targets - y) ** 2).sum()


def slopes(cell: str, layers: list[dict[str, Any]], k: int, name: str, *rest: Any) -> np.ndarray:
    """∂L/∂p of layer k, one entry at a time: Im L(p + ih)/h."""
    found = np.zeros(layers[k][name].shape)
    for index in np.ndindex(found.shape):
        moved = layers[k][name].astype(complex)
        moved[index] += 1j * STEP
        other = [*layers[:k], {**layers[k], name: moved}, *layers[k + 1 :]]
        found[index] = loss(cell, other, *rest).imag / STEP
    return found


@pytest.mark.parametrize("name", SMOOTH)
def test_each_gradient_is_that_of_its_name(name: str) -> None:
    contents = read_model(fixture(name))
    net = choose(contents, None)
    (dense,) = contents.dense
    truth = expected(name)
    rest = (dense.W, dense.b, truth["x"], truth["targets"])
    layers = [dict(layer.parameters) for layer in net.layers]
    given = gradients_from_model_file(FIXTURES / f"{name}.grads.safetensors")
    wanted = set()
    for k, layer in enumerate(layers):
        for parameter in layer:
            key = f"dL_d{parameter}" + (f".{k}" if len(layers) > 1 else "")
            wanted.add(key)
            if key not in given.arrays:  # a net without biases has no gradients of them
                assert (name, parameter[:1]) == ("gru_no_bias", "b")
                continue
            slope = slopes(net.cell, layers, k, parameter, *rest)
            error = np.max(np.abs(given.arrays[key].values - slope)) / np.max(np.abs(slope))
            assert error < 1e-10, key
    assert set(given.arrays) <= wanted


def test_the_read_outs_gradients_are_named_by_the_caller() -> None:
    path = FIXTURES / "lstm.grads.safetensors"
    more = {"fc.weight": "dL_dW_hy", "fc.bias": "dL_db_y", "fc.nothing": "dL_dx"}
    given = gradients_from_model_file(path, more=more)
    assert set(given.arrays) == {"dL_dW_xh", "dL_dW_hh", "dL_db_h", "dL_dW_hy", "dL_db_y"}
    truth = expected("lstm")
    slope = -2 * (truth["targets"] - truth["y"]).T @ truth["h"]
    np.testing.assert_allclose(given.arrays["dL_dW_hy"].values, slope, rtol=1e-12)
    assert given.words("dL_dW_hy", "is wrong") == "lstm.grads.safetensors[fc.weight]: is wrong"


@pytest.mark.parametrize(
    ("name", "eps"), [("lstm_float32", 2.0**-23), ("lstm", 2.0**-52), ("bfloat16", 2.0**-7)]
)
def test_the_type_is_kept(name: str, eps: float) -> None:
    """The state_dict in bfloat16 serves for gradients here: only its type matters."""
    file = "gru_bfloat16.safetensors" if name == "bfloat16" else f"{name}.grads.safetensors"
    given = gradients_from_model_file(FIXTURES / file)
    assert {array.eps for array in given.arrays.values()} == {eps}


def test_a_bidirectional_nets_directions() -> None:
    path = FIXTURES / "gru_bidirectional.grads.safetensors"
    forward, reverse = (
        gradients_from_model_file(path, asked=Asked(direction=way)).arrays["dL_dW_hh"].values
        for way in ("forward", "reverse")
    )
    assert not np.allclose(forward, reverse)


def saved(folder: Path, **arrays: np.ndarray) -> Path:
    np.savez(folder / "grads.npz", **arrays)
    return folder / "grads.npz"


def test_biases_that_differ_are_both_given(tmp_path: Path) -> None:
    b = np.arange(1.0, 5.0)
    weights = {"weight_hh": np.ones((4, 4)), "bias_ih": b}
    near = saved(tmp_path, **weights, bias_hh=b * (1 + 1e-12))
    given = gradients_from_model_file(near)
    np.testing.assert_array_equal(given.arrays["dL_db_h"].values, b)
    assert given.twice == {}
    for other in (b[::-1], np.ones(3), b * (1 + 1e-6)):
        path = saved(tmp_path, **weights, bias_hh=other)
        key, second = gradients_from_model_file(path).twice["dL_db_h"]
        assert key == "bias_hh"
        np.testing.assert_array_equal(second.values, other)


@pytest.mark.parametrize(("off", "fits"), [(0.004, True), (0.05, False)])
def test_biases_in_float16_agree_to_its_rounding(tmp_path: Path, off: float, fits: bool) -> None:
    b = np.arange(1, 5, dtype=np.float16)
    other = (b * (1 + off)).astype(np.float16)
    path = saved(tmp_path, weight_hh=np.ones((4, 4)), bias_ih=b, bias_hh=other)
    given = gradients_from_model_file(path)
    assert given.arrays["dL_db_h"].eps == 2.0**-10
    assert set(given.twice) == (set() if fits else {"dL_db_h"})


def test_keys_that_say_nothing_of_the_net_are_told(tmp_path: Path) -> None:
    """Wrappers' words are left out of the read-out's keys as they are of the net's."""
    arrays = {"module.rnn.weight_hh_l0": np.ones((4, 4)), "module.fc.weight": np.ones((2, 4))}
    path = saved(tmp_path, **arrays, **{"head.weight": np.ones(3), "rnn.weight_hx_l0": np.ones(3)})
    given = gradients_from_model_file(path, more={"fc.weight": "dL_dW_hy"})
    assert set(given.arrays) == {"dL_dW_hh", "dL_dW_hy"}
    assert given.unused == ("head.weight", "rnn.weight_hx_l0")


@pytest.mark.parametrize(
    ("key", "shape", "words"),
    [
        ("weight_hh_l1", (4, 4), "is of layer 1, but the spec's net has 1 layer"),
        ("weight_hh_l0", (12, 4), "is 12×4: of a gru, but the spec's net is rnn"),
    ],
)
def test_gradients_of_another_net(
    tmp_path: Path, key: str, shape: tuple[int, int], words: str
) -> None:
    path = saved(tmp_path, **{key: np.ones(shape)})
    with pytest.raises(ModelFileError, match=words):
        gradients_from_model_file(path, asked=Asked(cell="rnn", layers=1))


def test_keys_may_end_in_grad(tmp_path: Path) -> None:
    arrays = {"rnn.weight_hh_l0.grad": np.ones((4, 4)), "fc.weight.grad": np.ones((2, 4))}
    given = gradients_from_model_file(saved(tmp_path, **arrays), more={"fc.weight": "dL_dW_hy"})
    assert set(given.arrays) == {"dL_dW_hh", "dL_dW_hy"}
    assert given.unused == ()


def test_what_is_absent_is_left_out(tmp_path: Path) -> None:
    path = saved(tmp_path, bias_hh=np.ones(12))
    with pytest.raises(ModelFileError, match="no gradient of weight_hh, which would tell the cell"):
        gradients_from_model_file(path)
    given = gradients_from_model_file(path, asked=Asked(cell="gru", layers=2))
    assert list(given.arrays) == ["dL_db_hh.0"]


def test_numbers_that_are_none_are_gradients_too(tmp_path: Path) -> None:
    """A gradient that exploded is wrong, not unreadable."""
    path = saved(tmp_path, weight_hh=np.full((4, 4), np.inf))
    assert np.isinf(gradients_from_model_file(path).arrays["dL_dW_hh"].values).all()


def test_mistakes_are_answered(tmp_path: Path) -> None:
    path = FIXTURES / "gru_wrapped.grads.safetensors"
    assert "dL_db_xh" in gradients_from_model_file(path, asked=Asked("encoder.rnn")).arrays
    with pytest.raises(
        ModelFileError, match=r"no gradients under 'encodr.rnn.'.*prefixes: 'module"
    ):
        gradients_from_model_file(path, asked=Asked("encodr.rnn."))
    with pytest.raises(ModelFileError, match="in the layout torch, not 'keras'"):
        gradients_from_model_file(path, "keras")
    two = saved(tmp_path, **{f"{p}.weight_hh": np.ones((4, 4)) for p in "ab"})
    with pytest.raises(ModelFileError, match=r"holds 2 nets, say which prefix: 'a.' and 'b.'"):
        gradients_from_model_file(two)
    with pytest.raises(ModelFileError, match="no gradients of the direction reverse"):
        gradients_from_model_file(path, asked=Asked(direction="reverse"))
    with pytest.raises(ModelFileError, match=r"no gradients of a recurrent net; prefixes: none"):
        gradients_from_model_file(saved(tmp_path, dL_dW_hh=np.ones((4, 4))))
