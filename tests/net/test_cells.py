"""Every cell that comes with rnngrad, and cells drawn at random, against complex steps.

The oracle walks the equations as they were read (``oracles.any_cell``); passes, Jacobians, chains
and sums come from the graph of the step. Mistakes planted in any rule of the algebra must show.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oracles import any_cell
from oracles.examples import quarter_of
from rnngrad.algebra import derivatives, step_graph
from rnngrad.algebra.derivatives import ONE
from rnngrad.algebra.equations import CellMistakesError, read_cell
from rnngrad.algebra.expressions import Add, Call, Div, Mul, Name, Neg, Node, Number, Power
from rnngrad.algebra.writing import SCRIPTS, written_in_cell
from rnngrad.arithmetic.arrays import quietly
from rnngrad.arithmetic.number_types import FLOATS, SCALED
from rnngrad.cells import CELLS, NAMES, shipped
from rnngrad.chains.jacobians import log10_chain, one_step_jacobians
from rnngrad.net.backward import bptt
from rnngrad.net.cells import Cell
from rnngrad.net.forward import forward
from rnngrad.net.linearised import linear_net
from rnngrad.net.problem import Problem

SIZES = [(3, 2, 5, 1), (1, 1, 4, 1), (2, 3, 4, 2)]
"""H, I, T, layers"""


def worst(problem: Problem) -> dict[str, float]:
    """name -> largest error of a gradient relative to its largest entry; "jacobian" likewise."""
    trace = forward(problem)
    back, truth = bptt(problem, trace), any_cell.gradients(problem)
    got = {f"dL_d{name}": gradient for name, gradient in back.weights.items()}
    got |= {"dL_dx": back.dL_dx}
    got |= {f"dL_d{part}_0": rows[0] for part, rows in back.dL_ds.items()}
    assert got.keys() == truth.keys()
    errors = {name: _error(got[name], right) for name, right in truth.items()}
    jacobians = any_cell.jacobians(problem)
    errors["jacobian"] = _error(one_step_jacobians(problem, trace), jacobians)
    errors["log10_chain"] = _of_chain(log10_chain(problem, trace), jacobians)
    return errors


def _error(got: np.ndarray, right: np.ndarray) -> float:
    assert got.shape == right.shape
    size = float(np.abs(right).max(initial=0.0))
    return float(np.abs(got - right).max(initial=0.0)) / max(size, 1e-6)


def _of_chain(got: np.ndarray, jacobians: np.ndarray) -> float:
    product, errors = np.eye(jacobians.shape[1]), [abs(got[-1])]
    for t in range(len(jacobians) - 1, -1, -1):
        product = product @ jacobians[t]
        norm = float(np.linalg.norm(product, 2))
        errors.append(abs(got[t] - np.log10(norm)) if norm > 0 else float(got[t] != -np.inf))
    return max(errors)


@pytest.mark.cases(107)  # of each cell one size or two of three
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_every_shipped_cell(name: str, size: tuple[int, int, int, int]) -> None:
    errors = worst(any_cell.problem_of(CELLS[name], *size))
    assert {n: e for n, e in errors.items() if not e < 1e-10} == {}


@pytest.mark.parametrize("name", NAMES)
def test_every_shipped_cell_says_where_it_comes_from(name: str) -> None:
    record = shipped(name)
    assert record.cell.name == name
    assert record.title
    assert len(record.source) > 20
    assert (
        record.start.keys()
        <= record.cell.parameters.keys() | record.cell.equations.parameters.keys()
    )


@pytest.mark.parametrize("name", NAMES)
def test_push_is_the_transpose_of_pull_in_both_kinds_of_numbers(name: str) -> None:
    """⟨v, Jᵀu⟩ = ⟨Jv, u⟩, entry by entry."""
    problem = any_cell.problem_of(CELLS[name], 2, 2, 3, 2, seed=4)
    with quietly():
        trace = forward(problem)
        plain, wide = (linear_net(problem, trace, kind) for kind in (FLOATS, SCALED))
        unit = np.eye(plain.size)
        from rnngrad.arithmetic.scaled import scaled

        for t in range(1, problem.steps + 1):
            J = plain.pull(unit, t).rows
            np.testing.assert_allclose(plain.push(unit, t).T, J, rtol=1e-13, atol=1e-15)
            np.testing.assert_allclose(
                wide.pull(scaled(unit), t).rows.floats(), J, rtol=1e-13, atol=1e-300
            )
            np.testing.assert_allclose(
                wide.push(scaled(unit), t).floats().T, J, rtol=1e-12, atol=1e-15
            )


# ---------------------------------------------------------------------------- cells at random

_VECTORS = ("W_a x_t", "W_b x_t", "U_a h_{t-1}", "U_b h_{t-1}", "U_c^T h_{t-1}", "U_a c_{t-1}",
            "h_{t-1}", "c_{t-1}", "u_t", "v_t", "w_a", "b_a", "w_b ∘ h_{t-1}",
            "U_d (u_t ∘ h_{t-1})", "U_e (U_a c_{t-1})", "α c_{t-1}", "0.5")  # fmt: skip
_FUNCTIONS = ("σ", "tanh", "sin", "softplus", "silu", "softsign", "cos", "gelu", "elu")


@st.composite
def expressions(draw: st.DrawFn, names: tuple[str, ...], depth: int = 2) -> str:
    """Text of an expression that is finite for moderate numbers."""
    if depth == 0:
        return str(draw(st.sampled_from(names)))
    kind = draw(
        st.sampled_from(("sum", "difference", "product", "function", "quotient", "power", "leaf"))
    )
    inner = expressions(names, depth - 1)
    if kind == "leaf":
        return str(draw(inner))
    if kind == "function":
        return f"{draw(st.sampled_from(_FUNCTIONS))}({draw(inner)})"
    if kind == "power":
        return f"σ({draw(inner)})^{draw(st.integers(2, 3))}"
    one, other = draw(inner), draw(inner)
    if kind == "quotient":
        return f"({one}) / (1.5 + tanh({other}))"
    sign = {"sum": "+", "difference": "-", "product": "∘"}[kind]
    return f"({one}) {sign} ({other})"


@st.composite
def cells(draw: st.DrawFn) -> list[str]:
    """The equations of a cell with the state [h, c]."""
    leaves = tuple(leaf for leaf in _VECTORS if "u_t" not in leaf and "v_t" not in leaf)
    u = draw(expressions(leaves))
    v = draw(expressions(tuple(leaf for leaf in _VECTORS if "v_t" not in leaf)))
    h = draw(expressions(_VECTORS))
    c = draw(expressions((*_VECTORS, "h_t")))
    return [f"u_t = w_u ∘ ({u})", f"v_t = tanh(w_v + {v})", f"h_t = tanh(W_h x_t + {h})",
            f"c_t = tanh(w_c + {c})"]  # fmt: skip


@settings(max_examples=quarter_of(150), deadline=None)
@given(cells(), st.integers(0, 2**20))
def test_cells_drawn_from_the_grammar(equations: list[str], seed: int) -> None:
    shapes = {"alpha": []} if any("α" in text for text in equations) else {}
    found = read_cell("drawn", equations, ["h", "c"], shapes)
    errors = worst(any_cell.problem_of(Cell(found), 2, 2, 3, seed=seed, scale=0.7))
    del errors["log10_chain"]  # of a Jacobian that cancels to an exact 0 it has no digits
    assert {n: e for n, e in errors.items() if not e < 1e-9} == {}


@pytest.mark.parametrize(
    ("equations", "state"),
    [
        (["h_t = tanh(W x_t)"], ["h"]),
        (["h_t = w ∘ h_{t-1}"], ["h"]),
        (["c_t = tanh(V h_{t-1} + W x_t)", "h_t = x_t"], ["h", "c"]),
        (["h_t = tanh(W x_t + U c_{t-1})", "c_t = tanh(V c_{t-1} + W x_t)"], ["h", "c"]),
        (["h_t = tanh(W x_t)", "c_t = tanh(U h_{t-1} + V c_{t-1})"], ["h", "c"]),
        (["c_t = 0.5 d_{t-1}", "d_t = tanh(W x_t + U h_{t-1})", "h_t = tanh(V c_{t-1})"],
         ["h", "c", "d"]),
        (["h_t = tanh(W x_t + W x_t + U h_{t-1} - V h_{t-1})"], ["h"]),
        (["u_t = σ(W x_t + U h_{t-1})", "h_t = tanh(W x_t + V u_t)"], ["h"]),
        (["h_t = tanh(W_h x_t + (W x_t + U h_{t-1}))",
          "c_t = tanh((W_c x_t + V h_{t-1}) + (W x_t + V h_{t-1}))"], ["h", "c"]),
        (["h_t = tanh(W x_t + U c_{t-1} + V d_{t-1})", "c_t = h_{t-1}", "d_t = h_{t-1}"],
         ["h", "c", "d"]),
        (["h_t = tanh(W x_t + U c_{t-1} + V d_{t-1})", "c_t = W x_t", "d_t = W x_t"],
         ["h", "c", "d"]),
    ],
)  # fmt: skip
def test_cells_that_hardly_are(equations: list[str], state: list[str]) -> None:
    """Parts that nothing reads, no recurrence, one matrix twice, two parts of one value."""
    errors = worst(any_cell.problem_of(Cell(read_cell("odd", equations, state)), 2, 2, 4))
    assert {n: e for n, e in errors.items() if not e < 1e-10} == {}


# ---------------------------------------------------------------------------- planted mistakes

EVERYTHING = (
    "u_t = σ(W_u x_t + U_u h_{t-1} - w_u ∘ c_{t-1} + b_u)",
    "v_t = tanh(W_v x_t - U_v^T (u_t ∘ h_{t-1}) + b_v) / (1.5 + u_t^2)",
    "c_t = (1 - u_t) ∘ c_{t-1} + α u_t ∘ v_t",
    "h_t = u_t ∘ tanh(c_t) - 0.1 h_{t-1}",
)


def _everything() -> Problem:
    found = read_cell("everything", EVERYTHING, ["h", "c"], {"alpha": []})
    return any_cell.problem_of(Cell(found), 3, 2, 4, seed=1)


def test_the_cell_of_the_planted_mistakes_is_right() -> None:
    assert max(worst(_everything()).values()) < 1e-12


def _wrong_add(node: Node, name: Name) -> Node | None:
    assert isinstance(node, Add)
    return derivatives.derivative(node.terms[0], name)


def _wrong_neg(node: Node, name: Name) -> Node | None:
    assert isinstance(node, Neg)
    return derivatives.derivative(node.operand, name)


def _wrong_mul(node: Node, name: Name) -> Node | None:
    """u'v' for u'v + uv'."""
    assert isinstance(node, Mul)
    found = [derivatives.derivative(factor, name) for factor in node.factors]
    return derivatives.added([one for one in found if one is not None])


def _wrong_div(node: Node, name: Name) -> Node | None:
    """(u/v)' = u'/v."""
    assert isinstance(node, Div)
    top = derivatives.derivative(node.top, name)
    return None if top is None else Div(top, node.bottom)


def _wrong_power(node: Node, name: Name) -> Node | None:
    assert isinstance(node, Power)
    inner = derivatives.derivative(node.base, name)
    return derivatives.multiplied(node.base, inner)


def _wrong_call(node: Node, name: Name) -> Node | None:
    """f(u)' = f'(u)."""
    assert isinstance(node, Call)
    inner = derivatives.derivative(node.argument, name)
    return None if inner is None else node._replace(prime=True, argument=Number("0.1"))


RULES = {Add: _wrong_add, Neg: _wrong_neg, Mul: _wrong_mul, Div: _wrong_div, Power: _wrong_power,
         Call: _wrong_call}  # fmt: skip


@pytest.mark.parametrize("kind", RULES, ids=lambda kind: kind.__name__)
def test_a_wrong_rule_shows(kind: type, monkeypatch: pytest.MonkeyPatch) -> None:
    right, problem = derivatives.derivative, _everything()

    def planted(node: Node, name: Name) -> Node | None:
        return RULES[kind](node, name) if isinstance(node, kind) else right(node, name)

    monkeypatch.setattr(derivatives, "derivative", planted)
    monkeypatch.setattr(step_graph, "derivative", planted)
    try:
        errors = worst(problem)
    except KeyError:  # a name is not reached any more: that shows as well
        return
    assert max(errors.values()) > 1e-6


def _changed(problem: Problem) -> Iterator[tuple[str, step_graph.Step]]:
    """The graph with one thing in it changed."""
    step = problem.cell.step
    for i, one in enumerate(step.diagonals):
        if not one.is_one:
            rest = (*step.diagonals[:i], *step.diagonals[i + 1 :])
            none = (*rest[:i], one._replace(factor=Mul((Number("0"), one.factor))), *rest[i:])
            yield f"∂{one.target}/∂{one.source} left out", step._replace(diagonals=none)
            twice = (*rest[:i], one._replace(factor=Mul((Number("2"), one.factor))), *rest[i:])
            yield f"∂{one.target}/∂{one.source} twice", step._replace(diagonals=twice)
    for i, edge in enumerate(step.matrices):
        for name, wrong in (
            ("sign", edge._replace(sign=-edge.sign)),
            ("transposed", edge._replace(transposed=not edge.transposed)),
        ):
            if name == "transposed" and edge.source == "x":
                continue
            matrices = (*step.matrices[:i], wrong, *step.matrices[i + 1 :])
            yield f"{edge.parameter} {name}", step._replace(matrices=matrices)
    for i, use in enumerate(step.uses):
        wrong_use = use._replace(factor=Mul((Number("3"), ONE)))
        uses = (*step.uses[:i], wrong_use, *step.uses[i + 1 :])
        yield f"∂{use.target}/∂{use.parameter}", step._replace(uses=uses)


@pytest.mark.parametrize("name", ["everything", "gru", "lstm", "lstm_peephole", "gru_reset_before"])
def test_every_edge_of_the_graph_matters(name: str) -> None:
    """The trace is the right one; the way back goes along a graph with one edge changed."""
    right = _everything() if name == "everything" else any_cell.problem_of(CELLS[name], 3, 3, 4)
    truth, trace = any_cell.gradients(right), forward(right)
    for what, step in _changed(right):
        cell = Cell(right.cell.equations, right.cell.blocks)
        cell.__dict__["step"] = step
        problem = any_cell.replace(right, cell=cell)
        back = bptt(problem, trace)
        got = {f"dL_d{n}": g for n, g in back.weights.items()} | {"dL_dx": back.dL_dx}
        assert max(_error(got[n], truth[n]) for n in got) > 1e-9, what


# ---------------------------------------------------------------------------- mistakes of users


@pytest.mark.parametrize(
    ("equations", "words", "at"),
    [
        (["h_t = tanh(W x_t + U g_t)"], "nothing defines g_t", 21),
        (["h_t = tanh(W x_t)", "h_t = x_t"], "h_t is defined twice", 0),
        (["h_t = tanh(W x_{t-2})"], "x_{t−2}: an equation knows the steps t and t−1 alone", 13),
        (["h_t = g_t ∘ h_{t-1}", "g_t = σ(W x_t)"], "g_t is used before its equation", 6),
        (["h_t = tnh(W x_t)"], "'tnh' is no function; did you mean 'tanh'?", 6),
        (["h_t tanh(W x_t)"], "an '=' is missing", None),
        (["h_t = tanh((W x_t)"], "is not closed by a ')'", 10),
        (["h_t = tanh(W x_t))"], "this ')' closes nothing", 17),
        (["h_t = f_t h_{t-1}", "f_t = σ(W x_t)"], "f_t is used before its equation", 6),
        (["f_t = σ(W x_t)", "h_t = f_t h_{t-1}"], "two vectors side by side; write ∘", 10),
        (["h_t = σ(W ∘ x_t)"], "W is a matrix; it stands before the vector", 8),
        (["h_t = σ(W x_t) + U"], "U is a matrix", 17),
        (["h_t = σ'(W x_t)"], "is a derivative; equations have none", 6),
        (["h_t = σ(W x)"], "x needs its step: x_t", 10),
        (["h_t = σ(W x_{t-1})"], "keep it as a part of the state, v_t = x_t", 10),
        (["h_t = 1"], "h_t would be a single number", None),
        (["x_t = h_{t-1}"], "x_t is the input", 0),
        (["h_t = σ(W x_t) = 2"], "an equation has one '='", None),
        (["h_t = __import__('os')"], "", None),
        (["h_t = W x_t ^ 99"], "an exponent can be 8 at most", None),
        ([f"h_t = {'(' * 100}W x_t{')' * 100}"], "brackets nest more than 60 deep", None),
    ],
)
def test_a_mistake_is_told_with_its_place(equations: list[str], words: str, at: int | None) -> None:
    with pytest.raises(CellMistakesError) as caught:
        read_cell("wrong", equations)
    first = caught.value.mistakes[0]
    assert words in first.message
    assert first.path[0] == "equations"
    if at is not None:
        assert first.at == at


def test_sizes_that_disagree() -> None:
    with pytest.raises(CellMistakesError) as caught:
        read_cell("wrong", ["h_t = W_p x_t"], shapes={"W_p": ["P", "H"], "h": ["P"]})
    words = "W_p is P×H by shapes, but what it multiplies has I"
    assert caught.value.mistakes[0].message == words


def test_a_part_of_the_state_that_no_equation_defines() -> None:
    with pytest.raises(CellMistakesError) as caught:
        read_cell("wrong", ["h_t = tanh(W x_t)"], ["h", "c"])
    assert caught.value.mistakes[0].message == "no equation defines c_t, a part of the state"


def test_all_mistakes_at_once() -> None:
    with pytest.raises(CellMistakesError) as caught:
        read_cell("wrong", ["f_t = tnh(W x_t)", "h_t = σ(W x_{t-3})"])
    assert [m.path for m in caught.value.mistakes] == [("equations", 0), ("equations", 1)]


@pytest.mark.parametrize(
    "text",
    [
        "h_t = tanh(W_xh x_t + W_hh h_{t-1} + b_h)",
        "h_t = tanh(W_{xh} x_t + W_{hh} h_{t−1} + b_{h})",
        "h[t] = tanh(W_xh @ x[t] + W_hh @ h[t-1] + b_h)",
        r"\mathbf{h}_t = \tanh\left(\mathbf{W}_{xh} \mathbf{x}_t + W_{hh} h_{t-1} + b_h\right)",
        "hₜ = tanh(W_xh·xₜ + W_hh·hₜ₋₁ + b_h)",
    ],
)
def test_ways_of_writing(text: str) -> None:
    (equation,) = read_cell("rnn", [text]).equations
    assert str(equation) == "h_t = tanh(W_xh x_t + W_hh h_{t−1} + b_h)"


@pytest.mark.parametrize("name", NAMES)
def test_what_is_written_is_read_as_the_same(name: str) -> None:
    equations = CELLS[name].equations
    shapes: dict[str, tuple[str, ...]] = dict(equations.parameters)
    shapes |= {part: (equations.sizes[part],) for part in ("x", *equations.state)}
    again = read_cell(name, list(map(str, equations.equations)), equations.state, shapes)
    assert list(map(str, again.equations)) == list(map(str, equations.equations))
    assert again.parameters == equations.parameters


def test_ten_thousand_terms_are_answered_at_once() -> None:
    with pytest.raises(CellMistakesError, match="longer than"):
        read_cell("long", ["h_t = " + " + ".join(["W x_t"] * 10_000)])


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("name", NAMES)
def test_every_script_is_read_as_what_it_wrote(name: str, script: str) -> None:
    equations = CELLS[name].equations
    shapes: dict[str, tuple[str, ...]] = dict(equations.parameters)
    shapes |= {part: (equations.sizes[part],) for part in ("x", *equations.state)}
    texts = [
        f"{written_in_cell(Name(e.name, step_graph.NOW), script)} = "
        f"{written_in_cell(e.right, script)}"
        for e in equations.equations
    ]
    if script != "text":
        assert "".join(texts).isascii()
    again = read_cell(name, texts, equations.state, shapes)
    assert list(map(str, again.equations)) == list(map(str, equations.equations))
