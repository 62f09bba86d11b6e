"""Batches of any net, drawn from a seed: the same net with other sequences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from rnngrad.net.batch import Batch
from rnngrad.net.problem import Problem


def batch_of(problem: Problem, lengths: Sequence[int], seed: int = 0, mean: bool = False) -> Batch:
    """Sequences of these lengths, of at most the problem's steps, and starts of their own."""
    rng = np.random.default_rng([seed, 9])
    share = 1.0 / len(lengths) if mean else 1.0
    sequences = []
    for steps in lengths:
        assert problem.targets is not None
        sequences.append(
            replace(
                problem,
                x=rng.normal(size=(steps, problem.inputs)),
                h_0=0.3 * rng.normal(size=problem.hidden),
                targets=rng.normal(size=(steps, problem.outputs)),
                loss_weights=share * np.ones(steps),
            )
        )
    return Batch(tuple(sequences), reduction="mean" if mean else "sum")
