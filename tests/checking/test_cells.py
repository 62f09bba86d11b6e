"""gru, lstm and stacks: right gradients pass by every method, and planted mistakes fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

import rnngrad
from checking import cells
from rnngrad.algebra.expressions import Add, Mul, Number
from rnngrad.algebra.step_graph import Diagonal, Matrix, Step
from rnngrad.analyses.checking.comparing.verdicts import Checked, Verdict, worst
from rnngrad.analyses.checking.own.self_check import check_own
from rnngrad.analyses.checking.references import perturbations
from rnngrad.analyses.checking.references.methods import METHODS
from rnngrad.analyses.checking.references.perturbed_forward import setting
from rnngrad.analyses.checking.references.step_derivatives import linear
from rnngrad.analyses.derivation.quantities import Passes, records
from rnngrad.arithmetic.arrays import frozen
from rnngrad.arithmetic.scaled import Scaled
from rnngrad.chains.jacobians import PulledBack, pulled_back
from rnngrad.net.cells import Group
from rnngrad.net.problem import Problem

PATHS = ("dLt_dhk", "dLt_dak")
KINDS = [("gru", 1), ("lstm", 1), ("rnn", 2), ("gru", 2), ("lstm", 2)]
SMALL = {kind: cells.problem(4, kind, steps=4, hidden=3, scale=0.6) for kind in KINDS}
NAMES = [(kind, name) for kind in KINDS for name in records(SMALL[kind])]


def verdicts(checked: list[Checked]) -> dict[str, str]:
    return {entry.name: str(entry.verdict) for entry in checked}


def told(values: object) -> str:
    return "-".join(map(str, values)) if isinstance(values, tuple) else str(values)


@pytest.mark.cases(3)
@pytest.mark.parametrize("method", ["complex-step", "adjoint"])
@pytest.mark.parametrize("decade", range(3))
def test_right_gradients_pass(decade: int, method: str) -> None:
    for seed in range(12 * decade, 12 * decade + 12):
        problem = cells.problem(seed)
        found = check_own(problem, method=method)
        assert [e for e in found if e.verdict is not Verdict.PASS] == [], seed
        assert {entry.name for entry in found} == {*records(problem), *PATHS}


@pytest.mark.cases(1)
@pytest.mark.parametrize(
    "seeds_of_nets", [range(0, 35, 5), pytest.param(range(35, 60, 5), marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("method", ["differences", "taylor"])
def test_right_gradients_never_fail(method: str, seeds_of_nets: range) -> None:
    """Seven seeds are one of each kind of net."""
    for seed in seeds_of_nets:
        found = check_own(cells.problem(seed), method=method)
        assert [e for e in found if e.verdict is Verdict.FAIL] == [], seed


@pytest.mark.cases(10)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", KINDS, ids=told)
def test_every_method_calls_a_well_behaved_net_right(kind: tuple[str, int], method: str) -> None:
    found = check_own(SMALL[kind], method=method, rtol=1e-6)
    assert worst(entry.verdict for entry in found) == "pass", found


@pytest.mark.cases(12)
@pytest.mark.parametrize(("kind", "name"), NAMES, ids=told)
def test_one_entry_off_by_1e_8_of_itself_fails(kind: tuple[str, int], name: str) -> None:
    right = rnngrad.derive(SMALL[kind])
    wrong = np.array(right[name])
    index = np.unravel_index(np.nanargmax(np.where(np.isfinite(wrong), abs(wrong), 0)), wrong.shape)
    wrong[index] = wrong[index] + 2e-8 if name.startswith("log10_") else wrong[index] * (1 + 1e-8)
    for method in ("complex-step", "adjoint"):
        (entry,) = check_own(SMALL[kind], method=method, gradients={name: wrong})
        assert (entry.name, entry.verdict) == (name, Verdict.FAIL)
    (entry,) = check_own(SMALL[kind], gradients={name: wrong})
    assert entry.worst_index == index


def every_path(kind: tuple[str, int]) -> Iterator[tuple[str, int, str]]:
    """(dLt_dhk, part of the state, "") and (dLt_dak, layer, key of the graph)."""
    problem = SMALL[kind]
    for part in range(problem.depth * len(problem.cell.parts)):
        yield "dLt_dhk", part, ""
    for layer, key in perturbations.places(problem):
        yield "dLt_dak", layer, key


@pytest.mark.cases(12)
@pytest.mark.parametrize(
    ("kind", "where"), [(kind, where) for kind in KINDS for where in every_path(kind)], ids=told
)
def test_a_single_path_fails_on_its_own(kind: tuple[str, int], where: tuple[str, int, str]) -> None:
    """L_4 by way of step 2, in one entry of one layer's h, c, or of what its step keeps."""
    problem, (name, number, key) = SMALL[kind], where
    passes = Passes(problem)

    def wrong() -> Iterator[PulledBack]:
        for reached in pulled_back(problem, passes.forward, passes.direct):
            yield _nudged(reached, name, number, key) if reached.k == 2 else reached

    found = check_own(problem, gradients={}, paths=wrong)
    assert verdicts(found) == {n: "fail" if n == name else "pass" for n in PATHS}
    (entry,) = (entry for entry in found if entry.name == name)
    assert entry.worst_index is not None
    assert entry.worst_index[:2] == (3, 2 if name == "dLt_dhk" else 1)


def _nudged(reached: PulledBack, name: str, number: int, key: str) -> PulledBack:
    at = int(np.flatnonzero(reached.steps == 4)[0])
    if name == "dLt_dhk":
        return reached._replace(rows=_off(reached.at_s, at, 3 * number + 1))
    assert reached.at is not None
    layers = [dict(layer) for layer in reached.at]
    layers[number][key] = _off(layers[number][key], at, 1)
    return reached._replace(at=tuple(layers))


def _off(rows: Scaled, row: int, column: int) -> Scaled:
    mantissa = rows.mantissa.copy()
    size = np.abs(rows.aligned(axis=1)[0][row])
    mantissa[row, column] *= 1 + 1e-7 * size.max() / size[column]
    return Scaled(mantissa, rows.exponent)


@pytest.mark.cases(8)
@pytest.mark.parametrize("size", [1e-20, 1e-60, 1e-200])
@pytest.mark.parametrize("kind", KINDS, ids=told)
def test_vanishing_rows_count_like_any_other(kind: tuple[str, int], size: float) -> None:
    """W_hh and the upper W_xh of that size: rows of 1e-200 and of 1e-400."""
    net = cells.spec(1, kind, steps=6, hidden=2, scale=0.6)
    for number, layer in enumerate(net["weights"].get("layers", [net["weights"]])):
        layer["W_hh"] = layer["W_hh"] * size
        layer["W_xh"] = layer["W_xh"] * (size if number else 1.0)
    problem = rnngrad.load(net | {"loss_steps": "last"})
    for method in ("complex-step", "adjoint"):
        found = check_own(problem, method=method)
        assert [e for e in found if e.verdict is not Verdict.PASS] == []
    for name in ("dL_dh", "dL_dx", "dL_dW_xh", "dL_dW_xh.0"):
        if name in records(problem):
            wrong = np.array(rnngrad.derive(problem)[name])
            row = np.flatnonzero(np.abs(wrong).max(axis=1) > 1e-290)[0]
            wrong[row] *= 1 + 1e-8
            if name.startswith("dL_dW"):
                wrong *= 1 + 1e-8
            assert verdicts(check_own(problem, gradients={name: wrong})) == {name: "fail"}


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_a_saturated_gate_is_undecided_never_wrong(cell: str) -> None:
    """Gates at ±1000: slopes of 1e-434 that no complex step sees, but rnngrad does."""
    net = cells.spec(2, (cell, 1), steps=5, hidden=2, scale=0.6)
    net["weights"]["b_h" if cell == "lstm" else "b_xh"][:] = [1000, -1000] * (cells.GATES[cell])
    found = check_own(rnngrad.load(net))
    assert {e.verdict for e in found} <= {Verdict.PASS, Verdict.INCONCLUSIVE}
    doubtful = [e for e in found if e.verdict is Verdict.INCONCLUSIVE]
    assert all("saturated" in entry.reason for entry in doubtful), doubtful


def test_a_relu_stack_is_undecided_at_its_kink_alone() -> None:
    net = cells.spec(2, ("rnn", 2), steps=4, hidden=2, scale=0.6) | {"activation": "relu"}
    assert worst(e.verdict for e in check_own(rnngrad.load(net))) == "pass"
    layers, start = net["weights"]["layers"], net["h_0"][:2]
    layers[0]["b_h"] = -(layers[0]["W_xh"] @ net["inputs"][0] + layers[0]["W_hh"] @ start)
    found = {entry.name: entry for entry in check_own(rnngrad.load(net))}
    assert found["dht_dhprev"].verdict is Verdict.INCONCLUSIVE
    assert "relu's kink" in found["dht_dhprev"].reason
    assert found["h"].verdict is Verdict.PASS


# ------------------------------------------------- the cell's own record, planted with mistakes


def with_step(problem: Problem, change: Callable[[Step], Step]) -> Problem:
    """The problem with another graph of its cell's step behind the same equations."""
    cell = replace(problem.cell, own=True)  # no walk made for the cell by name
    cell.__dict__["step"] = change(problem.cell.step)
    return replace(problem, cell=cell)


def twice(number: int) -> Callable[[Step], Step]:
    """One diagonal taken twice."""

    def change(step: Step) -> Step:
        target, source, factor = step.diagonals[number]
        wrong = Diagonal(target, source, Add((factor, factor)))
        return step._replace(
            diagonals=(*step.diagonals[:number], wrong, *step.diagonals[number + 1 :])
        )

    return change


DIAGONALS = [(kind, i) for kind in KINDS[:2] for i in range(len(SMALL[kind].cell.step.diagonals))]


@pytest.mark.parametrize(("kind", "number"), DIAGONALS, ids=told)
def test_a_wrong_diagonal_is_caught(kind: tuple[str, int], number: int) -> None:
    found = verdicts(check_own(with_step(SMALL[kind], twice(number))))
    assert found["dLt_dhk"] == found["dht_dhprev"] == found["dL_dh"] == "fail"
    assert found["h"] == found["losses"] == "pass"


MATRICES = [(kind, i) for kind in KINDS[:2] for i in range(len(SMALL[kind].cell.step.matrices))]


def without(problem: Problem, number: int) -> Problem:
    """The problem with one matrix forgotten on the way back."""
    cell = replace(problem.cell, own=True)
    lost = problem.cell.step.matrices[number]
    cell.__dict__["groups"] = tuple(map(partial(_forgetting, lost), problem.cell.groups))
    return replace(problem, cell=cell)


def _forgetting(lost: Matrix, group: Group) -> Group:
    kept = tuple(m for m in group.matrices if m != lost)
    return group._replace(matrices=kept, targets=tuple(m.target for m in kept))


@pytest.mark.parametrize(("kind", "number"), MATRICES, ids=told)
def test_a_lost_matrix_is_caught(kind: tuple[str, int], number: int) -> None:
    lost = SMALL[kind].cell.step.matrices[number]
    found = verdicts(check_own(without(SMALL[kind], number)))
    assert found["dL_dx" if lost.source == "x" else "dLt_dhk"] == "fail"
    assert found["dL_dW_xh" if lost.source == "x" else "dL_dW_hh"] == "fail"
    assert found["h"] == "pass"


@pytest.mark.parametrize("part", ["h", "c"])
@pytest.mark.parametrize("kind", [("gru", 1), ("lstm", 1), ("lstm", 2)], ids=told)
def test_wrong_equations_are_caught(kind: tuple[str, int], part: str) -> None:
    """A step that is wrong is no gru or lstm, whichever part of the state it spoils."""
    if part not in SMALL[kind].cell.parts:
        pytest.skip("gru has no c")

    def change(step: Step) -> Step:
        one = step.definition(part)
        assert one.rest is not None
        wrong = one._replace(rest=Mul((Number("1.0000001"), one.rest)))
        return step._replace(definitions=tuple(wrong if d is one else d for d in step.definitions))

    found = verdicts(check_own(with_step(SMALL[kind], change)))
    assert found["h"] == "fail"


def test_no_coefficient_is_the_core_s_own() -> None:
    """The diagonals by complex step are right where the core's are wrong."""
    problem = SMALL["gru", 1]
    layer, share = problem.layers[0], Passes(problem).forward.layers[0]
    spoilt = with_step(problem, twice(0))
    for one in (problem, spoilt):
        edges = linear(one, layer, share).edges
        z = 1 / (1 + np.exp(-share.values["a.z"]))
        ((_, slopes),) = edges["z"]
        kept = dict(edges["h"])["h⁻"]
        assert slopes is not None
        assert kept is not None
        np.testing.assert_allclose(slopes.floats(), z * (1 - z), rtol=1e-14)
        np.testing.assert_allclose(kept.floats(), z, rtol=1e-14)


def test_a_large_lstm_is_checked_by_direction() -> None:
    problem = cells.problem(3, ("lstm", 1), steps=100, hidden=24, scale=0.2)
    found = {entry.name: entry for entry in check_own(problem)}
    assert worst(entry.verdict for entry in found.values()) == "pass", found
    assert found["dL_dc"].method == "complex step, by direction"
    for name in ("dL_dW_hh", "dL_dh", "dL_dc", "dL_dx"):
        wrong = np.array(rnngrad.derive(problem)[name])
        wrong[-2, 1 if name != "dL_dx" else 0] += 1e-7 * np.max(np.abs(wrong[-2]))
        assert verdicts(check_own(problem, gradients={name: wrong})) == {name: "fail"}


def test_without_a_loss_only_the_recurrence_is_checked() -> None:
    net = cells.spec(5, ("lstm", 2))
    bare = rnngrad.load({key: value for key, value in net.items() if key != "targets"})
    found = check_own(bare)
    assert [entry.name for entry in found] == list(records(bare)) == [
        "h", "y", "dht_dhprev", "log10_chain",
    ]  # fmt: skip
    assert worst(entry.verdict for entry in found) == "pass"


def test_what_is_not_finite_is_undecided() -> None:
    problem = SMALL["rnn", 2]
    problem = replace(problem, x=frozen(problem.x * np.inf))
    assert worst(entry.verdict for entry in check_own(problem)) is not Verdict.PASS


def test_the_states_are_laid_out_as_in_the_contract() -> None:
    """[h¹, c¹, h², c²]"""
    problem = SMALL["lstm", 2]
    trace = Passes(problem).forward
    h, c = trace.part("h"), trace.part("c")
    parts = (h[:, :3], c[:, :3], h[:, 3:], c[:, 3:])
    assert np.array_equal(setting(problem).states, np.concatenate(parts, axis=1))


@pytest.mark.parametrize(
    "seeds_of_nets", [range(7), pytest.param(range(7, 20), marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("scale", [8.0, 30.0, 300.0])
def test_saturated_nets_are_never_called_wrong(scale: float, seeds_of_nets: range) -> None:
    """Where h_{t−1} − n_t is all rounding, a gru is undecided, or its tolerance wider. Seven seeds
    are one of each kind of net."""
    passed = count = 0
    for seed in seeds_of_nets:
        found = check_own(cells.problem(seed, scale=scale))
        assert [e for e in found if e.verdict is Verdict.FAIL] == [], seed
        passed += sum(entry.verdict is Verdict.PASS for entry in found)
        count += len(found)
    assert passed > 0.9 * count
