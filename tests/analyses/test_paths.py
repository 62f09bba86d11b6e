"""The path sums against their definition: every summand as an explicit product of Jacobians."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given

from oracles import any_cell
from oracles.nets import bare_net, nets, problem_of, with_loss
from oracles.uneven_nets import any_net
from rnngrad.analyses.derivation.derive import Derivation, derive
from rnngrad.analyses.derivation.paths import SHOWN
from rnngrad.net.problem import Problem


def summand(result: Derivation, weight: str, t: int, k: int) -> np.ndarray:
    """∂L_t/∂h_t · ∂h_t/∂h_{t−1} ⋯ ∂h_{k+1}/∂h_k · ∂⁺h_k/∂W, shaped as W."""
    row = result["dLt_dht"][t - 1]
    for s in range(t, k, -1):
        row = row @ result["dht_dhprev"][s - 1]
    return row[:, np.newaxis] * result[f"dht_d{weight}"][k - 1]


@given(nets())
def test_every_summand(net: dict) -> None:
    result = derive(problem_of(net))
    for path_sum in result.path_sums:
        total = result[f"dL_d{path_sum.weight}"]
        for shown in path_sum.summands:
            expected = summand(result, path_sum.weight, shown.t, shown.k)
            norm = np.linalg.norm(expected)
            if norm > 1e-290:
                assert shown.log10_norm == pytest.approx(np.log10(norm), abs=1e-9)
            if np.linalg.norm(total) > 1e-140:
                slack = 1e-9 * norm_ratio(expected, total)
                share = np.sum(expected * total) / np.sum(total**2)
                assert shown.share == pytest.approx(share, rel=1e-6, abs=slack)


def norm_ratio(summand: np.ndarray, total: np.ndarray) -> float:
    return float(np.linalg.norm(summand) / np.linalg.norm(total))


@given(nets())
def test_shares_add_up_to_one(net: dict) -> None:
    result = derive(problem_of(net))
    for path_sum in result.path_sums:
        shares = [shown.share for shown in path_sum.summands]
        size = max(map(abs, shares), default=0.0)
        if np.linalg.norm(result[f"dL_d{path_sum.weight}"]) > 0 and np.isfinite(size):
            total = sum(shares) + path_sum.left_out_share
            assert total == pytest.approx(1.0, abs=1e-9 * max(1.0, size))
        assert path_sum.total == len(path_sum.summands) + path_sum.left_out


def test_the_largest_are_kept() -> None:
    net = bare_net([[0.5]], 30, x=np.ones((30, 1)), W_xh=np.ones((1, 1)), activation="tanh")
    result = derive(problem_of(with_loss(net, np.zeros((30, 1)))))
    path_sum = next(s for s in result.path_sums if s.weight == "W_xh")
    everything = {
        (t, k): abs(summand(result, "W_xh", t, k)).item()
        for t in range(1, 31)
        for k in range(1, t + 1)
    }
    largest = sorted(everything.values(), reverse=True)[:SHOWN]
    kept = [everything[shown.t, shown.k] for shown in path_sum.summands]
    assert sorted(kept, reverse=True) == pytest.approx(largest)
    assert path_sum.total == len(everything)
    for shown in path_sum.summands:
        expected = summand(result, "W_xh", shown.t, shown.k).item()
        assert shown.value == pytest.approx(expected, rel=1e-12)


def test_paths_that_no_float_can_hold() -> None:
    net = bare_net([[1e-9]], 60, x=np.ones((60, 1)), W_xh=np.ones((1, 1)))
    weights = np.zeros(60)
    weights[-1] = 1.0
    result = derive(problem_of(with_loss(net, np.zeros((60, 1)), weights=weights)))
    first = result["log10_paths"][59, 1]
    assert first == pytest.approx(-9 * 59 + result["log10_paths"][59, 60], abs=1e-9)


def test_without_a_loss_there_are_none() -> None:
    assert derive(problem_of(bare_net([[0.5]], 3))).path_sums == ()


CELLS_OF_MANY_KINDS = [
    "antisymmetric_rnn", "lipschitz_rnn", "gru_reset_before", "lmu", "lstm_peephole", "jordan",
]  # fmt: skip
"""W h − Wᵀ h, a matrix behind another, parts of several sizes, a state that is not called h."""


def immediate(problem: Problem, weight: str, k: int) -> np.ndarray:
    """∂⁺s_k/∂W by complex steps through the equations, (S, *W.shape)."""
    state = any_cell.start_of(problem)
    for t in range(k - 1):
        state = any_cell.step(problem, problem.x[t], state)
    W = problem.weights[weight]
    found = np.empty((problem.state_size, *W.shape))
    for index in np.ndindex(W.shape):
        moved = W.astype(complex)
        moved[index] += 1e-30j
        changed = replace(problem, weights={**problem.weights, weight: moved})
        after = any_cell.step(changed, problem.x[k - 1], state)
        flat = np.concatenate([v for layer in after for v in layer.values()])
        found[:, *index] = flat.imag / 1e-30
    return found


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("name", CELLS_OF_MANY_KINDS)
def test_every_summand_of_any_cell(name: str, layers: int) -> None:
    problem = any_net(name, layers, steps=3)
    result, jacobians = derive(problem), any_cell.jacobians(problem)
    top = problem.layers[-1]
    matrices = {w + layer.suffix for layer in problem.layers
                for w, shape in problem.cell.weights.items() if len(shape) == 2}  # fmt: skip
    assert {one.weight for one in result.path_sums} == matrices
    for path_sum in result.path_sums:
        total = result[f"dL_d{path_sum.weight}"]
        assert path_sum.total == 6
        assert sum(one.share for one in path_sum.summands) == pytest.approx(1.0)
        for shown in path_sum.summands:
            row = np.zeros(problem.state_size)
            row[top.state[0]] = result["dLt_dht"][shown.t - 1, top.units]
            for s in range(shown.t, shown.k, -1):
                row = row @ jacobians[s - 1]
            expected = np.tensordot(row, immediate(problem, path_sum.weight, shown.k), 1)
            norm = np.linalg.norm(expected)
            if norm:
                assert shown.log10_norm == pytest.approx(np.log10(norm), abs=1e-9)
            share = np.sum(expected * total) / np.sum(total**2)
            assert shown.share == pytest.approx(share, rel=1e-8, abs=1e-12)
