"""A layout as MathML. Source: W3C, *MathML Core* (2024).

MathML Core breaks no line. So a formula is a row of ``<math>``, one a summand, between which a
browser breaks it; a summand that is too wide is a row of its own, broken where it has no room.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from html import escape
from types import MappingProxyType

from rnngrad.algebra.equation_tokens import GREEK
from rnngrad.views.typesetting.latex import KNOWN
from rnngrad.views.typesetting.layout import (
    CLOSING,
    Big,
    Call,
    Fence,
    Fraction,
    Half,
    Matrix,
    Name,
    Partial,
    Piece,
    Row,
    Sign,
    begins,
    parts,
)
from rnngrad.views.typesetting.reading import read_lines
from rnngrad.views.typesetting.writing import Plain, accented

ACCENTS: Mapping[str, str] = MappingProxyType({"tilde": "~", "hat": "^", "bar": "¯"})
FITS = 44.0
"""Digits that stay on a line everywhere: a telephone has room for them."""

_APPLIED = "<mo>\u2061</mo>"
"""Between a function and its argument."""


def formula(text: str) -> str:
    """The text as HTML: a ``<math>`` a summand, ``<br/>`` where it has a line's end."""
    return "<br/>".join(map(displayed, read_lines(text)))


def sentence(text: str) -> str:
    """Equations side by side, two blanks between them, each a formula of its own."""
    return ",\N{EM SPACE}".join(map(formula, text.split(",  ")))


def displayed(row: Row) -> str:
    """A layout as HTML: a ``<math>`` a summand, and a group of its factors if it is too wide."""
    found, leading = list[str](), True
    for part in parts(row, FITS):
        maths = list[str]()
        for group in part:
            inside = _MATHML.side_by_side(group, leading=leading)
            maths.append(f'<math displaystyle="true">{inside}</math>')
            leading = begins(group[-1])
        joined = "<wbr/>".join(maths)
        found.append(joined if len(part) == 1 else f'<span class="part">{joined}</span>')
    return "<wbr/>".join(found) or '<math displaystyle="true"></math>'


class MathML(Plain):
    """<mfrac><mrow><mo>∂</mo><mi>L</mi></mrow>…</mfrac>"""

    def row(self, row: Row) -> str:
        return self.side_by_side(row.pieces, leading=True)

    def side_by_side(self, pieces: Iterable[Piece], *, leading: bool) -> str:
        """``leading``: whether they begin a term."""
        found = ""
        for piece in pieces:
            if isinstance(piece, Sign):
                found += self.sign(piece.text, leading=leading)
            else:
                found += self.of(piece)
            leading = begins(piece)
        return found

    def name(self, name: Name) -> str:
        below, head = _signs(",".join(name.below) + name.suffix), self.letters(name.head)
        up = f"<mrow>{_signs(f'({name.up})')}</mrow>" if name.up else ""
        if below and up:
            return f"<msubsup>{head}<mrow>{below}</mrow>{up}</msubsup>"
        if below:
            return f"<msub>{head}<mrow>{below}</mrow></msub>"
        return f"<msup>{head}{up}</msup>" if up else head

    def letters(self, head: str) -> str:
        letter, accent = accented(head)
        if accent:
            return f'<mover accent="true">{self.letters(letter)}<mo>{ACCENTS[accent]}</mo></mover>'
        return f"<mi>{escape(GREEK.get(head, head))}</mi>"

    def number(self, text: str) -> str:
        mantissa, _, exponent = text.replace("-", "−").partition("e")
        if not exponent:
            return f"<mn>{mantissa}</mn>"
        power = _signs(str(int(exponent.replace("−", "-"))).replace("-", "−"))
        return f"<mn>{mantissa}</mn><mo>·</mo><msup><mn>10</mn><mrow>{power}</mrow></msup>"

    def word(self, text: str) -> str:
        if text in KNOWN:
            return f"<mi>{text}</mi>{_APPLIED}"
        return f"<mtext>\N{NO-BREAK SPACE}{escape(text)}\N{NO-BREAK SPACE}</mtext>"

    def sign(self, text: str, *, leading: bool) -> str:
        """An operator; it may begin a ``<math>`` and yet stand between summands."""
        form = "" if text not in "+−" else "prefix" if leading and text == "−" else "infix"
        return f'<mo form="{form}">{text}</mo>' if form else f"<mo>{escape(text)}</mo>"

    def half(self, half: Half) -> str:
        size = 'minsize="2.4em"' if half.high else 'stretchy="false"'
        return f"{self.head(half.call)}<mo {size}>{half.text}</mo>"

    def raised(self, base: str, power: str) -> str:
        above = "<mo>⊤</mo>" if power == "T" else _signs(power)
        return f"<msup><mrow>{base}</mrow><mrow>{above}</mrow></msup>"

    def call(self, call: Call) -> str:
        return self.head(call) + self.fence(Fence("(", call.argument))

    def head(self, call: Call | None) -> str:
        if call is None:
            return ""
        above = "<mo>′</mo>" * call.prime + _signs(call.power)
        head = self.letters(call.function)
        head = f"<msup>{head}<mrow>{above}</mrow></msup>" if above else head
        return head + _APPLIED

    def fence(self, fence: Fence) -> str:
        """In brackets that grow with it."""
        return self._fenced(fence.opening, self.row(fence.inner))

    def _fenced(self, opening: str, inner: str) -> str:
        return f"<mrow><mo>{opening}</mo>{inner}<mo>{CLOSING[opening]}</mo></mrow>"

    def fraction(self, fraction: Fraction) -> str:
        top, bottom = self.row(fraction.top), self.row(fraction.bottom)
        return f"<mfrac><mrow>{top}</mrow><mrow>{bottom}</mrow></mfrac>"

    def partial(self, partial: Partial) -> str:
        d = "<msup><mo>∂</mo><mo>+</mo></msup>" if partial.immediate else "<mo>∂</mo>"
        top, bottom = self.name(partial.top), self.name(partial.bottom)
        return f"<mfrac><mrow>{d}{top}</mrow><mrow><mo>∂</mo>{bottom}</mrow></mfrac>"

    def big(self, big: Big) -> str:
        sign = f"<mo>{big.sign.replace('Σ', '∑')}</mo>"  # the operator, which is as big as ∏
        if big.below is None:
            return sign
        below = f"{sign}<mrow>{self.row(big.below)}</mrow>"
        if big.above is None:
            return f"<munder>{below}</munder>"
        return f"<munderover>{below}<mrow>{self.row(big.above)}</mrow></munderover>"

    def matrix(self, matrix: Matrix) -> str:
        rows = ("".join(f"<mtd>{self.row(cell)}</mtd>" for cell in row) for row in matrix.rows)
        table = f"<mtable>{''.join(f'<mtr>{row}</mtr>' for row in rows)}</mtable>"
        return self._fenced("[" if matrix.blocks else "(", table)


_MATHML = MathML()


def _signs(text: str) -> str:
    """An index or a power: its letters one by one, so that they are in italics."""
    return "".join(map(_one, re.findall(r"\d+|\S", text)))


def _one(sign: str) -> str:
    kind = "mn" if sign.isdigit() else "mi" if sign.isalpha() else "mo"
    return f"<{kind}>{escape(sign)}</{kind}>"
