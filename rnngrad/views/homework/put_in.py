"""A formula's layout with the numbers of the net in the place of its names.

In a scalar net every name and partial becomes a number, and products get their dots; in matrix form
they become rows, columns and matrices, as long as these are small. What has no number, or a matrix
too large for a line, leaves the formula as it is: then there is nothing to show.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rnngrad.analyses.derivation.worked import Numbers, Symbol
from rnngrad.analyses.grading.numbers import FEWEST_DIGITS
from rnngrad.arithmetic.arrays import Array
from rnngrad.views.numbers import number
from rnngrad.views.typesetting.layout import (
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
from rnngrad.views.typesetting.writing import Plain

LARGEST = 4
"""Rows or columns of a matrix that numbers are put in for."""

ROWS, COLUMNS = 16, 8
"""Of a value that is written out."""

_PLAIN = Plain()


class NoNumberError(Exception):
    """Something in a formula has no number that fits on a line."""


def typed(value: float) -> Number:
    """Six digits, as in tables."""
    return Number(number(value))


def result_of(value: float) -> Number:
    """Six digits; three at least, for fewer are no answer, unless it is a whole number."""
    text = number(value)
    digits = len(text.partition("e")[0].replace(".", "").lstrip("-0"))
    short = digits < FEWEST_DIGITS and not text.lstrip("-").isdigit() and "n" not in text
    return Number(f"{value:#.{FEWEST_DIGITS}g}" if short else text)


def in_matrix(value: float) -> Number:
    """Four digits, for matrices are wide."""
    return Number(f"{value + 0.0:.4g}")


def fits(array: Array) -> bool:
    """Whether an array is small enough to be written out."""
    return array.ndim <= 2 and len(array) <= ROWS and max(array.shape[1:], default=1) <= COLUMNS


def shown(array: Array, *, column: bool = True) -> Piece:
    """A number, a row or column, or a matrix; a vector is a column unless told otherwise."""
    if array.size == 1:
        return typed(float(array.ravel()[0]))
    two = array.reshape(array.shape[0], -1) if column or array.ndim > 1 else array[np.newaxis]
    return Matrix(tuple(tuple(Row((in_matrix(float(v)),)) for v in row) for row in two))


def diagonal(values: Array) -> Piece:
    """diag(a, b, c)"""
    if values.size > 2 * LARGEST:
        return shown(values)
    entries = list[Piece]()
    for value in values:
        entries += [Sign(","), in_matrix(float(value))] if entries else [in_matrix(float(value))]
    return Call("diag", False, "", Row(tuple(entries))) if values.size > 1 else typed(values[0])


class PutIn:
    """Numbers for the names of one derivation; ``scalar``: products have dots and no matrices."""

    def __init__(self, numbers: Numbers, *, scalar: bool, columns: bool = True) -> None:
        self.numbers, self.scalar, self.columns = numbers, scalar, columns

    def row(self, row: Row) -> Row:
        """The row in numbers. Raises NoNumberError."""
        pieces = [self.of(piece) for piece in row.pieces]
        return Row(tuple(_dotted(pieces) if self.scalar else _signed(pieces)))

    def of(self, piece: Piece) -> Piece:
        """A piece in numbers."""
        if isinstance(piece, Sign | Number | Half):
            return piece
        if isinstance(piece, Name):
            return self._small(self.numbers.name(_PLAIN.name(piece)))
        if isinstance(piece, Partial):
            return self._partial(piece)
        if isinstance(piece, Call):
            return self._call(piece)
        if isinstance(piece, Raised):
            return self._raised(piece)
        if isinstance(piece, Fence):
            return piece._replace(inner=self.row(piece.inner))
        if isinstance(piece, Fraction):
            return self._fraction(Fraction(self.row(piece.top), self.row(piece.bottom)))
        if isinstance(piece, Word) and piece.text == "ln":
            return piece
        assert isinstance(piece, Word | Big | Matrix | Row)
        raise NoNumberError

    def _fraction(self, piece: Fraction) -> Piece:
        """A quotient of rows is the row of the quotients."""
        pieces = (*piece.top.pieces, *piece.bottom.pieces)
        rows = [len(one.rows[0]) for one in pieces if isinstance(one, Matrix)]
        if not rows:
            return piece
        quotients = (Fraction(_entry(piece.top, at), _entry(piece.bottom, at))
                     for at in range(rows[0]))  # fmt: skip
        return Matrix((tuple(Row((one,)) for one in quotients),))

    def _small(self, array: Array | None, *, column: bool | None = None) -> Piece:
        if array is None or max(array.shape, default=1) > LARGEST:
            raise NoNumberError
        if self.scalar and array.size > 1:
            raise NoNumberError
        return shown(array, column=self.columns if column is None else column)

    def _partial(self, piece: Partial) -> Piece:
        top, bottom = _PLAIN.name(piece.top), _PLAIN.name(piece.bottom)
        return self._small(self.numbers.partial(top, bottom, immediate=piece.immediate))

    def _raised(self, piece: Raised) -> Piece:
        """A number's power; yᵀ is a row."""
        base = piece.base
        if piece.power == "T" and isinstance(base, Name) and not self.scalar:
            return self._small(self.numbers.name(_PLAIN.name(base)), column=False)
        inner = self.of(base)
        if isinstance(inner, Matrix):
            raise NoNumberError
        negative = isinstance(inner, Number) and inner.text.startswith("-")
        return Raised(Fence("(", Row((inner,))) if negative else inner, piece.power)

    def _call(self, piece: Call) -> Piece:
        if self.scalar:
            return piece._replace(argument=self.row(piece.argument))
        if piece.function == "diag":
            return Call("diag", False, "", Row(tuple(self._diagonal(piece.argument))))
        if piece.prime and piece.function in "σg":
            return self._small(self._slope(piece))
        raise NoNumberError

    def _diagonal(self, argument: Row) -> Iterator[Piece]:
        """The entries of diag(…), with commas."""
        inner = self.row(argument)
        if len(inner.pieces) != 1:
            raise NoNumberError
        one = inner.pieces[0]
        cells = [cell for cells in one.rows for cell in cells] if isinstance(one, Matrix) else []
        for index, cell in enumerate(cells):
            yield from (Sign(","), *cell.pieces) if index else cell.pieces
        yield from [] if cells else [one]

    def _slope(self, call: Call) -> Array | None:
        """σ'(a_t) or g'(…), told by what stands in it."""
        names = [piece for piece in call.argument.pieces if isinstance(piece, Name)]
        stepped = [Symbol(_PLAIN.name(name)) for name in names]
        hidden = any(symbol.head == "x" for symbol in stepped)
        steps = [symbol.step for symbol in stepped if symbol.step is not None]
        if not steps:
            raise NoNumberError
        return self.numbers.slope("σ" if hidden else "g", steps[0])


def _entry(row: Row, at: int) -> Row:
    """1 − (a, b) at an entry: 1 − b."""
    pieces = list[Piece]()
    for piece in row.pieces:
        pieces += piece.rows[0][at].pieces if isinstance(piece, Matrix) else (piece,)
    return Row(tuple(_signed(pieces)))


def _signed(pieces: list[Piece]) -> list[Piece]:
    """A negative number in brackets unless it begins; + −2 becomes − 2."""
    found = list[Piece]()
    for piece in pieces:
        negative = isinstance(piece, Number) and piece.text.startswith("-")
        if negative and found:
            assert isinstance(piece, Number)
            if found[-1] == Sign("+"):
                found[-1] = Sign("−")
                found.append(Number(piece.text[1:]))
                continue
            piece = Fence("(", Row((piece,)))
        found.append(piece)
    return found


def _dotted(pieces: list[Piece]) -> list[Piece]:
    """Between two numbers side by side a dot."""
    found = list[Piece]()
    for piece in pieces:
        if found and not isinstance(piece, Sign) and not isinstance(found[-1], Sign | Word):
            found.append(Sign("·"))
        found.append(piece)
    return _signed(found)
