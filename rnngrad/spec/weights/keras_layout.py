"""Keras's files: .weights.h5 and .keras (Keras 3), and the HDF5 of Keras 1 and 2.

Keras multiplies from the left, so kernels are transposed: kernel (I, G·H), recurrent_kernel
(H, G·H). Gates stand in the order z, r, h (gru) and i, f, c, o (lstm).

A gru's bias tells its equation: (2, 3H) is ``reset_after`` (the contract's), (3H,) applies r before
the product, h̃ = tanh(W x + U (r * h) + b), another net.

Sources: keras.layers.LSTM, GRU, SimpleRNN.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from rnngrad.spec.text import shown
from rnngrad.spec.weights.gates import stacked
from rnngrad.spec.weights.hdf5_file import NAMED
from rnngrad.spec.weights.keras_arrays import RESET_BEFORE, cell_of, layer_of
from rnngrad.spec.weights.keras_config import (
    ACTIVATIONS,
    Said,
    activation,
    activation_word,
    alike,
    said,
)
from rnngrad.spec.weights.keras_config import CELLS as CLASSES
from rnngrad.spec.weights.keras_groups import (
    PLAIN,
    Unit,
    groups_of,
    is_cell,
    names_of,
    short,
    unit_of,
)
from rnngrad.spec.weights.records import (
    Contents,
    Dense,
    Found,
    ModelFileError,
    Refused,
    Store,
)


def read_keras(store: Store) -> Contents:
    """The nets of a Keras file."""
    config = said(store)
    found: list[Found] = []
    refused: list[Refused] = []
    groups = groups_of(store)
    units = [
        unit_of(group, parts) for group, parts in groups.items() if is_cell(store, group, parts)
    ]
    names = {unit.layer: names_of(store, unit.layer) for unit in units}
    for path, aliases in names.items():
        members = [unit for unit in units if unit.layer == path]
        key = short(path, list(names))
        try:
            found += _nets(store, key, aliases, members, _said_of(config, aliases))
        except ModelFileError as error:
            refused.append(Refused(key, str(error)))
    taken = {unit.group for unit in units}
    widths = {net.hidden for net in found}
    dense = [
        each
        for group, parts in groups.items()
        if group not in taken
        for each in _dense(store, group, parts, widths, config)
    ]
    keys = tuple(store.arrays)
    return Contents(store.name, "keras", tuple(found), tuple(dense), keys, tuple(refused))


def _said_of(config: Mapping[str, Said], names: tuple[str, ...]) -> Said | None:
    return next((config[name] for name in names if name in config), None)


def _nets(
    store: Store, key: str, names: tuple[str, ...], units: list[Unit], layer: Said | None
) -> list[Found]:
    """The net of a layer: one cell, several stacked ones, or a bidirectional layer's two."""
    ways = sorted({unit.way for unit in units}, key=("", "forward", "backward").index)
    return [
        _net(store, key, names, [u for u in units if u.way == way], way, _inner(layer, way))
        for way in ways
    ]


def _inner(layer: Said | None, way: str) -> Said | None:
    """What is said of a wrapped layer: Bidirectional's own half, RNN's cell."""
    inside = {"forward": "layer", "backward": "backward_layer"}.get(way, "cell")
    while layer is not None and layer.class_name in ("Bidirectional", "RNN", "StackedRNNCells"):
        outer = layer.config
        inner = outer.get(inside) or outer.get("cell") or outer.get("layer") or outer.get("cells")
        inner = _one_of(inner) if isinstance(inner, list) else inner
        if not isinstance(inner, dict) or not isinstance(inner.get("config"), dict):
            return None
        above = {"go_backwards": outer.get("go_backwards")}
        layer = Said(str(inner.get("class_name")), above | inner["config"])
    return layer


def _one_of(cells: list[Any]) -> Any:
    """What is said of all cells of a stack; nothing where they differ."""
    told = [
        cell for cell in cells if isinstance(cell, dict) and isinstance(cell.get("config"), dict)
    ]
    saids = [Said(str(cell.get("class_name")), cell["config"]) for cell in told]
    if not saids or len(saids) < len(cells):
        return None
    if not all(alike(saids[0], each) for each in saids):
        raise ModelFileError("the cells of a stack differ in class or activation")
    return told[0]


def _number(unit: Unit) -> int:
    match = re.search(r"_(\d+)$", unit.group)
    return int(match[1]) if match else 0


def _net(
    store: Store, key: str, names: tuple[str, ...], units: list[Unit], way: str, told: Said | None
) -> Found:
    units = sorted(units, key=_number)
    cell = cell_of(store, units[0])
    place = store.place(key)
    if told is not None and CLASSES.get(told.class_name, "?") != cell:
        raise ModelFileError(f"{place} is a {told.class_name}, none of SimpleRNN, GRU and LSTM")
    function = activation(told, cell, place)
    assumed = _assumed(store, units, cell, told)
    reverse = way == "backward" or (told is not None and told.reverse)
    if reverse:
        assumed.append("the net runs backward in time: give its inputs in reversed order")
    layers = tuple(layer_of(store, cell, unit) for unit in units)
    return Found(
        key,
        cell,
        stacked(layers, place),
        function,
        store.arrays[units[0].parts["recurrent_kernel"]].dtype,
        tuple(assumed),
        "reverse" if reverse else "forward" if way else None,
        bool(way),
        tuple(dict.fromkeys(name for name in (*names, units[0].layer) if name != key)),
    )


def _assumed(store: Store, units: list[Unit], cell: str, told: Said | None) -> list[str]:
    """What has to be taken for granted where the file has no configuration."""
    assumed = []
    if told is None and cell == "rnn":
        assumed.append("activation tanh, Keras's default: the file does not say")
    if told is None and cell != "rnn":
        assumed.append("activation tanh and recurrent_activation sigmoid: the file does not say")
    if told is None:
        named = (store.texts.get(f"{NAMED}{unit.group}/vars") for unit in units)
        own = [name for name in named if name is not None and not PLAIN.fullmatch(name)]
        assumed += [f"Keras's own cell: the file calls it {shown(name)}" for name in own]
    if cell == "gru" and any("bias" not in unit.parts for unit in units):
        if told is None:
            assumed.append("reset_after, Keras's default: without a bias the file does not say")
        elif told.config.get("reset_after") is not True:
            raise store.refuse(units[0].group, RESET_BEFORE)
    return assumed


# ---------------------------------------------------------------------------- read-outs


def _dense(
    store: Store,
    group: str,
    parts: Mapping[str, str],
    widths: set[int],
    config: Mapping[str, Said],
) -> list[Dense]:
    """A dense layer that fits behind a net: a kernel (H, O), finite, and a bias (O,) or none."""
    if not {"kernel"} <= set(parts) <= {"kernel", "bias"} or "embedding" in group:
        return []
    key, bias = parts["kernel"], parts.get("bias")
    shape = store.arrays[key].shape
    if len(shape) != 2 or shape[0] not in widths or not shape[1]:
        return []
    if bias is not None and store.arrays[bias].shape != shape[1:]:
        return []
    names = names_of(store, group)
    told = _said_of(config, names)
    function = ACTIVATIONS.get(activation_word(told.config.get("activation"))) if told else None
    try:
        W, b = store.real(key).T, None if bias is None else store.real(bias)
    except ModelFileError:
        return []
    return [Dense(names[0] if names else group, W, b, function, f"{key}.T", bias)]
