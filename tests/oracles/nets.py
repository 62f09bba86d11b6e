"""Random nets as rnngrad problems, seeded, and the same problems as the oracles' plain dicts."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import numpy as np
from hypothesis import strategies as st

from oracles import plain
from oracles.plain import Net
from rnngrad.arithmetic.arrays import frozen
from rnngrad.arithmetic.functions import ACTIVATIONS
from rnngrad.cells import CELLS
from rnngrad.net.losses import LOSSES
from rnngrad.net.outputs import OUTPUTS
from rnngrad.net.problem import Problem

LARGEST_STEPS, LARGEST_SIZE = 12, 5
SCALES = (0.05, 0.3, 1.0, 3.0)
KINK = 1e-6


CLASSIC = ("identity", "relu", "sigmoid", "softplus", "tanh")
"""The activations that every oracle has; the others are tested as functions."""
CLASSIC_OUTPUTS = tuple(sorted((*CLASSIC, "softmax")))


def problem_of(net: Net, name: str = "net") -> Problem:
    """A plain dict as a Problem."""
    names = [w for w in plain.PARAMETERS if w in net]
    has_loss = net.get("loss") is not None
    return Problem(
        name=name,
        cell=CELLS["rnn"],
        activation=ACTIVATIONS[net["activation"]],
        output=OUTPUTS[net["output"]],
        weights=MappingProxyType({w: frozen(net[w]) for w in names}),
        x=frozen(net["x"]),
        h_0=frozen(net["h_0"]),
        loss=LOSSES[net["loss"]] if has_loss else None,
        targets=frozen(net["targets"]) if has_loss else None,
        loss_weights=frozen(net["loss_weights"]) if has_loss else None,
    )


def bare_net(W_hh: Any, steps: int, *, activation: str = "identity", **others: Any) -> Net:
    """A net with nothing but a recurrence: zero input of size 1, h_0 = 0, no loss."""
    W_hh = np.atleast_2d(np.asarray(W_hh, dtype=float))
    hidden = len(W_hh)
    net = {
        "activation": activation,
        "output": "identity",
        "loss": None,
        "W_xh": np.zeros((hidden, 1)),
        "W_hh": W_hh,
        "b_h": np.zeros(hidden),
        "x": np.zeros((steps, 1)),
        "h_0": np.zeros(hidden),
    }
    return net | others


def with_loss(net: Net, targets: Any, loss: str = "squared_error", weights: Any = None) -> Net:
    """The same net with a loss at every step, or with the given loss weights."""
    targets = np.asarray(targets, dtype=float)
    loss_weights = np.ones(len(targets)) if weights is None else np.asarray(weights, dtype=float)
    return net | {"loss": loss, "targets": targets, "loss_weights": loss_weights}


def random_net(seed: int) -> Net:
    """Net number ``seed``: its sizes, functions and numbers all drawn from it."""
    rng = np.random.default_rng([7, seed])
    return drawn_net(
        rng,
        steps=int(rng.integers(1, LARGEST_STEPS + 1)),
        sizes=tuple(int(n) for n in rng.integers(1, LARGEST_SIZE + 1, 3)),
        functions=_functions(rng),
        scale=float(rng.choice(SCALES)),
        readout=bool(rng.random() < 0.75),
        start=bool(rng.random() < 0.5),
        mean=bool(rng.random() < 0.3),
    )


def _functions(rng: np.random.Generator) -> tuple[str, str, str]:
    loss = str(rng.choice(sorted(LOSSES)))
    output = LOSSES[loss].needs or str(rng.choice(CLASSIC_OUTPUTS))
    return str(rng.choice(CLASSIC)), output, loss


def drawn_net(
    rng: np.random.Generator,
    *,
    steps: int,
    sizes: tuple[int, int, int],
    functions: tuple[str, str, str],
    scale: float,
    readout: bool,
    start: bool,
    mean: bool,
) -> Net:
    """Weights N(0, scale²), inputs N(0, 1); drawn again while a relu stands near its kink."""
    while True:
        net = _draw(rng, steps, sizes, functions, scale, readout, start, mean)
        if not near_a_kink(net):
            return net


def _draw(
    rng: np.random.Generator,
    steps: int,
    sizes: tuple[int, int, int],
    functions: tuple[str, str, str],
    scale: float,
    readout: bool,
    start: bool,
    mean: bool,
) -> Net:
    hidden, inputs, outputs = sizes
    activation, output, loss = functions
    outputs = outputs if readout else hidden
    net = {
        "activation": activation,
        "output": output,
        "loss": loss,
        "W_xh": rng.normal(0, scale, (hidden, inputs)),
        "W_hh": rng.normal(0, scale, (hidden, hidden)),
        "b_h": rng.normal(0, scale, hidden),
        "x": rng.normal(0, 1, (steps, inputs)),
        "h_0": rng.normal(0, 1, hidden) * start,
        "targets": drawn_targets(rng, loss, (steps, outputs)),
        "loss_weights": drawn_loss_weights(rng, steps, mean),
    }
    if readout:
        net["W_hy"] = rng.normal(0, scale, (outputs, hidden))
        net["b_y"] = rng.normal(0, scale, outputs)
    return net


def drawn_targets(rng: np.random.Generator, loss: str, shape: tuple[int, int]) -> np.ndarray:
    """Hard classes for half of the cross entropies, soft ones for the others."""
    hard = rng.random() < 0.5
    if loss == "binary_cross_entropy":
        soft = rng.random(shape)
        return np.round(soft) if hard else soft
    if loss == "cross_entropy":
        classes = np.eye(shape[1])[rng.integers(0, shape[1], shape[0])]
        return classes if hard else rng.dirichlet(np.ones(shape[1]), shape[0])
    return rng.normal(0, 1, shape)


def drawn_loss_weights(rng: np.random.Generator, steps: int, mean: bool) -> np.ndarray:
    """All steps, the last, or a subset; 1 each, or 1/n each for a mean."""
    choice = rng.integers(0, 3)
    counts = np.ones(steps) if choice == 0 else np.zeros(steps)
    if choice == 1:
        counts[-1] = 1.0
    elif choice == 2:
        counts[rng.choice(steps, rng.integers(1, steps + 1), replace=False)] = 1.0
    return counts / np.sum(counts) if mean else counts


def near_a_kink(net: Net) -> bool:
    """Whether a relu's pre-activation is within 1e-6 of 0."""
    trace = plain.real_forward(net)
    kinked = [trace["a"]] if net["activation"] == "relu" else []
    kinked += [trace["a_y"]] if net["output"] == "relu" and net["loss"] else []
    # without a read-out a relu output sees h = 0 of a dead relu unit: 0 on either side of it
    behind_relu = "W_hy" not in net and net["activation"] == "relu"
    near = [np.abs(a) < KINK for a in kinked]
    if behind_relu and len(near) == 2:
        near[1] &= trace["a_y"] != 0
    return any(bool(np.any(hits)) for hits in near)


@st.composite
def nets(draw: st.DrawFn) -> Net:
    """Any small net that the contract allows."""
    size = st.integers(1, LARGEST_SIZE)
    loss = draw(st.sampled_from(sorted(LOSSES)))
    output = LOSSES[loss].needs or draw(st.sampled_from(CLASSIC_OUTPUTS))
    return drawn_net(
        np.random.default_rng(draw(st.integers(0, 2**32 - 1))),
        steps=draw(st.integers(1, LARGEST_STEPS)),
        sizes=(draw(size), draw(size), draw(size)),
        functions=(draw(st.sampled_from(CLASSIC)), output, loss),
        scale=draw(st.sampled_from(SCALES)),
        readout=draw(st.booleans()),
        start=draw(st.booleans()),
        mean=draw(st.booleans()),
    )
