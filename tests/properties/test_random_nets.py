"""Gradients, chains and verdicts of any net that a spec can describe, against independent ways.

300 nets each in CI; ``python .ci/random_nets.py`` draws 10,000 others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

import rnngrad
from oracles import any_cell
from properties import oracle
from properties.drawing import Drawn, nets, proved
from rnngrad.chains.jacobians import log10_chain
from rnngrad.net.batch import Batch
from rnngrad.net.forward import forward
from rnngrad.net.problem import Problem

RTOL = 1e-9
NOISE = 300.0
"""Times what a change of the last bit of every array does: what rounding may do on the way."""
UNDECIDED = 1e-3
"""A net that amplifies rounding beyond that says nothing."""


def _of_arrays(problem: Problem | Batch) -> oracle.Arrays:
    """The gradients of ``oracle.moving``'s arrays, in its order."""
    found = rnngrad.gradients(problem)
    got: oracle.Arrays = {}
    for name, value in oracle.moving(problem).items():
        gradient = np.asarray(found[name])
        if not isinstance(value, list):
            got[name] = gradient
            continue
        rows = gradient if isinstance(problem, Batch) else gradient[np.newaxis]
        cut = [row[: one.steps] for row, one in zip(rows, oracle.sequences(problem), strict=True)]
        got[name] = cut if name == "dL_dx" else [row[0] for row in rows]
    return got


def _rounded(problem: Problem | Batch, rng: np.random.Generator) -> Problem | Batch:
    """The same with the last bit of every weight, input and start changed, or not."""

    def moved(array: Any) -> Any:
        return array * (1 + 2.0**-52 * rng.integers(-1, 2, np.shape(array)))

    ones = oracle.sequences(problem)
    weights = {name: moved(W) for name, W in ones[0].weights.items()}
    changed = tuple(
        replace(one, weights=weights, x=moved(one.x), h_0=moved(one.h_0),
                starts={part: moved(s) for part, s in one.starts.items()})
        for one in ones
    )  # fmt: skip
    return replace(problem, sequences=changed) if isinstance(problem, Batch) else changed[0]


def miss(net: Drawn, seed: int = 0) -> tuple[float, float]:
    """The largest error of the gradient along two directions, and what rounding may account for;
    both relative to the sum of what is added up."""
    problem, rng = rnngrad.load(net.spec), np.random.default_rng(seed)
    with np.errstate(all="ignore"):
        got = _of_arrays(problem)
        near = [_of_arrays(_rounded(problem, rng)) for _ in range(2)]
        worst = noise = 0.0
        for _ in range(2):
            directions = oracle.drawn_directions(rng, got)
            value, size = oracle.along(got, directions)
            if not np.isfinite(size) or 0 < size < oracle.FAINT:  # a complex step underflows there
                return 0.0, np.inf
            right = oracle.slope(net.spec, problem, directions)
            moves = [abs(oracle.along(one, directions)[0] - value) for one in near]
            worst = max(worst, abs(value - right) / max(size, 1e-300))
            noise = max(noise, NOISE * max(moves) / max(size, 1e-300))
    return worst, noise


TALLY = {"nets": 0, "undecided": 0}


def gradients_against_a_complex_step(net: Drawn, seed: int) -> None:
    error, noise = miss(net, seed)
    TALLY["nets"] += 1
    TALLY["undecided"] += noise > UNDECIDED
    if RTOL + noise < error < UNDECIDED:  # z(1 − z) of a gate near 1 has lost its digits, say
        TALLY["undecided"] += 1
        # of a net with 1 − z of 1e-11 PyTorch agrees with rnngrad to 2e-14, this step to 2e-5
        assert rnngrad.check(rnngrad.load(net.spec))["verdict"] != "fail"
        return
    assert error <= RTOL + noise


def chains_against_explicit_products(net: Drawn) -> None:
    """log10 ‖∂s_T/∂s_k‖₂ from complex-step Jacobians, multiplied out with an exponent apart."""
    problem = rnngrad.load(net.spec)
    assert isinstance(problem, Problem)
    with np.errstate(all="ignore"):
        got = np.asarray(log10_chain(problem, forward(problem)))
        jacobians = any_cell.jacobians(problem)
    rng = np.random.default_rng(0)
    moved = jacobians * (1 + 2.0**-52 * rng.integers(-2, 3, jacobians.shape))
    right, other = _log10_norms(jacobians), _log10_norms(moved)
    finite = np.isfinite(right) & np.isfinite(other) & np.isfinite(got)
    with np.errstate(invalid="ignore"):
        noise = np.where(finite, NOISE * np.abs(right - other), np.inf)
    assert (np.abs(got[finite] - right[finite]) <= 1e-8 + noise[finite]).all()
    # what is no number on one side alone is an exact zero, or a Jacobian of rounding alone
    odd = ~finite & ~((got == right) | (np.isnan(got) & np.isnan(right)))
    assert (np.minimum(got, right)[odd] < -12).all()


def _log10_norms(jacobians: np.ndarray) -> np.ndarray:
    product, log10, found = np.eye(jacobians.shape[1]), 0.0, [0.0]
    with np.errstate(all="ignore"):
        for J in jacobians[::-1]:
            product = product @ J
            size = np.abs(product).max()
            if size > 0:
                product, log10 = product / size, log10 + np.log10(size)
            found.append(log10 + np.log10(np.linalg.norm(product, 2)))
    return np.array(found[::-1])


def check_never_calls_rnngrads_own_gradients_wrong(net: Drawn) -> None:
    found = rnngrad.check(rnngrad.load(net.spec))
    assert [one["name"] for one in found["quantities"] if one["verdict"] == "fail"] == []


PROPERTIES: dict[str, tuple[Any, ...]] = {
    "gradients": (1, gradients_against_a_complex_step, nets(), st.integers(0, 2**20)),
    "chains": (2, chains_against_explicit_products, nets(steps=st.integers(1, 40), batches=False)),
    "check": (
        10, check_never_calls_rnngrads_own_gradients_wrong, nets(steps=st.integers(1, 12)),
    ),
}  # fmt: skip
"""What must hold -> the share of the nets, the function, and what draws its arguments."""


@pytest.mark.parametrize("name", PROPERTIES)
def test_it_holds(name: str, record_property: Callable[[str, object], None]) -> None:
    share, *property_of = PROPERTIES[name]
    TALLY.update(nets=0, undecided=0)
    record_property("properties", proved(*property_of, share=share))
    assert TALLY["undecided"] <= 0.05 * TALLY["nets"]


# ---------------------------------------------------------------------------- it can go red


def _a_net() -> Drawn:
    rng = np.random.default_rng(1)
    spec = {
        "cell": "lstm", "loss": "squared_error", "output_activation": "identity",
        "loss_steps": "all", "loss_reduction": "sum",
        "weights": {"W_xh": rng.normal(size=(8, 3)), "W_hh": rng.normal(size=(8, 2)),
                    "W_hy": rng.normal(size=(1, 2)), "b_y": np.ones(1)},
        "inputs": rng.normal(size=(6, 3)), "targets": rng.normal(size=(6, 1)),
    }  # fmt: skip
    return Drawn(spec, rnngrad.load(spec).cell, {})


@pytest.mark.parametrize("name", ["W_xh", "W_hh", "b_h", "W_hy"])
def test_one_wrong_entry_shows(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A millionth of one entry of one gradient, and of the other directions nothing."""
    net, right = _a_net(), rnngrad.gradients

    def planted(problem: Problem) -> dict[str, Any]:
        found = dict(right(problem))
        wrong = np.array(found[f"dL_d{name}"])
        wrong.flat[0] += 1e-6 * np.abs(wrong).max()
        return {**found, f"dL_d{name}": wrong}

    error, noise = miss(net)
    assert error <= RTOL + noise
    monkeypatch.setattr(rnngrad, "gradients", planted)
    error, noise = miss(net)
    assert error > RTOL + noise
