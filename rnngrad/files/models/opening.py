"""Opening a file that somebody else wrote: whatever goes wrong is one ModelFileError."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from rnngrad.files.incoming import why_no_file
from rnngrad.files.models.records import ModelFileError
from rnngrad.files.npy import BROKEN, FileError, refuse_unreadable
from rnngrad.files.text import cut

HDF5 = b"\x89HDF\r\n\x1a\n"

T = TypeVar("T")


def checked(read: Callable[[], T], path: Path, name: str, suffixes: Iterable[str] = ()) -> T:
    """What ``read`` gives; raises ModelFileError for a file that is not there, or damaged."""
    try:
        refuse_unreadable(path, name, suffixes)
        return read()
    except FileError as error:
        raise ModelFileError(str(error)) from None
    except PermissionError:
        raise ModelFileError(f"{name} cannot be read: permission denied") from None
    except (*BROKEN, KeyError, IndexError, AttributeError) as error:
        words = cut(str(error), 100)
        raise ModelFileError(f"{name} is damaged, or of another format: {words}") from None


def looks_like(path: Path) -> str:
    """The suffix that a file's first bytes call for, or the empty string."""
    if why_no_file(path):
        return ""
    try:
        with path.open("rb") as stream:
            head = stream.read(9)
        if head.startswith(HDF5):
            return ".h5"
        if head.startswith(b"PK"):
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
            return ".keras" if "config.json" in names else ".npz"
    except BROKEN:
        return ""
    return ".safetensors" if head[8:] == b"{" and head[5:8] == bytes(3) else ""


def needed(library: str, name: str) -> ModuleType:
    """A package of the extra ``models``; raises ModelFileError that says how to install it."""
    try:
        return import_module(library)
    except ImportError:
        words = f"needs the package {library}: pip install 'rnngrad[models]'"
        raise ModelFileError(f"{name} {words}") from None
