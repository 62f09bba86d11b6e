"""A fresh exercise: a net with numbers that can be typed, drawn from a seed, as a spec.

Every number has one or two digits. A draw is taken if no derivative that the sheet asks for is 0,
too small or too large to be written: a dead relu or a saturated sigmoid is no exercise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator

from rnngrad.arithmetic.arrays import Array, quietly
from rnngrad.cells import Shipped, shipped
from rnngrad.errors import UsageError
from rnngrad.files.arrays.drawing import generator
from rnngrad.files.specification.loading import load
from rnngrad.files.starters.cell import flow
from rnngrad.net.backward import bptt_within
from rnngrad.net.batch import one_sequence
from rnngrad.net.cells import multiple
from rnngrad.net.forward import forward_within

LARGEST = 16
"""Of a size."""

MOST_STEPS = 200
"""As many as are graded."""

LEAST, MOST = 1e-3, 100.0
"""Between these lies the norm of every derivative that is asked for."""

DRAWS = 400
STEPS = (2, 3, 3, 4)
ACTIVATIONS = ("sigmoid", "tanh", "tanh", "softplus", "relu")
OUTPUTS = (
    ("sigmoid", "squared_error"),
    ("identity", "squared_error"),
    ("tanh", "squared_error"),
    ("sigmoid", "binary_cross_entropy"),
    ("identity", "mean_squared_error"),
    ("softmax", "cross_entropy"),
)


class Sizes(NamedTuple):
    """What was asked for; None: drawn."""

    steps: int | None = None
    inputs: int | None = None
    hidden: int | None = None
    outputs: int | None = None


def exercise(seed: int, sizes: Sizes = Sizes(), cell: str = "rnn") -> str:  # noqa: B008
    """The text of the spec. Raises UsageError for a size that is out of range."""
    for name, value in sizes._asdict().items():
        most = MOST_STEPS if name == "steps" else LARGEST
        if value is not None and not 1 <= value <= most:
            raise UsageError(f"--{name} {value}: an exercise has 1 to {most}")
    stream = generator(seed, "exercise")
    for _ in range(DRAWS):
        spec = _drawn(stream, sizes, shipped(cell), cell)
        if _asks_something(spec):
            return "\n".join(_text(spec, seed, _command(seed, sizes, cell))) + "\n"
    raise UsageError(
        f"--seed {seed}: no draw of {DRAWS} has derivatives that can be written; try fewer steps"
    )


def _drawn(stream: Generator, asked: Sizes, found: Shipped, name: str) -> dict[str, Any]:
    """A spec as a mapping."""
    scalar = bool(stream.integers(2))
    drawn = Sizes(
        _one_of(stream, STEPS), *(1 if scalar else _one_of(stream, (1, 2, 2, 3)) for _ in range(3))
    )
    sizes = Sizes(*(b if a is None else a for a, b in zip(asked, drawn, strict=True)))
    steps, inputs, hidden, outputs = (int(size or 1) for size in sizes)
    activation = _one_of(stream, ACTIVATIONS)
    output, loss = _one_of(stream, [pair for pair in OUTPUTS if _fits(pair[1], outputs)])
    letters = {**found.sizes, "I": inputs, "H": hidden, "O": outputs}
    shapes = {**found.cell.parameters, "W_hy": ("O", found.cell.letters[0]), "b_y": ("O",)}
    weights: dict[str, Any] = {}
    for key, shape in shapes.items():
        size = [count * letters.get(letter, 2) for count, letter in map(multiple, shape)]
        weights[key] = found.start.get(key) or _numbers(stream, size, 15)
    parts = zip(found.cell.parts, found.cell.letters, strict=True)
    return {
        "cell": name,
        **({"activation": activation} if found.cell.activation is None else {}),
        "output_activation": output,
        "loss": loss,
        "weights": weights,
        **{f"{part}_0": _numbers(stream, [letters.get(x, 2)], 9) for part, x in parts},
        "inputs": _numbers(stream, [steps, letters[found.cell.input_letter]], 20),
        "targets": _targets(stream, loss, steps, outputs),
    }


def _one_of(stream: Generator, values: Sequence[Any]) -> Any:
    return values[int(stream.integers(len(values)))]


def _fits(loss: str, outputs: int) -> bool:
    """Some losses say something of several outputs alone, one of a single one."""
    several = loss in ("mean_squared_error", "cross_entropy")
    return outputs > 1 if several else True


def _numbers(stream: Generator, shape: Sequence[int], most: int) -> Array:
    """Tenths from 0.1 to most/10, either sign: never 0."""
    sign = 1 - 2 * stream.integers(2, size=tuple(shape))
    tenths = stream.integers(1, most + 1, size=tuple(shape))
    return np.asarray(sign * tenths / 10.0)


def _targets(stream: Generator, loss: str, steps: int, outputs: int) -> Array:
    if loss == "cross_entropy":
        return np.eye(outputs)[stream.integers(outputs, size=steps)]
    if loss == "binary_cross_entropy":
        return stream.integers(2, size=(steps, outputs)).astype(np.float64)
    return np.asarray(stream.integers(1, 10, size=(steps, outputs)) / 10.0)


def _asks_something(spec: Mapping[str, Any]) -> bool:
    """Whether every derivative that is asked for is neither 0 nor out of range."""
    problem = one_sequence(load(spec), "an exercise")
    with quietly():
        forward = forward_within(problem)
        backward = bptt_within(problem, forward)
    first, *others = backward.dL_ds.values()
    asked = [*backward.dL_dy, *backward.dLt_dht, *first[1:]]
    asked += [row for rows in others for row in rows[1:-1]]
    asked += [backward.weights[name] for name in problem.cell.weights]
    norms = [float(np.linalg.norm(one)) for one in asked]
    return all(LEAST <= norm <= MOST for norm in norms)


def _command(seed: int, asked: Sizes, cell: str) -> str:
    """What draws it again."""
    scalar = asked[1:] == (1, 1, 1)
    hidden = None if scalar else asked.hidden
    return "".join((
        f"rnngrad init --exercise --seed {seed}",
        "" if asked.steps is None else f" --steps {asked.steps}",
        "" if hidden is None else f" --hidden {hidden}",
        " --scalar" if scalar else "",
        "" if cell == "rnn" else f" --cell {cell}",
    ))  # fmt: skip


def _text(spec: Mapping[str, Any], seed: int, command: str) -> Iterator[str]:
    cell = spec["cell"]
    yield f"# An exercise, drawn from seed {seed}: {command}"
    yield "#   rnngrad derive THIS_FILE --blank -f latex --standalone -o questions.tex"
    yield "#   rnngrad derive THIS_FILE -f latex --standalone -o answers.tex"
    if cell == "rnn":
        yield "#   rnngrad grade THIS_FILE handed_in.yaml"
    yield ""
    yield f"name: exercise {seed}"
    yield f"cell: {cell}"
    for text in shipped(cell).mapping["equations"]:
        yield f"#   {text}"
    for key in ("activation", "output_activation", "loss"):
        yield from [f"{key}: {spec[key]}"] if key in spec else []
    yield ""
    yield "weights:"
    for name, value in spec["weights"].items():
        yield from _array(name, value, "  ")
    yield ""
    for name, value in spec.items():
        if name.endswith("_0"):
            yield from _array(name, value, "")
    yield from _array("inputs", spec["inputs"], "", sequence=True)
    yield from _array("targets", spec["targets"], "", sequence=True)


def _array(name: str, value: Any, indent: str, *, sequence: bool = False) -> Iterator[str]:
    """A number, a row, or rows one below the other; what the cell's paper prescribes as it is."""
    if isinstance(value, Mapping):
        yield f"{indent}{name}: {flow(value)}"
        return
    rows = np.asarray(value, dtype=np.float64)
    if rows.size == 1 and not sequence:
        yield f"{indent}{name}: {rows.ravel()[0]:g}"
    elif rows.ndim < 2 or (rows.shape[1] == 1 and sequence):
        yield f"{indent}{name}: {_in_line(rows.ravel())}"
    else:
        yield f"{indent}{name}:"
        yield from (f"{indent}  - {_in_line(row)}" for row in rows)


def _in_line(row: Array) -> str:
    return f"[{', '.join(f'{value:g}' for value in row)}]"
