"""Weights that a graph puts together from its constants: cut, joined, turned, never calculated.

PyTorch's exporter writes the gates' new order as nodes where nothing folds them into constants:

    weight_ih -> Slice × 4 -> Concat -> Unsqueeze -> W of the LSTM

Only operators that move numbers are followed, so that no more comes out than went in, but for what
several Concat repeat: that may take 16 times the model's own numbers.

Source: ONNX operators Slice-13, Concat-13, Unsqueeze-13, Squeeze-13, Transpose-13, Cast-13.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import numpy as np

from rnngrad.files.models.onnx_file import Node, attributes
from rnngrad.files.models.records import Store
from rnngrad.files.npy import Numbers

Fold = Callable[[list[Any], Mapping[str, Any]], Numbers]
"""(inputs, None where one is left out; attributes) -> the output"""

MOST_STEPS = 100
"""Operators between a constant and the weight."""

TYPES = {1: np.float32, 10: np.float16, 11: np.float64}
"""TensorProto.DataType that a Cast may ask for."""


def _slice(inputs: list[Any], said: Mapping[str, Any]) -> Numbers:
    """data, starts, ends, axes, steps: ends beyond the last stand for the last, as in NumPy."""
    data, starts, ends, *more = inputs
    axes = more[0] if more and more[0] is not None else range(len(starts))
    steps = more[1] if len(more) > 1 and more[1] is not None else [1] * len(starts)
    index = [slice(None)] * data.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        end = None if step < 0 and end < -data.shape[axis] else int(end)
        index[axis] = slice(int(start), end, int(step))
    found: Numbers = data[tuple(index)]
    return found


def _axes(inputs: list[Any], said: Mapping[str, Any]) -> tuple[int, ...]:
    """The axes of Squeeze and Unsqueeze: an input since opset 13, an attribute before."""
    axes = inputs[1] if len(inputs) > 1 and inputs[1] is not None else said.get("axes", ())
    return tuple(int(axis) for axis in axes)


def _squeeze(inputs: list[Any], said: Mapping[str, Any]) -> Numbers:
    found: Numbers = np.squeeze(inputs[0], _axes(inputs, said) or None)
    return found


def _concat(inputs: list[Any], said: Mapping[str, Any]) -> Numbers:
    return np.concatenate(inputs, axis=int(said["axis"]))


def _transpose(inputs: list[Any], said: Mapping[str, Any]) -> Numbers:
    found: Numbers = np.transpose(inputs[0], said.get("perm"))
    return found


def _cast(inputs: list[Any], said: Mapping[str, Any]) -> Numbers:
    with np.errstate(all="ignore"):  # what overflows is not finite, and refused as such
        found: Numbers = inputs[0].astype(TYPES[said["to"]])
    return found


FOLDS: Mapping[str, Fold] = {
    "Slice": _slice,
    "Concat": _concat,
    "Squeeze": _squeeze,
    "Unsqueeze": lambda inputs, said: np.expand_dims(inputs[0], _axes(inputs, said)),
    "Transpose": _transpose,
    "Identity": lambda inputs, said: inputs[0],
    "Cast": _cast,
}
"""operator -> what it does to constants; the one place to add one"""


def folded(store: Store, node: Node, name: str) -> Numbers | None:
    """The value of ``name`` in ``node``'s graph, None where it depends on more than constants.

    Raises ModelFileError where it grows beyond measure, and what NumPy raises where it is damaged.
    """
    limit = 16 * 8 * sum(prod(stored.shape) for stored in store.arrays.values())
    known: dict[str, Numbers | None] = {"": None}
    waiting = [name]
    for _ in range(MOST_STEPS * 10):
        if not waiting:
            return known[name]
        wanted = waiting[-1]
        ready = _value(store, node, wanted, known)
        if isinstance(ready, list):
            waiting += ready
            continue
        if ready is not None and ready.nbytes > limit:
            raise store.refuse(wanted, f"grows to {ready.nbytes} bytes; it is hostile")
        known[waiting.pop()] = ready
    raise store.refuse(name, f"takes more than {MOST_STEPS} operators from its constants")


def _value(
    store: Store, node: Node, name: str, known: Mapping[str, Numbers | None]
) -> Numbers | list[str] | None:
    """The value of a name, or the names that it waits for."""
    if name in known:
        return known[name]
    if name in node.constants:
        return store.arrays[node.constants[name]].read()
    maker = node.makers.get(name)
    if maker is None or maker.op_type not in FOLDS:
        return None
    missing = [each for each in maker.input if each not in known]
    if missing:
        return missing
    if any(known[each] is None for each in maker.input if each):
        return None
    return FOLDS[maker.op_type]([known[each] for each in maker.input], attributes(maker))
