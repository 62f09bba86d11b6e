"""Quantities that are computed when ``--quantity`` or ``result[name]`` asks for them by name, and
are in no list otherwise: ∂L/∂a_t of the gates, ∂L/∂W step by step, the parts of the gradient flow.

Whatever the net, they are exact: what the report takes from a sample is computed whole here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from rnngrad.analyses.derivation.gates import pre_activations
from rnngrad.analyses.derivation.notation import Notation
from rnngrad.analyses.derivation.quantities import (
    Passes,
    Quantity,
    dL_dx_of,
)
from rnngrad.analyses.flow.chain import chain_shape, omega_terms
from rnngrad.analyses.flow.horizons import UNITS, lag_profile, lags_of_every_loss
from rnngrad.analyses.flow.stability import growth_rate
from rnngrad.arithmetic.arrays import Array, norm_of
from rnngrad.chains import jacobians
from rnngrad.chains.lags import Lags, kept_steps, lags
from rnngrad.exponents.lyapunov import lyapunov
from rnngrad.net.cells import READOUT, stacked
from rnngrad.net.problem import Problem
from rnngrad.net.step_gradients import by_step


def on_request(problem: Problem) -> dict[str, Quantity]:
    """name -> record. The one place to add one."""
    every = (*_gates(problem), *of_tokens(problem), *_terms(problem), *_of_the_flow(problem))
    return {record.name: record for record in every}


NORM = Quantity(
    "gradient_norm", (), "‖∂L/∂W‖", lambda passes: np.array(norm_of(passes.backward.weights)),
    None, needs_loss=True, fixed=(),
)  # fmt: skip
"""‖∂L/∂W‖ of all parameters together, what clipping by norm looks at: c clips it to
min(1, c / ‖∂L/∂W‖) of itself (Pascanu, Mikolov, Bengio, ICML (2013), section 3.2)."""


def _gates(problem: Problem) -> Iterator[Quantity]:
    """∂L/∂a_t, a_t the arguments of the gates' functions, gate by gate as W_xh has its rows (other
    cells in the order of their equations), the layers one after the other."""
    keys = pre_activations(problem.cell)
    if not keys:
        return
    letters = [problem.cell.step.sizes[key] for key in keys]
    width = sum(layer.sizes[letter] for layer in problem.layers for letter in letters)

    def compute(passes: Passes) -> Array:
        at = [layer[key] for layer in passes.backward.at for key in keys]
        return np.concatenate(at, axis=1)

    yield Quantity(
        "dL_da", ("T", "gates"), "∂L/∂a_t", compute, needs_loss=True, fixed=(problem.steps, width)
    )


def of_tokens(problem: Problem) -> Iterator[Quantity]:
    """∂L/∂E of the embedding whose rows are the inputs, (V, I): ∂L/∂x_t added to the row of x_t."""
    tokens = problem.tokens
    if tokens is None:
        return

    def compute(passes: Passes) -> Array:
        own = passes.problem.tokens
        assert own is not None
        return own.added(dL_dx_of(passes))

    yield Quantity(
        "dL_dembedding", ("V", "I"), "∂L/∂E", compute, None, needs_loss=True,
        fixed=(tokens.rows, problem.inputs if problem.dense is None else problem.dense.x.shape[1]),
    )  # fmt: skip


def _terms(problem: Problem) -> Iterator[Quantity]:
    """The terms of ∂L/∂W of every parameter, in a stack ``dL_dW_hh_by_step.0``, …"""
    shapes = {**stacked(problem.cell, problem.depth), **(READOUT if problem.has_readout else {})}
    for name in shapes:
        if name not in problem.weights:
            continue
        own, _, layer = name.partition(".")
        at = None if name in READOUT else int(layer or 0)
        yield Quantity(
            f"dL_d{own}_by_step{'.' if layer else ''}{layer}",
            ("T", *shapes[name]),
            f"term t of ∂L/∂{name}",
            partial(_by_step, name=own, at=at),
            needs_loss=True,
            fixed=(problem.steps, *problem.weights[name].shape),
        )


def _by_step(passes: Passes, name: str, at: int | None) -> Array:
    return by_step(passes.problem, passes.forward, passes.backward, name, at)


def _of_the_flow(problem: Problem) -> Iterator[Quantity]:
    s, steps = Notation(problem).state, problem.steps
    loss = problem.loss is not None

    by_lag = f"‖∂L_t/∂{s}_{{t−d}}‖/‖∂L_t/∂{s}_t‖, median" if loss else f"‖∂{s}_T/∂{s}_{{T−d}}‖"

    def one(
        name: str, symbol: str, compute: Callable[[Passes], Array], *shape: int,
        first_step: int | None = None, axis: str = "", of_loss: bool = False,
        columns: tuple[str, ...] = (),
    ) -> Quantity:  # fmt: skip
        dims = tuple(map(str, shape))
        return Quantity(
            name, dims, symbol, compute, first_step, of_loss, fixed=shape, axis=axis,
            columns=columns,
        )  # fmt: skip

    yield one("growth_rate", f"(1/T) ln ‖∂{s}_T/∂{s}_0‖", _growth_rate)
    yield one("lyapunov_exponents", "λ_i", _exponents, problem.state_size)
    yield one("log10_step_norms", f"log10 ‖∂{s}_t/∂{s}_{{t−1}}‖", _step_norms, steps, first_step=1)
    yield one("log10_condition", f"log10 σ_max/σ_min of ∂{s}_T/∂{s}_k",
              lambda p: chain_shape(p).log10_condition, steps + 1, first_step=0, axis="k",
              )  # fmt: skip
    yield one("participation", f"(Σσ²)²/Σσ⁴ of ∂{s}_T/∂{s}_k",
              lambda p: chain_shape(p).participation, steps + 1, first_step=0, axis="k",
              )  # fmt: skip
    yield one("lag_profile", f"log10 {by_lag}", _lag_profile, steps + 1, axis="lag")
    yield one("horizon", "the lag from which on L_t is lost", _horizons, steps, len(UNITS),
              first_step=1, of_loss=True, columns=tuple(UNITS))  # fmt: skip
    yield one("omega", "Ω_t", omega_terms, steps, first_step=1, of_loss=True)
    yield NORM
    if problem.cell.scaled:
        yield one("shares", "share of ∂L/∂W_hh", lambda p: _lags(p).shares, steps,
                  of_loss=True, axis="lag")  # fmt: skip
        yield one("truncation", "∂L/∂W_hh from so many steps of each loss", _truncation,
                  len(kept_steps(steps)), 3, of_loss=True,
                  columns=("steps", "rel_error", "cosine"))  # fmt: skip


def _growth_rate(passes: Passes) -> Array:
    return np.array(growth_rate(float(passes.chain[0]), passes.problem.steps))


def _step_norms(passes: Passes) -> Array:
    return jacobians.log10_step_norms(passes.problem, passes.forward)


def _exponents(passes: Passes) -> Array:
    return lyapunov(passes.problem, passes.forward).exponents


def _paths(passes: Passes) -> Array:
    return jacobians.log10_paths(passes.problem, passes.forward, passes.direct)


def _lag_profile(passes: Passes) -> Array:
    if passes.problem.loss is None:
        return passes.chain[::-1].copy()
    return lag_profile(_paths(passes))


def _horizons(passes: Passes) -> Array:
    return lags_of_every_loss(_paths(passes))


def _lags(passes: Passes) -> Lags:
    found = lags(passes.problem, passes.forward, passes.backward)
    assert found is not None
    return found


def _truncation(passes: Passes) -> Array:
    return np.column_stack(_lags(passes).truncation)
