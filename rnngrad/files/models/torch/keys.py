"""What PyTorch's keys say: ``encoder.rnn.weight_hh_l0_reverse`` -> whose it is, and which part.

Source: torch.nn.RNN, GRU, LSTM, RNNCell, GRUCell, LSTMCell.

PyTorch's weights that a file keeps in parts, each computed and put under its plain key.

    pruning         W = weight_orig ∘ weight_mask
    weight norm     W = g v / ‖v‖, from weight_g and weight_v, or from original0 and original1;
                    ‖v‖ is taken along the axes where g has length 1
    weight dropout  W = weight_raw: weight beside it is the copy that dropout has thinned; fastai
                    keeps weight_raw in the wrapper, all others in its ``module``

Parts that are none of these stay as they are, and the net is refused.

Sources: torch.nn.utils.prune, torch.nn.utils.weight_norm, torch.nn.utils.parametrizations; Merity,
Keskar, Socher 2018, "Regularizing and Optimizing LSTM Language Models", and fastai's WeightDropout.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from rnngrad.arithmetic.arrays import Array
from rnngrad.files.models.records import Store, Stored, finite
from rnngrad.files.text import sides

_PARTS = "weight_ih|weight_hh|weight_hr|bias_ih|bias_hh|w_ih|w_hh|b_ih|b_hh"
_KEY = re.compile(
    rf"(?P<prefix>.*?)(?P<parametrized>parametrizations\.)?(?P<part>{_PARTS})"
    r"(?:_l(?P<layer>[0-9]{1,4}))?(?P<reverse>_reverse)?"
    r"(?P<rest>_g|_v|_u|_orig|_mask|_raw|\..*)?",
    re.DOTALL,
)


class Part(NamedTuple):
    """What a key says: whose it is, which part, what keeps it from being used, and the ``rest`` of
    the key, which names a part of a part: ``_g``, ``.original0``."""

    prefix: str
    part: str
    layer: int
    reverse: bool
    trouble: str
    rest: str = ""


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
    rest = match["rest"] or ("." if match["parametrized"] else "")
    trouble = ""
    if key.endswith(".grad"):
        trouble = "ends in .grad; save gradients under the parameters' own names"
    elif rest:
        trouble = (
            "is a parametrisation (spectral norm or the like, or half of one), not the weight "
            "itself; call torch.nn.utils.remove_weight_norm or "
            "torch.nn.utils.parametrize.remove_parametrizations before you save"
        )
    layer, reverse = int(match["layer"] or 0), bool(match["reverse"])
    return Part(match["prefix"], part, layer, reverse, trouble, rest)


def plain_key(key: str) -> str:
    """The key of the weight that ``key`` is a part of."""
    match = _KEY.fullmatch(key)
    if match is None:
        return key
    end = len(key) - len(match["rest"] or "")
    return match["prefix"] + key[match.start("part") : end]


WRAPPED = "module."
"""Where fastai's WeightDropout keeps the net that it wraps."""


class Way(NamedTuple):
    """How a weight comes from the arrays of its parts, in their order."""

    parts: tuple[str, ...]
    compute: Callable[..., Array]
    replaces: bool = False


def _product(orig: Array, mask: Array) -> Array:
    return orig * mask


def _normed(g: Array, v: Array) -> Array:
    axes = tuple(axis for axis in range(v.ndim) if g.ndim == 0 or g.shape[axis] == 1)
    with np.errstate(all="ignore"):  # a row of zeros has no direction: its nan is refused by name
        normed: Array = g * v / np.sqrt(np.sum(v * v, axis=axes, keepdims=True))
    return normed


WAYS: Mapping[frozenset[str], Way] = MappingProxyType(
    {
        frozenset(way.parts): way
        for way in (
            Way(("_orig", "_mask"), _product),
            Way(("_g", "_v"), _normed),
            Way((".original0", ".original1"), _normed),
            Way(("_raw",), lambda raw: raw, replaces=True),
        )
    }
)
"""the parts of a weight -> how it is computed: the one place to add one"""


def with_computed(store: Store) -> Store:
    """The arrays of a file with the weights in the place of their parts."""
    parts = {key: part for key in store.arrays if (part := part_of(key)) is not None}
    found: dict[tuple[str, str], dict[str, str]] = {}
    for key, part in parts.items():
        if part.rest:
            name = plain_key(key).removeprefix(part.prefix)
            found.setdefault((part.prefix, name), {})[part.rest] = key
    nets = {part.prefix for part in parts.values() if not part.rest}
    arrays = dict(store.arrays)
    for (prefix, name), keys in found.items():
        way = WAYS.get(frozenset(keys))
        if way is None or (prefix + name in arrays and not way.replaces):
            continue
        for key in keys.values():
            del arrays[key]
        wrapped = way.replaces and prefix + WRAPPED in nets
        home = prefix + WRAPPED if wrapped else prefix
        arrays[home + name] = _computed(store, way, keys)
    return store._replace(arrays=arrays)


def _computed(store: Store, way: Way, keys: Mapping[str, str]) -> Stored:
    mine = [keys[part] for part in way.parts]
    whole = store.arrays[mine[-1]]

    def read() -> Array:
        for key in mine[:-1]:
            shape = store.arrays[key].shape
            fits = len(shape) in (0, len(whole.shape)) and all(
                one in (1, all_) for one, all_ in zip(shape, whole.shape, strict=False)
            )
            if not fits:
                words = f"does not fit {mine[-1]}, which is {sides(whole.shape)}"
                raise store.refuse(key, f"is {sides(shape)}, {words}")
        return way.compute(*(finite(store.arrays[key].read(), store.place(key)) for key in mine))

    return Stored(whole.shape, whole.dtype, read, max(store.arrays[key].eps for key in mine))
