"""Names of gradients as people write them -> the contract's.

    dWxh  dW_xh  dL/dW_xh  dLdWxh  ∂L/∂W_xh  grad_W_xh  W_xh.grad  DL_DW_XH      all dL_dW_xh

A word for "the gradient of" stands before or behind the parameter; case, ``_`` and ``/`` do not
count. ``SPELLINGS`` has the parameters' other names. What means one thing here and another there
stays unknown: U, V and W, a ``db`` of two biases, a ``dy`` that is taken before the output's
function by some.

Sources: Karpathy's min-char-rnn.py (dWxh); the sequence models course of deeplearning.ai (dWax, a
for h); torch.nn.RNN, GRU, LSTM and their cells (weight_ih_l0, bias_hh_l0).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from rnngrad.net.cells import EMBEDDING
from rnngrad.net.problem import Problem


class Spelling(NamedTuple):
    """Another name of a parameter, and which of ``means`` it is: the first that the net has.

    ``bare``: as PyTorch writes it, where the name of the parameter is that of its gradient.
    """

    written: str
    means: tuple[str, ...]
    bare: bool = False


_RECORDS = (
    Spelling("W_ax", ("W_xh",)),
    Spelling("W_aa", ("W_hh",)),
    Spelling("W_ya", ("W_hy",)),
    Spelling("b_a", ("b_h",)),
    Spelling("a_0", ("h_0",)),
    Spelling("W_hx", ("W_xh",)),
    Spelling("W_yh", ("W_hy",)),
    Spelling("W_ih", ("W_xh",)),
    Spelling("b_ih", ("b_xh", "b_h")),
    Spelling("b_hh", ("b_hh", "b_h")),
    Spelling("weight_ih", ("W_xh",), bare=True),
    Spelling("weight_hh", ("W_hh",), bare=True),
    Spelling("bias_ih", ("b_xh", "b_h"), bare=True),
    Spelling("bias_hh", ("b_hh", "b_h"), bare=True),
)


def folded(name: str) -> str:
    """A name without what does not count in it."""
    return re.sub(r"[^a-z0-9.]", "", name.lower().replace("∂", "d"))


SPELLINGS: tuple[Spelling, ...] = _RECORDS
"""The one place to add a spelling."""
_BY_NAME: Mapping[str, Spelling] = MappingProxyType({folded(r.written): r for r in SPELLINGS})

_BEFORE = re.compile(
    r"(?:[d∂](?:l|loss|j|e)[\s_/]*[d∂]|[d∂]|grad(?:ient)?(?:_of)?)[\s_/.]*(?=[^\s_/.])",
    re.IGNORECASE,
)
_BEHIND = re.compile(r"[._]grad(?:ient)?\Z", re.IGNORECASE)
_NAME = re.compile(r"[\w./∂ -]{1,200}", re.ASCII)
"""What a spelling is made of; the rest would be dropped in comparing, and be shown in the note."""
_TORCH = re.compile(
    r"(?:.*[._/])?(?P<part>(?:weight|bias)_[ih]h)(?:_l(?P<layer>[0-9]{1,4}))?(?P<way>_reverse)?",
    re.IGNORECASE | re.DOTALL,
)
_LAYER = re.compile(r"(?P<name>.*)\.(?P<layer>[0-9]{1,4})", re.DOTALL)


def _states(problem: Problem) -> tuple[str, ...]:
    """What else of a net has a gradient of its own name."""
    return ("x", *(f"{part}_0" for part in problem.cell.parts))


class Read(NamedTuple):
    """What a name stands for; ``of_torch`` is the spelling of a bias or weight of PyTorch's."""

    name: str
    spelling: Spelling | None = None

    @property
    def of_torch(self) -> bool:
        """Whether PyTorch, or a model's file, calls it so."""
        return self.spelling is not None and self.spelling.bare


OF_A_MODEL = Spelling("", (), bare=True)
"""The key of a read-out's parameter or an embedding in the model's file, as the spec has it."""


def read(name: str, problem: Problem, quantities: Collection[str]) -> Read | None:
    """What a name stands for, of a net's ``quantities``; None where it is unknown.

    >>> import rnngrad
    >>> net = rnngrad.load({"weights": {"W_xh": 1, "W_hh": 0.5}, "inputs": [1], "targets": [0]})
    >>> read("dWxh", net, ["dL_dW_xh", "dL_dW_hh"]).name
    'dL_dW_xh'
    """
    if name in quantities:
        return Read(name)
    if not _NAME.fullmatch(name):
        return None
    same = [own for own in quantities if folded(own) == folded(name)]
    if len(same) == 1:
        return Read(same[0])
    found = _of_parameter(name, problem)
    return found if found is not None and found.name in quantities else None


def _of_parameter(name: str, problem: Problem) -> Read | None:
    behind = _BEHIND.search(name)
    what = name[: behind.start()] if behind else name
    keys = {} if problem.trained is None else {k: n for n, k in problem.trained.keys.items()}
    if problem.tokens is not None and problem.tokens.key is not None:
        keys[problem.tokens.key] = "embedding"
    if what in keys:
        return Read(f"dL_d{keys[what]}", OF_A_MODEL)
    before = _BEFORE.match(what)
    what = what[before.end() :] if before else what
    torch = _TORCH.fullmatch(what)
    if torch:
        return _other(folded(torch["part"]), torch["layer"], problem, torch["way"] or "")
    if what == name:
        return None  # the parameter itself
    layer = _LAYER.fullmatch(what)
    what, number = (layer["name"], layer["layer"]) if layer else (what, None)
    own = {folded(one.partition(".")[0]): one.partition(".")[0] for one in problem.weights}
    own |= {folded(one): one for one in _states(problem)}
    own |= {} if problem.tokens is None else {EMBEDDING: EMBEDDING}
    if folded(what) in own:
        return Read(f"dL_d{_in_layer(own[folded(what)], number)}")
    return _other(folded(what), number, problem)


def _other(written: str, number: str | None, problem: Problem, way: str = "") -> Read | None:
    """By the table, in layer ``number`` (PyTorch writes that of a single layer, too)."""
    record = _BY_NAME.get(written)
    if record is None:
        return None
    if record.bare and problem.depth == 1 and number == "0":
        number = None
    for parameter in (_in_layer(means + way, number) for means in record.means):
        if parameter in problem.weights or parameter in _states(problem):
            return Read(f"dL_d{parameter}", record)
    return None


def _in_layer(parameter: str, number: str | None) -> str:
    return parameter if number is None else f"{parameter}.{int(number)}"


def two_of_one(readings: Mapping[str, Read]) -> dict[str, tuple[str, str]]:
    """Name as written -> what it stands for, and the earlier name that stands for it too.

    ``b_ih`` and ``b_hh`` of an rnn or lstm are no such pair: both have the gradient of b_h.
    """
    first: dict[str, list[str]] = {}
    found = {}
    for written, one in readings.items():
        earlier = first.setdefault(one.name, [])
        if any(not _a_pair(readings[other], one) for other in earlier):
            found[written] = (one.name, earlier[0])
        earlier.append(written)
    return found


def _a_pair(one: Read, other: Read) -> bool:
    if one.spelling is None or other.spelling is None:
        return False
    names = {one.spelling.written, other.spelling.written}
    return names in ({"bias_ih", "bias_hh"}, {"b_ih", "b_hh"})


def note(written: Iterable[str], name: str) -> str:
    """``given as bias_ih_l0 and as bias_hh_l0``; nothing for the contract's own name."""
    others = [f"as {one}" for one in written if one != name]
    return f"given {' and '.join(others)}" if others else ""
