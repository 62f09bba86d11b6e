"""Mean field theory of a net with independent normal weights, as its size goes to infinity.

    W_hh[i, j] ~ N(0, g²/N):   q = g² ⟨φ(√q z)²⟩ + v,   λ = ½ ln(g² ⟨φ'(√q z)²⟩),   z ~ N(0, 1)

q is the variance of a pre-activation, v the part of it that inputs and biases make. Without them
tanh's critical gain is g = 1. Finite N moves it: there W's own spectral radius takes g's place.
Sources: Sompolinsky, Crisanti, Sommers, Phys. Rev. Lett. 61 (1988); with inputs Molgedey,
Schuchhardt, Schuster, Phys. Rev. Lett. 69 (1992).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from rnngrad.core.activations import Activation
from rnngrad.core.arrays import Array, quietly
from rnngrad.core.problem import Problem

ITERATIONS = 1000
LARGEST = 1e12
"""A variance that passes it grows for ever: only linear and relu nets have such."""


class Ensemble(NamedTuple):
    """``gain``: √N times the standard deviation of W_hh; ``drive``: v; ``why_not``: empty, or why
    mean field has nothing to say about this net."""

    gain: float
    drive: float
    why_not: str


def ensemble(problem: Problem) -> Ensemble:
    """Whether W_hh looks like independent normal numbers around 0, by its moments, and its gain.

    Mean, skewness and kurtosis must lie within five standard errors of 0, 0 and 3.
    """
    W = problem.weights["W_hh"].ravel()
    with quietly():
        pushed = problem.x @ problem.weights["W_xh"].T + problem.weights["b_h"]
        drive, deviation = float(np.mean(pushed**2)), float(np.sqrt(np.mean(W**2)))
        standard = W / deviation
        errors = (
            np.mean(standard) * math.sqrt(W.size),
            np.mean(standard**3) * math.sqrt(W.size / 15),
            (np.mean(standard**4) - 3) * math.sqrt(W.size / 96),
        )
    gain = deviation * math.sqrt(problem.hidden)
    if problem.hidden < 50:
        return Ensemble(gain, drive, f"H = {problem.hidden} units are too few for a mean field")
    if not all(abs(error) < 5 for error in errors):
        return Ensemble(gain, drive, "W_hh does not look like independent normal numbers")
    return Ensemble(gain, drive, "")


def exponent(activation: Activation, gain: float, drive: float) -> float:
    """The largest Lyapunov exponent, natural log per step; −inf at gain 0."""
    z = np.linspace(-9.0, 9.0, 3000)
    density = np.exp(-(z**2) / 2)
    density /= density.sum()
    with quietly():
        a = math.sqrt(_variance(activation, gain, drive, z, density)) * z
        slopes = float(density @ activation.slope(a) ** 2)
        return 0.5 * float(np.log(gain**2 * slopes))


def _variance(activation: Activation, gain: float, drive: float, z: Array, density: Array) -> float:
    """The fixed point q, by iteration from above."""
    q = gain**2 + drive + 1.0
    for _ in range(ITERATIONS):
        after = gain**2 * float(density @ activation.f(math.sqrt(q) * z) ** 2) + drive
        if abs(after - q) <= 1e-12 * q or not after < LARGEST:
            return min(after, LARGEST)
        q = after
    return q
