"""Memory is asked for before it is taken: what would take more than is allowed is refused in words.

Allowed are three quarters of what is free, or what the user says (``--max-memory``): of a machine,
Linux's ``MemAvailable``; of a container, what its limit leaves. Where no system tells, nothing is
refused.
"""

from __future__ import annotations

import re
from contextvars import ContextVar
from pathlib import Path

from rnngrad.errors import MemoryLimitError, UsageError

SHARE = 0.75
"""Of what is free."""

UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_SIZE = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*([KMGT]?)(?:i?B)?", re.IGNORECASE)

_allowed: ContextVar[float | None] = ContextVar("allowed", default=None)


def allow(size: str | None) -> None:
    """From now on so much, such as ``2G`` or ``500M``; None: the usual share of what is free.
    Raises UsageError for what is no size."""
    if size is None:
        _allowed.set(None)
        return
    match = _SIZE.fullmatch(size.strip())
    if match is None or not float(match[1]):
        raise UsageError(f"{size}: expected a size such as 2G or 500M")
    _allowed.set(float(match[1]) * UNITS[match[2].upper()])


def allowed() -> float:
    """Bytes that may be taken."""
    most = _allowed.get()
    return SHARE * free() if most is None else most


def ask(needed: float, what: str, smaller: str) -> None:
    """Raises MemoryLimitError where ``what`` needs more bytes than are allowed; ``smaller`` says
    what needs less."""
    most = allowed()
    told = "three quarters of what is free" if _allowed.get() is None else "--max-memory"
    if needed > most:
        raise MemoryLimitError(
            f"{what} takes some {in_words(needed)} of memory, and may take {in_words(most)} "
            f"({told}); {smaller}; --max-memory SIZE allows more"
        )


def in_words(size: float) -> str:
    """``1.5 GiB``, ``300 MiB``."""
    if size >= 2**50:
        return f"{size / 2**30:.0e} GiB"
    return f"{size / 2**30:,.1f} GiB" if size >= 2**30 else f"{max(size / 2**20, 1):.0f} MiB"


def free() -> float:
    """Bytes that can be had; infinite where the system does not tell."""
    return min(_of_the_machine(), _of_the_group(Path("/sys/fs/cgroup")))


def _of_the_machine() -> float:
    try:
        told = Path("/proc/meminfo").read_text(encoding="ascii")
    except OSError:
        return float("inf")
    found = re.search(r"^MemAvailable:\s*(\d+) kB", told, re.MULTILINE)
    return float("inf") if found is None else 1024.0 * int(found[1])


def _of_the_group(folder: Path) -> float:
    """What the limit of a container leaves: cgroup v2, then v1. Caches count as taken there, but
    would be given up."""
    for most, now, cached in (
        ("memory.max", "memory.current", "inactive_file"),
        (
            "memory/memory.limit_in_bytes",
            "memory/memory.usage_in_bytes",
            "total_inactive_file",
        ),
    ):
        try:
            limit, taken = ((folder / name).read_text(encoding="ascii") for name in (most, now))
            told = (folder / most).with_name("memory.stat").read_text(encoding="ascii")
            found = re.search(rf"^{cached} (\d+)", told, re.MULTILINE)
            return float(int(limit) - int(taken) + (int(found[1]) if found else 0))
        except (OSError, ValueError):  # "max"
            continue
    return float("inf")
