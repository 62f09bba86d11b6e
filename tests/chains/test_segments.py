"""Passes by segments of time against the ordinary ones: values, memory, and what has to give up."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import rnngrad
from rnngrad.arithmetic.arrays import frozen
from rnngrad.cells import shipped
from rnngrad.chains import checkpointing
from rnngrad.net.problem import Problem
from rnngrad.net.walks.back_walk import Diagonals

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
    chain = ["log10_chain"] if problem.single_rnn else []
    return [f"dL_d{name}" for name in problem.weights] + chain


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


def of_cell(name: str, layers: int = 1, **more: Any) -> Problem:
    """Any cell that comes with rnngrad, a stack of it too, starts and biases drawn."""
    cell = shipped(name).cell
    matrix, vector = {"init": "gaussian", "gain": 0.9}, {"init": "normal", "std": 0.3}
    one = {n: matrix if len(shape) == 2 else vector for n, shape in cell.parameters.items()}
    weights: dict[str, Any] = one if layers == 1 else {"layers": [one] * layers}
    net = spec(cell=name, weights=weights | {"W_hy": {"init": "normal"}}, **more)
    rng = np.random.default_rng(5)
    starts = {f"{part}_0": rng.normal(size=HIDDEN * layers) for part in cell.parts}
    return rnngrad.load(net | starts)


@pytest.mark.cases(None)
@pytest.mark.parametrize(
    ("name", "layers"),
    [("gru", 1), ("lstm", 1), ("gru", 3), ("lstm", 2), ("lstm_peephole", 1), ("rnn", 2),
     ("gru_reset_before", 1), ("lstm_coupled", 2), ("indrnn", 1)],
)  # fmt: skip
def test_every_cell_and_stack(name: str, layers: int) -> None:
    assert worst(of_cell(name, layers)) < 1e-11


def test_a_loss_in_the_first_segment_alone_and_upstream() -> None:
    assert worst(of_cell("lstm", loss_steps=[9])) < 1e-11
    weights = {"W_xh": {"init": "normal"}, "W_hh": {"init": "gaussian"}}
    net = spec(cell="lstm", weights=weights, upstream=np.ones((STEPS, HIDDEN)))
    del net["targets"], net["sizes"]["outputs"]
    problem = rnngrad.load(net)
    names = wanted(problem)
    found, ordinary = checkpointing.run(problem, names).arrays, rnngrad.derive(problem)
    for one in names:
        np.testing.assert_allclose(found[one], ordinary[one], rtol=1e-10, atol=1e-11)


def test_step_by_step_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a walk is not sure."""
    monkeypatch.setattr(Diagonals, "safe", lambda *_: False)
    assert worst(of_cell("lstm", 2)) < 1e-11


@pytest.mark.parametrize("part", ["h", "c"])
def test_a_part_of_the_state_that_is_not_handed_on_is_caught(
    part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = checkpointing.bptt_within

    def wrong(problem: Problem, trace: Any, enters: Any) -> Any:
        kept = enters and {n: a * (n != part) for n, a in enters.items()}
        return right(problem, trace, kept)

    monkeypatch.setattr(checkpointing, "bptt_within", wrong)
    assert worst(of_cell("lstm")) > 1e-4


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
    assert not checkpointing.worthwhile(of_cell("lstm"), ["dL_dW_hh", "log10_chain"])
    assert checkpointing.worthwhile(of_cell("lstm"), ["dL_dW_hh"])


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


@pytest.mark.parametrize("name", ["rnn", "gru", "lstm", "star"])
def test_segments_that_go_in_chunks_of_time(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes from later steps enters before the chunks, which hand on products alone."""
    monkeypatch.setattr(checkpointing, "TOGETHER", 2**16)
    matrix, orthogonal = {"init": "gaussian"}, {"init": "orthogonal"}
    parameters = shipped(name).cell.parameters
    weights = {n: orthogonal if n.startswith("W_h") else matrix for n in parameters if n[0] == "W"}
    net = spec(cell=name, inputs={"random": "normal", "steps": 20_000},
               targets={"random": "normal", "steps": 20_000},
               weights=weights | {"W_hy": matrix})  # fmt: skip
    assert worst(rnngrad.load(net)) < 1e-10


@pytest.mark.parametrize("name", ["gru", "lstm"])
def test_ten_thousand_steps_in_little_memory(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    steps, hidden = 10_000, 8
    net = spec(cell=name, inputs={"random": "normal", "steps": steps}, targets={"zeros": steps},
               weights={"W_xh": {"init": "gaussian"}, "W_hh": {"init": "orthogonal"},
                        "W_hy": {"init": "gaussian"}},
               sizes={"inputs": 3, "hidden": hidden, "outputs": 2})  # fmt: skip
    problem = rnngrad.load(net)
    monkeypatch.setattr(checkpointing, "TOGETHER", 2**13)
    assert worst(problem) < 1e-10

    def peak(work: Callable[[], object]) -> int:
        tracemalloc.start()
        work()
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    by_segments = peak(lambda: checkpointing.run(problem, wanted(problem)))
    assert by_segments < peak(lambda: rnngrad.gradients(problem)) / 5


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
