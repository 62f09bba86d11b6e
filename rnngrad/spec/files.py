"""Arrays in files: .npy, .npz and .csv. Nothing is ever unpickled, nor allocated on a file's word.

Source: NumPy Enhancement Proposal 1, *A simple file format for NumPy arrays*.
"""

from __future__ import annotations

import csv
import os
import re
import stat
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any

import numpy as np

from rnngrad.errors import did_you_mean
from rnngrad.spec.drawing import LARGEST_ARRAY, gibibytes
from rnngrad.spec.numbers import type_refused
from rnngrad.spec.reading import similar_file
from rnngrad.spec.schema import File
from rnngrad.spec.text import counted, cut, cut_path, escaped, listed, shown

Numbers = np.ndarray[Any, np.dtype[Any]]


class FileKeyError(Exception):
    """A .npz file that has not the key; its text says why, in words."""


class FileError(Exception):
    """A file that holds no array that can be used; its text says why, in words."""


_BROKEN = (
    OSError,
    ValueError,
    SyntaxError,
    TypeError,
    OverflowError,
    EOFError,
    RuntimeError,
    NotImplementedError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
    csv.Error,
    MemoryError,
)


def load_array(reference: File, folder: Path) -> Numbers:
    """The array of a file reference, its type as in the file; raises FileError or FileKeyError."""
    path = folder / reference.file
    name = cut_path(reference.file)
    suffix = Path(reference.file).suffix.lower()
    if suffix not in READERS:
        raise FileError(f"{name or 'an empty name'} is none of .npy, .npz and .csv")
    if reference.key is not None and suffix != ".npz":
        raise FileKeyError(f"{name} takes no key; only .npz files have keys")
    _refuse_unreadable(path, name)
    try:
        return READERS[suffix](path, name, reference.key)
    except PermissionError:
        raise FileError(f"{name} cannot be read: permission denied") from None
    except _BROKEN as error:
        raise FileError(f"{name} is damaged, or no {suffix} file: {cut(str(error), 80)}") from None


def _refuse_unreadable(path: Path, name: str) -> None:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        hint = similar_file(os.fspath(path), tuple(READERS))
        raise FileError(f"{name}: no such file{hint}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise FileError(f"{name} cannot be read: {escaped(reason)}") from None
    if stat.S_ISDIR(mode):
        raise FileError(f"{name} is a folder, not a file")
    if not stat.S_ISREG(mode):
        raise FileError(f"{name} is not a regular file")


def _npy(path: Path, name: str, key: str | None) -> Numbers:
    with path.open("rb") as stream:
        return _stored(stream, path.stat().st_size, name)


def _stored(stream: IO[bytes], size: int, name: str) -> Numbers:
    """The array of an open .npy file of ``size`` bytes."""
    shape, fortran, dtype, header = _header(stream, name)
    refused = type_refused(dtype)
    if refused:
        never = ", which are never unpickled" if dtype.kind == "O" else ""
        raise FileError(f"{name} holds {refused}{never}; it must hold real numbers")
    claimed = dtype.itemsize
    for length in shape:
        claimed *= length
    if claimed > LARGEST_ARRAY:
        raise FileError(f"{name} claims {gibibytes(claimed)}; an array may take at most 8 GiB")
    if claimed > size - header:
        held = f"{name} claims {claimed} bytes of numbers but holds {size - header}"
        raise FileError(f"{held}; it is cut short or damaged")
    data = stream.read(claimed)
    array: Numbers = np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")
    return array


def _header(stream: IO[bytes], name: str) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """Shape, Fortran order, type, and the bytes that the header takes."""
    fmt = np.lib.format
    readers: dict[tuple[int, int], Callable[[IO[bytes]], Any]] = {
        (1, 0): fmt.read_array_header_1_0,
        (2, 0): fmt.read_array_header_2_0,
    }
    version = fmt.read_magic(stream)
    if version not in readers:
        raise FileError(f"{name} is a .npy file of version {version}, must be 1 or 2")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        shape, fortran, dtype = readers[version](stream)
    if any(length < 0 for length in shape):
        raise ValueError("a negative length")
    return shape, fortran, dtype, stream.tell()


def _npz(path: Path, name: str, key: str | None) -> Numbers:
    with zipfile.ZipFile(path) as archive:
        members = {entry.filename.removesuffix(".npy"): entry for entry in archive.infolist()}
        chosen = _chosen(list(members), name, key)
        entry = members[chosen]
        with archive.open(entry) as stream:
            return _stored(stream, entry.file_size, f"{name}[{cut(chosen)}]")


def _chosen(keys: list[str], name: str, key: str | None) -> str:
    """The key that was asked for, or the only one."""
    if not keys:
        raise FileError(f"{name} holds no arrays")
    if key is None and len(keys) > 1:
        raise FileError(f"{name} holds {len(keys)} arrays, give key: one of {listed(keys)}")
    if key is not None and key not in keys:
        hint = did_you_mean(cut(key), keys[:1000]) or f"; its keys are {listed(keys)}"
        raise FileKeyError(f"{name} has no key {shown(key)}{hint}")
    return keys[0] if key is None else key


def _csv(path: Path, name: str, key: str | None) -> Numbers:
    """Rows of comma-separated numbers; the first line may be a header."""
    rows: list[list[float]] = []
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(stream)
        header = True
        for cells in reader:
            blank = not any(cell.strip() for cell in cells)
            if blank or cells[0].lstrip().startswith("#"):
                continue
            if not header or not _is_header(cells):
                rows.append(_cells(cells, f"{name}:{reader.line_num}", rows))
            header = False
    if not rows:
        raise FileError(f"{name} holds no numbers")
    return np.array(rows)


def _is_header(cells: list[str]) -> bool:
    """Words, none of which begins like a number or could be a mistyped one (O.5)."""
    return all(re.fullmatch(r"[^\W\d][\w ()\[\]-]*", cell.strip()) for cell in cells)


def _float(cell: str) -> float | None:
    try:
        return None if "_" in cell else float(cell)
    except ValueError:
        return None


def _cells(cells: list[str], place: str, rows: list[list[float]]) -> list[float]:
    if rows and len(cells) != len(rows[0]):
        raise FileError(
            f"{place} has {counted(len(cells), 'cell')}, must have {len(rows[0])} like the others"
        )
    numbers = []
    for column, cell in enumerate(cells, 1):
        number = _float(cell)
        if number is None:
            hint = "; cells are parted by commas" if len(cells) == 1 and len(cell) > 1 else ""
            raise FileError(f"{place}:{column} is {shown(cell)}, must be a number{hint}")
        numbers.append(number)
    return numbers


READERS: Mapping[str, Callable[[Path, str, str | None], Numbers]] = MappingProxyType(
    {".npy": _npy, ".npz": _npz, ".csv": _csv}
)
"""suffix -> reader: the one place to add a file format for arrays."""
