"""What a derivation is of: the net, its equations, its loss."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rnngrad.analyses.derivation.chain_rules import loss_steps
from rnngrad.analyses.derivation.derive import Derivation
from rnngrad.analyses.derivation.notation import Notation, raised
from rnngrad.errors import escaped
from rnngrad.net.problem import Problem
from rnngrad.views.blocks import Lines
from rnngrad.views.derivation.view import View
from rnngrad.views.numbers import grouped, number


def title(result: Derivation) -> Lines:
    """Name, cell and sizes."""
    problem = result.problem
    hidden = " + ".join(str(layer.hidden) for layer in problem.layers)
    sizes = f"T = {grouped(problem.steps)}, I = {problem.given_inputs}, H = {hidden}"
    of = problem.of_batch
    which = "" if of is None else f"sequence {of[0]} of {grouped(of[1])}, "
    line = f"{escaped(problem.name)}: {problem.cell.name}, {which}{sizes}, O = {problem.outputs}"
    return Lines((line,), titled=True)


def equations(view: View) -> Iterator[Lines]:
    """The equations of the net; L and what it is the sum of."""
    yield Lines(_written(view.result), formulas=True)


def heading(result: Derivation) -> Lines:
    """Both at once, where there is no summary."""
    return Lines((*title(result).lines, *_written(result)), titled=True, formulas=True)


def equations_of(problem: Problem) -> list[str]:
    """The equations of the net and of its loss, one each, what σ is among them."""
    lines = [part for line in _equations(problem) for part in line.split(",  ")]
    if problem.loss is None or problem.upstream:
        return lines
    steps = loss_steps(problem)
    over = "" if len(steps) == problem.steps else f", over {_counting(problem)}"
    return [*lines, f"L = Σ_t L_t{over}", _L_t(problem)]


def _written(result: Derivation) -> tuple[str, ...]:
    problem = result.problem
    lines = _equations(problem)
    if problem.upstream:
        return tuple(lines)
    if problem.loss is None or result.loss is None:
        lines.append("no targets, so no loss: only the recurrence is analysed")
    else:
        over, each = f"Σ L_t over {_counting(problem)}", _L_t(problem)
        if result.of_one:
            share = number(float(np.add.reduce(result["losses"])))
            lines.append(f"L = {number(result.loss)}, of all sequences")
            lines.append(f"{over} {result.of_one} = {share},  {each}")
        else:
            lines.append(f"L = {over} = {number(result.loss)},  {each}")
    return tuple(lines)


def _equations(problem: Problem) -> list[str]:
    """The net, each function with its name; that of rnn on two lines."""
    notation = Notation(problem)
    if problem.upstream:
        where = f"not 0 at {_counting(problem)}" if loss_steps(problem) else "0 at every step"
        given = f"∂L_t/∂{notation.top}_t = u_t, given as upstream, {where}; L is not known"
        return [*_of_the_cell(problem), *_of_the_state(problem), given]
    readout = f"W_hy {notation.top}_t + b_y" if problem.has_readout else f"{notation.top}_t"
    if problem.output.name == "identity":
        output = f"y_t = {readout}"
    else:
        named = "" if notation.g == "σ" else f",  g = {problem.output.name}"
        output = f"y_t = {notation.g}({readout}){named}"
    return [*_of_the_inputs(problem), *_of_the_cell(problem), *_of_the_state(problem), output]


def _of_the_inputs(problem: Problem) -> list[str]:
    """What a dense layer before the recurrent one does."""
    if problem.dense is None:
        return []
    name = problem.dense.activation.name
    into = "W_in x_t + b_in" if name == "identity" else "φ(W_in x_t + b_in)"
    named = "" if name == "identity" else f",  φ = {name}"
    return [f"x'_t = {into}{named}, which is the x_t of the formulas below"]


def _of_the_cell(problem: Problem) -> list[str]:
    cell = problem.cell
    if cell.activation is None:
        return [f"{',  '.join(cell.shown)},  σ = {problem.activation.name}"]
    lines = list(cell.shown or map(str, cell.equations.equations))
    first = next((i for i, line in enumerate(lines) if "σ(" in line), None)
    if first is not None:
        lines[first] += ",  σ = sigmoid"
    return lines


def _of_the_state(problem: Problem) -> list[str]:
    """What s_t is, where it is more than one h, and which layer has which names."""
    s = Notation(problem).state
    if s == problem.cell.parts[0]:
        return []
    if problem.depth == 1:
        parts = ", ".join(f"{part}_t" for part in problem.cell.parts)
        return [f"{s}_t = [{parts}], the state"]
    layers = range(1, problem.depth + 1)
    if problem.depth > 3:
        parts = ", ".join(f"{part}¹_t" for part in problem.cell.parts)
        state = f"{s}_t = [{parts}, .., {problem.cell.parts[-1]}{raised(problem.depth)}_t]"
    else:
        every = (f"{part}{raised(at)}_t" for at in layers for part in problem.cell.parts)
        state = f"{s}_t = [{', '.join(every)}]"
    on, names = ", and so on" if problem.depth > 2 else "", list(problem.cell.weights)
    first, second = (
        ", ".join(f"{name}.{at}" for name in names[:2]) + (", .." if names[2:] else "")
        for at in (0, 1)
    )
    below = f"{problem.cell.parts[0]}¹_t for its x_t{on}"
    return [
        f"{state}, {problem.depth} layers, the lowest first:",
        f"layer 1 has {first}; layer 2 has {second}, and {below}",
    ]


def _counting(problem: Problem) -> str:
    steps = loss_steps(problem)
    if len(steps) == problem.steps:
        return "all steps"
    if len(steps) <= 6:
        return f"step{'s' if len(steps) > 1 else ''} {', '.join(map(str, steps))}"
    return f"{grouped(len(steps))} of {grouped(problem.steps)} steps"


def _L_t(problem: Problem) -> str:
    assert problem.loss is not None
    formula = problem.loss.formula.replace("target_t", "t_t")
    if problem.outputs > 1 and not formula.startswith("−Σ"):
        formula = f"Σ_o ({formula})" if " − (" in formula else f"Σ_o {formula}"
    return f"L_t = {Notation(problem).weighted(formula)}"
