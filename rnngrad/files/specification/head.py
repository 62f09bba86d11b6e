"""What stands at the end of a net: targets and their loss, or ∂L/∂h_t given in their place.

Labels become rows before anything else sees them: the class's weight at the class, 0 elsewhere, so
that −Σ target·ln y is PyTorch's cross entropy of a label.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from rnngrad.arithmetic.arrays import Array
from rnngrad.files.arrays.drawing import Draw
from rnngrad.files.spec_errors import Mistakes
from rnngrad.files.specification.arrays_of_spec import Piece
from rnngrad.files.specification.weights_key import Parameters
from rnngrad.files.text import counted
from rnngrad.files.yaml_text import Steps

OF_TARGETS = (
    "targets", "loss", "loss_steps", "loss_reduction", "output_activation", "class_weights",
    "ignore_index", "batch_reduction",
)  # fmt: skip
"""The keys of a spec that say nothing where ``upstream`` is given."""


def check_upstream(data: Mapping[str, Any], parameters: Parameters, mistakes: Mistakes) -> None:
    """Refuse what would stand beside ``upstream``, which is ∂L/∂h_t whole."""
    if "upstream" not in data:
        return
    whole = "upstream is ∂L/∂h_t as your own head gives it"
    for name in OF_TARGETS:
        if name in data:
            words = f"{name} stands beside upstream; {whole}: leave {name} out, or upstream"
            mistakes.add((name,), words, at_key=True)
    if "W_hy" in parameters.letters:
        words = f"weights.W_hy is a read-out beside upstream; {whole}: leave W_hy out, or upstream"
        mistakes.add(("weights", "W_hy"), words, at_key=True)


class Labels(NamedTuple):
    """Targets that are one number a step: ``piece`` as it was given, ``values`` (n,) of it, and
    the ``class_weights`` beside it. Of ``binary`` ones only ``ignore_index`` is to be found."""

    piece: Piece
    values: Array
    class_weights: Piece | None
    binary: bool


def labels_in(
    spec: Mapping[str, Any], data: Mapping[str, Any], pieces: Sequence[Piece], mistakes: Mistakes
) -> tuple[Labels | None, list[Piece]]:
    """The labels among the pieces, if the targets are any, and the pieces without them, which then
    lay no claim on sizes."""
    by_name = {piece.name: piece for piece in pieces}
    targets, weights = by_name.get("targets"), by_name.get("class_weights")
    left = [piece for piece in pieces if piece.name != "class_weights"]
    flat = targets and _flat(targets)
    loss = "" if mistakes.spoils(("loss",)) else spec["loss"]
    found = None
    if targets is not None and flat is not None:
        if loss == "cross_entropy":
            found = Labels(targets, flat, weights, False)
            left = [piece for piece in pieces if piece is not targets]
        elif loss == "binary_cross_entropy" and "ignore_index" in data:
            found = Labels(targets, flat, None, True)
        elif (flat == np.floor(flat)).all() and loss:
            why = "; labels, classes from 0, need loss: cross_entropy"
            left = [p._replace(why=why) if p is targets else p for p in left]
    if loss and (found is None or found.binary):
        _refuse_keys(data, found, targets, mistakes)
    return found, left


def _flat(targets: Piece) -> Array | None:
    """One number a step, (n,), of a list, a column or a single number; None of anything else."""
    if not isinstance(targets.value, np.ndarray):
        return None
    one = targets.value.ndim < 2 or targets.value.shape[-1] == 1
    return targets.value.ravel() if one else None


def _refuse_keys(
    data: Mapping[str, Any], found: Labels | None, targets: Piece | None, mistakes: Mistakes
) -> None:
    if "upstream" in data or (targets is not None and targets.value is None):
        return
    for name in ("class_weights", "ignore_index"):
        if name in data and not (found and name == "ignore_index"):
            words = (
                f"{name} is for targets that are labels, T whole numbers, of loss: cross_entropy"
            )
            mistakes.add((name,), words, at_key=True)


class Counted(NamedTuple):
    """Targets as rows, and what each step's label counts, (T,): its class's weight, 0 where it is
    ignored; None where there are no labels."""

    pieces: list[Piece]
    counts: Array | None


def with_targets(
    labels: Labels | None,
    pieces: list[Piece],
    outputs: int | None,
    spec: Mapping[str, Any],
    data: Mapping[str, Any],
    mistakes: Mistakes,
) -> Counted:
    """The pieces with targets as T rows: those of labels, and a single row for the last step."""
    counts = None
    if labels is not None:
        others = [piece for piece in pieces if piece.name not in ("targets", "class_weights")]
        if labels.binary or outputs == 1:
            value, counts = _column(labels, spec, data)
        else:
            value, counts = _rows(labels, outputs, spec, data, mistakes)
        given = labels.piece.value
        if labels.piece.of_batch and value is not None and isinstance(given, np.ndarray):
            value = value.reshape(*given.shape[:2], -1)
            counts = None if counts is None else counts.reshape(given.shape[:2])
        pieces = [*others, labels.piece._replace(value=value)]
    if spec["loss_steps"] != "last":
        return Counted(pieces, counts)
    steps = _steps(pieces)
    return Counted(
        [_at_the_end(p, steps) if p.name == "targets" else p for p in pieces],
        None if counts is None else _last(counts, steps, counts.ndim - 1),
    )


def _steps(pieces: Sequence[Piece]) -> int:
    value = next(piece.value for piece in pieces if piece.name == "inputs")
    if isinstance(value, Draw):
        return value.steps or 1
    if value is None or not value.shape:
        return 1
    return int(value.shape[1] if value.ndim == 3 else value.shape[0])


def _at_the_end(targets: Piece, steps: int) -> Piece:
    """A single row, or one a sequence, as that of every step: the last alone counts, wherever a
    sequence or a sweep ends."""
    value = targets.value
    if not isinstance(value, np.ndarray) or value.ndim == 0:
        return targets
    return targets._replace(value=_last(value, steps, 1 if targets.of_batch else 0))


def _last(value: Array, steps: int, time: int) -> Array:
    return np.repeat(value, steps, axis=time) if value.shape[time] == 1 else value


def _column(
    labels: Labels, spec: Mapping[str, Any], data: Mapping[str, Any]
) -> tuple[Array | None, Array | None]:
    """Numbers as they are, one output; those that ``ignore_index`` names do not count."""
    column = labels.values[:, np.newaxis].copy()
    if "ignore_index" not in data:
        return column, None
    ignored = labels.values == spec["ignore_index"]
    column[ignored] = 0.0
    return column, np.where(ignored, 0.0, 1.0)


def _rows(
    labels: Labels,
    outputs: int | None,
    spec: Mapping[str, Any],
    data: Mapping[str, Any],
    mistakes: Mistakes,
) -> tuple[Array | None, Array | None]:
    if outputs is None:  # which is noted
        return None, None
    each = _class_weights(labels.class_weights, mistakes)
    if each is None:
        each = np.ones(outputs)
    ignored = labels.values == spec["ignore_index"]
    wrong = (labels.values != np.floor(labels.values)) | (labels.values < 0)
    wrong = (wrong | (labels.values >= outputs)) & ~ignored
    if wrong.any() or len(each) != outputs:
        _note(labels, wrong, outputs, spec, data, mistakes)
        return None, None
    classes = np.where(ignored, 0, labels.values).astype(np.int64)
    counts = np.where(ignored, 0.0, each[classes])
    if not counts.any():
        words = "no label counts: each is ignore_index, or of a class of weight 0"
        mistakes.add(("targets",), words)
    rows = np.zeros((len(classes), outputs))
    rows[np.arange(len(classes)), classes] = counts
    return rows, counts


def _class_weights(piece: Piece | None, mistakes: Mistakes) -> Array | None:
    if piece is None or not isinstance(piece.value, np.ndarray) or piece.value.ndim != 1:
        return None
    negative = np.flatnonzero(piece.value < 0)
    if negative.size:
        at = int(negative[0])
        words = f"the weight of class {at} is {piece.value[at]:g}, must be at least 0"
        mistakes.add(piece.path, f"class_weights: {words}")
    return piece.value


def _note(
    labels: Labels, wrong: Array, outputs: int, spec: Mapping[str, Any], data: Mapping[str, Any],
    mistakes: Mistakes,
) -> None:  # fmt: skip
    rows = np.flatnonzero(wrong)
    if not rows.size:  # the number of class_weights, which is noted
        return
    row = int(rows[0])
    value = labels.values[row]
    more = f" (and {counted(len(rows) - 1, 'more label')})" if len(rows) > 1 else ""
    ignored = spec["ignore_index"]
    at: Steps = (row,)
    which = f"label of step {row + 1}" if len(labels.values) > 1 else "label"
    words = f"the {which} is {value:.15g}"
    if labels.piece.of_batch and isinstance(labels.piece.value, np.ndarray):
        k, t = divmod(row, labels.piece.value.shape[1])
        words = f"the label of step {t + 1} of sequence {k + 1} is {value:.15g}"
        at = (k, t) if spec["batch"] == "first" else (t, k)
        at = (k,) if labels.piece.value.shape[1] == 1 else at
    if value != np.floor(value):
        must = "must be a whole number: a class"
    else:
        must = f"must be a class from 0 to {outputs - 1}, or ignore_index, {ignored}"
    written = isinstance(data["targets"], list)
    path: Steps = ("targets", *at) if written else ("targets",)
    mistakes.add(path, f"{words}, {must}{more}")
