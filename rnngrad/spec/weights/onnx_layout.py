"""ONNX's recurrent nodes: RNN, GRU and LSTM, and the dense layers after them.

    W (D, G·H, I)   R (D, G·H, H)   B (D, 2G·H) = [W's biases, R's biases]   P (D, 3H): peepholes

D is 2 for a bidirectional node, else 1; W and R are stacked like PyTorch's, in the order z, r, h
(gru) or i, o, f, c (lstm). ``layout`` is about the data's axes alone, not these. A gru with
``linear_before_reset`` 0, the default, applies r before the product: another net than the
contract's.

Source: ONNX operators, RNN-22, GRU-22 and LSTM-22; Gemm-13, MatMul-13.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rnngrad.arithmetic.arrays import Array
from rnngrad.spec.text import cut, listed
from rnngrad.spec.weights.gates import layer, sides, stack_of
from rnngrad.spec.weights.onnx_dense import dense_layers
from rnngrad.spec.weights.onnx_file import Node, attributes, open_onnx
from rnngrad.spec.weights.onnx_folding import folded
from rnngrad.spec.weights.onnx_stacks import pairs, unrolled
from rnngrad.spec.weights.records import Contents, Found, ModelFileError, Refused, Store, finite


class Operator(NamedTuple):
    """A recurrent operator: the cell, its order of gates, and its default activations."""

    cell: str
    order: str
    activations: tuple[str, ...]


OPERATORS: Mapping[str, Operator] = {
    "RNN": Operator("rnn", "h", ("tanh",)),
    "GRU": Operator("gru", "zrn", ("sigmoid", "tanh")),
    "LSTM": Operator("lstm", "iofg", ("sigmoid", "tanh", "tanh")),
}

HIDDEN = ("tanh", "sigmoid", "relu", "softplus")
"""Activations of an RNN node that the contract has, in lower case: ONNX ignores the case."""

BACKWARD = "the net runs backward in time: give its inputs in reversed order"
UNROLLED = (
    "holds no RNN, GRU or LSTM node, but steps one by one that all multiply by {}: an nn.RNN that "
    "PyTorch's newer exporter unrolled; export it with torch.onnx.export(..., dynamo=False)"
)
RESET_BEFORE = (
    "has linear_before_reset=0: its reset gate acts before the matrix product, which is another "
    "net than rnngrad's gru; PyTorch and Keras (reset_after) export 1"
)


def read_onnx(path: Path, name: str) -> Contents:
    """The nets of an ONNX model."""
    graph = open_onnx(path, name)
    nodes = [
        (node, node.proto.name or next(filter(None, node.proto.output), f"node {number}"))
        for number, node in enumerate(graph.nodes)
        if node.proto.op_type in OPERATORS and node.proto.domain in ("", "ai.onnx")
    ]
    found: list[list[Found]] = []
    refused: list[Refused] = []
    for node, key in nodes:
        try:
            found.append(_nets(graph.store, node, key))
        except ModelFileError as error:
            found.append([])
            refused.append(Refused(key, str(error)))
    matrix = None if nodes else unrolled(graph)
    if matrix is not None:
        refused.append(Refused("", f"{name} {UNROLLED.format(cut(matrix, 60))}"))
    stacks, layers = _stacks(name, found, pairs(graph, [node for node, _ in nodes]))
    dense = dense_layers(graph, {net.hidden for net in (*stacks, *layers)})
    keys = tuple(graph.store.arrays)
    return Contents(name, "onnx", stacks, tuple(dense), keys, tuple(refused), layers)


def _stacks(
    name: str, found: list[list[Found]], above: Mapping[int, int]
) -> tuple[tuple[Found, ...], tuple[Found, ...]]:
    """The nets, those that stand upon each other as one; and the layers of these one by one."""
    nets: list[Found] = []
    layers: list[Found] = []
    uppers = set(above.values())
    for number in range(len(found)):
        if number in uppers:
            continue
        stack = [number]
        while stack[-1] in above:
            stack.append(above[stack[-1]])
        parts = [net for each in stack for net in found[each]]
        try:
            whole = all(len(found[each]) == 1 for each in stack) and stack_of(name, parts)
        except ModelFileError:
            whole = False
        if len(stack) > 1 and whole:
            nets.append(whole)
            layers += parts
        else:
            nets += parts
    return tuple(nets), tuple(layers)


def store_of(path: Path, name: str) -> Store:
    """The constants of an ONNX model."""
    return open_onnx(path, name).store


def _nets(store: Store, node: Node, key: str) -> list[Found]:
    """The net of a node; two where it is bidirectional."""
    operator = OPERATORS[node.proto.op_type]
    said = attributes(node.proto)
    _refuse(store, node, key, said)
    direction = _text(said.get("direction", b"forward"))
    ways = {"forward": [""], "reverse": ["reverse"], "bidirectional": ["forward", "reverse"]}
    if direction not in ways:
        raise store.refuse(key, f"has direction {cut(direction)}, must be {listed(ways, 'or')}")
    W, R = _array(store, node, key, 1, "W"), _array(store, node, key, 2, "R")
    B = _array(store, node, key, 3, "B") if _given(node, 3) else None
    count = len(ways[direction])
    hidden = _check(store, key, operator, count, W, R, B)
    names = _activations(store, key, operator, said, count)
    also = tuple(name for name in (node.proto.input[1], *node.proto.output) if name and name != key)
    assumed = _assumed(node)
    return [
        Found(
            key,
            operator.cell,
            (layer(operator.cell, operator.order, (W[d], R[d]), _halves(B, d, hidden, operator)),),
            names[d],
            _dtype(store, node, node.proto.input[1]),
            (*assumed, BACKWARD) if way == "reverse" else assumed,
            way or None,
            count > 1,
            also,
        )
        for d, way in enumerate(ways[direction])
    ]


def _dtype(store: Store, node: Node, name: str) -> str:
    """The type of a weight as it is stored, at the end of the first inputs."""
    while name not in node.constants:
        name = node.makers[name].input[0]
    return store.arrays[node.constants[name]].dtype


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _given(node: Node, index: int) -> bool:
    return len(node.proto.input) > index and node.proto.input[index] != ""


def _array(store: Store, node: Node, key: str, index: int, part: str) -> Array:
    """A weight input of a node; refused where it is computed, not stored."""
    if not _given(node, index):
        raise store.refuse(key, f"has no {part}")
    name = node.proto.input[index]
    if name in node.constants:
        return store.real(node.constants[name])
    try:
        found = folded(store, node, name)
    except (ValueError, TypeError, IndexError, KeyError, MemoryError) as error:
        words = f"has a {part} that cannot be put together: {cut(str(error), 80)}"
        raise store.refuse(key, words) from None
    if found is None:
        words = f"has its {part}, {cut(name, 60)}, from a computation, not as a constant"
        raise store.refuse(key, f"{words}; export it with constant folding")
    return finite(found, store.place(name))


def _refuse(store: Store, node: Node, key: str, said: Mapping[str, Any]) -> None:
    """What the contract's cells have not."""
    if "clip" in said:
        raise store.refuse(
            key, f"clips its pre-activations at {said['clip']:g}, which changes the net"
        )
    if said.get("input_forget"):
        raise store.refuse(key, "has input_forget=1: input and forget gate are coupled")
    if node.proto.op_type == "GRU" and not said.get("linear_before_reset"):
        raise store.refuse(key, RESET_BEFORE)
    if _given(node, 7) and np.any(_array(store, node, key, 7, "P")):
        raise store.refuse(key, "has peepholes (P), which rnngrad's lstm has not")


def _check(
    store: Store, key: str, operator: Operator, count: int, W: Array, R: Array, B: Array | None
) -> int:
    """H; refuses shapes that do not fit each other."""
    gates = len(operator.order)
    hidden = R.shape[-1] if R.ndim == 3 else 0
    rows = gates * hidden
    if not hidden or R.shape != (count, rows, hidden):
        wanted = f"{count}×{gates}H×H"
        raise store.refuse(key, f"has R of {sides(R.shape)}, must be {wanted}")
    if W.ndim != 3 or W.shape[:2] != (count, rows) or not W.shape[2]:
        raise store.refuse(key, f"has W of {sides(W.shape)}, must be {count}×{rows}×I")
    if B is not None and B.shape != (count, 2 * rows):
        raise store.refuse(key, f"has B of {sides(B.shape)}, must be {count}×{2 * rows}")
    return hidden


def _halves(
    B: Array | None, direction: int, hidden: int, operator: Operator
) -> tuple[Array, Array] | None:
    if B is None:
        return None
    rows = len(operator.order) * hidden
    return B[direction, :rows], B[direction, rows:]


def _activations(
    store: Store, key: str, operator: Operator, said: Mapping[str, Any], count: int
) -> list[str | None]:
    """The hidden activation of each direction of an RNN; None for gru and lstm: no choice."""
    each = len(operator.activations)
    words = [_text(word).lower() for word in said.get("activations") or ()]
    words = words or list(operator.activations) * count
    if len(words) != each * count:
        raise store.refuse(key, f"has {len(words)} activations, must have {each * count}")
    found: list[str | None] = []
    for d in range(count):
        mine = words[d * each : (d + 1) * each]
        if operator.cell == "rnn" and mine[0] not in HIDDEN:
            raise store.refuse(
                key, f"has activation {cut(mine[0])}, must be {listed(HIDDEN, 'or')}"
            )
        if operator.cell != "rnn" and tuple(mine) != operator.activations:
            wanted = listed(operator.activations)
            raise store.refuse(key, f"has activations {listed(mine)}; rnngrad's are {wanted}")
        found.append(mine[0] if operator.cell == "rnn" else None)
    return found


def _assumed(node: Node) -> tuple[str, ...]:
    """An initial state of the node's own is not taken over: the spec's h_0 and c_0 hold."""
    own = [part for part, index in (("initial_h", 5), ("initial_c", 6)) if _given(node, index)]
    return (f"h_0 and c_0 of the spec, not the node's {listed(own)}",) if own else ()
