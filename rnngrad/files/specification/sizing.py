"""I, H, O and other letters from every array that fixes them, and the arrays that disagree.

A gated cell's matrices have rows for every gate: 3H or 4H. In a stack each layer has its own H,
H.0, H.1 …, which is the number of inputs of the layer above.

``sizes`` wins where it is given; else the size that most axes claim, the earliest where two claim
alike.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from rnngrad.arithmetic.arrays import Array
from rnngrad.files.arrays.drawing import Draw
from rnngrad.files.spec_errors import Mistakes
from rnngrad.files.specification.arrays_of_spec import ALL_LAYERS, Piece, in_all_layers
from rnngrad.files.text import counted, listed
from rnngrad.net.cells import multiple

WORDS = {"I": "inputs", "H": "hidden", "O": "outputs"}
MEANINGS = {"I": "inputs", "H": "hidden units", "O": "outputs"}
Stated: TypeAlias = tuple[int, str]
"""A size that ``sizes`` gives, and what it says as part of a sentence."""


class Size(NamedTuple):
    """A size that was found; ``by`` maps each piece that claims it to what that piece says."""

    value: int
    by: Mapping[str, str]

    def because(self, name: str) -> str:
        """What another piece than ``name`` says; empty where none does."""
        return next((says for other, says in self.by.items() if other != name), "")


def settle(pieces: Sequence[Piece], stated: Mapping[str, Stated]) -> dict[str, Size]:
    """letter -> Size, for every letter that something fixes; ``stated`` ones win."""
    claims: dict[str, list[tuple[int, Piece]]] = {letter: [] for letter in letters_of(pieces)}
    for piece in pieces:
        for length, size in zip(piece.letters, piece.shape or (), strict=False):
            times, letter = multiple(length)
            if letter in claims and size % times == 0:
                claims[letter].append((size // times, piece))
    return {
        letter: _size(stated.get(letter), claimed)
        for letter, claimed in claims.items()
        if letter in stated or claimed
    }


def letters_of(pieces: Iterable[Piece]) -> list[str]:
    """The letters of all sizes but T: I, H, O, or H.0, H.1 … in a stack."""
    found = dict.fromkeys(multiple(n)[1] for piece in pieces for n in piece.letters)
    return [letter for letter in found if letter != "T"]


def in_all(letter: str, layers: Sequence[str], sizes: Mapping[str, Size]) -> dict[str, Size]:
    """The units of all ``layers`` together, as a size of its own, if every layer's is known."""
    if not all(layer in sizes for layer in layers):
        return {}
    found = [sizes[layer] for layer in layers]
    text = " + ".join(str(size.value) for size in found)
    total = Size(sum(s.value for s in found), {"layers": f"the layers have {text} units"})
    return {in_all_layers(letter): total}


def _unknown(letter: str, touching: Sequence[Piece]) -> str:
    """What nothing fixes, in words."""
    base, _, layer = letter.partition(".")
    of = f" of layer {layer}" if layer else ""
    if base in MEANINGS:
        return f"the number of {MEANINGS[base]}{of}"
    name = touching[0].name.partition(".")[0]
    return f"{base}{of}, a size of {name}"


def _size(stated: Stated | None, claims: Sequence[tuple[int, Piece]]) -> Size:
    firmest = min((piece.vagueness for _, piece in claims), default=0)
    firm = Counter(size for size, piece in claims if piece.vagueness == firmest)
    value = stated[0] if stated else firm.most_common(1)[0][0]
    by = {"sizes": stated[1]} if stated else {}
    return Size(value, by | {p.name: p.says() for size, p in claims if size == value})


def report(pieces: Iterable[Piece], sizes: Mapping[str, Size], mistakes: Mistakes) -> None:
    """Note every piece whose shape is not what the sizes make it."""
    for piece in pieces:
        if not isinstance(piece.value, Draw) and piece.value is not None:
            words = _disagreement(piece, sizes)
            if words:
                mistakes.add(piece.path, words)


def _disagreement(piece: Piece, sizes: Mapping[str, Size]) -> str:
    shape = piece.shape
    if shape is None:
        return "" if piece.loose and not _given(piece).shape else _misshapen(piece, sizes)
    wrong = [
        multiple(length)[1]
        for length, size in zip(piece.letters, shape, strict=True)
        if _right(length, sizes, size) != size
    ]
    if not wrong:
        return ""
    reasons = dict.fromkeys(
        sizes[letter].because(piece.name) for letter in wrong if letter in sizes
    )
    why = f" because {listed(filter(None, reasons), limit=120)}" if any(reasons) else ""
    why = why or _gates(piece, sizes)
    return f"{piece.says()}, must {_expected(piece, sizes, shape)}{why}{piece.why}"


def _gates(piece: Piece, sizes: Mapping[str, Size]) -> str:
    """Why the rows are no whole number of gates, where that is the mistake."""
    times, letter = multiple(piece.letters[0])
    if times == 1:
        return ""
    units = counted(sizes[letter].value, "unit") if letter in sizes else "H units"
    return f": its rows are {times} gates of {units}"


def _right(length: str, sizes: Mapping[str, Size], size: int) -> int:
    """How long an axis should be: as it is, where nothing fixes it and whole gates fit into it."""
    times, letter = multiple(length)
    if letter in sizes:
        return times * sizes[letter].value
    return times * -(-size // times)


def _length(length: str, sizes: Mapping[str, Size], size: int) -> str:
    """How long an axis should be, in words: ``6``, or ``3H`` where nothing fixes H."""
    times, letter = multiple(length)
    return str(_right(length, sizes, size)) if letter in sizes or times == 1 else f"{times}{letter}"


def _given(piece: Piece) -> Array:
    assert piece.value is not None
    assert not isinstance(piece.value, Draw)
    return piece.value


def _expected(piece: Piece, sizes: Mapping[str, Size], shape: tuple[int, ...]) -> str:
    """The shape that the sizes make it, as part of a sentence."""
    right = [_length(n, sizes, size) for n, size in zip(piece.letters, shape, strict=True)]
    if piece.sequence:
        flat = "be rows of" if _given(piece).ndim == 1 else "have"
        return f"{flat} {counted(right[1], 'number')}"
    if len(right) == 1:
        return f"have length {right[0]}"
    return f"be {right[0]}×{right[1]}"


def _misshapen(piece: Piece, sizes: Mapping[str, Size]) -> str:
    """A list for a matrix, rows for a vector, a single number for a sequence."""
    array = _given(piece)
    if piece.sequence:
        return f"{piece.says()}, must be rows of numbers, one a step: write [[{array:g}]]"
    if not piece.letters:
        return f"{piece.says()}, must be a single number"
    known = [str(_right(n, sizes, 1)) if multiple(n)[1] in sizes else n for n in piece.letters]
    if len(piece.letters) == 1:
        flat = f": write {_sample(array.ravel())}" if known[0] == str(array.size) else ""
        return f"{piece.says()}, must be a list of {counted(known[0], 'number')}{flat}"
    return f"{piece.says()}, must be {'×'.join(known)}{_rewritten(array, known)}"


def _rewritten(array: Array, known: Sequence[str]) -> str:
    """How a flat list is to be written where it can only be a column or a row."""
    length = str(len(array))
    if known == [length, "1"]:
        return f": write {_sample(array[:, None])}"
    if known == ["1", length]:
        return f": write {_sample(array[None, :])}"
    return f": {counted(known[0], 'row')} of {counted(known[1], 'number')}"


def _sample(array: Array) -> str:
    """The numbers as YAML, if they are few."""
    if array.size > 6:
        return "[[...], [...], ...]" if array.ndim == 2 else "[..., ..., ...]"
    rows = array.tolist() if array.ndim == 2 else [array.tolist()]
    texts = [f"[{', '.join(f'{n:.15g}' for n in row)}]" for row in rows]
    return f"[{', '.join(texts)}]" if array.ndim == 2 else texts[0]


def unfixed(pieces: Iterable[Piece], sizes: Mapping[str, Size], mistakes: Mistakes) -> None:
    """Note every size that nothing fixes, unless a piece that might is wrong already."""
    pieces = list(pieces)
    letters = [n for n in letters_of(pieces) if n not in sizes and not n.startswith(ALL_LAYERS)]
    for letter in sorted(letters, key=lambda letter: ("IHO" + letter[0]).find(letter[0])):
        touching = [p for p in pieces if letter in (multiple(n)[1] for n in p.letters)]
        base = letter.partition(".")[0]
        word = WORDS.get(base, base)
        excused = any(piece.value is None or mistakes.spoils(piece.path) for piece in touching)
        if not excused and not mistakes.spoils(("sizes", word)):
            hint = f"give sizes: {{{word}: {base if word != base else 'its number'}}}"
            if base not in MEANINGS and len(touching[0].letters) > 1:  # it may be meant to be H
                shape = ", ".join("H" if one == base else one for one in touching[0].letters)
                hint += f", or cell: {{shapes: {{{touching[0].name}: [{shape}]}}}} if it is H"
            words = f"nothing fixes {_unknown(letter, touching)}; {hint}"
            mistakes.add(touching[0].path[:1], words, at_key=True, spoils=("sizes", word))
