"""∂L/∂W_hh by lag: nets run forward again from s_{t−n}, and PyTorch that detaches."""

from __future__ import annotations

from dataclasses import replace

import mpmath
import numpy as np
import pytest

import rnngrad
from oracles import any_cell
from rnngrad.algebra.equations import read_cell
from rnngrad.cells import CELLS
from rnngrad.chains import lags as module
from rnngrad.chains.lags import Lags, Truncation, kept_steps, lags, lags_and_paths
from rnngrad.net.cells import Cell
from rnngrad.net.problem import Problem

STEPS = 5


def found(problem: Problem, steps: list[int] | None = None, kept: tuple[int, ...] = ()) -> Lags:
    passes = rnngrad.derive(problem).passes
    at = None if steps is None else np.array(steps)
    some = lags(problem, passes.forward, passes.backward, at, kept)
    assert some is not None
    return some


def cut(problem: Problem, keep: int) -> list[np.ndarray]:
    """∂L/∂ of the recurrent parameters of every layer, one long vector each, with L_t run forward
    again from s_{t−keep} and one number of them moved by a complex step."""
    assert problem.targets is not None
    states = [any_cell.start_of(problem)]
    for x in problem.x:
        states.append(any_cell.step(problem, x, states[-1]))

    def slope(at: int, name: str, index: tuple[int, ...]) -> float:
        whole = next((w for w, b in problem.cell.blocks.items() if name in b), name)
        stacked = problem.cell.blocks.get(whole, (name,))
        moved = problem.weights[whole + problem.layers[at].suffix].astype(complex)
        rows = len(moved) // len(stacked) if moved.ndim else 0
        place = (stacked.index(name) * rows + index[0], *index[1:]) if index else ()
        moved[place] += 1j * any_cell.STEP
        weights = {**problem.weights, whole + problem.layers[at].suffix: moved}
        other, total = replace(problem, weights=weights), 0.0
        for t in range(1, problem.steps + 1):
            state = states[max(t - keep, 0)]
            for x in problem.x[max(t - keep, 0) : t]:
                state = any_cell.step(other, x, state)
            y = problem.weights["W_hy"] @ state[-1][problem.cell.parts[0]] + problem.weights["b_y"]
            total += float(np.sum((problem.targets[t - 1] - y) ** 2).imag) / any_cell.STEP
        return total

    return [
        np.array([slope(at, name, index) for name in problem.cell.scaled
                  for index in np.ndindex(np.shape(layer.own[name]))])
        for at, layer in enumerate(problem.layers)
    ]  # fmt: skip


def agree(got: Truncation, kept: list[np.ndarray], at: tuple[int, ...] = (1, 2, 4, 5)) -> None:
    """With explicit gradients of 1 … T steps."""
    G = kept[-1]
    assert (*got.steps.tolist(),) == at
    for i, steps in enumerate(got.steps):
        short = kept[steps - 1]
        error = np.linalg.norm(short - G) / np.linalg.norm(G)
        assert got.rel_error[i] == pytest.approx(error, rel=1e-9, abs=1e-13)
        if short.any():
            cosine = short @ G / np.linalg.norm(short) / np.linalg.norm(G)
            assert got.cosine[i] == pytest.approx(cosine, abs=1e-12)
        else:
            assert np.isnan(got.cosine[i])


@pytest.mark.cases(12)
@pytest.mark.parametrize(("name", "layers"), any_cell.ONE_OR_TWO)
def test_losses_run_forward_again(name: str, layers: int) -> None:
    seed = 5 if name != "ctrnn_current" else 0  # with the other its two relus are dead
    problem = any_cell.problem_of(CELLS[name], hidden=2, layers=layers, seed=seed)
    if not problem.cell.scaled:
        passes = rnngrad.derive(problem).passes
        assert lags(problem, passes.forward, passes.backward) is None
        return
    got = found(problem)
    every = [cut(problem, keep) for keep in range(1, STEPS + 1)]
    for at, one in enumerate(got.by_layer):
        agree(one, [kept[at] for kept in every])
    for at, one in enumerate(found(problem, kept=(3, 9)).by_layer):
        agree(one, [kept[at] for kept in every], (3, 5))
    whole = [np.concatenate(kept) for kept in every]
    agree(got.truncation, whole)
    G = whole[-1]
    shares = [(b - a) @ G / (G @ G) for a, b in zip([0 * G, *whole], whole, strict=False)]
    np.testing.assert_allclose(got.shares, shares, rtol=1e-9, atol=1e-12)
    assert got.shares.sum() == pytest.approx(1)


@pytest.mark.torch
@pytest.mark.parametrize(("cell", "layers"), [("rnn", 1), ("gru", 1), ("lstm", 2)])
def test_pytorch_with_the_state_detached(cell: str, layers: int) -> None:
    torch = pytest.importorskip("torch", reason="live PyTorch: pip install '.[peers]'")
    one = {name: {"init": "normal", "std": 0.6} for name in ("W_xh", "W_hh")}
    weights = one if layers == 1 else {"layers": [one] * layers}
    problem = rnngrad.load({
        "cell": cell, "seed": 4, "weights": {**weights, "W_hy": {"init": "normal"}},
        "sizes": {"inputs": 2, "hidden": 3, "outputs": 2},
        "inputs": {"random": "normal", "steps": 9}, "targets": {"random": "normal"},
    })  # fmt: skip
    net = {"rnn": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}[cell](2, 3, layers)
    net = net.double()
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            kind, _, layer = name.rpartition("_l")
            ours = {"weight_ih": "W_xh", "weight_hh": "W_hh"}.get(kind)
            suffix = f".{layer}" if layers > 1 else ""
            parameter[:] = 0.0
            if ours:
                parameter[:] = torch.tensor(problem.weights[ours + suffix])
    W_hy, x = torch.tensor(problem.weights["W_hy"]), torch.tensor(problem.x)
    targets, recurrent = torch.tensor(problem.targets), [f"weight_hh_l{i}" for i in range(layers)]

    def kept(n: int) -> np.ndarray:
        net.zero_grad()
        for t in range(1, 10):
            state = None
            with torch.no_grad():
                if t > n:
                    state = net(x[: t - n], None)[1]
            out = net(x[max(t - n, 0) : t], state)[0][-1]
            ((targets[t - 1] - W_hy @ out) ** 2).sum().backward()
        return np.concatenate([getattr(net, name).grad.numpy().ravel() for name in recurrent])

    got, G = found(problem).truncation, kept(9)
    assert got.steps.tolist() == [1, 2, 4, 8, 9]
    for n, error, cosine in zip(*got, strict=True):
        short = kept(n)
        assert error == pytest.approx(np.linalg.norm(short - G) / np.linalg.norm(G), abs=1e-12)
        assert cosine == pytest.approx(short @ G / np.linalg.norm(short) / np.linalg.norm(G))


def test_errors_far_below_rounding() -> None:
    """h_t = w h_{t−1} + 1, a loss at T alone: G_d = −2 (1 − h_T) wᵈ h_{T−d−1}."""
    net = {"activation": "identity", "weights": {"W_xh": 1, "W_hh": 0.25}, "inputs": [1] * 60}
    got = found(rnngrad.load({**net, "targets": [99] * 60, "loss_steps": "last"}))
    with mpmath.workdps(60):
        w, h = mpmath.mpf("0.25"), [mpmath.mpf(0)]
        for _ in range(60):
            h.append(w * h[-1] + 1)
        terms = [w**d * h[60 - d - 1] for d in range(60)]
        for n, error, cosine in zip(*got.truncation, strict=True):
            assert error == pytest.approx(float(sum(terms[n:]) / sum(terms)), rel=1e-12)
            assert cosine == pytest.approx(1)
        expected = [float(term / sum(terms)) for term in terms]
    assert got.truncation.rel_error[-2] < 1e-18
    assert got.truncation.rel_error[-1] == 0
    np.testing.assert_allclose(got.shares, expected, rtol=1e-12)


@pytest.mark.parametrize("cell", ["rnn", "lstm"])
def test_some_losses_are_a_net_with_no_others(cell: str) -> None:
    one = any_cell.problem_of(CELLS[cell], steps=12)
    weights = np.zeros(12)
    weights[[2, 6, 7]] = 1.0
    got, expected = found(one, [3, 7, 8]), found(replace(one, loss_weights=weights))
    for a, b in zip(got.truncation, expected.truncation, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(got.shares, expected.shares)


def test_steps_are_multiplied_in_blocks_of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = any_cell.problem_of(CELLS["lstm"], steps=17, layers=2)
    whole = found(problem).truncation.rel_error
    monkeypatch.setattr(module, "TOGETHER", 500)
    np.testing.assert_allclose(found(problem).truncation.rel_error, whole, rtol=1e-13)


def test_a_gradient_of_1e_200_has_the_same_shares() -> None:
    problem = any_cell.problem_of(CELLS["rnn"], steps=8)
    faint = replace(problem, loss_weights=np.full(8, 1e-200))
    np.testing.assert_allclose(found(faint).shares, found(problem).shares, rtol=1e-12)
    np.testing.assert_allclose(found(faint).truncation, found(problem).truncation, rtol=1e-12)


@pytest.mark.parametrize("w", [1e-5, 1e5])
def test_what_is_no_float_when_it_is_squared(w: float) -> None:
    """h_t = w h_{t−1} + 1 − w = 1 and a loss at T alone: G_d is in proportion to wᵈ."""
    net = {"activation": "identity", "weights": {"W_xh": 1, "W_hh": w}, "inputs": [1 - w] * 40}
    spec = {**net, "h_0": 1, "targets": [99] * 40, "loss_steps": "last"}
    steps, errors, cosine = found(rnngrad.load(spec)).truncation
    kept = steps[:-1]
    expected = 5.0 * (-kept if w < 1 else 0 * kept)
    np.testing.assert_allclose(np.log10(errors[:-1]), expected, atol=1e-4)
    np.testing.assert_allclose(cosine, 1)
    assert (steps[-1], errors[-1]) == (40, 0)


def test_rows_that_die_are_left_behind() -> None:
    """1e-80 a step: beyond lag 3 nothing that a float holds is left, and nothing is subnormal."""
    net = {"activation": "identity", "weights": {"W_xh": 1, "W_hh": 1e-80}, "inputs": [1] * 40}
    got = found(rnngrad.load({**net, "targets": [99] * 40}))
    assert (got.shares[5:] == 0).all()
    np.testing.assert_allclose(np.log10(got.shares[1:4]), [-80, -160, -240], atol=0.05)


def test_no_gradient_no_shares() -> None:
    problem = replace(any_cell.problem_of(CELLS["rnn"]), loss_weights=np.zeros(5))
    got = found(problem)
    assert np.isnan(got.shares).all()
    assert np.isnan(got.truncation.rel_error).all()


def test_kept_steps() -> None:
    cases = {1: [1], 2: [1, 2], 3: [1, 2, 3], 4: [1, 2, 4], 5: [1, 2, 4, 5], 8: [1, 2, 4, 8]}
    assert {steps: kept_steps(steps).tolist() for steps in cases} == cases


def test_a_recurrent_number() -> None:
    """One number for all units: its gradient sums over them."""
    equations = ["h_t = tanh(W_xh x_t + u * h_{t-1} + b_h)"]
    problem = any_cell.problem_of(Cell(read_cell("number", equations, ["h"], {"u": []})))
    assert problem.cell.scaled == ("u",)
    agree(found(problem).truncation, [cut(problem, keep)[0] for keep in range(1, STEPS + 1)])


def test_a_net_that_is_not_recurrent_has_paths_and_no_lags() -> None:
    problem = any_cell.problem_of(Cell(read_cell("free", ["h_t = tanh(W x_t)"], ["h"])))
    derived = rnngrad.derive(problem)
    passes, steps = derived.passes, np.array([2, 5])
    found, paths = lags_and_paths(problem, passes.forward, passes.backward, passes.direct, steps)
    assert found is None
    np.testing.assert_array_equal(paths, np.asarray(derived["log10_paths"])[steps - 1])
