"""A problem as bytes, for another process or machine: its cell by its equations, other
records by name, its arrays, and how it is drawn again."""

from __future__ import annotations

import pickle
from types import MappingProxyType

from rnngrad.arithmetic.arrays import Array, frozen
from rnngrad.arithmetic.functions import ACTIVATIONS
from rnngrad.net.bidirectional import half_of
from rnngrad.net.losses import EVERY_LOSS
from rnngrad.net.outputs import OUTPUTS
from rnngrad.net.problem import Problem


def packed(problem: Problem) -> bytes:
    """A problem for another process; a half of a bidirectional net by way of the whole."""
    half = None
    if problem.half is not None:
        half, problem = problem.half[1:], problem.half.whole
    names = (
        problem.name,
        problem.activation.name,
        problem.output.name,
        None if problem.loss is None else problem.loss.name,
    )
    arrays = (problem.x, problem.h_0, problem.targets, problem.loss_weights)
    trained = problem.trained and problem.trained._replace(keys=dict(problem.trained.keys))
    others = (
        problem.cell,
        dict(problem.starts),
        problem.seed,
        problem.draw,
        problem.lengthen,
        trained,
        problem.tokens,
        problem.checkpoint,
    )
    return pickle.dumps((names, dict(problem.weights), arrays, others, half), protocol=5)


def unpacked(parcel: bytes) -> Problem:
    """The problem again; only what ``packed`` made in this very run is ever unpickled."""
    names, weights, arrays, others, half = pickle.loads(parcel)
    name, activation, output, loss = names
    x, h_0, targets, loss_weights = arrays
    cell, starts, seed, draw, lengthen, trained, tokens, checkpoint = others
    problem = Problem(
        name=name,
        cell=cell,
        activation=ACTIVATIONS[activation],
        output=OUTPUTS[output],
        weights=MappingProxyType({key: frozen(array) for key, array in weights.items()}),
        x=frozen(x),
        h_0=frozen(h_0),
        starts={part: frozen(start) for part, start in starts.items()},
        loss=None if loss is None else EVERY_LOSS[loss],
        targets=_again(targets),
        loss_weights=_again(loss_weights),
        seed=seed,
        draw=draw,
        lengthen=lengthen,
        tokens=tokens,
        checkpoint=checkpoint,
        trained=trained and trained._replace(keys=MappingProxyType(trained.keys)),
    )
    return problem if half is None else half_of(problem, *half)


def _again(array: Array | None) -> Array | None:
    return None if array is None else frozen(array)
