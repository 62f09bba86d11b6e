"""Strict JSON: what is not finite is null."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from rnngrad.arithmetic.arrays import Array, finite_or_none
from rnngrad.views.report import Cell, Report, Screen


def render(report: Report, screen: Screen) -> Iterator[str]:
    """One document; a line for each entry of its larger parts, to be read and diffed."""
    yield _pretty(report.document(), 0, screen) + "\n"


def render_lines(report: Report, screen: Screen) -> Iterator[str]:
    """JSON Lines: an object a row."""
    for row in report.rows():
        yield _dumps(dict(zip(report.columns, map(_finite, row), strict=True)), screen) + "\n"


def nested(array: Array) -> object:
    """An array as nested lists, null for what is not finite."""
    if np.isfinite(array).all():
        return array.tolist()
    values = np.asarray(array, dtype=object)
    return np.where(np.isfinite(array), values, np.asarray(None)).tolist()


def _finite(cell: Cell) -> Cell:
    return finite_or_none(cell) if isinstance(cell, float) else cell


def _pretty(value: object, depth: int, screen: Screen) -> str:
    """Mappings, and lists of mappings, a line an entry; everything else on one line."""
    pad, inner = "  " * depth, "  " * (depth + 1)
    if isinstance(value, Mapping) and value and depth < 2:
        entries = (
            f"{inner}{_dumps(key, screen)}: {_pretty(entry, depth + 1, screen)}"
            for key, entry in value.items()
        )
        return "{\n" + ",\n".join(entries) + f"\n{pad}}}"
    if isinstance(value, Sequence) and value and isinstance(value[0], Mapping):
        entries = (f"{inner}{_dumps(entry, screen)}" for entry in value)
        return "[\n" + ",\n".join(entries) + f"\n{pad}]"
    return _dumps(value, screen)


def _dumps(value: object, screen: Screen) -> str:
    import json  # only now: tables, too, take numbers from this module, and need none of it

    return json.dumps(value, allow_nan=False, ensure_ascii=not screen.unicode)
