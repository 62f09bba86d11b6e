"""What a user brings: opened without waiting for ever, and text in the encoding that it is in.

A path may lead to a pipe, as ``<(…)`` and ``/dev/stdin`` do; a named one without a writer would
block who opens it. Folders, devices and sockets are no files at all.
"""

from __future__ import annotations

import codecs
import os
import select
import stat
import time
from collections.abc import Callable
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import BinaryIO, TypeAlias

from rnngrad.errors import did_you_mean, escaped
from rnngrad.files.text import cut

WAIT = 1.0
"""Seconds that a named pipe is given until somebody writes to it."""

_AT_ONCE = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_HEAD, _CHUNK = 2**16, 2**20

Look: TypeAlias = Callable[[bytes], object]

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Byte-order marks; that of UTF-32 begins like that of UTF-16."""


class NoFileError(Exception):
    """What stands there is no file: its text says what it is, as ``is a folder``."""


def what_it_is(mode: int, *, pipes: bool = False) -> str:
    """What a path leads to, in words, where that can be no file; else the empty string."""
    if stat.S_ISDIR(mode):
        return "is a folder, not a file"
    if stat.S_ISREG(mode) or (pipes and stat.S_ISFIFO(mode)):
        return ""
    kinds = ((stat.S_ISFIFO, "pipe"), (stat.S_ISSOCK, "socket"))
    return f"is a {next((word for test, word in kinds if test(mode)), 'device')}, not a file"


def why_no_file(path: Path) -> str:
    """Why no regular file can be opened there; the empty string where there is one."""
    try:
        return what_it_is(path.stat().st_mode)
    except OSError:
        return "no such file"


def unreadable(error: Exception, path: str, suffixes: tuple[str, ...] = ()) -> str:
    """Why opening or reading a file ended in ``error``: ``no such file; did you mean 'net.yaml'?``,
    ``cannot be read: Permission denied``, ``is a folder, not a file``."""
    if isinstance(error, NoFileError):
        return str(error)
    if isinstance(error, FileNotFoundError):
        nowhere = Path(path).is_symlink()
        return "is a link to no file" if nowhere else f"no such file{similar_file(path, suffixes)}"
    return f"cannot be read: {escaped(getattr(error, 'strerror', None) or str(error))}"


def similar_file(path: str, suffixes: tuple[str, ...]) -> str:
    """``; did you mean 'net.yaml'?`` where the folder holds a file with a like name."""
    wanted = Path(path)
    try:
        present = sorted(p.name for p in wanted.parent.iterdir() if p.suffix in suffixes)
    except (OSError, ValueError):
        return f" (nor a folder '{cut(str(wanted.parent))}')"
    exact = [name for name in present if Path(name).stem == wanted.name]
    return did_you_mean(wanted.name, present) or (f"; did you mean '{exact[0]}'?" if exact else "")


def contents(path: str, most: int, look: Look = bool) -> bytes:
    """The first ``most`` bytes of a file, or of a pipe that somebody writes to.

    ``look`` sees the first 64 KiB before the rest is read. Raises NoFileError, OSError.
    """
    what = what_it_is(os.stat(path).st_mode, pipes=True)  # noqa: PTH116 (Path drops a last slash)
    if what:
        raise NoFileError(what)
    file = os.open(path, os.O_RDONLY | _AT_ONCE)
    try:
        first = _first_of_pipe(file) if stat.S_ISFIFO(os.fstat(file).st_mode) else b""
        if hasattr(os, "set_blocking"):
            os.set_blocking(file, True)
        with os.fdopen(file, "rb", closefd=False) as stream:
            return all_of(stream, most, look, first)
    finally:
        os.close(file)


def all_of(stream: BinaryIO, most: int, look: Look = bool, first: bytes = b"") -> bytes:
    """The first ``most`` bytes of a stream, ``first`` before them."""
    head = first + stream.read(max(0, _HEAD - len(first)))
    look(head)
    chunks, left = [head], most - len(head)
    while left > 0 and (chunk := stream.read(min(left, _CHUNK))):
        chunks.append(chunk)
        left -= len(chunk)
    return b"".join(chunks)


def _first_of_pipe(file: int) -> bytes:
    """What comes first, or nothing yet from a writer that is there. Raises NoFileError."""
    end = time.monotonic() + WAIT
    ended = select.poll()
    ended.register(file, select.POLLHUP)
    while True:
        try:
            first = os.read(file, _HEAD)
        except BlockingIOError:  # there is a writer, who has written nothing so far
            return b""
        if first or ended.poll(0):
            return first
        if time.monotonic() > end:
            raise NoFileError("is a pipe that nobody writes to")
        time.sleep(0.01)


# ---------------------------------------------------------------------------- text


def encoding_of(head: bytes) -> str:
    """The encoding that a byte-order mark tells; UTF-8 where there is none."""
    return next((name for mark, name in _MARKS if head.startswith(mark)), "utf-8")


class PythonLoader(SourceFileLoader):
    """Reads Python's own files in UTF-16 and UTF-32 as well; what else there is, it knows."""

    def get_data(self, path: str) -> bytes:
        """The file, in UTF-8 where a mark says that it is in another of these."""
        data = super().get_data(path)
        encoding = encoding_of(data)
        return data if encoding[:5] == "utf-8" else data.decode(encoding).encode()
