"""What a problem is, in sixteen signs: where they agree, so do the results."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable

from rnngrad.net.batch import Batch
from rnngrad.net.problem import Problem


def fingerprint(problem: Problem | Batch) -> str:
    """A hash of all that results depend on: equations, functions, loss, every array; neither the
    spec's text nor its name, so that a file that is put elsewhere, or written otherwise, is the
    same."""
    if isinstance(problem, Batch):
        return together(map(fingerprint, problem.sequences))
    records = (problem.activation, problem.output, problem.loss)
    words: list[object] = [None if record is None else record.name for record in records]
    words += [list(problem.cell.parts), *map(str, problem.cell.equations.equations)]
    digest = hashlib.sha256(json.dumps(words).encode())
    arrays = {
        **problem.weights,
        "x": problem.x,
        "h_0": problem.h_0,
        **{f"{part}_0": start for part, start in problem.starts.items()},
        "targets": problem.targets,
        "loss_weights": problem.loss_weights,
    }
    for name, array in sorted(arrays.items()):
        digest.update(name.encode())
        if array is not None:
            digest.update(repr(array.shape).encode() + array.tobytes())
    return digest.hexdigest()[:16]


def together(parts: Iterable[object]) -> str:
    """One hash of several, or of anything that JSON writes."""
    return hashlib.sha256(json.dumps(list(parts)).encode()).hexdigest()[:16]
