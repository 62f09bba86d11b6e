"""The text of a derivation -> its layout.

    ∂⁺h_t/∂W_hh  σ'(W_xh x_t + b_h)·W_hh  Σ_{t=1..8}  (∏_{s=2..t} ∂h_s/∂h_{s−1})  [[a, b], [0, c]]

Nothing is understood, so nothing can be refused: what is no name, number, function, bracket or sign
of the notation stays as a word.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from rnngrad.algebra.equation_tokens import GREEK
from rnngrad.views.typesetting.layout import (
    CLOSING,
    Big,
    Call,
    Fence,
    Fraction,
    Matrix,
    Name,
    Number,
    Partial,
    Piece,
    Raised,
    Row,
    Sign,
    Word,
)

_RAISED = "⁰¹²³⁴⁵⁶⁷⁸⁹⁻ˡᵐ"
_LOWERED = str.maketrans(_RAISED, "0123456789−lm")
_HEAD = rf"[^\W\d_{_RAISED}ᵀ]+\d*[\u0302-\u0304]?"
_BELOW = rf"(?:_(?:\{{[\w−+, .]*\}}|[^\W_{_RAISED}ᵀ]+))"
_NAME = rf"({_HEAD})([{_RAISED}]*)({_BELOW}*)(\.\d+)?"
_FUNCTION = re.compile(rf"([^\W\d{_RAISED}][^\W{_RAISED}]*)(')?([{_RAISED}]*)\(")
_PARTIAL = re.compile(rf"∂(⁺)?({_NAME})/∂({_NAME})")
_NUMBER = re.compile(r"\d+(?:\.\d+)?(?:e[-+]?\d+)?")
_RANGE = r"\{(\w+)=([^{}]*?)\.\.([^{}]*)\}"
_BIG = re.compile(rf"([Σ∏])(?:_(?:{_RANGE}|\{{((?:[^{{}}]|\{{[^{{}}]*\}})*)\}}|(\w)))?")
_SIGNS = "+−=·×∘⊗,∈⋯|<>≤≥≠→"
_ONE_NAME = re.compile(_NAME)
_RAISED_BEHIND = re.compile(rf"[{_RAISED}]+|ᵀ|\^(?:\{{([−-]?\d+)\}}|([−-]?\d+))")
_WORD = re.compile(r"[^\s()\[\]{},‖]+")
TOKEN = re.compile(
    r"∂⁺?[A-Za-z]_?(?:\w|\{[\w−+]+\})*/∂[A-Za-z]_?(?:[a-z0-9]+|\{[\w−+]+\})?"
    r"|(?<![\w./\\])[A-Za-zσλρ]_(?:[a-zA-Z0-9]{1,3}(?!\w)|\{[\w−+]{1,5}\})(?![\w.])",
    re.ASCII,
)
"""A name with an index or a partial within a sentence."""


def in_prose(text: str) -> Iterator[str | Row]:
    """A sentence of rnngrad's own, apart: text, and the layout of each name and partial in it."""
    at = 0
    for match in TOKEN.finditer(text):
        yield text[at : match.start()]
        yield read(match[0])
        at = match.end()
    yield text[at:]


def read(text: str) -> Row:
    """The layout of one side of an equation, or of one with its ``=``."""
    return _Reader(text).row("")


def read_lines(text: str) -> Iterator[Row]:
    """The layout of each line; one within brackets goes on in the next."""
    reader = _Reader(text)
    while reader.at < len(text):
        yield reader.row("\n")


class _Reader:
    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0

    def row(self, closing: str) -> Row:
        """Pieces up to a closing bracket, which is passed."""
        found = list[Piece]()
        while self._blank(closing) and not (closing and self.text[self.at] == closing):
            piece = self._one()
            if isinstance(piece, Sign) and piece.text == "/" and found and self._blank():
                found.append(Fraction(_bare(found.pop()), _bare(self._scripted(self._one()))))
            elif isinstance(piece, Word) and found and isinstance(found[-1], Word):
                found[-1] = Word(f"{found[-1].text} {piece.text}")
            else:
                found.append(self._scripted(piece))
        self.at += bool(closing)
        return Row(tuple(found))

    def _blank(self, closing: str = "") -> bool:
        while self.text[self.at : self.at + 1] in set(" \n\xa0") - {closing}:
            self.at += 1
        return self.at < len(self.text)

    def _matched(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        match = pattern.match(self.text, self.at)
        self.at = match.end() if match else self.at
        return match

    def _one(self) -> Piece:
        sign = self.text[self.at]
        if match := self._matched(_PARTIAL):
            groups = match.groups()
            return Partial(_name(groups[2:6]), _name(groups[7:11]), groups[0] is not None)
        if match := self._matched(_BIG):
            return self._big(match)
        if match := self._matched(_NUMBER):
            return Number(match[0])
        if match := self._matched(_FUNCTION):
            return Call(match[1], match[2] is not None, match[3].translate(_LOWERED), self.row(")"))
        if match := self._matched(_ONE_NAME):
            return _named(match)
        self.at += 1
        if sign in CLOSING:
            return self._fence(sign)
        if sign in _SIGNS or sign == "/":
            return Sign(sign)
        self.at -= 1
        match = self._matched(_WORD)
        self.at += match is None
        return Word(match[0] if match else sign)

    def _big(self, match: re.Match[str]) -> Big:
        sign, variable, start, stop, inside, letter = match.groups()
        if variable:
            below = Row((Name(variable), Sign("="), *read(start).pieces))
            return Big(sign, below, read(stop))
        below_text = inside or letter
        return Big(sign, read(below_text) if below_text else None)

    def _fence(self, opening: str) -> Piece:
        start = self.at
        inner = self.row(CLOSING[opening])
        rows = [p for p in inner.pieces if isinstance(p, Fence) and p.opening == "["]
        if opening == "[" and rows and len(rows) * 2 - 1 == len(inner.pieces):
            return Matrix(tuple(tuple(_cells(row.inner)) for row in rows), blocks=True)
        cells = [*_cells(inner)]
        if opening == "[" and len(cells) > 1 and "\n" in self.text[start : self.at]:
            return Matrix(tuple((cell,) for cell in cells), blocks=True)
        return Fence(opening, inner)

    def _scripted(self, piece: Piece) -> Piece:
        """The piece with the power that stands right behind it."""
        if match := self._matched(_RAISED_BEHIND):
            power = match[1] or match[2] or match[0].translate(_LOWERED)
            return Raised(piece, "T" if power == "ᵀ" else power.replace("-", "−"))
        return piece


def _name(groups: tuple[str | None, ...]) -> Name:
    head, up, below, suffix = (group or "" for group in groups)
    found = re.findall(r"_(?:\{([^{}]*)\}|([^_{}]+))", below)
    return Name(head, up.translate(_LOWERED), tuple(a or b for a, b in found), suffix)


def _named(match: re.Match[str]) -> Piece:
    """A name; a power behind one that has no index, or a word."""
    head, up, below, suffix = match.groups()
    if not below and not suffix and len(head) > 1 and head.isascii() and head not in GREEK:
        return Word(match[0])
    if up and not below:
        return Raised(Name(head), up.translate(_LOWERED))
    return _name((head, up, below, suffix))


def _bare(piece: Piece) -> Row:
    """What stands above or below a line needs no brackets."""
    return piece.inner if isinstance(piece, Fence) and piece.opening == "(" else Row((piece,))


def _cells(row: Row) -> Iterator[Row]:
    cell = list[Piece]()
    for piece in row.pieces:
        if piece == Sign(","):
            yield Row(tuple(cell))
            cell = []
        else:
            cell.append(piece)
    yield Row(tuple(cell))
