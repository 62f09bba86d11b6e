"""The LaTeX that one writes on the sheet, as the words and signs of plain text.

A command is a word of the plain grammar (\\sigma, \\partial), a sign (\\cdot), something that only
looks (\\left, \\,) or a font or accent around a letter (\\mathcal{L}, \\tilde{h}). What is left,
\\frac and braces, the grammar reads itself. Source: Knuth, *The TeXbook* (1984), chapters 16-18.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

WORDS: Mapping[str, str] = MappingProxyType(
    {
        "partial": "∂", "sigma": "σ", "sum": "sum", "prod": "prod", "tanh": "tanh", "exp": "exp",
        "ln": "ln", "log": "log", "diag": "diag",
    }
)  # fmt: skip
"""command -> word of the plain grammar."""

SIGNS: Mapping[str, str] = MappingProxyType(
    {
        "cdot": "*", "times": "*", "odot": "*", "circ": "*", "ast": "*", "bullet": "*", "div": "/",
        "frac": "frac", "dfrac": "frac", "tfrac": "frac", "lbrace": "(", "rbrace": ")",
        "lbrack": "[", "rbrack": "]", "to": "..", "dots": "..", "ldots": "..",
    }
)  # fmt: skip
"""command -> sign."""

SILENT = frozenset(
    {
        "left", "right", "big", "Big", "bigg", "Bigg", "bigl", "bigr", "Bigl", "Bigr",
        "biggl", "biggr", "Biggl", "Biggr", "quad", "qquad", "limits", "nolimits",
        "displaystyle", "textstyle", "nonumber", "notag", "boxed", "hfil", "hfill", "eqno", "leqno",
    }
)  # fmt: skip
"""Commands that only look."""

ACCENTS = frozenset({"tilde", "widetilde"})
HATS = frozenset({"hat", "widehat", "bar", "overline", "dot", "check", "underline"})
"""Accents that no name of an answer has."""

FONTS = frozenset(
    {
        "mathcal", "mathrm", "mathbf", "mathit", "mathsf", "mathscr", "mathbb", "boldsymbol",
        "bm", "text", "textrm", "operatorname", "vec",
    }
)  # fmt: skip

COMMAND = re.compile(r"\\([A-Za-z]+)\*?")
BLANK = re.compile(
    r"(?:[ \t\r\n\xa0]|\\[,;:!> \\]|[&$]|\\[\[\]()]|\\(?:tag\*?|label)\s*\{[^{}]{0,40}\}"
    r"|\\(?:begin|end)\{[a-z]{1,12}\*?\}|\\hspace\*?\{[^{}]{0,12}\})+"
)
"""What separates and says nothing: blanks, alignment, dollars, equation numbers. A form feed is
none: it is what YAML makes of \\frac in double quotes."""

DRESSED = re.compile(r"\s*(?:\{\s*(\\?[A-Za-z]+)\s*\}|([A-Za-z]))")
"""What a font or an accent stands around: a letter, or a word in braces."""

COMMANDS = frozenset({*WORDS, *SIGNS, *SILENT, *ACCENTS, *FONTS})

_BOX = re.compile(rf"(?:{BLANK.pattern})?\\boxed\s*\{{")
_LAST = re.compile(
    r"(?:[ \t\r\n\xa0.,;$&]|\\[,;:!> \\\])]|\\(?:tag\*?|label)\s*\{[^{}]{0,40}\}"
    r"|\\end\{[a-z]{1,12}\*?\})\Z"
)
_LONGEST_LAST = 60


def undressed(text: str) -> str:
    """Blanks in place of the end of a sentence and of a box around it all; no place is moved."""
    end = end_of(text)
    box = _BOX.match(text, 0, end)
    start = box.end() if box and _closes(text, box.end()) == end - 1 else 0
    end = end_of(text, end - 1) if start else end
    return " " * start + text[start:end] + " " * (len(text) - end)


def end_of(text: str, end: int | None = None) -> int:
    """Where the formula ends: before the point, comma or end of a display that is last."""
    end = len(text) if end is None else end
    while match := _LAST.search(text[max(0, end - _LONGEST_LAST) : end]):
        end -= len(match[0])
    return end


def _closes(text: str, at: int) -> int:
    """Where the brace is closed that was opened right before; −1 where nowhere."""
    depth = 1
    for brace in re.finditer(r"[{}]", text[at:]):
        depth += 1 if brace[0] == "{" else -1
        if depth == 0:
            return at + brace.start()
    return -1
