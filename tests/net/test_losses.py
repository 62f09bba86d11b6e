"""Losses and their derivatives against mpmath, at outputs that have saturated."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from oracles.compare import row_errors
from oracles.jacobian_products import MP, exact, floats, loss_slope, output_jacobian
from oracles.plain import activate, step_loss
from rnngrad.net.losses import LOSSES, slope
from rnngrad.net.outputs import OUTPUTS

PRE_ACTIVATIONS = {
    "mild": [0.3, -1.2, 2.0],
    "saturated": [40.0, -35.0, 20.0],
    "far": [300.0, -200.0, 0.5],
    "other far": [-300.0, 200.0, 650.0],
}
TARGETS = {"hard": [1.0, 0.0, 0.0], "other hard": [0.0, 0.0, 1.0], "soft": [0.2, 0.5, 0.3]}
FUSED = [name for name, record in LOSSES.items() if record.fused is not None]
CASES = list(product(PRE_ACTIVATIONS, TARGETS))


def _exactly(name: str, a: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, ...]:
    """ℓ, ∂ℓ/∂y and ∂ℓ/∂a of one step in mpmath."""
    output = LOSSES[name].needs or "sigmoid"
    a, target = exact(a), exact(target)
    y = activate(output, a, MP)
    dl_dy = loss_slope(name, target, y, a)
    value = step_loss(name, target, y, a, MP)
    return floats([value]), floats(dl_dy), floats(dl_dy @ output_jacobian(output, a, y))


def _arrays(name: str, far: str, kind: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    a, target = np.array([PRE_ACTIVATIONS[far]]), np.array([TARGETS[kind]])
    return a, target, OUTPUTS[LOSSES[name].needs or "sigmoid"].g(a)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize(("far", "kind"), CASES)
def test_value(name: str, far: str, kind: str) -> None:
    a, target, y = _arrays(name, far, kind)
    expected, _, _ = _exactly(name, a[0], target[0])
    np.testing.assert_allclose(LOSSES[name].value(target, y, a), expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize(("far", "kind"), CASES)
def test_gradient_in_y(name: str, far: str, kind: str) -> None:
    a, target, y = _arrays(name, far, kind)
    _, expected, _ = _exactly(name, a[0], target[0])
    with np.errstate(all="ignore"):
        got = slope(LOSSES[name], OUTPUTS[LOSSES[name].needs or "identity"], target, y, a)
    assert row_errors("dL_dy", got, expected[np.newaxis]) < 1e-12


@pytest.mark.parametrize("name", FUSED)
@pytest.mark.parametrize(("far", "kind"), CASES)
def test_fused_gradient_in_a(name: str, far: str, kind: str) -> None:
    a, target, _ = _arrays(name, far, kind)
    _, _, expected = _exactly(name, a[0], target[0])
    fused = LOSSES[name].fused
    assert fused is not None
    with np.errstate(under="ignore"):
        got = fused(target, a)[0]
    if kind == "soft":  # y and target may nearly cancel
        assert row_errors("dL_da", got[np.newaxis], expected[np.newaxis]) < 1e-12
    else:
        np.testing.assert_allclose(got, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", FUSED)
def test_an_output_that_underflowed_does_no_harm(name: str) -> None:
    a, target = np.array([[-2000.0, 2000.0]]), np.array([[1.0, 0.0]])
    fused = LOSSES[name].fused
    assert fused is not None
    with np.errstate(all="ignore"):
        y = OUTPUTS[LOSSES[name].needs or ""].g(a)
        assert np.isfinite(LOSSES[name].value(target, y, a)).all()
        np.testing.assert_allclose(fused(target, a), [[-1.0, 1.0]], rtol=1e-15)
