"""The one place where exceptions become words and exit codes."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from threading import Event
from typing import TYPE_CHECKING, ParamSpec

import typer

from rnngrad.cli.exit_codes import INTERRUPTED, OWN_FAULT, USERS_FAULT
from rnngrad.cli.streams import forget
from rnngrad.errors import RnngradError

if TYPE_CHECKING:
    from rnngrad.net.problem import Problem

P = ParamSpec("P")


def bounded(command: Callable[P, int]) -> Callable[P, None]:
    """The command with its result as exit code and every exception turned into words."""

    @functools.wraps(command)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        raise typer.Exit(_exit_code(lambda: command(*args, **kwargs)))

    guarded.__annotations__["return"] = None
    return guarded


def _exit_code(run: Callable[[], int]) -> int:
    try:
        return run()
    except KeyboardInterrupt:
        say("rnngrad: interrupted")
        return INTERRUPTED
    except typer.Exit:
        raise
    except Exception as error:  # noqa: BLE001 -- the boundary: nothing else may end as exit 1
        return _said(error)


def _said(error: Exception) -> int:
    """Say what went wrong, and where if that is wanted; the exit code that it ends with."""
    if _TRACEBACKS.is_set() or os.environ.get("RNNGRAD_DEBUG", "0") not in ("", "0"):
        import traceback

        say("".join(traceback.format_exception(error)).rstrip())
    if isinstance(error, RnngradError):
        say(str(error))
        return USERS_FAULT
    if isinstance(error, MemoryError):
        say(f"rnngrad: not enough memory for this ({error})")
        return USERS_FAULT
    say(
        f"rnngrad: a fault of its own: {type(error).__name__}: {error}\n"
        "The same with --debug shows where; please report it."
    )
    return OWN_FAULT


_TRACEBACKS = Event()


def show_tracebacks() -> None:
    """From now on every error is shown with its traceback (``--debug``)."""
    _TRACEBACKS.set()


def say_assumed(problem: Problem) -> None:
    """What a trained model's file left open, as notes."""
    for words in () if problem.trained is None else problem.trained.assumed:
        say(f"note: assumed: {words}")


def say(message: str) -> None:
    """A message on standard error, in whatever signs it can show; a terminal acts on none of them,
    from whatever file or argument they come."""
    from rnngrad.errors import printable
    from rnngrad.views.ascii import to_ascii

    if sys.stderr is None:  # closed by the caller
        return
    encoding = sys.stderr.encoding or "ascii"
    text = printable(message) + "\n"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = to_ascii(text)
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except OSError:
        forget(sys.stderr)
