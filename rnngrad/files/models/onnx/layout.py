"""ONNX's recurrent nodes: RNN, GRU and LSTM, and the dense layers after them.

    W (D, G·H, I)   R (D, G·H, H)   B (D, 2G·H) = [W's biases, R's biases]   P (D, 3H): peepholes

D is 2 for a bidirectional node, else 1; W and R are stacked like PyTorch's, in the order z, r, h
(gru) or i, o, f, c (lstm). ``layout`` is about the data's axes alone, not these. A gru with
``linear_before_reset`` 0, the default, applies r before the product: gru_reset_before. P, for i, o
and f, makes lstm_peephole, ``input_forget`` f = 1 − i: lstm_coupled, where W, R and B of f count
for nothing. ``activations`` with their ``activation_alpha`` and ``activation_beta`` make equations
of their own, unless they are the operator's.

Source: ONNX operators, RNN-22, GRU-22 and LSTM-22; Gemm-13, MatMul-13.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rnngrad.arithmetic.arrays import Array
from rnngrad.files.models.equations import (
    Net,
    cell_of,
    clipped,
    elu,
    leaky,
    linear,
    scaled_tanh,
    with_functions,
)
from rnngrad.files.models.gates import (
    RESET_BEFORE,
    by_equations,
    layer,
    reset_before,
    stack_of,
)
from rnngrad.files.models.onnx.dense import dense_layers
from rnngrad.files.models.onnx.graph import Node, attributes, folded, open_onnx
from rnngrad.files.models.onnx.stacks import hands_on_the_last, pairs, unrolled
from rnngrad.files.models.records import (
    BACKWARD,
    Contents,
    Found,
    Layer,
    ModelFileError,
    Refused,
    Store,
    ends,
    finite,
)
from rnngrad.files.text import cut, listed, sides


class Operator(NamedTuple):
    """A recurrent operator: the cell, its order of gates, its default activations, and the names
    that the equations of each define."""

    cell: str
    order: str
    activations: tuple[str, ...]
    defines: tuple[str, ...]


OPERATORS: Mapping[str, Operator] = {
    "RNN": Operator("rnn", "h", ("tanh",), ("h",)),
    "GRU": Operator("gru", "zrn", ("sigmoid", "tanh"), ("rz", "n")),
    "LSTM": Operator("lstm", "iofg", ("sigmoid", "tanh", "tanh"), ("ifo", "g", "h")),
}


class Function(NamedTuple):
    """An activation: its defaults of alpha and beta, None where the file must say, and how it is
    written with them."""

    defaults: tuple[str | None, ...]
    written: Callable[..., str]


FUNCTIONS: Mapping[str, Function] = {
    "sigmoid": Function((), lambda: "σ({})"),
    "tanh": Function((), lambda: "tanh({})"),
    "relu": Function((), lambda: "relu({})"),
    "softplus": Function((), lambda: "softplus({})"),
    "softsign": Function((), lambda: "softsign({})"),
    "affine": Function(("1", "0"), linear),
    "leakyrelu": Function(("0.01",), leaky),
    "elu": Function(("1",), elu),
    "hardsigmoid": Function(("0.2", "0.5"), clipped),
    "scaledtanh": Function((None, None), scaled_tanh),
}
"""In lower case: ONNX ignores the case. A ThresholdedRelu jumps, so it has no gradient there."""

UNROLLED = (
    "holds no RNN, GRU or LSTM node, but steps one by one that all multiply by {}: an nn.RNN that "
    "PyTorch's newer exporter unrolled; export it with torch.onnx.export(..., dynamo=False)"
)


def read_onnx(path: Path, name: str) -> Contents:
    """The nets of an ONNX model."""
    graph = open_onnx(path, name)
    nodes = [
        (node, name_of(node, number))
        for number, node in enumerate(graph.nodes)
        if node.proto.op_type in OPERATORS and node.proto.domain in ("", "ai.onnx")
    ]
    found: list[list[Found]] = []
    refused: list[Refused] = []
    for node, key in nodes:
        try:
            last = hands_on_the_last(graph, node)
            found.append([net._replace(last=last) for net in _nets(graph.store, node, key)])
        except ModelFileError as error:
            found.append([])
            refused.append(Refused(key, str(error)))
    matrix = None if nodes else unrolled(graph)
    if matrix is not None:
        refused.append(Refused("", f"{name} {UNROLLED.format(cut(matrix, 60))}"))
    stacks, layers = _stacks(name, found, pairs(graph, [node for node, _ in nodes]))
    dense = dense_layers(graph, ends((*stacks, *layers)))
    keys = tuple(graph.store.arrays)
    order = tuple(name_of(node, number) for number, node in enumerate(graph.nodes))
    return Contents(name, "onnx", stacks, tuple(dense), keys, tuple(refused), layers, order)


def name_of(node: Node, number: int) -> str:
    """What a node is called: by its name, or by what comes out of it."""
    return node.proto.name or next(filter(None, node.proto.output), f"node {number}")


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
    names = _functions(store, key, operator, said, count)
    P = _peepholes(store, node, key, count, hidden)
    kind = _kind(operator, said, P is not None)
    cells = [_cell(operator, kind, functions) for functions in names]
    layers = [
        _layer(
            layer(operator.cell, operator.order, (W[d], R[d]), _halves(B, d, hidden, operator)),
            cells[d],
            None if P is None else P[d],
        )
        for d in range(count)
    ]
    also = tuple(name for name in (node.proto.input[1], *node.proto.output) if name and name != key)
    assumed = _assumed(node)
    return [
        Found(
            key,
            cells[d].name,
            (layers[d],),
            cells[d].activation,
            _dtype(store, node, node.proto.input[1]),
            (*assumed, BACKWARD) if way == "reverse" else assumed,
            way or None,
            count > 1,
            also,
            own=cells[d].own,
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
    """What no equation here has."""
    if "clip" in said:
        raise store.refuse(
            key, f"clips its pre-activations at {said['clip']:g}, which changes the net"
        )


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


def _functions(
    store: Store, key: str, operator: Operator, said: Mapping[str, Any], count: int
) -> list[tuple[str, ...]]:
    """The activations of each direction, as they are written."""
    each = len(operator.activations)
    words = [_text(word).lower() for word in said.get("activations") or ()]
    words = words or list(operator.activations) * count
    if len(words) != each * count:
        raise store.refuse(key, f"has {len(words)} activations, must have {each * count}")
    given = [_numbers(store, key, f"activation_{name}", said) for name in ("alpha", "beta")]
    found = []
    for word in words:
        if word not in FUNCTIONS:
            known = listed(FUNCTIONS, "or")
            raise store.refuse(key, f"has activation {cut(word)}, must be {known}")
        function = FUNCTIONS[word]
        values = [
            _number(store, key, word, name, next(values, default))
            for name, values, default in zip(
                ("alpha", "beta"), given, function.defaults, strict=False
            )
        ]
        found.append(function.written(*values))
    return [tuple(found[d * each : (d + 1) * each]) for d in range(count)]


def _numbers(store: Store, key: str, name: str, said: Mapping[str, Any]) -> Iterator[float]:
    """A list of floats; a file may hold anything under its name."""
    given = said.get(name) or ()
    if isinstance(given, int | float | bytes) or not all(isinstance(n, int | float) for n in given):
        raise store.refuse(key, f"has {name} that is no list of numbers")
    return iter(given)


def _number(store: Store, key: str, word: str, name: str, value: Any) -> Decimal:
    """An alpha or beta: float32 as it was written, 0.2 and not 0.20000000298."""
    if value is None:
        raise store.refuse(key, f"has activation {word} without an activation_{name}")
    number = Decimal(str(np.float32(value)))
    if not number.is_finite() or (number and not -30 < number.adjusted() < 30):
        raise store.refuse(key, f"has activation_{name} {number}, must be an ordinary number")
    return number


def _kind(operator: Operator, said: Mapping[str, Any], peepholes: bool) -> tuple[str, bool]:
    """The cell without regard to its functions, and whether f_t = 1 − i_t stands instead of f's
    equation."""
    if operator.cell == "gru" and not said.get("linear_before_reset"):
        return RESET_BEFORE, False
    if operator.cell == "lstm":
        coupled = bool(said.get("input_forget"))
        if peepholes:
            return "lstm_peephole", coupled
        return ("lstm_coupled" if coupled else "lstm"), False
    return operator.cell, False


def _cell(operator: Operator, kind: tuple[str, bool], functions: tuple[str, ...]) -> Net:
    base, coupled = kind
    named = zip(operator.defines, functions, strict=True)
    each = {name: function for names, function in named for name in names}
    return with_functions(base, each, {"f": "1 - i_t"} if coupled else None)


def _layer(whole: Layer, cell: Net, P: Array | None) -> Layer:
    """The parameters that the cell has, from an operator's arrays."""
    names = cell_of(cell.name, cell.own).parameters.keys()
    if names <= whole.parameters.keys():
        return whole
    gates = len(whole.parameters["W_hh"]) // whole.hidden
    found = by_equations(whole, "gru" if gates == 3 else "lstm").parameters
    if "b_r" in names:
        found = reset_before(whole).parameters
    if P is not None:
        found = {**found, **dict(zip(("w_ci", "w_co", "w_cf"), np.split(P, 3), strict=True))}
    return Layer({name: array for name, array in found.items() if name in names})


def _peepholes(store: Store, node: Node, key: str, count: int, hidden: int) -> Array | None:
    """P, unless it is zero throughout."""
    if node.proto.op_type != "LSTM" or not _given(node, 7):
        return None
    P = _array(store, node, key, 7, "P")
    if P.shape != (count, 3 * hidden):
        raise store.refuse(key, f"has P of {sides(P.shape)}, must be {count}×{3 * hidden}")
    return P if np.any(P) else None


def _assumed(node: Node) -> tuple[str, ...]:
    """An initial state of the node's own is not taken over: the spec's h_0 and c_0 hold."""
    own = [part for part, index in (("initial_h", 5), ("initial_c", 6)) if _given(node, index)]
    return (f"h_0 and c_0 of the spec, not the node's {listed(own)}",) if own else ()
