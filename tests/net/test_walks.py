"""The walks made from a cell's equations against those equations, step by step."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from oracles.cell_nets import Sizes, drawn
from rnngrad.arithmetic.arrays import Array, quietly
from rnngrad.arithmetic.functions import FUNCTIONS
from rnngrad.cells import CELLS, NAMES
from rnngrad.net import backward_layers, forward
from rnngrad.net.backward import bptt
from rnngrad.net.cells import Cell
from rnngrad.net.problem import Problem
from rnngrad.net.traces import Back, LayerTrace
from rnngrad.net.walks import Walks, back_walk, by_line, loop, operations, walks_of
from rnngrad.net.walks.back_walk import Diagonals

SIZES = (Sizes(1, 1, 2), Sizes(2, 3, 2), Sizes(3, 4, 3), Sizes(40, 8, 5))
CLOSE = 1e-13


def made(problem: Problem) -> Walks:
    """Made anew, so that a planted mistake is in it."""
    return Walks(problem.cell, "tanh" if problem.cell.activation is None else "sigmoid")


def both(problem: Problem, walks: Walks) -> tuple[LayerTrace, LayerTrace | None]:
    (layer,) = problem.layers
    with quietly():
        slow = forward.step_by_step(problem, layer, problem.x)
        return slow, walks.forward.run(layer, forward.starts_of(problem, layer), problem.x)


def backs(problem: Problem, walks: Walks, trace: LayerTrace, direct: Array) -> tuple[Back, Back]:
    (layer,) = problem.layers
    last = problem.last_step_with_loss
    with quietly():
        slow = backward_layers.step_by_step(problem, layer, trace, direct, last)
        fast = walks.back.run(layer, trace, direct, last)
        assert fast is not None
        return slow, fast._replace(
            at=backward_layers._At(problem, layer, trace, fast, direct, last)
        )


def assert_close(got: Array, right: Array, scale: float = CLOSE, least: float = 1e-290) -> None:
    """Every row relative to its own largest entry, unless that nears underflow."""
    with quietly():
        size = np.abs(right).max(axis=1, initial=0.0)
        error = np.abs(got - right).max(axis=1, initial=0.0)
    assert got.shape == right.shape
    np.testing.assert_array_equal(np.isfinite(got).all(axis=1), np.isfinite(size))
    told = np.isfinite(size) & (size > least)
    assert (error[told] <= scale * size[told]).all()
    assert (np.abs(got).max(axis=1, initial=0.0)[size == 0] == 0).all()


def check_both_ways(problem: Problem, walks: Walks | None = None, scale: float = CLOSE) -> None:
    walks = made(problem) if walks is None else walks
    slow, fast = both(problem, walks)
    if fast is None:  # no float holds e⁻ᵃ
        assert max(np.abs(rows).max() for rows in slow.values.values()) > 600
        return
    for part, rows in slow.states.items():
        assert_close(fast.states[part], rows, scale)
    assert set(fast.values) == set(slow.values)
    for key, rows in slow.values.items():
        assert_close(fast.values[key], rows, scale)
    direct = np.random.default_rng(1).normal(size=(problem.steps, problem.hidden))
    for trace in (slow, fast):
        right, got = backs(problem, walks, trace, direct)
        size = max(float(np.abs(rows).max(initial=0.0)) for rows in right.states.values())
        for part, rows in right.states.items():
            if np.abs(rows).max(initial=0.0) > 1e-12 * size:  # else it is 0 but for rounding
                assert_close(got.states[part], rows, 100 * scale)
        assert set(got.at) == set(right.at)
        for key, rows in right.at.items():
            if np.abs(rows).max(initial=0.0) > 1e-12 * size:
                assert_close(got.at[key], rows, 100 * scale)
        for order, rows in got.wide.values():
            np.testing.assert_array_equal(rows, np.concatenate([got.at[k] for k in order], axis=1))


@pytest.mark.parametrize("name", NAMES)
def test_every_cell_as_its_equations(name: str) -> None:
    walks = made(drawn(CELLS[name], SIZES[0]))
    for sizes in SIZES:
        for weights in (drawn(CELLS[name], sizes), drawn(CELLS[name], sizes, 0.3, biases=0.0)):
            with quietly():
                finite = np.isfinite(forward.forward(weights).h).all()
            if finite:
                check_both_ways(weights, walks)


@pytest.mark.parametrize("name", NAMES)
def test_the_way_back_leaves_the_trace_as_it_was(name: str) -> None:
    """Nor does the room of its diagonals hold one of them in another's place."""
    problem = drawn(CELLS[name], SIZES[2])
    trace = forward.forward(problem)
    held = {**trace.layers[0].states, **trace.layers[0].values}
    kept = {key: rows.copy() for key, rows in held.items()}
    first, second = (bptt(problem, trace).weights for _ in range(2))
    for key, rows in held.items():
        np.testing.assert_array_equal(rows, kept[key])
    for weight, gradient in first.items():
        np.testing.assert_array_equal(second[weight], gradient)


@pytest.mark.parametrize("f", ["identity", "relu", "gelu", "tanh"])
def test_rows_that_a_function_hands_on_are_not_written_over(f: str) -> None:
    """The identity gives back what it was given: f(u + v) · (u + v) + u · f(v)."""
    program = operations.Program()
    u, v = (program.given("K", key, "0") for key in "uv")
    both = program.op("add", u, v)
    called, of_v = program.op(f"f:{f}", both), program.op(f"f:{f}", v)
    of_v = program.op("multiply", u, of_v)
    whole = program.op("add", program.op("multiply", called, both), of_v)
    code = by_line.Lines(program)
    code.into([(whole, "B[0]"), (called, "B[1]"), (whole, "B[2]"), (u, "B[3]")])
    fill = by_line.function_of(f"fill(B, k{u}, k{v})", code.lines, code.functions)
    x, y = np.random.default_rng(0).normal(size=(2, 6, 3))
    kept, B = (x.copy(), y.copy()), np.empty((4, 6, 3))
    fill(B, x, y)
    np.testing.assert_array_equal((x, y), kept)
    g = FUNCTIONS[f].f
    right = g(x + y) * (x + y) + x * g(y)
    np.testing.assert_allclose(B, [right, g(x + y), right, x], rtol=1e-15)


def with_loss_until(problem: Problem, last: int) -> Problem:
    return replace(problem, loss_weights=(np.arange(problem.steps) < last) * 1.0)


@pytest.mark.parametrize("name", ["gru", "lstm", "rhn", "indrnn", "lstm_projection", "cornn"])
@pytest.mark.parametrize("last", [0, 1, 7])
def test_only_up_to_the_last_step_with_a_loss(name: str, last: int) -> None:
    problem = with_loss_until(drawn(CELLS[name], Sizes(12, 4, 3)), last)
    check_both_ways(problem)
    back = bptt(problem, forward.forward(problem))
    assert not any(rows[last:].any() for rows in back.at[0].values())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scale", [8.0, 60.0])
def test_saturated_gates(name: str, scale: float) -> None:
    """Right to rounding where the walk says that it is, step by step where it does not."""
    problem = drawn(CELLS[name], Sizes(6, 4, 3), scale)
    slow, fast = both(problem, made(problem))
    trace = forward.forward(problem)
    if problem.single_rnn:
        return
    for part, rows in slow.states.items():
        got = trace.layers[0].states[part]
        if fast is None:
            np.testing.assert_array_equal(got, rows)
        elif scale == 8.0:
            assert np.abs(got - rows).max() <= 1e-9 * np.abs(rows).max()
    if fast is None:
        return
    direct = np.random.default_rng(1).normal(size=(6, problem.hidden))
    right, found = backs(problem, made(problem), fast, direct)
    for part, rows in right.states.items():
        told = np.isfinite(rows).all(axis=1)
        np.testing.assert_array_equal(np.isfinite(found.states[part]).all(axis=1), told)
        gap = np.abs(found.states[part] - rows)[told].max(initial=0.0)
        assert gap <= 1e-9 * max(np.abs(rows[told]).max(initial=0.0), 1.0)


@pytest.mark.parametrize("name", ["gru", "lstm"])
def test_vanishing_rows_are_as_right(name: str) -> None:
    """Gates shut at −30: ∂L/∂h_t falls by 1e-13 a step, to 1e-290."""
    problem = drawn(CELLS[name], Sizes(25, 5, 3), 1e-4)
    bias = {"gru": "b_xh", "lstm": "b_h"}[name]
    shut = problem.weights[bias].copy()
    shut[5:10] = -30.0
    problem = replace(problem, weights={**problem.weights, bias: shut})
    _, fast = both(problem, made(problem))
    assert fast is not None
    direct = np.zeros((25, 5))
    direct[-1] = 1.0
    right, got = backs(problem, made(problem), fast, direct)
    for part, rows in right.states.items():
        assert_close(got.states[part], rows, 1e-11)
    assert np.abs(right.states["h"][0]).max() < 1e-50


@pytest.mark.parametrize("name", ["gru", "lstm", "fastgrnn"])
@pytest.mark.parametrize("a", [-701.0, -800.0, np.inf, np.nan])
def test_what_no_float_holds_goes_step_by_step(name: str, a: float) -> None:
    problem = drawn(CELLS[name], Sizes(9, 4, 3))
    bias = {"gru": "b_xh", "lstm": "b_h", "fastgrnn": "b_z"}[name]
    moved = problem.weights[bias].copy()
    moved[0] = a
    problem = replace(problem, weights={**problem.weights, bias: moved})
    slow, fast = both(problem, made(problem))
    assert fast is None
    np.testing.assert_array_equal(forward.forward(problem).h, slow.h)
    (layer,) = problem.layers
    if name != "fastgrnn":  # whose σ takes no stored sum: it is computed as it comes
        with quietly():
            assert made(problem).back.run(layer, slow, np.ones((9, 4)), 9) is None


@pytest.mark.parametrize("name", ["gru", "lstm", "rhn", "mingru", "indrnn"])
@pytest.mark.parametrize("value", [np.inf, np.nan, 1e308])
def test_inputs_that_are_not_finite(name: str, value: float) -> None:
    problem = drawn(CELLS[name], Sizes(9, 4, 3))
    x = problem.x.copy()
    x[5, 1] = value
    problem = replace(problem, x=x)
    (layer,) = problem.layers
    with quietly():
        slow = forward.step_by_step(problem, layer, problem.x)
    got = forward.forward(problem).layers[0]
    np.testing.assert_array_equal(np.isfinite(got.h).all(axis=1), np.isfinite(slow.h).all(axis=1))
    assert_close(got.h[:6], slow.h[:6])


@pytest.mark.parametrize("name", ["lstm", "gru", "lstm_peephole"])
def test_a_cell_of_the_users_is_the_same_code(name: str) -> None:
    """The equations of lstm in a spec: no blocks of rows, the same numbers and the same calls."""
    shipped = CELLS[name]
    own = Cell(shipped.equations, own=True)
    problem = drawn(shipped, Sizes(30, 6, 4))
    weights = shipped.split(problem.weights) | {n: problem.weights[n] for n in ("W_hy", "b_y")}
    mine = replace(problem, cell=own, weights=weights)
    assert walks_of(mine).forward.code.body == walks_of(problem).forward.code.body
    trace, own_trace = forward.forward(problem), forward.forward(mine)
    np.testing.assert_array_equal(own_trace.h, trace.h)
    found, right = bptt(mine, own_trace).weights, bptt(problem, trace).weights
    split = shipped.split({n: right[n] for n in shipped.parameters})
    for parameter, gradient in split.items():
        np.testing.assert_allclose(found[parameter], gradient, rtol=1e-12, atol=1e-14)


def test_nothing_of_the_equations_is_in_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    texts: list[str] = []

    def compiled(text: str, *more: object) -> object:
        texts.append(text)
        return right(text, *more)

    right = by_line.compiled
    monkeypatch.setattr(by_line, "compiled", compiled)
    for name in NAMES:
        walks = Walks(CELLS[name], "tanh" if CELLS[name].activation is None else "sigmoid")
        equations = CELLS[name].equations
        for code in (walks.forward.code, walks.back.code):
            assert callable(code.walk)
        chunks = [walks.forward.in_chunks, walks.back.in_chunks]
        assert len(texts) == 5 + sum(one is not None for one in chunks)
        for text in texts:
            for parameter in [p for p in equations.parameters if len(p) > 1]:
                assert not re.search(rf"\b{parameter}\b", text)
            assert "__" not in text
        texts.clear()


def test_a_walk_is_made_once() -> None:
    problem = drawn(CELLS["lstm"], Sizes(3, 4, 3))
    assert walks_of(problem) is walks_of(replace(problem, seed=1))


# ---------------------------------------------------------------------------- planted mistakes


def _no_distance(*rows: list) -> list[int] | None:
    found = _DISTANCES(*rows)
    return found and [found[0], *(0 for _ in found[1:])]


def _scaled(self: Diagonals, *arguments: object) -> dict[str, Array]:
    found = _RUN(self, *arguments)  # type: ignore[arg-type]
    for rows in found.values():
        rows[:, 1] *= 1 + 1e-9
    return found


def _without_the_vertex(cell: Cell) -> dict:
    edges = _REROUTED(cell)
    return {edge: factor for i, (edge, factor) in enumerate(edges.items()) if i}


_DISTANCES, _RUN, _REROUTED = loop._distances, Diagonals.run, back_walk._rerouted
MISTAKES: dict[str, tuple[object, str, object]] = {
    "operands at no distance": (loop, "_distances", _no_distance),
    "everything in place": (loop.Layout, "_dies", lambda *a: True),
    "a factor": (operations.Lowering, "_joined", lambda self, factors: list(factors)[:1]),
    "a diagonal": (Diagonals, "run", _scaled),
    "an edge left out": (back_walk, "_rerouted", _without_the_vertex),
    "a sum": (operations.Program, "sum_of", lambda self, terms: self.product_of(terms[0][1])),
    "no products with x": (loop, "_ahead", lambda *a: ["rows[...] = 0.0"]),
}


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("name", ["gru", "lstm"])
def test_a_planted_mistake_is_caught(
    name: str, mistake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    where, what, wrong = MISTAKES[mistake]
    problem = drawn(CELLS[name], Sizes(20, 6, 4))
    check_both_ways(problem)
    monkeypatch.setattr(where, what, wrong)
    with pytest.raises((AssertionError, KeyError, IndexError, ValueError, NameError)):
        check_both_ways(problem)


def test_every_function_of_a_loop() -> None:
    """Cells whose equations take each function, alone and with its slope."""
    from rnngrad.algebra.equations import read_cell
    from rnngrad.arithmetic.functions import FUNCTIONS

    written_with: Callable[[str], str] = (
        "h_t = 0.4 {}(0.3 W_hh h_{{t-1}} + W_xh x_t + b_h + 2) + 0.1 h_{{t-1}}".format
    )
    for name in FUNCTIONS:
        written = "σ" if name == "sigmoid" else name
        if name == "identity":
            continue
        cell = Cell(read_cell(name, [written_with(written)], ["h"], None, None))
        problem = drawn(cell, Sizes(8, 4, 3), 0.1)
        check_both_ways(problem)


ODD = {
    "a state that is a product": (["h_t = W_hh h_{t-1}", "c_t = W_xc x_t + b_c"], ["h", "c"]),
    "two states of one value": (
        ["c_t = tanh(W_hh h_{t-1} + W_xh x_t + b_h)", "h_t = c_t"],
        ["h", "c"],
    ),
    "a state handed on": (
        ["c_t = h_{t-1}", "h_t = tanh(W_hh h_{t-1} + 0.5 c_{t-1} + W_xh x_t + b_h)"],
        ["h", "c"],
    ),
    "a state read late": (
        ["c_t = 0.5 c_{t-1} + W_xc x_t", "h_t = tanh(W_hh h_{t-1} + c_t) + c_{t-1} ∘ h_{t-1}"],
        ["h", "c"],
    ),
    "a σ of a state": (
        ["c_t = 0.5 c_{t-1} + tanh(W_hh h_{t-1} + W_xh x_t)", "h_t = σ(c_t)"],
        ["h", "c"],
    ),
    "a matrix after its function": (
        ["r_t = σ(W_hr h_{t-1} + b_r)", "h_t = tanh(W_rh r_t + W_hh h_{t-1} + W_xh x_t) ∘ r_t"],
        ["h"],
    ),
}  # fmt: skip
"""What no published cell has: where a new state is no value of its own, or is needed twice."""


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("steps", [9, 2600])
def test_odd_states(odd: str, steps: int) -> None:
    from rnngrad.algebra.equations import read_cell

    equations, state = ODD[odd]
    cell = Cell(read_cell(odd, equations, state, None, None))
    check_both_ways(drawn(cell, Sizes(steps, 4, 3), 0.1), scale=1e-11)
