"""softmax and its derivatives where one output has taken nearly everything."""

from __future__ import annotations

import numpy as np
import pytest

from oracles import plain
from oracles.jacobian_products import MP, exact, floats, output_jacobian
from rnngrad.net.outputs import OUTPUTS, log_softmax, others_sum, softmax

LOGITS = {
    "even": [0.0, 0.0, 0.0],
    "mild": [0.3, -1.2, 2.0],
    "saturated": [20.0, 0.0, -3.0],
    "more": [300.0, 0.0, -300.0],
    "two of them": [150.0, 150.5, -200.0],
    "nearly underflowing": [690.0, 0.0, 5.0],
    "single": [3.0],
}


def _exact_softmax(a: np.ndarray) -> np.ndarray:
    return plain.activate("softmax", exact(a), MP)


@pytest.mark.parametrize("logits", LOGITS.values(), ids=LOGITS)
def test_softmax(logits: list[float]) -> None:
    a = np.array([logits])
    expected = floats(_exact_softmax(a[0]))
    np.testing.assert_allclose(softmax(a)[0], expected, rtol=1e-13, atol=0)


@pytest.mark.parametrize("logits", LOGITS.values(), ids=LOGITS)
def test_log_softmax_to_its_own_last_digits(logits: list[float]) -> None:
    """ln y of the winner is −Σ of the others, a small number with digits of its own."""
    expected = floats(plain.log_softmax(exact(np.array(logits)), MP))
    got = log_softmax(np.array([logits]))[0]
    np.testing.assert_allclose(got, expected, rtol=1e-13, atol=0)


@pytest.mark.parametrize("logits", LOGITS.values(), ids=LOGITS)
def test_softmax_jacobian_entry_by_entry(logits: list[float]) -> None:
    a = np.array([logits])
    expected = floats(output_jacobian("softmax", exact(a[0]), _exact_softmax(a[0])))
    with np.errstate(under="ignore"):
        got = OUTPUTS["softmax"].jacobian(a, softmax(a))[0]
    np.testing.assert_allclose(got, expected, rtol=1e-13, atol=0)


@pytest.mark.parametrize("logits", LOGITS.values(), ids=LOGITS)
def test_softmax_pull_back_row_by_row(logits: list[float]) -> None:
    """∂L/∂a = ∂L/∂y · ∂y/∂a, also where ∂L/∂a is 1e-17 of ∂L/∂y."""
    a = np.array([logits])
    dL_dy = np.array([[-0.7, 1.9, 0.4][: len(logits)]])
    jacobian = output_jacobian("softmax", exact(a[0]), _exact_softmax(a[0]))
    expected = floats(exact(dL_dy[0]) @ jacobian)
    with np.errstate(under="ignore"):
        got = OUTPUTS["softmax"].pull_back(a, softmax(a), dL_dy)[0]
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-12 * np.max(np.abs(expected)))


def test_others_sum_subtracts_nothing() -> None:
    y = np.array([[1.0, 1e-30, 3e-40], [1e-30, 1.0, 0.0]])
    expected = np.array([[1e-30 + 3e-40, 1.0, 1.0], [1.0, 1e-30, 1.0]])
    np.testing.assert_allclose(others_sum(y), expected, rtol=1e-15, atol=0)
    assert others_sum(np.array([[5.0]])).tolist() == [[0.0]]
