"""Any net that a spec can describe, drawn: what Hypothesis chooses, and the numbers from a seed.

A net is a spec with arrays, so that whatever a test says of it goes through ``rnngrad.load``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from net.test_cells import cells
from oracles.nets import drawn_targets
from rnngrad.algebra.equations import read_cell
from rnngrad.arithmetic.arrays import Array
from rnngrad.arithmetic.functions import ACTIVATIONS
from rnngrad.cells import CELLS, NAMES
from rnngrad.net.cells import Cell, lengths, multiple, stacked
from rnngrad.net.losses import LOSSES
from rnngrad.net.outputs import OUTPUTS

NETS = int(os.environ.get("RNNGRAD_NETS", "300"))
"""How many nets the proofs against oracles draw; ``.ci/properties.py`` asks for 10,000."""

Spec = dict[str, Any]


def proved(
    function: Callable[..., None],
    *strategies: st.SearchStrategy[Any],
    share: int = 1,
    planted: bool = False,
) -> int:
    """How many of NETS/share nets the function was run on, each without a failure: the same nets in
    CI, others every night. With a planted mistake there are fewer, and none is made smaller."""
    count = 0

    @settings(
        max_examples=30 if planted else max(10, NETS // share),
        derandomize=planted or "RNNGRAD_NETS" not in os.environ,
        phases=[Phase.generate] if planted else [Phase.generate, Phase.shrink],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.tuples(*strategies))
    def one(drawn: tuple[Any, ...]) -> None:
        nonlocal count
        function(*drawn)
        count += 1

    one()
    return count


class Drawn(NamedTuple):
    """The spec, its cell, and the shape of every parameter of the layers by its letters."""

    spec: Spec
    cell: Cell
    letters: Mapping[str, tuple[str, ...]]

    @property
    def layers(self) -> list[Spec]:
        """The weights of each layer, without the read-out's."""
        weights = self.spec["weights"]
        return list(weights["layers"]) if "layers" in weights else [weights]

    def changed(self, **keys: Any) -> Spec:
        """The spec with other values; None leaves a key out."""
        return {k: v for k, v in {**self.spec, **keys}.items() if v is not None}


STEPS = st.one_of(st.integers(1, 4), st.integers(1, 30), st.integers(31, 300))


@st.composite
def nets(
    draw: st.DrawFn,
    names: st.SearchStrategy[Any] | None = None,
    steps: st.SearchStrategy[int] = STEPS,
    layers: int = 3,
    batches: bool = True,
) -> Drawn:
    """Any net: ``names`` draws a cell's name, or None for a cell that is drawn itself."""
    name = draw(st.sampled_from([*NAMES, *["rnn"] * 8, *[None] * 12]) if names is None else names)
    spec: Spec = {"cell": name}
    if name is None:
        equations = draw(cells())
        state, shapes = ["h", "c"], {"alpha": []} if "α" in "".join(equations) else {}
        spec["cell"] = {"equations": equations, "state": state, "shapes": shapes}
        cell = Cell(read_cell("net", equations, state, shapes))
    else:
        cell = CELLS[name]
    if name == "rnn":
        spec["activation"] = draw(st.sampled_from(sorted(ACTIVATIONS)))
    depth = draw(st.sampled_from([1, 1, 1, *range(2, layers + 1)]))
    size = st.integers(1, 4)
    hidden, inputs, outputs, T = draw(size), draw(size), draw(size), draw(steps)
    spec |= draw(_losses())
    readout = draw(st.booleans()) or (spec["loss"] == "cross_entropy" and hidden == 1)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    found = _weights(rng, cell, depth, hidden, inputs, draw(st.sampled_from([0.1, 0.4, 1.0])))
    weights, letters, units, width = found
    if readout:
        weights |= {"W_hy": rng.normal(size=(outputs, units[0])), "b_y": rng.normal(size=outputs)}
    batch = draw(st.sampled_from([0, 0, 1, 3])) if batches else 0
    shape = (batch, T) if batch else (T,)
    spec |= {"name": "net", "weights": weights, "inputs": rng.normal(size=(*shape, width))}
    rows = drawn_targets(rng, spec["loss"], (max(1, batch) * T, outputs if readout else units[0]))
    spec["targets"] = rows.reshape(*shape, -1)
    if spec["loss_steps"] == "some":
        spec["loss_steps"] = sorted({*(1 + rng.integers(0, T, 3)).tolist()})
    if batch:
        spec["batch"], spec["batch_reduction"] = "first", draw(st.sampled_from(["sum", "mean"]))
    # relu(W x ∘ U h) of h_0 = 0 stands at its kink, where the sign is that of a complex step's ε²
    if draw(st.booleans()) or any("relu" in one.text for one in cell.equations.equations):
        for part, letter in zip(cell.parts, cell.letters, strict=True):
            spec[f"{part}_0"] = rng.normal(0, 0.5, units[cell.letters.index(letter)] * depth)
    return Drawn(spec, cell, letters)


@st.composite
def _losses(draw: st.DrawFn) -> Spec:
    loss = draw(st.sampled_from(sorted(LOSSES)))
    smooth = sorted(set(OUTPUTS) - {"relu", "leaky_relu", "hard_sigmoid", "hard_tanh"})
    return {
        "loss": loss,
        "output_activation": LOSSES[loss].needs or draw(st.sampled_from(smooth)),
        "loss_steps": draw(st.sampled_from(["all", "last", "some"])),
        "loss_reduction": draw(st.sampled_from(["sum", "mean"])),
    }


def _weights(
    rng: np.random.Generator, cell: Cell, depth: int, hidden: int, inputs: int, scale: float
) -> tuple[Spec, dict[str, tuple[str, ...]], list[int], int]:
    """The ``weights`` of the layers, their letters, the size of each part of the state, and I."""
    tied = cell.input_letter != "I"
    sizes = {"I": hidden if tied or "I" in cell.letters else inputs}
    shapes = stacked(cell, depth)
    named = {multiple(letter)[1] for shape in shapes.values() for letter in shape}
    sizes |= dict.fromkeys({*named, *cell.letters} - {"I"}, hidden)
    arrays = {n: np.asarray(rng.normal(0, scale, lengths(s, sizes))) for n, s in shapes.items()}
    units = [sizes[letter] for letter in cell.letters]
    width = sizes[cell.input_letter]
    if depth == 1:
        return dict(arrays), dict(shapes), units, width
    layers: list[Spec] = [{} for _ in range(depth)]
    for name, array in arrays.items():
        head, _, at = name.rpartition(".")
        layers[int(at)][head] = array
    return {"layers": layers}, dict(shapes), units, width


def arrays(found: Mapping[str, Any], start: str = "dL_d") -> dict[str, Array]:
    """The gradients among what ``rnngrad.gradients`` gives."""
    return {name: np.asarray(a) for name, a in found.items() if name.startswith(start)}
