"""``batch`` and the keys that belong to it: which axis counts the sequences, how long each is.

Whatever its axes are in the file, an array is (B, T, ·) from here on, and a start (B, n).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rnngrad.arithmetic.arrays import Array
from rnngrad.files.arrays.drawing import Draw, too_large
from rnngrad.files.spec_errors import Mistakes
from rnngrad.files.specification.arrays_of_spec import Piece, read
from rnngrad.files.text import counted, shown, sides
from rnngrad.files.yaml_text import Steps

AXES = {"first": "B×T", "second": "T×B"}
"""What ``batch`` may be, and the first two axes then."""

MEAN_OF_STEPS = "mean_of_steps"
REDUCTIONS = ("sum", "mean", MEAN_OF_STEPS)
"""What ``batch_reduction`` may be: L divided by nothing, by B, or by the number of all losses that
count, as a framework's mean over all that is not padding."""

OTHERS = ("sequence", "lengths", "batch_reduction")
"""The keys that only a batch has."""


class BatchKey(NamedTuple):
    """B sequences of ``lengths``, in arrays whose ``axis`` counts them; ``sequence``: the one that
    is chosen, from 1."""

    axis: str
    lengths: tuple[int, ...]
    reduction: str
    sequence: int | None

    @property
    def size(self) -> int:
        """B"""
        return len(self.lengths)


def not_a_batch(data: Mapping[str, Any], pieces: Sequence[Piece], mistakes: Mistakes) -> None:
    """Note the keys that are there although ``batch`` is not."""
    first = "batch: first or batch: second says which axis counts the sequences"
    for key in OTHERS:
        if key in data:
            words = f"{key} is of a batch, and the spec has none; {first}"
            mistakes.add((key,), words, at_key=True)
    for piece in pieces:
        if isinstance(piece.value, Draw) and piece.value.sequences is not None:
            words = f"{piece.name}.sequences is of a batch, and the spec has none"
            mistakes.add((*piece.path, "sequences"), f"{words}; add batch: first", at_key=True)


def turned(
    spec: Mapping[str, Any], pieces: Sequence[Piece], outputs: int | None, mistakes: Mistakes
) -> list[Piece]:
    """The pieces with the axes of sequences in order: (B, T, ·); labels, or any number a step, as
    (B, T, 1). ``outputs``: O as the weights alone have it."""
    axis, last = spec["batch"], spec["loss_steps"] == "last"
    counts = _counted(axis, next(piece for piece in pieces if piece.name == "inputs"))
    targets = next((piece.value for piece in pieces if piece.name == "targets"), None)
    if spec["loss"] == "cross_entropy" and isinstance(targets, np.ndarray) and _labels(targets):
        outputs = None
    return [
        piece._replace(value=_turned(axis, piece, counts, last, outputs, mistakes))
        if piece.sequence and isinstance(piece.value, np.ndarray)
        else piece
        for piece in pieces
    ]


def _labels(targets: Array) -> bool:
    """Whether numbers are classes, and no rows of probabilities, each of the sum 1."""
    whole = bool((targets == np.floor(targets)).all())
    return whole and (targets.ndim != 2 or bool((targets.sum(axis=1) != 1).any()))


def _counted(axis: str, inputs: Piece) -> tuple[int | None, int | None]:
    """B and T of inputs as they were given."""
    value = inputs.value
    if isinstance(value, Draw):
        return value.sequences, value.steps
    if value is None or value.ndim != 3:
        return None, None
    first, second, _ = value.shape
    return (first, second) if axis == "first" else (second, first)


def _in_order(axis: str, size: int | None, steps: int | None) -> tuple[int | None, int | None]:
    """B and T as the axes have them."""
    return (size, steps) if axis == "first" else (steps, size)


def _turned(
    axis: str, piece: Piece, counts: tuple[int | None, int | None], last: bool,
    outputs: int | None, mistakes: Mistakes,
) -> Array | None:  # fmt: skip
    """``last``: the last step alone counts, and one row a sequence will do, (B, ·) or (B,).
    ``outputs``: O where (B, O) cannot be labels."""
    value, (size, steps) = piece.value, counts
    assert isinstance(value, np.ndarray)
    if piece.name == "targets" and value.ndim < 3:
        rows = last and value.shape == (size, outputs) and outputs != 1
        if value.shape == _in_order(axis, size, steps) and not rows:
            value = value[..., np.newaxis]
        elif last and value.ndim and len(value) == size:
            return value.reshape(size, 1, -1)
        elif size is None and value.ndim == 2:  # inputs are wrong, which is said already
            return None
    if value.ndim != 3:
        width = piece.letters[1].partition(".")[0]
        takes = f"takes three axes, {AXES[axis]}×{width}"
        words = f"{piece.name} is {sides(value.shape)}; batch: {axis} {takes}"
        labels = ""
        if piece.name == "targets":
            here = "" if size is None else f" = {'×'.join(map(str, _in_order(axis, size, steps)))}"
            labels = f", or labels, {AXES[axis]}{here} as inputs have"
        mistakes.add(piece.path, f"{words}{labels}")
        return None
    return value if axis == "first" else np.moveaxis(value, 1, 0).copy()


def batch_in(
    spec: Mapping[str, Any], pieces: Sequence[Piece], folder: Path, mistakes: Mistakes
) -> BatchKey | None:
    """The batch of a spec whose pieces are ``turned``; None where something is wrong, as noted."""
    axis = spec["batch"]
    by_name = {piece.name: piece for piece in pieces}
    size, steps = _size(by_name["inputs"], mistakes)
    if size is None or steps is None:
        return None
    before = len(mistakes.found)
    if spec["batch_reduction"] == MEAN_OF_STEPS and spec["loss_reduction"] == "mean":
        words = f"batch_reduction: {MEAN_OF_STEPS} is the mean over all steps that count"
        mistakes.add(("batch_reduction",), f"{words}; loss_reduction must be sum then")
    _check_sizes(axis, size, steps, pieces, mistakes)
    found = _lengths(spec, axis, size, steps, folder, mistakes)
    chosen = spec.get("sequence")
    if chosen is not None and chosen > size:
        words = f"sequence is {chosen}; the batch has {counted(size, 'sequence')}, 1 to {size}"
        mistakes.add(("sequence",), words)
    if found is None or len(mistakes.found) > before:
        return None
    return BatchKey(axis, found, spec["batch_reduction"], chosen)


def _size(inputs: Piece, mistakes: Mistakes) -> tuple[int | None, int | None]:
    """B and T"""
    if isinstance(inputs.value, Draw):
        if inputs.value.sequences is None:
            words = "inputs that are drawn must say how many sequences: add sequences: B"
            mistakes.add(inputs.path, words, at_key=True)
        return inputs.value.sequences, inputs.value.steps
    return (None, None) if inputs.value is None else inputs.value.shape[:2]


def _check_sizes(
    axis: str, size: int, steps: int, pieces: Sequence[Piece], mistakes: Mistakes
) -> None:
    """Whatever else counts the sequences has as many as the inputs."""
    for piece in pieces:
        value = piece.value
        if piece.name == "inputs" or value is None:
            continue
        if isinstance(value, Draw):
            if piece.sequence and value.sequences not in (None, size):
                words = f"{piece.name}.sequences is {value.sequences}, must be {size} as in inputs"
                mistakes.add((*piece.path, "sequences"), words)
        elif (piece.sequence or piece.of_batch) and value.shape[0] != size:
            other = value.shape[0] == steps and (not piece.sequence or value.shape[1] == size)
            other = other and value.shape[1:2] != (1,)
            words = f"{piece.name} has {counted(value.shape[0], 'sequence')}, must have {size}"
            mistakes.add(piece.path, f"{words} like inputs{_other(axis, other, piece.sequence)}")


def _other(axis: str, fits: bool, one_of_two: bool = False) -> str:
    """The other axis where that would fit."""
    if not fits:
        return ""
    if one_of_two:
        return f"; its axes are the other way round, not {AXES[axis]}"
    return f"; did you mean batch: {'second' if axis == 'first' else 'first'}?"


def _lengths(
    spec: Mapping[str, Any], axis: str, size: int, steps: int, folder: Path, mistakes: Mistakes
) -> tuple[int, ...] | None:
    if "lengths" not in spec:
        return None if mistakes.spoils(("lengths",)) else (steps,) * size
    array = read(spec["lengths"], "lengths", ("lengths",), 1, folder, mistakes)
    if array is None:
        return None
    if array.ndim != 1 or len(array) != size:
        flat = array.ndim == 1
        found = f"has {counted(len(array), 'number')}" if flat else "is no flat list"
        words = f"lengths {found}, must have {size}, one a sequence"
        mistakes.add(("lengths",), words + _other(axis, array.shape == (steps,)))
        return None
    before = len(mistakes.found)
    for place, length in _impossible(array, steps):
        path: Steps = ("lengths", place) if isinstance(spec["lengths"], list) else ("lengths",)
        words = f"lengths holds {shown(length)}; a sequence has 1 to {steps} steps here"
        mistakes.add(path, words if len(path) > 1 else f"{words} (sequence {place + 1})")
    return tuple(int(n) for n in array) if len(mistakes.found) == before else None


def _impossible(array: Array, steps: int) -> Iterator[tuple[int, float | int]]:
    for place, length in enumerate(array.tolist()):
        if not 1 <= length <= steps or length != int(length):
            yield place, int(length) if length == int(length) else length


def without_padding(piece: Piece, batch: BatchKey) -> Piece:
    """A sequence's rows after its end are 0, whatever they were filled up with."""
    value = piece.value
    if not piece.sequence or not isinstance(value, np.ndarray):
        return piece
    if min(batch.lengths) >= value.shape[1]:
        return piece
    kept = value.copy()
    for row, length in zip(kept, batch.lengths, strict=True):
        row[length:] = 0.0
    return piece._replace(value=kept)


def batched(draw: Draw, batch: BatchKey, piece: Piece, mistakes: Mistakes) -> Draw:
    """What is to be drawn for every sequence."""
    shape = (batch.size, *draw.shape)
    if too_large(shape):
        mistakes.add(piece.path, f"{piece.name} {too_large(shape)}")
    return draw._replace(shape=shape, sequences=batch.size)
