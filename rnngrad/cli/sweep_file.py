"""The results of a long sweep on disk: a JSON line a point, appended as it comes, and read again.

A line is the row and its ``key``: 16 digits for the spec and the version of rnngrad, 16 for the
point. So a second run knows what it has, and a file of another spec is refused.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterable
from pathlib import Path
from types import NoneType, TracebackType
from typing import Any, BinaryIO

from rnngrad.analyses.stability import regime
from rnngrad.analyses.sweeping import Row, Setting
from rnngrad.core.problem import Problem
from rnngrad.errors import OutputError
from rnngrad.version import __version__


def spec_key(problem: Problem) -> str:
    """A hash of all that the rows depend on but the point: the net, its sequence, the version."""
    records = (problem.cell, problem.activation, problem.output, problem.loss)
    names = [None if record is None else record.name for record in records]
    random = problem.draw is not None
    digest = hashlib.sha256(json.dumps([__version__, *names, problem.seed, random]).encode())
    arrays = {
        **problem.weights,
        "x": problem.x,
        "h_0": problem.h_0,
        "targets": problem.targets,
        "loss_weights": problem.loss_weights,
    }
    for name, array in arrays.items():
        digest.update(name.encode())
        if array is not None:
            digest.update(repr(array.shape).encode() + array.tobytes())
    return digest.hexdigest()[:16]


def point_key(setting: Setting, scale: float, relative_to: str) -> str:
    """A hash of one point."""
    text = json.dumps([*setting, repr(scale), relative_to])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


BEGINNING = f'{{"{Row._fields[0]}": '.encode()
"""How every row begins: a line that a crash cut short is told from a line of something else."""

WORDS = ("regime", "activation")
"""The fields of a row that are no numbers."""


KNOWN = ("scale", "seed", "steps", "activation", "factor")
"""The fields that no row lacks."""


def _checked(name: str, value: Any) -> Any:
    """The value of a field; ValueError for one of another kind than rnngrad writes."""
    kinds = (str, NoneType) if name in WORDS else (int, float, NoneType)
    if not isinstance(value, kinds) or isinstance(value, bool) or (value is None and name in KNOWN):
        raise ValueError(name)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(name)
    return value


class RowsFile:
    """A file that rows are appended to."""

    def __init__(self, path: Path, problem: Problem, relative_to: str) -> None:
        self.path, self.spec, self.relative_to = path, spec_key(problem), relative_to
        self._file: BinaryIO | None = None

    def rows(self, wanted: Iterable[tuple[Setting, float]], steady: float) -> list[Row]:
        """The wanted rows that the file has; a torn last line is cut off. OutputError for a file
        that is not of this spec and version, or no file of rows at all."""
        if not self.path.is_file():
            return []
        keys = {point_key(setting, scale, self.relative_to) for setting, scale in wanted}
        found: dict[str, Row] = {}
        for number, line in enumerate(self._whole_lines(), start=1):
            point, row = self._row(line, number)
            if point in keys:
                found[point] = row._replace(regime=_regime(row, steady))
        return list(found.values())

    def _whole_lines(self) -> list[bytes]:
        try:
            content = self.path.read_bytes()
            *lines, torn = content.split(b"\n")
            if torn and not (torn.startswith(BEGINNING) or BEGINNING.startswith(torn)):
                raise OutputError(f"{self.path}:{len(lines) + 1}: is not a row of a sweep")
            if torn:
                with self.path.open("rb+") as file:
                    file.truncate(len(content) - len(torn))
        except OSError as error:
            raise OutputError(f"{self.path}: {error.strerror}") from error
        return lines

    def _row(self, line: bytes, number: int) -> tuple[str, Row]:
        try:
            values: dict[str, Any] = json.loads(line)
            spec, _, point = str(values["key"]).partition("-")
            row = Row(**{name: _checked(name, values[name]) for name in Row._fields})
        except (ValueError, KeyError, TypeError):
            raise OutputError(f"{self.path}:{number}: is not a row of a sweep") from None
        if spec != self.spec:
            raise OutputError(
                f"{self.path}:{number}: was made from another spec, or by another version of "
                "rnngrad; name another file, or --force to overwrite it"
            )
        return point, row

    def append(self, rows: Iterable[Row]) -> None:
        """Write the rows, and see that they are with the operating system."""
        text = "".join(self._line(row) for row in rows)
        try:
            if self._file is None:
                self._file = self.path.open("ab", buffering=0)
            data = memoryview(text.encode())
            while data:
                data = data[self._file.write(data) or 0 :]
        except OSError as error:
            raise OutputError(
                f"{self.path}: cannot be written: {error.strerror}; what is in it is good, "
                "--resume goes on from there"
            ) from error

    def _line(self, row: Row) -> str:
        setting = Setting(row.seed, row.steps, row.activation)
        key = f"{self.spec}-{point_key(setting, row.scale, self.relative_to)}"
        return json.dumps({**row._asdict(), "key": key}, allow_nan=False) + "\n"

    def __enter__(self) -> RowsFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()


def _regime(row: Row, steady: float) -> str | None:
    """The threshold may be another than when the row was written."""
    return row.regime if row.rate is None else regime(row.rate, steady)


def start(path: Path, resume: bool, force: bool) -> None:
    """An empty file where there may be one, OutputError where not."""
    if resume and path.exists() and not path.is_dir():
        if not os.access(path, os.R_OK | os.W_OK):
            raise OutputError(f"{path}: is not readable and writable")
        return
    from rnngrad.cli.output import check_writable

    if path.exists() and not path.is_dir() and not force:
        raise OutputError(
            f"{path}: exists already; --resume goes on with it, --force overwrites it"
        )
    check_writable(path, force)


def emptied(path: Path) -> None:
    """The file without what it held; a device or pipe stays as it is."""
    try:
        if path.is_file():
            path.write_bytes(b"")
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}") from error
