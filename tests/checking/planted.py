"""Nets for the checks, and mistakes to plant in their gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from oracles import nets
from oracles.plain import Net
from rnngrad.analyses.derivation.quantities import Passes, Quantities
from rnngrad.arithmetic.scaled import Scaled
from rnngrad.chains.jacobians import PulledBack, pulled_back
from rnngrad.net.problem import Problem

NAME = "planted"

Paths = Callable[[], Iterator[PulledBack]]


def net(steps: int = 5, hidden: int = 3, norm: float = 0.9, activation: str = "tanh") -> Net:
    """A net with a loss at every step and ‖W_hh‖₂ = ``norm``."""
    drawn = nets.drawn_net(
        np.random.default_rng([11, steps, hidden]),
        steps=steps, sizes=(hidden, 2, 2), functions=(activation, "identity", "squared_error"),
        scale=0.7, readout=True, start=True, mean=False,
    )  # fmt: skip
    W_hh = drawn["W_hh"] / np.linalg.norm(drawn["W_hh"], 2) * norm
    return drawn | {"W_hh": W_hh, "loss_weights": np.ones(steps)}


def problem(**options: Any) -> Problem:
    """That net as a problem."""
    return nets.problem_of(net(**options))


def right(of: Problem) -> dict[str, np.ndarray]:
    """rnngrad's own quantities as plain arrays."""
    own = Quantities(of)
    return {name: np.array(own[name]) for name in own}


def paths(of: Problem) -> Paths:
    """rnngrad's own paths."""
    passes = Passes(of)
    return lambda: pulled_back(of, passes.forward, passes.direct)


def nudged_paths(of: Problem, which: str, k: int, t: int, factor: float) -> Paths:
    """∂L_t/∂h_k (``at_s``) or ∂L_t/∂a_k (``at``) with all its entries times ``factor``."""

    def nudged(reached: PulledBack) -> PulledBack:
        if reached.k != k:
            return reached
        rows: Scaled = reached.at_s if which == "at_s" else reached.at[0]["a.h"]
        mantissa = rows.mantissa.copy()
        mantissa[reached.steps == t] *= factor
        moved = Scaled(mantissa, rows.exponent)
        if which == "at_s":
            return reached._replace(rows=moved)
        return reached._replace(at=({**reached.at[0], "a.h": moved},))

    return lambda: (nudged(reached) for reached in paths(of)())


def truncated(of: Problem, reach: int) -> dict[str, np.ndarray]:
    """BPTT that follows each loss through ``reach`` steps at most."""
    q = right(of)
    totals = {name: np.zeros_like(q[name]) for name in ("dL_dh", "dL_dx", "dL_dW_hh", "dL_dW_xh")}
    for t in range(1, of.steps + 1):
        row = q["dLt_dht"][t - 1]
        for k in range(t, max(0, t - reach), -1):
            at_a = q["dht_db_h"][k - 1] * row
            totals["dL_dh"][k] += row
            totals["dL_dx"][k - 1] += at_a @ of.weights["W_xh"]
            totals["dL_dW_hh"] += np.outer(at_a, q["h"][k - 1])
            totals["dL_dW_xh"] += np.outer(at_a, of.x[k - 1])
            row = at_a @ of.weights["W_hh"]
    return totals


def with_slope(of: Problem, slope: Callable[[np.ndarray], np.ndarray]) -> Problem:
    """The problem with a wrong entry in its table of activations, under a name of its own: walks
    know the slope of tanh from its value."""
    return replace(of, activation=of.activation._replace(name=NAME, slope=slope))
