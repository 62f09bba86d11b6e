"""A layout as LaTeX for amsmath, without macros of one's own.

Source: American Mathematical Society, *User's Guide for the amsmath Package* (2020).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from types import MappingProxyType

from rnngrad.algebra.equation_tokens import GREEK
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
    Word,
    tall,
)
from rnngrad.views.typesetting.reading import in_prose
from rnngrad.views.typesetting.writing import Plain, accented

SIGNS: Mapping[str, str] = MappingProxyType(
    {
        "−": "-", "·": r"\cdot", "∘": r"\odot", "⊗": r"\otimes", "∈": r"\in", "⋯": r"\cdots",
        "≤": r"\le", "≥": r"\ge", "≠": r"\ne", "→": r"\to", "|": r"\mid", "σ": r"\sigma",
        "‖": r"\|", "×": r"\times",
    }
)  # fmt: skip
"""A sign of the notation -> its command; others are as they are."""

_SPELLED = {letter: name for name, letter in GREEK.items()}
KNOWN = frozenset({"tanh", "exp", "ln", "log", "sin", "cos"})
_ESCAPED: Mapping[str, str] = MappingProxyType(
    {
        "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
        "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "`": r"\textasciigrave{}",
        '"': "''", "'": "'",
        **{sign: f"\\{sign}" for sign in "_%&#${}"},
    }
)  # fmt: skip
_IN_MATHS: Mapping[str, str] = MappingProxyType(
    {
        "∂": r"\partial", "σ": r"\sigma", "Σ": r"\Sigma", "∏": r"\prod", "·": r"\cdot",
        "∘": r"\odot", "−": "-", "‖": r"\|", "×": r"\times", "⊗": r"\otimes", "²": "^2",
        "∈": r"\in", "≤": r"\le", "≥": r"\ge", "≠": r"\ne", "→": r"\to", "⋮": r"\vdots",
        "γ": r"\gamma", "λ": r"\lambda", "φ": r"\varphi", "ρ": r"\rho", "√": r"\surd",
        "∞": r"\infty", "½": r"\tfrac12", "Ω": r"\Omega", "Δ": r"\Delta", "±": r"\pm",
        "⋯": r"\cdots", "ℓ": r"\ell", "⟨": r"\langle", "⟩": r"\rangle",
        "ᵀ": r"^{\top}", "⁺": "^+", "⁻": "^-",
        **dict(zip("⁰¹³⁴⁵⁶⁷⁸⁹ˡᵐ", (f"^{{{x}}}" for x in "013456789lm"), strict=True)),
    }
)  # fmt: skip
"""Signs of the field that text in LaTeX has in maths alone."""
_MARKS: Mapping[str, str] = MappingProxyType(
    {
        "\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0304": "=", "\u0306": "u",
        "\u0307": ".", "\u0308": '"', "\u030a": "r", "\u030b": "H", "\u030c": "v", "\u0327": "c",
        "\u0328": "k", "\u0323": "d",
    }
)  # fmt: skip
"""A mark on a letter -> LaTeX's accent."""
_TEXT = re.compile("[ -~\u00a0-\u00ff\u2013\u2014\u2018\u2019\u201c\u201d]")


class Latex(Plain):
    """\\frac{\\partial L}{\\partial h_3} \\cdot \\sigma'(W_{xh} x_t)"""

    def gap(self, left: Piece, right: Piece) -> str:
        """A thin space; a whole one beside a word."""
        return r"\ " if isinstance(left, Word) or isinstance(right, Word) else r" \, "

    def name(self, name: Name) -> str:
        head = self.letters(name.head)
        below = ",".join((*(b.replace("−", "-") for b in name.below),))
        below += name.suffix
        up = f"^{{({name.up})}}" if name.up else ""
        index = f"_{{{below}}}" if len(below) > 1 else f"_{below}" if below else ""
        return f"{head}{up}{index}"

    def letters(self, head: str) -> str:
        letter, accent = accented(head)
        if accent:
            return rf"\{accent}{{{letter}}}"
        if head in GREEK or head in _SPELLED:
            return f"\\{_SPELLED.get(head, head)}"
        return SIGNS.get(head) or (head if len(head) == 1 else rf"\mathrm{{{head}}}")

    def number(self, text: str) -> str:
        mantissa, _, exponent = text.partition("e")
        if not mantissa.lstrip("-")[:1].isdigit():
            return rf"\text{{{text}}}" if text != "-inf" else r"-\text{inf}"
        return rf"{mantissa} \cdot 10^{{{int(exponent)}}}" if exponent else text

    def word(self, text: str) -> str:
        return f"\\{text} " if text in KNOWN else rf"\text{{{escaped(text)}}}"

    def sign(self, text: str, *, leading: bool) -> str:
        written = SIGNS.get(text, text)
        if text == ",":
            return r",\; "
        return self.leading(written) if leading and text in "+−" else f" {written} "

    def half(self, half: Half) -> str:
        side, text = "l" if half.text in "([" else "r", SIGNS.get(half.text, half.text)
        return self.head(half.call) + (rf"\bigg{side}{text}" if half.high else text)

    def raised(self, base: str, power: str) -> str:
        base = f"({base})" if "^" in base else base
        power = r"\top" if power == "T" else power.replace("−", "-")
        return f"{base}^{{{power}}}"

    def call(self, call: Call) -> str:
        return f"{self.head(call)}{self.enclosed('(', ')', call.argument)}"

    def head(self, call: Call | None) -> str:
        if call is None:
            return ""
        name = call.function
        sign = SIGNS.get(name) or (f"\\{name}" if name in KNOWN else "")
        if not sign:
            plain = escaped(name) if len(name) > 1 else name
            sign = rf"\operatorname{{{plain}}}" if len(name) > 1 else name
        power = f"^{call.power}" if call.power else ""
        return f"{sign}{chr(39) * call.prime}{power}"

    def enclosed(self, opening: str, closing: str, inner: Row) -> str:
        if tall(inner):
            return rf"\biggl{opening} {self.row(inner)} \biggr{closing}"
        return f"{opening}{self.row(inner)}{closing}"

    def fence(self, fence: Fence) -> str:
        if fence.opening == "{":
            return rf"\{{{self.row(fence.inner)}\}}"
        opening, closing = fence.opening, CLOSING[fence.opening]
        return self.enclosed(SIGNS.get(opening, opening), SIGNS.get(closing, closing), fence.inner)

    def fraction(self, fraction: Fraction) -> str:
        return rf"\frac{{{self.row(fraction.top)}}}{{{self.row(fraction.bottom)}}}"

    def partial(self, partial: Partial) -> str:
        plus = "^+" if partial.immediate else ""
        top, bottom = self.name(partial.top), self.name(partial.bottom)
        return rf"\frac{{\partial{plus} {top}}}{{\partial {bottom}}}"

    def big(self, big: Big) -> str:
        sign = r"\sum" if big.sign == "Σ" else r"\prod"
        below = "" if big.below is None else f"_{{{self.row(big.below).replace(' = ', '=')}}}"
        return sign + below + ("" if big.above is None else f"^{{{self.row(big.above)}}}")

    def matrix(self, matrix: Matrix) -> str:
        kind = "bmatrix" if matrix.blocks else "pmatrix"
        lines = [" & ".join(map(self.row, cells)) for cells in matrix.rows]
        high = any("\\frac" in line for line in lines)
        rows = (r" \\[1ex] " if high else r" \\ ").join(lines)
        rows = rows.replace(r"\frac", r"\dfrac")  # small else
        return rf"\begin{{{kind}}} {rows} \end{{{kind}}}"


class Inline(Latex):
    """Within a sentence: no fraction, which would be small."""

    def partial(self, partial: Partial) -> str:
        plus = "^+" if partial.immediate else ""
        top, bottom = self.name(partial.top), self.name(partial.bottom)
        return rf"\partial{plus} {top} / \partial {bottom}"


_INLINE = Inline()


def prose(text: str) -> str:
    """A sentence of rnngrad's own: the names and partials in it are set as formulas."""
    return "".join(f"${_INLINE.row(part)}$" if isinstance(part, Row) else escaped(part)
                   for part in in_prose(text))  # fmt: skip


def escaped(text: str) -> str:
    """Any text as text of LaTeX: nothing in it is a command, and every sign of it can be set with
    pdflatex as it is; what no font there has is told by its code point."""
    return "".join(map(_sign, text))


def _sign(sign: str) -> str:
    if sign in _ESCAPED:
        return _ESCAPED[sign]
    if sign in _IN_MATHS:
        return rf"\ensuremath{{{_IN_MATHS[sign]}}}"
    if _TEXT.match(sign):
        return sign
    if sign.isspace():
        return " "
    letter, *marks = list(unicodedata.normalize("NFD", sign))
    if letter.isascii() and len(marks) == 1 and marks[0] in _MARKS:
        return rf"\{_MARKS[marks[0]]}{{{letter}}}"
    return f"[U+{ord(sign):04X}]"
