"""Where results go: standard output or a file, whole or not at all."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from rnngrad.errors import OutputError
from rnngrad.views.report import Screen


def screen(no_color: bool, to_file: bool) -> Screen:
    """What standard output can show. A file gets 80 columns, no colours and every sign."""
    if to_file:
        return Screen()
    terminal = sys.stdout.isatty()
    width = (
        shutil.get_terminal_size((80, 24)).columns if terminal or "COLUMNS" in os.environ else 80
    )
    wanted = terminal or bool(os.environ.get("FORCE_COLOR"))
    refused = no_color or bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
    unicode = not terminal or (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    return Screen(max(width, 20), wanted and not refused, unicode)


def check_writable(path: Path | None, force: bool) -> None:
    """OutputError, before anything is computed, if the file cannot or may not be written."""
    if path is None:
        return
    if path.is_dir():
        raise OutputError(f"{path}: is a folder; name a file in it")
    if path.exists() and not force:
        raise OutputError(f"{path}: exists already; --force overwrites it")
    if not path.parent.is_dir():
        raise OutputError(f"{path}: there is no folder '{path.parent}'")
    if not os.access(path.parent, os.W_OK):
        raise OutputError(f"{path}: the folder '{path.parent}' is not writable")


def write_text(chunks: Iterable[str], path: Path | None) -> None:
    """Chunks of text as UTF-8 (ASCII chunks stay so) to the file, or to standard output."""
    if path is not None:
        write_file(path, lambda file: file.writelines(chunk.encode() for chunk in chunks))
        return
    if not sys.stdout.isatty() and hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(encoding="utf-8", newline="\n")
    try:
        for chunk in chunks:
            sys.stdout.write(chunk)
        sys.stdout.flush()
    except BrokenPipeError:
        _forget_stdout()
    except OSError as error:
        _forget_stdout()
        raise OutputError(f"standard output: {error.strerror}") from error


def _forget_stdout() -> None:
    """Let the interpreter's last flush go nowhere: the reader has what it wanted (``| head``)."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def write_file(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """The file as ``write`` makes it, put in place at the end in one move."""
    if path.exists() and not path.is_file():
        _write_through(path, write)
        return
    import tempfile

    target = path.resolve()
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=target.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                write(file)
            _like_a_new_file(name)
            Path(name).replace(target)
        except BaseException:
            with suppress(OSError):
                Path(name).unlink()
            raise
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from error


def _write_through(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """A device or a pipe (/dev/stdout) is written to, not replaced."""
    try:
        with path.open("wb") as file:
            write(file)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from error


def _like_a_new_file(name: str) -> None:
    mask = os.umask(0)
    os.umask(mask)
    Path(name).chmod(0o666 & ~mask)
