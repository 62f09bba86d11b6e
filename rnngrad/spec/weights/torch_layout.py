"""PyTorch's state_dicts: ``weight_ih_l0``, ``weight_hh_l0``, ``bias_ih_l0``, ``bias_hh_l0``.

Cells have no ``_l0``; a net within a net has a prefix that ends in a dot. The rows of W_hh, 1, 3 or
4 times its columns, tell the cell; rows stand in the contract's order. ``w_ih``, ``w_hh``,
``b_ih``, ``b_hh``, as people write who keep such a net in a .npz file, are taken for the same.

Sources: torch.nn.RNN, GRU, LSTM, RNNCell, GRUCell, LSTMCell; torch.nn.utils.weight_norm,
torch.nn.utils.parametrizations.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import NamedTuple

from rnngrad.spec.text import listed
from rnngrad.spec.weights.gates import GATES, Keys, cell_of, expect, layer, stacked
from rnngrad.spec.weights.records import (
    Contents,
    Dense,
    Found,
    Layer,
    ModelFileError,
    Refused,
    Store,
)

_PARTS = "weight_ih|weight_hh|weight_hr|bias_ih|bias_hh|w_ih|w_hh|b_ih|b_hh"
_KEY = re.compile(
    rf"(?P<prefix>.*?)(?P<parametrized>parametrizations\.)?(?P<part>{_PARTS})"
    r"(?:_l(?P<layer>[0-9]{1,4}))?(?P<reverse>_reverse)?(?P<more>_g|_v|_orig|_raw|\..*)?",
    re.DOTALL,
)
_DENSE = re.compile(r"(?P<base>.*?)(?P<part>\.?weight|_w)", re.DOTALL)

Members = Mapping[tuple[int, bool], Mapping[str, str]]
"""(layer, reverse) -> part -> key"""

TANH = "activation tanh: a state_dict does not say, nn.RNN may have had nonlinearity='relu'"
NAMES = "PyTorch's gates and equations: the names w_ih and w_hh do not say"
REVERSE = "the net runs backward in time: give its inputs in reversed order"


class Part(NamedTuple):
    """What a key says: whose it is, which part, and what keeps it from being used."""

    prefix: str
    part: str
    layer: int
    reverse: bool
    trouble: str


def read_torch(store: Store) -> Contents:
    """The nets of a state_dict."""
    found: list[Found] = []
    refused: list[Refused] = []
    for prefix, parts in grouped(store.arrays).items():
        try:
            found += _nets(store, prefix, parts)
        except ModelFileError as error:
            refused.append(Refused(prefix, str(error)))
    dense = dense_layers(store, {net.hidden for net in found})
    return Contents(
        store.name, "torch", tuple(found), tuple(dense), tuple(store.arrays), tuple(refused)
    )


def grouped(keys: Iterable[str]) -> dict[str, dict[str, Part]]:
    """prefix -> key -> what the key says"""
    groups: dict[str, dict[str, Part]] = {}
    for key in keys:
        part = part_of(key)
        if part is not None:
            groups.setdefault(part.prefix, {})[key] = part
    return groups


def part_of(key: str) -> Part | None:
    """What a key says of a recurrent net, or None."""
    match = _KEY.fullmatch(key)
    if match is None:
        return None
    part = match["part"].replace("w_", "weight_").replace("b_", "bias_")
    trouble = ""
    if key.endswith(".grad"):
        trouble = "ends in .grad; save gradients under the parameters' own names"
    elif match["parametrized"] or match["more"]:
        trouble = (
            "is a parametrisation (weight norm, spectral norm or the like), not the weight itself; "
            "call torch.nn.utils.remove_weight_norm or "
            "torch.nn.utils.parametrize.remove_parametrizations before you save"
        )
    elif part == "weight_hr":
        trouble = "is an LSTM's projection (proj_size), which rnngrad's lstm has not"
    return Part(match["prefix"], part, int(match["layer"] or 0), bool(match["reverse"]), trouble)


def _nets(store: Store, prefix: str, parts: Mapping[str, Part]) -> list[Found]:
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
    if len(backward) > 1 and len(members) > 2:
        words = (
            "is of a bidirectional net with several layers: each reads both directions of the one "
            "below, so no direction is a net by itself"
        )
        raise store.refuse(next(k for k, p in parts.items() if p.reverse), words)
    generic = any(re.search(r"(?:^|[^a-z])[wb]_[ih]h", key.removeprefix(prefix)) for key in parts)
    return [_net(store, prefix, members, reverse, generic) for reverse in sorted(backward)]


def _net(store: Store, prefix: str, members: Members, reverse: bool, generic: bool) -> Found:
    numbers = sorted(number for number, backward in members if backward is reverse)
    keys = [_keys(store, members[number, reverse]) for number in numbers]
    gap = next((b for a, b in pairwise([-1, *numbers]) if b != a + 1), None)
    if gap is not None:
        words = f"is layer {gap}, layer {gap - 1} is missing"
        raise store.refuse(keys[numbers.index(gap)].W_hh, words)
    cell = cell_of(store, keys[0].W_hh)
    layers = tuple(_layer(store, cell, each) for each in keys)
    assumed = [TANH] if cell == "rnn" else []
    assumed += [NAMES] if generic and cell != "rnn" else []
    assumed += [REVERSE] if reverse else []
    paired = len({backward for _, backward in members}) > 1
    return Found(
        prefix,
        cell,
        stacked(layers, store.place(prefix)),
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
    weights = (parts["weight_ih"], parts["weight_hh"])
    return Keys(*weights, parts.get("bias_ih"), parts.get("bias_hh"))


def _layer(store: Store, cell: str, keys: Keys) -> Layer:
    if cell_of(store, keys.W_hh) != cell:
        raise store.refuse(keys.W_hh, f"is no {cell} as layer 0 is; all layers must be")
    rows, _ = store.arrays[keys.W_hh].shape
    expect(store, keys.W_ih, (rows, None), keys.W_hh)
    W = (store.real(keys.W_ih), store.real(keys.W_hh))
    if keys.b_ih is None or keys.b_hh is None:
        return layer(cell, GATES[cell], W, None)
    for bias in (keys.b_ih, keys.b_hh):
        expect(store, bias, (rows,), keys.W_hh)
    return layer(cell, GATES[cell], W, (store.real(keys.b_ih), store.real(keys.b_hh)))


# ---------------------------------------------------------------------------- read-outs


def dense_layers(store: Store, widths: set[int]) -> list[Dense]:
    """The dense layers whose input is as wide as some net's state, those with a bias first.

    A matrix without a bias may be an embedding, (words, width); what is called so is left out.
    """
    found = []
    for key, stored in store.arrays.items():
        match = _DENSE.fullmatch(key)
        if match is None or len(stored.shape) != 2 or stored.shape[1] not in widths:
            continue
        bias = match["base"] + match["part"].replace("weight", "bias").replace("_w", "_b")
        has_bias = bias in store.arrays and store.arrays[bias].shape == (stored.shape[0],)
        if stored.shape[0] and (has_bias or "emb" not in key.lower()):
            found.append((key, bias if has_bias else None, match["base"]))
    found.sort(key=lambda keys: keys[1] is None)
    return [layer for names in found for layer in _dense(store, *names)]


def _dense(store: Store, key: str, bias: str | None, base: str) -> list[Dense]:
    """The layer, or nothing where its numbers are not finite."""
    try:
        W, b = store.real(key), None if bias is None else store.real(bias)
    except ModelFileError:
        return []
    return [Dense(base, W, b, None, key, bias)]
