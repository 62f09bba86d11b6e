"""What a problem is, in sixteen signs: where they agree, so do the results."""

from __future__ import annotations

from collections.abc import Iterable

from rnngrad.net.batch import Batch
from rnngrad.net.bidirectional import Bidirectional
from rnngrad.net.problem import Problem


def fingerprint(problem: Problem | Batch | Bidirectional) -> str:
    """A hash of all that results depend on: equations, functions, loss, every array; neither the
    spec's text nor its name, so that a file that is put elsewhere, or written otherwise, is the
    same."""
    from hashlib import sha256  # only now: tables need no hash

    if isinstance(problem, Batch):
        return together(map(fingerprint, problem.sequences))
    if isinstance(problem, Bidirectional):
        return fingerprint(problem.net)  # whose parameters have the names of both directions
    records = (problem.activation, problem.output, problem.loss)
    words: list[object] = [None if record is None else record.name for record in records]
    words += [list(problem.cell.parts), *map(str, problem.cell.equations.equations)]
    if problem.dense is not None:
        words.append(problem.dense.activation.name)
    digest = sha256(repr(words).encode())
    arrays = {
        **({} if problem.dense is None else {"W_in": problem.dense.W, "b_in": problem.dense.b}),
        **problem.weights,
        "x": problem.x if problem.dense is None else problem.dense.x,
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
    """One hash of several, or of any texts and numbers."""
    from hashlib import sha256

    return sha256(repr(list(parts)).encode()).hexdigest()[:16]
