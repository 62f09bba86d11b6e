"""Nets of any cell, drawn from a seed."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rnngrad.arithmetic.functions import ACTIVATIONS
from rnngrad.net.cells import Cell, lengths, multiple, stacked
from rnngrad.net.losses import LOSSES
from rnngrad.net.outputs import OUTPUTS
from rnngrad.net.problem import Problem


class Sizes(NamedTuple):
    """T, H and I."""

    steps: int
    hidden: int
    inputs: int


def drawn(
    cell: Cell, sizes: Sizes, scale: float = 0.5, seed: int = 0, biases: float = 1.0
) -> Problem:
    """One layer with normal weights; every letter but I is H."""
    rng = np.random.default_rng([seed, *sizes])
    inputs = sizes.inputs if cell.input_letter == "I" else sizes.hidden
    shapes = stacked(cell, 1)
    letters = {multiple(letter)[1] for shape in shapes.values() for letter in shape}
    numbers = {
        letter: inputs if letter == "I" else sizes.hidden for letter in {*letters, *cell.letters}
    }
    weights = {}
    for name, shape in shapes.items():
        size = scale * (biases if name[0] == "b" else 1.0)
        weights[name] = np.asarray(size * rng.normal(size=lengths(shape, numbers)))
    weights |= {"W_hy": rng.normal(size=(2, numbers[cell.letters[0]])), "b_y": rng.normal(size=2)}
    starts = {
        part: 0.5 * rng.normal(size=numbers[letter])
        for part, letter in zip(cell.parts, cell.letters, strict=True)
    }
    h_0 = starts.pop(cell.parts[0])
    return Problem("drawn", cell, ACTIVATIONS["tanh"], OUTPUTS["identity"], weights,
                   rng.normal(size=(sizes.steps, inputs)), h_0, LOSSES["squared_error"],
                   rng.normal(size=(sizes.steps, 2)), np.ones(sizes.steps),
                   starts=starts)  # fmt: skip
