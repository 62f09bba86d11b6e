"""Every known mistake, planted in random nets: failed, and named or given among the candidates.

The mistakes are made by ``oracles/wrong_bptt.py``, which shares nothing with the catalogue.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

import rnngrad
from oracles import nets, wrong_bptt
from oracles.plain import Net
from rnngrad.analyses.checking.against import check_arrays
from rnngrad.analyses.checking.comparing.verdicts import Checked, Diagnosis, Verdict
from rnngrad.analyses.checking.diagnosing.catalogue import CATALOGUE

SEEDS = [0, 1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 6))]
"""Every mistake in every way in two nets; in four more where there is time."""
SCALES = (0.05, 0.3, 1.0, 3.0)
WAYS = [(bug, i) for bug, ways in wrong_bptt.MISTAKES.items() for i in range(len(ways))]

Arrays = dict[str, np.ndarray]


def drawn(seed: int, steps: int | None = None, **changes: object) -> Net:
    """A net of 3 to 30 steps; vanishing, ordinary and exploding ones take turns."""
    rng = np.random.default_rng([3, seed])
    functions = (
        ("tanh", "sigmoid", "softplus", "relu", "identity")[seed % 5],
        ("sigmoid", "tanh", "identity")[seed % 3],
        ("squared_error", "mean_squared_error")[seed % 2],
    )
    net = nets.drawn_net(
        rng,
        steps=steps or (3, 30, 7, 12, 4, 20)[seed % 6],
        sizes=(int(rng.integers(2, 6)), int(rng.integers(2, 6)), int(rng.integers(2, 6))),
        functions=functions,
        scale=SCALES[seed % 4],
        readout=True,
        start=True,
        mean=False,
    )
    return {**net, "loss_weights": np.ones(len(net["x"])), **changes}


def planted(net: Net, bug: str, way: int, seed: int = 0) -> Arrays:
    with np.errstate(all="ignore"):
        plan = wrong_bptt.right_plan(net)
        return wrong_bptt.MISTAKES[bug][way](plan, np.random.default_rng(seed))


def shows(right: np.ndarray, wrong: np.ndarray) -> bool:
    """Whether a tolerance of 1e-9 of the largest entry can see a difference in the array."""
    if right.shape != wrong.shape:
        return True
    return bool(np.abs(wrong - right).max() > 2e-9 * np.abs(right).max())


def wrong_ones(checked: list[Checked]) -> dict[str, Checked]:
    return {entry.name: entry for entry in checked if entry.verdict is not Verdict.PASS}


def names(diagnosis: Diagnosis | None) -> set[str | None]:
    assert diagnosis is not None
    return {diagnosis.bug} if diagnosis.bug else set(diagnosis.candidates)


def test_the_catalogue_is_the_contract_s() -> None:
    """And one of gated nets, planted in test_catalogue_gated.py."""
    assert set(CATALOGUE) - {"gate-order"} == set(wrong_bptt.MISTAKES)


@pytest.mark.cases(None)
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("bug", "way"), WAYS, ids=[f"{bug}-{way}" for bug, way in WAYS])
def test_planted_everywhere(bug: str, way: int, seed: int) -> None:
    """A whole set of gradients with one mistake in it."""
    net = drawn(seed)
    right, wrong = wrong_bptt.gradients(wrong_bptt.right_plan(net)), planted(net, bug, way, seed)
    seen = {name for name in right if shows(right[name], wrong[name])}
    found = wrong_ones(check_arrays(nets.problem_of(net), wrong))
    assert seen <= set(found)
    assert all(entry.verdict is Verdict.FAIL for entry in found.values())
    assert all(bug in names(entry.diagnosis) for entry in found.values())


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("bug", wrong_bptt.MISTAKES)
def test_planted_in_one_array(bug: str, seed: int) -> None:
    """Only the gradients of W_hh and W_xh are given, one at a time."""
    net = drawn(seed, steps=5)
    right, wrong = wrong_bptt.gradients(wrong_bptt.right_plan(net)), planted(net, bug, 0, seed)
    for name in ("dL_dW_hh", "dL_dW_xh", "dL_dh"):
        if shows(right[name], wrong[name]):
            (entry,) = check_arrays(nets.problem_of(net), {name: wrong[name]})
            assert entry.verdict is Verdict.FAIL
            assert bug in names(entry.diagnosis)


def first_that_shows(bug: str) -> tuple[Any, Any]:
    """The first drawn net in which the mistake changes a number, and its wrong gradients."""
    for seed in range(2, 60):
        net = drawn(seed)
        right = wrong_bptt.gradients(wrong_bptt.right_plan(net))
        wrong = planted(net, bug, 0)
        if any(shows(right[name], wrong[name]) for name in right):
            return net, wrong
    raise AssertionError(f"no net shows {bug}")


@pytest.mark.parametrize("bug", wrong_bptt.MISTAKES)
def test_planted_in_float32(bug: str) -> None:
    net, wrong = first_that_shows(bug)
    single = {name: array.astype(np.float32) for name, array in wrong.items()}
    found = wrong_ones(check_arrays(nets.problem_of(net), single))
    assert found
    assert all(bug in names(entry.diagnosis) for entry in found.values())


def named(net: Net, arrays: Mapping[str, np.ndarray], name: str) -> Diagnosis:
    checked = {entry.name: entry for entry in check_arrays(nets.problem_of(net), arrays)}
    diagnosis = checked[name].diagnosis
    assert diagnosis is not None
    return diagnosis


def test_numbers_that_a_mistake_leaves_open() -> None:
    net = drawn(0, steps=9)
    plan = wrong_bptt.right_plan(net)
    right = wrong_bptt.gradients(plan)
    cut = wrong_bptt.gradients(plan | {"keep": 4})
    assert named(net, {"dL_dW_hh": cut["dL_dW_hh"]}, "dL_dW_hh").steps == 4
    limit = float(np.sort(np.abs(right["dL_dW_hh"]).ravel())[-3])
    clipped = {"dL_dW_hh": np.clip(right["dL_dW_hh"], -limit, limit)}
    assert named(net, clipped, "dL_dW_hh").limit == limit
    scaled = {name: 2.7 * array for name, array in right.items()}
    assert named(net, scaled, "dL_dW_hh").factor == pytest.approx(2.7, rel=1e-12)


@pytest.mark.parametrize("keep", [1, 2, 3, 5])
@pytest.mark.parametrize("start", ["zero", "the last loss alone", "all that reach it"])
def test_truncated_whatever_the_row_of_h_0(keep: int, start: str) -> None:
    """A window of k states leaves h_0 out, or reaches it from L_1 … L_k, or from L_k alone."""
    net = drawn(1, steps=8)
    plan = wrong_bptt.right_plan(net)
    cut = wrong_bptt.gradients(plan | {"keep": keep})["dL_dh"]
    q = rnngrad.derive(nets.problem_of(net))
    reached = []
    for t in range(1, keep + 1):
        row = q["dLt_dht"][t - 1]
        for k in range(t, 0, -1):
            row = (row * q["dht_db_h"][k - 1]) @ net["W_hh"]
        reached.append(row)
    rows = {
        "zero": np.zeros_like(row),
        "the last loss alone": row,
        "all that reach it": sum(reached),
    }
    wrong = np.concatenate([rows[start][np.newaxis], cut[1:]])
    told = named(net, {"dL_dh": wrong}, "dL_dh")
    assert (told.bug, told.steps) == (("truncated", keep) if keep > 1 else ("immediate-only", None))


def test_the_step_where_it_first_goes_wrong() -> None:
    net = drawn(0, steps=9)
    right = wrong_bptt.gradients(wrong_bptt.right_plan(net))
    for name, expected in (("dL_dh", 5), ("dL_dx", 6), ("dht_db_h", 3), ("dht_dhprev", 3)):
        wrong = right[name].copy()
        wrong[[2, 5]] *= 1.01
        diagnosis = named(net, {name: wrong}, name)
        assert diagnosis.bug is None
        assert diagnosis.first_wrong_step == expected


def test_nothing_is_named_where_none_fits() -> None:
    net = drawn(1, steps=6)
    right = wrong_bptt.gradients(wrong_bptt.right_plan(net))
    noise = np.random.default_rng(0).normal(size=right["dL_dW_hh"].shape)
    (entry,) = check_arrays(nets.problem_of(net), {"dL_dW_hh": right["dL_dW_hh"] + noise})
    assert (entry.verdict, entry.diagnosis) == (Verdict.FAIL, None)


def test_what_is_no_derivative_is_not_called_clipped() -> None:
    problem = nets.problem_of(drawn(0, steps=9))
    q = rnngrad.derive(problem)
    for name in ("h", "y", "losses", "loss"):
        right = np.asarray(q["losses"].sum() if name == "loss" else q[name])
        cut = np.clip(right, None, 0.5 * right.max())
        (entry,) = check_arrays(problem, {name: cut})
        assert str(entry.verdict) == "fail"
        found = entry.diagnosis
        assert found is None or "clipped" not in (found.bug, *(found.candidates or ()))


def scalar_net() -> Net:
    rng = np.random.default_rng(8)
    functions = ("sigmoid", "sigmoid", "squared_error")
    net = nets.drawn_net(
        rng, steps=3, sizes=(1, 1, 1), functions=functions, scale=1.0, readout=True, start=True,
        mean=False,
    )  # fmt: skip
    return net | {"loss_weights": np.ones(3)}


def test_a_single_wrong_number_names_no_factor_that_was_not_chosen() -> None:
    net = scalar_net()
    right = wrong_bptt.gradients(wrong_bptt.right_plan(net))["dL_dW_hh"]
    unnamed = named(net, {"dL_dW_hh": right * 0.7123456789}, "dL_dW_hh")
    assert (unnamed.bug, unnamed.candidates) == (None, ("clipped", "scaled"))
    assert named(net, {"dL_dW_hh": right * 3}, "dL_dW_hh").bug == "scaled"
    assert named(net, {"dL_dW_hh": right / 2}, "dL_dW_hh").bug == "missing-factor-2"


def test_equals_are_candidates() -> None:
    """Over two steps, the mean and the missing 2 are the same mistake."""
    net = drawn(0, steps=2)
    right = wrong_bptt.gradients(wrong_bptt.right_plan(net))
    half = {name: right[name] / 2 for name in ("dL_dy", "dL_dW_hh", "dL_dW_xh")}
    diagnosis = named(net, half, "dL_dy")
    assert diagnosis.bug is None
    assert set(diagnosis.candidates) == {"missing-factor-2", "averaged-over-steps"}
    kept = half | {"dL_dy": right["dL_dy"]}
    assert named(net, kept, "dL_dW_hh").bug == "averaged-over-steps"


def test_one_mistake_for_all_goes_before_one_each() -> None:
    """Two arrays with two mistakes are told apart; with one they are told together."""
    net = drawn(0, steps=6)
    plan = wrong_bptt.right_plan(net)
    cut, turned = wrong_bptt.gradients(plan | {"keep": 1}), planted(net, "transposed-W_hh", 0)
    both = {"dL_dW_hh": cut["dL_dW_hh"], "dL_dW_xh": turned["dL_dW_xh"]}
    assert named(net, both, "dL_dW_hh").bug == "immediate-only"
    assert named(net, both, "dL_dW_xh").bug == "transposed-W_hh"


def test_a_transposed_array_of_another_shape_is_named() -> None:
    net = drawn(3)
    right = wrong_bptt.gradients(wrong_bptt.right_plan(net))
    name = "dL_dx"
    (entry,) = check_arrays(nets.problem_of(net), {name: right[name].T})
    assert (entry.verdict, entry.max_rel_error) == (Verdict.FAIL, None)
    assert entry.diagnosis is not None
    assert entry.diagnosis.bug == "transposed"


def test_the_explanation_fills_in_the_steps() -> None:
    net = scalar_net()
    plan = wrong_bptt.right_plan(net)
    wrong = wrong_bptt.gradients(plan | {"jacobian_slope": np.ones_like(plan["a"])})
    words = named(net, {"dL_dh": wrong["dL_dh"]}, "dL_dh").explanation
    expected = "you applied no σ' on the way back from step 3 to step 2: ∂h_3/∂h_2 = σ'(a_3) W_hh"
    assert words.startswith(expected)
    assert "(17)" in words


@pytest.mark.parametrize("bug", wrong_bptt.MISTAKES)
def test_explanations_hold_no_number_that_gives_the_right_one_away(bug: str) -> None:
    net = drawn(0, steps=6)
    found = wrong_ones(check_arrays(nets.problem_of(net), planted(net, bug, 0)))
    for entry in found.values():
        assert entry.diagnosis is not None
        assert "." not in entry.diagnosis.explanation.replace("...", "")
