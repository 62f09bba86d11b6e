"""A layout as typst. Source: the reference of typst 0.13, "Math"."""

from __future__ import annotations

from collections.abc import Mapping
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
    Row,
)
from rnngrad.views.typesetting.reading import in_prose
from rnngrad.views.typesetting.writing import Plain, accented

SIGNS: Mapping[str, str] = MappingProxyType(
    {"−": "-", "·": "dot.op", "∘": "⊙", "⋯": "dots.c", "|": "bar.v", ",": ","}
)
"""A sign of the notation -> typst's word for it; others are as they are."""


class Typst(Plain):
    """frac(partial L, partial h_3) dot.op sigma'(W_"xh" x_t)"""

    def name(self, name: Name) -> str:
        below = ",".join(b.replace("−", "-") for b in name.below) + name.suffix
        up = f'^("({name.up})")' if name.up else ""
        return self.letters(name.head) + (f"_({self._below(below)})" if below else "") + up

    def _below(self, below: str) -> str:
        """hh as a word, t-1 as an expression: letters side by side would be a name of typst's."""
        parts, word = list[str](), ""
        for sign in below:
            if sign.isalpha() or sign.isdigit() or sign == ".":
                word += sign
                continue
            parts += [self._index(word), sign] if word else [sign]
            word = ""
        return " ".join([*parts, self._index(word)] if word else parts).replace(" ,", ",")

    def _index(self, word: str) -> str:
        return word if len(word) == 1 or word.isdigit() else quoted(word)

    def letters(self, head: str) -> str:
        letter, accent = accented(head)
        if accent:
            return f"{'macron' if accent == 'bar' else accent}({letter})"
        if head in GREEK:
            return head
        return head if len(head) == 1 else quoted(head)

    def number(self, text: str) -> str:
        mantissa, _, exponent = text.partition("e")
        if not mantissa.lstrip("-")[:1].isdigit():
            return quoted(text)
        return f"{mantissa} dot.op 10^({int(exponent)})" if exponent else text

    def word(self, text: str) -> str:
        return f"{text} " if text in KNOWN else quoted(text)

    def sign(self, text: str, *, leading: bool) -> str:
        written = SIGNS.get(text, text)
        if text == ",":
            return ", "
        return self.leading(written) if leading and text in "+−" else f" {written} "

    def half(self, half: Half) -> str:
        """A bracket on its own: typst takes a pair only within a line."""
        size = "#1.8em" if half.high else "#1em"
        return f"{self.head(half.call)}lr(\\{half.text}, size: {size})"

    def raised(self, base: str, power: str) -> str:
        base = f"({base})" if "^" in base else base
        power = power if power.isalnum() else f"({power.replace('−', '-')})"
        return f"{base}^top" if power == "T" else f"{base}^{power}"

    def call(self, call: Call) -> str:
        return f"{self.head(call)}{self.enclosed('(', ')', call.argument)}"

    def head(self, call: Call | None) -> str:
        if call is None:
            return ""
        name = call.function
        known = name if len(name) == 1 or name in KNOWN else f"op({quoted(name)})"
        return f"{known}{chr(39) * call.prime}{f'^{call.power}' if call.power else ''}"

    def enclosed(self, opening: str, closing: str, inner: Row) -> str:
        text = self.row(inner)
        return f" lr(\\{opening}{text}\\{closing})"

    def fence(self, fence: Fence) -> str:
        return self.enclosed(fence.opening, CLOSING[fence.opening], fence.inner)

    def fraction(self, fraction: Fraction) -> str:
        return f"frac({self.row(fraction.top)}, {self.row(fraction.bottom)})"

    def partial(self, partial: Partial) -> str:
        plus = "^+" if partial.immediate else ""
        top, bottom = self.name(partial.top), self.name(partial.bottom)
        return f"frac(partial{plus} {top}, partial {bottom})"

    def big(self, big: Big) -> str:
        sign = "sum" if big.sign == "Σ" else "product"
        below = "" if big.below is None else f"_({self.row(big.below)})"
        return sign + below + ("" if big.above is None else f"^({self.row(big.above)})")

    def matrix(self, matrix: Matrix) -> str:
        delim = '"["' if matrix.blocks else '"("'
        rows = "; ".join(", ".join(map(self._cell, cells)) for cells in matrix.rows)
        return f"mat(delim: {delim}, {rows})"

    def _cell(self, cell: Row) -> str:
        """A fraction would be small."""
        text = self.row(cell)
        return f"display({text})" if "frac(" in text else text


class Inline(Typst):
    """Within a sentence: no fraction, which would be small."""

    def partial(self, partial: Partial) -> str:
        plus = "^+" if partial.immediate else ""
        top, bottom = self.name(partial.top), self.name(partial.bottom)
        return f"partial{plus} {top} \\/ partial {bottom}"


_INLINE = Inline()


def prose(text: str) -> str:
    """A sentence of rnngrad's own: the names and partials in it are set as formulas."""
    return "".join(f"${_INLINE.row(one)}$" if isinstance(one, Row) else one and escaped(one)
                   for one in in_prose(text))  # fmt: skip


def quoted(text: str) -> str:
    """A string of typst: nothing in it is markup."""
    inner = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{"".join(sign if sign.isprintable() else " " for sign in inner)}"'


def escaped(text: str) -> str:
    """Any text as content of typst, by way of a string."""
    return f"#{quoted(text)}"
