"""What PyTorch's keys say: ``encoder.rnn.weight_hh_l0_reverse`` -> whose it is, and which part.

Source: torch.nn.RNN, GRU, LSTM, RNNCell, GRUCell, LSTMCell.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

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
