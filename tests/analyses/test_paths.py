"""The path sums against their definition: every summand as an explicit product of Jacobians."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from oracles.nets import bare_net, nets, problem_of, with_loss
from rnngrad.analyses.derive import Derivation, derive
from rnngrad.analyses.paths import SHOWN


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
