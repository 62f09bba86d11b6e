"""The loss over two parameters: where it is a cliff.

Source: Pascanu, Mikolov, Bengio, *On the difficulty of training recurrent neural networks*, ICML
(2013), figure 6: the error surface of a net of one unit.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from math import inf, isfinite
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from rnngrad.arithmetic.arrays import Array, frozen, quietly
from rnngrad.errors import UsageError, did_you_mean
from rnngrad.net.forward import forward_within
from rnngrad.net.problem import Problem
from rnngrad.progress import reported

MOST, LEAST = 61, 9
"""Points on a side of the map."""

AFFORDABLE = 5e9
"""Points times T·(numbers of all weights + 20,000): some ten seconds."""

FORM = "--cliff takes two parameters, such as W_hh[0,0],b_h[0], each with a range if you like: "\
    "W_hh[0,0]=1:7"  # fmt: skip


class Parameter(NamedTuple):
    """One number of the net, as written, and the range in which it is moved, if one was given."""

    written: str
    name: str
    entry: tuple[int, ...]
    low: float | None = None
    high: float | None = None


class Cliff(NamedTuple):
    """log10 of the loss, (n, n), row j at ``y[j]``, column i at ``x[i]``; −inf where it is 0, nan
    where it is not finite. ``here``: the values that the net has. ``jump``: the largest change
    between neighbours, in decades, and where it is."""

    x: Array
    y: Array
    log10: Array
    here: tuple[float, float]
    jump: float
    at: tuple[float, float]


_ONE = re.compile(
    r"\s*(?P<name>[^\[\]=,\s]+)\s*(?:\[(?P<index>[^\]]*)\])?\s*"
    r"(?:=(?P<low>[^:,\[\]]+):(?P<high>[^:,\[\]]+))?\s*(?:,|$)"
)


def parameters(text: str) -> tuple[Parameter, Parameter]:
    """``W_hh[0,0]=1:7,b_h[0]`` as two parameters; UsageError for anything else."""
    found, at = [], 0
    while at < len(text):
        match = _ONE.match(text, at)
        if match is None or match.end() == at:
            raise UsageError(f"--cliff {text}: {FORM}")
        found.append(_parameter(match, text))
        at = match.end()
    if len(found) != 2:
        raise UsageError(f"--cliff {text}: {FORM}")
    return found[0], found[1]


def _parameter(match: re.Match[str], text: str) -> Parameter:
    written = match["name"] + (f"[{match['index']}]" if match["index"] is not None else "")
    try:
        index = tuple(int(i) for i in match["index"].split(",")) if match["index"] else ()
        ends = [None if match[end] is None else float(match[end]) for end in ("low", "high")]
    except ValueError:
        raise UsageError(f"--cliff {text}: {FORM}") from None
    low, high = ends
    if low is not None and high is not None and not (isfinite(low) and isfinite(high - low)
                                                      and low < high):  # fmt: skip
        raise UsageError(f"--cliff {written}: the range {low:g}:{high:g} must go upwards")
    return Parameter(written, match["name"], index, low, high)


def check_exists(problem: Problem, wanted: Sequence[Parameter]) -> None:
    """UsageError for a parameter, or an entry of one, that the net does not have; or for a loss
    that is not known."""
    if wanted and problem.upstream:
        raise UsageError(f"--cliff: '{problem.name}' has upstream gradients, but no loss")
    for one in wanted:
        if one.name not in problem.weights:
            hint = did_you_mean(one.name, problem.weights)
            known = hint or f"; they are {', '.join(problem.weights)}"
            raise UsageError(f"--cliff {one.written}: no parameter is called '{one.name}'{known}")
        shape = problem.weights[one.name].shape
        if not _inside(one.entry, shape):
            last = ",".join(str(n - 1) for n in shape)
            raise UsageError(
                f"--cliff {one.written}: the entries of {one.name} are "
                f"{one.name}[{','.join('0' * len(shape))}] to {one.name}[{last}]"
            )
    if len({(one.name, one.entry) for one in wanted}) < len(wanted):
        raise UsageError(f"--cliff: {wanted[0].written} stands twice; give two parameters")


def lacking(problem: Problem, wanted: Sequence[Parameter]) -> str:
    """Why a net is not in the picture beside others that are; empty where it is."""
    for one in wanted:
        of = problem.weights.get(one.name)
        if of is None or not _inside(one.entry, of.shape):
            return f"'{problem.name}' has no {one.written}"
    return ""


def _inside(entry: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    return len(entry) == len(shape) and all(0 <= i < n for i, n in zip(entry, shape, strict=True))


def cliff(problem: Problem, wanted: tuple[Parameter, Parameter]) -> Cliff:
    """The loss of the net with the two parameters moved; there must be a loss."""
    check_exists(problem, wanted)
    weights = sum(W.size for W in problem.weights.values())
    side = int(np.sqrt(AFFORDABLE / (problem.steps * (weights + 2e4))))
    side = min(max(side, LEAST), MOST)
    here = [float(problem.weights[one.name][one.entry]) for one in wanted]
    x, y = (_places(one, value, side) for one, value in zip(wanted, here, strict=True))
    log10 = np.empty((side, side))
    with quietly():
        for j in reported(range(side), side, "the cliff"):
            log10[j] = [_log10_loss(problem, wanted, (float(at), float(y[j]))) for at in x]
        jump, at = _steepest(x, y, log10)
    return Cliff(x, y, log10, (here[0], here[1]), jump, at)


def _places(one: Parameter, value: float, side: int) -> Array:
    """Evenly spaced over its range; without one, over as much again on both sides of its value."""
    reach = 1.5 * max(1.0, abs(value))
    low = value - reach if one.low is None else one.low
    high = value + reach if one.high is None else one.high
    return np.linspace(low, high, side)


def _log10_loss(
    problem: Problem, wanted: Sequence[Parameter], values: tuple[float, float]
) -> float:
    weights = dict(problem.weights)
    for one, value in zip(wanted, values, strict=True):
        moved = weights[one.name].copy()
        moved[one.entry] = value
        weights[one.name] = frozen(moved)
    loss = forward_within(replace(problem, weights=MappingProxyType(weights))).loss
    return float(np.log10(loss)) if isfinite(loss) else float("nan")


def _steepest(x: Array, y: Array, log10: Array) -> tuple[float, tuple[float, float]]:
    """The largest |change| from one point to the next, and the middle between them."""
    best, place = -inf, (float("nan"), float("nan"))
    for axis in (0, 1):
        change = np.abs(np.diff(log10, axis=axis))
        change = np.where(np.isfinite(change), change, -inf)
        j, i = np.unravel_index(np.argmax(change), change.shape)
        if change[j, i] > best:
            best = float(change[j, i])
            across = (x[i] + x[i + 1]) / 2 if axis else x[i]
            up = y[j] if axis else (y[j] + y[j + 1]) / 2
            place = float(across), float(up)
    return best, place
