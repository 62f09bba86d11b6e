"""A dense layer before the recurrent one: x'_t = φ(W_in x_t + b_in).

The recurrent net's x is x' then, and all that is said of the recurrence is of x'. From ∂L/∂x'_t,
as back-propagation through time has it,

    ∂L/∂a_t  = φ'(a_t) ∘ ∂L/∂x'_t,   a_t = W_in x_t + b_in
    ∂L/∂W_in = Σ_t ∂L/∂a_t ⊗ x_t,   ∂L/∂b_in = Σ_t ∂L/∂a_t,   ∂L/∂x_t = ∂L/∂a_t · W_in
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from rnngrad.arithmetic.arrays import Array, Numbers, frozen, quietly
from rnngrad.net.problem import Dense, Problem


class DenseGradients(NamedTuple):
    """∂L/∂W_in (D, I), ∂L/∂b_in (D,) and ∂L/∂x (T, I)."""

    W_in: Array
    b_in: Array
    x: Array


def behind(problem: Problem, dense: Dense) -> Problem:
    """The problem with x' of the dense layer as its inputs."""
    with quietly():
        x: Numbers = dense.activation.f(pre_activations(dense))
    return replace(problem, dense=dense, x=x if x.dtype.kind == "c" else frozen(x))


def pre_activations(dense: Dense) -> Numbers:
    """W_in x_t + b_in, (T, D)."""
    found: Numbers = dense.x @ dense.W.T + dense.b
    return found


def pulled_back(dense: Dense, dL_dx: Array) -> DenseGradients:
    """What follows from ∂L/∂x'_t, (T, D)."""
    with quietly():
        slopes = dense.activation.slope(pre_activations(dense))
        dL_da = np.where(dL_dx == 0, 0.0, slopes * dL_dx)
        return DenseGradients(
            dL_da.T @ dense.x[: len(dL_da)], np.add.reduce(dL_da), dL_da @ dense.W
        )
