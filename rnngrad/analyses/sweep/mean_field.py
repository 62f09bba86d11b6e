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

from rnngrad.arithmetic.arrays import Array, quietly
from rnngrad.arithmetic.functions import Activation
from rnngrad.net.problem import Problem

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
    """Whether W_hh looks like independent normal numbers around 0, and its gain."""
    W = problem.weights["W_hh"]
    with quietly():
        pushed = problem.x @ problem.weights["W_xh"].T + problem.weights["b_h"]
        drive, deviation = float(np.mean(pushed**2)), float(np.sqrt(np.mean(W**2)))
        gain = deviation * math.sqrt(problem.hidden)
        if problem.hidden < 50:
            return Ensemble(gain, drive, f"H = {problem.hidden} units are too few for a mean field")
        if not deviation:
            return Ensemble(gain, drive, "W_hh is 0")
        return Ensemble(gain, drive, _not_normal(W / deviation))


def _not_normal(W: Array) -> str:
    """Why W, of mean square 1, is not of independent normal numbers; empty where it may be.

    Five statistics with their values for normal numbers and their standard errors, N = H. A random
    orthogonal matrix has normal entries too, but they depend on one another; that shows in

        m = tr((W Wᵀ)²) / N³ = (2 + 1/N)/(1 + 2/N²) ± 2/N        (1 if all singular values are one)
        s = tr(W W) / N²     = 1/N ± √2/N                        (±1 if W = ±Wᵀ)

    E tr((W Wᵀ)²) = 2N³ + N² and E (tr W Wᵀ)² = N⁴ + 2N² are Wishart's moments, and m does not
    depend on tr W Wᵀ; its variance to leading order is (36 − 2·4·8 + 16·2)/N². Five errors count.
    """
    N = len(W)
    spread = np.sum((W @ W.T) ** 2) / N**3
    statistics = {
        "its numbers are not around 0": np.mean(W) * N,
        "its numbers are skewed": np.mean(W**3) * N / math.sqrt(15),
        "its numbers are not normal": (np.mean(W**4) - 3) * N / math.sqrt(96),
        f"its singular values are {'more alike' if spread < 2 else 'further apart'}": (
            (spread - (2 + 1 / N) / (1 + 2 / N**2)) * N / 2
        ),
        "it is nearly its own transpose, but for a sign": (
            (np.sum(W * W.T) / N**2 - 1 / N) * N / math.sqrt(2)
        ),
    }
    for what, errors in statistics.items():
        if not abs(errors) < 5:
            return f"W_hh does not look like independent normal numbers: {what}"
    return ""


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
