"""The unrolled net, a few steps of it: what each arrow lets through on the way back."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rnngrad.analyses.derivation.derive import Derivation
from rnngrad.analyses.flow.chain import dL_ds
from rnngrad.arithmetic.arrays import Array, quietly
from rnngrad.arithmetic.scaled import log10_lengths
from rnngrad.chains.jacobians import scaled_jacobians


class Sizes(NamedTuple):
    """Sizes of vectors or matrices as log10 of their norms, (n,); where each is a single number,
    ``signs`` has its sign, and zeros otherwise."""

    log10: Array
    signs: Array


class Window(NamedTuple):
    """The states s_``first`` … s_``last``: ∂s_t/∂s_{t−1} and ∂L_t/∂h_t for t = first + 1 … last,
    ∂L/∂s_t for t = first … last. Without a loss the last two are None."""

    first: int
    last: int
    jacobians: Sizes
    direct: Sizes | None
    whole: Sizes | None


def window(result: Derivation, step: int | None = None, most: int = 8) -> Window:
    """At most so many steps: the last ones, or those around ``step``."""
    problem = result.problem
    last = problem.steps if step is None else min(problem.steps, step + most // 2)
    first = max(0, last - most)
    last = min(problem.steps, first + most)
    steps = range(first + 1, last + 1)
    with quietly():
        log10 = result.log10_step_norms_at(steps)
        signs = np.zeros(len(steps))
        if problem.state_size == 1:
            jacobians = scaled_jacobians(problem, result.passes.forward, steps)
            signs = np.array([float(np.sign(one.mantissa[0, 0])) for one in jacobians])
        through = Sizes(np.array([log10[t] for t in steps]), signs)
        if problem.loss is None:
            return Window(first, last, through, None, None)
        direct = result.passes.direct[first:last]
        return Window(
            first, last, through,
            Sizes(log10_lengths(direct), _signs(result.passes.backward.dLt_dht[first:last])),
            _sizes(dL_ds(result.passes)[first : last + 1]),
        )  # fmt: skip


def _sizes(rows: Array) -> Sizes:
    largest = np.abs(rows).max(axis=1, keepdims=True)
    unit = np.where(largest > 0, rows / largest, 0.0)
    norms = np.log10(largest[:, 0]) + np.log10(np.linalg.norm(unit, axis=1))
    return Sizes(np.where(largest[:, 0] > 0, norms, np.log10(largest[:, 0])), _signs(rows))


def _signs(rows: Array) -> Array:
    return np.sign(rows[:, 0]) if rows.shape[1] == 1 else np.zeros(len(rows))
