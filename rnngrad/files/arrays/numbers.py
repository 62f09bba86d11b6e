"""Numbers as they are written in a spec -> arrays, and what is wrong with them, one by one."""

from __future__ import annotations

import sys
from collections import Counter
from typing import Any

import numpy as np

from rnngrad.arithmetic.arrays import Array
from rnngrad.files.mistakes import Mistakes
from rnngrad.files.text import counted, dotted, shown
from rnngrad.files.yaml_text import Steps

MOST_MISTAKES = 1000
"""Wrong numbers that are reported for one array."""

_PLAIN = {int, float}


def written(value: Any, path: Steps, mistakes: Mistakes) -> Array | None:
    """A number (), a list (n,) or rows (r, c) of finite numbers; None with mistakes noted."""
    if isinstance(value, np.ndarray):
        return from_array(value, dotted(path), path, mistakes)
    if not isinstance(value, list):
        return np.array(float(value)) if _number(value, path, mistakes) else None
    before = len(mistakes.found)
    _check_list(value, path, mistakes)
    return None if len(mistakes.found) > before else np.array(value, dtype=np.float64)


def from_array(array: np.ndarray, what: str, path: Steps, mistakes: Mistakes) -> Array | None:
    """A NumPy array of any number type -> float64, all finite; ``what`` names it in messages."""
    refused = type_refused(array.dtype)
    if refused:
        mistakes.add(path, f"{what} holds {refused}, must hold real numbers")
        return None
    if array.size == 0 or array.ndim > 2:
        sides = "×".join(map(str, array.shape))
        why = batch_words(path) if array.size else ", must hold numbers"
        mistakes.add(path, f"{what} is {sides}{why}")
        return None
    with np.errstate(all="ignore"):
        wide = np.array(array, dtype=np.float64)
    finite = np.isfinite(wide)
    if not finite.all():
        first = tuple(map(int, np.argwhere(~finite)[0]))
        at = f" at {list(first)}" if first else ""
        mistakes.add(path, f"{what} holds {wide[first]}{at}, counted from 0; must be finite")
        return None
    return wide


def type_refused(dtype: np.dtype[Any]) -> str:
    """What an array of this type holds that is no real number, or the empty string."""
    kinds = {"O": "Python objects", "c": "complex numbers", "U": "text", "S": "text"}
    return "" if dtype.kind in "fiub" else kinds.get(dtype.kind, f"values of type {dtype}"[:60])


def batch_words(path: Steps) -> str:
    """Why an array of three axes is refused."""
    if path[:1] in (("inputs",), ("targets",), ("upstream",)):
        return ": a batch axis; rnngrad takes one sequence at a time, rows of numbers, one a step"
    return ", must be rows of numbers at most"


def _check_list(value: list[Any], path: Steps, mistakes: Mistakes) -> None:
    deep = _depth(value)
    if not value:
        mistakes.add(path, f"{dotted(path)} is an empty list, must hold numbers")
    elif deep > 2:
        mistakes.add(path, f"{dotted(path)} is nested {deep} deep{batch_words(path)}")
    elif deep == 2:
        _check_rows(value, path, mistakes)
    else:
        _check_numbers(value, path, mistakes)


def _depth(value: Any) -> int:
    """Levels of lists, as the first items tell them; nesting is bounded by the reader."""
    deepest = 1
    for row in value:
        inner, levels = row, 1
        while isinstance(inner, list):
            inner, levels = (inner[0] if inner else None), levels + 1
        deepest = max(deepest, levels)
    return deepest


def _check_rows(rows: list[Any], path: Steps, mistakes: Mistakes) -> None:
    """Rows of numbers, all of the length that most have."""
    lengths = Counter(len(row) for row in rows if isinstance(row, list) and row)
    usual = lengths.most_common(1)[0][0] if lengths else 0
    most = len(mistakes.found) + MOST_MISTAKES
    for index, row in enumerate(rows):
        if len(mistakes.found) >= most:
            return
        if not isinstance(row, list):
            found = f"{dotted((*path, index))} is {shown(row)}"
            mistakes.add((*path, index), f"{found}, must be a list of {counted(usual, 'number')}")
        elif len(row) != usual or not row:
            _refuse_length(row, usual, (*path, index), mistakes)
        else:
            _check_numbers(row, (*path, index), mistakes)


def _refuse_length(row: list[Any], usual: int, path: Steps, mistakes: Mistakes) -> None:
    usually = f"must have {usual} like the others" if usual else "must hold numbers"
    holds = f"has {counted(len(row), 'number')}" if row else "is empty"
    found = f"{dotted(path[:-1])} row {int(path[-1]) + 1} {holds}"
    mistakes.add(path, f"{found}, {usually}")


def _check_numbers(values: list[Any], path: Steps, mistakes: Mistakes) -> None:
    if set(map(type, values)) <= _PLAIN:
        try:
            if np.isfinite(np.array(values, dtype=np.float64)).all():
                return
        except OverflowError:
            pass
    most = len(mistakes.found) + MOST_MISTAKES
    for index, value in enumerate(values):
        _number(value, (*path, index), mistakes)
        if len(mistakes.found) >= most:
            return


def _number(value: Any, path: Steps, mistakes: Mistakes) -> bool:
    """Whether the value is a finite number; a mistake is noted if not."""
    wrong = not isinstance(value, (int, float)) or isinstance(value, bool)
    if wrong:
        mistakes.add(path, f"{dotted(path)} is {shown(value)}, must be a number{_hint(value)}")
        return False
    if not abs(value) <= sys.float_info.max:
        mistakes.add(path, f"{dotted(path)} is {shown(value)}, must be a finite number")
        return False
    return True


def _hint(value: Any) -> str:
    """What a text that is no number may have been meant for."""
    if not isinstance(value, str):
        return ""
    meant = value.strip().replace(",", ".").replace("−", "-").replace("_", "")
    try:
        float(meant)
    except ValueError:
        words = value.split()
        several = len(words) > 1 and not _hint_fails(words)
        return f"; write [{listed_numbers(words)}]" if several else ""
    return f"; write {meant}" if np.isfinite(float(meant)) else ""


def _hint_fails(words: list[str]) -> bool:
    try:
        return not np.isfinite([float(word) for word in words]).all()
    except ValueError:
        return True


def listed_numbers(words: list[str], most: int = 4) -> str:
    """``1, 2, 3``, cut after a few."""
    return ", ".join(words[:most]) + (", ..." if len(words) > most else "")
