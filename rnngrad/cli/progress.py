"""What takes its time, on standard error: a note that it will, and on a terminal a bar."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

PATIENCE, AGAIN = 1.0, 0.2
"""Seconds before there is a bar, and between two looks while there is nothing to say."""

LONG = 10.0
"""Seconds to go from which on one is told, with an estimate."""

WRONG = 2.0
"""Times as long as was said: then it is said again."""

PROBE = 0.5
"""Seconds of the work itself that are measured for it."""

Report = Callable[[float, str], None]


@contextmanager
def progress_bar(quiet: bool) -> Iterator[Report | None]:
    """``report(fraction, what)`` says once what takes long, and draws the bar on a terminal, which
    is wiped away at the end; None with ``--quiet``."""
    if quiet or sys.stderr is None:
        yield None
        return
    notice = _Notice()
    if not sys.stderr.isatty():
        yield notice.report
        return
    with ExitStack() as stack:
        bar = _Bar(stack)

        def report(fraction: float, what: str) -> None:
            notice.report(fraction, what)
            bar.report(fraction, what)

        try:
            yield report
        finally:
            bar.close()


class _Notice:
    """How long a piece of work will take, said as soon as its own first half second tells, and
    again where it proves to be ``WRONG`` times as long. A fraction that is 0 or falls begins
    another."""

    def __init__(self) -> None:
        self._begun: tuple[float, float] | None = None
        self._last, self._said = 0.0, 0.0

    def report(self, fraction: float, what: str) -> None:
        """``fraction`` done (0 to 1), at work on ``what``."""
        now = time.monotonic()
        if self._begun is None or fraction == 0 or fraction < self._last:
            self._begun, self._said = (now, fraction), 0.0
        self._last = fraction
        since, at = self._begun
        if now - since < PROBE or fraction <= at:
            return
        whole = (now - since) * (1.0 - at) / (fraction - at)
        left = whole - (now - since)
        if left > LONG and whole > WRONG * self._said:
            from rnngrad.cli.boundary import say

            self._said = whole
            say(f"note: {what}: some {_spoken(left)} to go; Ctrl-C ends it and keeps what is done")


def _spoken(seconds: float) -> str:
    """An estimate in words: ``40 s``, ``3 min``, ``2 h``."""
    if seconds < 90:
        return f"{10 * round(seconds / 10)} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{round(seconds / 3600)} h"


def watched(chunks: Iterable[str], quiet: bool) -> Iterator[str]:
    """The same chunks of text, with a bar while one is being made; it is gone when the chunk goes
    out, for both may go to the same terminal."""
    from rnngrad.progress import reporting_to

    waiting = iter(chunks)
    while True:
        with progress_bar(quiet) as bar, reporting_to(bar):
            chunk = next(waiting, None)
        if chunk is None:
            return
        yield chunk


class _Bar:
    """Drawn when what it counts has taken ``PATIENCE``, also if nobody has reported since; Rich is
    imported then, not before."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack, self._lock = stack, threading.Lock()
        self._said: tuple[float, str] | None = None
        self._drawn: tuple[Progress, TaskID] | None = None
        self._closed = False
        self._wait(PATIENCE)

    def close(self) -> None:
        """No bar from now on."""
        with self._lock:
            self._closed = True
            self._timer.cancel()

    def report(self, fraction: float, what: str) -> None:
        """``fraction`` done (0 to 1), at work on ``what``."""
        with self._lock:
            self._said = fraction, what
            if self._drawn is not None:
                bar, task = self._drawn
                if fraction < bar.tasks[task].completed:  # another piece of work
                    bar.reset(task)
                bar.update(task, completed=fraction, description=what)

    def _late(self) -> None:
        """What was said last, if anything was."""
        with self._lock:
            if self._closed:
                return
            if self._said is None:
                self._wait(AGAIN)
            else:
                self._drawn = self._start(*self._said)

    def _wait(self, seconds: float) -> None:
        self._timer = threading.Timer(seconds, self._late)
        self._timer.daemon = True
        self._timer.start()

    def _start(self, fraction: float, what: str) -> tuple[Progress, TaskID]:
        from rich.console import Console
        from rich.progress import Progress

        bar = self._stack.enter_context(Progress(console=Console(stderr=True), transient=True))
        task = bar.add_task(what, total=1.0)
        bar.update(task, completed=fraction)
        return bar, task
