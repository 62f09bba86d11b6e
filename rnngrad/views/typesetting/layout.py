"""What a formula looks like: the pieces that stand beside and above one another.

    Name  Number  Word  Sign  Raised  Call  Fence  Half  Fraction  Partial  Big  Matrix  Row

A layout says how a formula is set, not what it means; ``reading`` makes it of the text that a
derivation has, and ``plain`` gives that text back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple, TypeAlias


class Name(NamedTuple):
    """h²_{t−1}: ``up`` is the layer, ``below`` the index or several, ``suffix`` the ``.1`` of a
    parameter of layer 2."""

    head: str
    up: str = ""
    below: tuple[str, ...] = ()
    suffix: str = ""


class Number(NamedTuple):
    """A number as text: ``0.25``, ``-1.5e-300``, ``inf``."""

    text: str


class Word(NamedTuple):
    """Words within a formula, and functions without brackets (``ln``)."""

    text: str


class Sign(NamedTuple):
    """``+ − = · ∘ ⊗ , ⋯ | < ≤``"""

    text: str


class Raised(NamedTuple):
    """base², baseᵀ: ``power`` is ``2`` or ``T``."""

    base: Piece
    power: str


class Call(NamedTuple):
    """σ'(…), tanh²(…), diag(…)"""

    function: str
    prime: bool
    power: str
    argument: Row


CLOSING: Mapping[str, str] = MappingProxyType({"(": ")", "[": "]", "{": "}", "‖": "‖"})


class Fence(NamedTuple):
    """Something in brackets: what ``CLOSING`` has."""

    opening: str
    inner: Row


class Half(NamedTuple):
    """One bracket of a pair that a line is broken within; ``high``: around what is tall; ``call``:
    what it opens the argument of."""

    text: str
    high: bool = False
    call: Call | None = None


class Fraction(NamedTuple):
    """top over bottom; a partial derivative if both begin with ∂."""

    top: Row
    bottom: Row


class Partial(NamedTuple):
    """∂top/∂bottom, ∂⁺ where ``immediate``."""

    top: Name
    bottom: Name
    immediate: bool = False


class Big(NamedTuple):
    """Σ or ∏, with what stands below and above it."""

    sign: str
    below: Row | None = None
    above: Row | None = None


class Matrix(NamedTuple):
    """Rows of pieces in round brackets; ``blocks``: in square ones, as text [[a, b], [c, d]]."""

    rows: tuple[tuple[Row, ...], ...]
    blocks: bool = False


class Row(NamedTuple):
    """Pieces from left to right."""

    pieces: tuple[Piece, ...]


Piece: TypeAlias = (
    Name | Number | Word | Sign | Raised | Call | Fence | Half | Fraction | Partial | Big | Matrix
    | Row
)  # fmt: skip


def rebuilt(piece: Piece, change: Callable[[Piece], Piece]) -> Piece:
    """The same piece with what is right inside it changed."""

    def row(inner: Row) -> Row:
        return Row(tuple(map(change, inner.pieces)))

    if isinstance(piece, Row):
        return row(piece)
    if isinstance(piece, Raised):
        return piece._replace(base=change(piece.base))
    if isinstance(piece, Call):
        return piece._replace(argument=row(piece.argument))
    if isinstance(piece, Fence):
        return piece._replace(inner=row(piece.inner))
    if isinstance(piece, Fraction):
        return Fraction(row(piece.top), row(piece.bottom))
    if isinstance(piece, Matrix):
        rows = tuple(tuple(row(cell) for cell in cells) for cells in piece.rows)
        return piece._replace(rows=rows)
    return piece


def tall(piece: Piece) -> bool:
    """Whether it is higher than a line: a fraction, a matrix, Σ or ∏."""
    if isinstance(piece, Fraction | Partial | Matrix | Big):
        return True
    if isinstance(piece, Row):
        return any(map(tall, piece.pieces))
    if isinstance(piece, Raised):
        return tall(piece.base)
    if isinstance(piece, Call):
        return tall(piece.argument)
    return isinstance(piece, Fence) and tall(piece.inner)


SPACES = {"·": 1.0, ",": 0.6, "|": 0.6}


def width(piece: Piece) -> float:
    """About how wide it is set, in digits: what lines are broken by."""
    if isinstance(piece, Name):
        small = sum(map(len, (*piece.below, piece.suffix, piece.up))) + max(len(piece.below) - 1, 0)
        return 1.15 * len(piece.head) + 0.85 * small
    if isinstance(piece, Number):
        return len(piece.text) + (2.2 if "e" in piece.text else 0.4 * piece.text.startswith("-"))
    if isinstance(piece, Word):
        return 1.0 * len(piece.text) + 0.7
    if isinstance(piece, Half):
        return 1.0 if piece.call is None else width(piece.call) - 1
    if isinstance(piece, Sign):
        return SPACES.get(piece.text, 2.7)
    if isinstance(piece, Raised):
        return width(piece.base) + 1
    if isinstance(piece, Call):
        name = len(piece.function) + 0.5 * piece.prime + len(piece.power)
        return name + 2 + width(piece.argument)
    if isinstance(piece, Fence):
        return 2.0 + width(piece.inner)
    if isinstance(piece, Fraction):
        return 0.7 + max(width(piece.top), width(piece.bottom))
    if isinstance(piece, Partial):
        return 1.9 + max(width(piece.top) + 0.9 * piece.immediate, width(piece.bottom))
    if isinstance(piece, Big):
        limits = [width(limit) for limit in (piece.below, piece.above) if limit is not None]
        return 0.7 + max([2.4, *(0.75 * limit for limit in limits)])
    if isinstance(piece, Matrix):
        columns = [max(map(width, column)) for column in zip(*piece.rows, strict=True)]
        return 0.4 + sum(columns) + 2.0 * len(columns)
    gaps = sum(0.4 for a, b in zip(piece.pieces, piece.pieces[1:], strict=False)
               if not isinstance(a, Sign) and not isinstance(b, Sign))  # fmt: skip
    return sum(map(width, piece.pieces)) + gaps


def lines(side: Row, widest: float, measure: Callable[[Row], float] = width) -> list[Row]:
    """A side of an equation in lines no wider than that: broken before a plus or minus, where a
    summand is too wide behind a comma, before another sign, and in brackets where these are."""
    if measure(side) <= widest:
        return [side]
    found, line = list[Row](), list[Piece]()
    for part in parts(side, widest, measure):
        if len(part) > 1 and line:
            found.append(Row(tuple(line)))
            line = []
        for group in part:
            if line and measure(Row((*line, *group))) > widest:
                found.append(Row(tuple(line)))
                line = []
            line += group
    return [*found, Row(tuple(line))]


def parts(
    side: Row, widest: float, measure: Callable[[Row], float] = width
) -> Iterator[list[list[Piece]]]:
    """Between which a line is broken first: the summands, also those in brackets that are too
    wide; each is one group, or those that it is broken between as it is too wide itself."""
    for summand in _groups(list(side.pieces), "+−=,"):
        if measure(Row(tuple(summand))) <= widest:
            yield [summand]
            continue
        for part in _groups(_opened(Row(tuple(summand)), widest, measure), "+−=,"):
            yield [part] if measure(Row(tuple(part))) <= widest else _groups(part)


def _opened(side: Row, widest: float, measure: Callable[[Row], float]) -> list[Piece]:
    """The pieces, a bracket that is itself too wide taken apart."""
    found = list[Piece]()
    for piece in side.pieces:
        bracket = piece.base if isinstance(piece, Raised) else piece
        if isinstance(bracket, Fence | Call) and measure(Row((piece,))) > 0.6 * widest:
            high = tall(bracket)
            if isinstance(bracket, Call):
                head, inner = bracket._replace(argument=Row(())), bracket.argument
                opening = Half("(", high, head)
            else:
                opening, inner = Half(bracket.opening, high), bracket.inner
            closing = Half(CLOSING[opening.text], high)
            last = piece._replace(base=closing) if isinstance(piece, Raised) else closing
            found += [opening, *_opened(inner, widest, measure), last]
        elif isinstance(piece, Matrix) and piece.blocks and measure(Row((piece,))) > widest:
            found += [Half("["), *_listed(piece), Half("]")]
        else:
            found.append(piece)
    return found


def _listed(matrix: Matrix) -> Iterator[Piece]:
    """[a, b], [c, d]; a, b of a single column"""
    for index, cells in enumerate(matrix.rows):
        yield from [Sign(",")] if index else []
        yield from [Half("[")] if len(cells) > 1 else []
        for at, cell in enumerate(cells):
            yield from [Sign(",")] if at else []
            yield from cell.pieces
        yield from [Half("]")] if len(cells) > 1 else []


def _groups(pieces: list[Piece], signs: str = "+−·⊗∘=,") -> list[list[Piece]]:
    """Pieces that stay together: a sign between two begins a group, and takes the piece behind it
    along; a comma ends one."""
    groups = list[list[Piece]]()
    for piece in pieces:
        breaks = isinstance(piece, Sign) and piece.text in signs and piece.text != ","
        before = groups[-1][-1] if groups else Sign(",")
        if not groups or ("," in signs and before == Sign(",")) or (breaks and not begins(before)):
            groups.append([piece])
        else:
            groups[-1].append(piece)
    return groups


def begins(piece: Piece) -> bool:
    """Whether what stands behind it begins a term: a sign, or a bracket that opens."""
    return isinstance(piece, Sign) or (isinstance(piece, Half) and piece.text in "([{")
