"""How many examples of Hypothesis a test draws: a quarter by default, all with ``--every-case``."""

from __future__ import annotations

import os

EVERY = "RNNGRAD_EVERY_CASE"
"""Set by ``conftest.py``, in every worker before it imports a test."""


def quarter_of(examples: int) -> int:
    return examples if os.environ.get(EVERY) else max(1, examples // 4)
