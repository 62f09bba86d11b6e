"""Contestants side by side, turn and turn about: medians, and ratios with their spread.

In every round each contestant runs once, so that whatever else the machine does meets all of them;
a ratio is taken within its round. What takes less than ``SHORTEST`` is run several times a turn.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

Work = Callable[[], object]

SHORTEST = 2e-3
"""Seconds that one turn takes at least."""

FEWEST, MOST = 5, 101
"""Rounds at least, unless next to no time is given, and at most."""

SLOW = 8.0
"""A contestant so many times slower than the time that a round should take sits out most rounds."""


class Timed(NamedTuple):
    """Seconds a call, the median; ratio of our time to theirs: quartiles and median."""

    seconds: float
    ratio: tuple[float, float, float]
    rounds: int


def side_by_side(ours: str, works: dict[str, Work], budget: float) -> dict[str, Timed]:
    """Time every work for about ``budget`` seconds together; ``ours`` is what ratios refer to."""
    gc.collect()
    gc.disable()
    try:
        return _side_by_side(ours, works, budget)
    finally:
        gc.enable()


def _side_by_side(ours: str, works: dict[str, Work], budget: float) -> dict[str, Timed]:
    repeats = {name: _repeats(work) for name, work in works.items()}
    once = {name: _turn(work, repeats[name]) for name, work in works.items()}
    often = [name for name in works if name == ours or once[name] < budget / SLOW]
    fast = sum(once[name] * repeats[name] for name in often)
    rounds = int(np.clip(budget / max(fast, 1e-9), FEWEST if budget > 1 else 1, MOST))
    turns: dict[str, list[float]] = {name: [] for name in works}
    own: dict[str, list[float]] = {name: [] for name in works}
    for i in range(rounds):
        here = list(works) if i == 0 else often
        times = {name: _turn(works[name], repeats[name]) for name in here}
        for name in here:
            turns[name].append(times[name])
            own[name].append(times[ours])
    return {name: _timed(turns[name], own[name]) for name in works}


def _timed(times: list[float], own: list[float]) -> Timed:
    ratios = np.array(own) / np.array(times)
    low, middle, high = (float(q) for q in np.quantile(ratios, (0.25, 0.5, 0.75)))
    return Timed(float(np.median(times)), (low, middle, high), len(times))


def _repeats(work: Work) -> int:
    return int(np.ceil(SHORTEST / max(_turn(work, 1), 1e-7)))


def _turn(work: Work, repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        work()
    return (time.perf_counter() - start) / repeats
