"""The walks of rnn against plain loops: few steps and many, in chunks, and where chunks must give
up."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import rnngrad
from oracles import plain_passes
from rnngrad.arithmetic.arrays import quietly
from rnngrad.arithmetic.functions import ACTIVATIONS, Activation
from rnngrad.arithmetic.scaled import Scaled
from rnngrad.chains.jacobians import sure_slopes
from rnngrad.net import backward_layers, forward
from rnngrad.net.backward import bptt_within
from rnngrad.net.forward import forward_within
from rnngrad.net.problem import Problem
from rnngrad.net.traces import ForwardTrace
from rnngrad.net.walks import back_walk, chunks, forward_walk
from rnngrad.net.walks.chunks import Recurrence

Net = dict[str, np.ndarray]


def draw(steps: int, hidden: int = 8, inputs: int = 3, outputs: int = 2, gain: float = 0.7) -> Net:
    rng = np.random.default_rng([steps, hidden, inputs])
    return {
        "W_xh": 0.5 * rng.normal(size=(hidden, inputs)),
        "W_hh": gain * rng.normal(size=(hidden, hidden)) / np.sqrt(hidden),
        "b_h": 0.1 * rng.normal(size=hidden),
        "h_0": rng.normal(size=hidden),
        "x": rng.normal(size=(steps, inputs)),
        "W_hy": rng.normal(size=(outputs, hidden)),
        "direct": rng.normal(size=(steps, outputs)),
    }


def problem_of(net: Net, activation: Activation, last: int | None = None) -> Problem:
    """The net with ``direct`` as what enters at its outputs, and no loss after step ``last``."""
    steps = len(net["x"])
    counts = np.arange(steps) < (steps if last is None else last)
    found = rnngrad.load({
        "activation": activation.name, "h_0": net["h_0"], "inputs": np.zeros_like(net["x"]),
        "weights": {name: net[name] for name in ("W_xh", "W_hh", "b_h")},
        "upstream": net["direct"] @ net["W_hy"],
    })  # fmt: skip
    assert isinstance(found, Problem)
    return replace(found, x=net["x"], loss_weights=counts * 1.0)


def run(problem: Problem) -> tuple[ForwardTrace, np.ndarray, np.ndarray]:
    """The trace, ∂L/∂h_t and ∂L/∂a_t."""
    with quietly():
        trace = forward_within(problem)
        back = bptt_within(problem, trace)
    return trace, back.dL_dh, back.at[0][problem.cell.stored[0]]


def assert_rows_agree(got: np.ndarray, expected: np.ndarray, rtol: float = 1e-12) -> None:
    """Row by row, relative to the row's own largest entry, however small that is."""
    sizes = np.abs(expected).max(axis=1)
    np.testing.assert_array_equal(np.abs(got).max(axis=1) == 0, sizes == 0)
    with np.errstate(invalid="ignore"):
        errors = np.abs(got - expected).max(axis=1) / sizes
    assert np.nanmax(errors, initial=0.0) <= rtol


def spied(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows ``advance`` filled, call by call."""
    filled: list[int] = []

    def advance(r: Recurrence) -> int:
        filled.append(chunks.advance(r))
        return filled[-1]

    for module in (forward_walk, back_walk):
        monkeypatch.setattr(module, "advance", advance)
    return filled


def check_against_plain_loops(net: Net, activation: Activation, last: int) -> ForwardTrace:
    trace, dL_dh, dL_da = run(problem_of(net, activation, last))
    with quietly():
        a, h = plain_passes.forward(net, activation)
        slopes, direct = activation.slope(a), net["direct"] @ net["W_hy"]
    assert_rows_agree(trace.a, a)
    assert_rows_agree(trace.h, h)
    direct[last:] = 0.0
    expected = plain_passes.backward(net["W_hh"], slopes, direct, last)
    assert_rows_agree(dL_dh, expected[0])
    assert_rows_agree(dL_da, expected[1])
    return trace


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize(
    ("steps", "last"), [(1, 1), (2, 1), (300, 300), (5000, 5000), (5000, 3000)]
)
def test_against_plain_loops(name: str, steps: int, last: int) -> None:
    check_against_plain_loops(draw(steps), ACTIVATIONS[name], last)


@pytest.mark.parametrize("inputs", [1, 400])
def test_few_and_many_inputs(inputs: int) -> None:
    net = draw(40, inputs=inputs)
    net["W_xh"] /= np.sqrt(inputs)
    check_against_plain_loops(net, ACTIVATIONS["tanh"], 40)


def test_slopes_that_underflow_are_not_taken_as_plain() -> None:
    net = draw(3)
    problem = problem_of(net, ACTIVATIONS["tanh"])
    assert isinstance(sure_slopes(problem, run(problem)[0]), np.ndarray)
    net["b_h"][1] = 400.0
    problem = problem_of(net, ACTIVATIONS["tanh"])
    found = sure_slopes(problem, run(problem)[0])
    assert isinstance(found, Scaled)
    assert found.mantissa.all()


@pytest.mark.parametrize("name", ["relu", "identity", "softplus"])
def test_a_walk_that_overflows_goes_no_other_way(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sums and functions alone: inf and nan are where the equations have them."""
    net, activation = draw(60, gain=1e9), ACTIVATIONS[name]
    problem = problem_of(net, activation)
    with quietly():
        slow = forward.step_by_step(problem, problem.layers[0], problem.x)
    for module in (forward, backward_layers):
        monkeypatch.setattr(module, "step_by_step", None)
    trace, *_ = run(problem)
    assert not np.isfinite(trace.h).all()
    np.testing.assert_allclose(trace.h, slow.h, rtol=1e-9)
    np.testing.assert_allclose(trace.a, slow.values[problem.cell.stored[0]], rtol=1e-9)


def test_a_long_contracting_walk_goes_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    filled = spied(monkeypatch)
    run(problem_of(draw(20_000), ACTIVATIONS["tanh"]))
    assert len(filled) == 2
    assert min(filled) > 19_000


def test_a_walk_in_several_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    filled = spied(monkeypatch)
    problem = problem_of(draw(20_000), ACTIVATIONS["tanh"])
    trace, dL_dh, dL_da = run(problem)
    monkeypatch.setattr(forward_walk, "BLOCK", 8 * 6000)
    again, *rows = run(problem)
    assert len(filled) == 2 + 8
    assert_rows_agree(again.h, trace.h)
    for got, expected in zip(rows, (dL_dh, dL_da), strict=True):
        assert_rows_agree(got, expected)


@pytest.mark.parametrize("gain", [0.98, 1.0, 2.5])
def test_where_nothing_is_forgotten_chunks_give_up(
    gain: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An orthogonal W_hh near 1, and chaos: every row still satisfies its own equation."""
    filled = spied(monkeypatch)
    net = draw(5000)
    net["W_hh"] = gain * np.linalg.qr(net["W_hh"])[0]
    net["x"] *= 0.01 if gain <= 1 else 0.0
    net["b_h"] *= 0.0
    name = "identity" if gain <= 1 else "tanh"
    trace, dL_dh, _ = run(problem_of(net, ACTIVATIONS[name]))
    a, h = trace.a, trace.h
    again = net["x"] @ net["W_xh"].T + h[:-1] @ net["W_hh"].T
    room = np.abs(net["x"]) @ np.abs(net["W_xh"].T) + np.abs(h[:-1]) @ np.abs(net["W_hh"].T)
    assert np.max(np.abs(again - a) / room) < 1e-14
    with quietly():
        direct = net["direct"] @ net["W_hy"]
        slopes = ACTIVATIONS[name].slope(a)
        expected = plain_passes.backward(net["W_hh"], slopes, direct, 5000)
    finite = np.isfinite(expected[0]).all(axis=1)
    assert_rows_agree(dL_dh[finite], expected[0][finite], 1e-10)
    assert filled[1] < 4000


def test_two_attractors_are_not_taken_for_one() -> None:
    """Started from 0 the chunks fall to one side, the true trajectory sits on the other: the probe
    sees quick merging at neither, or every boundary fails; the rows must be the plain loop's."""
    net = draw(6000, hidden=2, inputs=1)
    net |= {"W_hh": 3.0 * np.eye(2), "W_xh": np.zeros((2, 1)), "b_h": np.array([0.1, 0.1])}
    net["h_0"] = np.array([-1.0, -1.0])
    trace, *_ = run(problem_of(net, ACTIVATIONS["tanh"]))
    expected_a, expected_h = plain_passes.forward(net, ACTIVATIONS["tanh"])
    assert (trace.h < -0.9).all()
    assert_rows_agree(trace.a, expected_a)
    assert_rows_agree(trace.h, expected_h)


@pytest.mark.parametrize("loss_at", ["last", "rare", "first half"])
def test_vanishing_rows_are_right_row_by_row(loss_at: str) -> None:
    """With sources few and far between, rows fall by hundreds of orders of magnitude."""
    steps = 4000
    net = draw(steps, gain=0.4)
    net["direct"][
        {"last": slice(-1), "rare": np.arange(steps) % 900 != 0, "first half": slice(2000, None)}[
            loss_at
        ]
    ] = 0.0
    last = int(np.flatnonzero(net["direct"].any(axis=1))[-1]) + 1
    trace, dL_dh, dL_da = run(problem_of(net, ACTIVATIONS["sigmoid"], last))
    slopes, direct = ACTIVATIONS["sigmoid"].slope(trace.a), net["direct"] @ net["W_hy"]
    with quietly():
        expected = plain_passes.backward(net["W_hh"], slopes, direct, last)
    for got, right in zip((dL_dh, dL_da), expected, strict=True):
        big = np.abs(right).max(axis=1) > 1e-290
        assert_rows_agree(got[big], right[big])


@pytest.mark.parametrize("steps", [1500, 3000])
def test_what_overflows_after_the_last_loss_does_not_reach_back(steps: int) -> None:
    net, last = draw(steps), steps - 500
    net["x"][last + 10] = np.nan
    net["direct"][last:] = 0.0
    _, dL_dh, dL_da = run(problem_of(net, ACTIVATIONS["tanh"], last))
    assert np.isfinite(dL_dh).all()
    assert not dL_da[last:].any()
    _, dL_dh, dL_da = run(problem_of(net, ACTIVATIONS["tanh"], 0))
    assert not dL_da.any()
    assert not dL_dh[0].any()


def test_a_step_that_is_not_finite_stays_where_it_is() -> None:
    net = draw(4000)
    net["x"][3000, 0] = np.nan
    trace, *_ = run(problem_of(net, ACTIVATIONS["tanh"]))
    assert np.isfinite(trace.a[:3000]).all()
    assert np.isnan(trace.h[3001:]).all()


def test_sigmoids_that_no_float_holds_go_step_by_step() -> None:
    """e⁻ᵃ overflows at a = −710, h is 0 there."""
    net = draw(2500)
    net["b_h"][0] = -800.0
    trace, dL_dh, _ = run(problem_of(net, ACTIVATIONS["sigmoid"]))
    with quietly():
        a, h = plain_passes.forward(net, ACTIVATIONS["sigmoid"])
        slopes = ACTIVATIONS["sigmoid"].slope(a)
        expected = plain_passes.backward(net["W_hh"], slopes, net["direct"] @ net["W_hy"], 2500)
    assert_rows_agree(trace.h, h)
    assert_rows_agree(dL_dh, expected[0])
