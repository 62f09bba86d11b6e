"""Seeded random problems of one kind: same functions, other sizes, numbers and start."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

import numpy as np

from rnngrad.arithmetic.arrays import Array, frozen
from rnngrad.files.arrays.drawing import Draw, drawn, generator
from rnngrad.net.cells import lengths, letter_in, multiple, stacked
from rnngrad.net.problem import Problem

LARGEST_SIZE, LARGEST_STEPS = 4, 8
STD = 0.7


def variant(problem: Problem, seed: int) -> Problem:
    """A random problem like ``problem``: same cell, activations and loss, another net.

    Sizes from 1 to 4, T from 1 to 8 (but the spec's own T where ``loss_steps`` lists steps);
    weights normal with standard deviation 0.7, inputs, targets and h_0 with 1. Repeats with the
    seed.
    """
    sizes = _sizes(problem, seed)
    cell, depth = problem.cell, problem.depth
    top = sizes[letter_in(cell, cell.letters[0], depth - 1, depth)]
    shapes = stacked(cell, depth)
    shapes |= {"W_hy": ("O", "top"), "b_y": ("O",)} if problem.has_readout else {}
    sizes["top"] = top
    weights = {
        name: _normal(name, lengths(letters, sizes), STD, seed) for name, letters in shapes.items()
    }
    starts = {
        f"{part}_0": sum(sizes[letter_in(cell, letter, at, depth)] for at in range(depth))
        for part, letter in zip(cell.parts, cell.letters, strict=True)
    }
    drawn_starts = {name: _normal(name, (size,), 1.0, seed) for name, size in starts.items()}
    inputs = sizes[letter_in(cell, cell.input_letter, 0, depth)]
    steps, outputs = sizes["T"], sizes["O"] if problem.has_readout else top
    return replace(
        problem,
        name=f"random problem {seed}",
        weights=MappingProxyType(weights),
        x=_normal("inputs", (steps, inputs), 1.0, seed),
        h_0=drawn_starts[f"{cell.parts[0]}_0"],
        starts={part: drawn_starts[f"{part}_0"] for part in cell.parts[1:]},
        targets=None if problem.loss is None else _targets(problem, (steps, outputs), seed),
        loss_weights=_loss_weights(problem.loss_weights, steps),
        seed=seed,
        draw=None,
        lengthen=None,
        tokens=None,
    )


def _sizes(problem: Problem, seed: int) -> dict[str, int]:
    stream = generator(seed, "sizes")
    sizes = {letter: int(stream.integers(1, LARGEST_SIZE + 1)) for letter in "HIO"}
    if problem.depth > 1:
        below = [int(stream.integers(1, LARGEST_SIZE + 1)) for _ in range(problem.depth - 1)]
        sizes |= {f"H.{at}": size for at, size in enumerate([*below, sizes["H"]])}
    shapes = [*stacked(problem.cell, problem.depth).values()]
    shapes += [
        tuple(letter_in(problem.cell, letter, at, problem.depth) for letter in problem.cell.letters)
        for at in range(problem.depth)
    ]
    for letter in dict.fromkeys(multiple(n)[1] for shape in shapes for n in shape):
        if letter not in sizes:
            sizes[letter] = int(generator(seed, letter).integers(1, LARGEST_SIZE + 1))
    steps = int(stream.integers(1, LARGEST_STEPS + 1))
    return {**sizes, "T": problem.steps if _listed(problem.loss_weights) else steps}


def _listed(loss_weights: Array | None) -> bool:
    """Whether the steps that count are neither all nor the last alone."""
    if loss_weights is None:
        return False
    counting = np.flatnonzero(loss_weights)
    return len(counting) != len(loss_weights) and list(counting) != [len(loss_weights) - 1]


def _loss_weights(given: Array | None, steps: int) -> Array | None:
    """All steps or the last one, summed or averaged, as in the spec."""
    if given is None or _listed(given):
        return given
    counting = np.ones(steps)
    if len(given) > 1 and given[0] == 0:
        counting[:-1] = 0.0
    mean = len(np.flatnonzero(given)) > 1 and given[-1] < 1.0
    return frozen(counting / counting.sum() if mean else counting)


def _normal(name: str, shape: tuple[int, ...], std: float, seed: int) -> Array:
    return frozen(drawn(name, Draw("init", "normal", {"std": std}, shape), seed))


def _targets(problem: Problem, shape: tuple[int, int], seed: int) -> Array:
    """Classes where the loss wants them, else normal numbers."""
    kinds = {"sigmoid": "bernoulli", "softmax": "one_hot"}
    needs = problem.loss.needs if problem.loss is not None else None
    kind = kinds.get(needs or "", "normal")
    options = {"scale": 1.0} if kind == "normal" else {}
    return frozen(drawn("targets", Draw("random", kind, options, shape), seed))
