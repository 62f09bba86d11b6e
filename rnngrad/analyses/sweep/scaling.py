"""What a sweep multiplies: W_hh of every layer, all of its rows or those of one gate."""

from __future__ import annotations

import re
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from rnngrad.algebra.expressions import Name, nodes
from rnngrad.arithmetic.arrays import frozen
from rnngrad.cells import CELLS
from rnngrad.errors import UsageError, did_you_mean
from rnngrad.net.bidirectional import changed
from rnngrad.net.cells import Cell
from rnngrad.net.problem import REVERSE, Problem

RELATIVE = ("weights", "spectral-radius", "sigma-max")
"""What a scale multiplies: the spec's own W_hh, or W_hh made 1 in one of its two sizes."""

CALLED = {"reset": "r", "update": "z", "new": "n", "candidate": "n", "input": "i", "forget": "f",
          "cell": "g", "output": "o"}  # fmt: skip
"""What the gates are called in words."""


def scaled_by(problem: Problem, factor: float, gate: str | None = None) -> Problem:
    """The same problem with what is scaled of every layer, and direction, multiplied by a factor,
    or that of one gate: for rnn, gru and lstm W_hh, or a gate's rows of it."""
    return changed(problem, lambda one: _scaled_by(one, factor, gate))


def _scaled_by(problem: Problem, factor: float, gate: str | None) -> Problem:
    cell = problem.cell
    chosen = set(scaled_in(cell, gate))
    weights = dict(problem.weights)
    names = [(n, n + way + layer.suffix) for layer in problem.layers
             for way in ("", REVERSE) for n in cell.parameters
             if not way or n + way not in cell.parameters]  # fmt: skip
    for own, name in names:
        parts = cell.blocks.get(own, (own,))
        hit = [part in chosen for part in parts]
        if not any(hit) or name not in weights:
            continue
        W = weights[name]
        if all(hit):
            weights[name] = frozen(factor * W)
        else:
            rows = np.repeat(np.where(hit, factor, 1.0), len(W) // len(parts))
            weights[name] = frozen(rows.reshape(-1, *[1] * (W.ndim - 1)) * W)
    return replace(problem, weights=MappingProxyType(weights))


def scaled_in(cell: Cell, gate: str | None = None) -> tuple[str, ...]:
    """What is scaled by the names of the equations; what of it stands in one gate's equation."""
    if gate is None:
        return cell.scaled
    inside = nodes(cell.equations.right(gate))
    names = {node.head for node in inside if isinstance(node, Name)}
    return tuple(name for name in cell.scaled if name in names)


def gates_of(cell: Cell) -> tuple[str, ...]:
    """What ``--gate`` may name: the blocks of rows, or the equations with what is scaled."""
    if cell.gates:
        return cell.gates
    names = (equation.name for equation in cell.equations.equations)
    return tuple(name for name in names if scaled_in(cell, name))


def what_is_scaled(cell: Cell, gate: str | None = None) -> str:
    """W_hh, or what is scaled of a cell by name."""
    chosen = scaled_in(cell, gate)
    if gate is not None and cell.blocks:
        return f"rows of the gate {gate} of W_hh"
    for name, parts in cell.blocks.items():
        if parts == chosen:
            return name
    return ", ".join(chosen)


def kind_of(problem: Problem) -> str:
    """``an rnn``, ``a gru`` or ``a stack of 2 lstm layers``."""
    name = problem.cell.name
    if problem.depth > 1:
        return f"a stack of {problem.depth} {name} layers"
    return f"{'an' if AN.match(name) else 'a'} {name}"


AN = re.compile(r"[aeio]|(?!(f[lr]|s[chklmnpqtw]r?)[aeiou])[fhlmnrsx][^aeiouy\W]", re.IGNORECASE)
"""Names that begin with a vowel as they are said: elstm, mgu (by letters); not star, ugrnn."""


def check_scaled(problem: Problem) -> None:
    """UsageError where there is nothing to scale."""
    cell = problem.cell
    if cell.scaled:
        return
    why = "no weight changes its Jacobian ∂s_t/∂s_{t−1}"
    if cell.equations.recurrent is not None:
        why = "its key 'recurrent' is empty"
    raise UsageError(f"'{problem.name}' is {kind_of(problem)}: {why}, so there is nothing to scale")


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
    gates = gates_of(problem.cell)
    none = len(problem.cell.gates) == 1
    if gate is None or (not none and gate in gates):
        return
    if none:
        others = (f"{c.name} {', '.join(c.gates)}" for c in map(CELLS.__getitem__, GATED))
        raise UsageError(
            f"--gate {gate}: '{problem.name}' is {kind_of(problem)} and has no gates; "
            f"{'; '.join(others)}"
        )
    raise UsageError(
        f"--gate {gate}: the gates of '{problem.name}', {kind_of(problem)}, are "
        f"{', '.join(gates)}{_meant(gate, gates)}"
    )


GATED = ("gru", "lstm")
"""The cells that an example is taken from."""


def _meant(gate: str, gates: tuple[str, ...]) -> str:
    """``; did you mean 'f'?`` for F, forget or forgte."""
    if gate.lower() in gates:
        return f"; did you mean '{gate.lower()}'?"
    words = {word: letter for word, letter in CALLED.items() if letter in gates}
    meant = [letter for word, letter in words.items() if did_you_mean(gate.lower(), [word])]
    return f"; did you mean '{meant[0]}'?" if meant else ""
