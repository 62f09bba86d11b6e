"""What the report asks where no mistake is named: a mean, a batch, a norm, float32, zeros."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

import rnngrad
from checking import cells
from checking.other_cells import own, shipped
from cli.running import run
from rnngrad.analyses.checking.against import check_arrays
from rnngrad.analyses.checking.comparing.verdicts import Checked, Verdict
from rnngrad.analyses.checking.document import document
from rnngrad.analyses.checking.own.self_check import check_own
from rnngrad.net.problem import Problem
from rnngrad.views.check import report
from rnngrad.views.formats.to_rich import render
from rnngrad.views.report import Screen

TOTALS = ("dL_dW_xh", "dL_dW_hh", "dL_db_h", "dL_dW_hy", "dL_db_y")


def net(seed: int = 3, **more: object) -> Problem:
    rng = np.random.default_rng(seed)
    spec: dict[str, object] = {
        "weights": {
            "W_xh": rng.normal(size=(4, 2)) / 2,
            "W_hh": rng.normal(size=(4, 4)) / 2,
            "W_hy": rng.normal(size=(3, 4)),
        },
        "inputs": rng.normal(size=(5, 2)),
        "targets": rng.normal(size=(5, 3)),
    }
    return rnngrad.load(spec | more)


def totals(problem: Problem) -> dict[str, np.ndarray]:
    gradients = rnngrad.gradients(problem)
    return {name: np.array(gradients[name]) for name in TOTALS}


NET = net()
RIGHT = totals(NET)


def explained(problem: Problem, arrays: Mapping[str, Any], *, hidden: bool = False) -> set[str]:
    """Every explanation of the report."""
    quantities: Any = document(check_arrays(problem, arrays), hide_expected=hidden)["quantities"]
    return {q["diagnosis"]["explanation"] for q in quantities if q["diagnosis"]}


# ---------------------------------------------------------------- a factor

SCALED = "every number is the same multiple of the right one: a factor too many or too few"


@pytest.mark.parametrize(
    ("factor", "asks"),
    [
        (1 / 3, "the factor is 1/O = 1/3: the mean over outputs, or over a batch of 3?"),
        (1 / 15, "the factor is 1/(T·O) = 1/15: the mean over steps and outputs, "
                 "or over a batch of 15?"),
        (1 / 16, "the factor is 1/16: the mean over a batch of 16?"),
        (5.0, "the factor is T = 5: the sum over steps, or over a batch of 5?"),
        (15.0, "the factor is T·O = 15: the sum over steps and outputs, or over a batch of 15?"),
        (16.0, "the factor is 16: the sum over a batch of 16?"),
    ],
)  # fmt: skip
def test_a_factor_that_is_a_count_is_asked_about(factor: float, asks: str) -> None:
    arrays = {name: factor * array for name, array in RIGHT.items()}
    assert explained(NET, arrays) == {f"{SCALED}; {asks}"}
    single = {name: (factor * array).astype(np.float32) for name, array in RIGHT.items()}
    assert explained(NET, single) == {f"{SCALED}; {asks}"}


@pytest.mark.parametrize("factor", [0.5, 7.0])
def test_a_factor_beside_right_gradients_is_not_asked_about(factor: float) -> None:
    """One array's factor is no missing 2 of the loss, no mean, and no batch."""
    one, *_ = RIGHT
    report: Any = document(check_arrays(NET, RIGHT | {one: factor * RIGHT[one]}))
    (wrong,) = [entry for entry in report["quantities"] if entry["verdict"] == "fail"]
    assert wrong["diagnosis"]["bug"] == "scaled"
    words = "; other gradients are right, so the factor is not the loss's"
    assert wrong["diagnosis"]["explanation"] == SCALED + words


def test_only_the_steps_that_count() -> None:
    problem = net(loss_steps=[4, 5])
    (told,) = explained(problem, {n: a / 6 for n, a in totals(problem).items()})
    assert told.endswith("the factor is 1/6: the mean over steps that count and outputs, "
                         "or over a batch of 6?")  # fmt: skip


@pytest.mark.parametrize("factor", [0.37, 1.7, -16.0, 1.0001, 15.001, 1e-9, 1e9])
def test_any_other_factor_is_not(factor: float) -> None:
    assert explained(NET, {name: factor * array for name, array in RIGHT.items()}) == {SCALED}


def test_hidden_the_question_is_the_same_whatever_the_factor() -> None:
    words = set()
    for factor in (1 / 3, 1 / 15, 1 / 16, 16.0, 0.37, 1.7):
        words |= explained(NET, {n: factor * a for n, a in RIGHT.items()}, hidden=True)
    (told,) = words
    assert told == "every number is the same multiple of the right one: a mean, a sum, a batch?"


# ---------------------------------------------------------------- a batch


def of_a_batch(tmp_path: Path, count: int = 16) -> tuple[Path, dict[str, np.ndarray]]:
    """A spec of the first of a batch of sequences, and the batch's own gradient: the mean."""
    rng = np.random.default_rng(0)
    model = {"rnn.weight_ih_l0": rng.normal(size=(4, 2)),
             "rnn.weight_hh_l0": rng.normal(size=(4, 4)) / 2,
             "rnn.bias_ih_l0": rng.normal(size=4), "rnn.bias_hh_l0": np.zeros(4),
             "fc.weight": rng.normal(size=(1, 4)), "fc.bias": np.zeros(1)}  # fmt: skip
    save_file(model, tmp_path / "net.safetensors")
    x, t = rng.normal(size=(count, 5, 2)), rng.normal(size=(count, 5, 1))
    np.save(tmp_path / "x.npy", x[0])
    np.save(tmp_path / "t.npy", t[0])
    spec = """\
weights:
  file: net.safetensors
  layout: torch
  W_hy: {file: net.safetensors, key: fc.weight}
  b_y: {file: net.safetensors, key: fc.bias}
loss_steps: last
loss: mean_squared_error
inputs: {file: x.npy}
targets: {file: t.npy}
"""
    (tmp_path / "one.yaml").write_text(spec)
    weights = {"W_xh": model["rnn.weight_ih_l0"], "W_hh": model["rnn.weight_hh_l0"],
               "b_h": model["rnn.bias_ih_l0"], "W_hy": model["fc.weight"]}  # fmt: skip
    each = [
        totals(rnngrad.load({"weights": weights, "loss_steps": "last", "inputs": one, "targets": to,
                             "loss": "mean_squared_error"}))
        for one, to in zip(x, t, strict=True)
    ]  # fmt: skip
    mean = {name: sum(one[name] for one in each) / count for name in TOTALS}
    return tmp_path / "one.yaml", mean


KEYS = {"rnn.weight_ih_l0": "dL_dW_xh", "rnn.weight_hh_l0": "dL_dW_hh", "rnn.bias_ih_l0": "dL_db_h",
        "rnn.bias_hh_l0": "dL_db_h", "fc.weight": "dL_dW_hy", "fc.bias": "dL_db_y"}  # fmt: skip
QUESTION = (
    "no known mistake gives these numbers, and nothing is right: is it the gradient of another "
    "loss, such as a mean over steps or outputs, or of more sequences than this one, a batch?"
)

LONELY = "a single number is wrong, and that alone does not tell one mistake from another"
"""b_y of one output."""


def test_a_framework_s_file_that_fails_altogether_asks_for_a_batch(tmp_path: Path) -> None:
    spec, mean = of_a_batch(tmp_path)
    save_file({key: mean[name].astype(np.float32) for key, name in KEYS.items()},
              tmp_path / "grads.safetensors")  # fmt: skip
    done = run("check", "one.yaml", "--against", "grads.safetensors", "--json", cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    found = [q["diagnosis"] for q in json.loads(done.stdout)["quantities"]]
    assert [d and d["explanation"] for d in found] == [QUESTION] * 4 + [LONELY]
    done = run("check", "one.yaml", "--against", "grads.safetensors", cwd=tmp_path)
    assert done.stdout.count("a batch?") == 1
    done = run(
        "check", "one.yaml", "--against", "grads.safetensors", "--hide-expected", "--json",
        cwd=tmp_path,
    )  # fmt: skip
    assert [q["diagnosis"] for q in json.loads(done.stdout)["quantities"]] == [None] * 5
    assert explained(rnngrad.load(spec), mean) == {
        QUESTION,
        LONELY,
    }  # from Python, by the contract's names


def test_pytorch_s_names_are_a_framework_s_too() -> None:
    other = totals(net(4))
    named = {"weight_ih_l0": other["dL_dW_xh"], "weight_hh_l0": other["dL_dW_hh"]}
    assert explained(NET, named) == {QUESTION}


def test_what_is_right_in_part_or_nobody_s_framework_is_not_asked() -> None:
    other = totals(net(4))
    assert QUESTION not in explained(NET, other)
    partly = {"weight_ih_l0": other["dL_dW_xh"], "weight_hh_l0": RIGHT["dL_dW_hh"]}
    assert QUESTION not in explained(NET, partly)
    named = {"weight_ih_l0": 2.7 * RIGHT["dL_dW_xh"], "weight_hh_l0": 2.7 * RIGHT["dL_dW_hh"]}
    assert explained(NET, named) == {SCALED}


# ---------------------------------------------------------------- float32

SINGLE = (
    "these are numbers of float32, and off by no more than its rounding may grow to: compute and "
    "save in float64"
)


NEARLY = 1 + 6e-4 * np.linspace(-1, 1, 16).reshape(4, 4)


def entry(array: Any, name: str = "dL_dW_hh") -> Checked:
    (found,) = check_arrays(NET, {name: array})
    return found


@pytest.mark.parametrize(
    "array",
    [
        pytest.param(RIGHT["dL_dW_hh"].astype(np.float32).astype(np.float64), id="widened"),
        pytest.param((RIGHT["dL_dW_hh"] * NEARLY).astype(np.float32), id="float32"),
    ],
)
def test_a_residual_of_float32_is_told(array: np.ndarray) -> None:
    found = entry(array)
    assert found.verdict is Verdict.FAIL
    assert found.diagnosis is not None
    assert found.diagnosis.explanation == SINGLE
    hidden: Any = document([found], hide_expected=True)["quantities"]
    assert hidden[0]["diagnosis"] is None


@pytest.mark.parametrize(
    "array",
    [
        pytest.param(RIGHT["dL_dW_hh"] + 1e-7, id="float64"),
        pytest.param((RIGHT["dL_dW_hh"] + 0.1).astype(np.float32), id="far off"),
        pytest.param(np.round(RIGHT["dL_dW_hh"] * 64) / 64, id="few bits"),
    ],
)
def test_other_residuals_are_not(array: np.ndarray) -> None:
    found = entry(array)
    assert found.verdict is Verdict.FAIL
    assert found.diagnosis is None


def test_a_float32_that_is_undecided_is_told() -> None:
    rng = np.random.default_rng(0)
    weights = {"W_xh": rng.normal(size=(20, 2)), "W_hh": rng.normal(size=(20, 20)) * 0.6}
    chaotic = rnngrad.load({"weights": weights, "inputs": rng.normal(size=(60, 2)),
                            "targets": rng.normal(size=(60, 20))})  # fmt: skip
    right = rnngrad.gradients(chaotic)["dL_dW_hh"]
    wrong = right * (1 + rng.normal(size=(20, 20)))
    (found,) = check_arrays(chaotic, {"dL_dW_hh": wrong.astype(np.float32)})
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.reason.endswith("and explains the difference; compute and save in float64")


# ---------------------------------------------------------------- not filled in


def test_zeros_are_asked_about() -> None:
    done = check_arrays(NET, {name: np.zeros_like(array) for name, array in RIGHT.items()})
    assert {found.verdict for found in done} == {Verdict.FAIL}
    assert {found.reason for found in done} == {"every number is 0: is it not filled in yet?"}


def test_zeros_of_a_framework_are_no_batch() -> None:
    """A trained model's function that is not filled in was asked both."""
    zeros = {name: np.zeros_like(array) for name, array in RIGHT.items()}
    done = check_arrays(NET, zeros, framework=True)
    assert {found.reason for found in done} == {"every number is 0: is it not filled in yet?"}
    told = [found.diagnosis for found in done if found.diagnosis is not None]
    assert not any("batch" in one.explanation for one in told)


def test_zeros_that_a_mistake_explains_or_that_are_right_are_not() -> None:
    still = net(h_0=0.0, loss_steps=[1])
    right = totals(still)
    assert not right["dL_dW_hh"].any()
    (found,) = check_arrays(still, {"dL_dW_hh": right["dL_dW_hh"]})
    assert (found.verdict, found.reason) == (Verdict.PASS, "")


# ---------------------------------------------------------------- what is not known is not expected


def test_what_is_inconclusive_shows_no_expected(tmp_path: Path) -> None:
    """A gate so saturated that the reference is out of reach, and was shown as 0."""
    problem = cells.problem(1, scale=300.0)
    checked = check_own(problem)
    quantities: Any = document(checked)["quantities"]
    undecided = [q for q in quantities if q["verdict"] == "inconclusive"]
    assert {q["name"] for q in undecided} == {"dLt_dhk", "dLt_dak", "log10_paths"}
    assert {q["expected"] for q in undecided} == {None}
    assert None not in {q["got"] for q in undecided}
    assert any(q["expected"] is not None for q in quantities)
    shown = render(report(checked, heading=("own",), hide_expected=False, of=problem), Screen())
    words = " ".join("".join(shown).split())
    assert "inconclusive" in words
    assert "expected" not in words


def test_a_wrong_number_shows_what_it_should_be() -> None:
    """The loss has no worst entry; it was shown without its values."""
    net = {"weights": {"W_xh": 0.5, "W_hh": 0.5}, "inputs": [1.0], "targets": [2.0]}
    checked = check_arrays(rnngrad.load(net), {"loss": 1.0})
    shown = render(
        report(checked, heading=("own",), hide_expected=False, of=rnngrad.load(net)), Screen()
    )
    assert "loss: expected 2.36508, got 1" in "".join(shown)


# ---------------------------------------------------------------- zeros, gate by gate, step by step


def reasons(problem: Problem, **arrays: np.ndarray) -> dict[str, str]:
    return {found.name: found.reason for found in check_arrays(problem, arrays)}


def test_zeros_of_one_array_among_several_are_asked_about() -> None:
    arrays = {name: array.copy() for name, array in RIGHT.items()}
    arrays["dL_dW_hh"] *= 0
    arrays["dL_dW_xh"] += 1.0
    said = {found.name: found.reason for found in check_arrays(NET, arrays)}
    assert said.pop("dL_dW_hh") == "every number is 0: is it not filled in yet?"
    assert {*said.values()} == {""}


LSTM = cells.problem(3, ("lstm", 1), steps=5, hidden=3, scale=0.5)
GRU = cells.problem(3, ("gru", 1), steps=5, hidden=3, scale=0.5)
STACK = cells.problem(3, ("lstm", 2), steps=5, hidden=2, scale=0.5)
PROJECTION, OWN = shipped("lstm_projection", P=2), own()


@pytest.mark.cases(4)
@pytest.mark.parametrize(
    ("problem", "name", "rows", "words"),
    [
        (LSTM, "dL_dW_xh", slice(3, 6), "gate f: every number is 0"),
        (LSTM, "dL_dW_hh", [3, 4, 5, 9, 10, 11], "gates f, o: every number is 0"),
        (LSTM, "dL_db_h", slice(6, 9), "gate g: every number is 0"),
        (LSTM, "dL_dW_hh", [4, 10], "gate f, unit 1; gate o, unit 1: every number is 0"),
        (LSTM, "dL_db_h", [4], ""),  # one number of many is no row
        (GRU, "dL_db_hh", slice(0, 3), "gate r: every number is 0"),
        (STACK, "dL_dW_xh.1", slice(2, 4), "gate f: every number is 0"),
        (STACK, "dL_dW_xh.1", [2], "layer 1, gate f, unit 0: every number is 0"),
        (PROJECTION, "dL_dW_hf", [2], "unit 2 of f: every number is 0"),
        (OWN, "dL_dW_cu", [1], "unit 1 of u: every number is 0"),
        (LSTM, "dL_dW_hy", [0], "output 0: every number is 0"),
        (LSTM, "dL_dh", [1], "step 1: every number is 0"),
        (LSTM, "dL_dx", [0, 1, 2, 4], "steps 1 to 3, 5: every number is 0"),
        (LSTM, "dL_dc", [0, 1], "steps 0, 1: every number is 0"),
        (LSTM, "losses", [1], "step 2: the number is 0"),
        (LSTM, "log10_chain", [1], ""),  # a factor of 1
    ],
)
def test_rows_of_zeros_are_told(problem: Problem, name: str, rows: Any, words: str) -> None:
    array = np.array(rnngrad.derive(problem)[name])
    array[rows] = 0.0
    rest = np.ones(len(array), dtype=bool)
    rest[rows] = False
    array[rest] *= 1.0 + 1e-3 * np.arange(rest.sum()).reshape(-1, *[1] * (array.ndim - 1))
    (found,) = check_arrays(problem, {name: array})
    assert (found.verdict, found.reason) == (Verdict.FAIL, words)
    hidden: Any = document([found], hide_expected=True)["quantities"]
    assert hidden[0]["reason"] == (words or None)


def test_zeros_that_are_right_are_not_told() -> None:
    """∂L/∂c_T is 0, and so is row T: what is wrong is another row."""
    array = np.array(rnngrad.derive(LSTM)["dL_dc"])
    assert not array[5].any()
    array[2] += 1.0
    assert reasons(LSTM, dL_dc=array) == {"dL_dc": ""}


def test_many_rows_of_zeros_are_counted() -> None:
    """Rows of a matrix without gates; four by name."""
    problem = cells.problem(3, ("rnn", 1), steps=5, hidden=9, scale=0.3)
    array = np.array(rnngrad.derive(problem)["dL_dW_hh"])
    array[:7] = 0.0
    array[7:] *= 1.1
    words = "unit 0; unit 1; unit 2; unit 3; and 3 more rows: every number is 0"
    assert reasons(problem, dL_dW_hh=array) == {"dL_dW_hh": words}


# ---------------------------------------------------------------- scaled to a norm

AFTER = "does: that is a step of training, after the gradient"
MANY = "every number is the same multiple of the right one: a factor too many or too few"


def norm_of(arrays: dict[str, np.ndarray]) -> float:
    return float(np.sqrt(sum(np.sum(array**2) for array in arrays.values())))


def gradients_of(problem: Problem) -> dict[str, np.ndarray]:
    """The parameters' alone."""
    return {f"dL_d{name}": np.array(rnngrad.derive(problem)[f"dL_d{name}"])
            for name in problem.weights}  # fmt: skip


def said(problem: Problem, arrays: dict[str, np.ndarray]) -> set[tuple[str | None, str]]:
    told = [found.diagnosis for found in check_arrays(problem, arrays)]
    return {(one.bug, one.explanation) for one in told if one is not None}


def said_hidden(problem: Problem, arrays: dict[str, np.ndarray]) -> set[tuple[str | None, str]]:
    hidden: Any = document(check_arrays(problem, arrays), hide_expected=True)["quantities"]
    assert not [q for q in hidden if "factor" in (q["diagnosis"] or {})]
    return {(q["diagnosis"]["bug"], q["diagnosis"]["explanation"]) for q in hidden
            if q["diagnosis"]}  # fmt: skip


NORMED = {"rnn": NET, "lstm": LSTM, "gru": GRU, "stack": STACK,
          "projection": PROJECTION, "own": OWN}  # fmt: skip
TOGETHER = "the gradients have been scaled to"
ALONE = "this gradient has been scaled to"


@pytest.mark.cases(12)
@pytest.mark.parametrize("net", NORMED)
@pytest.mark.parametrize("share", [1.0, 5.0, 0.25, 12.5])
def test_a_gradient_scaled_to_a_norm_is_told(net: str, share: float) -> None:
    right = gradients_of(NORMED[net])
    scaled = {name: array * (share / norm_of(right)) for name, array in right.items()}
    how = "clipping by norm" if share < norm_of(right) else "normalising"
    words = f"{TOGETHER} norm {share:g}, as {how} {AFTER}"
    assert said(NORMED[net], scaled) == {("scaled", words)}
    hidden = f"{TOGETHER} a norm, as {how} {AFTER}"
    assert said_hidden(NORMED[net], scaled) == {("scaled", hidden)}


def test_what_else_has_the_factor_is_told_so_too() -> None:
    """∂L/∂h_t times the same factor does not count for the norm."""
    right = gradients_of(LSTM)
    factor = 0.25 / norm_of(right)
    right["dL_dh"] = np.array(rnngrad.derive(LSTM)["dL_dh"])
    scaled = {name: array * factor for name, array in right.items()}
    words = f"{TOGETHER} norm 0.25, as clipping by norm {AFTER}"
    assert said(LSTM, scaled) == {("scaled", words)}


def test_each_array_scaled_to_its_own_norm_is_told() -> None:
    """Keras's clipnorm: those that are smaller stay as they are."""
    right = gradients_of(LSTM)
    limit = float(f"{np.median([norm_of({'': array}) for array in right.values()]):.1g}")
    clipped = {n: a * min(1.0, limit / norm_of({"": a})) for n, a in right.items()}
    checked = check_arrays(LSTM, clipped)
    wrong = {found.name for found in checked if found.verdict is Verdict.FAIL}
    assert wrong == {n for n, a in right.items() if norm_of({"": a}) > limit}
    assert 1 < len(wrong) < len(right)
    words = f"{ALONE} norm {limit:g}, as clipping by norm {AFTER}"
    assert said(LSTM, clipped) == {("scaled", words)}
    shown = render(report(checked, heading=("own",), hide_expected=False, of=LSTM), Screen())
    factors = {found.diagnosis.factor for found in checked if found.diagnosis}
    assert "".join(shown).count("diagnosis: scaled (factor") == len(wrong) == len(factors)


def test_pytorch_s_clipping_is_told() -> None:
    """N / (‖g‖ + 10⁻⁶), and two biases that are alike; hidden, its 10⁻⁶ would tell the factor."""
    right = gradients_of(LSTM)
    both = norm_of(right | {"again": right["dL_db_h"]})
    scaled = {name: array * (0.5 / (both + 1e-6)) for name, array in right.items()}
    words = f"{TOGETHER} norm 0.5, as clipping by norm {AFTER}"
    assert said(LSTM, scaled) == {("scaled", words)}
    ((bug, hidden),) = said_hidden(LSTM, scaled)
    assert (bug, "norm" in hidden) == ("scaled", False)
    single = {name: array.astype(np.float32) for name, array in scaled.items()}
    assert said(LSTM, single) == {("scaled", words)}


@pytest.mark.parametrize("factor", [2.0, 0.75, 1.5, 2.0 / 3.0, 3.14])
def test_a_factor_that_says_something_itself_is_no_norm(factor: float) -> None:
    """Weights such that the right gradient's norm is round, which the factor leaves round."""
    net: dict[str, Any] = {"weights": {"W_xh": [[1.0, 2.0]], "W_hh": 0.5}, "inputs": [[3.0, 4.0]],
                           "activation": "relu", "targets": [10.0]}  # fmt: skip
    problem = rnngrad.load(net)
    right = np.array(rnngrad.derive(problem)["dL_dW_xh"])
    assert norm_of({"": right}) == 10.0
    ((bug, words),) = said(problem, {"dL_dW_xh": right * factor})
    assert (bug, "norm" in words) == ("scaled", False)


def test_any_other_factor_is_no_norm() -> None:
    """Of 20 factors none makes a round norm: 900 round numbers in a decade, each 10⁻⁹ wide."""
    right = gradients_of(LSTM)
    for factor in np.random.default_rng(0).uniform(0.01, 3.0, 20):
        scaled = {name: array * factor for name, array in right.items()}
        assert said(LSTM, scaled) == {("scaled", MANY)}


def test_a_file_of_numbers_is_told_likewise(tmp_path: Path) -> None:
    """What ``json.dumps`` writes counts as typed to all of its digits."""
    right = gradients_of(LSTM)
    scaled = {name: (array * (0.25 / norm_of(right))).tolist() for name, array in right.items()}
    (tmp_path / "grads.json").write_text(json.dumps(scaled))
    told: Any = rnngrad.check(LSTM, tmp_path / "grads.json")
    words = f"{TOGETHER} norm 0.25, as clipping by norm {AFTER}"
    assert {q["diagnosis"]["explanation"] for q in told["quantities"]} == {words}
