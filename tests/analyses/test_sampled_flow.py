"""The flow of nets for which all of it would take too long: a sample, and what it agrees with."""

from __future__ import annotations

import json

import numpy as np
import pytest

import rnngrad
from rnngrad.analyses import flow
from rnngrad.analyses.derive import Derivation
from rnngrad.analyses.flow import GradientFlow
from rnngrad.analyses.selection import select
from rnngrad.core.jacobians import log10_paths_from
from rnngrad.core.leading_exponents import leading_exponents
from rnngrad.core.nested import scattered
from rnngrad.core.problem import Problem
from rnngrad.views import flow as view

STEPS = 60


def problem(cell: str = "lstm", depth: int = 1, gain: float = 1.0, **changes: object) -> Problem:
    std = {"init": "normal", "std": gain / np.sqrt(12)}
    names = ("W_xh", "W_hh", *{"gru": ("b_xh", "b_hh")}.get(cell, ("b_h",)))
    one = dict.fromkeys(names, std)
    weights = one if depth == 1 else {"layers": [one] * depth}
    spec: dict[str, object] = {
        "cell": cell, "weights": {**weights, "W_hy": std}, "seed": 2,
        "sizes": {"inputs": 3, "hidden": 12, "outputs": 2},
        "inputs": {"random": "normal", "steps": STEPS}, "targets": {"random": "normal"},
    } | changes  # fmt: skip
    return rnngrad.load({key: value for key, value in spec.items() if value is not None})


@pytest.fixture
def costly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything takes too long unasked."""
    monkeypatch.setattr(flow, "AFFORDABLE", 0)


@pytest.mark.parametrize(("cell", "depth"), [("rnn", 1), ("lstm", 1), ("gru", 2)])
def test_exponents_are_those_of_the_same_tangents(cell: str, depth: int) -> None:
    derived = rnngrad.derive(problem(cell, depth))
    size, logs = derived.problem.state_size, np.zeros(5)
    Q = np.linalg.qr(scattered(size * 5, 1).reshape(size, 5))[0]
    for J in derived["dht_dhprev"]:
        Q, R = np.linalg.qr(J @ Q)
        logs += np.log(np.abs(np.diagonal(R)))
    found = leading_exponents(derived.problem, derived.passes.forward, 5)
    np.testing.assert_allclose(found.exponents, np.sort(logs / STEPS)[::-1], rtol=0, atol=1e-9)
    assert (found.spread > 0).all()
    np.testing.assert_allclose(found.trace[-1], found.exponents)


def test_over_a_long_time_they_are_those_of_the_whole_spectrum() -> None:
    long = problem(inputs={"random": "normal", "steps": 2000})
    found = leading_exponents(long, rnngrad.derive(long).passes.forward, 8)
    np.testing.assert_allclose(
        found.exponents[:4], rnngrad.lyapunov_spectrum(long)[:4], rtol=0, atol=5 / 2000
    )


def test_directions_that_die_are_not_known() -> None:
    normal = {"init": "normal"}
    weights = {"W_xh": normal, "W_hh": np.diag([0.5] + [0] * 11), "W_hy": normal}
    dying = problem("rnn", weights=weights)
    found = leading_exponents(dying, rnngrad.derive(dying).passes.forward, 3)
    assert np.isfinite(found.exponents[0])
    assert np.isnan(found.exponents[1:]).all()


@pytest.mark.parametrize(
    ("cell", "depth", "gain"),
    [("rnn", 1, 1.0), ("rnn", 2, 1.0), ("lstm", 1, 1.0), ("gru", 2, 1.0), ("lstm", 1, 300.0)],
)
def test_paths_of_some_losses_are_rows_of_all(cell: str, depth: int, gain: float) -> None:
    derived, steps = rnngrad.derive(problem(cell, depth, gain)), np.array([1, 17, 42, STEPS])
    passes = derived.passes
    some = log10_paths_from(derived.problem, passes.forward, passes.direct, steps)
    np.testing.assert_allclose(some, derived["log10_paths"][steps - 1], rtol=0, atol=1e-9)


@pytest.mark.usefixtures("costly")
def test_horizons_are_those_of_the_losses_looked_at() -> None:
    derived = rnngrad.derive(problem(loss_steps=[5, 9, 30, 44, 60]))
    sampled, whole = GradientFlow(derived), GradientFlow(derived, full=True)
    assert sampled.sampled
    assert not whole.sampled
    assert sampled.sampled_steps.tolist() == [5, 9, 30, 44, 60]
    assert sampled.horizons == whole.horizons
    assert len(GradientFlow(rnngrad.derive(problem())).sampled_steps) == flow.ROWS


def shown(derived: Derivation, full: bool = False) -> str:
    return str(list(view.blocks(derived, select(derived, (), None, full))))


@pytest.mark.usefixtures("costly")
def test_it_says_once_what_was_sampled() -> None:
    derived = rnngrad.derive(problem())
    assert shown(derived).count("A sample: 8 of 24 exponents, 24 of 60 losses; --full") == 1
    assert "A sample" not in shown(derived, full=True)
    data = view.data(derived, select(derived, (), None, full=False))
    assert data is not None
    steps = GradientFlow(derived).sampled_steps.tolist()
    assert data["sampled"] == {"exponents": 8, "steps": steps}
    assert "log10_condition" not in data
    json.dumps(data, allow_nan=False)
    whole = view.data(derived, select(derived, (), None, full=True))
    assert whole is not None
    assert "sampled" not in whole
    assert whole["rate"] == data["rate"]


@pytest.mark.usefixtures("costly")
def test_without_a_loss_the_horizon_is_exact() -> None:
    derived = rnngrad.derive(problem(targets=None))
    assert "A sample: 8 of 24 exponents; --full has all." in shown(derived)
    assert GradientFlow(derived).horizons == GradientFlow(derived, full=True).horizons


def test_where_only_the_paths_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rnngrad.analyses.selection.SLOW", 0)
    text = shown(rnngrad.derive(problem()))
    assert "A sample: 24 of 60 losses; --full has all." in text
    assert "horizon in float32" in text
    assert "σ_max/σ_min" in text


def test_small_nets_are_not_sampled() -> None:
    assert "A sample" not in shown(rnngrad.derive(problem()))


def test_not_even_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow, "AFFORDABLE", 0)
    monkeypatch.setattr(flow, "SAMPLED", 0)
    assert "not computed unasked" in shown(rnngrad.derive(problem()))
