"""What a sweep multiplies: W_hh of every layer, all of its rows or those of one gate."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

from rnngrad.arithmetic.arrays import Array, frozen
from rnngrad.cells import CELLS
from rnngrad.core.problem import Problem
from rnngrad.errors import UsageError, did_you_mean

RELATIVE = ("weights", "spectral-radius", "sigma-max")
"""What a scale multiplies: the spec's own W_hh, or W_hh made 1 in one of its two sizes."""

CALLED = {"reset": "r", "update": "z", "new": "n", "candidate": "n", "input": "i", "forget": "f",
          "cell": "g", "output": "o"}  # fmt: skip
"""What the gates are called in words."""


def scaled_by(problem: Problem, factor: float, gate: str | None = None) -> Problem:
    """The same problem with W_hh of every layer multiplied by a factor, or one gate's rows of it.

    Row g·H + i of a W_hh (G·H, H) is that of gate g and unit i.
    """
    gates = problem.cell.gates
    scaled = {
        f"W_hh{layer.suffix}": _scaled(layer.weights["W_hh"], factor, gates, gate)
        for layer in problem.layers
    }
    return replace(problem, weights=MappingProxyType({**problem.weights, **scaled}))


def _scaled(W_hh: Array, factor: float, gates: tuple[str, ...], gate: str | None) -> Array:
    if gate is None:
        return frozen(factor * W_hh)
    rows, at = W_hh.copy(), gates.index(gate)
    rows[at * W_hh.shape[1] : (at + 1) * W_hh.shape[1]] *= factor
    return frozen(rows)


def kind_of(problem: Problem) -> str:
    """``an rnn``, ``a gru`` or ``a stack of 2 lstm layers``."""
    name = problem.cell.name
    if problem.depth > 1:
        return f"a stack of {problem.depth} {name} layers"
    return f"a {name}" if name == "gru" else f"an {name}"


def check_relative(problem: Problem, relative_to: str) -> None:
    """UsageError for a size that does not exist, or not for this net."""
    if relative_to not in RELATIVE:
        hint = did_you_mean(relative_to, RELATIVE) or f"; give one of {', '.join(RELATIVE)}"
        raise UsageError(f"--relative-to: '{relative_to}' is none of them{hint}")
    if relative_to != "weights" and not problem.single_rnn:
        raise UsageError(
            f"--relative-to {relative_to}: '{problem.name}' is {kind_of(problem)}, and the "
            f"{relative_to.replace('-', ' ')} of its matrices says nothing of its Jacobians; only "
            "'weights' is left"
        )


def check_gate(problem: Problem, gate: str | None) -> None:
    """UsageError for a gate that the cell does not have."""
    gates = problem.cell.gates
    if gate is None or (len(gates) > 1 and gate in gates):
        return
    if len(gates) == 1:
        others = (f"{c.name} {', '.join(c.gates)}" for c in CELLS.values() if len(c.gates) > 1)
        raise UsageError(
            f"--gate {gate}: '{problem.name}' is {kind_of(problem)} and has no gates; "
            f"{'; '.join(others)}"
        )
    raise UsageError(
        f"--gate {gate}: the gates of '{problem.name}', {kind_of(problem)}, are "
        f"{', '.join(gates)}{_meant(gate, gates)}"
    )


def _meant(gate: str, gates: tuple[str, ...]) -> str:
    """``; did you mean 'f'?`` for F, forget or forgte."""
    if gate.lower() in gates:
        return f"; did you mean '{gate.lower()}'?"
    words = {word: letter for word, letter in CALLED.items() if letter in gates}
    meant = [letter for word, letter in words.items() if did_you_mean(gate.lower(), [word])]
    return f"; did you mean '{meant[0]}'?" if meant else ""
