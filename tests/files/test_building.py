"""Specs that are right: every form of every key, sizes, losses, redrawing."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnngrad.errors import SpecError
from rnngrad.files import load
from rnngrad.net.problem import Problem

Loaded = Callable[..., Problem]
NET = {"weights": {"W_xh": 1, "W_hh": 0.5}, "inputs": [1, 2, 3]}
ROOT = Path(__file__).parents[2]


def test_the_smallest_spec_and_every_default(loaded: Loaded) -> None:
    problem = loaded("weights: {W_xh: 1, W_hh: 0.5}\ninputs: [1, 2]\n")
    assert problem.name == "stdin"
    assert (problem.cell.name, problem.activation.name) == ("rnn", "tanh")
    assert (problem.output.name, problem.seed) == ("identity", 0)
    assert list(problem.weights) == ["W_xh", "W_hh", "b_h"]
    assert [array.shape for array in problem.weights.values()] == [(1, 1), (1, 1), (1,)]
    assert problem.x.tolist() == [[1], [2]]
    assert problem.h_0.tolist() == [0]
    assert problem.loss is problem.targets is problem.loss_weights is problem.draw is None


def test_everything_given(loaded: Loaded) -> None:
    problem = loaded("""\
name: a net
cell: rnn
activation: relu
output_activation: softmax
loss: cross_entropy
loss_steps: [3, 1]
loss_reduction: mean
sizes: {inputs: 2, hidden: 3, outputs: 2}
weights:
  b_y: [1, 2]
  W_hy: [[1, 2, 3], [4, 5, 6]]
  b_h: [1, 2, 3]
  W_hh: [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
  W_xh: [[1, 2], [3, 4], [5, 6]]
h_0: [-1, 0, 1e-3]
inputs: [[1, 2], [3, 4], [5, 6]]
targets: [[1, 0], [0, 1], [2, 3]]
seed: -5
""")
    assert problem.name == "a net"
    assert (problem.steps, problem.inputs, problem.hidden, problem.outputs) == (3, 2, 3, 2)
    assert list(problem.weights) == ["W_xh", "W_hh", "b_h", "W_hy", "b_y"]
    assert problem.weights["W_hh"].tolist() == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    assert problem.weights["b_y"].tolist() == [1, 2]
    assert problem.h_0.tolist() == [-1, 0, 1e-3]
    assert problem.targets is not None
    assert problem.targets.tolist() == [[1, 0], [0, 1], [2, 3]]
    assert problem.loss_weights is not None
    assert problem.loss_weights.tolist() == [0.5, 0, 0.5]
    assert problem.loss is not None
    assert (problem.loss.name, problem.seed) == ("cross_entropy", -5)


@pytest.mark.parametrize(
    ("steps", "reduction", "weights"),
    [
        ("all", "sum", [1, 1, 1]),
        ("all", "mean", [1 / 3] * 3),
        ("last", "sum", [0, 0, 1]),
        ("last", "mean", [0, 0, 1]),
        ([2], "sum", [0, 1, 0]),
        ([1, 2], "mean", [0.5, 0.5, 0]),
        (np.array([3, 2]), "sum", [0, 1, 1]),
    ],
)
def test_loss_weights(loaded: Loaded, steps: Any, reduction: str, weights: list[float]) -> None:
    net = NET | {"targets": [1, 2, 3], "loss_steps": steps, "loss_reduction": reduction}
    found = loaded(net).loss_weights
    assert found is not None
    assert found.tolist() == weights


def test_without_targets_the_loss_is_left_aside(loaded: Loaded) -> None:
    problem = loaded(
        NET | {"loss": "cross_entropy", "loss_steps": [99], "output_activation": "relu"}
    )
    assert problem.loss is None
    assert problem.output.name == "relu"


@given(
    h=st.integers(1, 4), i=st.integers(1, 4), o=st.integers(1, 4), t=st.integers(1, 4),
    given_=st.sets(st.sampled_from(["W_xh", "W_hh", "b_h", "W_hy", "b_y", "targets", "sizes"])),
)  # fmt: skip
def test_any_array_fixes_its_sizes(h: int, i: int, o: int, t: int, given_: set[str]) -> None:
    shapes = {"W_xh": (h, i), "W_hh": (h, h), "b_h": (h,), "W_hy": (o, h), "b_y": (o,)}
    weights = {
        name: np.ones(shape) if name in given_ else {"init": "zeros"}
        for name, shape in shapes.items()
    }
    spec: dict[str, Any] = {"weights": weights, "inputs": np.ones((t, i))}
    if "targets" in given_:
        spec["targets"] = np.ones((t, o)).tolist()
    spec["sizes"] = {"hidden": h, "outputs": o} if "sizes" in given_ else {}
    if not given_ & {"W_xh", "W_hh", "b_h", "W_hy"}:
        spec["h_0"] = [0.0] * h
    if not given_ & {"W_hy", "b_y", "targets"}:
        spec["sizes"]["outputs"] = o
    problem = load(spec)
    assert {name: array.shape for name, array in problem.weights.items()} == shapes
    assert (problem.steps, problem.inputs, problem.hidden, problem.outputs) == (t, i, h, o)


def test_forms_of_inputs_and_states(loaded: Loaded) -> None:
    wide = {"W_xh": np.ones((2, 3)), "W_hh": np.eye(2)}
    assert loaded({"weights": wide, "inputs": {"zeros": 4}}).x.tolist() == [[0] * 3] * 4
    assert loaded({"weights": wide, "inputs": [[1, 2, 3]]}).x.shape == (1, 3)
    assert loaded(NET | {"inputs": [[1, 2, 3]]} | {"weights": wide}).steps == 1
    assert loaded({"weights": wide, "inputs": {"zeros": 1}, "h_0": 0.5}).h_0.tolist() == [0.5, 0.5]
    assert loaded(NET | {"h_0": [0.25], "inputs": (1, 2)}).h_0.tolist() == [0.25]
    assert loaded(NET | {"targets": [4, 5, 6]}).outputs == 1


def test_numpy_and_python_values_in_mappings(loaded: Loaded) -> None:
    class Foreign:
        """An array of another library's."""

        def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray[Any, Any]:
            return np.array([[1.5]], dtype=np.float32)

    problem = loaded(
        {
            "weights": {"W_xh": np.float32(0.5), "W_hh": Foreign(), "b_h": np.array(2, np.int8)},
            "inputs": [np.float64(1), np.int64(2)],
            "targets": [np.ones(1), np.ones(1)],
            "seed": np.int64(3),
        }
    )
    assert [float(array.sum()) for array in problem.weights.values()] == [0.5, 1.5, 2]
    assert type(problem.seed) is int
    assert problem.name == "net"


def test_the_callers_arrays_are_neither_shared_nor_changed(loaded: Loaded) -> None:
    x = np.ones((3, 1))
    spec = {"weights": {"W_xh": 1, "W_hh": 1}, "inputs": x}
    problem = loaded(spec, "weights.W_hh=2")
    x[0] = 7
    assert problem.x.tolist() == [[1], [1], [1]]
    assert spec["weights"] == {"W_xh": 1, "W_hh": 1}
    assert not any(a.flags.writeable for a in (problem.x, problem.h_0, *problem.weights.values()))
    assert x.flags.writeable
    with pytest.raises(TypeError):
        problem.weights["W_hh"] = x


def test_overrides_go_before_the_source(loaded: Loaded) -> None:
    problem = loaded(
        NET, "weights.W_hh=[[1, 2], [3, 4]]", "weights.W_xh=[[1], [2]]", "inputs.1=-5",
        "activation=relu", "h_0=0.5", "name=a=b", "seed=1", "seed=2", "sizes.hidden=2",
    )  # fmt: skip
    assert problem.weights["W_hh"].tolist() == [[1, 2], [3, 4]]
    assert problem.x.tolist() == [[1], [-5], [3]]
    assert problem.h_0.tolist() == [0.5, 0.5]
    assert (problem.activation.name, problem.name, problem.seed) == ("relu", "a=b", 2)


STARTER = """\
sizes: {hidden: 2, inputs: 1}
weights:
  W_xh: {init: normal, std: 2}
  W_hh: [[1, 0], [0, 1]]
  W_hy: [[1, 2]]
inputs: {random: normal, steps: 3, scale: 2}
targets: {zeros: 3}
h_0: [1, 2]
"""
LAYERS = """\
weights: {layers: [{W_xh: {init: normal}, W_hh: {init: orthogonal, gain: 2}}]}
sizes: {hidden: 2}
inputs: [[1, 2], [3, 4]]
"""


@pytest.mark.parametrize(
    ("text", "overrides", "name", "value"),
    [
        (STARTER, ["inputs.file=x.npy"], "x", [[5], [6], [7]]),
        (STARTER, ["inputs.file=x.npz", "inputs.key=a"],
         "x", [[5], [6], [7]]),
        (STARTER, ["inputs.key=a", "inputs.file=x.npz"],
         "x", [[5], [6], [7]]),
        (STARTER, ["inputs.zeros=3"], "x", [[0]] * 3),
        (STARTER, ["targets.file=x.npy"], "targets", [[5], [6], [7]]),
        (STARTER, ["weights.W_hh.file=w.csv"], "W_hh", [[1, 2], [3, 4]]),
        (STARTER, ["weights.W_xh.file=v.csv"], "W_xh", [[8], [9]]),
        (STARTER, ["weights.W_hh.init=identity", "weights.W_hh.gain=3"], "W_hh", [[3, 0], [0, 3]]),
        (STARTER, ["h_0.file=h.csv"], "h_0", [3, 4]),
        (LAYERS, ["weights.layers.0.W_hh.file=w.csv"], "W_hh", [[1, 2], [3, 4]]),
        (LAYERS, ["inputs.zeros=1", "sizes.inputs=2"], "x", [[0, 0]]),
    ],
)  # fmt: skip
def test_an_override_of_an_arrays_form_takes_the_place_of_the_other(
    loaded: Loaded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    text: str, overrides: list[str], name: str, value: Any,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", [[5.0], [6.0], [7.0]])
    np.savez("x.npz", a=[[5.0], [6.0], [7.0]], b=[1.0])
    for file, rows in {"w": "1,2\n3,4\n", "v": "8\n9\n", "h": "3\n4\n"}.items():
        Path(f"{file}.csv").write_text(rows)
    problem = loaded(text, *overrides)
    found = problem.weights[name] if name[0] == "W" else getattr(problem, name)
    np.testing.assert_array_equal(np.reshape(found, np.shape(value)), value)


def test_two_forms_by_two_overrides_are_a_mistake(loaded: Loaded) -> None:
    with pytest.raises(SpecError, match="unknown key 'zeros' in inputs"):
        loaded(STARTER, "inputs.zeros=3", "inputs.file=x.npy")


def test_a_form_elsewhere_is_no_form() -> None:
    with pytest.raises(SpecError, match="unknown key 'file' in sizes"):
        load({**NET, "sizes": {"hidden": 1}}, overrides=["sizes.file=x.npy"])


def test_inits_own_spec_takes_a_file(loaded: Loaded, tmp_path: Path) -> None:
    starter = (ROOT / "rnngrad" / "files" / "starter.yaml").read_text(encoding="utf-8")
    problem = loaded(starter)
    np.save(tmp_path / "x.npy", 2.0 * problem.x)
    changed = loaded(starter, f"inputs.file={tmp_path / 'x.npy'}")
    np.testing.assert_array_equal(changed.x, 2.0 * problem.x)


def test_an_override_of_a_random_sequence(loaded: Loaded) -> None:
    net = NET | {"inputs": {"random": "normal", "steps": 3}}
    assert loaded(net, "inputs.steps=30").steps == 30


RANDOM = {
    "weights": {
        "W_xh": {"init": "uniform"},
        "W_hh": {"init": "orthogonal"},
        "b_h": [1, 2, 3],
        "W_hy": {"init": "gaussian"},
    },
    "inputs": {"random": "normal", "steps": 5},
    "targets": {"random": "one_hot"},
    "sizes": {"inputs": 2, "outputs": 4},
    "loss_reduction": "mean",
    "seed": 3,
}


def _same(one: Problem, other: Problem) -> bool:
    arrays = [[*p.weights.values(), p.x, p.h_0, p.targets, p.loss_weights] for p in (one, other)]
    return all(np.array_equal(a, b) for a, b in zip(*arrays, strict=True))


def test_redrawing_is_loading_with_that_seed(loaded: Loaded) -> None:
    first, second = loaded(RANDOM), loaded(RANDOM | {"seed": 4})
    assert _same(first.redraw(4), second)
    assert _same(first.redraw(4).redraw(3), first)
    assert not np.array_equal(first.x, second.x)
    assert first.redraw(4).seed == 4


def test_the_drawing_is_picklable(loaded: Loaded) -> None:
    problem = loaded(RANDOM)
    assert problem.draw is not None
    again = pickle.loads(pickle.dumps(problem.draw))(4)
    assert _same(again, problem.redraw(4))
    assert not again.weights["b_h"].flags.writeable


def test_files_are_not_read_again(tmp_path: Path) -> None:
    np.save(tmp_path / "w.npy", np.eye(2))
    spec = tmp_path / "net.yaml"
    spec.write_text(
        "weights: {W_xh: {init: normal}, W_hh: {file: w.npy}}\ninputs: [1, 2]\nseed: 1\n"
    )
    problem = load(spec)
    (tmp_path / "w.npy").unlink()
    assert problem.redraw(2).weights["W_hh"].tolist() == [[1, 0], [0, 1]]


def test_nothing_random_cannot_be_redrawn(loaded: Loaded) -> None:
    zeros = {"W_xh": {"init": "constant", "value": 2}, "W_hh": {"init": "identity"}}
    assert loaded(NET | {"weights": zeros, "sizes": {"hidden": 2}}).draw is None


def test_the_samples_and_the_starter_load() -> None:
    specs = [*(ROOT / "sample_configs").glob("*.yaml"), ROOT / "rnngrad" / "files" / "starter.yaml"]
    assert len(specs) > 1
    for path in specs:
        assert load(path).name
