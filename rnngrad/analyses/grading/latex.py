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
        "displaystyle", "textstyle", "nonumber", "notag",
    }
)  # fmt: skip
"""Commands that only look."""

ACCENTS = frozenset({"tilde", "widetilde"})
FONTS = frozenset(
    {
        "mathcal", "mathrm", "mathbf", "mathit", "mathsf", "mathscr", "mathbb", "boldsymbol",
        "bm", "text", "textrm", "operatorname", "vec",
    }
)  # fmt: skip

COMMAND = re.compile(r"\\([A-Za-z]+)\*?")
BLANK = re.compile(
    r"(?:[ \t\r\n\xa0]|\\[,;:!> \\]|[&$]|\\[\[\]]|\\tag\s*\{[^{}]{0,20}\}"
    r"|\\(?:begin|end)\{[a-z]{1,12}\*?\})+"
)
"""What separates and says nothing: blanks, alignment, dollars, equation numbers. A form feed is
none: it is what YAML makes of \\frac in double quotes."""

DRESSED = re.compile(r"\s*(?:\{\s*(\\?[A-Za-z]+)\s*\}|([A-Za-z]))")
"""What a font or an accent stands around: a letter, or a word in braces."""

COMMANDS = frozenset({*WORDS, *SIGNS, *SILENT, *ACCENTS, *FONTS})
