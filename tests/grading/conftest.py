"""The sheet's net as a problem, and graders on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import rnngrad
from rnngrad.analyses.grading.grade import Grade, Grader
from rnngrad.net.problem import Problem

ROOT = Path(__file__).parents[2]
SHEET = ROOT / "sample_configs" / "exercise_sheet_7.yaml"
ANSWERS = ROOT / "sample_configs" / "answers" / "exercise_sheet_7.yaml"


def scalar_net(steps: int = 3, **others: Any) -> Problem:
    """The sheet's net with so many steps; ``others`` are keys of the spec."""
    spec = {
        "activation": "sigmoid",
        "output_activation": "sigmoid",
        "weights": {"W_xh": 0.5, "W_hh": 0.8, "b_h": 0.1, "W_hy": 1.2, "b_y": -0.3},
        "inputs": [[1.0 - 0.3 * t] for t in range(steps)],
        "targets": [[0.9 - 0.2 * t] for t in range(steps)],
    }
    return rnngrad.load({**spec, **others})


@pytest.fixture(scope="session")
def net() -> Callable[..., Problem]:
    """``net(steps, **keys)`` -> Problem"""
    return scalar_net


@pytest.fixture(scope="session")
def sheet() -> Grader:
    """A grader on the sheet's own net."""
    return Grader(rnngrad.load(SHEET))


@pytest.fixture(scope="session")
def graded(sheet: Grader) -> Callable[[str, Any], Grade]:
    """``graded("a1", formula)`` -> Grade, on the sheet's net."""
    return sheet.one
