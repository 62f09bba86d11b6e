"""ONNX models as graphs with their constants. Nothing is run.

A constant is an initialiser, a Constant node's tensor, or what an Identity node passes on of
either. Large models keep them in a file beside (external data): it is read where it lies in the
model's own folder, and never beyond its size.

Source: ONNX intermediate representation; onnx.external_data_helper.

Weights that a graph puts together from its constants: cut, joined, turned, never calculated.

PyTorch's exporter writes the gates' new order as nodes where nothing folds them into constants:

    weight_ih -> Slice × 4 -> Concat -> Unsqueeze -> W of the LSTM

Only operators that move numbers are followed, so that no more comes out than went in, but for what
several Concat repeat: that may take 16 times the model's own numbers.

Source: ONNX operators Slice-13, Concat-13, Unsqueeze-13, Squeeze-13, Transpose-13, Cast-13.
"""

from __future__ import annotations

import os
from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rnngrad.files.arrays.numpy_files import Numbers, refuse_unreadable
from rnngrad.files.models.opening import needed
from rnngrad.files.models.records import ModelFileError, Store, Stored
from rnngrad.files.opening import contents
from rnngrad.files.text import cut, shown

KINDS: Mapping[int, tuple[str, float]] = {
    1: ("float32", 2.0**-23),
    10: ("float16", 2.0**-10),
    11: ("float64", 2.0**-52),
    16: ("bfloat16", 2.0**-7),
}
"""TensorProto.DataType -> its name and unit of rounding; all others count as exact."""

LARGEST = 2**31 - 1
"""Bytes of a message of protobuf; larger models keep their numbers beside them."""

MOST_DEPTH = 20
"""Subgraphs within subgraphs."""


class Node(NamedTuple):
    """A node of any graph of the model; what it sees by name: constants' keys, and other nodes."""

    proto: Any
    constants: Mapping[str, str]
    makers: Mapping[str, Any]


class Graph(NamedTuple):
    """All nodes, and the constants as a store; a name in a subgraph may hide one outside.

    ``outputs`` are those of all graphs; ``shapes`` what the file says of the lengths of arrays that
    are no constants, where it gives all of them as numbers.
    """

    nodes: tuple[Node, ...]
    store: Store
    outputs: frozenset[str] = frozenset()
    shapes: Mapping[str, tuple[int, ...]] = {}


def open_onnx(path: Path, name: str) -> Graph:
    """The nodes and constants of a model; raises ModelFileError."""
    onnx = needed("onnx", name)
    model = onnx.ModelProto()
    try:
        model.ParseFromString(contents(os.fspath(path), LARGEST + 1, _look(name)))
    except Exception as error:  # protobuf's DecodeError derives from Exception alone
        if type(error).__name__ != "DecodeError":
            raise
        raise ModelFileError(
            f"{name} is damaged, or no ONNX model: {cut(str(error), 80)}"
        ) from None
    if not model.graph.node and not model.graph.initializer:
        raise ModelFileError(f"{name} holds no graph, so it is no ONNX model")
    arrays: dict[str, Stored] = {}
    nodes = tuple(_walk(model.graph, _Seen(ChainMap(), ChainMap()), arrays, _Place(path, name), 0))
    graphs = [model.graph, *(a.g for n in nodes for a in n.proto.attribute if a.HasField("g"))]
    outputs = frozenset(value.name for graph in graphs for value in graph.output)
    return Graph(nodes, Store(name, arrays), outputs, _shapes(model.graph))


def _look(name: str) -> Callable[[bytes], None]:
    def look(head: bytes) -> None:
        if head[:1] in (b"", b"\0"):  # no field has the number 0
            raise ModelFileError(f"{name} is damaged, or no ONNX model: it begins otherwise")

    return look


def _shapes(graph: Any) -> dict[str, tuple[int, ...]]:
    """The shapes that a graph states in full."""
    found = {}
    for value in (*graph.input, *graph.value_info):
        axes = value.type.tensor_type.shape.dim
        if axes and all(axis.dim_value > 0 for axis in axes):
            found[value.name] = tuple(axis.dim_value for axis in axes)
    return found


class _Seen(NamedTuple):
    """What a graph sees of the graphs around it."""

    constants: ChainMap[str, str]
    makers: ChainMap[str, Any]


class _Place(NamedTuple):
    path: Path
    name: str


def _walk(
    graph: Any, outside: _Seen, arrays: dict[str, Stored], place: _Place, depth: int
) -> Iterator[Node]:
    """Every node of a graph and of the graphs inside it, each with the constants it sees."""
    if depth > MOST_DEPTH:
        raise ModelFileError(f"{place.name} nests more than {MOST_DEPTH} graphs")
    _refuse_unnamed(graph, place)
    constants = outside.constants.new_child()
    makers = outside.makers.new_child({name: n for n in graph.node for name in n.output})
    for tensor in graph.initializer:
        constants[tensor.name] = _add(arrays, tensor.name, tensor, place)
    for node in graph.node:
        if node.op_type == "Constant" and node.output:
            for attribute in node.attribute:
                if attribute.name == "value":
                    constants[node.output[0]] = _add(arrays, node.output[0], attribute.t, place)
        if node.op_type == "Identity" and node.input and node.input[0] in constants:
            constants[node.output[0]] = constants[node.input[0]]
    for node in graph.node:
        yield Node(node, constants, makers)
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _walk(attribute.g, _Seen(constants, makers), arrays, place, depth + 1)


def _refuse_unnamed(graph: Any, place: _Place) -> None:
    """Protobuf hands over as bytes what is no UTF-8: a name of such a kind is damage."""
    names = [tensor.name for tensor in graph.initializer]
    for node in graph.node:
        names += [node.name, node.op_type, node.domain, *node.input, *node.output]
    if not all(isinstance(name, str) for name in names):
        raise ModelFileError(f"{place.name} holds a name that is no text; it is damaged")


def _add(arrays: dict[str, Stored], name: str, tensor: Any, place: _Place) -> str:
    """The key under which a tensor is stored: its name, numbered where that is taken."""
    key, number = name, 1
    while key in arrays:
        number += 1
        key = f"{name}#{number}"
    dtype, eps = KINDS.get(tensor.data_type, (f"type {tensor.data_type}", 2.0**-52))

    def read() -> Numbers:
        return _numbers(tensor, place, f"{place.name}[{cut(key, 100)}]")

    arrays[key] = Stored(tuple(tensor.dims), dtype, read, eps)
    return key


def _numbers(tensor: Any, place: _Place, words: str) -> Numbers:
    onnx = needed("onnx", place.name)
    whole: Any = onnx.TensorProto()
    whole.CopyFrom(tensor)
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        whole.raw_data = _beside(tensor, place.path, words)
        whole.data_location = onnx.TensorProto.DEFAULT
    if any(length < 0 for length in tensor.dims):
        raise ModelFileError(f"{words} has a negative length in its shape")
    try:
        array: Numbers = np.asarray(onnx.numpy_helper.to_array(whole))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ModelFileError(f"{words} is damaged: {cut(str(error), 80)}") from None
    return array.astype(np.float32) if tensor.data_type == 16 else array


def attributes(node: Any) -> dict[str, Any]:
    """name -> value, of the kinds that recurrent nodes and Gemm have."""
    found: dict[str, Any] = {}
    for item in node.attribute:
        by_type = {1: item.f, 2: item.i, 3: item.s, 6: item.floats, 7: item.ints, 8: item.strings}
        found[item.name] = by_type.get(item.type)
    return found


def _beside(tensor: Any, path: Path, words: str) -> bytes:
    """The bytes of a tensor in another file of the model's own folder."""
    said: dict[str, str] = {entry.key: entry.value for entry in tensor.external_data}
    location = said.get("location", "")
    other = path.parent / location
    if not location or Path(location).is_absolute() or ".." in Path(location).parts:
        raise ModelFileError(f"{words} lies in {shown(location)}, which is not beside the model")
    refuse_unreadable(other, cut(location, 60), ())
    if path.parent.resolve() not in other.resolve().parents:
        raise ModelFileError(f"{words} lies in {shown(location)}, which is not beside the model")
    size, begin = other.stat().st_size, int(said.get("offset", 0))
    length = int(said.get("length", size - begin))
    if begin < 0 or length < 0 or begin + length > size:
        held = f"bytes {begin} to {begin + length} of {shown(location)}, which has {size}"
        raise ModelFileError(f"{words} lies in {held}")
    with other.open("rb") as stream:
        stream.seek(begin)
        return stream.read(length)


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
