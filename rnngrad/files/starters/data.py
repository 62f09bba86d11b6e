"""A user's arrays beside a model's file -> the lines of a spec for them, and what is assumed.

Shapes tell most of it: I numbers a step or whole numbers with an embedding, rows or labels, one
target a step or one for the last step, and with one target a sequence also which axis of a batch
counts the sequences. What they leave open is assumed, and said.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from rnngrad.errors import UsageError
from rnngrad.files.arrays.numpy_files import FileError, FileKeyError, Numbers
from rnngrad.files.arrays.readers import File, load_array
from rnngrad.files.text import counted, listed, sides

IGNORED = -100
"""PyTorch's label of what does not count."""


class Given(NamedTuple):
    """One of the user's arrays, and its path as the spec has it."""

    array: Numbers
    path: str
    shown: str

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the array."""
        return tuple(self.array.shape)

    @property
    def integers(self) -> bool:
        """Whether its numbers are whole."""
        a = self.array
        return bool(a.size and a.dtype.kind in "iuf" and np.all(a == np.floor(a)))

    @property
    def whole(self) -> bool:
        """Whether they are and not negative, but for PyTorch's −100."""
        return self.integers and bool(np.all((self.array >= 0) | (self.array == IGNORED)))


class Table(NamedTuple):
    """An embedding of the model's file: its key as YAML and its shape (V, I)."""

    file: str
    key: str
    shape: tuple[int, int]


class Sizes(NamedTuple):
    """What the net takes and gives: I, O, and the embeddings that fit."""

    inputs: int
    outputs: int
    tables: tuple[Table, ...] = ()


class Filled(NamedTuple):
    """The lines of inputs, targets and loss, the output activation they need, and the assumptions
    in words. ``upstream``: ∂L/∂h_t is among them, so that there is no read-out."""

    lines: list[str]
    output: str | None
    assumed: list[str]
    upstream: bool = False


class Axes(NamedTuple):
    """``batch``: first, second or None; ``last``: one target for the last step; ``labels``."""

    batch: str | None
    last: bool
    labels: bool


def given(path: Path, seen: str) -> Given:
    """The array of a file; UsageError where it cannot be read."""
    try:
        array = load_array(File(path.name), path.parent)
    except (FileError, FileKeyError) as error:
        raise UsageError(str(error)) from None
    if array.ndim == 2 and array.shape[1] == 1 and path.suffix.lower() == ".csv":
        array = array[:, 0]
    return Given(array, seen, str(path))


def filled(
    inputs: Given, targets: Given | None, sizes: Sizes, upstream: Given | None = None
) -> Filled:
    """What a spec says of these arrays; UsageError where they do not fit the net. ``upstream``:
    ∂L/∂h_t in place of targets; the net's outputs are then its h_t."""
    assumed: list[str] = []
    ids = _are_ids(inputs, sizes)
    rank = 1 if ids else 2
    many = inputs.array.ndim - rank
    if many not in (0, 1):
        raise UsageError(f"{inputs.shown} is {sides(inputs.shape)}; {_takes(sizes)}")
    steps = inputs.shape[:1] if not many else inputs.shape[:2]
    axes = Axes(None, False, False)
    if targets is not None:
        axes = _axes(inputs, targets, steps, sizes, assumed)
    elif many:
        axes = Axes("first", False, False)
    if many:
        _batch_words(inputs, axes, steps, targets, assumed)
    lines = [_inputs(inputs, sizes, ids, assumed)]
    lines += [f"batch: {axes.batch}"] if axes.batch else []
    if many and axes.labels and not axes.last and targets is not None:
        lines += _lengths(inputs, targets, axes, assumed)
    if upstream is not None:
        wanted = (*steps, sizes.outputs)
        if upstream.shape != wanted:
            words = (
                f"{upstream.shown} is {sides(upstream.shape)}, must be {'×'.join(map(str, wanted))}"
            )
            raise UsageError(f"{words}: a row a step of the {sizes.outputs} numbers of ∂L/∂h_t")
        lines.append(f"upstream: {{file: {upstream.path}}}")
    if targets is None:
        return Filled(lines, None, assumed, upstream is not None)
    more, output = _loss(targets, axes, sizes, assumed)
    return Filled([*lines, f"targets: {{file: {targets.path}}}", *more], output, assumed)


def _are_ids(inputs: Given, sizes: Sizes) -> bool:
    """Whether these are token ids: whole, with an embedding to look them up in. What is as wide as
    rows is ids where its type is an integer's, and an embedding has them all."""
    if not sizes.tables or not inputs.whole or inputs.array.ndim > 2:
        return False
    if inputs.array.ndim == 1 or inputs.shape[1] != sizes.inputs:
        return True
    highest = max(rows for rows, _ in (table.shape for table in sizes.tables))
    return inputs.array.dtype.kind in "iu" and int(inputs.array.max()) < highest


def _takes(sizes: Sizes) -> str:
    rows = f"the net takes {counted(sizes.inputs, 'number')} a step: (T, {sizes.inputs})"
    batch = f", or (B, T, {sizes.inputs}) or (T, B, {sizes.inputs}) of a batch"
    return rows + batch + (", or T token ids" if sizes.tables else "")


def _inputs(inputs: Given, sizes: Sizes, ids: bool, assumed: list[str]) -> str:
    if not ids:
        width = inputs.shape[-1]
        if width != sizes.inputs:
            raise UsageError(f"{inputs.shown} is {sides(inputs.shape)}; {_takes(sizes)}")
        return f"inputs: {{file: {inputs.path}}}"
    highest = int(inputs.array.max())
    fitting = [table for table in sizes.tables if highest < table.shape[0]]
    if not fitting:
        rows = listed(f"{table.key} has {table.shape[0]}" for table in sizes.tables)
        words = f"{inputs.shown} holds the token id {highest}, but of rows {rows}"
        raise UsageError(words)
    table = fitting[0]
    assumed.append(f"{inputs.shown} holds token ids, rows of {table.key}")
    where = f"{{file: {table.file}, key: {table.key}}}"
    return f"inputs: {{file: {inputs.path}, embedding: {where}}}"


def _axes(
    inputs: Given, targets: Given, steps: tuple[int, ...], sizes: Sizes, assumed: list[str]
) -> Axes:
    """What the shapes of the targets, beside those of the inputs, tell."""
    shape, rows = targets.shape, sizes.outputs
    if len(steps) == 1:
        (T,) = steps
        ways = {
            (T, rows): Axes(None, False, False), (1, rows): Axes(None, True, False),
            (T,): Axes(None, False, rows > 1), (1,): Axes(None, True, rows > 1),
            (): Axes(None, True, rows > 1), (T, 1): Axes(None, False, rows > 1),
        }  # fmt: skip
    else:
        a, b = steps
        ways = {(b, rows): Axes("second", True, False), (b,): Axes("second", True, rows > 1)}
        ways |= {(a, rows): Axes("first", True, False), (a,): Axes("first", True, rows > 1)}
        if (a, b) not in ways or targets.integers:
            ways[a, b] = Axes("first", False, rows > 1)
        ways[a, b, rows] = Axes("first", False, False)
    found = ways.get(shape)
    if found is None or (found.labels and not targets.integers):
        fits = listed(("×".join(map(str, way)) for way in ways if way), "or", limit=120)
        what = "rows of the net's outputs, or labels" if rows > 1 else "one number a step"
        words = f"{targets.shown} is {sides(targets.shape)}, must be {fits}: {what}"
        raise UsageError(words)
    if found.labels:
        _check_labels(targets, rows)
        assumed.append(f"{targets.shown} holds labels, classes from 0 to {rows - 1}")
    return found


def _check_labels(targets: Given, classes: int) -> None:
    """UsageError for a label that no output has, with its place."""
    a = targets.array
    wrong = np.argwhere((a >= classes) | ((a < 0) & (a != IGNORED)))
    if len(wrong):
        first, *rest = (int(i) for i in wrong[0])
        place = "".join([f"row {first}", *(f", place {i}" for i in rest if a.shape[1:] != (1,))])
        value = int(a[tuple(wrong[0])])
        words = (
            f"{targets.shown} holds the label {value} in {place}; classes are 0 to {classes - 1}"
        )
        raise UsageError(f"{words}, and {IGNORED} does not count (rows and places from 0)")


def _batch_words(
    inputs: Given, axes: Axes, steps: tuple[int, ...], targets: Given | None, assumed: list[str]
) -> None:
    a, b = steps
    told = targets is not None and axes.last and a != b
    sequences, length = (a, b) if axes.batch == "first" else (b, a)
    words = f"{counted(sequences, 'sequence')} of {counted(length, 'step')}"
    if told:
        assumed.append(f"batch: {axes.batch}, {words}, since there is one target for each of them")
    else:
        assumed.append(f"batch: first, {words}; if the axes are the other way, write batch: second")


def _lengths(inputs: Given, targets: Given, axes: Axes, assumed: list[str]) -> list[str]:
    """``lengths``, where each sequence's inputs are 0 from just the step on from which its labels
    do not count."""
    there = inputs.array != 0
    there = there.any(axis=2) if there.ndim == 3 else there
    counts = targets.array.reshape(there.shape) != IGNORED
    if axes.batch == "second":
        there, counts = there.T, counts.T
    steps = np.arange(1, there.shape[1] + 1)
    ends = [np.max(steps * one, axis=1) for one in (there, counts)]
    if not np.array_equal(*ends) or ends[0].min() == 0 or ends[0].min() == len(steps):
        return []
    shown = ", ".join(map(str, ends[0]))
    assumed.append(
        f"lengths from {inputs.shown} and {targets.shown}: inputs are 0 and labels {IGNORED} from "
        "one step on; delete lengths if a bidirectional net reads this padding"
    )
    return [f"lengths: [{shown}]"]


def _loss(
    targets: Given, axes: Axes, sizes: Sizes, assumed: list[str]
) -> tuple[list[str], str | None]:
    """The lines of the loss, and the output activation that it needs."""
    binary = sizes.outputs == 1 and targets.whole and bool(np.all(targets.array <= 1))
    if axes.labels:
        loss, output, like = "cross_entropy", "softmax", "CrossEntropyLoss"
    elif binary:
        loss, output, like = "binary_cross_entropy", "sigmoid", "BCEWithLogitsLoss"
    else:
        loss, output, like = "mean_squared_error", None, "MSELoss"
    assumed.append(f"the loss is PyTorch's {like}, a mean")
    if axes.batch and axes.labels:  # of labels that are ignored sequences may have several
        reduction = ["loss_reduction: sum", "batch_reduction: mean_of_steps"]
    else:
        reduction = ["loss_reduction: mean", *(["batch_reduction: mean"] if axes.batch else [])]
    lines = [f"loss: {loss}", *reduction]
    if axes.last:
        assumed.append("one target: the loss is that of the last step")
        lines.append("loss_steps: last")
    return lines, output
