"""A Keras cell's arrays -> a layer: checked, transposed, in the contract's order of gates.

CuDNNLSTM and CuDNNGRU store both biases in one row of 2G·H, each gate's block of the kernel is the
(H, I) matrix in the shape (I, H), and the recurrent block is the (H, H) matrix as it is.

Source: tf_keras ``saving/legacy/hdf5_format.py``, ``_convert_rnn_weights``.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from rnngrad.arithmetic.arrays import Array
from rnngrad.files.models.gates import BY_GATES, RESET_BEFORE, layer, reset_before, sides
from rnngrad.files.models.keras_groups import Unit
from rnngrad.files.models.records import Layer, Store

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
