"""Cells told by the names of their arrays, one cell a prefix: Flax, Haiku, MLX.

    flax   kernels (I, H), one a gate (ii, if, ig, io; hi, hf, …) or all side by side (dense_i,
           dense_h); PyTorch's equations, with one bias a gate, a gru's second for n alone
    haiku  lstm: one matrix (I + H, 4H) on [x, h], gates i, g, f, o, with f = σ(… + 1);
           gru: gates z, r, n, reset before the product, h' = (1 − z) ∘ h + z ∘ n, so that its z is
           1 − z here; VanillaRNN: relu
    mlx    PyTorch's shapes, orders and equations under other names

Keys may be parted by ``.`` or ``/``. An array under a cell's prefix that is none of its own refuses
it.

Sources: flax.linen and flax.nnx recurrent cells (0.12), haiku.LSTM, GRU, VanillaRNN (0.0.17),
mlx.nn.RNN, GRU, LSTM (0.32); each compared with what the framework computes
(tests/models/make_named_fixtures.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from rnngrad.arithmetic.arrays import Array
from rnngrad.files.models.gates import BY_GATES, RESET_BEFORE, layer, reset_before
from rnngrad.files.models.records import (
    Contents,
    Dense,
    Found,
    Layer,
    ModelFileError,
    Refused,
    Store,
    ends,
)
from rnngrad.files.text import several, sides

Parts = Mapping[str, Array]
"""A cell's own name -> its array"""


class Built(NamedTuple):
    """A cell's matrices (G·H, I) and (G·H, H), its biases (G·H,), and the order of the gates.
    ``reset_before``: of a gru whose r acts before the product."""

    W_x: Array
    W_h: Array
    b_x: Array | None
    b_h: Array | None
    order: str
    reset_before: bool = False


class Recipe(NamedTuple):
    """A cell's own names, the first telling it, and how its arrays are put together. ``within`` is
    what the last part of the prefix holds, where the names say too little; ``activation`` of an
    rnn."""

    names: tuple[str, ...]
    build: Callable[[Parts], Built]
    optional: tuple[str, ...] = ()
    within: str = ""
    activation: str | None = None


def _rows(parts: Parts, gates: str, kind: str, name: str) -> Array | None:
    """Flax's kernels, one a gate, transposed and one below the other; its biases likewise, 0 where
    a gate has none."""
    found = [parts.get(f"{kind}{gate}.{name}") for gate in gates]
    if all(one is None for one in found):
        return None
    like = next(one for one in found if one is not None)
    return np.concatenate([np.zeros_like(like) if one is None else one.T for one in found])


def _flax_gates(parts: Parts, gates: str) -> Built:
    plain = {name.replace("if_.", "if."): array for name, array in parts.items()}
    W_x, W_h = (_rows(plain, gates, kind, "kernel") for kind in "ih")
    b_x, b_h = (_rows(plain, gates, kind, "bias") for kind in "ih")
    assert W_x is not None
    assert W_h is not None
    return Built(W_x, W_h, b_x, b_h, gates)


def _flax_dense(parts: Parts, x: str, h: str) -> Built:
    W_h = parts[f"{h}.kernel"].T
    order = {1: "h", 3: "rzn", 4: "ifgo"}.get(W_h.shape[0] // max(W_h.shape[1], 1), "")
    b_x, b_h = parts.get(f"{x}.bias"), parts.get(f"{h}.bias")
    return Built(parts[f"{x}.kernel"].T, W_h, b_x, b_h, order)


def _haiku_lstm(parts: Parts) -> Built:
    both, b = parts["linear.w"].T, parts["linear.b"].copy()
    hidden = both.shape[0] // 4
    b[2 * hidden : 3 * hidden] += 1.0
    inputs = both.shape[1] - hidden
    return Built(both[:, :inputs], both[:, inputs:], b, None, "igfo")


def _haiku_gru(parts: Parts) -> Built:
    W_x, W_h, b = parts["w_i"].T.copy(), parts["w_h"].T.copy(), parts["b"].copy()
    for array in (W_x, W_h, b):
        array[: array.shape[0] // 3] *= -1.0
    return Built(W_x, W_h, b, None, "zrn", reset_before=True)


def _haiku_rnn(parts: Parts) -> Built:
    b_x, b_h = parts["linear.b"], parts["linear_1.b"]
    return Built(parts["linear.w"].T, parts["linear_1.w"].T, b_x, b_h, "h")


def _mlx(parts: Parts) -> Built:
    W_h, b = parts["Wh"], parts.get("bias", parts.get("b"))
    order = {3: "rzn", 4: "ifgo"}.get(W_h.shape[0] // max(W_h.shape[1], 1), "")
    b_h = None
    if "bhn" in parts:
        b_h = np.concatenate([np.zeros(2 * len(parts["bhn"])), parts["bhn"]])
    return Built(parts["Wx"], W_h, b, b_h, order)


def _mlx_rnn(parts: Parts) -> Built:
    return Built(parts["Wxh"], parts["Whh"], parts.get("bias"), None, "h")


def _flax_names(gates: str, name: str) -> tuple[str, ...]:
    return tuple(f"{kind}{gate}.{name}" for kind in "hi" for gate in gates)


_LSTM, _GRU = partial(_flax_gates, gates="ifgo"), partial(_flax_gates, gates="rzn")
_NNX = tuple(name.replace("if.", "if_.") for name in _flax_names("ifgo", "kernel"))
_NNX_BIASES = tuple(name.replace("if.", "if_.") for name in _flax_names("ifgo", "bias"))

RECIPES: Mapping[str, tuple[Recipe, ...]] = MappingProxyType(
    {
        "flax": (
            Recipe(_flax_names("ifgo", "kernel"), _LSTM, _flax_names("ifgo", "bias")),
            Recipe(_NNX, _LSTM, _NNX_BIASES),
            Recipe(_flax_names("rzn", "kernel"), _GRU, _flax_names("rzn", "bias")),
            Recipe(("dense_h.kernel", "dense_i.kernel"), partial(_flax_dense, x="dense_i",
                   h="dense_h"), ("dense_i.bias", "dense_h.bias")),
            Recipe(("h.kernel", "i.kernel"), partial(_flax_dense, x="i", h="h"),
                   ("i.bias", "h.bias")),
        ),
        "haiku": (
            Recipe(("linear.w", "linear.b"), _haiku_lstm, within="lstm"),
            Recipe(("w_h", "w_i", "b"), _haiku_gru),
            Recipe(("linear_1.w", "linear_1.b", "linear.w", "linear.b"), _haiku_rnn,
                   within="rnn", activation="relu"),
        ),
        "mlx": (
            Recipe(("Wh", "Wx"), _mlx, ("bias", "b", "bhn")),
            Recipe(("Whh", "Wxh"), _mlx_rnn, ("bias",)),
        ),
    }
)  # fmt: skip
"""layout -> its cells: the one place to add one."""

TANH = "activation tanh: the arrays do not say"


def read_named(layout: str, store: Store) -> Contents:
    """The cells of a file in the layout of that name, and the dense layers that fit behind them."""
    keys = tuple(store.arrays)
    store = store.without_optimizer()
    names = {_plain(key): key for key in store.arrays}
    found: dict[str, Found] = {}
    refused: list[Refused] = []
    for recipe in RECIPES[layout]:
        for prefix in _prefixes(recipe, names):
            try:
                net = _net(store, prefix, recipe, names)
                found.setdefault(net.key, net)
            except ModelFileError as error:
                refused.append(Refused(names[prefix + recipe.names[0]], str(error)))
    nets = tuple(sorted(found.values(), key=lambda net: net.key))
    dense = tuple(_dense(layout, store, nets))
    return Contents(store.name, layout, nets, dense, keys, tuple(refused))


def _plain(key: str) -> str:
    return key.replace("/", ".").removesuffix(".value")


def _prefixes(recipe: Recipe, names: Mapping[str, str]) -> Iterator[str]:
    """The prefixes, with the last dot, under which all names of a cell stand."""
    anchor = recipe.names[0]
    for name in names:
        prefix = name.removesuffix(anchor)
        if prefix == name or (prefix and not prefix.endswith(".")):
            continue
        last = prefix.rstrip(".").rpartition(".")[2]
        if recipe.within in last.lower() and all(prefix + one in names for one in recipe.names):
            yield prefix


def _net(store: Store, prefix: str, recipe: Recipe, names: Mapping[str, str]) -> Found:
    mine = {one: names[prefix + one] for one in (*recipe.names, *recipe.optional)
            if prefix + one in names}  # fmt: skip
    first = mine[recipe.names[0]]
    key = first[: len(prefix)].rstrip("./")
    strange = [n for p, n in names.items() if prefix and p.startswith(prefix)
               and n not in mine.values()]  # fmt: skip
    if strange:
        words = (
            f"holds beside its weights {several(strange)}; rnngrad does not know what they do, "
            "and the cell's equation may be another"
        )
        raise store.refuse(key, words)
    cell, own = _layer(store, key, recipe, {one: store.real(at) for one, at in mine.items()})
    assumed = (TANH,) if cell == "rnn" and recipe.activation is None else ()
    dtype = store.arrays[first].dtype
    return Found(key, cell, (own,), recipe.activation, dtype, assumed)


def _layer(store: Store, key: str, recipe: Recipe, parts: Parts) -> tuple[str, Layer]:
    """The cell and its arrays, where they fit each other."""
    shapes = [f"{name} {sides(array.shape)}" for name, array in parts.items()]
    wrong = f"has arrays that do not fit each other: {several(shapes)}"
    if any(array.ndim not in (1, 2) or 0 in array.shape for array in parts.values()):
        raise store.refuse(key, wrong)
    try:
        made = recipe.build(parts)
    except ValueError:
        raise store.refuse(key, wrong) from None
    gates, hidden = len(made.order), made.W_h.shape[-1]
    biases = [np.zeros(gates * hidden) if b is None else b for b in (made.b_x, made.b_h)]
    fits = (
        gates in BY_GATES
        and made.W_h.shape == (gates * hidden, hidden)
        and made.W_x.ndim == 2
        and made.W_x.shape[0] == gates * hidden
        and made.W_x.shape[1] > 0
        and all(b.shape == (gates * hidden,) for b in biases)
    )
    if not fits:
        raise store.refuse(key, wrong)
    cell = BY_GATES[gates]
    own = layer(cell, made.order, (made.W_x, made.W_h), (biases[0], biases[1]))
    return (RESET_BEFORE, reset_before(own)) if made.reset_before else (cell, own)


_DENSE: Mapping[str, tuple[str, str]] = MappingProxyType(
    {"flax": ("kernel", "bias"), "haiku": ("w", "b"), "mlx": ("weight", "bias")}
)
"""layout -> what a dense layer's matrix and bias are called"""


def _dense(layout: str, store: Store, nets: tuple[Found, ...]) -> Iterator[Dense]:
    """Dense layers that fit behind some cell, or before it, not within one: with a bias, which
    embeddings do not have."""
    weight, bias = _DENSE[layout]
    met = ends(nets)
    within = tuple(f"{_plain(net.key)}." for net in nets if net.key)
    for key, stored in store.arrays.items():
        if _plain(key).startswith(within):
            continue
        base, parted, last = _plain(key).rpartition(".")
        beside = key[: len(base) + len(parted)] + bias
        if last != weight or len(stored.shape) != 2 or beside not in store.arrays:
            continue
        outputs, width = stored.shape if layout == "mlx" else stored.shape[::-1]
        if not met.meets(outputs, width) or store.arrays[beside].shape != (outputs,):
            continue
        turned = layout != "mlx"
        try:
            W, b = store.real(key), store.real(beside)
        except ModelFileError:
            continue
        yield Dense(key[: len(base)], W.T if turned else W, b, None,
                    f"{key}.T" if turned else key, beside)  # fmt: skip
