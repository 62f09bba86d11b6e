"""Named arrays as bytes between two processes, one of which is not trusted.

A message is eight bytes, the length of its head; the head, a JSON object with its ``kind``, what
it ``said`` and a row ``[name, type, shape]`` an array; then the arrays' own bytes, in that order.
Nothing is unpickled, and whatever is not such a message is a MessageError.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

LONGEST_HEAD = 2**20
LONGEST_NAME = 200
MOST_ARRAYS, MOST_AXES = 1_000, 32
TYPE = re.compile(r"[<>|](b1|[iu][1248]|f(2|4|8|16))")

Arrays = Mapping[str, npt.NDArray[Any]]
NONE: Arrays = {}


class MessageError(ValueError):
    """These bytes are no message."""


class Message(NamedTuple):
    """``said`` is whatever JSON the other side wrote: whoever reads it checks its types."""

    kind: str
    said: Mapping[str, Any]
    arrays: Arrays


def packed(kind: str, arrays: Arrays = NONE, **said: object) -> list[bytes]:
    """The bytes of a message, in parts."""
    rows = [[name, array.dtype.str, array.shape] for name, array in arrays.items()]
    head = json.dumps({"kind": kind, "said": said, "arrays": rows}).encode()
    return [
        len(head).to_bytes(8, "little"), head, *(array.tobytes() for array in arrays.values())
    ]  # fmt: skip


def unpacked(read: Callable[[int], bytes], most: float = math.inf) -> Message:
    """The next message, whose arrays hold at most so many numbers. ``read(n)`` gives the next n
    bytes."""
    length = int.from_bytes(read(8), "little")
    if length > LONGEST_HEAD:
        raise MessageError("its head is too long")
    try:
        head = json.loads(read(length).decode())
    except (ValueError, RecursionError):
        raise MessageError("its head is no JSON") from None
    match head:
        case {"kind": str(kind), "said": dict(said), "arrays": list(rows)}:
            pass
        case _:
            raise MessageError("its head lacks something")
    if len(rows) > MOST_ARRAYS:
        raise MessageError("it has too many arrays")
    declared = [_declared(row) for row in rows]
    if sum(math.prod(array.shape) for array in declared) > most:
        raise MessageError("its arrays are too large")
    arrays = {array.name: array.filled(read(array.size)) for array in declared}
    if len(arrays) < len(declared):
        raise MessageError("two of its arrays have one name")
    return Message(kind, said, arrays)


class _Declared(NamedTuple):
    """An array as the head has it; ``size`` in bytes."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    size: int

    def filled(self, data: bytes) -> npt.NDArray[Any]:
        """An array of its own, that may be written to."""
        try:
            return np.frombuffer(data, self.dtype).reshape(self.shape).copy()
        except ValueError:  # no entries, but sides whose product no array may have
            raise MessageError("one of its arrays has no shape") from None


def is_name(text: str) -> bool:
    """Whether an array may be called so."""
    return len(text) <= LONGEST_NAME and text.isprintable()


def _declared(row: object) -> _Declared:
    match row:
        case [str(name), str(kind), list(shape)] if TYPE.fullmatch(kind):
            pass
        case _:
            raise MessageError("one of its arrays is not described")
    if not all(type(n) is int and 0 <= n < 2**40 for n in shape) or len(shape) > MOST_AXES:
        raise MessageError("one of its arrays has no shape")
    if not is_name(name):
        raise MessageError("one of its arrays has no name")
    try:
        dtype = np.dtype(kind)
    except TypeError:
        raise MessageError("one of its arrays has a type that NumPy lacks") from None
    return _Declared(name, dtype, tuple(shape), math.prod(shape) * dtype.itemsize)
