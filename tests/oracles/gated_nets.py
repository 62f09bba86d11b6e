"""Random nets of every cell and of one to three layers: seeded, and as Hypothesis strategies."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st

from oracles import gated_plain, nets, plain
from oracles.plain import COMPLEX, Net
from rnngrad.arithmetic.arrays import frozen
from rnngrad.arithmetic.functions import ACTIVATIONS
from rnngrad.cells import CELLS
from rnngrad.net.losses import LOSSES
from rnngrad.net.outputs import OUTPUTS
from rnngrad.net.problem import Problem

LARGEST_STEPS, LARGEST_SIZE, LARGEST_DEPTH = 7, 4, 3
SCALES = (0.05, 0.3, 1.0, 3.0)
KINDS = tuple((cell, depth) for cell in ("rnn", "gru", "lstm") for depth in (1, 2, 3))
GATES = {"rnn": 1, "gru": 3, "lstm": 4}


class Plan(NamedTuple):
    """What a net is like before its numbers are drawn; ``hidden`` has the units of each layer."""

    cell: str
    hidden: tuple[int, ...]
    inputs: int
    outputs: int
    steps: int
    functions: tuple[str, str, str]
    scale: float
    readout: bool = True
    start: bool = True
    mean: bool = False


def problem_of(net: Net, name: str = "net") -> Problem:
    """A plain dict as a Problem."""
    has_loss = net.get("loss") is not None
    starts = {"c": frozen(net["c_0"])} if "c_0" in net else {}
    return Problem(
        name=name,
        cell=CELLS[net["cell"]],
        activation=ACTIVATIONS[net["activation"]],
        output=OUTPUTS[net["output"]],
        weights=MappingProxyType({w: frozen(net[w]) for w in gated_plain.parameters(net)}),
        x=frozen(net["x"]),
        h_0=frozen(net["h_0"]),
        starts=starts,
        loss=LOSSES[net["loss"]] if has_loss else None,
        targets=frozen(net["targets"]) if has_loss else None,
        loss_weights=frozen(net["loss_weights"]) if has_loss else None,
    )


def shapes(cell: str, hidden: Sequence[int], inputs: int) -> dict[str, tuple[int, ...]]:
    """name -> shape of every parameter of the layers, as the contract has them."""
    found: dict[str, tuple[int, ...]] = {}
    for layer, (units, below) in enumerate(zip(hidden, (inputs, *hidden), strict=False)):
        at = f".{layer}" if len(hidden) > 1 else ""
        rows = GATES[cell] * units
        found |= {f"W_xh{at}": (rows, below), f"W_hh{at}": (rows, units)}
        names = ("b_xh", "b_hh") if cell == "gru" else ("b_h",)
        found |= {f"{name}{at}": (rows,) for name in names}
    return found


def bare_net(
    cell: str, hidden: Sequence[int], steps: int, inputs: int = 1, **others: object
) -> Net:
    """A net whose numbers are all 0 and that has no loss; ``others`` are put in (names as they
    are, but ``W_hh_0`` for ``W_hh.0``)."""
    units = sum(hidden)
    net: Net = {"cell": cell, "activation": "tanh", "output": "identity", "loss": None}
    net |= {name: np.zeros(shape) for name, shape in shapes(cell, hidden, inputs).items()}
    net |= {"x": np.zeros((steps, inputs)), "h_0": np.zeros(units)}
    net |= {"c_0": np.zeros(units)} if cell == "lstm" else {}
    return net | {name: np.asarray(value, dtype=float) for name, value in others.items()}


def random_net(seed: int) -> Net:
    """Net number ``seed``: cells and depths by turns, the rest drawn from it."""
    rng = np.random.default_rng([11, seed])
    cell, depth = KINDS[seed % len(KINDS)]
    largest = LARGEST_SIZE if depth == 1 else LARGEST_SIZE - 1
    loss = str(rng.choice(sorted(LOSSES)))
    output = LOSSES[loss].needs or str(rng.choice(nets.CLASSIC_OUTPUTS))
    plan = Plan(
        cell,
        tuple(int(n) for n in rng.integers(1, largest + 1, depth)),
        int(rng.integers(1, largest + 1)),
        int(rng.integers(1, largest + 1)),
        int(rng.integers(1, LARGEST_STEPS + 1)),
        (str(rng.choice(nets.CLASSIC)) if cell == "rnn" else "tanh", output, loss),
        float(rng.choice(SCALES)),
        bool(rng.random() < 0.75),
        bool(rng.random() < 0.5),
        bool(rng.random() < 0.3),
    )
    return drawn_net(rng, plan)


def drawn_net(rng: np.random.Generator, plan: Plan) -> Net:
    """Weights N(0, scale²), inputs N(0, 1); drawn again while a relu stands near its kink."""
    while True:
        net = _draw(rng, plan)
        if not near_a_kink(net):
            return net


def _draw(rng: np.random.Generator, plan: Plan) -> Net:
    activation, output, loss = plan.functions
    outputs = plan.outputs if plan.readout else plan.hidden[-1]
    units, steps = sum(plan.hidden), plan.steps
    net: Net = {"cell": plan.cell, "activation": activation, "output": output, "loss": loss}
    for name, shape in shapes(plan.cell, plan.hidden, plan.inputs).items():
        net[name] = rng.normal(0, plan.scale, shape)
    net["x"] = rng.normal(0, 1, (steps, plan.inputs))
    net["h_0"] = rng.normal(0, 1, units) * plan.start
    if plan.cell == "lstm":
        net["c_0"] = rng.normal(0, 1, units) * plan.start
    net["targets"] = nets.drawn_targets(rng, loss, (steps, outputs))
    net["loss_weights"] = nets.drawn_loss_weights(rng, steps, plan.mean)
    if plan.readout:
        net["W_hy"] = rng.normal(0, plan.scale, (outputs, plan.hidden[-1]))
        net["b_y"] = rng.normal(0, plan.scale, outputs)
    return net


def near_a_kink(net: Net) -> bool:
    """Whether a relu's pre-activation is within 1e-6 of 0: then some step that is moved by as much
    takes the other branch."""
    if "relu" not in (net["activation"], net["output"]):
        return False
    return any(_branches(net, shift) != _branches(net, -shift) for shift in (1e-6, 1e-7))


def _branches(net: Net, shift: float) -> list[list[bool]]:
    """Which units of h and y are above 0 when every bias is moved by ``shift``."""
    moved = {n: v + shift for n, v in net.items() if n.startswith("b_")}
    cast = gated_plain.cast(net | moved, COMPLEX)
    s = gated_plain.states(cast, COMPLEX)[1:]
    y = [plain.readout(cast, gated_plain.top(cast, row), COMPLEX)[1] for row in s]
    relu_h = [list(row.real > 0) for row in s] if net["activation"] == "relu" else []
    return relu_h + ([list(row.real > 0) for row in y] if net["output"] == "relu" else [])


@st.composite
def gated_nets(draw: st.DrawFn) -> Net:
    """Any small net of gru or lstm, or of more than one layer."""
    cell, depth = draw(st.sampled_from([kind for kind in KINDS if kind != ("rnn", 1)]))
    size = st.integers(1, 3)
    loss = draw(st.sampled_from(sorted(LOSSES)))
    output = LOSSES[loss].needs or draw(st.sampled_from(nets.CLASSIC_OUTPUTS))
    activation = draw(st.sampled_from(nets.CLASSIC)) if cell == "rnn" else "tanh"
    plan = Plan(
        cell,
        tuple(draw(st.lists(size, min_size=depth, max_size=depth))),
        draw(size),
        draw(size),
        draw(st.integers(1, 5)),
        (activation, output, loss),
        draw(st.sampled_from(SCALES)),
        draw(st.booleans()),
        draw(st.booleans()),
        draw(st.booleans()),
    )
    return drawn_net(np.random.default_rng(draw(st.integers(0, 2**32 - 1))), plan)
