"""At the ends of what floats hold: nothing right is called wrong, and what is known is right."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import rnngrad
from rnngrad.cells import CELLS

NORMAL = {"init": "normal"}


def constant(value: float) -> dict[str, Any]:
    return {"init": "constant", "value": value}


def net(cell: str = "rnn", weights: Any = None, **keys: Any) -> dict[str, Any]:
    """A net of three units and eight steps; ``weights`` takes the place of normal ones."""
    own: dict[str, Any] = dict.fromkeys(CELLS[cell].weights, NORMAL) | {"W_hy": NORMAL}
    return {
        "cell": cell,
        "weights": {**own, **(weights or {})},
        "sizes": {"inputs": 2, "hidden": 3, "outputs": 2},
        "inputs": {"random": "normal", "steps": 8},
        "targets": {"random": "normal"},
        **keys,
    }


def _biased(cell: str, value: float) -> dict[str, Any]:
    return net(cell, {name: constant(value) for name in CELLS[cell].biases})


ZERO = {"init": "zeros"}
PASS: dict[str, dict[str, Any]] = {
    "σ' underflows": net(activation="sigmoid", weights={"b_h": constant(800.0)}),
    "σ' underflows below": net(activation="sigmoid", weights={"b_h": constant(-800.0)}),
    "tanh' underflows": net(weights={"b_h": constant(400.0)}),
    "softsign far out": net(activation="softsign", weights={"b_h": constant(1e8)}),
    "W_hh = 0": net(weights={"W_hh": ZERO}),
    "all weights 0": net(weights={"W_xh": ZERO, "W_hh": ZERO, "W_hy": ZERO}),
    "infinite condition": net(weights={"W_hh": constant(1.0)}),
    "a of 1e308, tanh": net(weights={"b_h": constant(1e308)}),
    "a of −1e308, sigmoid": net(activation="sigmoid", weights={"b_h": constant(-1e308)}),
    "inputs of 1e308": net(inputs=[[1e308, 1e308]] * 4, targets=[[0, 0]] * 4),
    "W_hh of 1e308": net(weights={"W_hh": constant(1e308)}),
    "the smallest W_hh": net(weights={"W_hh": constant(5e-324)}),
    "W_hh without digits": net(weights={"W_hh": constant(1e-323)}),
    "one step": net(inputs={"random": "normal", "steps": 1}),
    "one unit": net(sizes={"inputs": 1, "hidden": 1, "outputs": 1}),
    "lstm, a of 1e308": _biased("lstm", 1e308),
    "gru, a of −1e308": _biased("gru", -1e308),
}
"""Nets that are proved right."""
UNDECIDED: dict[str, dict[str, Any]] = {
    "relu overflows": net(activation="relu", weights={"W_hh": constant(1e200)}),
    "a of 1e308, softplus": net(activation="softplus", weights={"b_h": constant(1e308)}),
    "a of 1e308, relu": net(activation="relu", weights={"b_h": constant(1e308)}),
    "a of 1e308, elu": net(activation="elu", weights={"b_h": constant(1e308)}),
    "a of 1.5e308, silu": net(activation="silu", weights={"b_h": constant(1.5e308)}, seed=1),
    "a of 1e308, identity": net(activation="identity", weights={"b_h": constant(1e308)}),
    "selu at −inf": net(activation="selu", weights={"W_hh": {"init": "normal", "std": 1e307}}),
    "targets of 1e308": net(targets=[[1e308, -1e308]] * 8),
}
"""Nets that overflow: of these nothing may be called wrong."""


@pytest.mark.cases(None)
@pytest.mark.parametrize("name", [*PASS, *UNDECIDED])
def test_nothing_right_is_called_wrong(name: str) -> None:
    problem = rnngrad.load({**PASS, **UNDECIDED}[name])
    found = rnngrad.check(problem)
    assert [one["name"] for one in found["quantities"] if one["verdict"] == "fail"] == []
    assert found["verdict"] in (("pass",) if name in PASS else ("pass", "inconclusive"))
    derived = rnngrad.derive(problem)
    assert all(derived[quantity] is not None for quantity in derived)


@pytest.mark.cases(None)
@pytest.mark.parametrize("name", PASS)
def test_what_is_wrong_there_is_called_wrong(name: str) -> None:
    """A gradient half as large again, of whatever parameter has one above the least floats."""
    problem = rnngrad.load(PASS[name])
    right = rnngrad.gradients(problem)
    wrong = {
        key: 1.5 * value
        for key, value in right.items()
        if key.startswith("dL_d") and np.abs(value).max() > 1e-290 and np.isfinite(value).all()
    }
    assert wrong
    for key, value in wrong.items():
        found = rnngrad.check(problem, {key: value})
        assert found["verdict"] == "fail", key


@pytest.mark.parametrize("bias", [40.0, 800.0, 1e5])
def test_a_chain_of_slopes_that_no_float_holds(bias: float) -> None:
    """One unit: Σ_t log10 (w σ'(a_t)), and σ'(a) = e⁻ᵃ/(1 + e⁻ᵃ)²."""
    weights = {"W_xh": 1.0, "W_hh": 0.5, "b_h": bias}
    problem = rnngrad.load({"activation": "sigmoid", "weights": weights, "inputs": [0.0] * 20})
    h, total = 0.0, 0.0
    for _ in range(20):
        a = 0.5 * h + bias
        total += math.log10(0.5) - a * math.log10(math.e) - 2 * math.log10(1 + math.exp(-a))
        h = 1 / (1 + math.exp(-a))
    assert rnngrad.log10_chain(problem)[0] == pytest.approx(total, rel=1e-12)


@pytest.mark.slow
def test_a_million_steps() -> None:
    weights = {"W_xh": 1.0, "W_hh": 0.999, "W_hy": 1.0}
    spec = {"activation": "identity", "weights": weights, "loss_steps": "last", "targets": [1.0]}
    problem = rnngrad.load({**spec, "inputs": {"zeros": 1_000_000}, "h_0": 1.0})
    found = rnngrad.gradients(problem)
    assert rnngrad.log10_chain(problem)[0] == pytest.approx(1e6 * math.log10(0.999), rel=1e-10)
    assert found["dL_dh"][-1][0] == pytest.approx(-2.0)
    # ∂L/∂h_{T−1000} = −2 · 0.999^1000
    assert found["dL_dh"][-1001][0] == pytest.approx(-2 * 0.999**1000, rel=1e-10)


@pytest.mark.slow
def test_two_thousand_units() -> None:
    """An orthogonal chain has norm 1, and the gradient's length stays as it is."""
    spec = {
        "activation": "identity",
        "weights": {"W_xh": NORMAL, "W_hh": {"init": "orthogonal"}, "W_hy": NORMAL},
        "sizes": {"inputs": 1, "hidden": 2000, "outputs": 1},
        "inputs": {"zeros": 3},
        "loss_steps": "last",
        "targets": [[1.0]],
    }
    problem = rnngrad.load(spec)
    dL_dh = rnngrad.gradients(problem)["dL_dh"]
    np.testing.assert_allclose(rnngrad.log10_chain(problem), 0.0, atol=1e-12)
    lengths = np.linalg.norm(dL_dh, axis=1)
    np.testing.assert_allclose(lengths, lengths[-1], rtol=1e-12)
