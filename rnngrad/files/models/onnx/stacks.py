"""Recurrent nodes of an ONNX graph that are the layers of one stack; and what was unrolled.

An exporter writes a node a layer, and between two of them what brings Y (T, D, B, H) into the shape
of X (T, B, I):

    LSTM -> Squeeze -> LSTM            LSTM -> Transpose -> Reshape -> LSTM

A node is the layer above another if its X is that one's Y, in the same order of numbers, which
nothing else takes, and if its initial state does not come from there. With ``layout`` 1 Y is
(B, T, D, H) and X (B, T, I).

Source: ONNX operators LSTM-22, Squeeze-13, Transpose-13, Reshape-21.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from rnngrad.files.models.onnx.graph import Graph, Node, attributes

MOST_BETWEEN = 20
"""Operators between two layers, and between a layer and an initial state."""

PASSING = ("Identity", "Dropout", "Cast")
"""Operators that hand on all numbers in their places; dropout does nothing after training."""

Axes = tuple[str, ...]
"""What the axes of an array count: T, B, H, and 1 for those of length 1."""


def pairs(graph: Graph, nodes: list[Node]) -> dict[int, int]:
    """The index of each node that another one stacks upon -> the index of that one."""
    takers = _takers(graph)
    above: dict[int, int] = {}
    for number, node in enumerate(nodes):
        below = _below(graph, node, takers)
        if below is not None:
            at = next((k for k, each in enumerate(nodes) if each.proto is below), None)
            if at is not None and at != number:
                above[at] = number
    return above


def hands_on_the_last(graph: Graph, node: Node) -> bool:
    """Whether Y_h, the state of the last step, is taken, and Y is not."""
    takers = _takers(graph)
    taken = [bool(name) and takers[name] > 0 for name in (*node.proto.output, "", "")]
    return taken[1] and not taken[0]


def _takers(graph: Graph) -> Counter[str]:
    """How often each array is taken, where more than its shape is asked for."""
    counts = Counter(
        name
        for node in graph.nodes
        if node.proto.op_type not in ("Shape", "Size")
        for name in set(node.proto.input)
    )
    counts.update(graph.outputs)
    return counts


def _below(graph: Graph, node: Node, takers: Counter[str]) -> Any:
    """The node whose Y is this node's X, or None."""
    name = node.proto.input[0] if node.proto.input else ""
    steps: list[Any] = []
    for _ in range(MOST_BETWEEN):
        maker = node.makers.get(name)
        if maker is None or takers[name] != 1:
            return None
        if maker.op_type == node.proto.op_type:
            said, other = attributes(node.proto), attributes(maker)
            fits = name == maker.output[0] and _stacked(graph, node, steps, said, other)
            return maker if fits and not _starts_from(node, maker) else None
        steps.append(maker)
        name = maker.input[0] if maker.input else ""
    return None


def _stacked(
    graph: Graph, node: Node, steps: list[Any], said: Mapping[str, Any], below: Mapping[str, Any]
) -> bool:
    """Whether the steps between, the last one first, bring Y into the order of X."""
    axes: Axes | None = ("B", "T", "1", "H") if below.get("layout") else ("T", "1", "B", "H")
    for step in reversed(steps):
        axes = None if axes is None else _moved(graph, node, step, axes)
    return axes == (("B", "T", "H") if said.get("layout") else ("T", "B", "H"))


def _moved(graph: Graph, node: Node, step: Any, axes: Axes) -> Axes | None:
    """The axes after an operator, None where they are not known."""
    said = attributes(step)
    if step.op_type in PASSING:
        return axes
    if step.op_type == "Transpose":
        order = said.get("perm") or tuple(reversed(range(len(axes))))
        return tuple(axes[k] for k in order) if sorted(order) == list(range(len(axes))) else None
    given = said.get("axes")
    if given is None and len(step.input) > 1:
        key = node.constants.get(step.input[1])
        given = None if key is None else graph.store.arrays[key].read().ravel().tolist()
    if given is None:
        return None
    if step.op_type == "Squeeze":
        gone = {int(axis) % len(axes) for axis in given}
        fits = all(axes[axis] == "1" for axis in gone)
        return tuple(a for k, a in enumerate(axes) if k not in gone) if fits else None
    if step.op_type == "Reshape":
        return _reshaped(axes, [int(n) for n in given], graph.shapes.get(step.input[0]))
    return None


def _reshaped(axes: Axes, lengths: list[int], shape: tuple[int, ...] | None) -> Axes | None:
    """The axes after a Reshape that drops axes of length 1, and does nothing else.

    0 keeps the length of the same axis, −1 is what is left; a length in numbers is believed where
    the file states the shape before.
    """
    kept = tuple(axis for axis in axes if axis != "1")
    if len(lengths) != len(kept):
        return None
    places = [k for k, axis in enumerate(axes) if axis != "1"]
    stated = shape if shape is not None and len(shape) == len(axes) else None
    same = [
        place == at if length == 0 else stated is not None and length == stated[place]
        for at, (length, place) in enumerate(zip(lengths, places, strict=True))
    ]
    known = same.count(True) + (lengths.count(-1) == 1)
    return kept if known == len(kept) else None


def _starts_from(node: Node, below: Any) -> bool:
    """Whether the initial state of a node comes from the node below."""
    waiting = [name for name in node.proto.input[5:7] if name]
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        maker = node.makers.get(name)
        if maker is below:
            return True
        if name not in seen and maker is not None and maker.op_type not in ("Shape", "Size"):
            seen.add(name)
            waiting += maker.input
    return False


def unrolled(graph: Graph) -> str | None:
    """The matrix of a chain tanh(… + W tanh(… + W tanh(…))), or None.

    PyTorch's newer exporter writes nn.RNN so: a product, additions and a function every step.
    """
    inside: dict[str, str] = {}
    for node in graph.nodes:
        kind, made = node.proto.op_type, node.proto.output[0] if node.proto.output else ""
        if kind in ("MatMul", "Gemm") and len(node.proto.input) > 1:
            before = node.makers.get(node.proto.input[0])
            matrix = node.constants.get(node.proto.input[1])
            if matrix is None or before is None or before.op_type not in ("Tanh", "Relu"):
                continue
            shape = graph.store.arrays[matrix].shape
            if len(shape) == 2 and shape[0] == shape[1]:
                if any(inside.get(name) == matrix for name in before.input):
                    return matrix
                inside[made] = matrix
        elif kind == "Add":
            added = [inside[name] for name in node.proto.input if name in inside]
            if added:
                inside[made] = added[0]
    return None
