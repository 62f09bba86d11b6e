"""What a row takes of a net's passes: how steep its units are, how large its gradients."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from rnngrad.analyses.quantities import Passes
from rnngrad.arithmetic.functions import ACTIVATIONS
from rnngrad.arithmetic.arrays import frobenius, quietly


CANDIDATES = ("h", "n", "g")
"""The gates that go through the cell's σ; the others go through the sigmoid."""


def mean_slope(net: Passes) -> float:
    """The mean of σ'(a_t) over units, gates and steps, σ each gate's own."""
    problem, sums = net.problem, 0.0
    with quietly():
        for layer in problem.layers:
            blocks = split(net.forward.a[:, layer.gates], len(problem.cell.gates))
            for gate, a in zip(problem.cell.gates, blocks, strict=True):
                f = problem.activation if gate in CANDIDATES else ACTIVATIONS["sigmoid"]
                sums += float(np.sum(f.slope(a)))
        return sums / net.forward.a.size


def gradient_norms(net: Passes) -> tuple[float | None, ...]:
    """Of W_xh, W_hh and the biases, each over all layers together, and of h_0."""
    back, cell = net.backward, net.problem.cell
    sizes = {name: frobenius(gradient) for name, gradient in back.weights.items()}
    groups = ({"W_xh"}, {"W_hh"}, set(cell.biases))
    of_weights = (
        math.hypot(*(size for name, size in sizes.items() if name.split(".")[0] in group))
        for group in groups
    )
    return tuple(map(finite, (*of_weights, frobenius(back.dL_dh[0]))))


def finite(value: float | np.floating[Any]) -> float | None:
    """The number, or None where it is none."""
    return float(value) if math.isfinite(value) else None
