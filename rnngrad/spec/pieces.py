"""Every array of a spec with the sizes of its axes, and those that are still to be drawn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rnngrad.arithmetic.arrays import Array
from rnngrad.cells import CELLS
from rnngrad.core.cells import lengths, multiple
from rnngrad.spec.drawing import Draw, too_large
from rnngrad.spec.mistakes import Mistakes
from rnngrad.spec.numbers import from_array, written
from rnngrad.spec.parameters import Parameters
from rnngrad.spec.reading import Steps
from rnngrad.spec.schema import ArraySource, File, Filled
from rnngrad.spec.sizing import ALL_UNITS, Piece
from rnngrad.spec.text import shown

_ZEROS = Filled(Draw("init", "zeros", {}))


def pieces(
    spec: Mapping[str, Any], parameters: Parameters, folder: Path, mistakes: Mistakes
) -> list[Piece]:
    """Every array of the spec, biases, h_0 and c_0 that were left out as zeros."""
    return list(_pieces(spec, parameters, folder, mistakes))


def top(depth: int) -> str:
    """The letter of the units of the uppermost layer."""
    return "H" if depth == 1 else f"H.{depth - 1}"


def _pieces(
    spec: Mapping[str, Any], parameters: Parameters, folder: Path, mistakes: Mistakes
) -> Iterator[Piece]:
    def piece(name: str, path: Steps, letters: tuple[str, ...], source: Any) -> Piece:
        return _piece(name, path, letters, source, folder, mistakes)

    for name, letters in parameters.letters.items():
        yield piece(name, parameters.paths[name], letters, parameters.sources.get(name))
    units = ("H",) if parameters.depth == 1 else (ALL_UNITS,)
    for name in ("h_0", "c_0")[: len(CELLS[spec["cell"]].parts)]:
        yield piece(name, (name,), units, spec.get(name))
    yield piece("inputs", ("inputs",), ("T", "I"), spec.get("inputs"))
    if "targets" in spec or mistakes.spoils(("targets",)):
        outputs = "O" if "W_hy" in parameters.letters else top(parameters.depth)
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
        required = len(letters) == 2
        value = None if required or mistakes.spoils(path) else _ZEROS
    elif isinstance(source, Filled):
        value = source
    elif isinstance(source, File):
        value = _from_file(source, name, path, len(letters), folder, mistakes)
    else:
        value = written(source.value, path, mistakes)
    return Piece(name, path, letters, value, loose=name in ("h_0", "c_0"))


def _from_file(
    source: File, name: str, path: Steps, rank: int, folder: Path, mistakes: Mistakes
) -> Array | None:
    from rnngrad.spec.files import FileError, FileKeyError, load_array  # 4 ms that few specs need

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
    found: list[Piece], sizes: Mapping[str, int], depth: int, mistakes: Mistakes
) -> dict[str, Draw]:
    """name -> Draw with its shape, for every array still to be drawn whose sizes are known."""
    drawn = {}
    for piece in found:
        known = all(letter in sizes for _, letter in map(multiple, (*piece.letters, top(depth))))
        if isinstance(piece.value, Filled) and known:
            shape = lengths(piece.letters, sizes)
            large = too_large(shape)
            if large:
                mistakes.add(piece.path, f"{piece.name} {large}")
            draw = piece.value.draw
            gates = multiple(piece.letters[0])[0]
            fan_in = _fan_in(piece, shape, sizes, depth)
            drawn[piece.name] = Draw(draw.of, draw.kind, draw.options, shape, fan_in, gates)
    return drawn


def _fan_in(piece: Piece, shape: tuple[int, ...], sizes: Mapping[str, int], depth: int) -> int:
    """Columns of a matrix; for a bias the units of its own layer, or of the uppermost for b_y."""
    if len(shape) == 2:
        return shape[1]
    letter = multiple(piece.letters[0])[1]
    return sizes[letter if letter.startswith("H") else top(depth)]
