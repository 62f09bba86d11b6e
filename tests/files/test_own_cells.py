"""``cell:`` as equations: what loads, what it is equal to, and how it is pickled."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import rnngrad
from rnngrad.cells import NAMES, own_cell, shipped
from rnngrad.chains.jacobians import log10_chain, one_step_jacobians
from rnngrad.net.backward import bptt
from rnngrad.net.cells import multiple
from rnngrad.net.forward import forward
from rnngrad.net.problem import Problem

Loaded = Callable[..., Problem]
FirstLines = Callable[..., list[str]]

PEEPHOLE = """\
cell:
  name: peephole LSTM
  state: [h, c]
  equations:
    - i_t = σ(W_xi x_t + W_hi h_{t-1} + w_ci ∘ c_{t-1} + b_i)
    - f_t = σ(W_xf x_t + W_hf h_{t-1} + w_cf ∘ c_{t-1} + b_f)
    - g_t = tanh(W_xg x_t + W_hg h_{t-1} + b_g)
    - c_t = f_t ∘ c_{t-1} + i_t ∘ g_t
    - o_t = σ(W_xo x_t + W_ho h_{t-1} + w_co ∘ c_t + b_o)
    - h_t = o_t ∘ tanh(c_t)
sizes: {inputs: 2, hidden: 3, outputs: 1}
weights:
  W_xi: {init: gaussian}
  W_hi: {init: gaussian}
  w_ci: [0.1, -0.2, 0.3]
  W_xf: {init: gaussian}
  W_hf: {init: gaussian}
  w_cf: {init: uniform, bound: 0.5}
  W_xg: {init: gaussian}
  W_hg: {init: orthogonal}
  W_xo: {init: gaussian}
  W_ho: {init: gaussian}
  w_co: {init: constant, value: 0.2}
  b_f: {init: constant, value: 1}
  W_hy: {init: gaussian}
h_0: 0.1
c_0: [0.2, 0.3, -0.4]
inputs: {random: normal, steps: 6}
targets: {random: normal}
"""


def _worst_error(problem: Problem) -> float:
    """The largest error of any gradient against the complex step, relative to the largest."""
    back, worst = bptt(problem, forward(problem)), 0.0
    for name, weight in problem.weights.items():
        right = np.zeros(weight.shape)
        for index in np.ndindex(weight.shape):
            moved = weight.astype(complex)
            moved[index] += 1e-30j
            changed = replace(problem, weights={**problem.weights, name: moved})
            right[index] = forward(changed).losses.sum().imag / 1e-30
        error = np.abs(right - back.weights[name]).max() / max(np.abs(right).max(), 1e-12)
        worst = max(worst, float(error))
    return worst


def test_the_cell_of_the_contract_loads_and_its_gradients_are_right(loaded: Loaded) -> None:
    problem = loaded(PEEPHOLE)
    assert problem.cell.name == "peephole LSTM"
    assert problem.cell.parts == ("h", "c")
    assert list(problem.starts["c"]) == [0.2, 0.3, -0.4]
    assert list(problem.h_0) == [0.1] * 3
    assert list(problem.weights["b_i"]) == [0, 0, 0]
    assert list(problem.weights["b_f"]) == [1, 1, 1]
    assert problem.weights["w_ci"].tolist() == [0.1, -0.2, 0.3]
    assert _worst_error(problem) < 1e-12


def test_lstm_as_equations_is_lstm(loaded: Loaded) -> None:
    """Block by block: the same states, gradients, Jacobians."""
    rng = np.random.default_rng(1)
    lstm = shipped("lstm")
    blocks = {n: rng.normal(size=(12, 2) if n == "W_xh" else (12, 3)) for n in ("W_xh", "W_hh")}
    blocks["b_h"] = rng.normal(size=12)
    rest = {"inputs": rng.normal(size=(5, 2)), "targets": rng.normal(size=(5, 3)), "h_0": 0.3}
    built_in = loaded({"cell": "lstm", "weights": blocks, **rest})
    parts = {
        part: block[3 * at : 3 * at + 3]
        for name, block in blocks.items()
        for at, part in enumerate(lstm.cell.blocks[name])
    }
    own = loaded({"cell": dict(lstm.mapping), "weights": parts, **rest})
    assert (own.cell.own, built_in.cell.own) == (True, False)
    mine, theirs = bptt(own, forward(own)), bptt(built_in, forward(built_in))
    for name, pieces in lstm.cell.blocks.items():
        together = np.concatenate([mine.weights[piece] for piece in pieces])
        np.testing.assert_allclose(together, theirs.weights[name], rtol=1e-12, atol=1e-15)
    for function in (one_step_jacobians, log10_chain):
        ours, built = function(own, forward(own)), function(built_in, forward(built_in))
        np.testing.assert_allclose(ours, built, rtol=1e-12, atol=1e-15)


def test_equations_as_one_text_as_latex_and_ascii(loaded: Loaded) -> None:
    ways = [
        ["h_t = tanh(W x_t + U h_{t-1})"],
        "h_t = tanh(W x_t + U h_{t-1})",
        "z_t = W x_t\n\nh_t = tanh(z_t + U h[t-1])",
        [r"\mathbf{h}_t = \tanh\left(W \mathbf{x}_t + \mathbf{U} \mathbf{h}_{t-1}\right),"],
        ["hₜ = tanh(W·xₜ + U @ hₜ₋₁)"],
    ]
    found = []
    for equations in ways:
        spec = {"cell": {"equations": equations}, "weights": {"W": 0.7, "U": 0.4}}
        problem = loaded({**spec, "inputs": [1, 2, 3], "name": "mine"})
        assert problem.cell.name == "mine"
        found.append(forward(problem).h[-1, 0])
    assert len(set(found)) == 1


def test_a_number_a_vector_a_letter_and_a_part_of_another_size(loaded: Loaded) -> None:
    problem = loaded(
        {
            "cell": {
                "state": ["h", "m"],
                "equations": [
                    "m_t = (1 - α) m_{t-1} + α (W_p h_{t-1})",
                    "h_t = tanh(W x_t + V m_t + u ∘ h_{t-1} + b)",
                ],
                "shapes": {"α": [], "W_p": ["P", "H"]},
            },
            "sizes": {"hidden": 3, "P": 2, "outputs": 1},
            "weights": {
                "alpha": {"init": "uniform", "bound": 0.5},
                "W_p": {"init": "orthogonal"},
                "W": {"init": "gaussian"},
                "V": {"init": "gaussian"},
                "u": {"init": "gaussian"},
                "W_hy": {"init": "gaussian"},
            },
            "m_0": [0.1, 0.2],
            "inputs": [[1, 2], [3, 4], [5, 6]],
            "targets": [1, 2, 3],
        }
    )
    shapes = {name: array.shape for name, array in problem.weights.items()}
    assert shapes["alpha"] == ()
    assert (shapes["W_p"], shapes["V"], shapes["u"]) == ((2, 3), (3, 2), (3,))
    assert problem.state_size == 5
    assert _worst_error(problem) < 1e-12


@pytest.mark.parametrize("layers", [1, 2])
def test_a_linear_cell_has_no_slopes_and_its_jacobian_is_its_matrix(
    loaded: Loaded, layers: int
) -> None:
    """‖W^n‖₂ by powers, and Σ λ_i = log|det W|."""
    W = np.array([[0.5, -0.3], [0.2, 0.9]])
    one = {"W_xh": [[1.0], [2.0]], "W_hh": W}
    above = {"W_xh": np.zeros((2, 2)), "W_hh": W / 2}
    problem = loaded({
        "cell": {"equations": ["h_t = W_xh x_t + W_hh h_{t-1}"]},
        "weights": one if layers == 1 else {"layers": [one, above]},
        "inputs": {"random": "normal", "steps": 30},
    })  # fmt: skip
    powers = [np.linalg.norm(np.linalg.matrix_power(W, n), 2) for n in range(30, -1, -1)]
    np.testing.assert_allclose(
        log10_chain(problem, forward(problem)), np.log10(powers), rtol=0, atol=1e-12
    )
    spectrum = rnngrad.lyapunov_spectrum(problem)
    whole = layers * np.log(np.linalg.det(W)) - (layers - 1) * np.log(4)
    assert spectrum.sum() == pytest.approx(whole, rel=1e-12)


def test_x_added_unit_by_unit_is_of_the_size_of_h(loaded: Loaded) -> None:
    cell = {"equations": ["h_t = tanh(u ∘ x_t + W h_{t-1})"]}
    weights = {"u": {"init": "uniform"}, "W": {"init": "gaussian"}}
    problem = loaded({"cell": cell, "weights": weights, "inputs": [[1, 2, 3]]})
    assert problem.weights["W"].shape == (3, 3)
    layers = loaded({"cell": cell, "weights": {"layers": [weights] * 2}, "inputs": [[1, 2, 3]]})
    assert [layer.hidden for layer in layers.layers] == [3, 3]
    said = {"equations": ["h_t = tanh(x_t + W h_{t-1})"], "shapes": {"W": ["H", "H"], "x": ["H"]}}
    loaded({"cell": said, "weights": {"W": np.eye(2)}, "inputs": [[1, 2]]})


def test_layers_of_equations_have_their_own_sizes(loaded: Loaded) -> None:
    cell = {
        "state": ["h", "c"],
        "equations": ["c_t = σ(W x_t + U h_{t-1}) + 0.5 c_{t-1}", "h_t = P c_t"],
        "shapes": {"h": ["R"], "c": ["H"]},
    }

    def layer(inputs: int, hidden: int, out: int) -> dict[str, Any]:
        rng = np.random.default_rng(hidden)
        shapes = {"W": (hidden, inputs), "U": (hidden, out), "P": (out, hidden)}
        return {name: rng.normal(size=shape) for name, shape in shapes.items()}

    weights = {"layers": [layer(2, 3, 1), layer(1, 4, 2)], "W_hy": [[1, 2]]}
    problem = loaded(
        {"cell": cell, "weights": weights, "inputs": [[1, 2]] * 4, "targets": [1] * 4,
         "h_0": [1, 2, 3], "c_0": list(range(7))}
    )  # fmt: skip
    assert [layer.hidden for layer in problem.layers] == [1, 2]
    assert problem.state_size == 1 + 3 + 2 + 4
    assert _worst_error(problem) < 1e-12


def _drawn(name: str, *, own: bool, depth: int) -> dict[str, Any]:
    """A spec of a shipped cell by its name or by its equations, weights drawn."""
    found = shipped(name)
    cell = found.cell
    layer = {n: {"init": "uniform", "bound": 0.5} for n in cell.weights}
    letters = {multiple(x)[1] for shape in [cell.letters, *cell.parameters.values()] for x in shape}
    return {
        "cell": dict(found.mapping) if own else name,
        "sizes": {"inputs": 3, "hidden": 3, **dict.fromkeys(letters - {"I", "H", "O"}, 2)},
        "weights": {"layers": [layer] * depth} if depth > 1 else layer,
        "inputs": {"random": "normal", "steps": 4},
        "targets": {"random": "normal"},
        **{f"{part}_0": 0.1 for part in cell.parts},
    }


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("name", NAMES)
def test_every_cell_loads_by_its_name_and_by_its_equations(
    loaded: Loaded, name: str, depth: int
) -> None:
    by_name = loaded(_drawn(name, own=False, depth=depth))
    back = bptt(by_name, forward(by_name))
    assert all(np.isfinite(gradient).all() for gradient in back.weights.values())
    if by_name.cell.blocks or name == "rnn":  # their equations have other names, or another σ
        return
    by_equations = loaded(_drawn(name, own=True, depth=depth))
    for parameter, weight in by_name.weights.items():
        np.testing.assert_array_equal(weight, by_equations.weights[parameter])
    np.testing.assert_array_equal(forward(by_name).h, forward(by_equations).h)


def test_set_reaches_the_cell(loaded: Loaded) -> None:
    text = "weights: {W_xh: 1, W_hh: 1}\ninputs: [1]\n"
    assert loaded(text, "cell=irnn").cell.name == "irnn"
    assert loaded(PEEPHOLE, "cell.name=other").cell.name == "other"
    changed = loaded(PEEPHOLE, "cell.equations.5=h_t = o_t ∘ c_t")
    assert str(changed.cell.equations.equations[5]) == "h_t = o_t ∘ c_t"
    equations = 'cell={name: a, equations: ["h_t = relu(W_xh x_t + W_hh h_{t-1})"]}'
    assert loaded(text, equations).cell.name == "a"


def test_a_pickled_cell_is_small_and_the_same_object(loaded: Loaded) -> None:
    for source in (PEEPHOLE, _drawn("lru", own=False, depth=1)):
        problem = loaded(source)
        assert problem.draw is not None
        pickled = pickle.dumps(problem.draw)
        assert len(pickled) < 6000
        again = pickle.loads(pickled)(problem.seed)
        assert again.cell is problem.cell
        np.testing.assert_array_equal(forward(again).h, forward(problem).h)


def test_a_cell_is_rebuilt_where_it_was_never_made(loaded: Loaded) -> None:
    cell = loaded(PEEPHOLE).cell
    pickled = pickle.dumps(cell)
    own_cell.cache_clear()
    again = pickle.loads(pickled)
    assert again is not cell
    assert list(map(str, again.equations.equations)) == list(map(str, cell.equations.equations))
    assert dict(again.parameters) == dict(cell.parameters)


def test_a_lengthened_problem_and_a_variant_keep_the_cell(loaded: Loaded) -> None:
    from rnngrad.files.random_problems import variant

    problem = loaded(_drawn("lstm_projection", own=True, depth=2))
    other = variant(problem, 3)
    assert other.cell is problem.cell
    assert _worst_error(other) < 1e-10
    assert problem.lengthen is not None
    assert problem.lengthen(9).steps == 9


@pytest.mark.parametrize(
    ("sizes", "shape"),
    [({"inputs": 2, "hidden": 3}, (3, 2)), ({"I": 2, "H": 3}, (3, 2))],
    ids=str,
)
def test_sizes_by_word_and_by_letter(
    loaded: Loaded, sizes: dict[str, int], shape: tuple[int, int]
) -> None:
    weights = {"W_xh": {"init": "zeros"}, "W_hh": {"init": "zeros"}}
    problem = loaded({"sizes": sizes, "weights": weights, "inputs": {"zeros": 2}})
    assert problem.weights["W_xh"].shape == shape


@pytest.mark.parametrize("activation", ["leaky_relu", "elu", "selu", "silu", "gelu", "softsign",
                                        "hard_sigmoid", "hard_tanh"])  # fmt: skip
def test_more_functions_are_activations(loaded: Loaded, activation: str) -> None:
    spec = {"weights": {"W_xh": 0.4, "W_hh": 0.3}, "inputs": [1, 2], "activation": activation}
    problem = loaded(spec)
    assert problem.activation.name == activation
    equations = [f"h_t = {activation}(W_xh x_t + W_hh h_{{t-1}})"]
    own = loaded({**spec, "cell": {"equations": equations}, "activation": "tanh"})
    np.testing.assert_allclose(forward(own).h, forward(problem).h, rtol=1e-15)
