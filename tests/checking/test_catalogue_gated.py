"""Known mistakes planted in gru and lstm: failed, and named or given among the candidates.

The mistakes are made by ``oracles/wrong_gated.py``, which shares nothing with the catalogue.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rnngrad
from checking import cells
from oracles import cut_paths, wrong_gated
from rnngrad.analyses.checking.against import check_arrays
from rnngrad.analyses.checking.comparing.verdicts import Checked, Diagnosis, Verdict
from rnngrad.analyses.checking.diagnosing.catalogue import CATALOGUE
from rnngrad.analyses.checking.document import document
from rnngrad.errors import QuantityError

WAYS = [(bug, i) for bug, ways in wrong_gated.MISTAKES.items() for i in range(len(ways))]
GATED = ("gru", "lstm")

Arrays = dict[str, np.ndarray]


def drawn(cell: str, seed: int, steps: int | None = None) -> dict[str, Any]:
    """A net of 3 to 12 steps; vanishing, ordinary and exploding ones take turns."""
    options = {"steps": steps or (5, 12, 3)[seed % 3], "hidden": 2 + seed % 2}
    net = cells.spec(seed, (cell, 1), scale=(0.4, 0.05, 1.5)[seed % 3], **options)
    rng = np.random.default_rng(seed)
    net["output_activation"] = "tanh"
    return net | {"h_0": rng.normal(size=options["hidden"])}


def planted(net: dict[str, Any], bug: str, way: int, seed: int = 0) -> Arrays:
    plan = wrong_gated.right_plan(net)
    return wrong_gated.MISTAKES[bug][way](plan, np.random.default_rng(seed))


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


def test_the_oracle_and_the_core_agree() -> None:
    for cell in GATED:
        for seed in range(20):
            net = drawn(cell, seed)
            arrays = wrong_gated.gradients(wrong_gated.right_plan(net))
            assert wrong_ones(check_arrays(rnngrad.load(net), arrays)) == {}, (cell, seed)


def test_the_catalogue_is_what_is_planted_but_for_the_sheet_s_misprint() -> None:
    assert set(CATALOGUE) - {"sheet-eq-32"} == set(wrong_gated.MISTAKES)


@pytest.mark.cases(12)
@pytest.mark.parametrize("seed", [0, *(pytest.param(s, marks=pytest.mark.slow) for s in (1, 2))])
@pytest.mark.parametrize("cell", GATED)
@pytest.mark.parametrize(("bug", "way"), WAYS, ids=[f"{bug}-{way}" for bug, way in WAYS])
def test_planted_everywhere(bug: str, way: int, cell: str, seed: int) -> None:
    """A whole set of gradients with one mistake in it."""
    net = drawn(cell, seed)
    right = wrong_gated.gradients(wrong_gated.right_plan(net))
    wrong = planted(net, bug, way, seed)
    seen = {name for name in right if shows(right[name], wrong[name])}
    found = wrong_ones(check_arrays(rnngrad.load(net), wrong))
    assert seen
    assert seen <= set(found)
    assert all(entry.verdict is Verdict.FAIL for entry in found.values())
    assert all(bug in names(entry.diagnosis) for entry in found.values()), found


@pytest.mark.cases(12)
@pytest.mark.parametrize("cell", GATED)
@pytest.mark.parametrize("bug", wrong_gated.MISTAKES)
def test_named_alone_in_the_gradient_of_W_hh(bug: str, cell: str) -> None:
    net = drawn(cell, 3, steps=6)
    right = wrong_gated.gradients(wrong_gated.right_plan(net))
    wrong = planted(net, bug, 0)
    name = next(n for n in ("dL_dW_hh", "dL_dh") if shows(right[n], wrong[n]))
    (entry,) = check_arrays(rnngrad.load(net), {name: wrong[name]})
    assert entry.diagnosis is not None
    assert entry.diagnosis.bug == bug, entry.diagnosis
    assert "sheet" not in entry.diagnosis.explanation


@pytest.mark.parametrize("cell", GATED)
def test_the_order_of_the_gates_is_told(cell: str) -> None:
    net = drawn(cell, 0)
    found = wrong_ones(check_arrays(rnngrad.load(net), planted(net, "gate-order", 0)))
    order = {"gru": "z, r, n", "lstm": "i, f, o, g"}[cell]
    for entry in found.values():
        assert entry.diagnosis is not None
        assert f"in the order {order}:" in entry.diagnosis.explanation


@pytest.mark.cases(8)
@pytest.mark.parametrize("cell", GATED)
@pytest.mark.parametrize("bug", wrong_gated.MISTAKES)
def test_hidden_explanations_hold_no_number_and_no_formula(bug: str, cell: str) -> None:
    net = drawn(cell, 0)
    wrong = planted(net, bug, 0)
    hidden = document(check_arrays(rnngrad.load(net), wrong), hide_expected=True)["quantities"]
    assert isinstance(hidden, list)
    for quantity in hidden:
        assert quantity["expected"] is quantity["max_rel_error"] is None
        words = str((quantity["diagnosis"] or {}).get("explanation", ""))
        assert not [sign for sign in ("∂", "=", "·", "Σ", "(a_", "diag") if sign in words]


@pytest.mark.parametrize("kind", [("rnn", 2), ("gru", 2), ("lstm", 2)], ids=str)
def test_known_mistakes_of_a_stack(kind: tuple[str, int]) -> None:
    """Both layers have it: the number behind the name is that of the layer."""
    problem = cells.problem(9, kind, steps=5, hidden=3, scale=0.6)
    right = cells.right(problem)
    only = {n: a for n, a in right.items() if n.startswith("dL_dW") or n == "dL_dh"}
    for bug, change in {
        "sign-flipped": np.negative,
        "scaled": lambda array: 2.7 * array,
        "missing-factor-2": lambda array: 0.5 * array,
        "dropped-h_0": lambda array: array,
    }.items():
        wrong = {name: change(array) for name, array in only.items()}
        if bug == "dropped-h_0":
            wrong["dL_dh"] = np.concatenate([0 * only["dL_dh"][:1], only["dL_dh"][1:]])
        found = wrong_ones(check_arrays(problem, wrong))
        assert {e.diagnosis.bug for e in found.values() if e.diagnosis} == {bug}, bug
        assert bug == "dropped-h_0" or set(found) == set(only)


@pytest.mark.cases(8)
@pytest.mark.parametrize("keep", [1, 2, 3, 9])
@pytest.mark.parametrize("kind", [("rnn", 2), ("gru", 2), ("lstm", 2), ("lstm", 1)], ids=str)
def test_short_memories_of_a_stack(kind: tuple[str, int], keep: int) -> None:
    """Cut by running the last steps alone: a path within a step, to the layer above, is kept."""
    net = cells.spec(6, kind, steps=5, hidden=2, scale=0.6)
    net |= {"output_activation": "identity"} | ({"activation": "tanh"} if kind[0] == "rnn" else {})
    found = wrong_ones(check_arrays(rnngrad.load(net), cut_paths.gradients(net, keep)))
    told = {(e.diagnosis.bug, e.diagnosis.steps) for e in found.values() if e.diagnosis}
    assert told == {1: {("immediate-only", None)}, 9: set()}.get(keep, {("truncated", keep)})


def test_names_that_do_not_exist_and_wrong_shapes() -> None:
    problem = cells.problem(2, ("lstm", 2), steps=4, hidden=2)
    right = cells.right(problem)
    with pytest.raises(QuantityError, match=r"dL_dW_xh\.0"):
        check_arrays(problem, {"dL_dW_xh": right["dL_dW_xh.0"]})
    with pytest.raises(QuantityError, match="one layer of rnn"):
        check_arrays(problem, {"dht_db_h": 1.0})
    (entry,) = check_arrays(problem, {"dL_dc": right["dL_dc"][1:]})
    assert (entry.verdict, entry.max_rel_error) == (Verdict.FAIL, None)


@pytest.mark.parametrize("kind", cells.KINDS, ids=str)
def test_right_arrays_pass_in_every_precision(kind: tuple[str, int]) -> None:
    for seed in range(6):
        problem = cells.problem(seed, kind)
        right = cells.right(problem)
        assert wrong_ones(check_arrays(problem, right)) == {}
        with np.errstate(all="ignore"):
            single = {name: array.astype(np.float32) for name, array in right.items()}
        assert wrong_ones(check_arrays(problem, single)) == {}
        last = "dL_dW_hh" if problem.depth == 1 else "dL_dW_hh.1"
        wrong = right[last] * (1 + 1e-8)
        (entry,) = check_arrays(problem, {last: wrong})
        assert entry.verdict is (Verdict.FAIL if right[last].any() else Verdict.PASS)


@pytest.mark.parametrize("cell", GATED)
def test_a_chaotic_or_saturated_net_is_never_failed(cell: str) -> None:
    """Rounded once more at the start, in nets that make much of it."""
    for seed in range(12):
        net = cells.spec(seed, (cell, 1), steps=120, hidden=8, scale=(3.0, 8.0)[seed % 2])
        moved = {**net, "h_0": net["h_0"] * (1 + 2.3e-16)}
        weights = {k: w * (1 + 1e-16 * np.sign(w - 0.1)) for k, w in net["weights"].items()}
        arrays = dict(rnngrad.gradients(rnngrad.load(moved | {"weights": weights})))
        given = {n: a for n, a in arrays.items() if n.startswith("dL_d")}
        found = check_arrays(rnngrad.load(net), given)
        assert Verdict.FAIL not in {entry.verdict for entry in found}, (seed, found)
