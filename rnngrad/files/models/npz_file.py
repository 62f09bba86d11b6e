"""Arrays of a .npz file as a store. Nothing is unpickled, and no member may be a bomb.

A member is read only as far as its own header says, and only where it unpacks to at most 16 times
the file: compressed floats shrink by a tenth, so what claims more is damaged or hostile.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from rnngrad.files.arrays.numpy_files import Numbers, npy_array, npy_header
from rnngrad.files.models.records import ModelFileError, Store, Stored
from rnngrad.files.text import cut

MOST_UNPACKED = 16
"""Times the file's size that a compressed member may unpack to."""


def open_npz(path: Path, name: str) -> Store:
    """The arrays of a .npz file; raises ModelFileError, or what NumPy and zipfile raise."""
    size = path.stat().st_size
    arrays: dict[str, Stored] = {}
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            key = entry.filename.removesuffix(".npy")
            if key in arrays:
                raise ModelFileError(f"{name}[{cut(key, 100)}] stands twice in the file")
            if entry.filename.endswith(".npy"):
                with archive.open(entry) as stream:
                    shape, _, dtype, _ = npy_header(stream, f"{name}[{cut(key, 100)}]")
                arrays[key] = _stored(path, name, entry, size, shape, dtype)
    return Store(name, arrays)


def most(size: int) -> int:
    """Bytes that one array may take of a file of ``size`` bytes, unpacked."""
    return max(MOST_UNPACKED * size, 2**20)


def bounded(entry: zipfile.ZipInfo, size: int, place: str) -> None:
    """Refuses a member of a zip file of ``size`` bytes that would unpack to far more."""
    if entry.file_size > most(size):
        words = f"would unpack to {entry.file_size} bytes from a file of {size}"
        raise ModelFileError(f"{place} {words}; it is damaged or hostile")


def _stored(
    path: Path,
    name: str,
    entry: zipfile.ZipInfo,
    size: int,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
) -> Stored:
    place = f"{name}[{cut(entry.filename.removesuffix('.npy'), 100)}]"

    def read() -> Numbers:
        bounded(entry, size, place)
        with zipfile.ZipFile(path) as archive, archive.open(entry) as stream:
            return npy_array(stream, entry.file_size, place)

    eps = float(np.finfo(dtype).eps) if dtype.kind == "f" else float(np.finfo(np.float64).eps)
    return Stored(shape, dtype.name, read, eps)
