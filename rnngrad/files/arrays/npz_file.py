"""The arrays of a .npz file, unread. Nothing is unpickled, and no member may be a bomb.

A member is read only as far as its own header says, and only where it unpacks to at most 16 times
the file: compressed floats shrink by a tenth, so what claims more is damaged or hostile.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rnngrad.files.arrays.numpy_files import FileError, Numbers, npy_array, npy_header
from rnngrad.files.text import cut

MOST_UNPACKED = 16
"""Times the file's size that a compressed member may unpack to."""


class Member(NamedTuple):
    """An array of the file: its shape and type as its header has them, and what reads it."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    read: Callable[[], Numbers]


def members(path: Path, name: str) -> dict[str, Member]:
    """The arrays by key; ``name`` is the file in messages.

    Raises FileError, or what NumPy and zipfile raise.
    """
    size = path.stat().st_size
    found: dict[str, Member] = {}
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            key = entry.filename.removesuffix(".npy")
            place = f"{name}[{cut(key, 100)}]"
            if key in found:
                raise FileError(f"{place} stands twice in the file")
            if entry.filename.endswith(".npy"):
                with archive.open(entry) as stream:
                    shape, _, dtype, _ = npy_header(stream, place)
                found[key] = Member(shape, dtype, _reader(path, entry, size, place))
    return found


def comment_of(path: Path) -> object:
    """The document in a .npz file's comment, where ``derive --save`` says what it was made of; None
    where there is none."""
    import json  # only now: a spec's arrays have no such thing

    try:
        with zipfile.ZipFile(path) as archive:
            return json.loads(archive.comment)
    except (ValueError, RecursionError):
        return None


def most(size: int) -> int:
    """Bytes that one array may take of a file of ``size`` bytes, unpacked."""
    return max(MOST_UNPACKED * size, 2**20)


def bounded(entry: zipfile.ZipInfo, size: int, place: str) -> None:
    """Refuses a member of a zip file of ``size`` bytes that would unpack to far more."""
    if entry.file_size > most(size):
        words = f"would unpack to {entry.file_size} bytes from a file of {size}"
        raise FileError(f"{place} {words}; it is damaged or hostile")


def _reader(path: Path, entry: zipfile.ZipInfo, size: int, place: str) -> Callable[[], Numbers]:
    def read() -> Numbers:
        bounded(entry, size, place)
        with zipfile.ZipFile(path) as archive, archive.open(entry) as stream:
            return npy_array(stream, entry.file_size, place)

    return read
