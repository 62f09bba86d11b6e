"""Gated cells and stacks as they load: sizes, defaults, streams, gates, one layer of a stack."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from oracles import gated_nets
from rnngrad.net.forward import forward
from rnngrad.net.problem import Problem

Loaded = Callable[..., Problem]
BEST_KNOWN = ("rnn", "gru", "lstm")
NORMAL = {"W_xh": {"init": "normal"}, "W_hh": {"init": "normal"}}


def _spec(cell: str, weights: Any, **more: Any) -> dict[str, Any]:
    return {"cell": cell, "weights": weights, "inputs": [[1, 2], [3, 4]], **more}


@pytest.mark.parametrize("cell", BEST_KNOWN)
@pytest.mark.parametrize("hidden", [(3,), (2, 3), (1, 2, 3)], ids=str)
def test_arrays_of_numpy_load_as_they_are(
    loaded: Loaded, cell: str, hidden: tuple[int, ...]
) -> None:
    rng = np.random.default_rng(0)
    shapes = gated_nets.shapes(cell, hidden, 2)
    arrays = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    layers = [
        {n.partition(".")[0]: a for n, a in arrays.items() if n.endswith(f".{at}")}
        for at in range(len(hidden))
    ]
    weights = {"layers": layers} if len(hidden) > 1 else arrays
    start = {"h_0": rng.normal(size=sum(hidden))}
    start |= {"c_0": rng.normal(size=sum(hidden))} if cell == "lstm" else {}
    problem = loaded(_spec(cell, weights, **start))
    assert list(problem.weights) == list(shapes)
    for name, array in arrays.items():
        np.testing.assert_array_equal(problem.weights[name], array)
    assert [layer.hidden for layer in problem.layers] == list(hidden)
    np.testing.assert_array_equal(problem.h_0, start["h_0"])
    assert list(problem.starts) == (["c"] if cell == "lstm" else [])
    assert problem.outputs == hidden[-1]


@pytest.mark.parametrize("cell", BEST_KNOWN)
def test_layers_of_one_is_a_plain_net(loaded: Loaded, cell: str) -> None:
    more = {"sizes": {"hidden": 2, "outputs": 1}, "seed": 3}
    readout = {"W_hy": {"init": "normal"}}
    plain = loaded(_spec(cell, NORMAL | readout, **more))
    stacked = loaded(_spec(cell, {"layers": [NORMAL], **readout}, **more))
    assert list(plain.weights) == list(stacked.weights)
    assert plain.depth == stacked.depth == 1
    assert plain.single_rnn == stacked.single_rnn == (cell == "rnn")
    for name, array in plain.weights.items():
        np.testing.assert_array_equal(array, stacked.weights[name])
    np.testing.assert_array_equal(forward(plain).y, forward(stacked).y)


@pytest.mark.parametrize("cell", BEST_KNOWN)
def test_defaults_are_zeros_and_a_number_is_for_every_unit(loaded: Loaded, cell: str) -> None:
    problem = loaded(_spec(cell, {"layers": [NORMAL, NORMAL]}, sizes={"hidden": 2}, h_0=0.5))
    np.testing.assert_array_equal(problem.h_0, np.full(4, 0.5))
    for start in problem.starts.values():
        np.testing.assert_array_equal(start, np.zeros(4))
    rows = 2 * len(problem.cell.gates)
    for bias in problem.cell.biases:
        for at in range(2):
            np.testing.assert_array_equal(problem.weights[f"{bias}.{at}"], np.zeros(rows))


def test_layers_have_their_own_sizes(loaded: Loaded) -> None:
    """Each from its own W_hh; the inputs of one are the units of the layer below."""
    layers = [{"W_xh": {"init": "normal"}, "W_hh": np.zeros((3 * n, n))} for n in (2, 1, 4)]
    problem = loaded(_spec("gru", {"layers": layers, "W_hy": np.zeros((5, 4))}))
    shapes = [problem.weights[f"W_xh.{at}"].shape for at in range(3)]
    assert shapes == [(6, 2), (3, 2), (12, 1)]
    assert (problem.hidden, problem.outputs, problem.state_size) == (7, 5, 7)


def test_the_units_of_a_layer_from_the_inputs_of_the_one_above(loaded: Loaded) -> None:
    layers = [NORMAL, {"W_xh": [[1, 2, 3]], "W_hh": 1}]
    problem = loaded(_spec("rnn", {"layers": layers}))
    assert problem.weights["W_hh.0"].shape == (3, 3)


# --- initialisers and streams


@pytest.mark.parametrize(("cell", "gates"), [("rnn", 1), ("gru", 3), ("lstm", 4)])
@pytest.mark.parametrize("stack", [False, True])
def test_orthogonal_and_identity_gate_by_gate(
    loaded: Loaded, cell: str, gates: int, stack: bool
) -> None:
    for init in ("orthogonal", "identity"):
        layer = {"W_xh": {"init": "zeros"}, "W_hh": {"init": init, "gain": 1.5}}
        weights = {"layers": [layer, layer]} if stack else layer
        problem = loaded(_spec(cell, weights, sizes={"hidden": 3}))
        blocks = np.split(problem.weights["W_hh.1" if stack else "W_hh"], gates)
        for block in blocks:
            np.testing.assert_allclose(block @ block.T, 1.5**2 * np.eye(3), atol=1e-12)
            assert init == "orthogonal" or (block == 1.5 * np.eye(3)).all()
        if init == "orthogonal":
            assert all(np.abs(a - b).max() > 0.1 for a, b in pairwise(blocks))


def test_each_name_draws_its_own_stream(loaded: Loaded) -> None:
    """Layers differ from one another; a bias or a layer more leaves the others as they were."""
    few = loaded(_spec("gru", {"layers": [NORMAL, NORMAL]}, sizes={"hidden": 2}, seed=7))
    biased = NORMAL | {"b_hh": {"init": "normal"}}
    more = loaded(_spec("gru", {"layers": [biased, NORMAL, NORMAL]}, sizes={"hidden": 2}, seed=7))
    for name in ("W_xh.0", "W_hh.0", "W_xh.1", "W_hh.1"):
        np.testing.assert_array_equal(few.weights[name], more.weights[name])
    drawn = [w for w in more.weights.values() if w.any()]
    assert len({float(w.flat[0]) for w in drawn}) == len(drawn)


@pytest.mark.parametrize("cell", BEST_KNOWN)
def test_redraw_is_loading_with_another_seed(loaded: Loaded, cell: str) -> None:
    spec = _spec(cell, {"layers": [NORMAL, NORMAL]}, sizes={"hidden": 2})
    again, other = loaded(spec).redraw(5), loaded(spec | {"seed": 5})
    for name, array in other.weights.items():
        np.testing.assert_array_equal(again.weights[name], array)
        assert not array.any() or (array != loaded(spec).weights[name]).any()


def test_set_reaches_into_a_layer(loaded: Loaded) -> None:
    text = "weights: {layers: [{W_xh: 1, W_hh: 1}, {W_xh: 1, W_hh: 1}]}\ninputs: [1, 2]\n"
    problem = loaded(text, "weights.layers.0.b_h=0.5", "weights.layers.1.W_hh=3")
    assert [float(problem.weights[n].item()) for n in ("b_h.0", "b_h.1", "W_hh.1")] == [0.5, 0, 3]
