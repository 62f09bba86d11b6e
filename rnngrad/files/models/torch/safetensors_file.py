"""Safetensors: a length, a JSON header, then the numbers; also the index of a sharded model.

    8 bytes n, little endian | n bytes of JSON: {key: {dtype, shape, data_offsets}} | the numbers

It is read here and not with the ``safetensors`` package: the format is one page,
``safetensors.numpy`` fails on BF16, ``deserialize`` wants the whole file in memory, and PyTorch's
files shall need nothing beyond NumPy. Every length is checked against the file's size before
anything is read; the arrays must tile the data exactly, as the format demands.

BF16 is the upper half of a float32: its 16 bits followed by 16 zeros.

Source: the format's specification, github.com/huggingface/safetensors.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, TypeGuard

import numpy as np

from rnngrad.files.arrays.numpy_files import Numbers
from rnngrad.files.models.opening import checked
from rnngrad.files.models.records import ModelFileError, Store, Stored
from rnngrad.files.text import cut, shown

LARGEST_HEADER = 100_000_000
"""Bytes, as in the reference implementation."""

MOST_AXES = 32


class Kind(NamedTuple):
    """A type of the format: NumPy's name for how it is stored, and its unit of rounding."""

    words: str
    stored: str
    eps: float = 2.0**-52


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "F64": Kind("float64", "<f8"),
        "F32": Kind("float32", "<f4", 2.0**-23),
        "F16": Kind("float16", "<f2", 2.0**-10),
        "BF16": Kind("bfloat16", "<u2", 2.0**-7),
        "I64": Kind("int64", "<i8"),
        "I32": Kind("int32", "<i4"),
        "I16": Kind("int16", "<i2"),
        "I8": Kind("int8", "i1"),
        "U64": Kind("uint64", "<u8"),
        "U32": Kind("uint32", "<u4"),
        "U16": Kind("uint16", "<u2"),
        "U8": Kind("uint8", "u1"),
        "BOOL": Kind("bool", "?"),
    }
)
"""dtype of the header -> how it is read; other types may stand in a file, but not be asked for."""


def open_safetensors(path: Path, name: str) -> Store:
    """The arrays of a .safetensors file; raises ModelFileError."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if size < 8 or length > min(size - 8, LARGEST_HEADER):
            words = f"claims a header of {length} bytes in a file of {size}"
            raise ModelFileError(f"{name} {words}; it is cut short, or no safetensors file")
        header = _json(stream.read(length), name)
    start = 8 + length
    entries = [_entry(key, value, name) for key, value in header.items() if key != "__metadata__"]
    _refuse_gaps(entries, size - start, name)
    return Store(name, {e.key: _stored(path, name, e, start) for e in entries})


class _Entry(NamedTuple):
    key: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def _json(data: bytes, name: str) -> dict[str, Any]:
    """A JSON object, without a key given twice."""
    try:
        found = json.loads(data.decode(), object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"{name}: its header is no JSON: {cut(str(error), 80)}") from None
    if not isinstance(found, dict):
        raise ModelFileError(f"{name}: its header is {shown(found)}, must be a mapping")
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"the key {cut(twice)} stands twice")
    return found


def _entry(key: str, value: Any, name: str) -> _Entry:
    """One array of the header: each part what it must be, and as many bytes as it takes."""
    place = f"{name}[{cut(key, 100)}]"
    if not isinstance(value, dict):
        raise ModelFileError(f"{place} is {shown(value)} in the header, must be a mapping")
    dtype, shape, offsets = (value.get(part) for part in ("dtype", "shape", "data_offsets"))
    if not isinstance(dtype, str):
        raise ModelFileError(f"{place} has dtype {shown(dtype)}, must be a word such as F32")
    if not _naturals(shape) or len(shape) > MOST_AXES:
        raise ModelFileError(f"{place} has shape {cut(str(shape))}, must list lengths of 0 or more")
    if not _naturals(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise ModelFileError(f"{place} has data_offsets {cut(str(offsets))}, must be [begin, end]")
    held = offsets[1] - offsets[0]
    each = np.dtype(KINDS[dtype].stored).itemsize if dtype in KINDS else None
    claimed = held if each is None else math.prod(shape) * each
    if claimed != held:
        raise ModelFileError(
            f"{place} is {cut(str(shape))} of {dtype}, {claimed} bytes, but has {held}"
        )
    return _Entry(key, dtype, tuple(shape), offsets[0], offsets[1])


def _naturals(value: Any) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(type(n) is int and 0 <= n < 2**63 for n in value)


def _refuse_gaps(entries: list[_Entry], held: int, name: str) -> None:
    """The arrays must follow one another without hole or overlap, and end with the file."""
    at = 0
    for entry in sorted(entries, key=lambda e: (e.begin, e.end)):
        if entry.end > held:
            words = f"ends at byte {entry.end} of the data, the file holds {held}; it is cut short"
            raise ModelFileError(f"{name}[{cut(entry.key, 100)}] {words}")
        if entry.begin != at:
            words = f"begins at byte {entry.begin} of the data, must begin at {at}"
            raise ModelFileError(f"{name}[{cut(entry.key, 100)}] {words}; it is damaged")
        at = entry.end
    if at != held:
        raise ModelFileError(f"{name} holds {held - at} bytes that no array claims; it is damaged")


def _stored(path: Path, name: str, entry: _Entry, start: int) -> Stored:
    kind = KINDS.get(entry.dtype, Kind(entry.dtype, ""))

    def read() -> Numbers:
        place = f"{name}[{cut(entry.key, 100)}]"
        if not kind.stored:
            raise ModelFileError(f"{place} is of type {cut(kind.words)}, which is not read")
        with path.open("rb") as stream:
            stream.seek(start + entry.begin)
            data = stream.read(entry.end - entry.begin)
        if len(data) < entry.end - entry.begin:
            raise ModelFileError(f"{place} is cut short")
        numbers: Numbers = np.frombuffer(data, kind.stored).reshape(entry.shape)
        return bfloat16(numbers) if entry.dtype == "BF16" else numbers

    return Stored(entry.shape, kind.words, read, kind.eps)


def bfloat16(halves: Numbers) -> Numbers:
    """The upper halves of float32 numbers, as uint16 -> those numbers."""
    wide: Numbers = (halves.astype(np.uint32) << 16).view(np.float32)
    return wide


# ---------------------------------------------------------------------------- shards


def open_index(path: Path, name: str) -> Store:
    """The arrays of the shards beside a ``*.safetensors.index.json``, by its ``weight_map``."""
    if path.stat().st_size > LARGEST_HEADER:
        raise ModelFileError(f"{name} is larger than an index may be, {LARGEST_HEADER} bytes")
    places = _json(path.read_bytes(), name).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(f, str) for f in places.values()):
        raise ModelFileError(f"{name} has no weight_map of keys to files, so it is no index")
    shards = {shard: _shard(path, name, shard) for shard in sorted(set(places.values()))}
    for key, shard in places.items():
        if key not in shards[shard].arrays:
            raise ModelFileError(f"{name}[{cut(key, 100)}] is not in {cut(shard)}, as it says")
    return Store(name, {key: shards[shard].arrays[key] for key, shard in places.items()})


def _shard(index: Path, name: str, shard: str) -> Store:
    """Only a file beside the index: an index from elsewhere must not reach into other folders."""
    if not shard or Path(shard).name != shard or "\\" in shard:
        raise ModelFileError(f"{name} names the file {shown(shard)}, which is not beside it")
    beside = index.with_name(shard)
    return checked(lambda: open_safetensors(beside, cut(shard, 60)), beside, cut(shard, 60))
