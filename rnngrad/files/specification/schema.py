"""All keys of a spec: what each takes, means and is by default; and the JSON Schema of them.

What ``cell`` takes is in ``cell_key.py``, ``weights`` in ``weights_key.py``, arrays in
``sources.py``.
"""

from __future__ import annotations

from collections.abc import Collection

from rnngrad.arithmetic.functions import ACTIVATIONS
from rnngrad.files.specification import weights_key
from rnngrad.files.specification.batch_key import AXES, OTHERS, REDUCTIONS
from rnngrad.files.specification.cell_key import CellKind
from rnngrad.files.specification.sources import LIST, NUMBER, Source, sequence
from rnngrad.files.specification.value_types import (
    CheckedLater,
    Choice,
    CountedSteps,
    Group,
    JsonSchema,
    Key,
    Text,
    Whole,
)
from rnngrad.net.losses import LOSSES
from rnngrad.net.outputs import OUTPUTS
from rnngrad.net.problem import REVERSE

_SIZES = Group(
    "sizes",
    "The sizes of the net, needed only where no array fixes them.",
    {
        "inputs": Key(Whole(1), "I, the numbers in x_t"),
        "hidden": Key(Whole(1), "H, the hidden units"),
        "outputs": Key(Whole(1), "O, the numbers in y_t"),
    },
)


def sizes(letters: Collection[str]) -> Group:
    """``sizes`` of a cell: the three words, and its letters by themselves."""
    keys = {letter: Key(Whole(1), f"the size {letter} of the cell") for letter in letters}
    return _SIZES._replace(keys={**_SIZES.keys, **keys})


def _sizes(definitions: JsonSchema) -> JsonSchema:
    letter = {"type": "integer", "minimum": 1, "description": "a size of the cell, by letter"}
    named = _SIZES.body(definitions)
    definitions["sizes"] = named | {"patternProperties": {"^[A-Z][A-Za-z0-9]*$": letter}}
    return {"$ref": "#/definitions/sizes"}


_COUNTS: JsonSchema = {
    "type": "array", "items": {"type": "integer", "minimum": 1}, "minItems": 1,
}  # fmt: skip
_FORMS = "rows of numbers, {file: x.npy}, {random: normal, steps: T, scale: s} or {zeros: T}"


def _start(part: str) -> Key:
    meaning = f"what {part}, a part of the state, begins with: a list, a number for all, or a file"
    return Key(Source((NUMBER, LIST)), meaning)


DIRECTIONS = ("forward", "both")
"""What ``direction`` may be."""

SPEC = Group(
    "rnngrad_spec",
    "One net and one sequence, or a batch of them, for rnngrad.",
    {
        "name": Key(Text(), "free text; the file's stem by default"),
        "cell": Key(
            CheckedLater(CellKind().schema),
            "a cell that 'rnngrad cells' lists, or its equations",
            "rnn",
        ),
        "activation": Key(Choice(tuple(ACTIVATIONS)), "σ of the hidden units; rnn only", "tanh"),
        "input_activation": Key(
            Choice(tuple(ACTIVATIONS)), "φ of x'_t = φ(W_in x_t + b_in)", "identity"
        ),
        "output_activation": Key(
            Choice(tuple(OUTPUTS)), "g of y_t = g(W_hy h_t + b_y)", "identity"
        ),
        "loss": Key(
            Choice(tuple(LOSSES)),
            "per step; binary_cross_entropy needs sigmoid outputs, cross_entropy softmax",
            "squared_error",
        ),
        "loss_steps": Key(
            CountedSteps(), "all, last, or a list of the steps that count, from 1", "all"
        ),
        "loss_reduction": Key(Choice(("sum", "mean")), "over the steps that count", "sum"),
        "class_weights": Key(
            Source((LIST,)), "O numbers, what the loss of a label of each class is multiplied by"
        ),
        "ignore_index": Key(
            Whole(), "the label of steps that do not count; of binary labels only where given", -100
        ),
        "sizes": Key(CheckedLater(_sizes), "needed only where no array fixes them"),
        "weights": Key(
            CheckedLater(lambda _: {}),  # its forms hang on the cell: see json_schema
            "W_xh, W_hh, and if wanted biases, W_hy, b_y",
            required=True,
        ),
        "direction": Key(
            Choice(DIRECTIONS),
            "both: bidirectional layers, each parameter and start once more with _reverse behind "
            "its name; of a model's file weights.direction says it",
            "forward",
        ),
        "half": Key(
            Text(),
            "the one direction of bidirectional layers that is looked at: forward, "
            "reverse, of a stack forward.0, reverse.0, …",
        ),
        "h_0": _start("h"),
        "c_0": _start("c"),
        "batch": Key(
            Choice(tuple(AXES)),
            "which axis of inputs and targets counts the sequences: first B×T×I, second T×B×I",
        ),
        "sequence": Key(Whole(1), "the one sequence of a batch that is looked at, from 1"),
        "lengths": Key(Source((_COUNTS,)), "the steps of each sequence of a batch; all T"),
        "batch_reduction": Key(
            Choice(REDUCTIONS),
            "L over the sequences of a batch: mean divides by B, mean_of_steps by the number of "
            "all losses that count",
            "sum",
        ),
        "inputs": Key(sequence(required=True), f"T×I: {_FORMS}", required=True),
        "targets": Key(
            sequence(required=False),
            f"T×O: {_FORMS}, or T labels from 0; without it there is no loss",
        ),
        "upstream": Key(
            sequence(required=False),
            f"T×H, ∂L/∂h_t of a head that rnngrad does not see, in place of targets: {_FORMS}",
        ),
        "seed": Key(Whole(), "every random draw of the spec repeats with it", 0),
    },
)
"""key -> what it takes: the one place to add a key."""


def spec_with(parts: Collection[str]) -> Group:
    """The spec of a cell whose state has these parts, each of which has a start, and one more where
    there are both directions."""
    starts = {f"{part}_0{way}": _start(part) for way in ("", REVERSE) for part in parts}
    return SPEC._replace(keys={**SPEC.keys, **starts})


def json_schema() -> JsonSchema:
    """The JSON Schema (draft-07) of a spec, for editors."""
    definitions: JsonSchema = {}
    body = SPEC.body(definitions) | weights_key.schema(definitions)
    body["patternProperties"] = {
        r"^[A-Za-z]\w*_0(_reverse)?$": _start("of that name").schema(definitions)
    }
    body["dependencies"] = {key: ["batch"] for key in OTHERS}
    dialect = "http://json-schema.org/draft-07/schema#"
    return {"$schema": dialect, **body, "definitions": definitions}
