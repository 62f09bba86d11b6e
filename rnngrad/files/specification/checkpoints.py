"""Trained files of one net in the place of the file that a spec names."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rnngrad.errors import SpecError


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
    files = set(_files(weights))
    trained = weights.get("file") if isinstance(weights, Mapping) else None
    if isinstance(trained, str):
        files = {trained}
    if len(files) != 1:
        which = "several files" if files else "no file"
        raise SpecError([f"--checkpoints: weights name {which}, must be those of one file"])
    here = Path(os.path.relpath(checkpoint, folder)).as_posix()
    return dict(_replaced(data, files.pop(), here))


def _files(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        if isinstance(value.get("file"), str):
            yield value["file"]
        for one in value.values():
            yield from _files(one)
    elif isinstance(value, list):
        for one in value:
            yield from _files(one)


def _replaced(value: Any, before: str, after: str) -> Any:
    if isinstance(value, Mapping):
        return {
            key: after if key == "file" and one == before else _replaced(one, before, after)
            for key, one in value.items()
        }
    return [_replaced(one, before, after) for one in value] if isinstance(value, list) else value
