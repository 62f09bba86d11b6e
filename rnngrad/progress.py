"""How far a long loop is, told to whoever listens; to nobody, and at no cost, by default.

A bar is a matter of the command line, and loops over time are everywhere below it: so the listener
is set for a while around the work, not handed through every function on the way.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import accumulate
from typing import TypeVar

Listener = Callable[[float, str], None]
"""Told the share of the work that is done, 0 to 1, and which work that is."""

EVERY = 0.1
"""Seconds between two words."""

_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)

Item = TypeVar("Item")


@contextmanager
def reporting_to(listener: Listener | None) -> Iterator[None]:
    """Loops within are ``reported`` by ``listener``."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def announce(share: float, what: str) -> None:
    """One word: at work on ``what`` from now on."""
    listener = _listener.get()
    if listener is not None:
        listener(share, what)


def reported(
    items: Iterable[Item], count: int, what: str, work: Sequence[float] | None = None
) -> Iterable[Item]:
    """The same ``count`` items, with the listener told how much is done: as many of them, or as
    much of the ``work`` that each of them is, in any unit."""
    listener = _listener.get()
    if listener is None:
        return items
    each = [1.0] * count if work is None else work
    return _told(items, [0.0, *accumulate(each)], what, listener)


def _told(
    items: Iterable[Item], done: Sequence[float], what: str, listener: Listener
) -> Iterator[Item]:
    due, whole = 0.0, max(done[-1], 1e-300)
    for i, item in enumerate(items):
        now = time.monotonic()
        if now >= due:
            listener(done[min(i, len(done) - 1)] / whole, what)
            due = now + EVERY
        yield item


OF_A_STEP = 50
"""Rows that take as long, on their way through a step, as the step without any: roughly."""


def growing(reached: Iterable[float], a_step: float = OF_A_STEP) -> list[float]:
    """The work of steps that so many rows go through."""
    return [a_step + rows for rows in reached]
