"""The flow of nets for which all of it would take too long: a sample, and what it agrees with."""

from __future__ import annotations

import json

import numpy as np
import pytest

import rnngrad
from rnngrad.analyses.derivation.derive import Derivation
from rnngrad.analyses.derivation.selection import Selection, select
from rnngrad.analyses.flow import flow
from rnngrad.analyses.flow.flow import GradientFlow
from rnngrad.chains.jacobians import log10_paths_from
from rnngrad.chains.lags import lags
from rnngrad.exponents.elimination import pseudo_random
from rnngrad.exponents.leading_exponents import leading_exponents
from rnngrad.net.problem import Problem
from rnngrad.views.blocks import Block, Table
from rnngrad.views.derivation import flow as view
from rnngrad.views.derivation import lags as lags_view
from rnngrad.views.derivation.sections import SECTIONS
from rnngrad.views.derivation.view import blocks_of, view_of

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
    Q = np.linalg.qr(pseudo_random(size * 5, 1).reshape(size, 5))[0]
    for J in derived["dht_dhprev"]:
        Q, R = np.linalg.qr(J @ Q)
        logs += np.log(np.abs(np.diagonal(R)))
    found = leading_exponents(derived.problem, derived.passes.forward, 5)
    np.testing.assert_allclose(found.exponents, np.sort(logs / STEPS)[::-1], rtol=0, atol=1e-9)
    assert (found.spread > 0).all()
    np.testing.assert_allclose(found.trace[-1], found.exponents)


@pytest.mark.usefixtures("costly")
def test_the_summary_has_the_first_exponents() -> None:
    derived = rnngrad.derive(problem())
    found = leading_exponents(derived.problem, derived.passes.forward, 8)
    first = ", ".join(f"{value:.6g}" for value in found.exponents[1:3])
    for sections in ((), ("flow",), ("spectrum",)):
        view_ = view_of(derived, select(derived, (), None, False, sections=sections))
        (table,) = (b for b in blocks_of(SECTIONS["summary"], view_) if isinstance(b, Table))
        rows = dict(table.rows)
        line = f"{found.exponents[0]:.6g} ± {found.spread[0]:.6f}, {first} a step (3 of 24)"
        assert rows["exponents"] == line
    view_ = view_of(derived, select(derived, (), None, False, sections=("forward",)))
    (table,) = (b for b in blocks_of(SECTIONS["summary"], view_) if isinstance(b, Table))
    assert "exponents" not in dict(table.rows)


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


def blocks(derived: Derivation, selection: Selection) -> list[Block]:
    """The sections about the flow, in their order."""
    names = ("flow", "spectrum", "truncation", "map")
    sections = [SECTIONS[name] for name in names if SECTIONS[name].exists(derived.problem)]
    view = view_of(derived, selection)
    return [block for section in sections for block in blocks_of(section, view)]


def shown(derived: Derivation, full: bool = False) -> str:
    return str(list(blocks(derived, select(derived, (), None, full))))


@pytest.mark.usefixtures("costly")
def test_it_says_once_what_was_sampled() -> None:
    derived = rnngrad.derive(problem())
    assert shown(derived).count("A sample: 8 of 24 exponents, 24 of 60 losses; --full") == 1
    assert "A sample" not in shown(derived, full=True)
    data = view.data(GradientFlow(derived))
    steps = GradientFlow(derived).sampled_steps.tolist()
    assert data["sampled"] == {"exponents": 8, "steps": steps, "lags": steps}
    assert "log10_condition" not in data
    json.dumps(data, allow_nan=False)
    whole = view.data(GradientFlow(derived, full=True))
    assert "sampled" not in whole
    assert whole["rate"] == data["rate"]


@pytest.mark.usefixtures("costly")
def test_without_a_loss_the_horizon_is_exact() -> None:
    derived = rnngrad.derive(problem(targets=None))
    assert "A sample: 8 of 24 exponents; --full has all." in shown(derived)
    assert GradientFlow(derived).horizons == GradientFlow(derived, full=True).horizons


def test_where_only_the_paths_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rnngrad.analyses.derivation.selection.SLOW", 0)
    text = shown(rnngrad.derive(problem()))
    assert "A sample: 24 of 60 losses; --full has all." in text
    assert "horizon in float32" in text
    assert "σ_max/σ_min" in text


def test_small_nets_are_not_sampled() -> None:
    assert "A sample" not in shown(rnngrad.derive(problem()))


def test_not_even_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow, "AFFORDABLE", 0)
    monkeypatch.setattr(flow, "SAMPLED", 0)
    derived = rnngrad.derive(problem())
    text, (table, *_) = shown(derived), blocks(derived, select(derived, (), None, False))
    assert "The rest of the flow is not computed unasked for T = 60, H = 12; --full does." in text
    assert isinstance(table, Table)
    assert [row[0] for row in table.rows] == ["growth rate"]
    assert "clipping at" in text
    data = view.data(GradientFlow(derived))
    assert set(data) == {"rate", "regime", "gradient_norm", "clipping"}
    assert lags_view.truncation(GradientFlow(derived)) is None
    assert "lyapunov" in view.data(GradientFlow(derived, exponents=3))


@pytest.mark.usefixtures("costly")
@pytest.mark.parametrize("cell", ["rnn", "lstm"])
def test_lags_of_the_losses_looked_at(cell: str) -> None:
    """A net in which no other loss counts has the same of all its losses."""
    derived = rnngrad.derive(problem(cell))
    sampled = GradientFlow(derived)
    steps = sampled.sampled_steps
    alone = GradientFlow(rnngrad.derive(problem(cell, loss_steps=steps.tolist())), full=True)
    assert sampled.lags is not None
    assert alone.lags is not None
    np.testing.assert_allclose(sampled.lags.shares, alone.lags.shares, rtol=1e-9, atol=1e-14)
    for some, every in zip(sampled.lags.truncation, alone.lags.truncation, strict=True):
        np.testing.assert_allclose(some, every, rtol=1e-9)
    np.testing.assert_allclose(sampled.lag_profile, alone.lag_profile, atol=1e-9)
    whole = GradientFlow(derived, full=True)
    assert whole.lags is not None
    assert (whole.lags.shares != sampled.lags.shares).any()


@pytest.mark.usefixtures("costly")
@pytest.mark.parametrize(("cell", "gain"), [("rnn", 1e-4), ("lstm", 300.0), ("rnn", 0.0)])
def test_lags_where_the_paths_need_more_than_floats(cell: str, gain: float) -> None:
    """The walk that both share ends early then, and that of the lags alone is as good."""
    derived = rnngrad.derive(problem(cell, gain=gain))
    flow, passes = GradientFlow(derived), derived.passes
    found = flow.lags
    alone = lags(derived.problem, passes.forward, passes.backward, flow.sampled_steps)
    assert found is not None
    assert alone is not None
    np.testing.assert_allclose(found.shares, alone.shares, rtol=1e-9, atol=1e-200)
    np.testing.assert_allclose(found.truncation, alone.truncation, rtol=1e-9, atol=1e-200)


def test_where_only_the_lags_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow, "LAGS", 0)
    derived = rnngrad.derive(problem())
    assert "A sample: 24 of 60 losses for the lags; --full has all." in shown(derived)
    sampled = view.data(GradientFlow(derived))["sampled"]
    steps = GradientFlow(derived).sampled_steps.tolist()
    assert sampled == {"exponents": None, "steps": None, "lags": steps}
    few = rnngrad.derive(problem(loss_steps=[3, 60]))
    assert "A sample" not in shown(few)


@pytest.mark.usefixtures("costly")
def test_all_exponents_of_a_large_net_on_demand() -> None:
    derived = rnngrad.derive(problem())
    every = GradientFlow(derived, exponents=24)
    np.testing.assert_array_equal(
        every.lyapunov.exponents, rnngrad.lyapunov_spectrum(derived.problem)
    )
    text = str(list(blocks(derived, select(derived, (), None, False, "all"))))
    assert "A sample: 24 of 60 losses; --full" in text
    assert "smallest exponent" in text
    assert "σ_max/σ_min" not in text
    assert len(GradientFlow(derived, exponents=3).lyapunov.exponents) == 3


def test_so_many_exponents_of_a_small_net_are_the_first_of_the_spectrum() -> None:
    derived = rnngrad.derive(problem())
    found, whole = GradientFlow(derived, exponents=5).lyapunov, GradientFlow(derived).lyapunov
    np.testing.assert_array_equal(found.exponents, whole.exponents[:5])
    np.testing.assert_array_equal(found.spread, whole.spread[:5])
    assert found.trace.shape == (len(whole.steps), 5)
    assert "The 8 largest of 24; --exponents all shows all." in shown(derived)


@pytest.mark.parametrize("wrong", ["0", "25", "-1", "1.5", "most", ""])
def test_a_number_of_exponents_that_there_is_not(wrong: str) -> None:
    with pytest.raises(rnngrad.RnngradError, match="expected 1 to 24, as the state has 24 numbers"):
        select(rnngrad.derive(problem()), (), None, False, wrong)
