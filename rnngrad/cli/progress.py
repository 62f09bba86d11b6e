"""A progress bar on standard error: only on a terminal, and only for what takes its time."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

PATIENCE, AGAIN = 1.0, 0.2
"""Seconds before there is a bar, and between two looks while there is nothing to say."""

Report = Callable[[float, str], None]


@contextmanager
def progress_bar(quiet: bool) -> Iterator[Report | None]:
    """``report(fraction, what)`` draws the bar and it is wiped away at the end; None where nobody
    would see it (``--quiet``, no terminal)."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    with ExitStack() as stack:
        bar = _Bar(stack)
        try:
            yield bar.report
        finally:
            bar.close()


def watched(chunks: Iterable[str], quiet: bool) -> Iterator[str]:
    """The same chunks of text, with a bar while one is being made; it is gone when the chunk goes
    out, for both may go to the same terminal."""
    from rnngrad.core.telling import telling

    waiting = iter(chunks)
    while True:
        with progress_bar(quiet) as bar, telling(bar):
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
