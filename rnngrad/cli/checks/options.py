"""What the branches of ``rnngrad check`` are told, besides the problem and the file."""

from __future__ import annotations

from typing import NamedTuple

TIMEOUT, MEMORY = 60.0, 4.0


class CheckOptions(NamedTuple):
    """``rtol`` is None for the contract's own; ``random`` is N of ``--trials N`` (0: none);
    ``method`` is ``auto`` or a name in ``METHODS``; ``spec`` is SPEC as it was typed; ``layout`` is
    that of a framework's gradients, None for the contract's names. For a function: ``timeout`` in
    seconds, ``memory`` in GiB, and what ``returns`` calls the parts of a tuple."""

    rtol: float | None = None
    hide_expected: bool = False
    random: int = 0
    quiet: bool = False
    method: str = "auto"
    spec: str = "-"
    layout: str | None = None
    timeout: float = TIMEOUT
    memory: float = MEMORY
    returns: str | None = None


def is_function(source: str) -> bool:
    """Whether a source names a function: FILE.py:FUNCTION, or FILE.py that lacks it."""
    return source.endswith(".py") or ".py:" in source
