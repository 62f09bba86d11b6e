"""Where results go: standard output or a file, whole or not at all."""

from __future__ import annotations

import atexit
import errno
import os
import shutil
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from rnngrad.cli.completion import COLORS, listed
from rnngrad.cli.streams import forget
from rnngrad.errors import OutputError, UsageError, did_you_mean
from rnngrad.views.report import Screen


def screen(color: str | None, no_color: bool, to_file: bool) -> Screen:
    """What standard output can show. A file gets 80 columns, no colours and every sign."""
    asked = _asked(color, no_color)
    if to_file:
        return Screen()
    terminal = sys.stdout is not None and sys.stdout.isatty()
    width = (
        shutil.get_terminal_size((80, 24)).columns if terminal or "COLUMNS" in os.environ else 80
    )
    wanted = terminal or bool(os.environ.get("FORCE_COLOR"))
    refused = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
    coloured = asked == "always" or (asked == "auto" and wanted and not refused)
    unicode = not terminal or (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    return Screen(max(width, 20), coloured, unicode)


def _asked(color: str | None, no_color: bool) -> str:
    """``auto``, ``always`` or ``never``; UsageError for another, or for two answers at once."""
    if color is not None and color not in COLORS:
        hint = did_you_mean(color, COLORS)
        raise UsageError(f"--color {color}: expected {listed(COLORS)}{hint}")
    if no_color and color not in (None, "never"):
        raise UsageError(f"--no-color contradicts --color {color}")
    return "never" if no_color else color or "auto"


STANDARD_OUTPUT = Path("-")


def check_writable(path: Path | None, force: bool, spec: str = "") -> None:
    """OutputError, before anything is computed, if the file cannot or may not be written.

    ``spec`` is what is read meanwhile: that is never overwritten.
    """
    if path is None or path == STANDARD_OUTPUT:
        return
    try:
        path.resolve()
        _refuse(path, force)
        if spec and path.exists() and Path(spec).exists() and path.samefile(spec):
            raise OutputError(f"{path}: is the spec itself, which is not overwritten")
    except (OSError, RuntimeError) as error:  # a name too long, a loop of links
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"{cut(str(path))}: cannot be written: {reason}") from error


def cut(name: str) -> str:
    """A name of at most 80 signs."""
    return name if len(name) <= 80 else f"{name[:60]}...{name[-17:]}"


def _refuse(path: Path, force: bool) -> None:
    if path.is_dir():
        raise OutputError(f"{path}: is a folder; name a file in it")
    if path.exists() and not force:
        raise OutputError(f"{path}: exists already; --force overwrites it")
    if not path.parent.is_dir():
        raise OutputError(f"{path}: there is no folder '{path.parent}'")
    if not os.access(path.parent, os.W_OK):
        raise OutputError(f"{path}: the folder '{path.parent}' is not writable")


def write_text(chunks: Iterable[str], path: Path | None) -> None:
    """Chunks of text as UTF-8 (ASCII chunks stay so) to the file, or to standard output (-)."""
    if path is not None and path != STANDARD_OUTPUT:
        write_file(path, lambda file: file.writelines(chunk.encode() for chunk in chunks))
        return
    if sys.stdout is None:
        raise OutputError("standard output is closed")
    if not sys.stdout.isatty() and hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(encoding="utf-8", newline="\n")
    try:
        for chunk in chunks:
            sys.stdout.write(chunk)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has what it wanted (``| head``)
        forget(sys.stdout)
    except OSError as error:
        forget(sys.stdout)
        raise OutputError(f"standard output: {error.strerror}") from error


def write_file(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """The file as ``write`` makes it, put in place at the end in one move."""
    staged(path, write)()


def staged(path: Path, write: Callable[[BinaryIO], object]) -> Callable[[], None]:
    """Write the file beside its place, and return what moves it there; until then nothing is
    changed, and what is not moved is gone when the process ends. A device or a pipe is written to
    at once. What a command writes besides its text is staged before the text is shown, so that
    nothing is shown where a file cannot be written."""
    if path.exists() and not path.is_file():
        _write_through(path, write)
        return lambda: None
    import tempfile

    target = path.resolve()
    with _said_of(path):
        handle, name = tempfile.mkstemp(prefix=".rnngrad-", dir=target.parent)
        atexit.register(Path(name).unlink, missing_ok=True)
        with os.fdopen(handle, "wb") as file:
            write(file)
        Path(name).chmod(_mode(target))
    return lambda: _move(Path(name), target, path)


def _move(written: Path, target: Path, path: Path) -> None:
    with _said_of(path):
        written.replace(target)


@contextmanager
def _said_of(path: Path) -> Iterator[None]:
    """OutputError, naming the file, for whatever the system refuses."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(f"{cut(str(path))}: cannot be written: {reason}") from error


def _mode(target: Path) -> int:
    """The permissions of the file that is replaced, or those of any new file."""
    if target.exists():
        return stat.S_IMODE(target.stat().st_mode)
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def _write_through(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """A device or a pipe (/dev/stdout) is written to, not replaced."""
    with _said_of(path), opened_as_it_is(path) as file:
        write(file)


def opened_as_it_is(path: Path) -> BinaryIO:
    """A device or a pipe, to write to; OSError for a pipe that nobody reads, which would block."""
    try:
        file = os.open(path, os.O_WRONLY | getattr(os, "O_NONBLOCK", 0))
    except OSError as error:
        if error.errno == errno.ENXIO and path.is_fifo():
            raise OSError(error.errno, "is a pipe that nobody reads") from None
        raise
    if hasattr(os, "set_blocking"):
        os.set_blocking(file, True)
    return os.fdopen(file, "wb", buffering=0)
