"""Derivatives on the grading nets against the complex step through a cut graph."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import rnngrad
from oracles import cut_graph
from rnngrad.analyses.grading.nets import Nets, nets
from rnngrad.analyses.grading.tangents import tangent
from rnngrad.net.problem import Problem

STEPS = 3
TOPS = [(head, t) for head in ("a", "h", "o", "y", "L") for t in range(1, STEPS + 1)] + [("L", 0)]
PARAMETERS = [(name, 0) for name in ("W_xh", "W_hh", "b_h", "W_hy", "b_y", "h")]
BOTTOMS = [*TOPS[:-1], *PARAMETERS, *(("x", t) for t in range(1, STEPS + 1))]


@pytest.fixture(scope="module")
def problem() -> Problem:
    return rnngrad.load(
        {
            "activation": "sigmoid",
            "output_activation": "sigmoid",
            "weights": {"W_xh": 1, "W_hh": 1, "W_hy": 1},
            "inputs": [0] * STEPS,
            "targets": [0] * STEPS,
        }
    )


@pytest.fixture(scope="module")
def sample(problem: Problem) -> Nets:
    return nets(problem, 3, STEPS, (1, 1, 1), start=True)


def leaves(sample: Nets, one: int) -> dict[tuple[str, int], complex]:
    wanted = ("W_xh", "W_hh", "b_h", "W_hy", "b_y", "x", "target")
    values = {k: float(v[one].ravel()[0]) for k, v in sample.values.items() if k[0] in wanted}
    return {**values, ("h", 0): float(sample.values["h", 0][one, 0])}


@pytest.mark.parametrize("top", TOPS, ids=str)
def test_any_derivative(sample: Nets, top: tuple[str, int]) -> None:
    for bottom in BOTTOMS:
        found = tangent(sample, top, bottom).reshape(sample.count)
        for one in range(sample.count):
            right = cut_graph.derivative(leaves(sample, one), STEPS, top, bottom)
            np.testing.assert_allclose(
                found[one], right, rtol=1e-12, atol=1e-25, err_msg=f"by {bottom}"
            )


@pytest.mark.parametrize(("head", "weight"), list(itertools.product("ah", ["W_xh", "W_hh", "b_h"])))
@pytest.mark.parametrize("t", [1, 2, 3])
def test_immediate(sample: Nets, head: str, weight: str, t: int) -> None:
    found = tangent(sample, (head, t), (weight, 0), immediate=True).reshape(sample.count)
    for one in range(sample.count):
        right = cut_graph.derivative(
            leaves(sample, one), STEPS, (head, t), (weight, 0), immediate=True
        )
        np.testing.assert_allclose(found[one], right, rtol=1e-12)


def test_the_nets_are_in_general_position(sample: Nets) -> None:
    values = np.concatenate(
        [v.ravel() for k, v in sample.values.items() if k[0] in ("x", "target")]
    )
    assert len(np.unique(values)) == len(values)
    gaps = np.abs(values[:, None] - values[None, :])[np.triu_indices(len(values), 1)]
    assert len(np.unique(np.round(gaps, 9))) == len(gaps)


def test_the_longest_path_is_not_lost() -> None:
    """Thirty steps back, the factor of a path is within a few orders of magnitude of 1."""
    steps = 30
    spec = {
        "activation": "sigmoid",
        "weights": {"W_xh": 1, "W_hh": 1, "W_hy": 1},
        "inputs": [0] * steps,
        "targets": [0] * steps,
    }
    sample = nets(rnngrad.load(spec), 20, steps, (1, 1, 1), start=False)
    assert np.max(np.abs(tangent(sample, ("h", steps), ("h", 1)))) > 1e-6
