"""Trained files of one net in the place of the file that a spec names."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rnngrad.errors import SpecError
from rnngrad.files.yaml_text import Steps


def in_order(paths: list[str]) -> list[str]:
    """By the numbers in their names, then by name; what has no number, such as last.npz, at the
    end.

    >>> in_order(["run/last.npz", "run/step_100.npz", "run/step_20.npz"])
    ['run/step_20.npz', 'run/step_100.npz', 'run/last.npz']
    """

    def place(path: str) -> tuple[bool, list[int], str]:
        numbers = [int(n) for n in re.findall(r"\d+", Path(path).name)]
        return not numbers, numbers, path

    return sorted(paths, key=place)


def with_file(data: Mapping[str, Any], checkpoint: str, folder: Path) -> dict[str, Any]:
    """The spec with ``checkpoint`` wherever the file of its weights stands, read-out and embedding
    too; SpecError where the weights are of no file, or of several."""
    weights = data.get("weights")
    names = {name for _, name in _files(weights)}
    trained = weights.get("file") if isinstance(weights, Mapping) else None
    if isinstance(trained, str):
        names = {trained}
    if len(names) != 1:
        which = "several files" if names else "no file"
        raise SpecError([f"--checkpoints: weights name {which}, must be those of one file"])
    here = Path(os.path.relpath(checkpoint, folder)).as_posix()
    changed = dict(data)
    for way in files(data, names.pop()):
        changed = changed_at(changed, list(way), here)
    return changed


def files(data: Mapping[str, Any], name: str) -> list[Steps]:
    """The paths of all keys ``file`` of that name."""
    return [path for path, found in _files(data) if found == name]


def _files(value: Any, path: Steps = ()) -> Iterator[tuple[Steps, str]]:
    if isinstance(value, Mapping):
        if isinstance(value.get("file"), str):
            yield (*path, "file"), value["file"]
        for key, one in value.items():
            yield from _files(one, (*path, key))
    elif isinstance(value, list):
        for at, one in enumerate(value):
            yield from _files(one, (*path, at))


def changed_at(data: Any, way: list[str | int], value: Any) -> Any:
    """A copy of ``data`` along the way, with ``value`` at its end."""
    if not way:
        return value
    copy = data.copy()
    copy[way[0]] = changed_at(data[way[0]], way[1:], value)
    return copy
