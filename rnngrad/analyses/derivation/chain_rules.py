"""Each derivative of the exercise sheet, for any net: symbol, chain rule, numbers.

The sheet's ten subtasks a1 … a6, b1 … b4 with its 3 read as T and its 2 as T − 1. For nets that are
more than one layer of rnn the recurrence runs through s_t, and further lines are added: c5, c6 are
a5, a6 for c_t (c7, c8 for a third part of the state), and g1, g2, … what is inside a step
(``step_lines``). A cell of n weights has the lines b1 … bn and b(n+1) … b(2n); in a stack the
latter are a line a layer: b3.0, b3.1, …
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from rnngrad.algebra.expressions import Add, Call, Div, Mul, Name, Neg, Node, Power, parts
from rnngrad.algebra.step_graph import before, key_of
from rnngrad.algebra.writing import at
from rnngrad.analyses.derivation.formulas import (
    Line,
    Partial,
    product_text,
    state_formula,
    weight_formula,
    without_output,
)
from rnngrad.analyses.derivation.notation import Notation
from rnngrad.analyses.derivation.step_lines import cell_lines, immediate_lines, one_step_formula
from rnngrad.net.problem import Problem


def derivation(problem: Problem, *, matrix: bool = False) -> tuple[Line, ...]:
    """The lines that exist for this problem: those of a step before 1 are left out, and without
    targets so is everything that needs a loss. ``matrix``: with diag where all sizes are 1, too."""
    notation = Notation(problem, matrix)
    lines = [*_one_step(notation), *_immediate(notation)]
    if problem.loss is not None:
        lines += [*_outputs(notation), *_states(problem), *_weights(problem)]
    if not of_the_sheet(problem):
        lines = [line._replace(equations="") for line in lines]
    return (*sorted(lines, key=_place), *cell_lines(notation))


def of_the_sheet(problem: Problem) -> bool:
    """Whether it is the exercise sheet's net, whatever its numbers: scalar, T = 3, h_0 = 0. It
    alone has the sheet's numbers of equations."""
    sizes = {problem.inputs, problem.hidden, problem.outputs}
    loss = "" if problem.loss is None else problem.loss.name
    scalar = problem.single_rnn and sizes == {1}
    return scalar and problem.steps == 3 and loss == "squared_error" and not problem.h_0.any()


def asked_before(problem: Problem, lines: Sequence[Line]) -> dict[str, str]:
    """Which line asks for what an earlier one does: a6 for a5 of two steps, and for a3 of one."""
    first, found = dict[str, str](), dict[str, str]()
    for line in (one for one in lines if one.row is not None):
        asked = line.symbol.replace("∂L_1/", "∂L/") if problem.steps == 1 else line.symbol
        if (earlier := first.setdefault(asked, line.id)) != line.id:
            found[line.id] = earlier
    return found


def _place(line: Line) -> tuple[str, int, int]:
    """a1 before b3.0 before b3.1 before b3.10 before b10."""
    name, _, layer = line.id.partition(".")
    return name[0], int(name[1:]), int(layer or 0)


def loss_steps(problem: Problem) -> list[int]:
    """The steps t whose L_t counts."""
    if problem.loss_weights is None:
        return []
    return [int(t) + 1 for t in np.flatnonzero(problem.loss_weights)]


def first_use(problem: Problem, weight: str) -> int:
    """The first step at which ∂⁺s_t/∂W is not zero by itself: 2 where W meets nothing but what is 0
    when the layer's state is, such as W_hh h_{t−1}, and it begins with 0; else 1."""
    name, _, layer = weight.partition(".")
    cell, own = problem.cell, problem.layers[int(layer or 0)]
    zeros = {
        before(part)
        for index, part in enumerate(cell.parts)
        if not problem.start(index)[own.parts[index]].any()
    }
    for one in cell.step.definitions:
        if all(m.source in zeros for m in one.matrices) and _is_zero(one.rest, zeros, problem):
            zeros.add(one.key)
    parameters = cell.blocks.get(name, (name,))
    met = [m.source in zeros for m in cell.step.matrices if m.parameter in parameters]
    met += [_is_zero(u.factor, zeros, problem) for u in cell.step.uses if u.parameter in parameters]
    return 2 if met and all(met) else 1


def _is_zero(node: Node | None, zeros: set[str], problem: Problem) -> bool:
    """Whether an expression is 0 where those names are."""
    if node is None:
        return True
    below = [_is_zero(one, zeros, problem) for one in parts(node)]
    if isinstance(node, Name):
        return node.step is not None and key_of(node) in zeros
    if isinstance(node, Call):
        f = problem.functions[node.function]
        return below[0] and not node.prime and bool(f.f(np.zeros(1))[0] == 0)
    if isinstance(node, Div | Power):
        return below[0] and not (isinstance(node, Power) and node.exponent <= 0)
    return any(below) if isinstance(node, Mul) else all(below) and isinstance(node, Neg | Add)


def _outputs(notation: Notation) -> Iterator[Line]:
    """a1, a2, a3: ∂L/∂y_T, ∂L/∂y_{T−1} and ∂L_T/∂h_T; a3 alone where that is given."""
    problem, T = notation.problem, notation.problem.steps
    counting = set(loss_steps(problem))

    def counted(t: int, formula: str) -> str:
        return formula if t in counting else f"0, because {at('L', t)} does not count"

    for name, t, equations in (("a1", T, "7–9"), ("a2", T - 1, "10–12")):
        if t >= 1 and not problem.upstream:
            chain = product_text((Partial("L", at("L", t)), Partial(at("L", t), at("y", t))))
            formula = counted(t, f"{chain} = {notation.loss_slope(t)}")
            yield Line(name, f"∂L/∂{at('y', t)}", formula, "dL_dy", t - 1, equations)
    h, towards_y = at(notation.first, T), Partial(at("L", T), at("y", T))
    if problem.upstream:
        given = counted(T, f"{at('u', T)}, given as upstream")
        yield Line("a3", f"∂{towards_y.top}/∂{h}", given, "dLt_dht", T - 1, "")
        return
    chain = product_text((towards_y, Partial(towards_y.bottom, h)))
    formula = counted(T, f"{chain} = {towards_y} · {notation.readout_slope(T)}")
    yield Line("a3", f"∂{towards_y.top}/∂{h}", formula, "dLt_dht", T - 1, "13–15")


def _one_step(notation: Notation) -> Iterator[Line]:
    """a4: ∂h_t/∂h_{t−1}, for every t."""
    of_rnn = notation.problem.single_rnn
    formula = notation.one_step() if of_rnn else one_step_formula(notation)
    symbol = f"∂{notation.state}_t/∂{notation.state}_{{t−1}}"
    yield Line("a4", symbol, formula, "dht_dhprev", None, "16–17")


def _states(problem: Problem) -> Iterator[Line]:
    """a5, a6: ∂L/∂h_{T−1} and ∂L/∂h_1; c5, c6: the same for c, and so on."""
    counting, notation = loss_steps(problem), Notation(problem)
    for index, part in enumerate(problem.cell.parts):
        first, number = ("c", 3 + 2 * index) if index else ("a", 5)
        ends = ((number, problem.steps - 1, "18–20"), (number + 1, 1, "21–24"))
        for number, k, equations in ends:
            if k >= 1:
                way = {"state": notation.state, "end": part, "seen": notation.first}
                formula = _seen(problem, state_formula(k, counting, **way))
                name = f"{first}{number}"
                yield Line(name, f"∂L/∂{at(part, k)}", formula, f"dL_d{part}", k, equations)


def _seen(problem: Problem, formula: str) -> str:
    """A formula whose paths begin where the net ends: at ∂L_t/∂h_t where that is given."""
    return without_output(formula) if problem.upstream else formula


def _immediate(notation: Notation) -> Iterator[Line]:
    """b1, b2: ∂⁺h_t/∂W_xh and ∂⁺h_t/∂W_hh, for every t; none in a stack."""
    if not notation.problem.single_rnn:
        yield from immediate_lines(notation) if notation.problem.depth == 1 else ()
        return
    yield Line("b1", "∂⁺h_t/∂W_xh", notation.immediate("x_t"), "dht_dW_xh", None, "25–26")
    yield Line("b2", "∂⁺h_t/∂W_hh", notation.immediate("h_{t−1}"), "dht_dW_hh", None, "27–28")


def _weights(problem: Problem) -> Iterator[Line]:
    """b3, b4: ∂L/∂W_xh and ∂L/∂W_hh; of other cells every weight's."""
    counting, state = loss_steps(problem), Notation(problem).state
    names = list(problem.cell.weights)
    for number, name in enumerate(names, start=len(names) + 1):
        for layer in problem.layers:
            weight = name + layer.suffix
            formula = weight_formula(weight, counting, first_use(problem, weight), state=state)
            formula = _seen(problem, formula)
            equations = {"W_xh": "29–32", "W_hh": "33–35"}.get(name, "")
            yield Line(f"b{number}{layer.suffix}", f"∂L/∂{weight}", formula, f"dL_d{weight}",
                       None, equations)  # fmt: skip


def remarks(problem: Problem, lines: Sequence[Line]) -> tuple[str, ...]:
    """What the symbols mean, and which line asks for what another does; of the sheet's net what the
    sheet leaves out and its misprint. One line each."""
    if of_the_sheet(problem):
        immediate = "∂⁺ (25–28) is the immediate partial, h_{t−1} fixed; (29–35) sum the paths."
        return (immediate, *ERRATA)
    again = (f"{later} asks for the same as {earlier}, because T = {problem.steps}."
             for later, earlier in asked_before(problem, lines).items())  # fmt: skip
    return (*conventions(problem, lines), *again)


ERRATA = (
    "(33–35) leave out L_1 and ∂⁺h_1/∂W_hh: right only for h_0 = 0, as here.",
    "(32) is misprinted: its last factor must be ∂h_1/∂W_xh, not ∂h_2/∂W_xh.",
)
"""Of the exercise sheet."""


def conventions(problem: Problem, lines: Sequence[Line]) -> tuple[str, ...]:
    """What is held fixed, in ∂⁺ and where the state has several parts; only where it occurs."""
    s, parts, found = Notation(problem).state, problem.cell.parts, list[str]()
    by_weight = {f"∂{name}" for name in problem.weights}
    immediate = [one.symbol for one in lines if one.symbol.startswith("∂⁺")]
    if immediate or any("∂⁺" in line.formula for line in lines):
        found.append(f"∂⁺ is the immediate partial: {s}_{{t−1}} is held fixed.")
    for symbol in immediate:
        if not symbol.endswith(tuple(by_weight)):
            words = "is of that equation alone: the other names in it are held fixed."
            found.append(f"{symbol} {words}")
            break
    if s != parts[0]:
        example = "a derivative by one of them holds the others fixed"
        if len(parts) == 2 and problem.depth == 1 and problem.loss is not None:
            example = f"∂L/∂{parts[1]}_t holds {parts[0]}_t fixed"
        found.append(f"The parts of {s}_t are independent variables: {example}.")
    return tuple(found)
