"""Every array of a spec with the sizes of its axes, and those that are still to be drawn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rnngrad.arithmetic.arrays import Array
from rnngrad.files.drawing import Draw, too_large
from rnngrad.files.mistakes import Mistakes
from rnngrad.files.numbers import from_array, written
from rnngrad.files.parameters import Parameters, top
from rnngrad.files.reading import Steps
from rnngrad.files.schema import ArraySource, File, Filled
from rnngrad.files.sizing import Piece, in_all_layers
from rnngrad.files.text import shown
from rnngrad.net.cells import Cell, lengths, letter_in, multiple

_ZEROS = Filled(Draw("init", "zeros", {}))


def pieces(
    spec: Mapping[str, Any], cell: Cell, parameters: Parameters, folder: Path, mistakes: Mistakes
) -> list[Piece]:
    """Every array of the spec, biases and starts that were left out as zeros."""
    return list(_pieces(spec, cell, parameters, folder, mistakes))


def _pieces(
    spec: Mapping[str, Any], cell: Cell, parameters: Parameters, folder: Path, mistakes: Mistakes
) -> Iterator[Piece]:
    def piece(name: str, path: Steps, letters: tuple[str, ...], source: Any) -> Piece:
        return _piece(name, path, letters, source, folder, mistakes)

    depth = parameters.depth
    for name, letters in parameters.letters.items():
        yield piece(name, parameters.paths[name], letters, parameters.sources.get(name))
    for part, letter in zip(cell.parts, cell.letters, strict=True):
        letter = letter if depth == 1 else in_all_layers(letter)
        name = f"{part}_0"
        yield piece(name, (name,), (letter,), spec.get(name))._replace(loose=True)
    inputs = letter_in(cell, cell.input_letter, 0, depth)
    why = "" if inputs == "I" else f"; {cell.name} takes x_t unit by unit, so I is {inputs}"
    yield piece("inputs", ("inputs",), ("T", inputs), spec.get("inputs"))._replace(why=why)
    if "targets" in spec or mistakes.spoils(("targets",)):
        outputs = "O" if "W_hy" in parameters.letters else top(cell, depth)
        yield piece("targets", ("targets",), ("T", outputs), spec.get("targets"))


def _piece(
    name: str,
    path: Steps,
    letters: tuple[str, ...],
    source: ArraySource | None,
    folder: Path,
    mistakes: Mistakes,
) -> Piece:
    value: Array | Filled | None
    if source is None:
        bias = path[0] == "weights" and str(path[-1])[:1] == "b"
        required = (path[0] == "weights" and not bias) or len(letters) == 2
        value = None if required or mistakes.spoils(path) else _ZEROS
    elif isinstance(source, Filled):
        value = source
    elif isinstance(source, File):
        value = _from_file(source, name, path, len(letters), folder, mistakes)
    else:
        value = written(source.value, path, mistakes)
    return Piece(name, path, letters, value)


def _from_file(
    source: File, name: str, path: Steps, rank: int, folder: Path, mistakes: Mistakes
) -> Array | None:
    from rnngrad.files.files import FileError, FileKeyError, load_array  # 4 ms that few specs need

    try:
        array = load_array(source, folder)
    except (FileError, FileKeyError) as error:
        key = "key" if isinstance(error, FileKeyError) else "file"
        mistakes.add((*path, key), f"{name}: {error}")
        return None
    if rank == 1 and source.file.lower().endswith(".csv") and 1 in array.shape:
        array = array.ravel()
    return from_array(array, f"{name}: the array of {shown(source.file)}", path, mistakes)


def fitted(value: Array, piece: Piece, sizes: Mapping[str, int]) -> Array:
    """A given array in its final shape: numbers spread, a flat sequence as a column."""
    if piece.loose and not value.shape:
        return np.full(sizes[piece.letters[0]], float(value))
    return value.reshape(piece.shape or value.shape)


def draws(
    found: list[Piece], sizes: Mapping[str, int], units: str, mistakes: Mistakes
) -> dict[str, Draw]:
    """name -> Draw with its shape, for every array still to be drawn whose sizes are known;
    ``units`` is the letter of what the read-out sees."""
    drawn = {}
    for piece in found:
        known = all(letter in sizes for _, letter in map(multiple, (*piece.letters, units)))
        if isinstance(piece.value, Filled) and known:
            shape = lengths(piece.letters, sizes)
            large = too_large(shape)
            if large:
                mistakes.add(piece.path, f"{piece.name} {large}")
            draw = piece.value.draw
            gates = multiple(piece.letters[0])[0] if shape else 1
            fan_in = _fan_in(piece, shape, sizes, units)
            drawn[piece.name] = Draw(draw.of, draw.kind, draw.options, shape, fan_in, gates)
    return drawn


def _fan_in(piece: Piece, shape: tuple[int, ...], sizes: Mapping[str, int], units: str) -> int:
    """Columns of a matrix; for a vector the units that it is of, for b_y those that W_hy sees, for
    a number 1."""
    if len(shape) == 2:
        return shape[1]
    if not shape:
        return 1
    return sizes[units if piece.name == "b_y" else multiple(piece.letters[0])[1]]
