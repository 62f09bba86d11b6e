"""How far a long loop is, told to whoever listens; to nobody, and at no cost, by default.

A bar is a matter of the command line, and loops over time are everywhere below it: so the listener
is set for a while around the work, not handed through every function on the way.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
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


def reported(items: Iterable[Item], count: int, what: str) -> Iterable[Item]:
    """The same ``count`` items, with the listener told how many are done."""
    listener = _listener.get()
    return items if listener is None else _told(items, count, what, listener)


def _told(items: Iterable[Item], count: int, what: str, listener: Listener) -> Iterator[Item]:
    due = 0.0
    for i, item in enumerate(items):
        now = time.monotonic()
        if now >= due:
            listener(i / max(count, 1), what)
            due = now + EVERY
        yield item
