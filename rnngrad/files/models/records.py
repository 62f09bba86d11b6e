"""What a trained model's file holds, whoever wrote it.

A reader goes two steps: file -> ``Store`` (arrays by key, unread) -> ``Contents`` (the nets in it).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from rnngrad.arithmetic.arrays import Array, frozen
from rnngrad.files.arrays.numbers import type_refused
from rnngrad.files.arrays.numpy_files import Numbers
from rnngrad.files.text import cut


class ModelFileError(Exception):
    """A model's file that cannot be used; its text says why, with the file and the key."""


OPTIMIZERS = frozenset(
    {
        "optimizer", "optimizers", "optimizer_weights", "optimizer_state", "optimizer_states",
        "optimizer_state_dict", "optim", "optim_state", "opt_state", "exp_avg", "exp_avg_sq",
        "max_exp_avg_sq", "momentum_buffer",
    }
)  # fmt: skip
"""Steps of a key under which an optimizer keeps its moments: shaped like weights, and no nets."""


def of_optimizer(key: str) -> bool:
    """Whether an array belongs to an optimizer's state."""
    return not OPTIMIZERS.isdisjoint(key.lower().replace("/", ".").split("."))


class Stored(NamedTuple):
    """An array of a file, read when asked for; ``dtype`` in words: float32, bfloat16.

    ``eps`` is the unit of rounding of that type; ``read`` gives the numbers in a type of NumPy's
    that holds them exactly.
    """

    shape: tuple[int, ...]
    dtype: str
    read: Callable[[], Numbers]
    eps: float = float(np.finfo(np.float64).eps)


class Store(NamedTuple):
    """The arrays of a file by key; ``name`` is the file in messages, ``texts`` what it says."""

    name: str
    arrays: Mapping[str, Stored]
    texts: Mapping[str, str] = {}

    def place(self, key: str) -> str:
        """``model.safetensors[encoder.rnn.weight_ih_l0]``: where an array stands, for messages."""
        return f"{self.name}[{cut(key, 100)}]" if key else self.name

    def without_optimizer(self) -> Store:
        """The same without what an optimizer left in the file."""
        kept = {key: stored for key, stored in self.arrays.items() if not of_optimizer(key)}
        return self._replace(arrays=kept)

    def refuse(self, key: str, message: str) -> ModelFileError:
        """The error that ``key``'s array, or net, ``message``."""
        return ModelFileError(f"{self.place(key)} {message}")

    def real(self, key: str) -> Array:
        """The array of ``key`` in float64; raises ModelFileError unless it is real and finite.

        Integers of a byte are no weights: their scale stands elsewhere.
        """
        found = self.arrays[key].read()
        if found.dtype.kind in "iu" and found.dtype.itemsize == 1:
            raise self.refuse(key, f"is of {found.dtype}: quantised; save the net before that")
        return finite(found, self.place(key))


def finite(found: Numbers, place: str) -> Array:
    """An array in float64; raises ModelFileError unless its numbers are real and finite."""
    refused = type_refused(found.dtype)
    if refused:
        raise ModelFileError(f"{place} holds {refused}, must hold real numbers")
    with np.errstate(all="ignore"):
        wide = found.astype(np.float64)
    bad = ~np.isfinite(wide)
    if bad.any():
        first = [int(i) for i in np.argwhere(bad)[0]]
        raise ModelFileError(f"{place} holds {wide[tuple(first)]} at {first}, counted from 0")
    return frozen(wide)


BOTH = "both"
"""The direction of a net whose layers hold the parameters of both."""

BACKWARD = "the net runs backward in time: give its inputs in reversed order"
"""What is said of a net of the direction reverse."""


class Layer(NamedTuple):
    """One layer's parameters under the names of its cell, in float64.

    rnn: W_xh (H, I), W_hh (H, H), b_h (H,). gru: W_xh (3H, I), W_hh (3H, H), b_xh (3H,),
    b_hh (3H,), rows r, z, n. lstm: W_xh (4H, I), W_hh (4H, H), b_h (4H,), rows i, f, g, o. All
    others as their equations have them.
    """

    parameters: Mapping[str, Array]

    @property
    def inputs(self) -> int:
        """I: all cells of files multiply x_t by a W_x…."""
        return self._columns("W_x")

    @property
    def hidden(self) -> int:
        """The length of h_t, which W_h… multiplies and the layer above sees."""
        return self._columns("W_h")

    def _columns(self, start: str) -> int:
        return next(
            int(W.shape[1]) for name, W in self.parameters.items() if name.startswith(start)
        )


class Found(NamedTuple):
    """A recurrent net of a file: a cell and its layers, lowest first.

    ``cell`` is one that comes with rnngrad, or what ``own``, a spec's ``cell:``, calls itself.
    ``key`` is what the user writes as ``prefix``; ``also`` holds other names that mean the same.
    ``activation`` is None where the file does not say, or the cell leaves no choice; ``assumed``
    says in words what is taken for granted. ``direction`` is None unless the net runs backward in
    time, or is one half of a bidirectional one (``paired``); of both halves together it is BOTH,
    and the names of the reverse one's parameters end in _reverse. ``apart`` says why the halves
    cannot be taken together, where they cannot; None where the file does not say that they are
    side by side. ``parts`` holds the keys of a stack
    whose layers stand one by one. ``last``: the model hands on the state of the last step alone.
    """

    key: str
    cell: str
    layers: tuple[Layer, ...]
    activation: str | None
    dtype: str
    assumed: tuple[str, ...] = ()
    direction: str | None = None
    paired: bool = False
    also: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    own: Mapping[str, Any] | None = None
    apart: str | None = ""
    last: bool = False

    @property
    def inputs(self) -> int:
        """I of the lowest layer."""
        return self.layers[0].inputs

    @property
    def hidden(self) -> int:
        """H of the highest layer, whose h_t a read-out takes."""
        return self.layers[-1].hidden

    @property
    def seen(self) -> int:
        """What a read-out sees: H, or 2H of both directions."""
        return (2 if self.direction == BOTH else 1) * self.hidden

    @property
    def widths(self) -> set[int]:
        """What a read-out of it, or of what it is half of, may see."""
        return {self.hidden, 2 * self.hidden} if self.paired else {self.hidden}


class Ends(NamedTuple):
    """What dense layers beside some nets meet: the widths of what read-outs see, and of x_t."""

    seen: frozenset[int]
    inputs: frozenset[int] = frozenset()

    def meets(self, outputs: int, width: int) -> bool:
        """Whether a matrix (outputs, width) fits behind one of the nets, or before it."""
        return width in self.seen or outputs in self.inputs


def ends(nets: Iterable[Found]) -> Ends:
    """Those of some nets."""
    nets = tuple(nets)
    seen = frozenset(width for net in nets for width in net.widths)
    return Ends(seen, frozenset(net.inputs for net in nets))


class Dense(NamedTuple):
    """A dense layer y = g(W h + b): W (O, H), b (O,) or None, g as the file says, else None.

    ``W_key`` and ``b_key`` name the arrays for ``{file: …, key: …}``; a key that ends in ``.T``
    asks for the transpose.
    """

    key: str
    W: Array
    b: Array | None
    activation: str | None
    W_key: str
    b_key: str | None


class Refused(NamedTuple):
    """A recurrent net that is there and cannot be used, why, and what else it is called."""

    key: str
    reason: str
    also: tuple[str, ...] = ()


class Contents(NamedTuple):
    """Everything recurrent in a file, the dense layers that fit behind it or before it, and all
    its keys.

    ``layers`` holds one by one the layers of those nets that a file keeps in pieces. ``order``:
    what the nets and dense layers are called, as the model runs them, where the file tells.
    """

    name: str
    layout: str
    recurrent: tuple[Found, ...]
    dense: tuple[Dense, ...]
    keys: tuple[str, ...]
    refused: tuple[Refused, ...] = ()
    layers: tuple[Found, ...] = ()
    order: tuple[str, ...] = ()
