"""Keras's files: .weights.h5 and .keras (Keras 3), and the HDF5 of Keras 1 and 2.

Keras multiplies from the left, so kernels are transposed: kernel (I, G·H), recurrent_kernel
(H, G·H). Gates stand in the order z, r, h (gru) and i, f, c, o (lstm).

A gru's bias tells its equation: (2, 3H) is ``reset_after`` (the contract's), (3H,) applies r before
the product, h̃ = tanh(W x + U (r * h) + b): gru_reset_before. Without a bias the configuration
tells, as it does of other functions, which make equations of their own.

Sources: keras.layers.LSTM, GRU, SimpleRNN.

A Keras cell's arrays -> a layer: checked, transposed, in the contract's order of gates.

CuDNNLSTM and CuDNNGRU store both biases in one row of 2G·H, each gate's block of the kernel is the
(H, I) matrix in the shape (I, H), and the recurrent block is the (H, H) matrix as it is.

Source: tf_keras ``saving/legacy/hdf5_format.py``, ``_convert_rnn_weights``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from rnngrad.arithmetic.arrays import Array
from rnngrad.files.models.equations import Net, with_functions
from rnngrad.files.models.gates import (
    BY_GATES,
    RESET_BEFORE,
    by_equations,
    layer,
    reset_before,
    stacked,
)
from rnngrad.files.models.keras.configuration import (
    ACTIVATIONS,
    FUNCTION_KEYS,
    Said,
    activation_word,
    alike,
    functions,
    said,
)
from rnngrad.files.models.keras.configuration import CELLS as CLASSES
from rnngrad.files.models.keras.groups import (
    PLAIN,
    Unit,
    chain_of,
    groups_of,
    is_cell,
    names_of,
    short,
    strangers,
    unit_of,
)
from rnngrad.files.models.keras.hdf5_file import NAMED, VERSION
from rnngrad.files.models.records import (
    BACKWARD,
    Contents,
    Dense,
    Ends,
    Found,
    Layer,
    ModelFileError,
    Refused,
    Store,
    ends,
)
from rnngrad.files.text import cut, several, shown, sides


def read_keras(store: Store) -> Contents:
    """The nets of a Keras file."""
    keys = tuple(store.arrays)
    store = store.without_optimizer()
    config = said(store)
    found: list[Found] = []
    refused: list[Refused] = []
    groups = groups_of(store)
    units = [
        unit_of(store, group, parts)
        for group, parts in groups.items()
        if is_cell(store, group, parts)
    ]
    names = {unit.layer: names_of(store, unit.layer) for unit in units}
    others = {
        group: parts for group, parts in groups.items() if group not in {u.group for u in units}
    }
    for path, aliases in names.items():
        members = [unit for unit in units if unit.layer == path]
        key = short(path, list(names))
        try:
            _refuse_more(store, key, members, units, others)
            found += _nets(store, key, aliases, members, _said_of(config, store, path))
        except ModelFileError as error:
            refused.append(Refused(key, str(error), aliases))
    met = ends(found)
    dense = [
        each for group, parts in others.items() for each in _dense(store, group, parts, met, config)
    ]
    return Contents(
        store.name, "keras", tuple(found), tuple(dense), keys, tuple(refused), order=_order(config)
    )


def _refuse_more(
    store: Store,
    key: str,
    members: list[Unit],
    units: list[Unit],
    others: Mapping[str, Mapping[str, str]],
) -> None:
    """A layer that holds more than its cells' weights, or a cell within another cell."""
    widths = (store.arrays[unit.parts["recurrent_kernel"]].shape[0] for unit in members)
    met = Ends(frozenset(widths))
    around = {
        each for parts in others.values() if _is_dense(store, parts, met) for each in parts.values()
    }
    more = {each: None for unit in members for each in strangers(store, unit, units, around)}
    if more:
        words = f"holds beside its weights {several(more)}; rnngrad does not know what they do"
        raise store.refuse(key, f"{words}, and the net's equation may be another")
    if any("cell" in unit.group.split("/")[:-1] and unit.layer == unit.group for unit in members):
        raise store.refuse(key, "is a cell inside another cell, whose equation is not known")


def _said_of(config: Mapping[tuple[str, ...], Said], store: Store, path: str) -> Said | None:
    """What the configuration says of a layer: by the names around it, then by its own."""
    if f"{NAMED}{path}/vars" in store.texts:
        given = chain_of(store, path)
        chains = [given, given[-1:]]
    else:
        chains = [(name,) for name in (path.rpartition("/")[2], *path.split("/")[:2])]
    return next((config[chain] for chain in chains if chain in config), None)


def _nets(
    store: Store, key: str, names: tuple[str, ...], units: list[Unit], layer: Said | None
) -> list[Found]:
    """The net of a layer: one cell, several stacked ones, or a bidirectional layer's two."""
    ways = sorted({unit.way for unit in units}, key=("", "forward", "backward").index)
    mode = "concat" if layer is None else layer.config.get("merge_mode", "concat")
    apart = "" if mode == "concat" or not ways[0] else f"merge_mode is {cut(str(mode), 20)}"
    return [
        _net(
            store, key, names, [u for u in units if u.way == way], way, _inner(layer, way)
        )._replace(apart=None if layer is None else apart)
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
    named = functions(told, cell, place, store.texts.get(VERSION))
    assumed = _assumed(store, units, cell, told)
    cell = RESET_BEFORE if cell == "gru" and _before(store, units[0], told) else cell
    net = Net(cell) if named is None else with_functions(cell, named)
    reverse = way == "backward" or (told is not None and told.reverse)
    if reverse:
        assumed.append(BACKWARD)
    layers = tuple(layer_of(store, cell, unit) for unit in units)
    if net.own is not None and cell in ("gru", "lstm"):
        layers = tuple(by_equations(each, cell) for each in layers)
    return Found(
        key,
        net.name,
        stacked(layers, place),
        net.activation,
        store.arrays[units[0].parts["recurrent_kernel"]].dtype,
        tuple(assumed),
        "reverse" if reverse else "forward" if way else None,
        bool(way),
        tuple(dict.fromkeys(name for name in (*names, units[0].layer) if name != key)),
        own=net.own,
        last=told is not None and told.config.get("return_sequences") is False,
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
    if told is None and cell == "gru" and any("bias" not in unit.parts for unit in units):
        assumed.append("reset_after, Keras's default: without a bias the file does not say")
    if told is not None and VERSION not in store.texts:
        words = [activation_word(told.config.get(key)) for key in FUNCTION_KEYS]
        if "hard_sigmoid" in words:
            assumed.append("hard_sigmoid of Keras before 3, 0.2 a + 0.5: the file has no version")
    return assumed


def _before(store: Store, unit: Unit, told: Said | None) -> bool:
    """Whether the reset gate of a GRU acts before the product: Keras without the option did so."""
    if "bias" in unit.parts:
        biases = store.arrays[unit.parts["bias"]].shape
        before = biases == store.arrays[unit.parts["recurrent_kernel"]].shape[1:]
        if before and told is not None and told.config.get("reset_after") is True:
            words = "is of a GRU with reset_after=False, but the configuration says True"
            raise store.refuse(unit.parts["bias"], words)
        return before
    return told is not None and told.config.get("reset_after") is not True


# ---------------------------------------------------------------------------- read-outs


def _is_dense(store: Store, parts: Mapping[str, str], met: Ends) -> bool:
    """Whether a group is a dense layer that meets a net: a kernel (H, O), a bias (O,) or none."""
    if not {"kernel"} <= set(parts) <= {"kernel", "bias"}:
        return False
    shape = store.arrays[parts["kernel"]].shape
    if len(shape) != 2 or 0 in shape or not met.meets(*shape[::-1]):
        return False
    return "bias" not in parts or store.arrays[parts["bias"]].shape == shape[1:]


def _dense(
    store: Store,
    group: str,
    parts: Mapping[str, str],
    met: Ends,
    config: Mapping[tuple[str, ...], Said],
) -> list[Dense]:
    """A dense layer that fits behind a net, or before it, its numbers finite."""
    if not _is_dense(store, parts, met) or "embedding" in group:
        return []
    key, bias = parts["kernel"], parts.get("bias")
    names = names_of(store, group)
    told = _said_of(config, store, group)
    function = ACTIVATIONS.get(activation_word(told.config.get("activation"))) if told else None
    try:
        W, b = store.real(key).T, None if bias is None else store.real(bias)
    except ModelFileError:
        return []
    return [Dense(names[0] if names else group, W, b, function, f"{key}.T", bias)]


def _order(config: Mapping[tuple[str, ...], Said]) -> tuple[str, ...]:
    """The layers' names as the model has them: the configuration is read from its end."""
    return tuple(chain[-1] for chain in reversed(tuple(config)) if len(chain) == 1)


ORDERS: Mapping[str, str] = {"rnn": "h", "gru": "zrn", "lstm": "ifgo"}
"""cell -> Keras's order of gates, by the contract's letters (Keras's c is g)."""


def cell_of(store: Store, unit: Unit) -> str:
    """rnn, gru or lstm, by the columns of the recurrent kernel: 1, 3 or 4 times its rows."""
    key = unit.parts["recurrent_kernel"]
    shape = store.arrays[key].shape
    if len(shape) != 2 or 0 in shape or shape[1] % shape[0] or shape[1] // shape[0] not in BY_GATES:
        words = "must be H×H (SimpleRNN), H×3H (GRU) or H×4H (LSTM)"
        raise store.refuse(key, f"is {sides(shape)}, {words}")
    return BY_GATES[shape[1] // shape[0]]


def layer_of(store: Store, cell: str, unit: Unit) -> Layer:
    """The arrays of a cell, checked, transposed and in the contract's order."""
    key, recurrent_key = unit.parts["kernel"], unit.parts["recurrent_kernel"]
    if cell_of(store, unit) != cell.partition("_")[0]:
        raise store.refuse(recurrent_key, f"is no {cell} as the layer below is; all must be")
    hidden, columns = store.arrays[recurrent_key].shape
    shape = store.arrays[key].shape
    if len(shape) != 2 or shape[1] != columns or not shape[0]:
        words = f"is {sides(shape)}, must be I×{columns} as {recurrent_key} is {hidden}×{columns}"
        raise store.refuse(key, words)
    bias = unit.parts.get("bias")
    biases = None if bias is None else store.arrays[bias].shape
    if bias is not None and biases == (2 * columns,) and cell != "rnn":
        return _cudnn(store, cell, unit, hidden)
    W = (store.real(key).T, store.real(recurrent_key).T)
    b = None if bias is None else _biases(store, cell, bias, columns)
    if cell == RESET_BEFORE:
        return reset_before(layer("gru", ORDERS["gru"], W, b))
    return layer(cell, ORDERS[cell], W, b)


def _biases(store: Store, cell: str, key: str, columns: int) -> tuple[Array, Array]:
    shape = store.arrays[key].shape
    wanted = (2, columns) if cell == "gru" else (columns,)
    if shape != wanted:
        raise store.refuse(key, f"is {sides(shape)}, must be {sides(wanted)}")
    values = store.real(key)
    return (values[0], values[1]) if cell == "gru" else (values, np.zeros(columns))


def _cudnn(store: Store, cell: str, unit: Unit, hidden: int) -> Layer:
    """CuDNNLSTM, CuDNNGRU: for each gate the kernel's block read as (H, I), U's as it stands."""
    gates = len(ORDERS[cell])
    blocks = np.split(store.real(unit.parts["kernel"]), gates, axis=1)
    W_ih = np.concatenate([np.ascontiguousarray(block).reshape(hidden, -1) for block in blocks])
    W_hh = np.concatenate(np.split(store.real(unit.parts["recurrent_kernel"]), gates, axis=1))
    b_ih, b_hh = np.split(store.real(unit.parts["bias"]), 2)
    return layer(cell, ORDERS[cell], (W_ih, W_hh), (b_ih, b_hh))
