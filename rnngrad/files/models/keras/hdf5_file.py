"""HDF5 files and Keras's .keras archives as stores: datasets by path, configuration as text.

A dataset may lie in another file (external storage, virtual datasets, external links), or claim
more than it holds (compression, fill values): neither is followed, nor believed beyond 16 times the
file's size. bfloat16 is stored by Keras as two opaque bytes, and said in an attribute.

HDF5's library crashes on some damaged files, so each is read once in a process of its own first.

A byte changed in a string's heap is enough to kill the process that reads it, with no exception to
catch. What the rehearsal finds is thrown away: it only has to come to an end.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from rnngrad.files.arrays.npz_file import bounded, most
from rnngrad.files.arrays.numpy_files import Numbers
from rnngrad.files.models.opening import HDF5, needed
from rnngrad.files.models.records import ModelFileError, Store, Stored
from rnngrad.files.models.torch.safetensors_file import bfloat16
from rnngrad.files.text import cut

LARGEST_TEXT = 2**26
"""Bytes that a configuration may take."""

CONFIG, WEIGHTS, NAMED = "model_config", "model.weights.h5", "name of "
VERSION, METADATA = "keras_version", "metadata.json"
"""Texts of a store: Keras's configuration, its version, and under NAMED + path a layer's name."""


def open_hdf5(path: Path, name: str) -> Store:
    """The datasets of an HDF5 file; raises ModelFileError, or what h5py raises."""
    with path.open("rb") as stream:
        if stream.read(8) != HDF5:
            raise ModelFileError(f"{name} is no HDF5 file: it begins otherwise")
    size = path.stat().st_size
    needed("h5py", name)
    rehearse(path, name, most(size))
    return _store(lambda: path, size, name)


def open_keras(path: Path, name: str) -> Store:
    """The datasets of the ``model.weights.h5`` in a .keras archive, and its ``config.json``."""
    size = path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        for wanted in ("config.json", WEIGHTS):
            if wanted not in archive.namelist():
                raise ModelFileError(f"{name} holds no {wanted}, so it is no .keras file")
        config, weights = archive.getinfo("config.json"), archive.getinfo(WEIGHTS)
        bounded(weights, size, f"{name}[{WEIGHTS}]")
        if config.file_size > LARGEST_TEXT:
            raise ModelFileError(f"{name}[config.json] claims {config.file_size} bytes")
        needed("h5py", name)
        rehearse(path, name, most(size))
        text, data = archive.read(config).decode(), archive.read(weights)
        version = _version(archive)
    store = _store(lambda: io.BytesIO(data), size, name)
    return store._replace(texts={**store.texts, CONFIG: text, **version})


def _version(archive: zipfile.ZipFile) -> dict[str, str]:
    """Keras's version, where an archive says it."""
    known = METADATA in archive.namelist() and archive.getinfo(METADATA).file_size < 2**16
    try:
        told = json.loads(archive.read(METADATA)) if known else {}
    except (ValueError, RecursionError):
        told = {}
    version = told.get(VERSION) if isinstance(told, dict) else None
    return {VERSION: version} if isinstance(version, str) else {}


def _store(source: Callable[[], Path | io.BytesIO], size: int, name: str) -> Store:
    h5py = needed("h5py", name)
    arrays: dict[str, Stored] = {}
    texts: dict[str, str] = {}

    def visit(key: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            arrays[key] = _stored(source, size, f"{name}[{cut(key, 100)}]", key, item)
        elif isinstance(item.attrs.get("name"), str):
            texts[NAMED + key] = item.attrs["name"]

    with h5py.File(source(), "r") as file:
        file.visititems(visit)
        for key in (CONFIG, VERSION):
            told = file.attrs.get(key)
            if told is not None:
                texts[key] = told.decode() if isinstance(told, bytes) else str(told)
    return Store(name, arrays, texts)


def _stored(
    source: Callable[[], Path | io.BytesIO], size: int, place: str, key: str, item: Any
) -> Stored:
    """A dataset to be read later; its type and shape are taken down now."""
    half = item.attrs.get("dtype") == "bfloat16" and item.dtype.itemsize == 2
    trouble = _trouble(item, size)

    def read() -> Numbers:
        if trouble:
            raise ModelFileError(f"{place} {trouble}")
        with needed("h5py", place).File(source(), "r") as file:
            array: Numbers = np.asarray(file[key][()])
        return bfloat16(array.view(np.uint16)) if half else array

    eps = 2.0**-7 if half else float(np.finfo(item.dtype if item.dtype.kind == "f" else "f8").eps)
    return Stored(tuple(item.shape or ()), "bfloat16" if half else item.dtype.name, read, eps)


def _trouble(item: Any, size: int) -> str:
    if item.external or item.is_virtual:
        return "keeps its numbers in another file, which is not followed"
    if item.shape is None:
        return "is empty"
    if item.nbytes > most(size):
        return f"claims {item.nbytes} bytes in a file of {size}; it is damaged or hostile"
    return ""


SECONDS = 120
"""How long a rehearsal may take."""

SCRIPT = """
import io, sys, zipfile
import h5py
path, limit = sys.argv[1], int(sys.argv[2])
def visit(key, item):
    try:
        for attribute in ("name", "dtype"):
            item.attrs.get(attribute)
        if not isinstance(item, h5py.Dataset) or item.is_virtual or item.external:
            return
        if item.nbytes <= limit:
            item[()]
    except Exception:
        pass
try:
    source = path
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            source = io.BytesIO(archive.read("model.weights.h5"))
    with h5py.File(source, "r") as file:
        file.attrs.get("model_config")
        file.visititems(visit)
except Exception:
    pass
"""
"""An exception is no crash: the reader meets it again, and puts it into words."""


def rehearse(path: Path, name: str, limit: int) -> None:
    """Raises ModelFileError for a file that crashes HDF5's library, or keeps it busy for ever."""
    stat = path.stat()
    if not _ends_well(path.resolve(), limit, stat.st_size, stat.st_mtime_ns):
        raise ModelFileError(f"{name} crashes the HDF5 library; it is damaged or hostile")


@lru_cache(maxsize=64)
def _ends_well(path: Path, limit: int, size: int, changed: int) -> bool:
    """Once for each state of a file: its size and time of change only tell the states apart."""
    command = [sys.executable, "-P", "-c", SCRIPT, os.fspath(path), str(limit)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0
