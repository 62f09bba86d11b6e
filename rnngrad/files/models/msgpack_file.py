"""What ``flax.serialization.to_bytes`` writes: nested mappings of arrays in MessagePack.

    {name: {name: …, name: ext 1 of (shape, name of the type, bytes)}}

An array beyond 2³⁰ bytes is a mapping of ``shape`` and ``chunks``. Keys are joined by ``/``. The
name of a type is NumPy's, or bfloat16. Nothing but arrays, numbers, texts and mappings is in such a
file; the package bounds every length by the file's, and we bound those for which it makes room
ahead.

Source: flax/serialization.py, ``msgpack_serialize``.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rnngrad.files.arrays.numpy_files import Numbers
from rnngrad.files.models.opening import needed
from rnngrad.files.models.records import ModelFileError, Store, Stored
from rnngrad.files.models.torch.safetensors_file import KINDS, MOST_AXES, Kind, bfloat16
from rnngrad.files.text import cut, shown

ARRAY, SCALAR = 1, 3
"""Flax's types of extension that hold an array; 2 is a complex number of Python's."""

CHUNKED = "__msgpack_chunked_array__"
DEEPEST = 64
MOST_KEYS = 10_000
"""Of one mapping: the package makes room for as many as are claimed before it reads any."""

_KINDS = {kind.words: kind for kind in KINDS.values()}


class _Raw(NamedTuple):
    """An array as it stands: unread."""

    shape: tuple[int, ...]
    dtype: str
    data: bytes


def open_msgpack(path: Path, name: str) -> Store:
    """The arrays of a .msgpack file by key; raises ModelFileError."""
    library = needed("msgpack", name)
    damaged = f"{name} is damaged, or no file of flax.serialization"

    def extension(code: int, data: bytes) -> Any:
        if code not in (ARRAY, SCALAR):
            return None
        return _raw(library.unpackb(data, raw=False, max_array_len=MOST_AXES), damaged)

    try:
        found = library.unpackb(
            path.read_bytes(), raw=False, ext_hook=extension, object_pairs_hook=_once,
            max_map_len=MOST_KEYS, max_array_len=MOST_AXES,
        )  # fmt: skip
    except (ValueError, TypeError, library.UnpackException) as error:
        raise ModelFileError(f"{damaged}: {cut(str(error), 80)}") from None
    if not isinstance(found, dict):
        raise ModelFileError(f"{name} holds {shown(found)}, must be a mapping of arrays")
    arrays: dict[str, Stored] = {}
    for key, raw in _flat(found, "", name, 0):
        if key in arrays:
            raise ModelFileError(f"{name}[{cut(key, 100)}] stands twice in the file")
        arrays[key] = _stored(raw, f"{name}[{cut(key, 100)}]")
    return Store(name, arrays)


def _once(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"the key {cut(str(twice))} stands twice")
    return found


def _raw(found: Any, damaged: str) -> _Raw:
    match found:
        case [list(shape), str(dtype), bytes(data)] if len(shape) <= MOST_AXES and all(
            type(n) is int and 0 <= n < 2**63 for n in shape
        ):
            return _Raw(tuple(shape), dtype, data)
    raise ModelFileError(f"{damaged}: an array is not its shape, its type and its bytes")


def _flat(found: Any, key: str, name: str, depth: int) -> Iterator[tuple[str, _Raw]]:
    """Every array with its key; numbers and texts beside them are no weights."""
    if isinstance(found, _Raw):
        yield key, found
    elif isinstance(found, dict) and CHUNKED in found:
        yield key, _joined(found, f"{name}[{cut(key, 100)}]")
    elif isinstance(found, dict):
        if depth > DEEPEST:
            raise ModelFileError(f"{name}[{cut(key, 100)}]: nested more than {DEEPEST} deep")
        for part, inner in found.items():
            yield from _flat(inner, f"{key}/{part}" if key else str(part), name, depth + 1)


def _joined(found: dict[Any, Any], place: str) -> _Raw:
    """An array that was cut into pieces: both lists are mappings from '0', '1', …"""
    shape, chunks = (_listed(found.get(part)) for part in ("shape", "chunks"))
    pieces = [piece for piece in chunks if isinstance(piece, _Raw)]
    whole = all(type(n) is int and 0 <= n < 2**63 for n in shape) and len(pieces) == len(chunks)
    if not whole or len({piece.dtype for piece in pieces}) != 1:
        raise ModelFileError(f"{place} is not a shape and its chunks; it is damaged")
    return _Raw(tuple(shape), pieces[0].dtype, b"".join(piece.data for piece in pieces))


def _listed(found: Any) -> list[Any]:
    """A list as Flax has it, {'0': …, '1': …}; anything else is a list of nothing that fits."""
    if not isinstance(found, dict):
        return [None]
    return [found.get(str(place)) for place in range(len(found))]


def _stored(raw: _Raw, place: str) -> Stored:
    kind = _KINDS.get(raw.dtype, Kind(cut(raw.dtype), ""))
    if kind.stored:
        claimed = math.prod(raw.shape) * np.dtype(kind.stored).itemsize
        if claimed != len(raw.data):
            words = f"is {cut(str(list(raw.shape)))} of {kind.words}, {claimed} bytes, but has"
            raise ModelFileError(f"{place} {words} {len(raw.data)}")

    def read() -> Numbers:
        if not kind.stored:
            raise ModelFileError(f"{place} is of type {kind.words}, which is not read")
        numbers: Numbers = np.frombuffer(raw.data, kind.stored).reshape(raw.shape)
        return bfloat16(numbers) if kind.words == "bfloat16" else numbers

    return Stored(raw.shape, kind.words, read, kind.eps)
