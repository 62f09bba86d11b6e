"""A net -> a Python file with the signature that ``check --against FILE.py:FUNCTION`` calls, the
shapes, and the dict to return: what is missing are the passes."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

import numpy as np

from rnngrad.errors import UsageError, escaped
from rnngrad.files.text import counted, cut, listed
from rnngrad.net.problem import Problem

FUNCTION = "backward"
FILE = "student.py"
"""Where the file is not given a name."""


def function_file(problem: Problem, spec: str, path: str = FILE) -> str:
    """The text of the file; ``spec`` and ``path`` are as they were typed.

    Raises UsageError for a net without a loss.
    """
    if problem.loss is None:
        name = cut(problem.name)
        raise UsageError(f"'{name}' has no targets, so there are no gradients to fill in")
    return "\n".join([*_head(problem, spec, path), *_function(problem)]) + "\n"


def _head(problem: Problem, spec: str, path: str) -> Iterator[str]:
    against = shlex.quote(f"{path}:{FUNCTION}")
    yield f"# The gradients of {cut(problem.name, 80)}, to fill in. This line checks them:"
    yield f"#   rnngrad check {escaped(shlex.quote(spec))} --against {escaped(against)}"
    yield "#"
    third = "u_t is upstream[t - 1]" if problem.upstream else "target_t is targets[t - 1]"
    yield f"# Steps count from 1, as on paper: x_t is inputs[t - 1], {third}."
    sigma = problem.activation.name if problem.cell.activation is None else "sigmoid"
    for equation in problem.cell.shown or problem.cell.equations.equations:
        yield f"#   {equation}"
    yield f"#   σ = {sigma}"
    if problem.depth > 1:
        yield f"#   in each of {problem.depth} layers; x_t of a layer is h_t of the one below"
    if problem.upstream:
        yield "#   ∂L_t/∂h_t = u_t, from a head of your own: L is not known"
        yield ""
        yield "import numpy as np"
        return
    inner = "W_hy h_t + b_y" if problem.has_readout else "h_t"
    linear = problem.output.name == "identity"
    yield f"#   y_t = {inner}" if linear else f"#   y_t = {problem.output.name}({inner})"
    yield f"#   L = {_loss(problem)}"
    yield ""
    yield "import numpy as np"


def _loss(problem: Problem) -> str:
    """``1/2 (L_2 + L_5),  L_t = Σ_o (target_t − y_t)²``"""
    assert problem.loss is not None
    assert problem.loss_weights is not None
    counting = np.flatnonzero(problem.loss_weights) + 1
    number = len(counting)
    terms = [f"L_{t}" for t in counting[:6]] + (["..."] if number > 6 else [])
    whole = "Σ_t L_t" if number == problem.steps else " + ".join(terms)
    mean = number > 1 and problem.loss_weights[counting[0] - 1] != 1
    if mean:
        count = f"{1.0 / problem.loss_weights.max():.12g}"
        whole = f"1/{count} {whole if number == problem.steps else f'({whole})'}"
    formula = problem.loss.formula
    each = formula if formula.startswith("−Σ") or problem.outputs == 1 else f"Σ_o {formula}"
    return f"{whole},  L_t = {each}"


def _function(problem: Problem) -> Iterator[str]:
    others = [
        (part, problem.start(index).shape) for index, part in enumerate(problem.cell.parts) if index
    ]
    named = "".join(f", {part}_0" for part, _ in others)
    yield ""
    yield ""
    third = "upstream" if problem.upstream else "targets"
    yield f"def {FUNCTION}(weights, inputs, {third}, h_0{', *' + named if others else ''}):"
    names = {name: name.replace(".", "_") for name in problem.weights}
    for name, variable in names.items():
        shape = f"{problem.weights[name].shape}{_rows(problem, name)}"
        yield f'    {variable} = weights["{name}"]  # {shape}'
    layers = ", of all layers, lowest first" if problem.depth > 1 else ""
    steps = counted(problem.steps, "step")
    assert problem.targets is not None
    yield f"    # inputs: {problem.x.shape}, {steps} of {counted(problem.inputs, 'number')}"
    yield f"    # {third}: {problem.targets.shape}, {steps} of {counted(problem.outputs, 'number')}"
    yield f"    # h_0: {problem.h_0.shape}{layers}"
    for part, size in others:
        yield f"    # {part}_0: {size}{layers}"
    yield ""
    for variable in names.values():
        yield f"    dL_d{variable} = np.zeros_like({variable})"
    yield ""
    yield "    # Forward from t = 1 to T, then back from t = T to 1, adding up:"
    yield ""
    yield f"    # These are checked too where they stand in the dict: {_more(problem)}."
    yield "    return {"
    for name, variable in names.items():
        yield f'        "dL_d{name}": dL_d{variable},  # {problem.weights[name].shape}'
    yield "    }"


def _rows(problem: Problem, name: str) -> str:
    """The gates whose rows a parameter of the cell has one after the other."""
    gates = problem.cell.gates
    of_the_cell = name.partition(".")[0] in problem.cell.parameters
    return f", rows {', '.join(gates)}" if of_the_cell and len(gates) > 1 else ""


def _more(problem: Problem) -> str:
    steps, hidden = problem.steps, problem.hidden
    loss = [] if problem.upstream else ["loss"]
    words = [*loss, f"dL_dh ({steps + 1}, {hidden})", f"dL_dh_0 ({hidden},)"]
    for index, part in enumerate(problem.cell.parts[1:], start=1):
        size = len(problem.start(index))
        words += [f"dL_d{part} ({steps + 1}, {size})", f"dL_d{part}_0 ({size},)"]
    return listed([*words, f"dL_dx ({steps}, {problem.inputs})"], limit=300)
