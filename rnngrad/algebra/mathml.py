"""Formulas as MathML: what ``algebra.writing`` and derive's chain rules write, set as on paper.

The text is read by how it looks, not by what it means: brackets are closed already and products are
in order, so there is nothing to decide, and every text comes out as something. ∂a/∂b is a fraction,
h_{t−1} has its index below, Σ_{k=1..t} its bounds, [[a, b], [c, d]] is a matrix, a list in
brackets with a line an entry a column; words stay words.

MathML Core breaks no line. So a formula is a row of ``<math>``, one a summand, between which a
browser breaks it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from types import MappingProxyType
from typing import NamedTuple

from rnngrad.algebra.functions import FUNCTIONS
from rnngrad.algebra.writing import GREEK

NAMED = frozenset((*FUNCTIONS, "sigmoid", "ln", "diag"))
"""What is a function though nothing stands in brackets behind it."""

ACCENTS: Mapping[str, str] = MappingProxyType({"tilde": "~", "hat": "^", "bar": "¯"})
RAISED: Mapping[str, str] = MappingProxyType(
    dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ˡᵐᵀ", "0123456789+−lm⊤", strict=True))
)
CLOSING: Mapping[str, str] = MappingProxyType({"(": ")", "[": "]", "{": "}"})

_TOKEN = re.compile(
    r"(?P<blank>\s+)"
    r"|(?P<number>\d+(?:\.\d+)?(?:e[+-]?\d+)?)"
    r"|(?P<d>∂⁺?)"
    r"|(?P<series>[Σ∏])"
    rf"|(?P<name>[^\W\d_{''.join(RAISED)}∂Σ∏]+\d*\u0303?)"
    r"|(?P<dots>\.\.)"
    r"|(?P<other>.)",
    re.DOTALL,
)
_UP = re.compile(f"[{''.join(RAISED)}]+")
_POWER = re.compile(r"\^(?:\{([^{}]*)\}|(−?-?\w+))")
_INDEX = re.compile(rf"_(?:\{{([^{{}}]*)\}}|([^\W{''.join(RAISED)}]+))")
_LAYER = re.compile(r"\.\d+(?![\d.])")
_BOUNDS = re.compile(r"_(?:\{((?:[^{}]|\{[^{}]*\})*)\}|(\w))")
_BREAKS = frozenset("+−=")


def formula(text: str) -> str:
    """The text as HTML: a ``<math>`` a summand, ``<br/>`` where it has a line's end."""
    return "<br/>".join("<wbr/>".join(map(_math, _summands(line))) for line in _lines(text))


def sentence(text: str) -> str:
    """Equations side by side, two blanks between them, each a formula of its own."""
    return ",\N{EM SPACE}".join(map(formula, text.split(",  ")))


def _math(inside: str) -> str:
    return f'<math displaystyle="true">{inside}</math>'


def _lines(text: str) -> Iterator[str]:
    """The lines of the text; one within brackets goes on in the next."""
    waiting = ""
    for line in text.split("\n"):
        waiting = f"{waiting}\n{line}" if waiting else line
        if sum(waiting.count(one) for one in "([{") <= sum(waiting.count(one) for one in ")]}"):
            yield waiting
            waiting = ""
    if waiting:
        yield waiting


def _summands(text: str) -> list[str]:
    """The pieces between which a line may be broken."""
    pieces: list[list[str]] = [[]]
    for piece, breaks in _Reader(text).pieces():
        if breaks and any(pieces[-1]):
            pieces.append([])
        pieces[-1].append(piece)
    return ["".join(piece) for piece in pieces]


class _Token(NamedTuple):
    kind: str
    text: str


class _Reader:
    """The text, and how far it has been read."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0

    def pieces(self, closing: str = "") -> Iterator[tuple[str, bool]]:
        """Each piece up to the closing bracket or the end, and whether a line may break before."""
        while self.at < len(self.text) and not (closing and self.text[self.at] == closing):
            breaks = self.infix()
            token = self.token()
            if token.kind != "blank":
                yield self.piece(token), breaks

    def infix(self) -> bool:
        """Whether a sign stands here with blanks around it."""
        around = self.text[max(0, self.at - 1) : self.at + 2 : 2]
        sign = self.text[self.at : self.at + 1]
        return sign in _BREAKS and len(around) == 2 and around.isspace()

    def row(self, closing: str) -> str:
        return "".join(piece for piece, _ in self.pieces(closing))

    def token(self) -> _Token:
        found = _TOKEN.match(self.text, self.at)
        assert found is not None
        self.at = found.end()
        return _Token(found.lastgroup or "", found[0])

    def taken(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """What stands here and looks so; it is passed."""
        found = pattern.match(self.text, self.at)
        self.at = found.end() if found else self.at
        return found

    def piece(self, token: _Token) -> str:
        if token.kind == "number":
            return self.raised(f"<mn>{token.text}</mn>")
        if token.kind == "d":
            return self.derivative(token.text)
        if token.kind == "series":
            return self.series(token.text)
        if token.kind == "name":
            return self.named(token.text)
        if token.text in CLOSING:
            return self.raised(self.bracket(token.text))
        if token.kind == "dots":
            return "<mo>⋯</mo>"
        return self.sign(token.text)

    def sign(self, sign: str) -> str:
        """An operator; one that begins a row is infix where blanks stand around it."""
        if sign == "'":
            return "<mo>′</mo>"
        if sign in RAISED:  # with nothing below it
            return f"<msup><mrow></mrow>{_up(sign)}</msup>"
        self.at -= 1
        form = ' form="infix"' if self.infix() else ""
        self.at += 1
        return f"<mo{form}>{escape(sign)}</mo>"

    # ------------------------------------------------------------------ names

    def named(self, head: str) -> str:
        """h_{t−1}, W_hh.1, h²_t, σ'(…), tanh²(…), or a word."""
        up, index = self.taken(_UP), self.taken(_INDEX)
        layer = self.taken(_LAYER)
        after = self.text[self.at : self.at + 1]
        called = after in ("(", "'") and not index
        word = len(head) > 1 and head.isalpha() and head.isascii() and not (up or index or called)
        if word and head not in GREEK and head not in NAMED:
            return f"<mtext>\N{NO-BREAK SPACE}{escape(head)}\N{NO-BREAK SPACE}</mtext>"
        below = (_inside(index[1] or index[2]) if index else "") + (
            f"<mo>.</mo><mn>{layer[0][1:]}</mn>" if layer else ""
        )
        base = _scripts(_letters(head), below, _up(up[0]) if up else "")
        if after == "'":
            self.at += 1
            base = f"<msup>{base}<mo>′</mo></msup>"
        return self.raised(base + ("<mo>\u2061</mo>" if called or head in NAMED else ""))

    def raised(self, base: str) -> str:
        """The base with its power or ᵀ, if it has one."""
        if found := self.taken(_UP):
            return f"<msup>{_one(base)}{_up(found[0])}</msup>"
        if found := self.taken(_POWER):
            return f"<msup>{_one(base)}<mrow>{_inside(found[1] or found[2])}</mrow></msup>"
        return base

    # ------------------------------------------------------------------ fractions, Σ, brackets

    def derivative(self, d: str) -> str:
        """∂h_3/∂h_2; ∂ alone where no fraction follows."""
        sign = "<msup><mo>∂</mo><mo>+</mo></msup>" if d == "∂⁺" else "<mo>∂</mo>"
        top = self.operand()
        if not self.text.startswith("/∂", self.at):
            return sign + top
        self.at += 2
        bottom = self.operand()
        return f"<mfrac><mrow>{sign}{top}</mrow><mrow><mo>∂</mo>{bottom}</mrow></mfrac>"

    def operand(self) -> str:
        """What a ∂ stands before."""
        return self.piece(self.token()) if self.at < len(self.text) else ""

    def series(self, sign: str) -> str:
        """Σ_{k=1..t} with its bounds below and above; Σ_o and ∏ alone."""
        found = self.taken(_BOUNDS)
        if found is None:
            return f"<mo>{sign}</mo>"
        low, dots, high = (found[1] or found[2]).partition("..")
        if "∈" in low or not dots:
            return f"<munder><mo>{sign}</mo><mrow>{_inside(found[1] or found[2])}</mrow></munder>"
        ends = f"<mrow>{_inside(low)}</mrow><mrow>{_inside(high)}</mrow>"
        return f"<munderover><mo>{sign}</mo>{ends}</munderover>"

    def bracket(self, opened: str) -> str:
        """(…) in brackets that grow with it; [[…], […]] as a matrix, lines as a column."""
        closing, start = CLOSING[opened], self.at
        matrix = opened == "[" and self.text.startswith("[", self.at)
        inside = self.matrix() if matrix else None
        if inside is None:
            self.at = start
            cells = self.cells(closing)
            column = opened == "[" and "\n" in self.text[start : self.at]
            inside = _table([[cell] for cell in cells]) if column else "<mo>,</mo>".join(cells)
        if self.text.startswith(closing, self.at):
            self.at += 1
        return f"<mrow><mo>{opened}</mo>{inside}<mo>{closing}</mo></mrow>"

    def matrix(self) -> str | None:
        """The rows of [[a, b], [c, d]]; None where that is no matrix."""
        rows = []
        while self.text.startswith("[", self.at):
            self.at += 1
            rows.append(self.cells("]"))
            self.at += 1
            self.taken(_BETWEEN)
        return _table(rows) if self.text.startswith("]", self.at) else None

    def cells(self, closing: str) -> list[str]:
        """What stands between commas."""
        found: list[list[str]] = [[]]
        for piece, _ in self.pieces(closing):
            if piece == "<mo>,</mo>":
                found.append([])
            else:
                found[-1].append(piece)
        return ["".join(cell) for cell in found]


def _table(rows: Sequence[Sequence[str]]) -> str:
    cells = ("".join(f"<mtd>{cell}</mtd>" for cell in row) for row in rows)
    return f"<mtable>{''.join(f'<mtr>{row}</mtr>' for row in cells)}</mtable>"


_BETWEEN = re.compile(r",\s*(?=\[)")


def _inside(text: str) -> str:
    """An index or a bound: its letters one by one, so that they are in italics."""
    if text.isascii() and text.isalpha():
        return "".join(f"<mi>{letter}</mi>" for letter in text)
    return _Reader(text).row("")


def _letters(head: str) -> str:
    """One name without its index."""
    if head.endswith("\u0303"):
        return f'<mover accent="true">{_letters(head[:-1])}<mo>~</mo></mover>'
    accent = re.fullmatch(rf"(\w)({'|'.join(ACCENTS)})", head)
    if accent:
        over = f"<mi>{accent[1]}</mi><mo>{ACCENTS[accent[2]]}</mo>"
        return f'<mover accent="true">{over}</mover>'
    return f"<mi>{escape(GREEK.get(head, head))}</mi>"


def _scripts(base: str, below: str, above: str) -> str:
    if below and above:
        return f"<msubsup>{base}<mrow>{below}</mrow>{above}</msubsup>"
    if below:
        return f"<msub>{base}<mrow>{below}</mrow></msub>"
    return f"<msup>{base}{above}</msup>" if above else base


def _up(signs: str) -> str:
    """²³ as <mn>23</mn>"""
    plain = "".join(RAISED[sign] for sign in signs)
    if plain.isdigit():
        return f"<mn>{plain}</mn>"
    return f"<mrow>{''.join(_raised_sign(sign) for sign in plain)}</mrow>"


def _raised_sign(sign: str) -> str:
    kind = "mn" if sign.isdigit() else "mi" if sign.isalpha() else "mo"
    return f"<{kind}>{sign}</{kind}>"


def _one(base: str) -> str:
    """A base as one element."""
    return f"<mrow>{base}</mrow>"
