"""Every ∂L_t/∂s_k against the row of the step after it: a wrong one is seen wherever it stands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from oracles import any_cell
from rnngrad.analyses.checking.comparing.verdicts import Checked, Verdict
from rnngrad.analyses.checking.own import every_row, path_norms
from rnngrad.analyses.checking.own.self_check import check_own
from rnngrad.analyses.checking.references import plan, products
from rnngrad.analyses.derivation.quantities import Passes
from rnngrad.arithmetic.arrays import quietly
from rnngrad.arithmetic.scaled import Scaled
from rnngrad.cells import CELLS, NAMES
from rnngrad.chains import jacobians
from rnngrad.chains.jacobians import PulledBack, pulled_back
from rnngrad.net.problem import Problem

STEPS = 7


@pytest.fixture(autouse=True)
def ends_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """By direction, and of the steps the first and the last alone: no other sees a planted row."""
    monkeypatch.setattr(plan, "AFFORDABLE", 0.0)
    monkeypatch.setattr(plan, "ROWS", 1.0)


def net(cell: str, layers: int = 1, scale: float = 0.5) -> Problem:
    return any_cell.problem_of(
        CELLS[cell], seed=1, layers=layers, steps=STEPS, hidden=5, scale=scale
    )


def of_paths(problem: Problem, change: Callable[[PulledBack], PulledBack] | None = None) -> Checked:
    passes = Passes(problem)

    def paths() -> Iterator[PulledBack]:
        for reached in pulled_back(problem, passes.forward, passes.direct):
            yield reached if change is None else change(reached)

    found = {one.name: one for one in check_own(problem, gradients={}, paths=paths)}
    return found["dLt_dhk"]


def one_entry_off(k: int, t: int, column: int, by: float = 1e-6) -> Callable[[PulledBack], Any]:
    """∂L_t/∂s_k with one entry off by that share of the largest of the row's part."""

    def change(reached: PulledBack) -> PulledBack:
        if reached.k != k:
            return reached
        rows, row = reached.at_s, int(np.flatnonzero(reached.steps == t)[0])
        values, top = rows[row : row + 1].aligned(axis=1)
        start = column - column % 5
        values[0, column] += by * np.abs(values[0, start : start + 5]).max()
        fraction, shift = np.frexp(values[0])
        mantissa, exponent = rows.mantissa.copy(), rows.exponent.copy()
        mantissa[row] = fraction
        exponent[row] = np.where(fraction == 0, exponent[row], shift + top[0])
        return reached._replace(rows=Scaled(mantissa, exponent))

    return change


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("cell", NAMES)
def test_right_rows_pass(cell: str, layers: int) -> None:
    found = of_paths(net(cell, layers))
    assert (found.verdict, found.miss) == (Verdict.PASS, 2.0**-20)
    assert found.max_rel_error is not None
    assert found.max_rel_error < 1e-11


@pytest.mark.cases(6)
@pytest.mark.parametrize("kind", ["floats", "any exponent"])
@pytest.mark.parametrize(("cell", "layers"), [("rnn", 1), ("gru", 2), ("lstm", 1), ("lstm", 2)])
def test_one_entry_of_one_row_is_seen(
    cell: str, layers: int, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = net(cell, layers)
    if kind == "any exponent":
        monkeypatch.setattr(every_row, "step_in_floats", lambda *_: None)
        monkeypatch.setattr(jacobians, "plain_net", lambda *_: None)
    assert of_paths(problem).verdict is Verdict.PASS
    top = problem.layers[-1].state[0].start  # all that L_4 sees of s_4 is h_4 of the top layer
    for k, t, column in ((3, 5, 0), (4, 4, top + 2), (2, 7, problem.state_size - 1)):
        found = of_paths(problem, one_entry_off(k, t, column))
        assert found.verdict is Verdict.FAIL
        assert found.worst_index in ((t - 1, k), (t - 1, k - 1))


def test_without_it_nothing_sees_that(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is planted above is out of sight of the steps that are sampled."""
    monkeypatch.setattr(every_row.EveryRow, "along", lambda _, paths: paths)
    assert of_paths(net("gru"), one_entry_off(3, 5, 0)).verdict is Verdict.PASS


def test_a_whole_path_that_begins_wrong_is_seen() -> None:
    """All rows of L_5 twice as large: each follows from the one after it, but for the first."""

    def change(reached: PulledBack) -> PulledBack:
        rows, exponent = reached.at_s, reached.at_s.exponent.copy()
        exponent[reached.steps == 5] += 1
        return reached._replace(rows=Scaled(rows.mantissa, exponent))

    found = of_paths(net("lstm"), change)
    assert found.verdict is Verdict.FAIL
    assert found.worst_index == (4, 5)


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_the_norms_of_paths_are_the_lengths_of_right_rows(
    cell: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = net(cell)
    passes = Passes(problem)

    def of_norms(norms: np.ndarray, by: float = 0.0) -> Checked:
        def paths() -> Iterator[PulledBack]:
            for reached in pulled_back(problem, passes.forward, passes.direct):
                yield one_entry_off(3, 5, 0, by)(reached)

        found = check_own(problem, gradients={"log10_paths": norms}, paths=paths)
        return {one.name: one for one in found}["log10_paths"]

    with monkeypatch.context() as without:
        without.setattr(products, "explicit", None)
        right = jacobians.log10_paths(problem, passes.forward, passes.direct)
        entry = of_norms(right)
        assert (entry.verdict, entry.miss) == (Verdict.PASS, 2.0**-20)
        assert entry.method == f"lengths of every ∂L_t/∂{'h' if cell == 'rnn' else 's'}_k"
        for row, column in ((6, 0), (4, 3), (2, 3)):
            wrong = right.copy()
            wrong[row, column] += 3e-8
            entry = of_norms(wrong)
            assert (entry.verdict, entry.worst_index) == (Verdict.FAIL, (row, column))
    entry = of_norms(right, 1e-3)
    assert (entry.verdict, entry.miss, entry.method) == (Verdict.PASS, None, products.TITLE)


@pytest.mark.parametrize(("error", "right"), [(9e-12, True), (2e-11, False), (None, False)])
def test_rows_are_right_enough_for_a_length_of_1e_8(error: float | None, right: bool) -> None:
    """Of 1,000 steps, each of which may be off by as much as the worst of them."""
    rows = Checked("dLt_dhk", Verdict.PASS, "", max_rel_error=error)
    assert path_norms._right(rows, 1000) is right


def test_rows_that_no_float_holds() -> None:
    """Slopes of 1e-60 and less a step: after six of them a row is far below the range of floats."""
    problem = net("rnn", scale=150.0)
    passes = Passes(problem)
    with quietly():
        last = list(pulled_back(problem, passes.forward, passes.direct))[-1]
    assert last.at_s.exponent.max(axis=1).min() < -1100
    assert of_paths(problem).verdict is Verdict.PASS
    assert of_paths(problem, one_entry_off(3, 6, 1)).verdict is Verdict.FAIL


@pytest.mark.cases(1)
@pytest.mark.parametrize(("layers", "seed"), [(1, 0), (2, 1)])
def test_rows_that_are_all_rounding_are_not_called_wrong(layers: int, seed: int) -> None:
    """m cancels in h of slstm: what is left of ∂L_t/∂m_k is rounding, and another one each way."""
    problem = any_cell.problem_of(
        CELLS["slstm"], seed=seed, layers=layers, steps=8, hidden=4, scale=50.0
    )
    assert of_paths(problem).verdict is Verdict.INCONCLUSIVE
