"""Numbers as they are written in a spec -> arrays, and what is wrong with them, one by one."""

from __future__ import annotations

import sys
from collections import Counter
from typing import Any

import numpy as np

from rnngrad.arithmetic.arrays import Array
from rnngrad.files.spec_errors import Mistakes
from rnngrad.files.text import counted, dotted, shown
from rnngrad.files.yaml_text import Steps

MOST_MISTAKES = 1000
"""Wrong numbers that are reported for one array."""

_PLAIN = {int, float}


def written(value: Any, path: Steps, mistakes: Mistakes, axes: int = 2) -> Array | None:
    """A number (), a list (n,) or rows (r, c) of finite numbers, or with three ``axes`` lists of
    rows; None with mistakes noted."""
    if isinstance(value, np.ndarray):
        return from_array(value, dotted(path), path, mistakes, axes)
    if not isinstance(value, list):
        return np.array(float(value)) if _number(value, path, mistakes) else None
    before = len(mistakes.found)
    _check_list(value, path, mistakes, axes)
    return None if len(mistakes.found) > before else np.array(value, dtype=np.float64)


def from_array(
    array: np.ndarray, what: str, path: Steps, mistakes: Mistakes, axes: int = 2
) -> Array | None:
    """A NumPy array of any number type -> float64, all finite; ``what`` names it in messages."""
    refused = type_refused(array.dtype)
    if refused:
        mistakes.add(path, f"{what} holds {refused}, must hold real numbers")
        return None
    if array.size == 0 or array.ndim > axes:
        sides = "×".join(map(str, array.shape))
        why = batch_words(path, array.shape) if array.size else ", must hold numbers"
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


def batch_words(path: Steps, shape: tuple[int, ...]) -> str:
    """Why an array of more axes is refused; of three it may be a batch."""
    if path[:1] not in (("inputs",), ("targets",), ("upstream",)):
        return ", must be rows of numbers at most"
    if len(shape) != 3:
        return ", must have two axes, or three of a batch"
    first, second, _ = shape
    return (
        ", which is a batch; say which axis counts the sequences: batch: first "
        f"({counted(first, 'sequence')} of {counted(second, 'step')}) or batch: second "
        f"({counted(second, 'sequence')} of {counted(first, 'step')})"
    )


def _check_list(value: list[Any], path: Steps, mistakes: Mistakes, axes: int) -> None:
    deep = _depth(value)
    if not value:
        mistakes.add(path, f"{dotted(path)} is an empty list, must hold numbers")
    elif deep > axes:
        words = batch_words(path, _shape(value))
        mistakes.add(path, f"{dotted(path)} is nested {deep} deep{words}")
    elif deep == 3:
        _check_blocks(value, path, mistakes, axes)
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


def _shape(value: Any) -> tuple[int, ...]:
    """As its first items tell it."""
    found = []
    while isinstance(value, list) and value:
        found.append(len(value))
        value = value[0]
    return tuple(found)


def _check_blocks(blocks: list[Any], path: Steps, mistakes: Mistakes, axes: int) -> None:
    """Lists of as many rows each, all of one length."""
    before = len(mistakes.found)
    for index, block in enumerate(blocks):
        if not isinstance(block, list) or _depth(block) != 2:
            found = f"{dotted((*path, index))} is {shown(block)}"
            mistakes.add((*path, index), f"{found}, must be rows of numbers like the others")
        else:
            _check_list(block, (*path, index), mistakes, axes)
    if len(mistakes.found) > before:
        return
    for index, block in enumerate(blocks):
        rows, numbers = _shape(block)
        if (rows, numbers) != _shape(blocks[0]):
            here = (*path, index)
            most, width = _shape(blocks[0])
            found = f"{dotted(here)} is {rows}×{numbers}, must be {most}×{width} like the first"
            more = "; fill the shorter up and give lengths" if width == numbers else ""
            mistakes.add(here, found + more)


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
