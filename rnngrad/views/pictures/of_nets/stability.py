"""Stability as pictures: the Lyapunov spectrum, and eigenvalues in the complex plane."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from rnngrad.analyses.derivation.notation import Notation
from rnngrad.analyses.flow.eigenvalues import Eigenvalues, eigenvalues
from rnngrad.analyses.flow.flow import GradientFlow
from rnngrad.arithmetic.arrays import Array, Numbers
from rnngrad.views.numbers import grouped, settled
from rnngrad.views.pictures.nets import Nets
from rnngrad.views.pictures.picture import Axis, Level, Line, Mark, Picture
from rnngrad.views.pictures.words import called, signed, unaffordable


def spectrum(nets: Nets) -> Iterator[Picture]:
    """λ_i against i/S, with the standard error of each; a line a net."""
    axes = Axis("i / S", low=0.0, high=1.04), Axis("λ_i, ln per step")
    marks: list[Mark] = []
    said, notes = [], list[str]()
    for flow in nets.flows:
        name = called(flow.problem)
        if not flow.affordable:
            said.append(unaffordable(flow))
            continue
        found = flow.lyapunov
        S = flow.problem.state_size
        at = np.arange(1, len(found.exponents) + 1) / S
        if np.isfinite(found.exponents).any():
            few = len(at) < 3
            marks.append(Line(name, at, found.exponents, error=found.spread, points=few))
        said.append(_finding(flow, name if len(nets.flows) > 1 else ""))
        notes += _left_out(flow, f"{name}: " if len(nets.flows) > 1 else "")
    if marks:
        marks.append(Level("", y=0.0))
    yield Picture("spectrum", "The Lyapunov spectrum", " ".join(said), *axes, tuple(marks),
                  notes=tuple(notes), of=_only(nets.flows))  # fmt: skip


def _only(flows: Sequence[GradientFlow]) -> str:
    return called(flows[0].problem) if len(flows) == 1 else ""


def _finding(flow: GradientFlow, name: str) -> str:
    """The largest exponent, and how many directions grow."""
    found = flow.lyapunov
    of = f" of {name}" if name else ""
    first = float(found.exponents[0])
    if np.isnan(first):
        return f"The largest exponent{of} is not known."
    if np.isneginf(first):
        return f"Every direction{of} dies: all exponents are −∞."
    error = float(found.spread[0])
    give = f" ± {error:.2g}" if np.isfinite(error) and error > 0 else ""
    grow = int(np.count_nonzero(found.exponents > 0))
    size = grouped(flow.problem.state_size)
    many = "no direction grows" if not grow else f"{grow} of {size} directions grow"
    return f"The largest exponent{of} is {signed(settled(first))}{give}: {many}."


def _left_out(flow: GradientFlow, name: str) -> Iterator[str]:
    exponents, size = flow.lyapunov.exponents, flow.problem.state_size
    if len(exponents) < size:
        yield f"{name}The {len(exponents)} largest of {grouped(size)}."
    dying, unknown = int(np.isneginf(exponents).sum()), int(np.isnan(exponents).sum())
    if dying:
        yield f"{name}{grouped(dying)} of {grouped(size)} are −∞: these directions die."
    if unknown:
        yield f"{name}{grouped(unknown)} of {grouped(size)} are not known: rounding decides."


CIRCLE = 181
"""Points of the unit circle."""


def plane(nets: Nets) -> Iterator[Picture]:
    """Eigenvalues of W_hh and of Jacobians along the sequence, and the unit circle; one a net."""
    for flow in nets.flows:
        yield _plane(flow, eigenvalues(flow.result))


def _plane(flow: GradientFlow, found: Eigenvalues) -> Picture:
    h = Notation(flow.problem).state
    title, of = "Eigenvalues and the unit circle", called(flow.problem)
    x, y = Axis("real part"), Axis("imaginary part")
    if not len(found.steps) and found.W_hh is None:
        why = "No Jacobian is finite, so there are no eigenvalues."
        return Picture("eigenvalues", title, why, x, y, (), of=of)
    turn = np.linspace(0.0, 2 * np.pi, CIRCLE)
    marks: list[Mark] = [Line("unit circle", np.cos(turn), np.sin(turn), tone="kept")]
    said = []
    if len(found.steps):
        count = len(found.steps)
        name = f"∂{h}_t/∂{h}_{{t−1}}, {count} steps" if count > 1 else f"∂{h}_t/∂{h}_{{t−1}}"
        marks.append(_points(name, found.jacobians.ravel()))
        largest = np.abs(found.jacobians).max(axis=1)
        low, high = f"{largest.min():.3g}", f"{largest.max():.3g}"
        said.append(f"{low if low == high else f'{low} to {high}'} in the Jacobians")
    if found.W_hh is not None:
        marks.append(_points("W_hh", found.W_hh))
        said.append(f"{np.abs(found.W_hh).max():.3g} in W_hh")
    finding = f"The largest eigenvalue has size {', '.join(said)}."
    return Picture("eigenvalues", title, finding, x, y, tuple(marks), of=of,
                   square=True)  # fmt: skip


def _points(name: str, values: Numbers) -> Line:
    real: Array = np.real(values).astype(float)
    imaginary: Array = np.imag(values).astype(float)
    return Line(name, real, imaginary, points=True)
