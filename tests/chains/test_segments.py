"""Passes by segments of time against the ordinary ones: values, memory, and what has to give up."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import rnngrad
from rnngrad.arithmetic.arrays import frozen
from rnngrad.chains import checkpointing
from rnngrad.net.problem import Problem

STEPS, HIDDEN = 203, 6


def spec(**changes: Any) -> dict[str, Any]:
    weights = {
        "W_xh": {"init": "normal", "std": 0.5},
        "W_hh": {"init": "gaussian", "gain": 0.9},
        "b_h": {"init": "normal", "std": 0.1},
        "W_hy": {"init": "normal"},
        "b_y": {"init": "normal"},
    }
    net = {
        "weights": weights,
        "h_0": 0.4,
        "sizes": {"inputs": 3, "hidden": HIDDEN, "outputs": 2},
        "inputs": {"random": "normal", "steps": STEPS},
        "targets": {"random": "normal", "steps": STEPS},
        "seed": 3,
    }
    return net | changes


WITHOUT_READOUT = {
    "weights": {"W_xh": {"init": "normal"}, "W_hh": {"init": "gaussian"}},
    "sizes": {"inputs": 3, "hidden": HIDDEN, "outputs": HIDDEN},
}
REDUCIBLE = np.kron(np.diag([1.0, 0.2]), 0.3 * np.ones((3, 3)))

NETS: dict[str, dict[str, Any]] = {
    "tanh": {},
    "sigmoid, mean": {"activation": "sigmoid", "loss_reduction": "mean"},
    "last loss": {"loss_steps": "last"},
    "few losses": {"loss_steps": [1, 57, 58, 120]},
    "an early loss": {"loss_steps": [9]},
    "softplus outputs": {"output_activation": "softplus"},
    "no read-out": WITHOUT_READOUT,
    "relu, exploding": {"activation": "relu"},
    "reducible": {"weights": {**spec()["weights"], "W_hh": REDUCIBLE.tolist()}},
}


@pytest.fixture(autouse=True)
def short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seven of them, the last not full."""
    monkeypatch.setattr(checkpointing, "TOGETHER", 31 * HIDDEN)
    monkeypatch.setattr(checkpointing, "LARGE", 1)


def wanted(problem: Problem) -> list[str]:
    return [f"dL_d{name}" for name in problem.weights] + ["log10_chain"]


def worst(problem: Problem) -> float:
    """The largest deviation from the ordinary way, relative to the largest entry of the array."""
    names, ordinary = wanted(problem), rnngrad.derive(problem)
    assert checkpointing.worthwhile(problem, names)
    found = checkpointing.run(problem, names)
    assert found.loss == pytest.approx(ordinary.loss, rel=1e-13)
    assert found.first_nonfinite_step == ordinary.first_nonfinite_step
    gaps = []
    for name in names:
        expected, got = ordinary[name], found.arrays[name]
        assert got.shape == expected.shape
        gaps.append(np.abs(got - expected).max() / max(np.abs(expected).max(), 1e-300))
    return float(max(gaps))


@pytest.mark.parametrize("name", NETS)
def test_the_same_as_the_ordinary_way(name: str) -> None:
    assert worst(rnngrad.load(spec(**NETS[name]))) < 1e-11


def test_a_segment_that_forgets_the_later_ones_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    right = checkpointing.bptt_within
    monkeypatch.setattr(
        checkpointing, "bptt_within", lambda problem, trace, enters: right(problem, trace)
    )
    assert worst(rnngrad.load(spec())) > 1e-4


def test_overflow_is_found_at_its_step() -> None:
    W_hh = (3.0 * np.eye(HIDDEN)).tolist()
    problem = rnngrad.load(
        spec(activation="identity", weights={**spec()["weights"], "W_hh": W_hh},
             inputs={"random": "normal", "steps": 900}, targets={"zeros": 900})
    )  # fmt: skip
    step = rnngrad.derive(problem).first_nonfinite_step
    assert step is not None
    assert checkpointing.run(problem, ["dL_dW_hh"]).first_nonfinite_step == step


def test_the_chain_where_plain_floats_will_not_do() -> None:
    problem = rnngrad.load(spec(inputs={"zeros": STEPS}))
    saturated = np.array(problem.x)
    saturated[100] = 1e4
    problem = replace(problem, x=frozen(saturated))
    assert worst(problem) < 1e-11


def test_only_what_has_no_row_a_step() -> None:
    problem = rnngrad.load(spec())
    assert not checkpointing.worthwhile(problem, ["dL_dW_hh", "dL_dh"])
    assert not checkpointing.worthwhile(problem, [])
    assert not checkpointing.worthwhile(rnngrad.load(spec(cell="lstm")), ["dL_dW_hh"])


def test_no_array_of_all_states(monkeypatch: pytest.MonkeyPatch) -> None:
    steps, hidden = 20_000, 32
    net = spec(inputs={"random": "normal", "steps": steps}, targets={"zeros": steps})
    net |= {"sizes": {"inputs": 3, "hidden": hidden, "outputs": 2}}
    problem = rnngrad.load(net)
    monkeypatch.setattr(checkpointing, "TOGETHER", 2**14)
    tracemalloc.start()
    checkpointing.run(problem, wanted(problem))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * steps * hidden / 2


def test_progress_ends_at_one() -> None:
    """A third for the pass forward, two thirds for the one back, a segment like another."""
    told: list[float] = []
    checkpointing.run(rnngrad.load(spec()), ["dL_dW_hh"], told.append)
    forward = [(i + 1) / 21 for i in range(7)]
    assert told == pytest.approx(forward + [(7 + 2 * (i + 1)) / 21 for i in range(7)])


def test_derive_goes_by_segments_where_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = rnngrad.load(spec())
    ordinary, result = rnngrad.derive(problem), rnngrad.derive(problem)
    ways: list[tuple[str, ...]] = []
    run = checkpointing.run

    def watched(problem: Problem, names: list[str], report: Any) -> checkpointing.Summary:
        ways.append(tuple(names))
        return run(problem, names, report)

    monkeypatch.setattr(checkpointing, "run", watched)
    arrays = result.together(["dL_dW_hh", "log10_chain"])
    assert ways == [("dL_dW_hh", "log10_chain")]
    for name, array in arrays.items():
        np.testing.assert_allclose(array, ordinary[name], rtol=1e-11, atol=1e-11)
    assert result.loss == pytest.approx(ordinary.loss, rel=1e-13)
    assert "forward" not in vars(result.passes)
    result.together(["dL_dh"])
    assert len(ways) == 1
