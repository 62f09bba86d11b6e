"""The number of an equation that was pasted along with a formula: it is no factor.

    $$ -2 (t_3 - y_3) $$ (20)    \\[ … \\] [20]    … \\quad (20)    … (20)    $$ … $$ Eq. (4.2)

``\\tag{20}`` and ``\\label{eq:loss}`` are blanks of the grammar (``latex.BLANK``). What stands in
brackets is a number of an equation where a sign parts it from the formula: the end of a display, a
\\quad, an & of an alignment, a comma or full stop, a tab, a new line, or three blanks. Behind one
blank alone it is one from 10 on: no derivative of the sheet has such a factor, and small ones, as
in ``(t_3 - y_3) (2)``, do occur. Right behind the formula, or behind a sign, it is a factor.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from rnngrad.algebra import latex
from rnngrad.algebra.tokens import FUNCTIONS

_PARTING = (
    r"[$&.,;\t\r\n]|\\[\])]|\\(?:quad|qquad|hfill?|l?eqno)(?![A-Za-z])"
    r"|\\hspace\*?\{[^{}]{0,12}\}|\\end\{[a-z]{1,12}\*?\}"
)
_LABEL = r"(?:[A-Z]\.)?\d{1,3}(?:[.-]\d{1,3})?[a-z]?"
_WORD = r"(?:[Ee]q(?:uatio)?n?|Gl)\.?\s*"
_NUMBER = re.compile(
    rf"(?P<gap>(?:[ \xa0]|\\[,;:!> ]|{_PARTING}){{1,40}})"
    rf"(?P<text>\\(?:text|textrm|mathrm)\s*\{{\s*)?(?P<word>{_WORD})?"
    rf"(?:[(\[]\s*(?P<within>{_WORD})?(?P<number>{_LABEL})\s*[)\]]|(?(word){_LABEL}\b|(?!)))"
    r"(?(text)\s*\})"
)
_LEADING = re.compile(rf"\s*[(\[]\s*{_LABEL}\s*[)\]]\s*(?=\$|\\[\[(]|\\begin\{{)")
_PARTS = re.compile(rf"{_PARTING}|[ \xa0]{{3}}")
_REOPENED = re.compile(r"\$\s+\$")
_UNFINISHED = re.compile(
    r"(?:[-+*/^=(\[{∂−–·×⋅∘⊙∗⁄÷'′’‘]|"
    rf"\b(?:{'|'.join(name for name in FUNCTIONS if name.isascii())})\}}?|σ"
    r"|\\(?:cdot|times|odot|circ|ast|bullet|div|frac|partial))\Z"
)
"""What a formula cannot end in: a sign, an opening bracket, a function without its bracket."""

_SMALL = 10
_LOOK_BACK = 80


class Numbered(NamedTuple):
    """A formula with blanks for its numbers, what they were, and whether one may still be there."""

    text: str
    numbers: tuple[str, ...] = ()
    unsure: str = ""


def without_number(text: str) -> Numbered:
    """The formula without the numbers of its equations; no place in it is moved."""
    numbers: list[str] = []
    unsure = ""
    if leading := _LEADING.match(text):
        numbers.append(leading[0].strip())
        text = " " * leading.end() + text[leading.end() :]
    end = latex.end_of(text)
    for match in _NUMBER.finditer(text, 0, end):
        if not _ends_a_side(text, match.end(), end) or not _finished(text, match.start()):
            continue
        start, stop = match.end("gap"), match.end()
        if _is_clear(match):
            numbers.append(text[start:stop])
            text = text[:start] + " " * (stop - start) + text[stop:]
        else:
            unsure = text[start:stop]
    return Numbered(text, tuple(numbers), unsure)


def _ends_a_side(text: str, at: int, end: int) -> bool:
    """Whether nothing follows, or an = of the chain."""
    blank = latex.BLANK.match(text, at, end)
    at = blank.end() if blank else at
    return at >= end or text[at] == "="


def _finished(text: str, end: int) -> bool:
    before = text[max(0, end - _LOOK_BACK) : end].rstrip()
    return bool(before) and _UNFINISHED.search(before) is None


def _is_clear(match: re.Match[str]) -> bool:
    """Whether it can be nothing but an equation's number."""
    number = match["number"]
    if match["text"] or match["word"] or match["within"]:
        return True
    if number[-1].isalpha() or number[0].isalpha():
        return True
    if number.isdigit() and int(number) >= _SMALL:
        return True
    gap = match["gap"]
    return _PARTS.search(gap) is not None and _REOPENED.search(gap) is None
