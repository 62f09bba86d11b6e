"""A progress bar on standard error: only on a terminal, and only for what takes its time."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

PATIENCE = 1.0
"""Seconds before there is a bar."""

Report = Callable[[float, str], None]


@contextmanager
def progress_bar(quiet: bool) -> Iterator[Report | None]:
    """``report(fraction, what)`` draws the bar and it is wiped away at the end; None where nobody
    would see it (``--quiet``, no terminal)."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    with ExitStack() as stack:
        yield _Bar(stack).report


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
    """Rich is imported when the bar is first due, not before."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._due = time.monotonic() + PATIENCE
        self._drawn: tuple[Progress, TaskID] | None = None

    def report(self, fraction: float, what: str) -> None:
        """``fraction`` done (0 to 1), at work on ``what``."""
        if self._drawn is None:
            if time.monotonic() < self._due:
                return
            self._drawn = self._start(what)
        bar, task = self._drawn
        if fraction < bar.tasks[task].completed:  # another piece of work: its own time left
            bar.reset(task)
        bar.update(task, completed=fraction, description=what)

    def _start(self, what: str) -> tuple[Progress, TaskID]:
        from rich.console import Console
        from rich.progress import Progress

        bar = self._stack.enter_context(Progress(console=Console(stderr=True), transient=True))
        return bar, bar.add_task(what, total=1.0)
