"""What Typer finds wrong with a command line, in the words and the form of every other error."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any

import typer

OLD_NAMES: Mapping[str, str] = MappingProxyType(
    {"random": "trials", "bracket": "critical-rtol", "layer": "prefix"}
)
"""What options were called -> what they are called; the old names go on working, unsaid."""

EXPECTED = {"int_parsing": "a whole number", "float_parsing": "a number"}
"""What pydantic calls a value that cannot be read -> what was expected."""


def in_words(error: typer.TyperException) -> str:
    """``--seeds x: expected a whole number; rnngrad sweep --help shows what it takes``"""
    words, context = _wrong(error), getattr(error, "ctx", None)
    if words.endswith("?") or context is None:
        return words
    return f"{words}; {context.command_path} --help shows what it takes"


def _wrong(error: typer.TyperException) -> str:
    option = getattr(error, "option_name", None)
    if option is not None and hasattr(error, "possibilities"):
        return f"no option is called '{option}'{_similar_option(option, error)}"
    return _unread(error) or _lowered(error.format_message())


def _similar_option(option: str, error: typer.TyperException) -> str:
    """``"; did you mean '--trials'?"``, for a slip in an old name too, else the empty string."""
    command = getattr(getattr(error, "ctx", None), "command", None)
    names = [name for param in getattr(command, "params", ()) for name in param.opts]
    known = {name: name for name in names if name.startswith("--")}
    known |= {f"--{old}": f"--{new}" for old, new in OLD_NAMES.items() if f"--{new}" in known}
    close = get_close_matches(option, known, n=1)
    return f"; did you mean '{known[close[0]]}'?" if close else ""


def _unread(error: typer.TyperException) -> str:
    """A value of another kind than its option takes; empty for any other mistake."""
    found: list[Any] = getattr(error.__cause__, "errors", list)()
    names = getattr(getattr(error, "param", None), "opts", ())
    if not found or not names or found[0]["type"] not in EXPECTED:
        return ""
    return f"{names[0]} {found[0]['input']}: expected {EXPECTED[found[0]['type']]}"


def _lowered(message: str) -> str:
    """Sentences as the parts of one: ``No such command 'x'. Did …`` -> ``no such command 'x'; did
    …``"""
    parts = re.split(r"\.\s+(?=[A-Z])", message.strip().removesuffix("."))
    return "; ".join(part[:1].lower() + part[1:] for part in parts)
