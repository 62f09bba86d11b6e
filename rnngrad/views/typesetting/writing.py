"""A layout as text: what all scripts have in common, and plain text, which ``reading`` reads."""

from __future__ import annotations

from rnngrad.algebra.equation_tokens import ACCENTS
from rnngrad.views.typesetting.layout import (
    CLOSING,
    Big,
    Call,
    Fence,
    Fraction,
    Half,
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

_RAISED = str.maketrans("0123456789−lm", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻ˡᵐ")
_TIGHT = "·"


def accented(head: str) -> tuple[str, str]:
    """htilde and h̃ -> h, tilde; a name without an accent -> the name and nothing."""
    for mark, accent in ACCENTS.items():
        if head.endswith(mark):
            return head[:-1], accent
        if head[1:] == accent:
            return head[0], accent
    return head, ""


class Plain:
    """∂⁺h_t/∂W_hh, σ'(W_xh x_t)·W_hh: the notation of a terminal."""

    def row(self, row: Row) -> str:
        """Side by side; a sign has blanks around it but where it begins."""
        words, before = list[str](), True
        for index, piece in enumerate(row.pieces):
            text = self.of(piece)
            if isinstance(piece, Sign):
                text = self.sign(piece.text, leading=before)
            elif index and not before and not self._opens(row.pieces[index - 1]):
                gap = self.gap(row.pieces[index - 1], piece)
                text = text if self._shut(piece) else f"{gap}{text}"
            words.append(text)
            before = isinstance(piece, Sign)
        return "".join(words).strip()

    def gap(self, left: Piece, right: Piece) -> str:
        """What stands between two pieces without a sign."""
        return " "

    def _opens(self, piece: Piece) -> bool:
        return isinstance(piece, Half) and piece.text in "(["

    def _shut(self, piece: Piece) -> bool:
        piece = piece.base if isinstance(piece, Raised) else piece
        return isinstance(piece, Half) and piece.text in ")]"

    def of(self, piece: Piece) -> str:
        """Any piece."""
        if isinstance(piece, Row):
            return self.row(piece)
        if isinstance(piece, Name):
            return self.name(piece)
        if isinstance(piece, Number):
            return self.number(piece.text)
        if isinstance(piece, Word):
            return self.word(piece.text)
        if isinstance(piece, Sign):
            return self.sign(piece.text, leading=False)
        if isinstance(piece, Half):
            return self.half(piece)
        if isinstance(piece, Raised):
            return self.raised(self.of(piece.base), piece.power)
        if isinstance(piece, Call):
            return self.call(piece)
        if isinstance(piece, Fence):
            return self.fence(piece)
        if isinstance(piece, Fraction):
            return self.fraction(piece)
        if isinstance(piece, Partial):
            return self.partial(piece)
        return self.big(piece) if isinstance(piece, Big) else self.matrix(piece)

    def name(self, name: Name) -> str:
        below = "".join(
            f"_{one}" if one.isalnum() and (len(one) > 0) else f"_{{{one}}}" for one in name.below
        )
        return f"{name.head}{name.up.translate(_RAISED)}{below}{name.suffix}"

    def number(self, text: str) -> str:
        return text.replace("-", "−")

    def word(self, text: str) -> str:
        return text

    def sign(self, text: str, *, leading: bool) -> str:
        if text == _TIGHT:
            return " · "
        if text == ",":
            return ", "
        return self.leading(text) if leading and text in "+−" else f" {text} "

    def leading(self, text: str) -> str:
        """A minus before a factor; a plus only where a sum goes on from the line above."""
        return "+ " if text == "+" else text

    def half(self, half: Half) -> str:
        return self.head(half.call) + half.text

    def raised(self, base: str, power: str) -> str:
        return f"{base}{'ᵀ' if power == 'T' else power.translate(_RAISED)}"

    def call(self, call: Call) -> str:
        return f"{self.head(call)}({self.row(call.argument)})"

    def head(self, call: Call | None) -> str:
        """The function; nothing if there is none."""
        if call is None:
            return ""
        return f"{call.function}{chr(39) * call.prime}{call.power.translate(_RAISED)}"

    def fence(self, fence: Fence) -> str:
        return f"{fence.opening}{self.row(fence.inner)}{CLOSING[fence.opening]}"

    def fraction(self, fraction: Fraction) -> str:
        return f"{self.closed(fraction.top)}/{self.closed(fraction.bottom)}"

    def closed(self, row: Row) -> str:
        """In brackets unless it is one piece."""
        return self.row(row) if len(row.pieces) == 1 else f"({self.row(row)})"

    def partial(self, partial: Partial) -> str:
        plus = "⁺" if partial.immediate else ""
        return f"∂{plus}{self.name(partial.top)}/∂{self.name(partial.bottom)}"

    def big(self, big: Big) -> str:
        if big.below is None:
            return big.sign
        below = self.row(big.below)
        if big.above is not None:
            below = f"{below.replace(' = ', '=').replace(' + ', '+')}..{self.row(big.above)}"
        return f"{big.sign}_{below}" if len(below) == 1 else f"{big.sign}_{{{below}}}"

    def matrix(self, matrix: Matrix) -> str:
        rows = [f"[{', '.join(map(self.row, cells))}]" for cells in matrix.rows]
        return rows[0] if len(rows) == 1 and not matrix.blocks else f"[{', '.join(rows)}]"
