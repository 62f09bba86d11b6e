"""Random nets of any cell that comes with rnngrad, in which every letter has a size of its own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from rnngrad.arithmetic.functions import ACTIVATIONS
from rnngrad.cells import CELLS
from rnngrad.net.cells import lengths, multiple, stacked
from rnngrad.net.losses import LOSSES
from rnngrad.net.outputs import OUTPUTS
from rnngrad.net.problem import Problem

SIZES = {"H": 3, "P": 2, "N": 4, "Q": 2, "F": 4}


def any_net(name: str, layers: int = 1, steps: int = 3, seed: int = 0) -> Problem:
    """A net with a read-out; every letter has a size of its own."""
    cell, rng = CELLS[name], np.random.default_rng(seed)
    shapes = stacked(cell, layers)
    first = cell.letters[0]
    letters = {multiple(letter)[1] for shape in shapes.values() for letter in shape}
    tied = cell.input_letter == first
    letters |= {letter if layers == 1 or (tied and letter == first) else f"{letter}.{at}"
                for letter in cell.letters for at in range(layers)}  # fmt: skip
    sizes = {letter: _size(letter) for letter in letters}
    sizes["I"] = sizes.get(cell.input_letter, 2) if tied else 2
    weights = {n: rng.normal(0, 0.6, lengths(shape, sizes)) for n, shape in shapes.items()}
    top = sizes[f"{first}.{layers - 1}"] if f"{first}.{layers - 1}" in sizes else sizes[first]
    total = sum(sizes.get(f"{first}.{at}", sizes.get(first, 0)) for at in range(layers))
    weights |= {"W_hy": rng.normal(size=(2, top)), "b_y": rng.normal(size=2)}
    net = Problem(
        name, cell, ACTIVATIONS["tanh"], OUTPUTS["identity"],
        {n: np.asarray(w) for n, w in weights.items()}, rng.normal(size=(steps, sizes["I"])),
        np.zeros(total), LOSSES["squared_error"], rng.normal(size=(steps, 2)), np.ones(steps),
    )  # fmt: skip
    h_0, *others = (0.4 + rng.normal(0, 0.4, parts.stop) for parts in net.layers[-1].parts)
    return replace(net, h_0=h_0, starts=dict(zip(cell.parts[1:], others, strict=True)))


def _size(letter: str) -> int:
    head, _, at = letter.partition(".")
    return SIZES.get(head, 3) + (int(at) if at and head == "H" else 0)
