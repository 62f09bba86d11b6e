"""The arrays of ``derive --save``; what they are of stands in the file's comment, where nobody who
loads the arrays meets it."""

from __future__ import annotations

import json
import os
from typing import BinaryIO

import numpy as np

from rnngrad.arithmetic.arrays import Array
from rnngrad.net.batch import Batch
from rnngrad.net.bidirectional import Bidirectional
from rnngrad.net.problem import Problem
from rnngrad.version import __version__
from rnngrad.views.provenance import provenance


def write(
    file: BinaryIO, arrays: dict[str, Array], problem: Problem | Batch | Bidirectional
) -> None:
    """A .npz file, and its comment: the command, the version, the spec's name, seed and hash."""
    np.savez(file, **arrays)  # type: ignore[arg-type]  # allow_pickle is an array to NumPy < 2.1
    spec = provenance(problem)
    short = spec._replace(name=spec.name[:1000])  # a comment has 65,535 bytes at most
    told = {"command": "derive", "version": __version__, "spec": short._asdict()}
    comment = json.dumps(told).encode()
    if file.seekable():  # the length of the comment, 0, is what a zip file without one ends in
        file.seek(-2, os.SEEK_END)
        file.write(len(comment).to_bytes(2, "little") + comment)
