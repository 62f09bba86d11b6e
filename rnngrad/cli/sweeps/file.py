"""The results of a long sweep on disk: a JSON line a point, appended as it comes, and read again.

A line is the row and its ``key``: 16 digits for the spec and the version of rnngrad, 16 for the
point. So a second run knows what it has, and a file of another spec is refused. A run holds a lock
on its file, so that no two append to it.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import NoneType, TracebackType
from typing import Any, BinaryIO

from rnngrad.analyses.flow.stability import regime
from rnngrad.analyses.sweep.points import Row, Setting
from rnngrad.cli.output import check_writable, opened_as_it_is, staged
from rnngrad.cli.sweeps.locking import locked
from rnngrad.errors import OutputError, escaped
from rnngrad.files.opening import NoFileError, contents, unreadable
from rnngrad.net.batch import Batch
from rnngrad.net.fingerprint import fingerprint, together
from rnngrad.net.problem import Problem
from rnngrad.version import __version__


def spec_key(problem: Problem | Batch) -> str:
    """A hash of all that the rows depend on but the point: the net, its sequence or sequences, the
    version."""
    one = problem.net if isinstance(problem, Batch) else problem
    random = one.draw is not None
    return together([__version__, fingerprint(problem), one.seed, random, one.checkpoint])


def point_key(setting: Setting, scale: float, relative_to: str, gate: str | None) -> str:
    """A hash of one point of a spec."""
    point: list[object] = [
        setting.seed,
        setting.steps,
        setting.activation,
        repr(scale),
        relative_to,
    ]
    if gate is not None or setting.sequence is not None:
        point.append(gate)
    if setting.sequence is not None:
        point.append(setting.sequence)
    return together(point)


BEGINNING = f'{{"{Row._fields[0]}": '.encode()
"""How every row begins: a line that a crash cut short is told from a line of something else."""

WORDS = ("regime", "activation", "spec", "gate", "checkpoint", "version", "hash")
"""The fields of a row that are no numbers."""


KNOWN = ("scale", "seed", "steps", "activation", "factor", "spec")
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
    """A file that rows are appended to, by one run at a time: ``with RowsFile(…) as file``.

    ``reclassified``: rows of an earlier run whose regime is another under this run's ``--steady``.
    """

    def __init__(
        self,
        path: Path,
        specs: Mapping[str, Problem | Batch],
        relative_to: str = "weights",
        gate: str | None = None,
    ) -> None:
        self.path, self.relative_to, self.gate = path, relative_to, gate
        self.keys = {name: spec_key(problem) for name, problem in specs.items()}
        self.names = {key: name for name, key in self.keys.items()}
        if len(self.names) < len(self.keys):
            first, second = _twins(self.keys)
            raise OutputError(f"{path}: cannot tell '{first}' from '{second}': the nets are equal")
        self.reclassified = 0
        self._file: BinaryIO | None = None
        self._is_new = False

    def rows(self, wanted: Iterable[tuple[Setting, float]], steady: float) -> list[Row]:
        """The wanted rows that the file has; a torn last line is cut off, and the regimes of all
        its rows are made those of ``steady``. OutputError for a file that is not of this spec and
        version, or no file of rows at all."""
        if not self.path.is_file():
            return []
        read = [self._row(line, number) for number, line in enumerate(self._whole_lines(), start=1)]
        now = [(key, row._replace(regime=_regime(row, steady))) for key, row in read]
        self.reclassified = sum(old != new for old, new in zip(read, now, strict=True))
        if self.reclassified:
            self._replace("".join(self._text(key, row) for key, row in now))
        keys = {self._key(setting, scale) for setting, scale in wanted}
        return list({key: row for key, row in now if key in keys}.values())

    def empty(self) -> None:
        """Forget what the file held; a device or pipe stays as it is."""
        if self._file is not None:
            with self._said():
                self._file.truncate(0)

    def _replace(self, text: str) -> None:
        """Put another text in place in one move; the lock goes over to the new file."""
        move = staged(self.path, lambda file: file.write(text.encode()))
        before, self._file = self._file, None
        if before is not None and sys.platform == "win32":  # where no open file can be replaced
            before.close()
        move()
        try:
            self._take()
        finally:
            if before is not None:
                before.close()

    def _whole_lines(self) -> list[bytes]:
        lines, torn = _lines(self.path)
        if torn:
            try:
                with self.path.open("rb+") as file:
                    file.truncate(file.seek(0, os.SEEK_END) - torn)
            except OSError as error:
                raise OutputError(f"{self.path}: {error.strerror}") from error
        return lines

    def _row(self, line: bytes, number: int) -> tuple[str, Row]:
        key, row = _read(line, self.path, number)
        name = self.names.get(key.partition("-")[0])
        if name is None:
            version = json.loads(line).get("version", __version__)
            by = f"by rnngrad {escaped(str(version))}" if version != __version__ else ""
            raise OutputError(
                f"{self.path}:{number}: was made {by or 'from another spec'}; name another file, "
                "or --force to overwrite it"
            )
        return key, row._replace(spec=name)

    def append(self, rows: Iterable[Row]) -> None:
        """Write the rows, and see that they are with the operating system."""
        text = "".join(self._line(row) for row in rows)
        with self._said():
            if self._file is None:
                self._file = opened_as_it_is(self.path)
            data = memoryview(text.encode())
            while data:
                data = data[self._file.write(data) or 0 :]

    def _line(self, row: Row) -> str:
        return self._text(self._key(row.setting, row.scale), row)

    def _key(self, setting: Setting, scale: float) -> str:
        point = point_key(setting, scale, self.relative_to, self.gate)
        return f"{self.keys[setting.spec]}-{point}"

    def _text(self, key: str, row: Row) -> str:
        return json.dumps({**row._asdict(), "key": key}, allow_nan=False) + "\n"

    @contextmanager
    def _said(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(
                f"{self.path}: cannot be written: {error.strerror}; its rows are complete, "
                "and --resume continues it"
            ) from error

    def __enter__(self) -> RowsFile:
        self._is_new = not self.path.exists()
        if self._is_new or self.path.is_file():
            self._take()
        return self

    def _take(self) -> None:
        """Open and lock the file; OutputError where another run has it."""
        try:
            self._file = locked(self.path)
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be written: {error.strerror}") from error
        if self._file is None:
            raise OutputError(
                f"{self.path}: another sweep is writing to it; wait until it ends, or name another "
                "file"
            )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if self._file is None:
            return
        if self._is_new and self.path.is_file() and self.path.stat().st_size == 0:
            with suppress(PermissionError):  # Windows removes no open file
                self.path.unlink(missing_ok=True)
        self._file.close()


def _regime(row: Row, steady: float) -> str | None:
    """The threshold may be another than when the row was written."""
    return row.regime if row.rate is None else regime(row.rate, steady)


def read_rows(path: Path) -> list[Row]:
    """The rows that a sweep has left in a file, whatever spec they are of; a torn last line is
    passed over. OutputError for what is no such file."""
    lines, _ = _lines(path)
    read = (_read(line, path, number) for number, line in enumerate(lines, start=1))
    return list(dict(read).values())


def _lines(path: Path) -> tuple[list[bytes], int]:
    """The whole lines of a file of rows, and how many bytes of a torn one follow."""
    try:
        *lines, torn = contents(str(path), sys.maxsize, _rows_begin(path)).split(b"\n")
    except (OSError, NoFileError) as error:
        words = unreadable(error, str(path), (".jsonl",))
        raise OutputError(f"{path}: {words}") from error
    if torn and not (torn.startswith(BEGINNING) or BEGINNING.startswith(torn)):
        raise OutputError(f"{path}:{len(lines) + 1}: is not a row of a sweep")
    return lines, len(torn)


def _rows_begin(path: Path) -> Callable[[bytes], None]:
    """Whether a file begins as one of rows does is seen before all of it is read."""

    def look(head: bytes) -> None:
        if head[:1] not in (b"", b"{"):
            raise OutputError(f"{path}:1: is not a row of a sweep")

    return look


def _read(line: bytes, path: Path, number: int) -> tuple[str, Row]:
    """The key and the row of a line."""
    try:
        values: dict[str, Any] = json.loads(line)
        values = {**Row._field_defaults, **values}
        row = Row(**{name: _checked(name, values[name]) for name in Row._fields})
        return str(values["key"]), row
    except (ValueError, KeyError, TypeError):
        raise OutputError(f"{path}:{number}: is not a row of a sweep") from None


def _twins(keys: Mapping[str, str]) -> tuple[str, str]:
    """Two names with one key."""
    seen: dict[str, str] = {}
    for name, key in keys.items():
        if key in seen:
            return seen[key], name
        seen[key] = name
    raise AssertionError


def start(path: Path, resume: bool, force: bool, specs: Sequence[str]) -> None:
    """An empty file where there may be one, OutputError where not."""
    if resume and path.exists() and not path.is_dir():
        if not os.access(path, os.R_OK | os.W_OK):
            raise OutputError(f"{path}: is not readable and writable")
        return
    if path.exists() and not path.is_dir() and not force:
        raise OutputError(f"{path}: exists already; --resume continues it, --force overwrites it")
    for spec in specs:
        check_writable(path, force, spec)
