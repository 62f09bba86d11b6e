"""The exit codes, the contract's with the shell. The one place to change one."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

DONE = 0
USERS_FAULT = 2
"""What was typed, a spec or a file: the user's to mend."""
OWN_FAULT = 3
"""A fault of rnngrad's own."""
INTERRUPTED = 130

VERDICTS: Mapping[str, int] = MappingProxyType({"pass": DONE, "fail": 1, "inconclusive": 4})
"""What check and grade end with."""
