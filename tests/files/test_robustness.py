"""Whatever is written, the answer is a problem or a SpecError: never another exception."""

from __future__ import annotations

import io
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from oracles.examples import quarter_of
from rnngrad.errors import SpecError
from rnngrad.files import load

NAMES = [
    "name", "cell", "activation", "output_activation", "loss", "loss_steps", "loss_reduction",
    "sizes", "weights", "h_0", "c_0", "inputs", "targets", "seed", "W_xh", "W_hh", "b_h", "W_hy",
    "b_y", "layers", "file", "key", "init", "random", "zeros", "steps", "scale", "gain", "value",
    "hidden", "outputs", "std", "bound", "b_xh", "b_hh",
]  # fmt: skip
WORDS = [
    "rnn", "gru", "lstm", "relu", "softmax", "sigmoid", "cross_entropy", "binary_cross_entropy",
    "last", "mean", "normal", "orthogonal", "identity", "one_hot", "x.npy", "x.npz", "no", "",
]  # fmt: skip
SCALARS = (
    st.none() | st.booleans() | st.integers(-2, 4) | st.sampled_from([10**400, -(10**30), 1e308])
    | st.floats() | st.sampled_from(WORDS) | st.text(max_size=3)
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner),
    max_leaves=12,
)
NETS = st.fixed_dictionaries(
    {
        "weights": st.fixed_dictionaries(
            {"W_xh": VALUES, "W_hh": VALUES}, optional={"W_hy": VALUES}
        )
        | VALUES,
        "inputs": VALUES,
    },
    optional={name: VALUES for name in NAMES[:14] if name not in ("weights", "inputs")},
)


LAYERS = st.lists(
    st.fixed_dictionaries(
        {"W_xh": VALUES, "W_hh": VALUES},
        optional=dict.fromkeys(("b_h", "b_xh", "b_hh", "W_hy", "layers"), VALUES),
    )
    | VALUES,
    max_size=3,
)
MATRICES = st.sampled_from([{"init": "orthogonal"}, {"init": "normal"}, {"init": "identity"}])
FITTING = st.lists(st.fixed_dictionaries({"W_xh": MATRICES, "W_hh": MATRICES}), max_size=3)
CELL_NETS = st.fixed_dictionaries(
    {
        "cell": st.sampled_from(["rnn", "gru", "lstm"]),
        "weights": st.fixed_dictionaries(
            {"layers": LAYERS | FITTING}, optional={"W_hy": VALUES | MATRICES, "b_y": VALUES}
        ),
        "inputs": st.just([1, 2]) | VALUES,
    },
    optional={
        "sizes": st.just({"hidden": 2, "outputs": 1}) | VALUES,
        "h_0": VALUES,
        "c_0": VALUES,
        "targets": VALUES,
        "activation": VALUES,
    },
)


EQUATION_PIECES = st.sampled_from(
    ["h_t", "h_{t-1}", "c_t", "c_{t-1}", "x_t", "W", "U", "W_p", "b", "α", "alpha", "h", "x", "t",
     "tanh(", "σ(", "relu(", "f(", "(", ")", "=", "+", "-", "∘", "*", "/", "^2", "^", "·", "@", "ᵀ",
     "^T", "'", "1", "0.5", "\\tanh", "\\frac{", "\\left(", "{", "}", "[t-1]", "_", "_{t}", "Σ",
     "\n", " ", "é", "\\", "&", "$"]
)  # fmt: skip
EQUATIONS = st.lists(
    st.lists(EQUATION_PIECES, max_size=12).map(" ".join)
    | st.lists(EQUATION_PIECES, max_size=8).map(lambda found: "h_t = " + "".join(found))
    | st.sampled_from(["h_t = tanh(W x_t + U h_{t-1})", "c_t = σ(W_p h_{t-1} + b)"])
    | VALUES,
    max_size=4,
)
OWN_CELLS = st.fixed_dictionaries(
    {
        "cell": st.fixed_dictionaries(
            {"equations": EQUATIONS | VALUES},
            optional={
                "state": st.sampled_from([["h"], ["h", "c"], ["c"], "h", ["h", "h"]]) | VALUES,
                "shapes": st.dictionaries(
                    st.sampled_from(["W", "U", "W_p", "b", "alpha", "α", "h", "x"]),
                    st.lists(st.sampled_from(["H", "I", "P", "T", "O", "h", 1]), max_size=3)
                    | VALUES,
                    max_size=3,
                )
                | VALUES,
                "recurrent": st.sampled_from([[], ["W"], ["b"], "U"]) | VALUES,
                "name": VALUES,
            },
        ),
        "weights": st.dictionaries(
            st.sampled_from(["W", "U", "W_p", "b", "alpha", "W_hy", "layers"]),
            MATRICES | st.just({"init": "zeros"}) | VALUES,
        ),
        "inputs": st.just([[1, 2], [3, 4]]) | VALUES,
    },
    optional={
        "sizes": st.dictionaries(
            st.sampled_from(["inputs", "hidden", "H", "I", "P", "O", "outputs"]), st.integers(1, 3)
        ),
        "h_0": VALUES,
        "c_0": VALUES,
    },
)


@settings(max_examples=quarter_of(200))
@given(OWN_CELLS)
def test_own_cells(net: dict[str, Any]) -> None:
    _answers(net)


def _answers(source: Any, *overrides: str, stdin: io.BytesIO | None = None) -> None:
    try:
        mistakes = (f"T = {load(source, overrides=overrides, stdin=stdin).steps}",)
    except SpecError as error:
        mistakes = error.mistakes
    assert mistakes
    assert all(line.isprintable() for words in mistakes for line in words.split("\n"))


@settings(max_examples=quarter_of(300))
@given(NETS)
def test_mappings(net: dict[str, Any]) -> None:
    _answers(net)


@settings(max_examples=quarter_of(300))
@given(CELL_NETS)
def test_cells_and_layers(net: dict[str, Any]) -> None:
    _answers(net)


@settings(max_examples=200)
@given(st.sampled_from(NAMES), st.sampled_from(NAMES), st.text(max_size=12) | SCALARS.map(str))
def test_overrides(outer: str, inner: str, value: str) -> None:
    net = {"weights": {"W_xh": 1, "W_hh": {"init": "normal"}}, "inputs": [1, 2], "targets": [1, 2]}
    _answers(net, f"{outer}={value}", f"{outer}.{inner}={value}", value)


TEXT = """\
cell: rnn   # comment
weights:
  W_xh: &w [[1, 2], [3e-1, 4]]
  W_hh: *w
  b_h: {init: normal, std: 2}
inputs:
  - [1, 2]
  - [3, "4"]
loss_steps: [1, 2]
"""
PIECES = [
    *"[]{}:,-#&*!|>'\"%@`\t\n \x00\x7f",
    "\u2028",
    "é",
    "- ",
    ": ",
    "---\n",
    "<<: *w",
    "*w",
    "!!",
]


@settings(max_examples=quarter_of(300))
@given(st.lists(st.tuples(st.integers(0, len(TEXT)), st.sampled_from(PIECES), st.booleans())))
def test_texts(changes: list[tuple[int, str, bool]]) -> None:
    text = TEXT
    for index, piece, instead in changes:
        text = text[:index] + piece + text[index + instead :]
    _answers("-", stdin=io.BytesIO(text.encode()))


@given(st.binary(max_size=60))
def test_bytes(data: bytes) -> None:
    _answers("-", stdin=io.BytesIO(data))
