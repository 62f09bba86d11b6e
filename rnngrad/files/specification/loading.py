"""A path, standard input or a mapping -> Problem, with all mistakes at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from rnngrad.errors import SpecError
from rnngrad.files.spec_errors import Mistake, Mistakes, Origin, Override
from rnngrad.files.specification.building import build
from rnngrad.files.specification.checkpoints import with_file
from rnngrad.files.specification.overriding import override
from rnngrad.files.text import cut, listed, shown
from rnngrad.files.yaml_text import DEEPEST, Document, read
from rnngrad.net.batch import Batch
from rnngrad.net.bidirectional import Bidirectional
from rnngrad.net.problem import Problem

Stage = tuple[Override, dict[str, Any]]
Source = str | os.PathLike[str] | Mapping[str, Any]


def load(
    source: Source,
    *,
    overrides: Sequence[str] = (),
    stdin: BinaryIO | None = None,
    checkpoint: str | None = None,
) -> Problem | Batch | Bidirectional:
    """The problem that a spec describes; a batch where it has ``batch`` and no ``sequence``, a
    bidirectional net where it has ``direction: both`` and no ``half``.

    ``source`` is a path, ``"-"`` for standard input (``stdin``, if given), or a mapping of the same
    keys, NumPy arrays welcome. ``overrides`` are ``key=value`` texts, such as
    ``weights.W_hh=[[1, 2], [3, 4]]``, that go before the keys of the source. File references are
    relative to the folder of the spec, else to the current one. ``checkpoint`` is a file that takes
    the place of the one that the weights are of. Raises SpecError that holds all
    mistakes, in the order in which they stand in the source.
    """
    document, data, folder, name = _opened(source, stdin)
    stages, refused = _overridden(data, overrides)
    set_by = tuple(one for one, _ in stages)

    def built(spec: dict[str, Any]) -> tuple[Problem | Batch | Bidirectional | None, Mistakes]:
        mistakes = Mistakes()
        whole = spec if checkpoint is None else with_file(spec, checkpoint, folder)
        return build(whole, folder, name, mistakes, also), mistakes

    also = [f"of the new weights.file too: {listed(one.also)}" for one in set_by if one.also]
    problem, mistakes = built(stages[-1][1] if stages else data)
    to_blame = _to_blame(data, stages, set(mistakes.found), built)
    words = Origin(document, data, set_by, to_blame).words(mistakes) + refused
    if words or problem is None:
        raise SpecError(words)
    return problem


def _to_blame(
    data: dict[str, Any],
    stages: list[Stage],
    found: set[Mistake],
    built: Callable[[dict[str, Any]], tuple[object, Mistakes]],
) -> dict[Mistake, Override]:
    """Each mistake that the spec does not have without its overrides -> the first one with which
    it has it."""
    blamed: dict[Mistake, Override] = {}
    if not stages or not found:
        return blamed
    left = found.difference(built(data)[1].found)
    for one, changed in stages:
        new = left.intersection(built(changed)[1].found)
        blamed |= dict.fromkeys(new, one)
        left -= new
    return blamed


def _overridden(data: dict[str, Any], overrides: Sequence[str]) -> tuple[list[Stage], list[str]]:
    """Each override with the data in which it is put, too, and the mistakes of those that cannot
    be."""
    stages: list[Stage] = []
    refused: list[str] = []
    for argument in overrides:
        try:
            data, one = override(data, argument, [one for one, _ in stages])
            stages.append((one, data))
        except SpecError as error:
            refused.extend(error.mistakes)
    return stages, refused


def _opened(
    source: Source, stdin: BinaryIO | None
) -> tuple[Document | None, dict[str, Any], Path, str]:
    """The document if there is one, the data, the folder of its files, the default name."""
    if isinstance(source, Mapping):
        return None, _plain(source), Path(), "net"
    if not isinstance(source, (str, os.PathLike)):
        raise SpecError([f"a spec is a path, '-' or a mapping, not {shown(source)}"])
    path = os.fsdecode(source)
    document = read(path, stdin)
    if path == "-":
        return document, document.data, Path(), "stdin"
    return document, document.data, Path(path).parent, Path(path).stem


def _plain(value: Any, path: str = "", depth: int = 0) -> Any:
    """A mapping as the reader would have given it: dicts, lists and numbers of Python, arrays."""
    if depth > DEEPEST:
        raise SpecError([f"{path or 'the spec'}: nested more than {DEEPEST} deep"])
    if isinstance(value, Mapping):
        return {str(k): _plain(v, path or cut(str(k)), depth + 1) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_listed(_plain(item, path, depth + 1)) for item in value]
    if isinstance(value, np.generic):
        return value.item()
    if not isinstance(value, np.ndarray) and hasattr(value, "__array__"):
        value = _as_array(value, path)
    if isinstance(value, np.ndarray) and not value.shape:
        return value.item()
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _listed(item: Any) -> Any:
    return item.tolist() if isinstance(item, np.ndarray) else item


def _as_array(value: Any, path: str) -> Any:
    """The NumPy array of another library's."""
    try:
        return np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise SpecError([f"{path}: cannot be made a NumPy array: {cut(str(error), 80)}"]) from None
