"""Every cell that comes with rnngrad: right gradients pass, planted mistakes fail; and mistakes in
the algebra's own rules, planted one by one, are seen by check."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from oracles import any_cell
from oracles.any_cell import ONE_OR_TWO, STACKED
from rnngrad.algebra import derivatives, step_graph
from rnngrad.algebra.equations import read_cell
from rnngrad.algebra.expressions import Add, Call, Div, Mul, Name, Node, Power
from rnngrad.analyses.checking.against import check_arrays
from rnngrad.analyses.checking.comparing.verdicts import Checked, Verdict
from rnngrad.analyses.checking.diagnosing import variations
from rnngrad.analyses.checking.diagnosing.variations import Reading, Variation
from rnngrad.analyses.checking.own.self_check import check_own
from rnngrad.analyses.derivation.quantities import Passes, Quantities, records
from rnngrad.analyses.mistakes.local_partials import Wrong
from rnngrad.analyses.mistakes.passes import Apart
from rnngrad.arithmetic.arrays import quietly
from rnngrad.cells import CELLS, NAMES
from rnngrad.chains.jacobians import pulled_back
from rnngrad.net.cells import Cell
from rnngrad.net.problem import Problem

PATHS = {"dLt_dhk", "dLt_dak"}


def drawn(name: str, seed: int = 0, **options: Any) -> Problem:
    return any_cell.problem_of(CELLS[name], seed=seed, **options)


def right(problem: Problem) -> dict[str, np.ndarray]:
    own = Quantities(problem)
    return {name: np.array(own[name]) for name in own}


def verdicts(checked: list[Checked]) -> dict[str, str]:
    return {entry.name: str(entry.verdict) for entry in checked}


def decided(entry: Checked) -> bool:
    """Passed, or a derivative that is 0 but for rounding: m cancels in h of slstm."""
    cancels = entry.name == "dLt_dak" and "rounding alone" in entry.reason
    return entry.verdict is Verdict.PASS or (entry.verdict is Verdict.INCONCLUSIVE and cancels)


@pytest.mark.cases(12)
@pytest.mark.parametrize(("name", "layers"), ONE_OR_TWO)
def test_right_gradients_pass(name: str, layers: int) -> None:
    problem = drawn(name, layers=layers)
    for method in ("complex-step", "adjoint"):
        found = check_own(problem, method=method)
        assert {entry.name for entry in found} == {*records(problem), *PATHS}
        undecided = [entry for entry in found if entry.verdict is not Verdict.PASS]
        assert undecided == [] or (name == "slstm" and all(map(decided, undecided)))


@pytest.mark.cases(6)
@pytest.mark.parametrize("name", STACKED)
def test_finite_steps_never_fail(name: str) -> None:
    problem = drawn(name, steps=3, hidden=2)
    for method in ("differences", "taylor"):
        assert "fail" not in verdicts(check_own(problem, method=method, rtol=1e-6)).values()


@pytest.mark.cases(12)
@pytest.mark.parametrize("name", NAMES)
def test_right_arrays_pass_and_one_wrong_entry_fails(name: str) -> None:
    """Wrong in two of its gradients; which two goes round from cell to cell."""
    problem = drawn(name)
    arrays = right(problem)
    assert set(verdicts(check_arrays(problem, arrays)).values()) == {"pass"}
    keys = [key for key in arrays if key.startswith("dL_d") and arrays[key].any()]
    half = -(-len(keys) // 2)
    for key in keys[NAMES.index(name) % half :: half]:
        wrong = arrays[key].copy()
        at = np.unravel_index(np.abs(wrong).argmax(), wrong.shape)
        wrong[at] *= 1 + 1e-6
        for found in (
            check_arrays(problem, {key: wrong}),
            check_own(problem, gradients={key: wrong}),
        ):
            assert verdicts(found) == {key: "fail"}


@pytest.mark.parametrize("seed", range(40))
def test_random_right_gradients_never_fail(seed: int) -> None:
    name = NAMES[(7 * seed) % len(NAMES)]
    scale = (0.05, 0.5, 1.5)[seed % 3]
    problem = drawn(
        name, seed, layers=1 + seed % 2, scale=scale, steps=1 + seed % 7, hidden=1 + seed % 3
    )
    assert "fail" not in verdicts(check_own(problem)).values()
    assert "fail" not in verdicts(check_arrays(problem, right(problem))).values()


# ---------------------------------------------------------------- known mistakes, in any cell

MISTAKES = {
    "missing-activation-derivative": variations.missing_activation_derivative,
    "transposed-W_hh": variations.transposed_W_hh,
    "h_t-for-h_prev": variations.h_t_for_h_prev,
    "immediate-only": variations.immediate_only,
    "last-loss-only": variations.last_loss_only,
    "dropped-h_0": variations.dropped_h_0,
}
SEEN_IN = [
    pytest.param(bug, name, marks=() if (i + j) % 2 == 0 else pytest.mark.slow)
    for i, bug in enumerate(MISTAKES)
    for j, name in enumerate(
        ("gru_reset_before", "lstm_peephole", "lstm_projection", "mgu", "lem", "indrnn")
    )
    if (bug, name) != ("transposed-W_hh", "indrnn")
]
"""Each mistake in three cells, each cell with three mistakes; the other half is slow."""


@pytest.mark.cases(6)
@pytest.mark.parametrize(("bug", "name"), SEEN_IN)
def test_known_mistakes_are_named(bug: str, name: str) -> None:
    problem = drawn(name)
    arrays = right(problem)
    with quietly():
        apart = Apart(Passes(problem))
        reading = Reading(next(iter(MISTAKES[bug](apart))), apart)
        wrong = {
            key: reading.of(key, array)
            for key, array in arrays.items()
            if key.startswith("dL_d") and reading.hits(key)
        }
    wrong = {k: v for k, v in wrong.items() if np.abs(v - arrays[k]).max() > 1e-6 * np.abs(v).max()}
    assert wrong
    for key in wrong:
        assert verdicts(check_own(problem, gradients={key: wrong[key]})) == {key: "fail"}
    for entry in check_arrays(problem, wrong):
        assert entry.verdict is Verdict.FAIL
        assert entry.diagnosis is not None
        assert bug in {entry.diagnosis.bug, *entry.diagnosis.candidates}, entry.diagnosis


def test_a_pass_in_which_nothing_is_wrong_gives_what_is_right() -> None:
    for name in NAMES:
        problem = drawn(name, layers=2)
        with quietly():
            own = Reading(Variation(Wrong(), frozenset()), Apart(Passes(problem)))
        for key, array in right(problem).items():
            if key.startswith(("dL_d", "dLt_dht", "log10_", "dht_dhprev")) and key != "dL_dy":
                with quietly():
                    made = own.of(key, np.zeros_like(array))
                assert made == pytest.approx(array, rel=1e-9, abs=1e-12, nan_ok=True), (name, key)


# ------------------------------------------------- the algebra, planted with mistakes

EVERY_RULE = read_cell(
    "every rule",
    [
        "a_t = W_a x_t + U_a h_{t-1} + b_a",
        "k_t = σ(V (r ∘ h_{t-1}) - W_k x_t)",
        "q_t = tanh(2 a_t)^3 ∘ k_t - 0.3 k_t",
        "h_t = q_t / (1.5 + k_t^2) - 0.5 h_{t-1}",
    ],
    shapes={"r": ["H"]},
)


def of_every_rule() -> Problem:
    """A net of a cell that needs every rule, its graph made anew."""
    return any_cell.problem_of(Cell(EVERY_RULE))


def _wrong_add(terms: list[Node | None]) -> Node | None:
    """Minus for plus in the second place."""
    return _ADDED([t if i != 1 else derivatives.negative(t) for i, t in enumerate(terms)])


def _wrong_factor(node: Mul, index: int, name: Name) -> Node | None:
    """(u ∘ v)' = u' + v'"""
    return derivatives.derivative(node.factors[index], name)


def _wrong_quotient(node: Div, name: Name) -> Node | None:
    """(u / v)' = u'/v"""
    top = derivatives.derivative(node.top, name)
    return None if top is None else Div(top, node.bottom)


def _wrong_power(node: Power, name: Name) -> Node | None:
    """(uⁿ)' = uⁿ⁻¹ ∘ u'"""
    return derivatives.multiplied(
        Power(node.base, node.exponent - 1), derivatives.derivative(node.base, name)
    )


_ADDED, _DERIVATIVE = derivatives.added, derivatives.derivative


def _wrong_call(node: Node, name: Name) -> Node | None:
    """f(u)' = f'(u)"""
    if isinstance(node, Call) and _DERIVATIVE(node.argument, name) is not None:
        return node._replace(prime=True)
    return _DERIVATIVE(node, name)


def _no_slope(node: Node, name: Name) -> Node | None:
    """f(u)' = u'"""
    return _DERIVATIVE(node.argument if isinstance(node, Call) else node, name)


def _opposite(node: Node, name: Name) -> Node | None:
    """A sign that is lost: (u − v)' = u' + v'"""
    if isinstance(node, Add):
        bare = [getattr(term, "operand", term) for term in node.terms]
        return _ADDED([_DERIVATIVE(term, name) for term in bare])
    return _DERIVATIVE(node, name)


RULES: dict[str, tuple[str, Callable[..., Any]]] = {
    "Add": ("added", _wrong_add),
    "Mul": ("_of_factor", _wrong_factor),
    "Div": ("_of_quotient", _wrong_quotient),
    "Power": ("_of_power", _wrong_power),
    "Call": ("derivative", _wrong_call),
    "Call, no slope": ("derivative", _no_slope),
    "Neg": ("derivative", _opposite),
}


@pytest.mark.parametrize("rule", RULES)
def test_a_wrong_rule_is_caught(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, wrong = RULES[rule]
    assert set(verdicts(check_own(of_every_rule())).values()) == {"pass"}
    monkeypatch.setattr(derivatives, name, wrong)
    if name == "derivative":
        monkeypatch.setattr(step_graph, name, wrong)
    found = verdicts(check_own(of_every_rule()))
    assert found["dLt_dhk"] == found["dL_dh"] == found["dht_dhprev"] == "fail", found
    assert found["h"] == found["losses"] == "pass"


@pytest.mark.parametrize("parameter", ["W_a", "U_a", "V", "W_k"])
@pytest.mark.parametrize("mistake", ["sign", "transposed"])
def test_a_wrong_edge_is_caught(parameter: str, mistake: str) -> None:
    """The trace is right; the way back has the wrong edge."""
    problem, forward = of_every_rule(), Passes(of_every_rule()).forward
    if mistake == "transposed" and parameter.startswith("W"):
        pytest.skip("not square: its transpose fits nowhere")

    def change(one: step_graph.Matrix) -> step_graph.Matrix:
        if one.parameter != parameter:
            return one
        if mistake == "transposed":
            return one._replace(transposed=not one.transposed)
        return one._replace(sign=-one.sign)

    cell = Cell(EVERY_RULE)
    cell.__dict__["step"] = cell.step._replace(matrices=tuple(map(change, cell.step.matrices)))
    found = verdicts(_checked(replace(problem, cell=cell), forward))
    assert found[f"dL_d{parameter}"] == "fail" or found["dLt_dhk"] == "fail"


def _checked(problem: Problem, forward: Any) -> list[Checked]:
    """rnngrad's own gradients of a graph, along a trace that is right."""
    own = Passes(problem)
    own.forward = forward
    tested = {name: record.compute(own) for name, record in records(problem).items() if name != "y"}
    right_problem = of_every_rule()
    return check_own(right_problem, gradients=tested, paths=_paths(problem, own))


def _paths(problem: Problem, passes: Passes) -> Callable[[], Any]:
    return lambda: pulled_back(problem, passes.forward, passes.direct)
