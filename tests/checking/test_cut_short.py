"""Ctrl-C in a check: what has a verdict keeps it, and of all else it is said that it has none."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import rnngrad
from checking import planted
from cli.running import SHEET, run
from oracles import any_cell
from rnngrad.analyses.checking import against
from rnngrad.analyses.checking.against import UNNAMED, check_arrays
from rnngrad.analyses.checking.comparing.verdicts import INTERRUPTED, CutShortError, Verdict
from rnngrad.analyses.checking.own import self_check, totals_and_paths
from rnngrad.analyses.checking.own.self_check import check_own
from rnngrad.cells import CELLS, NAMES


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("name", NAMES)
def test_what_is_asked_for_is_what_is_answered(
    name: str, layers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that nothing is left out where Ctrl-C comes: it comes after the last verdict here."""
    problem = any_cell.problem_of(CELLS[name], seed=1, layers=layers, steps=2, hidden=2)
    whole = check_own(problem)
    every = self_check._every_check

    def interrupted(checker: self_check.Checker) -> object:
        yield next(every(checker))
        raise KeyboardInterrupt

    monkeypatch.setattr(self_check, "_every_check", interrupted)
    with pytest.raises(CutShortError) as cut:
        check_own(problem)
    assert [entry.name for entry in cut.value.checked] == [entry.name for entry in whole]
    first, *rest = cut.value.checked
    assert first == whole[0]
    assert {(entry.verdict, entry.reason) for entry in rest} == {
        (Verdict.INCONCLUSIVE, INTERRUPTED)
    }


def test_a_wrong_one_found_before_stays_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = planted.problem()
    wrong = dict(planted.Quantities(problem))
    wrong["dL_dh"] = wrong["dL_dh"] * 1.01

    def stop(checker: object) -> object:
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(totals_and_paths, "_of_places", stop)
    with pytest.raises(CutShortError) as cut:
        check_own(problem, gradients=wrong)
    found = {entry.name: entry.verdict for entry in cut.value.checked}
    assert found["dL_dh"] is Verdict.FAIL
    assert found["h"] is Verdict.PASS
    assert found["dL_dW_hh"] is Verdict.INCONCLUSIVE


def stopped(monkeypatch: pytest.MonkeyPatch, module: object, name: str, call: int = 1) -> None:
    """The ``call``-th call of a function is where Ctrl-C comes."""
    function, calls = getattr(module, name), []

    def stop(*given: object, **more: object) -> object:
        calls.append(name)
        if len(calls) == call:
            raise KeyboardInterrupt
        return function(*given, **more)

    monkeypatch.setattr(module, name, stop)


def test_the_command_prints_what_is_done_and_ends_with_130(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stopped(monkeypatch, totals_and_paths, "_of_inputs")
    done = run("check", SHEET, "--json")
    assert done.returncode == 130
    assert "interrupted" in done.stderr
    found = json.loads(done.stdout)
    assert found["verdict"] == "inconclusive"
    verdicts = {entry["name"]: (entry["verdict"], entry["reason"]) for entry in found["quantities"]}
    assert list(verdicts) == [*rnngrad.derive(rnngrad.load(SHEET)), "dLt_dhk", "dLt_dak"]
    assert verdicts["dLt_dhk"] == ("pass", None)
    assert verdicts["dL_dW_hh"] == ("inconclusive", INTERRUPTED)


def test_in_words_too(monkeypatch: pytest.MonkeyPatch) -> None:
    stopped(monkeypatch, totals_and_paths, "_of_parameters")
    done = run("check", SHEET)
    assert done.returncode == 130
    assert "dL_dW_xh, dL_dW_hh, dL_db_h, dL_dW_hy, dL_db_y: inconclusive" in done.stdout
    assert INTERRUPTED in done.stdout


@pytest.mark.parametrize(
    ("name", "call", "left"), [("judge", 3, INTERRUPTED), ("diagnose", 1, UNNAMED)]
)
def test_somebody_elses_arrays(
    name: str, call: int, left: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quantities = rnngrad.derive(rnngrad.load(SHEET))
    wrong = {n: quantities[n] for n in ("dL_dh", "dL_dW_xh", "dL_dW_hh")}
    wrong["dL_dW_hh"] = wrong["dL_dW_hh"] * 2
    np.savez(tmp_path / "g.npz", **wrong)
    stopped(monkeypatch, against, name, call)
    done = run("check", SHEET, "--against", str(tmp_path / "g.npz"), "--json")
    assert done.returncode == 130
    found = {entry["name"]: entry for entry in json.loads(done.stdout)["quantities"]}
    assert set(found) == set(wrong)
    assert found["dL_dh"]["verdict"] == "pass"
    last = found["dL_dW_hh"]
    assert last["verdict"] == ("inconclusive" if name == "judge" else "fail")
    assert last["reason"] == left
    assert last["diagnosis"] is None


def test_the_second_of_two_keys_is_not_passed_unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = planted.problem()
    right = planted.Quantities(problem)["dL_dW_hh"]
    stopped(monkeypatch, against, "judge", 2)
    with pytest.raises(CutShortError) as cut:
        check_arrays(problem, {"dL_dW_hh": right}, {"dL_dW_hh": ("dWhh", right * 2)})
    assert [entry.verdict for entry in cut.value.checked] == [Verdict.INCONCLUSIVE]
