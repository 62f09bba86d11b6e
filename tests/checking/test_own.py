"""rnngrad's own gradients: right ones pass, and a mistake planted in any of them fails."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import rnngrad
from checking import planted
from oracles import nets
from rnngrad.analyses.checking.comparing.verdicts import Checked, Verdict, worst
from rnngrad.analyses.checking.own import work
from rnngrad.analyses.checking.own.checker import Checker
from rnngrad.analyses.checking.own.self_check import check_own
from rnngrad.analyses.checking.references.methods import METHODS
from rnngrad.analyses.checking.references.plan import plan
from rnngrad.analyses.derivation.quantities import Quantities
from rnngrad.arithmetic.arrays import frozen
from rnngrad.arithmetic.functions import FUNCTIONS
from rnngrad.errors import UsageError
from rnngrad.net.losses import Loss
from rnngrad.net.walks import by_line

SMALL = planted.problem()
RIGHT = planted.right(SMALL)
PATHS = {"dLt_dhk": "at_s", "dLt_dak": "at"}


def verdicts(checked: list[Checked]) -> dict[str, str]:
    return {entry.name: str(entry.verdict) for entry in checked}


def documented(entry: Checked) -> bool:
    """Passed, or undecided because the read-out is beyond the range of floats."""
    beyond = entry.verdict is Verdict.INCONCLUSIVE and "is saturated" in entry.reason
    return entry.verdict is Verdict.PASS or beyond


@pytest.mark.parametrize("decade", range(5))
def test_right_gradients_pass(decade: int) -> None:
    for seed in range(20 * decade, 20 * decade + 20):
        problem = nets.problem_of(nets.random_net(seed))
        found = check_own(problem)
        assert all(map(documented, found)), (seed, [e for e in found if not documented(e)])
        assert {entry.name for entry in found} == {*Quantities(problem), *PATHS}


@pytest.mark.cases(2)
@pytest.mark.parametrize("method", METHODS)
def test_right_gradients_never_fail(method: str) -> None:
    for seed in range(0, 200, 20):
        found = check_own(nets.problem_of(nets.random_net(seed)), method=method)
        assert Verdict.FAIL not in {entry.verdict for entry in found}, (seed, found)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_calls_a_well_behaved_net_right(method: str) -> None:
    assert worst(entry.verdict for entry in check_own(SMALL, method=method, rtol=1e-7)) == "pass"


LOG_COSH = Loss(
    "log_cosh",
    lambda target, y, a: np.log(np.cosh(y - target)).sum(axis=-1),
    lambda target, y, a: np.tanh(y - target),
    "ln cosh(y_t − target_t)",
    "tanh(y_t − target_t)",
)


@pytest.mark.parametrize("output", ["identity", "sigmoid", "softmax"])
@pytest.mark.parametrize("cell", ["rnn", "lstm"])
def test_a_new_loss_is_its_record_alone(cell: str, output: str) -> None:
    """It is neither quadratic nor a cross entropy; its slope off by 1e-6 is told."""
    net = {
        "cell": cell,
        "output_activation": output,
        "sizes": {"inputs": 2, "hidden": 3, "outputs": 2},
        "weights": {name: {"init": "normal"} for name in ("W_xh", "W_hh", "W_hy")},
        "inputs": {"random": "normal", "steps": 5},
        "targets": {"random": "normal"},
    }
    problem = replace(rnngrad.load(net), loss=LOG_COSH)
    assert worst(entry.verdict for entry in check_own(problem)) is Verdict.PASS
    wrong = LOG_COSH._replace(gradient=lambda target, y, a: np.tanh(y - target) * (1 + 1e-6))
    found = verdicts(check_own(replace(problem, loss=wrong)))
    assert {found[name] for name in ("dL_dy", "dL_dh", "dL_dW_hh", "dL_dW_hy")} == {"fail"}
    assert np.isfinite(rnngrad.log10_paths(replace(problem, loss=LOG_COSH))[-1]).all()


@pytest.mark.cases(None)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", RIGHT)
def test_a_planted_mistake_fails_and_nothing_else(name: str, method: str) -> None:
    wrong = RIGHT[name].copy()
    index = np.unravel_index(
        np.nanargmax(np.abs(np.where(np.isfinite(wrong), wrong, 0))), wrong.shape
    )
    wrong[index] = wrong[index] + 1e-5 if name.startswith("log10_") else wrong[index] * (1 + 1e-5)
    found = check_own(SMALL, method=method, rtol=1e-7, gradients={**RIGHT, name: wrong})
    assert [entry.name for entry in found if entry.verdict is Verdict.FAIL] == [name]


@pytest.mark.parametrize("name", RIGHT)
def test_an_entry_is_named_with_both_its_values(name: str) -> None:
    wrong = RIGHT[name].copy()
    index = (1, *(0 for _ in wrong.shape[1:]))
    wrong[index] += 1e-4
    (entry,) = check_own(SMALL, gradients={name: wrong})
    assert entry.worst_index == index
    assert entry.got == wrong[index]
    assert entry.expected == pytest.approx(RIGHT[name][index], rel=1e-9)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", PATHS)
def test_a_single_path_fails_on_its_own(name: str, method: str) -> None:
    paths = planted.nudged_paths(SMALL, PATHS[name], k=2, t=4, factor=1 + 1e-5)
    found = check_own(SMALL, method=method, rtol=1e-7, gradients={}, paths=paths)
    assert verdicts(found)[name] == "fail"
    assert [
        entry.worst_index[:2] for entry in found if entry.worst_index and entry.name == name
    ] == [(3, 2 if name == "dLt_dhk" else 1)]


def test_bptt_truncated_where_gradients_vanish_fails() -> None:
    problem = planted.problem(steps=20, hidden=8, norm=0.3)
    wrong = planted.truncated(problem, 8)
    right = planted.right(problem)
    far = np.max(np.abs(wrong["dL_dW_hh"] - right["dL_dW_hh"])) / np.max(np.abs(right["dL_dW_hh"]))
    assert 1e-9 < far < 1e-3, "a mistake that absolute tolerances pass"
    assert np.allclose(wrong["dL_dW_hh"], right["dL_dW_hh"], rtol=1e-3, atol=1e-5)
    assert set(verdicts(check_own(problem, gradients=wrong)).values()) == {"fail"}


@pytest.mark.parametrize("norm", [1e-12, 1e-40])
def test_vanishing_rows_count_like_any_other(norm: float) -> None:
    problem = planted.problem(steps=25, norm=norm)
    problem = replace(problem, loss_weights=frozen(np.eye(25)[-1]))
    found = check_own(problem)
    assert worst(entry.verdict for entry in found) == "pass", found
    right = planted.right(problem)
    small = right["dL_dh"].copy()
    row = int(np.flatnonzero(np.abs(small).max(axis=1) > 1e-300)[0])
    small[row] *= 1 + 1e-8
    assert verdicts(check_own(problem, gradients={"dL_dh": small})) == {"dL_dh": "fail"}
    paths = planted.nudged_paths(problem, "at_s", k=0, t=25, factor=1 + 1e-8)
    found = check_own(problem, gradients={}, paths=paths)
    assert verdicts(found)["dLt_dhk"] == "fail"


def test_exploding_paths_pass_beyond_the_range_of_floats() -> None:
    net = planted.net(steps=30, norm=1e15, activation="identity")
    nothing = {name: np.zeros_like(net[name]) for name in ("x", "h_0", "b_h")}
    problem = nets.problem_of(net | nothing)
    found = verdicts(check_own(problem))
    assert found["log10_chain"] == found["dLt_dhk"] == "pass"
    assert Quantities(problem)["log10_chain"][0] > 400


@pytest.mark.parametrize("method", ["differences", "taylor"])
def test_differences_below_the_noise_floor_are_undecided(method: str) -> None:
    problem = planted.problem(steps=20, norm=0.01)
    problem = replace(problem, loss_weights=frozen(np.eye(20)[-1]))
    right = planted.right(problem)
    wrong = right["dL_dx"].copy()
    wrong[0] *= 2
    for dL_dx in (right["dL_dx"], wrong):
        (entry,) = check_own(problem, method=method, gradients={"dL_dx": dL_dx})
        assert entry.verdict is Verdict.INCONCLUSIVE
        assert "its noise floor" in entry.reason


def test_a_wrong_entry_in_the_table_of_activations_is_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    problem = planted.with_slope(SMALL, lambda a: 1 - np.tanh(a))
    monkeypatch.setattr(by_line, "FUNCTIONS", {**FUNCTIONS, planted.NAME: problem.activation})
    found = verdicts(check_own(problem))
    wrong = {name for name, verdict in found.items() if verdict == "fail"}
    assert wrong >= {"dht_dhprev", "dht_db_h", "dL_dh", "dL_dW_hh", "dL_dx", "log10_chain"}
    assert {"h", "y", "losses", "dL_dy"}.isdisjoint(wrong)
    assert verdicts(check_own(problem, method="adjoint"))["dL_dW_hh"] == "fail"


def test_relu_is_differentiated_by_its_branch_and_undecided_only_at_the_kink() -> None:
    net = planted.net(activation="relu")
    clear = nets.problem_of(net)
    assert worst(entry.verdict for entry in check_own(clear)) == "pass"
    a = net["W_xh"] @ net["x"][0] + net["W_hh"] @ net["h_0"]
    at_the_kink = nets.problem_of(net | {"b_h": -a})
    found = {entry.name: entry for entry in check_own(at_the_kink)}
    assert found["dht_db_h"].verdict is Verdict.INCONCLUSIVE
    assert "relu's kink" in found["dht_db_h"].reason
    assert found["h"].verdict is found["losses"].verdict is Verdict.PASS
    silent = net | {"b_h": np.zeros(3), "x": np.zeros_like(net["x"]), "h_0": np.zeros(3)}
    assert worst(e.verdict for e in check_own(nets.problem_of(silent))) == "pass", "σ'(0) = 0"


def test_a_wrong_gradient_at_the_kink_still_fails() -> None:
    net = planted.net(activation="relu")
    a = net["W_xh"] @ net["x"][0] + net["W_hh"] @ net["h_0"]
    problem = nets.problem_of(net | {"b_h": -a})
    wrong = planted.right(problem)["dL_dW_hh"] * 2
    assert verdicts(check_own(problem, gradients={"dL_dW_hh": wrong})) == {"dL_dW_hh": "fail"}


def test_what_is_not_finite_is_undecided() -> None:
    problem = planted.problem(activation="identity")
    problem = replace(problem, x=frozen(problem.x * 1e200))
    found = {entry.name: entry for entry in check_own(problem)}
    assert found["losses"].verdict is not Verdict.FAIL
    assert worst(entry.verdict for entry in found.values()) == "inconclusive"
    assert found["dht_dhprev"].verdict is Verdict.PASS


@pytest.mark.parametrize("gain", [1e6, 1e10])
def test_no_relu_net_that_overflows_is_called_wrong(gain: float) -> None:
    """inf − inf is nan, and so is its slope times an h_{t−1} of 0."""
    normal = {"init": "normal"}
    found = rnngrad.check(
        rnngrad.load(
            {
                "activation": "relu",
                "weights": {
                    "W_xh": normal, "W_hh": {"init": "orthogonal", "gain": gain}, "W_hy": normal,
                },
                "sizes": {"inputs": 2, "hidden": 3, "outputs": 2},
                "inputs": {"random": "normal", "steps": 60},
                "targets": {"random": "normal"},
                "seed": 2,
            }
        )
    )  # fmt: skip
    failed = [one["name"] for one in found["quantities"] if one["verdict"] == "fail"]
    assert found["verdict"] == "inconclusive"
    assert failed == []


def test_a_nan_that_should_be_a_number_fails() -> None:
    wrong = RIGHT["dL_dW_xh"].copy()
    wrong[0, 1] = np.nan
    (entry,) = check_own(SMALL, gradients={"dL_dW_xh": wrong})
    assert entry.verdict is Verdict.FAIL
    assert entry.worst_index == (0, 1)


@pytest.mark.parametrize("name", RIGHT)
def test_a_wrong_shape_fails(name: str) -> None:
    (entry,) = check_own(SMALL, gradients={name: RIGHT[name][:-1]})
    assert entry.verdict is Verdict.FAIL
    assert entry.max_rel_error is None
    assert "shape" in entry.reason


def test_cancellation_widens_the_tolerance_and_says_so() -> None:
    net = planted.net(activation="identity", hidden=1)
    net |= {"b_h": np.array([-1.0]), "x": np.ones_like(net["x"]), "h_0": np.zeros(1)}
    net |= {"W_xh": np.array([[0.1, 0.9 + 1e-9]]), "W_hh": np.array([[0.5]])}
    found = {entry.name: entry for entry in check_own(nets.problem_of(net))}
    assert found["h"].verdict is not Verdict.FAIL


def test_an_unknown_method_is_named() -> None:
    with pytest.raises(UsageError, match=r"no method is called 'complexstep'.*did you mean"):
        check_own(SMALL, method="complexstep")


def test_a_large_net_is_checked_by_direction() -> None:
    problem = planted.problem(steps=200, hidden=32)
    found = check_own(problem)
    assert worst(entry.verdict for entry in found) == "pass", found
    by_name = {entry.name: entry for entry in found}
    assert by_name["dL_dW_hh"].method == "complex step, by direction"
    assert by_name["dL_dh"].method == "complex step, by direction"
    right = planted.right(problem)
    for name in ("dL_dW_hh", "dL_dh", "dLt_dht", "dL_dx"):
        wrong = right[name].copy()
        wrong[-1, 1] += 1e-7 * np.max(np.abs(wrong[-1]))
        assert verdicts(check_own(problem, gradients={name: wrong})) == {name: "fail"}


def test_progress_goes_from_0_to_1() -> None:
    told: list[float] = []
    check_own(SMALL, progress=lambda fraction, what: told.append(fraction))
    assert told == sorted(told)
    assert 0 <= told[0] < told[-1] <= 1


@pytest.mark.parametrize(
    ("steps", "method"),
    [
        (3, "auto"),
        (60, "auto"),
        (60, "taylor"),
        pytest.param(300, "taylor", marks=pytest.mark.slow),  # one step in 2
    ],
)
def test_every_part_of_a_check_has_its_share_of_the_time(
    steps: int, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    units = {"init": "uniform"}
    problem = rnngrad.load({
        "sizes": {"inputs": 2, "hidden": 6}, "weights": {"W_xh": units, "W_hh": units},
        "inputs": {"random": "normal", "steps": steps}, "targets": {"random": "normal"},
    })  # fmt: skip
    found = work.shares(problem, plan(problem, method), Quantities(problem), True)
    assert sum(share for _, share in found.values()) == pytest.approx(1.0)
    begun, within = [], Checker.within

    def watched(checker: Checker, part: str, *where: float) -> object:
        begun.append(part)
        return within(checker, part, *where)

    monkeypatch.setattr(Checker, "within", watched)
    check_own(problem, method=method)
    assert set(begun) == set(found)
    assert list(dict.fromkeys(begun)) == list(found)


def test_without_a_loss_only_the_recurrence_is_checked() -> None:
    bare = nets.problem_of(nets.bare_net([[0.5, 1.0], [0.0, 0.7]], 4, activation="tanh"))
    found = check_own(bare)
    assert worst(entry.verdict for entry in found) == "pass"
    assert [entry.name for entry in found] == list(Quantities(bare))


def test_the_taylor_remainder_falls_as_h_squared() -> None:
    found = {entry.name: entry for entry in check_own(SMALL, method="taylor")}
    rate = float(found["dL_dW_hh"].method.rpartition("h^")[2])
    assert rate == pytest.approx(2.0, abs=0.1)
    wrong = RIGHT["dL_dW_hh"] * 1.5
    (entry,) = check_own(SMALL, method="taylor", gradients={"dL_dW_hh": wrong})
    assert entry.verdict is Verdict.FAIL
    assert float(entry.method.rpartition("h^")[2]) == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize(
    ("part", "change", "name"),
    [
        ("loss", {"of_the_gap": lambda outputs: -1.0}, "dL_dy"),
        ("output", {"pull_back": lambda a, y, dL_dy: dL_dy}, "dLt_dht"),
        ("activation", {"slope": np.ones_like}, "dht_db_h"),
        ("activation", {"log2_slope": np.zeros_like}, ""),
    ],
)
def test_a_wrong_entry_in_any_table_is_caught(part: str, change: dict, name: str) -> None:
    net = planted.net() | {"output": "sigmoid"}
    problem = nets.problem_of(net)
    assert worst(entry.verdict for entry in check_own(problem)) == "pass"
    wrong = replace(problem, **{part: getattr(problem, part)._replace(**change)})
    found = verdicts(check_own(wrong))
    assert not name or found[name] == "fail"


def test_a_long_net_of_many_units_samples_its_chain() -> None:
    problem = planted.problem(steps=60, hidden=220)
    chain = planted.Quantities(problem)["log10_chain"]
    (entry,) = check_own(problem, gradients={"log10_chain": chain})
    assert entry.verdict is Verdict.PASS
    assert entry.method == "explicit Jacobians, one step in 2"
    (entry,) = check_own(problem, gradients={"log10_chain": chain + 1e-6})
    assert entry.verdict is Verdict.FAIL
