"""Where a Keras file keeps its cells and dense layers, and what they are called.

    Keras 3    layers/lstm/cell/vars/0, 1, 2              kernel, recurrent_kernel, bias
    before     lstm/lstm/lstm_cell/kernel:0, recurrent_kernel:0, bias:0

A layer's path is its group without the steps of the cell inside it (``cell``, and of several in a
stack ``cell/cells/gru_cell_1``), and without ``forward_…`` and ``backward_…``, the two halves of a
bidirectional layer. A cell that is a layer itself, or an item of somebody's list, is its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from rnngrad.files.models.keras.hdf5_file import NAMED
from rnngrad.files.models.records import Store

_OLD = re.compile(r"(?P<group>.*?)/?(?P<part>recurrent_kernel|kernel|bias)(?::0)?", re.DOTALL)
_NEW = re.compile(r"(?P<group>.*?)/?vars/(?P<part>[0-9]+)", re.DOTALL)
PLAIN = re.compile(r"(simple_rnn|gru|lstm)_cell(_\d+)?")
"""What Keras calls its own cells."""
_CELL = re.compile(r"cells?|stacked_rnn_cells(_\d+)?|\w*(rnn|gru|lstm)_cell(_\d+)?")
_STACK = re.compile(r"stacked_rnn_cells(_\d+)?")
_HALF = re.compile(r"(?P<way>forward|backward)(_\w+)?")
_PARTS = ("kernel", "recurrent_kernel", "bias")


class Unit(NamedTuple):
    """One cell's arrays: their keys by part, the layer they are in, and the way it runs."""

    group: str
    layer: str
    way: str
    parts: Mapping[str, str]


def groups_of(store: Store) -> dict[str, dict[str, str]]:
    """group -> part -> key, for the arrays that are called like a layer's."""
    groups: dict[str, dict[str, str]] = {}
    for key in store.arrays:
        old, new = _OLD.fullmatch(key), _NEW.fullmatch(key)
        if new is not None:
            part = int(new["part"])
            name = _PARTS[part] if part < len(_PARTS) else f"more {part}"
            groups.setdefault(new["group"], {})[name] = key
        elif old is not None:
            groups.setdefault(old["group"], {})[old["part"]] = key
    for parts in groups.values():
        if "recurrent_kernel" in parts and len(store.arrays[parts["recurrent_kernel"]].shape) == 1:
            parts["bias"] = parts.pop("recurrent_kernel")  # vars/1 of a dense layer is its bias
    return groups


def is_cell(store: Store, group: str, parts: Mapping[str, str]) -> bool:
    """Whether a group is a cell: by its arrays' names, or by its own."""
    if "recurrent_kernel" not in parts or "kernel" not in parts:
        return False
    last = group.rpartition("/")[2]
    named = store.texts.get(f"{NAMED}{group}/vars", "")
    plain = len(store.arrays[parts["kernel"]].shape) == 2
    cell = _CELL.fullmatch(last) or _CELL.fullmatch(named)
    return plain and (not parts["kernel"].endswith("vars/0") or cell is not None)


def unit_of(store: Store, group: str, parts: Mapping[str, str]) -> Unit:
    """``layers/bidirectional/forward_layer/cell`` -> the layer's path and its way."""
    steps = group.split("/")
    new = "vars/" in parts["kernel"]
    steps = _without_cell(store, steps) if new else _without_cells(steps)
    half = _HALF.fullmatch(steps[-1]) if len(steps) > 1 else None
    if half is not None:
        steps.pop()
    return Unit(group, "/".join(steps), half["way"] if half else "", parts)


def _without_cell(store: Store, steps: list[str]) -> list[str]:
    """Keras 3 calls the cell of a layer ``cell``, those of a stack ``cells``."""
    if len(steps) > 2 and steps[-2] == "cells":
        stack = steps[:-2]
        given = store.texts.get(f"{NAMED}{'/'.join(stack)}/vars", "")
        if stack[-1] == "cell" or any(map(_STACK.fullmatch, (stack[-1], given))):
            steps = stack
    return steps[:-1] if steps[-1] == "cell" and len(steps) > 1 else steps


def _without_cells(steps: list[str]) -> list[str]:
    """Before, the layer's own step came first, whatever it is called."""
    first = 2 if steps[0] == "model_weights" else 1
    while len(steps) > first and _CELL.fullmatch(steps[-1]):
        steps = steps[:-1]
    return steps


def names_of(store: Store, path: str) -> tuple[str, ...]:
    """What a layer is called besides its path: the name it was given, and its last step."""
    given = store.texts.get(f"{NAMED}{path}/vars")
    return tuple(dict.fromkeys(name for name in (given, path.rpartition("/")[2]) if name))


def chain_of(store: Store, path: str) -> tuple[str, ...]:
    """The names that the model and each layer around ``path`` were given, its own last."""
    steps = path.split("/")
    paths = ("/".join((*steps[:n], "vars")) for n in range(len(steps) + 1))
    return tuple(store.texts[NAMED + each] for each in paths if NAMED + each in store.texts)


def strangers(store: Store, unit: Unit, units: list[Unit], around: set[str]) -> list[str]:
    """The arrays in a cell that are not its weights, and those in its layer that are no cell's.

    ``around`` holds those of dense layers. Dropout keeps the state of its random numbers there.
    """
    own = {unit.parts[part] for part in _PARTS if part in unit.parts}
    cells = {key for each in units for key in each.parts.values()} | around
    return [
        key
        for key in store.arrays
        if key not in own
        and "seed_generator" not in key
        and (
            key.startswith(f"{unit.group}/")
            or (key.startswith(f"{unit.layer}/") and key not in cells)
        )
    ]


def short(path: str, paths: list[str]) -> str:
    """The layer's name instead of ``lstm/sequential/lstm``, where no other is called so."""
    last = path.rpartition("/")[2]
    alone = sum(other.rpartition("/")[2] == last for other in paths) == 1
    return last if alone and path.count("/") and not path.startswith("layers/") else path
