"""How the words of a mistake are set: values shown, lines quoted, control characters escaped."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterable
from itertools import islice
from typing import Any

import numpy as np

from rnngrad.errors import escaped

QUOTE_WIDTH = 80


def cut(text: str, limit: int = 40) -> str:
    """``text`` escaped, and at most ``limit`` characters long."""
    shown = escaped(text[: limit + 1])
    return shown if len(shown) <= limit else shown[: limit - 3] + "..."


def cut_path(text: str, limit: int = 60) -> str:
    """A file's name escaped, at most ``limit`` characters long; its end is what tells it apart."""
    shown = escaped(text)
    return shown if len(shown) <= limit else "..." + shown[3 - limit :]


def shown(value: Any) -> str:
    """A value as its writer would name it: ``'no'``, ``1.5``, ``true``, ``a list``."""
    if value is None:
        return "empty"
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"'{cut(value)}'"
    if isinstance(value, int) and value.bit_length() > 1000:
        return "an integer of more than 300 digits"
    if isinstance(value, (int, float)):
        return cut(f"{value}")
    if isinstance(value, dict):
        return "a mapping"
    return "a list" if isinstance(value, list) else f"a {cut(type(value).__name__)}"


def listed(names: Iterable[str], word: str = "and", limit: int = 100) -> str:
    """``a, b and c``, cut after about ``limit`` characters."""
    words = [cut(name) for name in names]
    kept = list(words)
    while len(kept) > 1 and sum(len(word) + 2 for word in kept) > limit:
        kept.pop()
    more = len(words) - len(kept)
    if more:
        return f"{', '.join(kept)} {word} {more} more"
    return f" {word} ".join([", ".join(kept[:-1]), kept[-1]] if len(kept) > 1 else kept)


def several(names: Collection[str], limit: int = 400) -> str:
    """``'a', 'b' and 3 more``: a file may hold any number of names, a message only a few."""
    first = list(islice(names, 20))
    quoted = [f"'{cut(name, 60)}'" for name in first]
    while len(quoted) > 1 and sum(len(word) + 2 for word in quoted) > limit:
        quoted.pop()
    more = len(names) - len(quoted)
    if more:
        return f"{', '.join(quoted)} and {more} more"
    return " and ".join([", ".join(quoted[:-1]), quoted[-1]] if len(quoted) > 1 else quoted)


def counted(number: int | str, noun: str) -> str:
    """``1 number``, ``2 numbers``"""
    return f"{number} {noun}" if str(number) == "1" else f"{number} {noun}s"


def dotted(path: Iterable[str | int]) -> str:
    """``("weights", "W_hh", 1, 2)`` -> ``weights.W_hh[1][2]``"""
    parts = (f"[{part}]" if isinstance(part, int) else f".{cut(part)}" for part in path)
    return "".join(parts).removeprefix(".")


def _width(text: str) -> int:
    """Columns that ``text`` takes on a terminal."""
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(unicodedata.combining(c) != 0 for c in text)


def quoted(line: str, column: int) -> str:
    """A source line, cut to 80 columns around ``column`` (from 0), and a caret under that place."""
    start = max(0, min(column - QUOTE_WIDTH // 2, len(line) - QUOTE_WIDTH + 6))
    end = start + QUOTE_WIDTH - 6
    head = "..." if start else ""
    tail = "..." if end < len(line) else ""
    before = head + _one_line(line[start:column])
    return f"  {before}{_one_line(line[column:end])}{tail}\n  {' ' * _width(before)}^"


def _one_line(text: str) -> str:
    return escaped(text.replace("\t", " "))


def placed(label: str, line: int, column: int, message: str, source: str) -> str:
    """``label:line:column: message``, both counted from 0 here and from 1 there, and the quote."""
    where = f"{escaped(label)}:{line + 1}:{column + 1}: {message}"
    return f"{where}\n{quoted(source, column)}" if source.strip() else where


def sides(shape: tuple[int, ...]) -> str:
    """``12×4``; ``a single number``"""
    return "×".join(map(str, shape)) or "a single number"
