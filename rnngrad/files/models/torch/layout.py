"""PyTorch's state_dicts: ``weight_ih_l0``, ``weight_hh_l0``, ``bias_ih_l0``, ``bias_hh_l0``.

Cells have no ``_l0``; a net within a net has a prefix that ends in a dot. The rows of W_hh, 1, 3 or
4 times its columns, tell the cell; rows stand in the contract's order. ``w_ih``, ``w_hh``,
``b_ih``, ``b_hh``, as people write who keep such a net in a .npz file, are taken for the same.

Equinox calls its cells' weights alike, but keeps one ``bias``, which is b_ih, and in a gru
``bias_n``, which stands where W_hn h does: b_hh = [0, 0, bias_n].

What else stands under a net's prefix may change its equation (LayerNorm, peepholes, a cell in the
cell), so that it refuses the net by name. Where the prefix is no module's, a read-out or an
embedding may stand there, and is named.

With ``proj_size`` an lstm has ``weight_hr_l0`` (P, H) as well, and weight_hh (4H, P): the cell
lstm_projection.

Sources: torch.nn.RNN, GRU, LSTM, RNNCell, GRUCell, LSTMCell; equinox.nn.GRUCell, LSTMCell.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise, takewhile

import numpy as np

from rnngrad.arithmetic.arrays import Array
from rnngrad.files.models.gates import (
    GATES,
    Keys,
    by_equations,
    cell_of,
    expect,
    layer,
    stacked,
)
from rnngrad.files.models.records import (
    BACKWARD,
    Contents,
    Dense,
    Ends,
    Found,
    Layer,
    ModelFileError,
    Refused,
    Store,
    ends,
)
from rnngrad.files.models.torch.keys import Part, grouped, part_of, with_computed
from rnngrad.files.text import listed, several, sides

_DENSE = re.compile(r"(?P<base>.*?)(?P<part>\.?weight|_w)", re.DOTALL)

Members = Mapping[tuple[int, bool], Mapping[str, str]]
"""(layer, reverse) -> part -> key"""

Under = Callable[[str], Iterable[str]]
"""prefix -> the keys that begin with it"""

PROJECTED = "lstm_projection"
TANH = "activation tanh: a state_dict does not say, nn.RNN may have had nonlinearity='relu'"
NAMES = "PyTorch's gates and equations: the names w_ih and w_hh do not say"


def read_torch(store: Store) -> Contents:
    """The nets of a state_dict."""
    keys = tuple(store.arrays)
    store = with_computed(store.without_optimizer())
    found: list[Found] = []
    refused: list[Refused] = []
    under = _under(store)
    for prefix, parts in grouped(store.arrays).items():
        try:
            found += _nets(store, prefix, {**parts, **_equinox(store, prefix)}, under)
        except ModelFileError as error:
            refused.append(Refused(prefix, str(error)))
    dense = tuple(dense_layers(store, ends(found)))
    return Contents(
        store.name, "torch", tuple(found), dense, keys, tuple(refused), order=_order(keys)
    )


def _order(keys: tuple[str, ...]) -> tuple[str, ...]:
    """The keys, where they stand as the module has them: not where a writer has sorted them."""
    return () if sorted(keys) == list(keys) else keys


def _under(store: Store) -> Under:
    """A file may hold any number of nets: the keys of a prefix stand side by side when sorted."""
    keys = sorted(store.arrays)

    def under(prefix: str) -> Iterable[str]:
        start = bisect_left(keys, prefix)
        return takewhile(
            lambda key: key.startswith(prefix), map(keys.__getitem__, range(start, len(keys)))
        )

    return under


def _equinox(store: Store, prefix: str) -> dict[str, Part]:
    """The biases beside a cell's weights that are called as Equinox calls them."""
    if f"{prefix}weight_hh" not in store.arrays:
        return {}
    names = (name for name in ("bias", "bias_n") if prefix + name in store.arrays)
    return {prefix + name: Part(prefix, name, 0, False, "") for name in names}


def _nets(store: Store, prefix: str, parts: Mapping[str, Part], under: Under) -> list[Found]:
    """The net of a prefix; two, forward and reverse, where it is bidirectional."""
    for key, part in parts.items():
        if part.trouble:
            raise store.refuse(key, part.trouble)
    members: dict[tuple[int, bool], dict[str, str]] = {}
    for key, part in parts.items():
        if part.part in members.setdefault((part.layer, part.reverse), {}):
            raise store.refuse(key, f"is {part.part} of the same layer once more")
        members[part.layer, part.reverse][part.part] = key
    backward = {reverse for _, reverse in members}
    beside = _beside(store, prefix, parts, members, under)
    generic = any(re.search(r"(?:^|[^a-z])[wb]_[ih]h", key.removeprefix(prefix)) for key in parts)
    nets = [_net(store, prefix, members, reverse, generic) for reverse in sorted(backward)]
    return [net._replace(assumed=net.assumed + beside) for net in nets]


MOST_COPIES = 20
"""Arrays beside a net that are compared with its own."""


def _beside(
    store: Store, prefix: str, parts: Mapping[str, Part], members: Members, under: Under
) -> tuple[str, ...]:
    """In words, what stands under the prefix and follows or precedes the net; refused is all else.

    A module's own prefix ends in a dot: whatever stands there is the net's.
    """
    others = [key for key in under(prefix) if key not in parts]
    known = [] if prefix.endswith(".") else _around(store, others, members)
    strange = [key for key in others if key not in known]
    if len(strange) <= MOST_COPIES:
        strange = [key for key in strange if not _copied(store, key, parts)]
    if strange:
        words = (
            f"holds beside its weights {several(strange)}; rnngrad does not know what they do, "
            "and the net's equation may be another; if they are no part of it, save its weights "
            "without them"
        )
        raise store.refuse(prefix, words)
    words = f"a read-out or an embedding, no part of the net: {several(known)}"
    return (words,) if known else ()


def _copied(store: Store, key: str, parts: Mapping[str, Part]) -> bool:
    """Whether an array is one of the net's own once more, as tied ones are saved."""
    shape = store.arrays[key].shape
    for mine in parts if part_of(key) is None else ():
        if store.arrays[mine].shape == shape:
            array = store.arrays[mine].read()
            varied = array.size and np.any(array != array.flat[0])
            if varied and np.array_equal(array, store.arrays[key].read()):
                return True
    return False


def _around(store: Store, keys: list[str], members: Members) -> list[str]:
    """The keys of dense layers as wide as a net, and of embeddings as wide as its inputs."""
    shapes = {key: store.arrays[key].shape for key in keys}
    matrices = [
        (part, store.arrays[key].shape)
        for layer in members.values()
        for part, key in layer.items()
        if part in ("weight_ih", "weight_hh") and len(store.arrays[key].shape) == 2
    ]
    widths = frozenset(shape[1] for _, shape in matrices)
    met = Ends(widths, frozenset(shape[1] for part, shape in matrices if part == "weight_ih"))
    around = [
        key for key, bias in _linear(store, keys, met) for key in (key, bias) if key in shapes
    ]
    return around + [
        key
        for key, shape in shapes.items()
        if "emb" in key.lower() and len(shape) == 2 and shape[1] in widths and key not in around
    ]


def _net(store: Store, prefix: str, members: Members, reverse: bool, generic: bool) -> Found:
    numbers = sorted(number for number, backward in members if backward is reverse)
    keys = [_keys(store, members[number, reverse]) for number in numbers]
    gap = next((b for a, b in pairwise([-1, *numbers]) if b != a + 1), None)
    if gap is not None:
        words = f"is layer {gap}, layer {gap - 1} is missing"
        raise store.refuse(keys[numbers.index(gap)].W_hh, words)
    projected = any(each.W_hr is not None for each in keys)
    cell = PROJECTED if projected else cell_of(store, keys[0].W_hh)
    layers = tuple(
        _projected(store, each) if projected else _layer(store, cell, each) for each in keys
    )
    assumed = [TANH] if cell == "rnn" else []
    assumed += [NAMES] if generic and cell != "rnn" else []
    assumed += [BACKWARD] if reverse else []
    paired = len({backward for _, backward in members}) > 1
    return Found(
        prefix,
        cell,
        stacked(layers, store.place(prefix), 2 if paired else 1),
        None,
        store.arrays[keys[0].W_hh].dtype,
        tuple(assumed),
        ("reverse" if reverse else "forward") if paired or reverse else None,
        paired,
    )


def _keys(store: Store, parts: Mapping[str, str]) -> Keys:
    """The keys of a layer; refused where a weight, or one bias of two, is missing."""
    needed = ["weight_ih", "weight_hh"]
    if "bias_ih" in parts or "bias_hh" in parts:
        needed += ["bias_ih", "bias_hh"]
    for part in needed:
        if part not in parts:
            like = next(iter(parts.values()))
            raise store.refuse(like, f"has no {part} beside it, only {listed(parts)}")
    weights, W_hr = (parts["weight_ih"], parts["weight_hh"]), parts.get("weight_hr")
    if "bias_ih" in parts:
        for part in ("bias", "bias_n"):
            if part in parts:
                raise store.refuse(parts[part], "is a bias more, beside bias_ih and bias_hh")
        return Keys(*weights, parts["bias_ih"], parts["bias_hh"], W_hr=W_hr)
    return Keys(*weights, parts.get("bias"), None, parts.get("bias_n"), W_hr)


def _layer(store: Store, cell: str, keys: Keys) -> Layer:
    if cell_of(store, keys.W_hh) != cell:
        raise store.refuse(keys.W_hh, f"is no {cell} as layer 0 is; all layers must be")
    rows, _ = store.arrays[keys.W_hh].shape
    expect(store, keys.W_ih, (rows, None), keys.W_hh)
    W = (store.real(keys.W_ih), store.real(keys.W_hh))
    return layer(cell, GATES[cell], W, _biases(store, cell, keys))


def _projected(store: Store, keys: Keys) -> Layer:
    """A layer of an lstm with a projection: h_t = W_hr (o_t ∘ tanh(c_t))."""
    if keys.W_hr is None:
        raise store.refuse(keys.W_hh, "has no weight_hr beside it, as another layer has")
    rows, columns = (*store.arrays[keys.W_hh].shape, 0, 0)[:2]
    if len(store.arrays[keys.W_hh].shape) != 2 or not rows or rows % 4 or not columns:
        words = "must be 4H×P: weight_hr beside it is an lstm's projection"
        raise store.refuse(keys.W_hh, f"is {sides(store.arrays[keys.W_hh].shape)}, {words}")
    expect(store, keys.W_hr, (columns, rows // 4), keys.W_hh)
    expect(store, keys.W_ih, (rows, None), keys.W_hh)
    W = (store.real(keys.W_ih), store.real(keys.W_hh))
    whole = layer("lstm", GATES["lstm"], W, _biases(store, "lstm", keys))
    return Layer({**by_equations(whole, "lstm").parameters, "W_p": store.real(keys.W_hr)})


def _biases(store: Store, cell: str, keys: Keys) -> tuple[Array, Array] | None:
    """(b_ih, b_hh); Equinox's as the module's docstring says."""
    rows, hidden = store.arrays[keys.W_hh].shape
    for bias in (keys.b_ih, keys.b_hh):
        if bias is not None:
            expect(store, bias, (rows,), keys.W_hh)
    if keys.b_n is not None and (cell != "gru" or keys.b_ih is None):
        raise store.refuse(keys.b_n, "belongs to the gate n of a gru with bias, this is none")
    if keys.b_ih is None:
        return None
    b_ih = store.real(keys.b_ih)
    if keys.b_hh is not None:
        return b_ih, store.real(keys.b_hh)
    b_hh = np.zeros(rows)
    if cell == "gru":
        if keys.b_n is None:
            words = "is a gru's only bias: bias_n is missing, so its equation may be another"
            raise store.refuse(keys.b_ih, words)
        expect(store, keys.b_n, (hidden,), keys.W_hh)
        b_hh[-hidden:] = store.real(keys.b_n)
    return b_ih, b_hh


# ---------------------------------------------------------------------------- read-outs


def dense_layers(store: Store, met: Ends) -> list[Dense]:
    """The dense layers that fit behind some net, or before it, those with a bias first.

    A matrix without a bias may be an embedding, (words, width); what is called so is left out.
    """
    found = [
        (key, bias if bias in store.arrays else None, match["base"])
        for key, bias in _linear(store, store.arrays, met)
        if (match := _DENSE.fullmatch(key)) is not None
    ]
    found.sort(key=lambda keys: keys[1] is None)
    return [layer for names in found for layer in _dense(store, *names)]


def _linear(store: Store, keys: Iterable[str], met: Ends) -> list[tuple[str, str]]:
    """The keys of matrices (O, H) that meet a net, and of their biases, there or not."""
    found = []
    for key in keys:
        stored, match = store.arrays[key], _DENSE.fullmatch(key)
        if match is None or len(stored.shape) != 2 or not met.meets(*stored.shape):
            continue
        bias = match["base"] + match["part"].replace("weight", "bias").replace("_w", "_b")
        has_bias = bias in store.arrays and store.arrays[bias].shape == (stored.shape[0],)
        if stored.shape[0] and (has_bias or "emb" not in key.lower()):
            found.append((key, bias if has_bias else ""))
    return found


def _dense(store: Store, key: str, bias: str | None, base: str) -> list[Dense]:
    """The layer, or nothing where its numbers are not finite."""
    try:
        W, b = store.real(key), None if bias is None else store.real(bias)
    except ModelFileError:
        return []
    return [Dense(base, W, b, None, key, bias)]
