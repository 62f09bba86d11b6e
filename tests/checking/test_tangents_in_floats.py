"""Tangents in plain floats with an exponent a row, against an exponent for every entry."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from oracles import any_cell, nets
from rnngrad.analyses.checking.references import perturbations, perturbed_forward, tangent
from rnngrad.analyses.checking.references.perturbed_forward import Perturbations, Setting
from rnngrad.arithmetic.arrays import quietly
from rnngrad.arithmetic.scaled import Scaled
from rnngrad.cells import CELLS, NAMES
from rnngrad.net.problem import Problem


def every(problem: Problem) -> Iterator[Perturbations]:
    """The state, what a step keeps, and each parameter moved, entry by entry."""
    steps = np.arange(problem.steps + 1)
    yield perturbations.of_states(problem, perturbations.all_entries(steps, problem.state_size))
    columns = perturbations.places(problem)
    width = max((mine.stop for mine in columns.values()), default=0)
    if width:
        yield perturbations.of_places(problem, perturbations.all_entries(steps[1:], width), columns)
    for name, W in problem.weights.items():
        yield perturbations.of_weights(problem, name, np.eye(W.size).reshape(W.size, *W.shape))


def both(
    setting: Setting, moved: Perturbations, monkeypatch: pytest.MonkeyPatch
) -> tuple[Scaled, Scaled]:
    def unfit(self: tangent._Floats, t: int, n: int) -> bool:
        self.fit = False
        return False

    with quietly():
        plain = tangent.tangent(setting, moved)
        with monkeypatch.context() as patch:
            patch.setattr(tangent._Floats, "through", unfit)
            return plain, tangent.tangent(setting, moved)


def assert_same(one: Scaled, other: Scaled, rtol: float = 1e-12) -> None:
    """Each experiment against its own largest answer, step by step."""
    tops = np.maximum(one.exponent, other.exponent)
    a, b = (np.ldexp(x.mantissa, np.clip(x.exponent - tops, -1000, 0)) for x in (one, other))
    loud = tops > tops.max(axis=0) - 40  # below that it is rounding of what cancels
    np.testing.assert_allclose(a[loud], b[loud], rtol=0, atol=rtol)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("name", NAMES)
def test_every_cell(name: str, layers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = any_cell.problem_of(CELLS[name], seed=3, layers=layers, steps=4, hidden=3)
    with quietly():
        setting = perturbed_forward.setting(problem)
    for moved in every(problem):
        assert_same(*both(setting, moved, monkeypatch))


def test_most_of_an_lstm_is_in_floats(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = any_cell.problem_of(CELLS["lstm"], seed=3, layers=2, steps=6, hidden=3)
    with quietly():
        setting = perturbed_forward.setting(problem)

    def never(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(tangent, "step", never)
    for moved in every(problem):
        with quietly():
            assert np.isfinite(tangent.tangent(setting, moved).mantissa).all()


@pytest.mark.parametrize("push", [0.0, 20.0, 400.0])
@pytest.mark.parametrize("scale", [1e-30, 0.3, 40.0, 1e40])
def test_what_vanishes_explodes_or_falls_apart(
    push: float, scale: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two units that do not meet, one of them saturated for a while, over 40 steps."""
    x = np.array([[push, 0.0]] * 10 + [[0.0, push / 2]] * 30) + 0.1
    net = nets.bare_net(scale * np.eye(2), 40, activation="tanh", x=x, W_xh=np.eye(2))
    problem = nets.problem_of(nets.with_loss(net, 0.3 + np.zeros((40, 2))))
    with quietly():
        setting = perturbed_forward.setting(problem)
    for moved in every(problem):
        plain, exact = both(setting, moved, monkeypatch)
        assert plain.exponent.tolist() == exact.exponent.tolist()
        np.testing.assert_allclose(plain.mantissa, exact.mantissa, rtol=1e-12)


def test_what_enters_may_be_too_small_for_floats(monkeypatch: pytest.MonkeyPatch) -> None:
    """∂a/∂W_xh = 1e-300 where tanh' is 2⁻⁹⁵: their product is no float."""
    x = np.array([[1e-300, 33.6]] * 3)
    net = nets.bare_net([[0.5]], 3, activation="tanh", x=x, W_xh=np.ones((1, 2)))
    problem = nets.problem_of(nets.with_loss(net, np.zeros((3, 1))))
    with quietly():
        setting = perturbed_forward.setting(problem)
    direction = np.array([[[1.0, 0.0]]])
    plain, exact = both(setting, perturbations.of_weights(problem, "W_xh", direction), monkeypatch)
    assert plain.exponent.tolist() == exact.exponent.tolist()
    np.testing.assert_allclose(plain.mantissa, exact.mantissa, rtol=1e-12)
