"""Arrays in files: .npy, .npz, .csv, and models' files; nothing is unpickled, nor allocated on a
file's word."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from rnngrad.errors import did_you_mean
from rnngrad.files.arrays.npz_file import members
from rnngrad.files.arrays.numpy_files import BROKEN, Numbers, npy_array, refuse_unreadable
from rnngrad.files.arrays.numpy_files import FileError as FileError
from rnngrad.files.arrays.numpy_files import FileKeyError as FileKeyError
from rnngrad.files.opening import encoding_of, unreadable
from rnngrad.files.text import counted, cut, cut_path, listed, shown


class File(NamedTuple):
    """An array in a file; ``key`` says which, where there are several."""

    file: str
    key: str | None = None


def load_array(reference: File, folder: Path) -> Numbers:
    """The array of a file reference, its type as in the file; raises FileError or FileKeyError."""
    path = folder / reference.file
    name = cut_path(reference.file)
    suffix = Path(reference.file).suffix.lower()
    if suffix not in READERS:
        raise FileError(f"{name or 'an empty name'} is none of .npy, .npz and .csv")
    if reference.key is not None and suffix in (".npy", ".csv"):
        raise FileKeyError(f"{name} takes no key; only .npz and models' files have keys")
    with damage_told(path, name):
        return READERS[suffix](path, name, reference.key)


@contextmanager
def damage_told(path: Path, name: str) -> Iterator[None]:
    """Raises FileError for a file that is not there, and for one that is damaged."""
    refuse_unreadable(path, name, READERS)
    try:
        yield
    except PermissionError as error:
        raise FileError(f"{name}: {unreadable(error, name)}") from None
    except BROKEN as error:
        kind = path.suffix.lower()
        raise FileError(f"{name} is damaged, or no {kind} file: {cut(str(error), 80)}") from None


def _npy(path: Path, name: str, key: str | None) -> Numbers:
    with path.open("rb") as stream:
        return npy_array(stream, path.stat().st_size, name)


def _npz(path: Path, name: str, key: str | None) -> Numbers:
    found = members(path, name)
    turned = key is not None and key not in found and key.removesuffix(".T") in found
    chosen = _chosen(list(found), name, key.removesuffix(".T") if turned and key else key)
    array = found[chosen].read()
    return array.T if turned else array


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
    with path.open("rb") as file:
        head = file.read(4096)
    encoding = encoding_of(head)
    if b"\0" in head and encoding[:5] == "utf-8":
        raise FileError(f"{name} is a binary file, not rows of numbers")
    with path.open(encoding=encoding, newline="") as stream:
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


def _model(path: Path, name: str, key: str | None) -> Numbers:
    """One array of a trained model's file."""
    from rnngrad.files.models import ModelFileError, load_model_array

    try:
        return load_model_array(path, key, name)
    except ModelFileError as error:
        raise FileError(str(error)) from None


_OF_MODELS = (".safetensors", ".h5", ".hdf5", ".keras", ".onnx", ".msgpack")

READERS: Mapping[str, Callable[[Path, str, str | None], Numbers]] = MappingProxyType(
    {".npy": _npy, ".npz": _npz, ".csv": _csv, **dict.fromkeys(_OF_MODELS, _model)}
)
"""suffix -> reader: the one place to add a file format for arrays."""
