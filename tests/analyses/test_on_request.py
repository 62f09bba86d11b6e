"""What has a name but is in no list: ∂L/∂a_t, ∂L/∂W by step, the parts of the gradient flow."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import rnngrad
from oracles import any_cell
from oracles.nets import bare_net, problem_of
from rnngrad.analyses.derivation.quantities import records
from rnngrad.analyses.flow.flow import GradientFlow
from rnngrad.arithmetic.functions import ACTIVATIONS
from rnngrad.cells import CELLS
from rnngrad.net.problem import Problem

SEED = {"ctrnn_current": 0}
"""Of 5, the others' seed, its two relus are dead."""


def net(name: str, layers: int = 1, **sizes: int) -> Problem:
    return any_cell.problem_of(CELLS[name], layers=layers, seed=SEED.get(name, 5), **sizes)


@pytest.mark.parametrize(("name", "layers"), any_cell.ONE_OR_TWO)
def test_terms_are_gradients_of_copies_that_stand_at_one_step(name: str, layers: int) -> None:
    """With only the W of step t moved, by a complex step, in every direction of ∂L/∂W at once."""
    problem = net(name, layers, hidden=2, steps=3)
    result, rng = rnngrad.derive(problem), np.random.default_rng(1)
    for parameter, W in problem.weights.items():
        own, _, layer = parameter.partition(".")
        asked = f"dL_d{own}_by_step" + (f".{layer}" if layer else "")
        terms = result[asked]
        assert terms.shape == result.record(asked).shape(problem) == (3, *W.shape)
        total = result[f"dL_d{parameter}"]
        np.testing.assert_allclose(terms.sum(axis=0), total, rtol=1e-9, atol=1e-12)
        direction = rng.normal(size=W.shape)
        moved = replace(
            problem,
            weights={**problem.weights, parameter: W + 1j * any_cell.STEP * direction},
        )
        for t in range(1, 4):
            slope = _loss(problem, moved, t).imag / any_cell.STEP
            along = float(np.sum(terms[t - 1] * direction))
            assert along == pytest.approx(slope, rel=1e-9, abs=1e-12), (parameter, t)


def _loss(problem: Problem, other: Problem, at: int) -> complex:
    """L where step ``at`` alone is one of the other net."""
    assert problem.targets is not None
    state, total = any_cell.start_of(problem), 0j
    for t, (x, target) in enumerate(zip(problem.x, problem.targets, strict=True), 1):
        mine = other if t == at else problem
        state = any_cell.step(mine, x, state)
        y = mine.weights["W_hy"] @ state[-1][problem.cell.parts[0]] + mine.weights["b_y"]
        total += np.sum((target - y) ** 2)
    return total


@pytest.mark.parametrize(("name", "layers"), [("rnn", 2), ("gru", 1), ("gru", 2), ("lstm", 2)])
def test_gates_lie_as_the_rows_of_W_xh(name: str, layers: int) -> None:
    """∂L/∂W_xh = Σ_t ∂L/∂a_t ⊗ x_t and ∂L/∂b = Σ_t ∂L/∂a_t, layer by layer."""
    problem = net(name, layers)
    result, count = rnngrad.derive(problem), {"rnn": 1, "gru": 3, "lstm": 4}[name]
    dL_da = result["dL_da"]
    assert dL_da.shape == result.record("dL_da").shape(problem) == (5, count * problem.hidden)
    x, start, bias = problem.x, 0, {"gru": "b_xh"}.get(name, "b_h")
    for layer, share in zip(problem.layers, result.passes.forward.layers, strict=True):
        mine = dL_da[:, start : start + count * layer.hidden]
        np.testing.assert_allclose(mine.T @ x, result[f"dL_dW_xh{layer.suffix}"], rtol=1e-11)
        np.testing.assert_allclose(mine.sum(0), result[f"dL_d{bias}{layer.suffix}"], rtol=1e-11)
        x, start = share.h[1:], start + count * layer.hidden


def test_gates_of_lstm_by_a_bias_that_moves_at_one_step() -> None:
    """b_h stands in i, f, g, o by itself, so its terms by step, proved above, are ∂L/∂a_t."""
    result = rnngrad.derive(net("lstm"))
    np.testing.assert_allclose(result["dL_da"], result["dL_db_h_by_step"], rtol=1e-13)


def test_parts_of_the_flow_are_those_of_the_report() -> None:
    result = rnngrad.derive(net("lstm", 2, steps=20))
    flow = GradientFlow(result)
    assert flow.lags is not None
    assert result["growth_rate"] == flow.rate
    assert result["gradient_norm"] == flow.gradient_norm
    np.testing.assert_array_equal(result["lyapunov_exponents"], flow.lyapunov.exponents)
    np.testing.assert_array_equal(result["log10_step_norms"], flow.log10_step_norms)
    np.testing.assert_array_equal(result["log10_condition"], flow.shape.log10_condition)
    np.testing.assert_array_equal(result["participation"], flow.shape.participation)
    np.testing.assert_array_equal(result["omega"], flow.omega)
    np.testing.assert_array_equal(result["lag_profile"], flow.lag_profile)
    np.testing.assert_array_equal(result["shares"], flow.lags.shares)
    np.testing.assert_array_equal(result["truncation"].T, flow.lags.truncation)
    lags = result["horizon"]
    for column, horizon in zip(lags.T, flow.horizons, strict=True):
        assert np.median(column) == horizon.median
        assert (column.min(), column.max()) == (horizon.low, horizon.high)


def test_what_is_asked_for_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rnngrad.analyses.flow.flow.AFFORDABLE", 0)
    result = rnngrad.derive(net("rnn", steps=40))
    whole, sampled = GradientFlow(result, full=True), GradientFlow(result)
    assert whole.lags is not None
    assert sampled.lags is not None
    np.testing.assert_array_equal(result["shares"], whole.lags.shares)
    assert (result["shares"] != sampled.lags.shares).any()


@pytest.mark.parametrize("name", ["rnn", "gru", "lstm", "ctrnn", "lmu"])
def test_shapes_are_known_beforehand_and_nothing_is_listed(name: str) -> None:
    result = rnngrad.derive(net(name))
    assert set(result) == set(records(result.problem))
    assert result.on_request
    for asked, record in result.on_request.items():
        assert asked in result
        assert asked not in set(result)
        array = result[asked]
        assert array.dtype == np.float64
        assert array.shape == record.shape(result.problem) == result.record(asked).fixed


def test_horizons_of_losses_that_do_not_count() -> None:
    spec = {"weights": {"W_xh": 1, "W_hh": 0.5}, "activation": "identity", "loss_steps": [12, 20]}
    inputs = {"inputs": [1] * 20, "targets": [99] * 20}
    lags = rnngrad.derive(rnngrad.load(spec | inputs))["horizon"]
    assert np.isnan(lags).all(axis=1).tolist() == [t not in (12, 20) for t in range(1, 21)]
    assert lags[[11, 19]].tolist() == [[9, np.inf, np.inf]] * 2


def test_steps_after_the_last_loss_have_no_terms() -> None:
    """What overflows there is multiplied by nothing."""
    problem = net("rnn", steps=6)
    only = np.array([0, 0, 1.0, 0, 0, 0])
    loud = problem.x.copy()
    loud[3:] = 1e308
    other = replace(problem, loss_weights=only, x=loud, activation=ACTIVATIONS["identity"])
    terms = rnngrad.derive(other)["dL_dW_hh_by_step"]
    assert (terms[3:] == 0).all()
    assert np.isfinite(terms).all()
    assert terms[:3].any()


def test_words_for_what_does_not_exist() -> None:
    result = rnngrad.derive(problem_of(bare_net([[0.5]], 3)))
    assert "growth_rate" in result
    assert "dL_da" not in result
    with pytest.raises(
        rnngrad.QuantityError, match="'dL_da' does not exist here: 'net' has no tar"
    ):
        result["dL_da"]
    with pytest.raises(rnngrad.QuantityError, match="did you mean 'truncation'"):
        result["truncaton"]
    with pytest.raises(rnngrad.QuantityError, match="; on request dL_da, dL_dW_xh_by_step, "):
        result["zzz"]
    stack = rnngrad.derive(net("lstm", 2))
    with pytest.raises(rnngrad.QuantityError, match=r"did you mean 'dL_dW_hh_by_step\.[01]'"):
        stack["dL_dW_hh_by_step"]
    with pytest.raises(rnngrad.QuantityError, match="no quantity is called 'dL_da_y'"):
        stack["dL_da_y"]


def test_cells_without_gates_or_recurrence_have_none_of_it() -> None:
    for name in CELLS:
        result = rnngrad.derive(net(name, steps=2))
        assert ("shares" in result) == ("truncation" in result) == bool(result.problem.cell.scaled)
    assert "dL_da" not in rnngrad.derive(net("lru"))
