"""Gates as each framework stacks them -> the contract's rows, and the shapes they must have.

All frameworks stack the gates' matrices along one axis; only the order differs. With G gates W_ih
is (G·H, I), W_hh (G·H, H) and each bias (G·H,). PyTorch, Keras (``reset_after``) and ONNX
(``linear_before_reset``) agree on the equations:

    gru   r, z = σ(…), n = tanh(W_xn x + b_xn + r * (W_hn h + b_hn)), h' = (1 − z) * n + z * h
          or n = tanh(W_xn x + W_hn (r * h) + b_n), the cell gru_reset_before
    lstm  i, f, o = σ(…), g = tanh(…), c' = f * c + i * g, h' = o * tanh(c')

so that gru needs both its biases, while only the sum of the two matters to rnn and lstm.

Sources: torch.nn.GRU, torch.nn.LSTM; keras.layers.GRU, keras.layers.LSTM; ONNX operators GRU, LSTM.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from rnngrad.arithmetic.arrays import Array, frozen
from rnngrad.cells import CELLS
from rnngrad.files.models.records import (
    BACKWARD,
    BOTH,
    Found,
    Layer,
    ModelFileError,
    Store,
)
from rnngrad.files.text import several
from rnngrad.net.problem import REVERSE

GATES: Mapping[str, str] = MappingProxyType({"rnn": "h", "gru": "rzn", "lstm": "ifgo"})
"""cell -> its gates in the contract's order of rows, which is PyTorch's."""

BY_GATES: Mapping[int, str] = MappingProxyType({len(gates): cell for cell, gates in GATES.items()})
"""how many gates -> the cell"""


class Keys(NamedTuple):
    """Where the arrays of a layer stand; a bias is None where there is none.

    ``b_n`` is Equinox's second bias of a gru, (H,), that of the gate n alone; ``W_hr`` an lstm's
    projection (P, H), with W_hh (4H, P).
    """

    W_ih: str
    W_hh: str
    b_ih: str | None = None
    b_hh: str | None = None
    b_n: str | None = None
    W_hr: str | None = None


def cell_of(store: Store, key: str) -> str:
    """rnn, gru or lstm, by the rows of W_hh: 1, 3 or 4 times its columns."""
    shape = store.arrays[key].shape
    if len(shape) != 2 or 0 in shape or shape[0] % shape[1] or shape[0] // shape[1] not in BY_GATES:
        words = "must be H×H (rnn), 3H×H (gru) or 4H×H (lstm)"
        raise store.refuse(key, f"is {sides(shape)}, {words}")
    return BY_GATES[shape[0] // shape[1]]


def sides(shape: tuple[int, ...]) -> str:
    """``12×4``; ``a single number``"""
    return "×".join(map(str, shape)) if shape else "a single number"


def expect(store: Store, key: str, shape: tuple[int | None, ...], like: str) -> None:
    """Refuses an array of another shape; None stands for any length of 1 or more."""
    found = store.arrays[key].shape
    fits = len(found) == len(shape) and all(
        n > 0 and m in (None, n) for n, m in zip(found, shape, strict=True)
    )
    if not fits:
        wanted = "×".join("I" if n is None else str(n) for n in shape)
        words = f"as {like} is {sides(store.arrays[like].shape)}"
        raise store.refuse(key, f"is {sides(found)}, must be {wanted} {words}")


def reordered(rows: Array, order: str, cell: str) -> Array:
    """``rows`` stacked in ``order``, such as ``"zrn"`` -> stacked in the contract's order."""
    blocks = np.split(rows, len(order))
    return np.concatenate([blocks[order.index(gate)] for gate in GATES[cell]])


def layer(cell: str, order: str, W: tuple[Array, Array], b: tuple[Array, Array] | None) -> Layer:
    """A layer from (W_ih, W_hh) and (b_ih, b_hh), their rows in ``order``; biases None are zero."""
    rows = W[1].shape[0]
    b_ih, b_hh = b or (np.zeros(rows), np.zeros(rows))
    found = {"W_xh": W[0], "W_hh": W[1]}
    found |= {"b_xh": b_ih, "b_hh": b_hh} if cell == "gru" else {"b_h": b_ih + b_hh}
    return Layer({name: frozen(reordered(array, order, cell)) for name, array in found.items()})


def by_equations(whole: Layer, cell: str) -> Layer:
    """A layer of gru or lstm with its parameters as the equations have them: W_xi, W_xf, …"""
    return Layer(CELLS[cell].split(whole.parameters))


RESET_BEFORE = "gru_reset_before"


def reset_before(whole: Layer) -> Layer:
    """The arrays of a gru as those of the one whose r acts before the product: the sum of the two
    biases is all that matters to it."""
    found = by_equations(whole, "gru").parameters
    biases = {f"b_{gate}": frozen(found[f"b_x{gate}"] + found[f"b_h{gate}"]) for gate in "rzn"}
    return Layer({**{name: W for name, W in found.items() if name[0] == "W"}, **biases})


def stacked(layers: tuple[Layer, ...], place: str, ways: int = 1) -> tuple[Layer, ...]:
    """The layers of a stack, lowest first; raises ModelFileError unless each fits the next, which
    has the units of so many ``ways``."""
    for k, (below, above) in enumerate(pairwise(layers), 1):
        if ways * below.hidden != above.inputs:
            has = f"layer {k - 1} has {ways * below.hidden} units"
            words = f"layer {k} takes {above.inputs} inputs, {has}"
            raise ModelFileError(f"{place}: {words}")
    return layers


CONCAT = "merge_mode concat, Keras's default: the file does not say"


def merged(place: str, halves: Sequence[Found]) -> Found:
    """The halves of a bidirectional net together; raises ModelFileError where they are no pair."""
    ahead, behind = halves[0], halves[-1]
    why = ahead.apart or behind.apart
    if not why and (ahead.direction, behind.direction) != ("forward", "reverse"):
        why = "its halves run the same way"
    alike = [(one.cell, one.own, one.activation, len(one.layers)) for one in (ahead, behind)]
    if not why and alike[0] != alike[1]:
        why = "its halves differ in cell, activation or number of layers"
    if why:
        words = "no spec has both together; give direction: forward or reverse"
        raise ModelFileError(f"{place} is bidirectional, and {why}: {words}")
    layers = tuple(
        Layer({**one.parameters, **{f"{n}{REVERSE}": a for n, a in other.parameters.items()}})
        for one, other in zip(ahead.layers, behind.layers, strict=True)
    )
    said = dict.fromkeys((*ahead.assumed, *behind.assumed))
    said |= {} if ahead.apart is not None else {CONCAT: None}
    assumed = tuple(words for words in said if words != BACKWARD)
    return ahead._replace(layers=layers, assumed=assumed, direction=BOTH)


def stack_of(name: str, nets: Sequence[Found]) -> Found:
    """Nets that were saved one by one, as Keras and ONNX do, as the layers of one stack."""
    first = nets[0]
    for net in nets[1:]:
        alike = (net.cell, net.own, net.activation, net.direction) == (
            first.cell, first.own, first.activation, first.direction,
        )  # fmt: skip
        if not alike:
            words = "differ in cell, activation or direction, so they are no stack"
            raise ModelFileError(f"{name}: {several([first.key, net.key])} {words}")
    ways = 2 if first.direction == BOTH else 1
    layers = stacked(tuple(layer for net in nets for layer in net.layers), name, ways)
    assumed = tuple(dict.fromkeys(words for net in nets for words in net.assumed))
    parts = tuple(key for net in nets for key in net.parts or (net.key,))
    return first._replace(
        key=", ".join(parts), layers=layers, assumed=assumed, also=(), parts=parts
    )
