"""Every array of a spec with the sizes of its axes, and those that are still to be drawn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rnngrad.arithmetic.arrays import Array, Integers
from rnngrad.files.arrays.drawing import Draw, too_large
from rnngrad.files.arrays.numbers import batch_words, from_array, written
from rnngrad.files.arrays.readers import File, FileError, FileKeyError, load_array
from rnngrad.files.spec_errors import Mistakes
from rnngrad.files.specification.sources import ZEROS, ArraySource, Embedded, Gated
from rnngrad.files.specification.weights_key import Parameters
from rnngrad.files.text import counted, dotted, listed, shown, sides
from rnngrad.files.yaml_text import Steps
from rnngrad.net.cells import Cell, lengths, letter_in, multiple
from rnngrad.net.given_arrays import Mask
from rnngrad.net.problem import REVERSE, Tokens

ALL_LAYERS = "all "
"""What the letter of a part in all layers begins with."""


def in_all_layers(letter: str) -> str:
    """The letter of a part's start in a stack: that of the part in all layers."""
    return ALL_LAYERS + letter


class Piece(NamedTuple):
    """An array of the spec and the sizes of its axes by letter.

    ``value`` is given, still to be drawn, or None where it is wrong already. A sequence has the
    letters ("T", "I") or ("T", "O"); ``loose`` pieces take a number for every entry (h_0). ``why``
    is what more there is to say where it disagrees; ``tokens`` tells of the embedding that the
    inputs are rows of. Where ``batch``, an array may have one axis more, in front, which counts the
    sequences.
    """

    name: str
    path: Steps
    letters: tuple[str, ...]
    value: Array | Draw | None
    loose: bool = False
    why: str = ""
    tokens: Tokens | None = None
    batch: bool = False

    @property
    def of_batch(self) -> bool:
        """Whether its first axis counts sequences."""
        given = isinstance(self.value, np.ndarray)
        return self.batch and given and self._ndim == len(self.letters) + 1

    @property
    def _ndim(self) -> int:
        return self.value.ndim if isinstance(self.value, np.ndarray) else 0

    @property
    def sequence(self) -> bool:
        """Whether its first axis is time."""
        return self.letters[:1] == ("T",)

    @property
    def flat(self) -> bool:
        """Whether a sequence has one number a step."""
        shape = self.value.shape if isinstance(self.value, np.ndarray) else ()
        return len(shape) == 1 or shape[1:] == (1,)

    @property
    def vagueness(self) -> int:
        """How little its shape says: 1 for a single number and h_0, 2 for sequences whose rows are
        of the units, else 0."""
        if self.sequence and self.letters[1] not in ("I", "O"):
            return 2
        number = isinstance(self.value, np.ndarray) and not self.value.shape
        return int(number or self.loose)

    @property
    def shape(self) -> tuple[int, ...] | None:
        """Its shape as a claim on sizes; None where it makes none."""
        if self.value is None or isinstance(self.value, Draw):
            return None
        shape = self.value.shape[1:] if self.of_batch else self.value.shape
        if not shape:
            return None if self.loose or self.sequence else (1,) * len(self.letters)
        if self.sequence and len(shape) == 1:
            return (*shape, 1)
        return shape if len(shape) == len(self.letters) else None

    def says(self) -> str:
        """Its shape as part of a sentence."""
        given = () if self.value is None or isinstance(self.value, Draw) else self.value.shape
        given = given[1:] if self.of_batch else given
        if not given:
            return f"{self.name} is a single number"
        if self.sequence and len(given) == 1:
            return f"{self.name} is a flat list, 1 number a step"
        if self.sequence:
            return f"{self.name} has {counted(given[1], 'number')} a row"
        if len(given) == 1:
            same = len(self.letters) == 1
            return f"{self.name} has length {given[0]}" if same else (
                f"{self.name} is a list of {counted(given[0], 'number')}"
            )  # fmt: skip
        return f"{self.name} is {'×'.join(map(str, given))}"


def pieces(
    spec: Mapping[str, Any], cell: Cell, parameters: Parameters, folder: Path, mistakes: Mistakes
) -> list[Piece]:
    """Every array of the spec, biases and starts that were left out as zeros."""
    return list(_pieces(spec, cell, parameters, folder, mistakes))


def _pieces(
    spec: Mapping[str, Any], cell: Cell, parameters: Parameters, folder: Path, mistakes: Mistakes
) -> Iterator[Piece]:
    def piece(name: str, path: Steps, letters: tuple[str, ...], source: Any) -> Piece:
        own = name.partition(".")[0].removesuffix(REVERSE * parameters.both)
        gates = cell.gates if own in cell.blocks else ()
        batch = spec.get("batch") if path[0] != "weights" else None
        return _piece(name, path, letters, source, folder, mistakes, gates, batch)

    depth = parameters.depth
    for name, letters in parameters.letters.items():
        yield piece(name, parameters.paths[name], letters, parameters.sources.get(name))
    for way in ("", REVERSE) if parameters.both else ("",):
        for part, letter in zip(cell.parts, cell.letters, strict=True):
            letter = letter if depth == 1 else in_all_layers(letter)
            name = f"{part}_0{way}"
            yield piece(name, (name,), (letter,), spec.get(name))._replace(loose=True)
    dense = "W_in" in parameters.letters
    inputs = "I" if dense else letter_in(cell, cell.input_letter, 0, depth)
    why = "" if inputs == "I" else f"; {cell.name} takes x_t unit by unit, so I is {inputs}"
    yield piece("inputs", ("inputs",), ("T", inputs), spec.get("inputs"))._replace(why=why)
    if "targets" in spec or mistakes.spoils(("targets",)):
        outputs = "O" if "W_hy" in parameters.letters else parameters.top
        yield piece("targets", ("targets",), ("T", outputs), spec.get("targets"))
        if "class_weights" in spec:
            yield piece("class_weights", ("class_weights",), (outputs,), spec["class_weights"])
    if "upstream" in spec or mistakes.spoils(("upstream",)):
        yield piece("upstream", ("upstream",), ("T", parameters.top), spec.get("upstream"))


def _piece(
    name: str,
    path: Steps,
    letters: tuple[str, ...],
    source: ArraySource,
    folder: Path,
    mistakes: Mistakes,
    gates: tuple[str, ...] = (),
    batch: str | None = None,
) -> Piece:
    value: Array | Draw | None
    if isinstance(source, Gated):
        return Piece(
            name, path, letters, _gate_by_gate(source, name, path, gates, folder, mistakes)
        )
    if isinstance(source, Embedded):
        piece = Piece(name, path, letters, None, batch=batch is not None)
        return looked_up(piece, source, folder, mistakes, batch)
    if source is None:
        bias = path[0] == "weights" and str(path[-1])[:1] == "b"
        required = (path[0] == "weights" and not bias) or len(letters) == 2
        value = None if required or mistakes.spoils(path) else ZEROS
    elif isinstance(source, Draw):
        value = source
    else:
        axes = 3 if batch and letters[:1] == ("T",) else 2
        value = read(source, name, path, len(letters), folder, mistakes, axes)
    return Piece(name, path, letters, value, batch=batch is not None)


def read(
    source: File | Any, name: str, path: Steps, rank: int, folder: Path, mistakes: Mistakes,
    axes: int = 2,
) -> Array | None:  # fmt: skip
    """The array of a file, or as it is written; None with mistakes noted."""
    if not isinstance(source, File):
        return written(source, path, mistakes, axes)
    try:
        array = load_array(source, folder)
    except (FileError, FileKeyError) as error:
        key = "key" if isinstance(error, FileKeyError) else "file"
        mistakes.add((*path, key), f"{name}: {error}")
        return None
    if rank == 1 and source.file.lower().endswith(".csv") and 1 in array.shape:
        array = array.ravel()
    return from_array(array, f"{name}: the array of {shown(source.file)}", path, mistakes, axes)


def _gate_by_gate(
    source: Gated, name: str, path: Steps, gates: tuple[str, ...], folder: Path, mistakes: Mistakes
) -> Array | None:
    """The arrays of the gates, one below the other in the order of the cell."""
    here = (*path, "gates")
    if not gates or set(source.keys) != set(gates):
        given = listed(source.keys)
        must = f"must name {listed(gates)}" if gates else f"but {name} is no stack of gates"
        mistakes.add(here, f"{dotted(here)} names {given}, {must}")
        return None
    found = []
    for gate in gates:
        file = File(source.file, source.keys[gate])
        found.append(read(file, f"{name}, gate {gate}", path, 1, folder, mistakes))
    arrays = [array for array in found if array is not None]
    if len(arrays) < len(gates):
        return None
    if len({array.shape for array in arrays}) > 1:
        shapes = ", ".join(f"{g} {sides(a.shape)}" for g, a in zip(gates, arrays, strict=True))
        mistakes.add(here, f"{name}: the gates differ in shape: {shapes}")
        return None
    return np.concatenate(arrays)


def looked_up(
    piece: Piece, source: Embedded, folder: Path, mistakes: Mistakes, batch: str | None = None
) -> Piece:
    """The rows of an embedding that the ids name, one a step; ids (T,), x_t (T, I); of a ``batch``
    whose axis is that, (B, T) and with the axes of x_t as those of any inputs."""
    path, below = piece.path, (*piece.path, "embedding")
    if isinstance(source.ids, File):
        ids = read(source.ids, piece.name, path, 1, folder, mistakes)
    else:
        ids = written(source.ids, (*path, "ids"), mistakes)
    if isinstance(source.table, File):
        table = read(source.table, f"{piece.name}.embedding", below, 2, folder, mistakes)
    else:
        table = written(source.table, below, mistakes)
    if ids is None or table is None:
        return piece
    if table.ndim != 2:
        mistakes.add(below, f"{dotted(below)} is {sides(table.shape)}, must be rows, one a token")
        return piece
    if batch is None:
        ids = ids.ravel() if ids.ndim == 2 and ids.shape[1] == 1 else np.atleast_1d(ids)
    elif ids.ndim != 2:
        mistakes.add(path, f"{piece.name} is {sides(ids.shape)} token ids; a batch has B×T of them")
        return piece
    wrong = (ids != np.floor(ids)) | (ids < 0) | (ids >= len(table))
    if wrong.any():
        _note_id(piece, source.ids, ids, wrong, len(table), mistakes)
        return piece
    rows: Integers = ids.astype(np.int64)
    x = table[rows]
    if x.ndim > 2 and batch is None:
        words = batch_words(path, x.shape)
        mistakes.add(path, f"{piece.name} is {sides(ids.shape)} token ids{words}")
        return piece
    rows = rows.T if batch == "second" else rows
    key = source.table.key if isinstance(source.table, File) else None
    return piece._replace(value=x, tokens=Tokens(rows, len(table), key, table[0]))


def _note_id(
    piece: Piece, source: ArraySource, ids: Array, wrong: Mask, rows: int, mistakes: Mistakes
) -> None:
    places = np.argwhere(wrong)
    at = tuple(int(n) for n in places[0])
    more = f" (and {counted(len(places) - 1, 'more id')})" if len(places) > 1 else ""
    of = f"sequence {at[0] + 1}, step {at[1] + 1}" if len(at) > 1 else f"step {at[0] + 1}"
    must = f"must be a whole number from 0 to {rows - 1}, a row of the embedding"
    inside = (*piece.path, "ids", *at) if isinstance(source, list) else piece.path
    words = f"{piece.name}: the token id of {of} is {ids[at]:.15g}, {must}{more}"
    mistakes.add(inside, words)


def fitted(value: Array, piece: Piece, sizes: Mapping[str, int]) -> Array:
    """A given array in its final shape: numbers spread, a flat sequence as a column."""
    if piece.loose and not value.shape:
        return np.full(sizes[piece.letters[0]], float(value))
    return value if piece.of_batch else value.reshape(piece.shape or value.shape)


def draws(
    found: list[Piece], sizes: Mapping[str, int], units: str, mistakes: Mistakes
) -> dict[str, Draw]:
    """name -> Draw with its shape, for every array still to be drawn whose sizes are known;
    ``units`` is the letter of what the read-out sees."""
    drawn = {}
    for piece in found:
        known = all(letter in sizes for _, letter in map(multiple, (*piece.letters, units)))
        if isinstance(piece.value, Draw) and known:
            shape = lengths(piece.letters, sizes)
            large = too_large(shape)
            if large:
                mistakes.add(piece.path, f"{piece.name} {large}")
            gates = multiple(piece.letters[0])[0] if shape else 1
            fan_in = _fan_in(piece, shape, sizes, units)
            drawn[piece.name] = piece.value._replace(shape=shape, fan_in=fan_in, gates=gates)
    return drawn


def _fan_in(piece: Piece, shape: tuple[int, ...], sizes: Mapping[str, int], units: str) -> int:
    """Columns of a matrix; for a vector the units that it is of, for b_y those that W_hy sees, for
    a number 1."""
    if len(shape) == 2:
        return shape[1]
    if not shape:
        return 1
    times, letter = multiple(units)
    return times * sizes[letter] if piece.name == "b_y" else sizes[multiple(piece.letters[0])[1]]
