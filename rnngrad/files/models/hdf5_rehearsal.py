"""HDF5's library crashes on some damaged files, so each is read once in a process of its own first.

A byte changed in a string's heap is enough to kill the process that reads it, with no exception to
catch. What the rehearsal finds is thrown away: it only has to come to an end.
"""

from __future__ import annotations

import os
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

from rnngrad.files.models.records import ModelFileError

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
        if isinstance(item, h5py.Dataset) and not item.external and item.nbytes <= limit:
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
