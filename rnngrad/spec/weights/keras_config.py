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
from types import MappingProxyType
from typing import Any, NamedTuple

from rnngrad.spec.text import cut, listed
from rnngrad.spec.weights.hdf5_file import CONFIG
from rnngrad.spec.weights.records import ModelFileError, Store

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
"""Keras's name -> the contract's; softmax is an output activation only."""

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
    keys = ("activation", "recurrent_activation", "reset_after", "go_backwards")
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


def activation(layer: Said | None, cell: str, place: str) -> str | None:
    """The hidden activation as the contract names it, None where the file does not say.

    Raises ModelFileError for what the contract's cell has not.
    """
    if layer is None or "activation" not in layer.config:
        return None
    word = activation_word(layer.config["activation"])
    if cell == "rnn":
        known = [name for name in ACTIVATIONS if name != "softmax"]
        if word not in known:
            raise ModelFileError(
                f"{place} has activation {cut(word)}, must be {listed(known, 'or')}"
            )
        return ACTIVATIONS[word]
    gates = activation_word(layer.config.get("recurrent_activation", "sigmoid"))
    for key, found, wanted in (
        ("activation", word, "tanh"),
        ("recurrent_activation", gates, "sigmoid"),
    ):
        if found != wanted:
            words = f"has {key} {cut(found)}; rnngrad's {cell} has {wanted}"
            raise ModelFileError(f"{place} {words}")
    return None
