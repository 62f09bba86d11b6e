"""The spec that is written for a net of a file: complete, read back as meant, and commented."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.test_torch import contents, fixture, saved, state
from rnngrad.arithmetic.arrays import frozen
from rnngrad.files.models import Contents, Dense, choose, load_model_array, read_model
from rnngrad.files.starters.model import before, candidates, fits, read_out, starter, table
from rnngrad.files.yaml_text import parse


def written(found: Contents, path: str, prefix: str | None = None, way: str | None = None) -> str:
    net = choose(found, prefix, way)
    return starter(found, net, read_out(found, net), path)


@pytest.mark.parametrize("name", ["rnn", "gru_wrapped", "lstm_2", "lstm_sharded", "gru_bfloat16"])
def test_it_reads_back_as_meant(name: str) -> None:
    found = contents(name)
    net = choose(found, None)
    text = written(found, f"models/{fixture(name).name}")
    document = parse(text, "spec.yaml")
    data = document.data
    assert not document.mistakes
    (dense,) = found.dense
    file = f"models/{fixture(name).name}"
    assert data["cell"] == net.cell
    assert data["weights"] == {
        "file": file,
        "layout": "torch",
        "prefix": net.key,
        "W_hy": {"file": file, "key": dense.W_key},
        "b_y": {"file": file, "key": dense.b_key},
    }
    assert data["inputs"] == {"random": "normal", "steps": 200}
    assert ("activation" in data) is (net.cell == "rnn")
    assert "targets" not in data
    np.testing.assert_array_equal(
        load_model_array(fixture(name), data["weights"]["W_hy"]["key"]), dense.W
    )


def test_what_the_file_does_not_say_is_said() -> None:
    text = written(contents("rnn"), "rnn.safetensors")
    assert "# Assumed: activation tanh: a state_dict does not say" in text
    assert "activation: tanh  # the file does not say" in text
    assert "output_activation: identity  # the file does not say" in text
    assert "# fc is as wide as h_t; delete it if it reads something else" in text
    assert "# rnn.safetensors: rnn, 1 layer, 3 → 4 units, stored in float64" in text


def test_what_the_file_says_is_taken() -> None:
    found = contents("rnn")
    net = choose(found, None)._replace(activation="relu", assumed=())
    dense = found.dense[0]._replace(activation="softmax")
    text = starter(found, net, dense, "net.keras")
    data = parse(text, "spec.yaml").data
    assert (data["activation"], data["output_activation"]) == ("relu", "softmax")
    assert "# loss: cross_entropy" in text
    assert "Assumed" not in text


def test_a_direction_is_kept() -> None:
    text = written(contents("gru_bidirectional"), "x.safetensors", None, "reverse")
    assert parse(text, "spec.yaml").data["weights"]["direction"] == "reverse"
    assert "in reversed order" in text


def test_several_read_outs_are_left_to_the_reader(tmp_path: Path) -> None:
    arrays = state() | {f"{k}.weight": np.ones((2, 4)) for k in ("out", "value")}
    found = read_model(saved(tmp_path, arrays))
    net = choose(found, None)
    assert len(fits(found, net)) == 2
    text = written(found, "net.npz")
    assert "W_hy" not in parse(text, "spec.yaml").data["weights"]
    assert "Those that fit: out and value." in text


FRONT = {
    "its name": ({"net.fc_in": (3, 9)}, False, "net.fc_in"),
    "its name, in words run together": ({"inputProj": (3, 9)}, False, "inputProj"),
    "the file's order": ({"one": (3, 9)}, True, "one"),
    "a name that says nothing, in sorted keys": ({"one": (3, 9)}, False, None),
    "behind, in the file's order": ({"z": (3, 9)}, True, None),
    "another width": ({"fc_in": (5, 9)}, False, None),
    "two of them": ({"fc_in": (3, 9), "proj_in": (3, 8)}, False, None),
    "behind the read-out": ({"head.0": (5, 4), "head.2": (3, 5)}, False, None),
}  # fmt: skip


@pytest.mark.parametrize("case", FRONT)
def test_a_dense_layer_before_the_net(case: str, tmp_path: Path) -> None:
    """W_in where the name or the order tells, else a comment; never as the read-out as well."""
    layers, ordered, wanted = FRONT[case]
    dense = {f"{k}.{part}": np.ones(shape[: 2 if part == "weight" else 1])
             for k, shape in layers.items() for part in ("weight", "bias")}  # fmt: skip
    behind = {"fc.weight": np.ones((2, 4))}
    arrays = state() | dense | behind if case.startswith("behind, in") else dense | state() | behind
    arrays = arrays if ordered else dict(sorted(arrays.items()))
    found = read_model(saved(tmp_path, arrays))
    net = choose(found, None)
    front = before(found, net, ())
    text = starter(found, net, read_out(found, net), "net.npz", front=front)
    weights = parse(text, "spec.yaml").data["weights"]
    key = {"file": "net.npz", "key": f"{wanted}.weight"}
    assert weights.get("W_in") == (key if wanted else None)
    assert ("b_in" in weights) is ("input_activation: identity  # assumed" in text) is bool(wanted)
    shown = case in (
        "a name that says nothing, in sorted keys",
        "two of them",
        "behind the read-out",
    )
    assert ("# W_in:" in text) is shown


def test_inputs_tell_a_dense_layer_before_the_net_from_a_read_out(tmp_path: Path) -> None:
    """(3, 4) could be either: O = I, and as wide as h_t."""
    arrays = state() | {"fc.weight": np.ones((3, 4))}
    found = read_model(saved(tmp_path, dict(sorted(arrays.items()))))
    net = choose(found, None)
    assert read_out(found, net)
    assert not before(found, net, ()).fitting
    assert not before(found, net, {3}).fitting
    assert before(found, net, {4}).dense


def test_a_stack_by_several_prefixes(tmp_path: Path) -> None:
    second = {k.replace("a.", "b."): v for k, v in state(weight_ih_l0=(16, 4)).items()}
    found = read_model(saved(tmp_path, state() | second))
    net = choose(found, ["a.", "b."])
    data = parse(starter(found, net, None, "net.npz"), "spec.yaml").data
    assert data["weights"]["prefix"] == ["a.", "b."]
    assert choose(found, data["weights"]["prefix"]).layers[1].inputs == 4


def test_the_list_of_nets(tmp_path: Path) -> None:
    arrays = state() | {"b.weight_ih_l0": np.ones((4, 3))}
    rows = table(candidates(read_model(saved(tmp_path, arrays))))
    assert rows[1] == ("a.", "lstm", "3 → 4", "float64", "")
    assert rows[2][0] == "b."
    assert "has no weight_hh" in rows[2][4]
    lines = table(candidates(contents("gru_bidirectional")))
    assert [row[4] for row in lines[1:]] == ["forward", "reverse"]
    assert table(candidates(contents("lstm_2")))[1][2] == "3 → 4 → 4"


@given(st.text(max_size=20), st.text(max_size=20))
def test_any_name_reads_back(prefix: str, path: str) -> None:
    """Keys and paths may hold anything, a line's end included: the spec stays one spec."""
    found = contents("lstm")._replace(name=path)
    net = choose(found, None)._replace(key=prefix, assumed=(prefix,))
    dense = Dense(prefix, frozen(np.ones((2, 4))), None, None, prefix, None)
    weights = parse(starter(found, net, dense, path), "spec.yaml").data["weights"]
    assert (weights["file"], weights["prefix"], weights["W_hy"]["key"]) == (path, prefix, prefix)
