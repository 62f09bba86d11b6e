"""How wrong a derivative by differences is, step size by step size, beside the complex step.

    central       (L(θ + hd) − L(θ − hd)) / 2h     error c h² + rounding / h: a V
    one-sided     (L(θ + hd) − L(θ)) / h           error c h + rounding / h
    complex step  Im L(θ + ihd) / h                error c h², and no rounding to lose digits in

d is the unit vector along ∂L/∂θ, θ all parameters together, so what is looked for is ‖∂L/∂θ‖ of
back-propagation. Source: Squire, Trapp, *Using complex variables to estimate derivatives of real
functions*, SIAM Review 40 (1998).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from rnngrad.analyses.derivation.quantities import Passes
from rnngrad.arithmetic.arrays import Array, Numbers, norm_of, quietly
from rnngrad.net.forward import forward_within
from rnngrad.net.problem import Problem
from rnngrad.progress import reported

STEPS = 10.0 ** -np.arange(1.0, 16.5, 0.5)
"""Those of differences; complex steps go on to 1e-30."""


class StepErrors(NamedTuple):
    """|estimate − ‖∂L/∂θ‖| / ‖∂L/∂θ‖ for each step size, (n,) each; nan where the loss is not
    finite."""

    steps: Array
    central: Array
    one_sided: Array
    complex_steps: Array
    by_complex_step: Array


def step_errors(problem: Problem) -> StepErrors | None:
    """None where there is no gradient to compare with: no loss, or one that is 0 or not finite."""
    if problem.loss is None:
        return None
    passes = Passes(problem)
    norm = norm_of(passes.backward.weights)
    if not np.isfinite(norm) or norm == 0.0:
        return None
    direction = {name: G / norm for name, G in passes.backward.weights.items()}

    def loss(size: complex) -> complex:
        return _loss(problem, direction, size)

    with quietly():
        start = loss(0.0).real
        central, one_sided = [], []
        for h in reported(STEPS.tolist(), len(STEPS), "errors by step"):
            ahead, behind = loss(h).real, loss(-h).real
            central.append((ahead - behind) / (2 * h))
            one_sided.append((ahead - start) / h)
        sizes = 10.0 ** -np.arange(1.0, 30.5)
        by_complex_step = [loss(1j * h).imag / h for h in sizes]
    errors = (np.abs(np.array(found) - norm) / norm
              for found in (central, one_sided, by_complex_step))  # fmt: skip
    first, second, third = errors
    return StepErrors(STEPS, first, second, sizes, third)


def _loss(problem: Problem, direction: Mapping[str, Array], size: complex) -> complex:
    """L(θ + size · d)"""
    step = size if size.imag else size.real
    moved: dict[str, Numbers] = {
        name: W + step * direction[name] if name in direction else W
        for name, W in problem.weights.items()
    }
    trace = forward_within(replace(problem, weights=MappingProxyType(moved)))
    return complex(np.add.reduce(trace.losses))
