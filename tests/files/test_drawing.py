"""Initialisers: what they promise, that names have their own streams, that seeds repeat."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnngrad.arithmetic.arrays import Array
from rnngrad.files.arrays.drawing import INITIALISERS, SEQUENCES, Draw, drawn, generator
from rnngrad.net.problem import Problem

Loaded = Callable[..., Problem]
PINNED = [[-0.5529023272388894, 0.5916837326668505], [0.5644039174744947, -0.36553032577511185]]


def _drawn(
    kind: str, shape: tuple[int, ...], seed: int = 0, of: str = "init", **given: float
) -> Array:
    table = INITIALISERS if of == "init" else SEQUENCES
    defaults: Mapping[str, Any] = {
        name: option.default
        for name, option in table[kind].options.items()
        if option.default is not None
    }
    return drawn("W", Draw(of, kind, {**defaults, **given}, shape, shape[-1]), seed)


@pytest.mark.parametrize(
    ("kind", "options", "std"),
    [
        ("normal", {}, 1.0),
        ("normal", {"std": 3.0}, 3.0),
        ("gaussian", {}, 1 / np.sqrt(300)),
        ("gaussian", {"gain": 2.0}, 2 / np.sqrt(300)),
        ("uniform", {}, 1 / np.sqrt(300) / np.sqrt(3)),
        ("uniform", {"bound": 2.0}, 2 / np.sqrt(3)),
        ("xavier_uniform", {}, np.sqrt(2 / 500)),
        ("xavier_normal", {"gain": 3.0}, 3 * np.sqrt(2 / 500)),
    ],
)
def test_spreads(kind: str, options: dict[str, float], std: float) -> None:
    array = _drawn(kind, (200, 300), **options)
    assert array.std() == pytest.approx(std, rel=0.02)
    assert abs(array.mean()) < 0.02 * std
    if "uniform" in kind:
        assert 0.99 < np.abs(array).max() / (std * np.sqrt(3)) <= 1


@given(rows=st.integers(1, 6), columns=st.integers(1, 6), gain=st.floats(-3, 3), seed=st.integers())
def test_orthogonal_is_orthogonal(rows: int, columns: int, gain: float, seed: int) -> None:
    q = _drawn("orthogonal", (rows, columns), seed, gain=gain)
    gram = q @ q.T if rows <= columns else q.T @ q
    np.testing.assert_allclose(gram, gain**2 * np.eye(min(rows, columns)), atol=1e-12)


def test_orthogonal_has_no_favourite_sign() -> None:
    signs = [np.sign(_drawn("orthogonal", (3, 3), seed)[0, 0]) for seed in range(200)]
    assert 60 < signs.count(1.0) < 140


def test_those_without_chance() -> None:
    assert _drawn("identity", (2, 3), gain=2).tolist() == [[2, 0, 0], [0, 2, 0]]
    assert _drawn("zeros", (2,)).tolist() == [0, 0]
    assert _drawn("constant", (2,), value=3).tolist() == [3, 3]


def test_sequences() -> None:
    normal = _drawn("normal", (5000, 2), of="random", scale=3)
    assert normal.std() == pytest.approx(3, rel=0.05)
    uniform = _drawn("uniform", (5000, 2), of="random", scale=3)
    assert 2.9 < uniform.max() <= 3
    assert -3 <= uniform.min() < -2.9
    one_hot = _drawn("one_hot", (500, 3), of="random")
    assert (one_hot.sum(axis=1) == 1).all()
    assert set(np.unique(one_hot)) == {0, 1}
    assert (one_hot.sum(axis=0) > 100).all()
    bernoulli = _drawn("bernoulli", (500, 3), of="random")
    assert set(np.unique(bernoulli)) == {0, 1}
    assert 0.4 < bernoulli.mean() < 0.6


@given(st.integers(), st.integers())
def test_seeds_tell_streams_apart(one: int, other: int) -> None:
    same = np.array_equal(generator(one, "W").random(4), generator(other, "W").random(4))
    assert same == (one == other)


def test_names_tell_streams_apart() -> None:
    names = ["W", "Ws", "W_xh", "W_hh", "b_h", "inputs", "targets"]
    firsts = {generator(0, name).random() for name in names}
    assert len(firsts) == len(names)


def test_the_stream_stays_as_it_is() -> None:
    drawn_once = _drawn("normal", (2, 2), seed=7)
    np.testing.assert_array_equal(drawn_once, np.array(PINNED))


def test_another_parameter_leaves_the_others_as_they_were(loaded: Loaded) -> None:
    net = {
        "weights": {"W_xh": {"init": "normal"}, "W_hh": {"init": "orthogonal"}},
        "inputs": {"random": "normal", "steps": 4},
        "sizes": {"inputs": 2, "hidden": 3, "outputs": 2},
    }
    net["sizes"] = {"inputs": 2, "hidden": 3}
    small = loaded(net)
    readout = {"b_h": {"init": "normal"}, "W_hy": {"init": "normal"}}
    large = loaded(
        net
        | {
            "weights": net["weights"] | readout,
            "targets": {"random": "normal"},
            "sizes": {"inputs": 2, "hidden": 3, "outputs": 2},
        }
    )
    for name in ("W_xh", "W_hh"):
        assert np.array_equal(small.weights[name], large.weights[name])
    assert np.array_equal(small.x, large.x)


def test_fan_in_of_a_bias_is_the_hidden_size(loaded: Loaded) -> None:
    weights = {"W_xh": {"init": "zeros"}, "W_hh": np.zeros((100, 100)), "b_h": {"init": "uniform"}}
    bias = loaded({"weights": weights, "inputs": [1]}).weights["b_h"]
    assert 0.08 < np.abs(bias).max() <= 0.1


def test_fan_in_of_a_matrix_is_its_columns(loaded: Loaded) -> None:
    weights = {"W_xh": {"init": "gaussian"}, "W_hh": np.zeros((2000, 2000))}
    W_xh = loaded({"weights": weights, "inputs": [[1, 2, 3, 4]]}).weights["W_xh"]
    assert W_xh.std() == pytest.approx(0.5, rel=0.05)
