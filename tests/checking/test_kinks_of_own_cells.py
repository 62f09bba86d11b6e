"""Kinks in a user's own equations: right off them, undecided at them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import rnngrad
from rnngrad.analyses.checking.comparing.kinks import Kinks
from rnngrad.analyses.checking.comparing.verdicts import Checked, Verdict
from rnngrad.analyses.checking.own import self_check
from rnngrad.analyses.checking.own.self_check import check_own
from rnngrad.arithmetic.functions import FUNCTIONS
from rnngrad.net.forward import forward
from rnngrad.net.problem import Problem

KINKED = {name: record.kinks for name, record in FUNCTIONS.items() if record.kinks}
EQUATIONS: dict[str, Callable[[str], list[str]]] = {
    "a state": lambda f: [f"h_t = {f}(W_xh x_t + W_hh h_{{t-1}} + b_h)"],
    "a gate": lambda f: [
        f"z_t = {f}(W_xh x_t + W_hh h_{{t-1}} + b_h)",
        "n_t = tanh(W_xn x_t + W_hn h_{t-1})",
        "h_t = z_t ∘ h_{t-1} + n_t",
    ],
    "a product": lambda f: [
        "a_t = W_xh x_t + W_hh h_{t-1} + b_h",
        f"h_t = tanh(W_hn {f}(a_t))",
    ],
}  # fmt: skip
CASES = [(name, kink, place) for name, at in KINKED.items() for kink in at for place in EQUATIONS]


def net(function: str, place: str, kink: float, away: float) -> Problem:
    """a_1[1] is ``away`` from the kink, but for rounding, and all others are far from one."""
    equations = EQUATIONS[place](function)
    text = " ".join(equations)
    weights = [w for w in ("W_xh", "W_hh", "W_xn", "W_hn") if w in text]

    def spec(b_h: Any) -> Problem:
        return rnngrad.load({
            "cell": {"equations": equations, "state": ["h"]},
            "sizes": {"inputs": 2, "hidden": 3, "outputs": 1},
            "seed": 4,
            "h_0": [0.3, -0.2, 0.1],
            "weights": {w: {"init": "gaussian"} for w in (*weights, "W_hy")} | {"b_h": b_h},
            "inputs": {"random": "normal", "steps": 4},
            "targets": {"random": "normal"},
        })  # fmt: skip

    b_h = np.array([0.05, 0.0, -0.07])
    for _ in range(5):
        trace = forward(spec(b_h.tolist()))
        values = trace.layers[0].values
        a = next(v for key, v in values.items() if "n" not in key)
        b_h[1] -= a[0, 1] - kink - away
    return spec(b_h.tolist())


def verdicts(problem: Problem, **how: Any) -> dict[str, Checked]:
    return {entry.name: entry for entry in check_own(problem, **how)}


@pytest.mark.parametrize(("function", "kink", "place"), CASES)
def test_undecided_at_the_kink_alone(function: str, kink: float, place: str) -> None:
    off = verdicts(net(function, place, kink, 1e-3))
    assert {entry.verdict for entry in off.values()} == {Verdict.PASS}
    assert_undecided(net(function, place, kink, 0.0), function)


def assert_undecided(problem: Problem, function: str) -> None:
    at = verdicts(problem)
    for name in ("dht_dhprev", "dL_dW_hh", "dL_dh"):
        assert at[name].verdict is Verdict.INCONCLUSIVE
        assert f"what {function} is taken of in" in at[name].reason
        assert "_1, entry 1, is within rounding of its kink" in at[name].reason
    assert {at[name].verdict for name in ("h", "y", "losses")} == {Verdict.PASS}


def test_red_when_the_kink_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = net("hard_sigmoid", "a gate", 3.0, 0.0)
    assert_undecided(problem, "hard_sigmoid")
    monkeypatch.setattr(self_check, "kinks", lambda *_: Kinks(None, None))
    with pytest.raises(AssertionError, match="PASS"):
        assert_undecided(problem, "hard_sigmoid")


def test_finite_steps_across_a_kink_do_not_call_a_gradient_wrong() -> None:
    """1e-9 off the kink a central difference sees both branches; the complex step sees one."""
    problem = net("relu", "a gate", 0.0, -1e-9)
    for method, expected in (("differences", {Verdict.INCONCLUSIVE}), ("complex-step", set())):
        found = verdicts(problem, method=method)
        assert {entry.verdict for entry in found.values()} - {Verdict.PASS} == expected
