"""Any formula is graded, never a fault: random trees on scalar, vector and softmax nets."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rnngrad
from grading.conftest import scalar_net
from grading.test_grammar import TREES
from rnngrad.algebra.expressions import Node
from rnngrad.algebra.writing import written
from rnngrad.analyses.grading.grade import Grader

NORMAL = {"init": "normal"}
VECTORS: dict[str, Any] = {
    "weights": {"W_xh": NORMAL, "W_hh": NORMAL, "W_hy": NORMAL},
    "sizes": {"inputs": 2, "hidden": 2, "outputs": 2},
    "inputs": {"random": "normal", "steps": 3},
    "targets": {"random": "normal"},
}
SOFTMAX = {"output_activation": "softmax", "loss": "cross_entropy", "targets": [[1, 0]] * 3}
NO_LOSS = {key: value for key, value in VECTORS.items() if key != "targets"}


@pytest.fixture(scope="module")
def graders() -> list[Grader]:
    return [
        Grader(scalar_net()),
        Grader(scalar_net(activation="relu", h_0=0.5), hide=True),
        Grader(rnngrad.load(VECTORS)),
        Grader(rnngrad.load({**VECTORS, **SOFTMAX})),
        Grader(rnngrad.load(NO_LOSS)),
    ]


@given(st.data(), TREES, st.sampled_from(["", "{} = ", "-({}) + "]))
def test_any_tree_is_graded(
    graders: list[Grader], data: st.DataObject, tree: Node, around: str
) -> None:
    grader = graders[data.draw(st.integers(0, len(graders) - 1))]
    text = around.format(written(tree)) + written(tree)
    for name in grader.tasks:
        grade = grader.one(name, text)
        assert 0 <= grade.points <= 5
        assert grade.hint or grade.points == 5
        assert isinstance(grade.points, float)
