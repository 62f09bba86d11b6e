"""The .npy format, and which files may be opened. Nothing is unpickled, nor allocated on its word.

Source: NumPy Enhancement Proposal 1, *A simple file format for NumPy arrays*.
"""

from __future__ import annotations

import csv
import io
import os
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Any

import numpy as np

from rnngrad.files.arrays.drawing import LARGEST_ARRAY, gibibytes
from rnngrad.files.arrays.numbers import type_refused
from rnngrad.files.opening import unreadable, what_it_is

Numbers = np.ndarray[Any, np.dtype[Any]]


class FileKeyError(Exception):
    """A file of several arrays that has not the key; its text says why, in words."""


class FileError(Exception):
    """A file that holds no array that can be used; its text says why, in words."""


LONGEST_HEADER = 10_000
"""Bytes, as in NumPy, which makes room for what is claimed before it looks."""

BROKEN = (
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
"""What the readers of NumPy and of the standard library raise on a damaged file."""


def refuse_unreadable(path: Path, name: str, suffixes: Iterable[str]) -> None:
    """Raises FileError unless ``path`` is a regular file that is there."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        words = unreadable(error, os.fspath(path), tuple(suffixes))
        raise FileError(f"{name}: {words}") from None
    if what := what_it_is(mode):
        raise FileError(f"{name} {what}")


def npy_array(stream: IO[bytes], size: int, name: str) -> Numbers:
    """The array of an open .npy file of ``size`` bytes."""
    shape, fortran, dtype, header = npy_header(stream, name)
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


def npy_header(stream: IO[bytes], name: str) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """Shape, Fortran order, type, and the bytes that the header takes."""
    fmt = np.lib.format
    readers: dict[tuple[int, int], Callable[[IO[bytes]], Any]] = {
        (1, 0): fmt.read_array_header_1_0,
        (2, 0): fmt.read_array_header_2_0,
    }
    version = fmt.read_magic(stream)
    if version not in readers:
        raise FileError(f"{name} is a .npy file of version {version}, must be 1 or 2")
    said = stream.read(2 * version[0])
    length = int.from_bytes(said, "little")
    if length > LONGEST_HEADER:
        raise FileError(f"{name} claims a header of {length} bytes; it is damaged or hostile")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        shape, fortran, dtype = readers[version](io.BytesIO(said + stream.read(length)))
    if any(length < 0 for length in shape):
        raise ValueError("a negative length")
    return shape, fortran, dtype, stream.tell()
