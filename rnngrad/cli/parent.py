"""Processes that end with the one that started them, however that ends."""

from __future__ import annotations

import sys

PARENT_DEATH_SIGNAL = 1  # linux/prctl.h


def end_with_parent() -> None:
    """This process is killed when its parent is gone; on Linux alone."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PARENT_DEATH_SIGNAL, 9, 0, 0, 0)
