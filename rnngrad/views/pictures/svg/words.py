"""Words in a figure, in HTML and in a drawing: the index of a letter below it, a power above."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

from rnngrad.views.page.page import text

LETTER, ROW = 7.2, 14.0
"""The width of a letter and the height of a row of them."""

INDEXED = re.compile(
    r"(?<![^\W_])([^\W\d_])_(?:\{([^{}]{1,8})\}|(max|[a-z]{1,2}|[A-Z]|\d+))(?![^\W_]|_)"
)
"""A single letter with an index: h_t, ∂L_60, W_hh, not a name such as my_net."""

LOG = re.compile(r"\blog(10)\b")
"""A logarithm with its base."""

_RAISED = re.compile(r"\^\{([^{}]*)\}")


def said(words: str) -> str:
    """Words of HTML."""
    return _set(words, "<sub>{}</sub>".format, "<sup>{}</sup>".format)


def drawn(words: str) -> str:
    """Words of SVG."""
    return _set(words, partial(_moved, 3), partial(_moved, -5))


def _moved(by: int, words: str) -> str:
    """Small, and so many pixels lower; what follows is back in its line."""
    return f'<tspan dy="{by}" font-size="10">{words}</tspan><tspan dy="{-by}">\u200b</tspan>'


def _set(words: str, below: Callable[[str], str], above: Callable[[str], str]) -> str:
    safe = INDEXED.sub(lambda found: found[1] + below(found[2] or found[3]), text(words))
    safe = LOG.sub(lambda found: f"log{below(found[1])}", safe)
    return _RAISED.sub(lambda found: above(found[1]), safe)


def width_of(words: str) -> float:
    """About so many pixels."""
    return LETTER * len(words)


def words_at(x: float, y: float, words: str, anchor: str = "start", kind: str = "") -> str:
    """A ``<text>``."""
    where = "" if anchor == "start" else f' text-anchor="{anchor}"'
    named = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{where}{named}>{drawn(words)}</text>'
