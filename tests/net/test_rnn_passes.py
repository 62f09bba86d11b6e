"""The fast walks against plain loops: short, long, in chunks, and where chunks must give up."""

from __future__ import annotations

import numpy as np
import pytest

from oracles import plain_passes
from rnngrad.arithmetic.arrays import quietly
from rnngrad.arithmetic.functions import ACTIVATIONS, Activation
from rnngrad.arithmetic.scaled import Scaled
from rnngrad.net.walks import chunks
from rnngrad.net.walks.chunks import Recurrence
from rnngrad.net.walks.rnn import run_backward, run_forward, slopes_of, sure_slopes

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


def fast_forward(net: Net, activation: Activation) -> tuple[np.ndarray, np.ndarray]:
    names = ("W_xh", "W_hh", "b_h", "x", "h_0")
    with quietly():
        return run_forward(*(net[name] for name in names), activation)


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

    monkeypatch.setattr("rnngrad.net.walks.rnn.advance", advance)
    return filled


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("steps", [1, 2, 31, 32, 33, 300, 5000])
@pytest.mark.parametrize(("inputs", "outputs"), [(3, 2), (400, 400)])
def test_against_plain_loops(name: str, steps: int, inputs: int, outputs: int) -> None:
    activation = ACTIVATIONS[name]
    net = draw(steps, inputs=inputs, outputs=outputs)
    net["W_xh"] /= np.sqrt(inputs)
    a, h = fast_forward(net, activation)
    expected_a, expected_h = plain_passes.forward(net, activation)
    assert_rows_agree(a, expected_a)
    assert_rows_agree(h, expected_h)
    slopes, direct = activation.slope(a), net["direct"] @ net["W_hy"]
    np.testing.assert_array_equal(slopes_of(activation, a), slopes)
    for W_hy, given in ((net["W_hy"], net["direct"]), (None, direct)):
        with quietly():
            term, dL_dh, dL_da = run_backward(net["W_hh"], slopes, given, W_hy, steps)
        expected = plain_passes.backward(net["W_hh"], slopes, direct, steps)
        assert_rows_agree(term, direct, 1e-14)
        assert_rows_agree(dL_dh, expected[0])
        assert_rows_agree(dL_da, expected[1])


def test_slopes_that_underflow_are_not_taken_as_plain() -> None:
    a = np.array([[0.5, -2.0], [1.0, 3.0]])
    assert isinstance(sure_slopes(ACTIVATIONS["tanh"], a), np.ndarray)
    a[1, 1] = 400.0
    found = sure_slopes(ACTIVATIONS["tanh"], a)
    assert isinstance(found, Scaled)
    assert found.mantissa.all()


def test_a_long_contracting_walk_goes_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    filled = spied(monkeypatch)
    net = draw(20_000)
    a, _ = fast_forward(net, ACTIVATIONS["tanh"])
    slopes = ACTIVATIONS["tanh"].slope(a)
    run_backward(net["W_hh"], slopes, net["direct"], net["W_hy"], 20_000)
    assert min(filled) > 19_000


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
    a, h = fast_forward(net, ACTIVATIONS["tanh"])
    again = net["x"] @ net["W_xh"].T + h[:-1] @ net["W_hh"].T
    room = np.abs(net["x"]) @ np.abs(net["W_xh"].T) + np.abs(h[:-1]) @ np.abs(net["W_hh"].T)
    assert np.max(np.abs(again - a) / room) < 1e-14
    slopes = np.ones_like(a) if gain <= 1 else ACTIVATIONS["tanh"].slope(a)
    with quietly():
        got = run_backward(net["W_hh"], slopes, net["direct"], net["W_hy"], 5000)
        direct = net["direct"] @ net["W_hy"]
        expected = plain_passes.backward(net["W_hh"], slopes, direct, 5000)
    finite = np.isfinite(expected[0]).all(axis=1)
    assert_rows_agree(got[1][finite], expected[0][finite], 1e-10)
    assert filled[1] < 4000


def test_two_attractors_are_not_taken_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Started from 0 the chunks fall to one side, the true trajectory sits on the other: the probe
    sees quick merging at neither, or every boundary fails; the rows must be the plain loop's."""
    net = draw(6000, hidden=2, inputs=1)
    net |= {"W_hh": 3.0 * np.eye(2), "W_xh": np.zeros((2, 1)), "b_h": np.array([0.1, 0.1])}
    net["h_0"] = np.array([-1.0, -1.0])
    a, h = fast_forward(net, ACTIVATIONS["tanh"])
    expected_a, expected_h = plain_passes.forward(net, ACTIVATIONS["tanh"])
    assert (h < -0.9).all()
    assert_rows_agree(a, expected_a)
    assert_rows_agree(h, expected_h)


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
    a, _ = fast_forward(net, ACTIVATIONS["sigmoid"])
    slopes, direct = ACTIVATIONS["sigmoid"].slope(a), net["direct"] @ net["W_hy"]
    with quietly():
        _, dL_dh, dL_da = run_backward(net["W_hh"], slopes, net["direct"], net["W_hy"], last)
        expected = plain_passes.backward(net["W_hh"], slopes, direct, last)
    big = np.abs(expected[0]).max(axis=1) > 1e-290
    assert_rows_agree(dL_dh[big], expected[0][big])
    big = np.abs(expected[1]).max(axis=1) > 1e-290
    assert_rows_agree(dL_da[big], expected[1][big])


def test_what_overflows_after_the_last_loss_does_not_reach_back() -> None:
    net = draw(3000)
    a, _ = fast_forward(net, ACTIVATIONS["tanh"])
    slopes = ACTIVATIONS["tanh"].slope(a)
    slopes[2500:], net["direct"][2500:] = np.nan, 0.0
    _, dL_dh, dL_da = run_backward(net["W_hh"], slopes, net["direct"], net["W_hy"], 2500)
    assert np.isfinite(dL_dh).all()
    assert not dL_da[2500:].any()
    nothing = run_backward(net["W_hh"], slopes, net["direct"], net["W_hy"], 0)
    assert not nothing[2].any()
    assert not nothing[1][0].any()


def test_a_step_that_is_not_finite_stays_where_it_is() -> None:
    net = draw(4000)
    net["x"][3000, 0] = np.nan
    a, h = fast_forward(net, ACTIVATIONS["tanh"])
    assert np.isfinite(a[:3000]).all()
    assert np.isnan(h[3001:]).all()
