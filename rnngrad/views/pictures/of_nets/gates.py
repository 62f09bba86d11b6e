"""The gates of a cell over time, beside the gradient that passes through them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rnngrad.analyses.derivation.gates import Gate, gates, opens
from rnngrad.analyses.derivation.notation import Notation, raised
from rnngrad.analyses.flow.flow import GradientFlow
from rnngrad.views.pictures.nets import Nets
from rnngrad.views.pictures.picture import Axis, Line, Picture
from rnngrad.views.pictures.words import called


def gates_over_time(nets: Nets) -> Iterator[Picture]:
    """The mean of each gate at each step, and log10 ‖∂s_T/∂s_t‖; one a layer."""
    for flow in nets.flows:
        problem = flow.problem
        for at, layer in enumerate(problem.layers):
            found = list(gates(problem, layer, flow.result.passes.forward.layers[at]))
            yield _gates(flow, found, at + 1 if problem.depth > 1 else 0)


def _gates(flow: GradientFlow, found: list[Gate], number: int) -> Picture:
    shown = [gate for gate in found if opens(flow.problem.cell, gate)] or found
    layer, up = (f" of layer {number}", raised(number)) if number else ("", "")
    h = Notation(flow.problem).state
    title, of = f"Gates{layer} and the gradient they pass", called(flow.problem)
    x = Axis("step t", whole=True)
    steps = np.arange(1, flow.problem.steps + 1, dtype=float)
    means = {f"{gate.name}{up}": np.asarray(gate.value.mean(axis=1), float) for gate in shown}
    if not any(np.isfinite(mean).any() for mean in means.values()):
        why = "No gate is finite."
        return Picture("gates", title, why, x, Axis("mean"), (), of=of)
    lines = [Line(name, steps, mean) for name, mean in means.items()]
    chain = flow.result["log10_chain"][1:]
    passed = Line(f"log10 ‖∂{h}_T/∂{h}_t‖", steps, chain, right=True, dashed=True)
    said = ", ".join(f"{name} {float(np.mean(mean)):.2g}" for name, mean in means.items())
    return Picture(
        "gates", title, f"The gates' means over all steps: {said}.", x,
        Axis("mean of a gate"), (*lines, passed), right=Axis(passed.name), of=of,
    )  # fmt: skip
