"""How likely a wrong row passes a direction of ±1: the report's bound, and what is measured."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from checking import planted
from cli.running import run
from rnngrad.analyses.checking.comparing.verdicts import Verdict
from rnngrad.analyses.checking.own.self_check import check_own
from rnngrad.analyses.checking.references import perturbations, plan
from rnngrad.analyses.checking.references.random_signs import signs
from rnngrad.arithmetic.arrays import Array


def missed(error: Array, directions: Array) -> float:
    """The share of directions that see less of an error than its largest entry."""
    return float(np.mean(np.abs(directions @ error) < np.abs(error).max() * (1 - 1e-12)))


@pytest.mark.parametrize("size", [1, 2, 5, 9])
def test_no_error_hides_from_more_than_half_of_all_directions(size: int) -> None:
    every = np.array(list(itertools.product([-1.0, 1.0], repeat=size)))
    rng = np.random.default_rng(size)
    errors = [
        np.ones(size),
        np.eye(size)[0],
        *rng.normal(size=(200, size)),
        *rng.integers(-2, 3, size=(200, size)),
        *np.exp(rng.normal(scale=8, size=(50, size))),
    ]
    shares = [missed(error, every) for error in errors if error.any()]
    assert max(shares) <= 0.5
    if size > 1:
        pair = np.zeros(size)
        pair[:2] = 1.0
        assert missed(pair, every) == 0.5  # the bound is reached


def test_the_directions_are_as_good_as_random_ones() -> None:
    pair = np.zeros(64)
    pair[[5, 40]] = 1.0, -1.0
    assert missed(pair, signs((20000, 64), 1000)) == pytest.approx(0.5, abs=0.015)


def test_what_is_looked_at_entry_by_entry_is_not_missed() -> None:
    rows = np.arange(4)
    assert perturbations.miss_probability(perturbations.all_entries(rows, 5)) == 0.0
    assert perturbations.miss_probability(perturbations.by_direction(rows, 1, 7)) == 0.0
    one = perturbations.by_direction(rows, 5, 7)
    assert perturbations.miss_probability(one) == 0.5
    assert (
        perturbations.miss_probability(perturbations.by_direction(rows, 5, 7, directions=4))
        == 1 / 16
    )
    beside = perturbations.side_by_side([(one, slice(0, 5)), (one, slice(5, 10))], 10)
    assert perturbations.miss_probability(beside) == 0.5  # a direction a layer, not two


@pytest.fixture
def sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "AFFORDABLE", 0.0)


@pytest.mark.usefixtures("sampled")
def test_the_report_has_the_probability(tmp_path: Path) -> None:
    spec = tmp_path / "net.yaml"
    spec.write_text(
        "sizes: {inputs: 3, hidden: 20, outputs: 2}\nweights: {W_xh: {init: xavier_uniform}, "
        "W_hh: {init: orthogonal}, W_hy: {init: xavier_uniform}}\n"
        "inputs: {random: normal, steps: 5}\ntargets: {random: normal}\nseed: 1\n"
    )
    done = run("check", str(spec), "--json")
    assert done.returncode == 0, done.stderr
    miss = {e["name"]: e["miss_probability"] for e in json.loads(done.stdout)["quantities"]}
    assert miss["h"] is miss["dL_dy"] is miss["log10_chain"] is None
    assert miss["dLt_dak"] == miss["dL_dh"] == 0.5
    assert miss["dLt_dhk"] == miss["log10_paths"] == 2.0**-20
    assert miss["dL_dW_hh"] == 1 / 16
    assert miss["dL_db_y"] == 0.0  # two entries, each alone
    words = " ".join(run("check", str(spec)).stdout.split())
    assert (
        "misses a wrong parameter once in 16 times at most, what is wrong in n of the steps once"
        in words
    )


@pytest.mark.usefixtures("sampled")
def test_a_pair_of_errors_is_missed_as_often_as_is_said() -> None:
    """∂L/∂W_hh with +δ at one entry and −δ at another: four directions miss 1 in 16 of them, less
    what the entries looked at alone see."""
    problem = planted.problem(steps=4, hidden=12)
    right = np.asarray(planted.Quantities(problem)["dL_dW_hh"])
    rng, passed = np.random.default_rng(0), 0
    for _ in range(150):
        wrong = right.copy().ravel()
        one, other = rng.choice(wrong.size, 2, replace=False)
        wrong[one] += 1e-3
        wrong[other] -= 1e-3
        (entry,) = check_own(problem, gradients={"dL_dW_hh": wrong.reshape(right.shape)})
        assert entry.miss == 1 / 16
        passed += entry.verdict is Verdict.PASS
    assert 0 < passed / 150 <= 1 / 16 + 3 * (1 / 16 * 15 / 16 / 150) ** 0.5
