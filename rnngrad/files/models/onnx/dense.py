"""Dense layers of an ONNX graph: Gemm, and MatMul with the Add after it; their activation follows.

    Gemm    y = α A' B' + β C, with ``transB`` B is (O, H) as ours, without (H, O)
    MatMul  y = A B, B (H, O); the bias is the constant (O,) of an Add that takes y

Source: ONNX operators, Gemm-13, MatMul-13, Add-14.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from rnngrad.files.models.onnx.graph import Graph, Node
from rnngrad.files.models.records import Dense, Ends, ModelFileError, Store

ACTIVATIONS: Mapping[str, str] = {
    "Tanh": "tanh",
    "Sigmoid": "sigmoid",
    "Relu": "relu",
    "Softplus": "softplus",
    "Softmax": "softmax",
}
"""The operator after a dense layer -> the contract's activation; without one it is not known."""


class _Product(NamedTuple):
    """The keys of W and b, whether W is stored as (H, O), and the name of what comes out."""

    W: str
    b: str | None
    transposed: bool
    output: str


def dense_layers(graph: Graph, met: Ends) -> list[Dense]:
    """The dense layers that fit behind some net, or before it."""
    takers: dict[str, list[Node]] = {}
    for node in graph.nodes:
        for name in node.proto.input:
            takers.setdefault(name, []).append(node)
    found = []
    for node in graph.nodes:
        product = _product(graph.store, node, takers)
        if product is not None:
            found += _dense(graph.store, node, product, met, takers)
    return found


def _product(store: Store, node: Node, takers: Mapping[str, list[Node]]) -> _Product | None:
    inputs = [node.constants.get(name) for name in node.proto.input]
    if len(inputs) < 2 or inputs[1] is None or not node.proto.output:
        return None
    if node.proto.op_type == "Gemm":
        said = {item.name: (item.f, item.i) for item in node.proto.attribute}
        plain = all(said.get(name, (1.0, 0))[0] == 1.0 for name in ("alpha", "beta"))
        if not plain or said.get("transA", (0, 0))[1]:
            return None
        bias = inputs[2] if len(inputs) > 2 else None
        return _Product(inputs[1], bias, not said.get("transB", (0, 0))[1], node.proto.output[0])
    if node.proto.op_type != "MatMul":
        return None
    return _with_add(store, _Product(inputs[1], None, True, node.proto.output[0]), takers)


def _with_add(store: Store, product: _Product, takers: Mapping[str, list[Node]]) -> _Product:
    for node in takers.get(product.output, []):
        if node.proto.op_type == "Add" and node.proto.output:
            for name in node.proto.input:
                key = node.constants.get(name)
                if key is not None and len(store.arrays[key].shape) == 1:
                    return product._replace(b=key, output=node.proto.output[0])
    return product


def _dense(
    store: Store,
    node: Node,
    product: _Product,
    met: Ends,
    takers: Mapping[str, list[Node]],
) -> list[Dense]:
    """The layer, or nothing where its shapes are others, or its numbers not finite."""
    shape = store.arrays[product.W].shape
    shape = shape[::-1] if product.transposed else shape
    biases = None if product.b is None else store.arrays[product.b].shape
    if len(shape) != 2 or 0 in shape or not met.meets(*shape) or biases not in (None, shape[:1]):
        return []
    try:
        W = store.real(product.W)
        b = None if product.b is None else store.real(product.b)
    except ModelFileError:
        return []
    after = [taker.proto.op_type for taker in takers.get(product.output, [])]
    function = next((ACTIVATIONS[op] for op in after if op in ACTIVATIONS), None)
    key = product.W + (".T" if product.transposed else "")
    name = node.proto.name or product.W
    return [Dense(name, W.T if product.transposed else W, b, function, key, product.b)]
