"""The Lyapunov spectrum of cells some of whose directions die whatever the numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from oracles import any_cell
from oracles.living import living
from oracles.spectrum import spectrum_of
from rnngrad.algebra.equations import read_cell
from rnngrad.arithmetic.arrays import quietly
from rnngrad.arithmetic.number_types import SCALED
from rnngrad.cells import CELLS, NAMES
from rnngrad.exponents.lyapunov import lyapunov
from rnngrad.exponents.rank import by_structure
from rnngrad.net.cells import Cell
from rnngrad.net.forward import forward
from rnngrad.net.linearised import linear_net

LIVING = {
    "lru": ("u", "v"), "sru": ("c",), "sru_projected": ("c",), "qrnn": ("c",), "elstm": ("c",),
    "intersection_rnn": ("h",),  # what the next step does not read
    "tgru": ("h",), "tlstm": ("c",),  # v_t = x_t as well
    "ctrnn_rate": ("h",), "ctrnn_current": ("h",), "ran": ("h",),  # h_t is a function of c_t
}  # fmt: skip
STEPS = 12


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("name", LIVING)
def test_the_spectrum_is_that_of_the_columns_that_live(name: str, layers: int) -> None:
    problem = any_cell.problem_of(CELLS[name], inputs=3, steps=STEPS, layers=layers)
    if name == "ctrnn_current":  # relu: no unit is to die
        drawn = {n: np.full(3, 5.0) if n[:3] == "b_h" else W for n, W in problem.weights.items()}
        problem = replace(problem, weights=drawn)
    first, *others = any_cell.jacobians(problem)
    parts = CELLS[name].parts * layers
    columns = [3 * i + j for i, part in enumerate(parts) if part in LIVING[name] for j in range(3)]
    if name == "tlstm" and layers == 2:  # v of the lower layer reaches c of the upper one first
        columns = [*range(3, 9)]
    expected = spectrum_of([first[:, columns], *others], 2000)
    got = lyapunov(problem, forward(problem)).exponents
    np.testing.assert_allclose(got[: len(columns)], expected, rtol=1e-9, atol=1e-9)
    assert np.isneginf(got[len(columns) :]).all()
    assert len(got) == 3 * len(parts)


@pytest.mark.parametrize("name", NAMES)
def test_no_numbers_leave_more_alive(name: str) -> None:
    """Against the exact rank of the net's own product, modulo a prime."""
    problem = any_cell.problem_of(CELLS[name], steps=4)
    with quietly():
        net = linear_net(problem, forward(problem), SCALED)
        for t, left in enumerate(by_structure(net), 1):
            exact = living(net, t)
            assert len(exact) <= len(left)
            if name in LIVING and name not in ("intersection_rnn", "ctrnn_current"):  # relu
                assert exact == left.tolist()


def test_a_long_net_is_not_in_doubt() -> None:
    """qrnn: c's block is diag(f_t), and h_T = o_T ∘ c_T makes the last step longer."""
    problem = any_cell.problem_of(CELLS["qrnn"], hidden=24, steps=300)
    trace = forward(problem)
    f, o = (trace.layers[0].values[key] for key in ("a.f", "a.o"))
    last = 0.5 * np.log1p((1 + np.exp(-o[-1])) ** -2.0) / 300
    expected = np.sort(-np.log1p(np.exp(-f)).mean(axis=0) + last)[::-1]
    got = lyapunov(problem, trace).exponents
    np.testing.assert_allclose(got[:24], expected, rtol=1e-10)
    assert np.isneginf(got[24:]).all()


def test_living_columns_that_die_let_others_live() -> None:
    """W_hh = 0: h of ctrnn_rate reaches nothing, so that c lives in its place."""
    problem = any_cell.problem_of(CELLS["ctrnn_rate"], steps=STEPS)
    problem.weights["W_hh"][:] = 0.0  # type: ignore[index]
    got = lyapunov(problem, forward(problem)).exponents
    expected = spectrum_of(list(any_cell.jacobians(problem)), 2000)
    np.testing.assert_allclose(got[:3], expected[:3], rtol=1e-8)
    assert np.isneginf(got[3:]).all()


def test_a_cell_of_dead_units_alone() -> None:
    """Every term is 0 at every step: all directions die, and none of them is in doubt."""
    equations = ["h_t = relu(W_xh x_t + W_hh h_{t-1} + b_h)"]
    problem = any_cell.problem_of(Cell(read_cell("dead", equations, ["h"])))
    problem.weights["b_h"][:] = -99.0  # type: ignore[index]
    assert np.isneginf(lyapunov(problem, forward(problem)).exponents).all()
