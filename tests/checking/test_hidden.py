"""``--hide-expected``: no answer can be had by asking again and again, and no formula is shown."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

import rnngrad
from oracles import wrong_bptt
from oracles.nets import drawn_net, problem_of
from oracles.plain import Net
from rnngrad.analyses.checking.against import check_arrays
from rnngrad.analyses.checking.diagnosing.catalogue import CATALOGUE
from rnngrad.analyses.checking.document import document
from rnngrad.net.problem import Problem

PROBLEM = rnngrad.load(Path(__file__).parents[2] / "sample_configs" / "exercise_sheet_7.yaml")
RIGHT = dict(rnngrad.derive(PROBLEM))

FORMULA = ("∂", "=", "·", "Σ", "(a_", "diag", "(y_", "(17)")


def drawn(steps: int) -> Net:
    functions = ("tanh", "sigmoid", "squared_error")
    net = drawn_net(
        np.random.default_rng(5), steps=steps, sizes=(4, 3, 2), functions=functions, scale=0.5,
        readout=True, start=True, mean=False,
    )  # fmt: skip
    return net | {"loss_weights": np.ones(steps)}


def diagnoses(problem: Problem, arrays: Mapping[str, np.ndarray]) -> list[object]:
    hidden = document(check_arrays(problem, arrays), hide_expected=True)["quantities"]
    assert isinstance(hidden, list)
    return [quantity["diagnosis"] for quantity in hidden]


@pytest.mark.parametrize("factor", [-1.3, 0.2, 0.5123456789, 0.99, 1.1, 3.0])
def test_a_single_number_is_no_oracle_for_bisection(factor: float) -> None:
    """Below the right one, above it or of the other sign: all look the same."""
    name = "dL_dW_hh"
    assert diagnoses(PROBLEM, {name: RIGHT[name] * factor}) == [None]


@pytest.mark.parametrize("limit", [1e-3, 0.01, 0.02, 1.0, 3.0])
def test_a_constant_is_no_oracle_either(limit: float) -> None:
    """Every entry the same: clipped, wherever it lies below them all."""
    rows = RIGHT["dL_dh"].copy()
    (told,) = diagnoses(PROBLEM, {"dL_dh": np.sign(rows) * limit})
    assert isinstance(told, dict)
    assert (told["bug"], told["candidates"]) == (None, [])
    assert told["explanation"].startswith("no known mistake gives these numbers")
    both = {name: np.sign(RIGHT[name]) * limit for name in ("dL_dW_hh", "dL_db_h")}
    assert diagnoses(PROBLEM, both) == [None, None]


def test_what_several_entries_agree_on_is_named() -> None:
    net = drawn(9)
    right = wrong_bptt.gradients(wrong_bptt.right_plan(net))["dL_dW_hh"]
    limit = float(np.sort(np.abs(right).ravel())[-3])
    for bug, wrong in (("clipped", np.clip(right, -limit, limit)), ("scaled", 2.7 * right)):
        (told,) = diagnoses(problem_of(net), {"dL_dW_hh": wrong})
        assert isinstance(told, dict)
        assert told["bug"] == bug
        assert not {"limit", "factor"} & set(told)


@pytest.mark.parametrize("bug", [bug for bug in CATALOGUE if bug != "gate-order"])
def test_explanations_hold_no_formula(bug: str) -> None:
    net = drawn(6)
    rng = np.random.default_rng(0)
    wrong = wrong_bptt.MISTAKES[bug][0](wrong_bptt.right_plan(net), rng)
    for told in diagnoses(problem_of(net), wrong):
        if isinstance(told, dict):
            words = str(told["explanation"])
            assert words
            assert not [sign for sign in FORMULA if sign in words]
