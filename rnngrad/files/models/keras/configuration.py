"""Keras's configuration: what it says of each layer's activations, and which layers are refused.

The configuration nests layers as mappings {class_name, config: {name, activation, …}}; they are
found wherever they stand, by the names of the models around them and their own, and by their own
alone. That is unique in a model, except within nested ones: what two layers of one name say
differently is not known by it.

Source: keras.layers.SimpleRNN, GRU, LSTM, Bidirectional, and keras.saving.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any, NamedTuple

from rnngrad.files.models.equations import clipped, leaky
from rnngrad.files.models.keras.hdf5_file import CONFIG
from rnngrad.files.models.records import ModelFileError, Store
from rnngrad.files.text import cut, listed

ACTIVATIONS: Mapping[str, str] = MappingProxyType(
    {
        "tanh": "tanh",
        "sigmoid": "sigmoid",
        "relu": "relu",
        "softplus": "softplus",
        "linear": "identity",
        "softmax": "softmax",
    }
)
"""Keras's name -> the contract's, of a dense layer."""

FUNCTIONS: Mapping[str, str] = MappingProxyType(
    {
        "tanh": "tanh({})",
        "sigmoid": "σ({})",
        "hard_sigmoid": "hard_sigmoid({})",
        "relu": "relu({})",
        "linear": "{}",
        "softplus": "softplus({})",
        "softsign": "softsign({})",
        "elu": "elu({})",
        "selu": "selu({})",
        "silu": "silu({})",
        "swish": "silu({})",
        "gelu": "gelu({})",
        "hard_tanh": "hard_tanh({})",
        "leaky_relu": leaky(Decimal("0.2")),
        "relu6": "6 hard_sigmoid({} - 3)",
        "exponential": "exp({})",
        "mish": "{} ∘ tanh(softplus({}))",
    }
)
"""Keras's name -> the function of a recurrent layer, as ``equations`` writes it."""

FUNCTION_KEYS = ("activation", "recurrent_activation", "inner_activation")
OLD_HARD = (Decimal("0.2"), Decimal("0.5"))
"""hard_sigmoid before Keras 3 is 0.2 a + 0.5 between 0 and 1, from then on a/6 + 1/2."""

DEFINES: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "rnn": {"activation": "h"},
        "gru": {"activation": "n", "recurrent_activation": "rz"},
        "lstm": {"activation": "gh", "recurrent_activation": "ifo"},
    }
)
"""cell -> which of its equations end in which function"""

CELLS: Mapping[str, str] = MappingProxyType(
    {
        "SimpleRNN": "rnn",
        "GRU": "gru",
        "LSTM": "lstm",
        "CuDNNGRU": "gru",
        "CuDNNLSTM": "lstm",
        "SimpleRNNCell": "rnn",
        "GRUCell": "gru",
        "LSTMCell": "lstm",
    }
)
"""class -> the contract's cell"""


MOST_AROUND = 20
"""Models within models."""


class Said(NamedTuple):
    """What the configuration says of one layer; ``reverse``: it reads its inputs from the end."""

    class_name: str
    config: Mapping[str, Any]

    @property
    def reverse(self) -> bool:
        """Whether the layer runs backward in time."""
        return self.config.get("go_backwards") is True


def said(store: Store) -> dict[tuple[str, ...], Said]:
    """The names around a layer and its own, or its own alone -> what is said of it; empty where the
    file has no configuration."""
    text = store.texts.get(CONFIG)
    if text is None:
        return {}
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        words = f"its configuration is no JSON: {cut(str(error), 80)}"
        raise ModelFileError(f"{store.name}: {words}") from None
    found: dict[tuple[str, ...], Said] = {}
    twice: set[tuple[str, ...]] = set()
    for names, layer in _layers(config):
        for chain in {names, names[-1:]}:
            if chain in found and not alike(found[chain], layer):
                twice.add(chain)
            found[chain] = layer
    return {chain: layer for chain, layer in found.items() if chain not in twice}


def alike(one: Said, other: Said) -> bool:
    keys = (*FUNCTION_KEYS, "reset_after", "go_backwards")
    return one.class_name == other.class_name and all(
        one.config.get(key) == other.config.get(key) for key in keys
    )


def _layers(config: Any) -> Iterator[tuple[tuple[str, ...], Said]]:
    """Every {class_name, config: {name}} in nested mappings and lists, without recursion."""
    waiting: list[tuple[Any, tuple[str, ...]]] = [(config, ())]
    while waiting:
        item, around = waiting.pop()
        if isinstance(item, dict):
            inner, class_name = item.get("config"), item.get("class_name")
            if isinstance(inner, dict) and isinstance(class_name, str):
                name = inner.get("name")
                if isinstance(name, str):
                    around = (*around, name)[-MOST_AROUND:]
                    yield around, Said(class_name.rpartition(">")[2], inner)
            waiting.extend((value, around) for value in item.values())
        elif isinstance(item, list):
            waiting.extend((value, around) for value in item)


def activation_word(value: Any) -> str:
    """``"tanh"``, also where it is written as a serialised function."""
    if isinstance(value, dict):
        inner = value.get("config")
        value = inner if isinstance(inner, str) else value.get("class_name")
    return value if isinstance(value, str) else "of its own making"


def functions(
    layer: Said | None, cell: str, place: str, version: str | None
) -> dict[str, str] | None:
    """The functions of the cell's equations by the names that these define, None where the file
    does not say. Raises ModelFileError for one that no equation here can have."""
    if layer is None or "activation" not in layer.config:
        return None
    gates = layer.config.get("inner_activation", "sigmoid")  # what Keras 1 called it
    words = {
        "activation": layer.config["activation"],
        "recurrent_activation": layer.config.get("recurrent_activation", gates),
    }
    found: dict[str, str] = {}
    for key, names in DEFINES[cell].items():
        word = activation_word(words[key])
        if word not in FUNCTIONS:
            raise ModelFileError(
                f"{place} has {key} {cut(word)}, must be {listed(FUNCTIONS, 'or')}"
            )
        old = word == "hard_sigmoid" and before_3(version)
        found |= dict.fromkeys(names, clipped(*OLD_HARD) if old else FUNCTIONS[word])
    return found


def before_3(version: str | None) -> bool:
    """Whether a file is of Keras 1 or 2; the first ones did not say."""
    return version is None or version.partition(".")[0] in ("0", "1", "2")
