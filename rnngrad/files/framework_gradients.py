"""Somebody's gradients in a file, under the contract's names or a framework's own."""

from __future__ import annotations

from pathlib import Path

from rnngrad.errors import SpecError
from rnngrad.files.gradient_files import GivenFile, read_gradients
from rnngrad.files.reading import similar_file
from rnngrad.files.text import cut_path, escaped
from rnngrad.net.problem import Problem

OF_TORCH = (".safetensors", ".safetensors.index.json")
"""Endings of files that hold PyTorch's names, without being told."""


def gradients_of(problem: Problem, path: str, layout: str | None = None) -> GivenFile:
    """The arrays of a file by the contract's names; raises SpecError that holds all mistakes.

    With ``layout``, or for a .safetensors, they stand under the framework's names: the net is the
    one that the spec's ``prefix`` names, or the only one, and the read-out's keys are the spec's.
    """
    if layout is None and not path.endswith(OF_TORCH):
        return read_gradients(path)
    if not Path(path).exists():
        raise SpecError([f"{escaped(path)}: no such file{similar_file(path, OF_TORCH)}"])
    return _of_framework(problem, path, layout or "torch")


def _of_framework(problem: Problem, path: str, layout: str) -> GivenFile:
    from rnngrad.files.models import Asked, ModelFileError, gradients_from_model_file

    trained = problem.trained
    direction = (trained and trained.direction) or "forward"
    asked = Asked(None, problem.cell.name, problem.depth, direction)
    more = {key: f"dL_d{name}" for name, key in (trained.keys if trained else {}).items()}
    name = cut_path(path)
    prefixes = (trained.prefix, None) if trained and trained.prefix is not None else (None,)
    for last, prefix in enumerate(prefixes, start=1):
        try:
            one = asked._replace(prefix=prefix)
            return gradients_from_model_file(Path(path), layout, one, more, name)
        except ModelFileError as error:
            if last == len(prefixes):
                raise SpecError([str(error)]) from None
    raise AssertionError("there is a prefix")
