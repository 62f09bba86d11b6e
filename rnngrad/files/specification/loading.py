"""A path, standard input or a mapping -> Problem, with all mistakes at once."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from rnngrad.errors import SpecError
from rnngrad.files.spec_errors import Mistakes, Origin, Override
from rnngrad.files.specification.building import build
from rnngrad.files.specification.checkpoints import with_file
from rnngrad.files.specification.overriding import override
from rnngrad.files.text import cut, shown
from rnngrad.files.yaml_text import DEEPEST, Document, read
from rnngrad.net.batch import Batch
from rnngrad.net.both import Both
from rnngrad.net.problem import Problem

Source = str | os.PathLike[str] | Mapping[str, Any]


def load(
    source: Source,
    *,
    overrides: Sequence[str] = (),
    stdin: BinaryIO | None = None,
    checkpoint: str | None = None,
) -> Problem | Batch | Both:
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
    changed, set_by, refused = _overridden(data, overrides)
    if checkpoint is not None:
        changed = with_file(changed, checkpoint, folder)
    mistakes = Mistakes()
    problem = build(changed, folder, name, mistakes)
    words = Origin(document, data, set_by).words(mistakes) + refused
    if words or problem is None:
        raise SpecError(words)
    return problem


def _overridden(
    data: dict[str, Any], overrides: Sequence[str]
) -> tuple[dict[str, Any], tuple[Override, ...], list[str]]:
    """The data with the overrides put in, these, and the mistakes of those that cannot be."""
    done: list[Override] = []
    refused: list[str] = []
    for argument in overrides:
        try:
            data, one = override(data, argument, done)
            done.append(one)
        except SpecError as error:
            refused.extend(error.mistakes)
    return data, tuple(done), refused


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
