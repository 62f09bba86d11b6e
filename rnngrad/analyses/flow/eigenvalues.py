"""The eigenvalues of W_hh and of the one-step Jacobians along the sequence.

Inside the unit circle a step shrinks what lies along its eigenvector. Of the product of the
Jacobians they say nothing: a matrix that is not normal grows before it decays.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rnngrad.analyses.derivation.derive import Derivation
from rnngrad.arithmetic.arrays import Integers, Numbers, quietly
from rnngrad.chains.jacobians import scaled_jacobians

STEPS = 24
"""So many Jacobians at most."""

AFFORDABLE = 2e9
"""S³ for each of them, up to which there are as many: a few seconds."""


class Eigenvalues(NamedTuple):
    """``W_hh`` (H,) of one layer of rnn, else None; ``jacobians`` (n, S) of ∂s_t/∂s_{t−1} for t in
    ``steps`` (n,): those that are finite."""

    W_hh: Numbers | None
    steps: Integers
    jacobians: Numbers


def eigenvalues(result: Derivation) -> Eigenvalues:
    """Of W_hh, and of some Jacobians spread over the sequence."""
    problem = result.problem
    count = int(np.clip(AFFORDABLE / problem.state_size**3, 1, min(STEPS, problem.steps)))
    steps = np.unique(np.linspace(1, problem.steps, count).round().astype(np.int64))
    with quietly():
        jacobians = scaled_jacobians(problem, result.passes.forward, steps.tolist())
        found = [one.floats() for one in jacobians]
        fine = np.array([bool(np.isfinite(one).all()) for one in found])
        kept = [np.linalg.eigvals(one) for one, good in zip(found, fine, strict=True) if good]
        W = problem.weights["W_hh"] if problem.single_rnn else None
        own = None if W is None or not np.isfinite(W).all() else np.linalg.eigvals(W)
    return Eigenvalues(own, steps[fine], np.array(kept).reshape(len(kept), problem.state_size))
