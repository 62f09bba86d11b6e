"""The JSON Schema: that it is one, that the package's copy is current, that it agrees with load."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from rnngrad.arithmetic.functions import ACTIVATIONS
from rnngrad.cells import CELLS, shipped
from rnngrad.errors import SpecError
from rnngrad.files import json_schema, load
from rnngrad.files.arrays.drawing import INITIALISERS, SEQUENCES
from rnngrad.files.yaml_text import parse
from rnngrad.net.cells import multiple
from rnngrad.net.losses import LOSSES
from rnngrad.net.outputs import OUTPUTS

ROOT = Path(__file__).parents[2]
VALIDATOR = Draft7Validator(json_schema())
NET: dict[str, Any] = {"weights": {"W_xh": 1, "W_hh": 0.5}, "inputs": [1, 2]}


def _nodes(node: Any) -> list[dict[str, Any]]:
    if isinstance(node, list):
        return [found for item in node for found in _nodes(item)]
    if isinstance(node, dict):
        return [node, *(found for item in node.values() for found in _nodes(item))]
    return []


def test_it_is_draft_7() -> None:
    schema = json_schema()
    Draft7Validator.check_schema(schema)
    assert schema["$schema"] == "http://json-schema.org/draft-07/schema#"
    for node in _nodes(schema):
        assert "$defs" not in node
        assert "prefixItems" not in node
        assert "$ref" not in node or len(node) == 1
        assert node.get("type") != "object" or "additionalProperties" in node
        if "$ref" in node:
            assert node["$ref"].removeprefix("#/definitions/") in schema["definitions"]


def test_every_key_is_described() -> None:
    for node in _nodes(json_schema()):
        if node.get("type") == "object":
            assert node["title"]
            assert node["description"]
            assert all(key["description"] for key in node["properties"].values())


def test_the_copy_in_the_package_is_current() -> None:
    copy = resources.files("rnngrad.files").joinpath("schema.json").read_text(encoding="utf-8")
    now = json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"
    assert copy == now, "run: rnngrad schema --force -o rnngrad/files/schema.json"


def _cells() -> list[dict[str, Any]]:
    """Every cell, alone and stacked, with its own biases and start; some by their equations."""
    zeros = {"init": "zeros"}
    changes: list[dict[str, Any]] = []
    for name, cell in CELLS.items():
        shapes = [cell.letters, *cell.parameters.values()]
        letters = sorted({multiple(letter)[1] for shape in shapes for letter in shape} - {"I", "H"})
        hidden = {"hidden": 2 if cell.input_letter == "I" else 1}
        sizes = {"sizes": hidden | dict.fromkeys(letters, 2)}
        layer = dict.fromkeys(cell.parameters, zeros)
        start = {f"{part}_0": 0.5 for part in cell.parts}
        bare = dict.fromkeys(cell.weights, zeros)
        readout = {"W_hy": {"init": "zeros"}}
        forms = [layer, bare, {"layers": [layer, bare]}, {"layers": [bare], **readout}]
        outputs = {"sizes": sizes["sizes"] | {"outputs": 2}}
        changes += [{"cell": name, "weights": form, **sizes, **start} for form in forms[:3]]
        changes += [{"cell": name, "weights": forms[3], **outputs, **start}]
        if not cell.blocks:
            mapping = dict(shipped(name).mapping)
            changes += [{"cell": mapping, "weights": form, **sizes, **start} for form in forms[:3]]
    return changes


def _variants() -> list[dict[str, Any]]:
    """Right specs, each form of each key once."""
    w = NET["weights"]
    changes: list[dict[str, Any]] = [
        {},
        *({"activation": name} for name in ACTIVATIONS),
        *({"output_activation": name} for name in OUTPUTS),
        *({"loss": name} for name in LOSSES),
        {"name": "x", "cell": "rnn", "seed": -3, "loss_reduction": "mean"},
        *({"loss_steps": steps, "targets": [1, 2]} for steps in ("all", "last", [1], [2, 1])),
        {"sizes": {}},
        {"sizes": {"inputs": 1, "hidden": 1, "outputs": 1}},
        *({"h_0": h_0} for h_0 in (0, 0.5, [1])),
        {"inputs": [[1], [2]]},
        {"inputs": {"zeros": 3}},
        *({"inputs": {"random": name, "steps": 3}} for name in SEQUENCES),
        *({"targets": {"random": name}} for name in SEQUENCES),
        *({"targets": {"random": name, "steps": 2}} for name in SEQUENCES),
        {"targets": {"random": "normal", "scale": 0.5}},
        {"targets": {"zeros": 2}},
        {"weights": w | {"W_xh": [[1]], "b_h": [2]}},
        {"weights": w | {"b_h": 3, "W_hy": [[1], [2]], "b_y": [1, 2]}},
        {"weights": w | {"W_hy": 3, "b_y": 3}},
    ]
    changes += _cells()
    for name, record in INITIALISERS.items():
        options = dict.fromkeys(record.options, 0.5)
        needed = {key: 1 for key, option in record.options.items() if option.required}
        changes += [{"weights": w | {"W_hh": {"init": name, **all_}}} for all_ in (options, needed)]
        if not record.matrix_only:
            changes.append({"weights": w | {"b_h": {"init": name, **needed}}})
    return [NET | change for change in changes]


@pytest.mark.parametrize("spec", _variants(), ids=str)
def test_what_loads_is_valid(spec: dict[str, Any]) -> None:
    load(spec)
    VALIDATOR.validate(spec)


@pytest.mark.parametrize(
    "change",
    [
        {"activaton": "relu"},
        {"activation": "rleu"},
        {"cell": "GRU"},
        {"cell": 3},
        {"cell": {}},
        {"cell": {"equations": 3}},
        {"cell": {"equations": [3]}},
        {"cell": {"equations": []}},
        {"cell": {"equations": ["h_t = W x_t"], "state": 3}},
        {"cell": {"equations": ["h_t = W x_t"], "state": []}},
        {"cell": {"equations": ["h_t = W x_t"], "shapes": {"W": 3}}},
        {"cell": {"equations": ["h_t = W x_t"], "shapes": {"W": ["h", "I"]}}},
        {"cell": {"equations": ["h_t = W x_t"], "shapes": {"W": ["H", "I", "P"]}}},
        {"cell": {"equations": ["h_t = W x_t"], "shape": {"W": ["H", "I"]}}},
        {"cell": {"equations": ["h_t = W x_t"], "recurrent": 3}},
        {"cell": {"equations": ["h_t = W x_t"]}, "weights": {"W": [[[1]]]}},
        {"cell": {"equations": ["h_t = W x_t"]}, "weights": {"W": {"init": "normel"}}},
        {"cell": {"equations": ["h_t = W x_t"]}, "weights": {"W": 1}, "h_0": "no"},
        {"cell": {"equations": ["h_t = W x_t"]}, "weights": {"W": 1}, "sizes": {"P": 0}},
        {"cell": "lstm", "c_0": [[1]]},
        {"cell": "lstm", "c_0": {"init": "zeros"}},
        {"loss_reduction": "max"},
        {"loss_steps": "first"},
        {"loss_steps": []},
        {"loss_steps": ["1"]},
        {"loss_steps": [[1]]},
        {"loss_steps": [1, 1], "targets": [1, 2]},
        {"loss_steps": [0], "targets": [1, 2]},
        {"name": 3},
        {"name": None},
        {"seed": 1.5},
        {"seed": True},
        {"sizes": {"hidden": 0}},
        {"sizes": {"hiden": 1}},
        {"sizes": {"hidden": True}},
        {"h_0": "no"},
        {"h_0": {"init": "zeros"}},
        {"h_0": []},
        {"h_0": [[1]]},
        {"inputs": 1},
        {"inputs": []},
        {"inputs": [[]]},
        {"inputs": [[[[1]]]]},
        {"inputs": {"zeros": 0}},
        {"inputs": {"random": "normal"}},
        {"inputs": {"random": "one_hot", "steps": 3, "scale": 1}},
        {"inputs": {"random": "normal", "steps": 3, "scale": -1}},
        {"inputs": {"random": "normal", "steps": 3, "sclae": 1}},
        {"inputs": [1, "2"]},
        {"inputs": {"file": 3}},
        {"inputs": {"file": "x.npy", "kee": "x"}},
        {"targets": None},
        {"weights": 3},
        {"weights": {"W_xh": 1}},
        {"weights": {"W_xh": 1, "W_hh": 1, "W_hx": 1}},
        {"weights": {"W_xh": [1], "W_hh": 1}},
        {"weights": {"W_xh": 1, "W_hh": 1, "b_h": [[1]]}},
        {"weights": {"W_xh": 1, "W_hh": {"init": "orthogonal", "std": 1}}},
        {"weights": {"W_xh": 1, "W_hh": {"init": "constant"}}},
        {"weights": {"W_xh": 1, "W_hh": 1, "b_h": {"init": "orthogonal"}}},
        {"weights": {"W_xh": 1, "W_hh": {"init": "normal", "std": -1}}},
        {"weights": {"layers": []}},
        {"weights": {"layers": 3}},
        {"weights": {"layers": {"W_xh": 1, "W_hh": 1}}},
        {"weights": {"layers": [3]}},
        {"weights": {"layers": [{"W_xh": 1}]}},
        {"weights": {"layers": [{"W_xh": 1, "W_hh": 1}], "W_xh": 1}},
        {"weights": {"layers": [{"W_xh": 1, "W_hh": 1, "W_hy": 1}]}},
        {"weights": {"layers": [{"W_xh": 1, "W_hh": 1, "b_h": 1, "b_hh": 1}]}},
        {"weights": {"W_xh": 1, "W_hh": 1, "b_h": 1, "b_xh": 1}},
    ],
    ids=str,
)
def test_what_is_invalid_does_not_load(change: dict[str, Any]) -> None:
    spec = NET | change
    assert not VALIDATOR.is_valid(spec)
    with pytest.raises(SpecError):
        load(spec)


def test_the_samples_are_valid_and_misspelt_ones_are_not() -> None:
    specs = [*(ROOT / "sample_configs").glob("*.yaml"), ROOT / "rnngrad" / "files" / "starter.yaml"]
    assert specs
    for path in specs:
        data = parse(path.read_text(encoding="utf-8"), path.name).data
        VALIDATOR.validate(data)
        for key in data:
            misspelt = {(name + "x" if name == key else name): data[name] for name in data}
            assert not VALIDATOR.is_valid(misspelt)


@pytest.mark.parametrize(
    "change",
    [
        {"cell": "gru"},
        {"c_0": 0},
        {"cell": "lstm", "activation": "relu", "weights": {"W_xh": [[1]] * 4, "W_hh": [[1]] * 4}},
        {"cell": "gru", "weights": {"W_xh": [[1]] * 3, "W_hh": [[1]] * 3, "b_h": [1, 1, 1]}},
        {"weights": {"layers": [{"W_xh": 1, "W_hh": 1}, {"W_xh": [[1, 2]], "W_hh": 1}]}},
    ],
    ids=str,
)
def test_what_hangs_on_two_keys_is_for_load_alone(change: dict[str, Any]) -> None:
    assert VALIDATOR.is_valid(NET | change)
    with pytest.raises(SpecError):
        load(NET | change)
