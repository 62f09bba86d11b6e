"""Rows in plain floats with an exponent each, against entries at exponents of their own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from oracles import any_cell, nets
from rnngrad.analyses.checking.references import perturbed_forward, products
from rnngrad.analyses.checking.references.tangent import step_in_floats
from rnngrad.analyses.derivation.quantities import Passes
from rnngrad.arithmetic.arrays import quietly
from rnngrad.arithmetic.scaled import Scaled, scaled
from rnngrad.cells import CELLS, NAMES
from rnngrad.chains import jacobians
from rnngrad.chains.float_rows import FloatRows
from rnngrad.chains.jacobians import PulledBack, log10_paths, pulled_back
from rnngrad.net.forward import forward
from rnngrad.net.problem import Problem

CANCELS = {"slstm"}  # m cancels in h: what is left of ∂L/∂m is rounding


@pytest.fixture
def no_floats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jacobians, "plain_net", lambda *_: None)


def reached(problem: Problem) -> list[PulledBack]:
    passes = Passes(problem)
    with quietly():
        return list(pulled_back(problem, passes.forward, passes.direct))


def assert_same(one: Scaled, other: Scaled, atol: float = 0.0) -> None:
    """Row by row, at any exponent."""
    tops = np.maximum(one.exponent.max(axis=1), other.exponent.max(axis=1))[:, np.newaxis]
    a, b = (np.ldexp(x.mantissa, np.clip(x.exponent - tops, -1000, 0)) for x in (one, other))
    np.testing.assert_allclose(a, b, rtol=0, atol=1e-13 + atol)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("name", NAMES)
def test_the_paths_are_those_at_any_exponent(
    name: str, layers: int, request: pytest.FixtureRequest
) -> None:
    problem = any_cell.problem_of(CELLS[name], seed=1, layers=layers, steps=6, hidden=3)
    passes = Passes(problem)
    plain, logs = reached(problem), log10_paths(problem, passes.forward, passes.direct)
    request.getfixturevalue("no_floats")
    exact = reached(problem)
    np.testing.assert_allclose(
        logs, log10_paths(problem, passes.forward, passes.direct), rtol=0, atol=1e-12
    )
    assert len(plain) == len(exact) == 7
    for one, other in zip(plain, exact, strict=True):
        assert one.k == other.k
        assert one.steps.tolist() == other.steps.tolist()
        assert_same(one.at_s, other.at_s, 1.0 if name in CANCELS else 0.0)
        for mine, theirs in zip(one.at or (), other.at or (), strict=True):
            assert set(mine) == set(theirs)
            assert len(mine) == len(theirs)
            for key in mine:
                assert_same(mine[key], theirs[key], 1.0 if name in CANCELS else 0.0)


def test_rows_that_fall_apart_go_on_entry_by_entry(request: pytest.FixtureRequest) -> None:
    """Two units that do not meet, one with slopes of 4e⁻⁶⁰: after a few steps its entry is below
    2⁻⁶⁰⁰ of the other, then beyond floats; then the other has these slopes, and it comes back."""
    push = np.array([[30.0, 0.0]] * 20 + [[0.0, 30.0]] * 14)
    net = nets.bare_net(0.9 * np.eye(2), 34, activation="tanh", x=push, W_xh=np.eye(2))
    problem = replace(nets.problem_of(net), loss_weights=np.ones(34))
    trace, direct = forward(problem), scaled(np.ones((34, 2)))
    with quietly():
        plain = list(pulled_back(problem, trace, direct))
        request.getfixturevalue("no_floats")
        exact = list(pulled_back(problem, trace, direct))
    last = [one.at_s[:1] for one in exact]  # of L_T
    gaps = [int(abs(row.exponent[0, 0] - row.exponent[0, 1])) for row in last]
    assert max(gaps) > 1074
    for one, row in zip(plain, last, strict=True):
        mine = one.at_s[:1]
        assert mine.exponent.tolist() == row.exponent.tolist()
        np.testing.assert_allclose(mine.mantissa, row.mantissa, rtol=1e-12)


@pytest.mark.parametrize("values", [[[1.0, 2.0**-601]], [[0.0, 0.0]], [[np.inf, 1.0]]])
def test_what_float_rows_do_not_hold(values: list[list[float]]) -> None:
    rows = FloatRows(np.array([[1.0, 1.0]]), np.array([0]))
    with quietly():
        assert rows.moved(np.array(values)) is None


def test_a_row_keeps_its_exponent() -> None:
    rows = FloatRows(np.zeros((0, 2)), np.zeros(0, dtype=np.int64))
    far = Scaled(np.array([0.5, 0.75]), np.array([5000, 4990]))
    rows = rows.added(far).added(scaled(np.array([3.0, 0.0])))
    again = rows.moved(rows.values * np.array([[2.0**-50], [2.0**90]]))
    assert again is not None
    assert_same(again.exact, Scaled(np.array([[0.5, 0.75], [0.75, 0.0]]),
                                    np.array([[4950, 4940], [92, -(2**60)]])))  # fmt: skip


# --- the explicit Jacobians of check


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("name", NAMES)
def test_jacobians_of_check_in_floats(
    name: str, layers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = any_cell.problem_of(CELLS[name], seed=2, layers=layers, steps=4, hidden=3)
    with quietly():
        setting = perturbed_forward.setting(problem)
        plain = [products.jacobian_in_floats(setting, t) for t in range(1, 5)]
        monkeypatch.setattr(products, "jacobian_in_floats", lambda *_: None)
        exact = [products.jacobian(setting, t).floats() for t in range(1, 5)]
    assert any(one is not None for one in plain)
    for one, other in zip(plain, exact, strict=True):
        if one is not None:
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-13 * np.abs(other).max())


def test_a_gate_that_is_shut_is_no_matter_of_floats() -> None:
    net = nets.bare_net(
        np.eye(2), 3, activation="tanh", x=np.full((3, 1), 200.0), W_xh=np.ones((2, 1))
    )
    with quietly():
        setting = perturbed_forward.setting(nets.problem_of(net))
        assert step_in_floats(setting, 1, [[np.eye(2)]]) is None
