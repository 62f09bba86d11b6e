"""Mistakes in the keys of gated cells and stacked layers: the words and the places."""

from __future__ import annotations

from collections.abc import Callable

import pytest

FirstLines = Callable[..., list[str]]
Refused = Callable[..., list[str]]

ZEROS = "W_xh: {init: zeros}, W_hh: {init: zeros}"
ONE = "{W_xh: 1, W_hh: 1}"


@pytest.mark.parametrize(
    ("cell", "weights", "words"),
    [
        ("gru", "{W_xh: {init: zeros}, W_hh: [[1], [1], [1]], b_h: [1, 2, 3]}",
         "2:55: weights.b_h belongs to rnn and lstm; gru has b_xh and b_hh"),
        ("lstm", "{W_xh: {init: zeros}, W_hh: [[1], [1], [1], [1]], b_hh: [1, 2, 3, 4]}",
         "2:60: weights.b_hh belongs to gru; lstm has b_h"),
        ("rnn", "{W_xh: 1, W_hh: 1, b_xh: 1}", "2:29: weights.b_xh belongs to gru; rnn has b_h"),
        ("gru", "5",
         "2:10: weights is 5, must be a mapping of W_xh, W_hh, b_xh, b_hh, W_in, b_in, W_hy "
            "and b_y"),
        ("lstm", f"{{{ZEROS.replace('hh', 'hi')}}}",
         "2:32: unknown key 'W_hi' in weights; did you mean 'W_hh'?"),
        ("gru", f"{{{ZEROS}}}",
         "2:1: nothing fixes the number of hidden units; give sizes: {hidden: H}"),
        ("gru", "{W_xh: [[1], [1], [1]], W_hh: 0.5}",
         "2:40: W_hh is a single number, must be 3×1 because W_xh is 3×1"),
        ("gru", f"{{W_xh: {{init: zeros}}, W_hh: {[[1, 2]] * 8}}}",
         "2:38: W_hh is 8×2, must be 6×2: its rows are 3 gates of 2 units"),
        ("lstm", f"{{W_xh: {{init: zeros}}, W_hh: {[[1, 2]] * 7}}}",
         "2:38: W_hh is 7×2, must be 8×2: its rows are 4 gates of 2 units"),
        ("lstm", f"{{W_xh: {{init: zeros}}, W_hh: {[[1, 2]] * 6}, b_h: {[1] * 8}}}",
         "2:38: W_hh is 6×2, must be 8×2 because b_h has length 8"),
        ("gru", f"{{W_xh: {[[1]] * 4}, W_hh: {{init: zeros}}}}",
         "2:17: W_xh is 4×1, must be 3H×1: its rows are 3 gates of H units"),
        ("gru", f"{{W_xh: {[[1]] * 3}, W_hh: {[[1]] * 3}, b_hh: [1, 2]}}",
         "2:63: b_hh has length 2, must have length 3 because W_xh is 3×1"),
    ],
)  # fmt: skip
def test_gated_weights(first_lines: FirstLines, cell: str, weights: str, words: str) -> None:
    text = f"cell: {cell}\nweights: {weights}\ninputs: [1, 2]\n"
    assert first_lines(text) == [f"<stdin>:{words}"]


@pytest.mark.parametrize(
    ("cell", "more", "words"),
    [
        ("gru", "activation: relu",
         "4:1: activation is for rnn; gru has tanh and σ by its equations"),
        ("lstm", "activation: sigmoid",
         "4:1: activation is for rnn; lstm has tanh and σ by its equations"),
        ("gru", "c_0: 1", "4:1: c_0: gru has no c in its state; there is h_0"),
        ("lstm", "c_0: [1]",
         "4:6: c_0 has length 1, must have length 2 because sizes gives hidden: 2"),
        ("lstm", "c_0: {init: zeros}", "4:6: c_0 is a mapping without the key file"),
        ("lstm", "c_0: no", "4:6: c_0 is 'no', must be a number"),
        ("lstm", "c_0:", "4:1: c_0 is empty; give it a value, or leave the key out"),
        ("gru", "h_0: [1, 2, 3]",
         "4:6: h_0 has length 3, must have length 2 because sizes gives hidden: 2"),
    ],
)  # fmt: skip
def test_beside_the_weights(first_lines: FirstLines, cell: str, more: str, words: str) -> None:
    text = f"sizes: {{hidden: 2}}\nweights: {{{ZEROS}}}\ncell: {cell}\n{more}\ninputs: [1, 2]\n"
    assert first_lines(text) == [f"<stdin>:{words}"]


def test_the_activation_that_a_cell_has_is_no_mistake(loaded: Callable[..., object]) -> None:
    for cell in ("gru", "lstm"):
        text = f"sizes: {{hidden: 2}}\nweights: {{{ZEROS}}}\ncell: {cell}\nactivation: tanh\n"
        loaded(text + "inputs: [1]\n")


LOWEST = "must be a list of layers, the lowest first"


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ("{layers: []}", [f"19: weights.layers is an empty list, {LOWEST}"]),
        ("{layers: 3}", [f"19: weights.layers is 3, {LOWEST}"]),
        ("{layers: }", [f"19: weights.layers is empty, {LOWEST}"]),
        ("{layers: {W_xh: 1, W_hh: 1}}", [f"19: weights.layers is a mapping, {LOWEST}"]),
        ("{layers: [3]}",
         ["20: weights.layers[0] is 3, must be a mapping of W_xh, W_hh and b_h"]),
        ("{layers: [~]}",
         ["20: weights.layers[0] is empty, must be a mapping of W_xh, W_hh and b_h"]),
        (f"{{layers: [{ONE}], W_xh: 1}}",
         ["41: weights.W_xh stands beside layers; put it into one of them"]),
        (f"{{layers: [{ONE}, {{W_xh: 1}}]}}",
         ["40: weights.layers[1] lacks W_hh: H×H numbers"]),
        (f"{{layers: [{ONE}, {{W_xh: 1, W_hh: 1, W_hy: 1}}]}}",
         ["59: weights.layers[1].W_hy belongs to the read-out; put it beside layers"]),
        (f"{{layers: [{ONE}, {{W_xh: 1, W_hh: 1, b_hh: 1}}]}}",
         ["59: weights.layers[1].b_hh belongs to gru; rnn has b_h"]),
        (f"{{layers: [{ONE}, {{W_xh: 1, W_hi: 1}}]}}",
         ["50: unknown key 'W_hi' in weights.layers[1]; did you mean 'W_hh'?"]),
        (f"{{layrs: [{ONE}]}}", ["11: unknown key 'layrs' in weights; did you mean 'layers'?"]),
        (f"{{layers: [{ONE}, {ONE}], b_y: 1}}",
         ["61: b_y needs W_hy; without W_hy the read-out is y_t = g(h_t)"]),
        ("{layers: [{W_xh: [[1], [2]], W_hh: [[1, 2], [3, 4]]}, {W_xh: 1, W_hh: 1}]}",
         ["71: W_xh.1 is a single number, must be 1×2 because W_xh.0 is 2×1"]),
        ("{layers: [{W_xh: [[1], [2]], W_hh: [[1, 2], [3, 4]]}, {W_xh: [[1, 2, 3]], W_hh: 1}]}",
         ["71: W_xh.1 is 1×3, must be 1×2 because W_xh.0 is 2×1"]),
        (f"{{layers: [{ONE}, {{W_xh: no, W_hh: {{init: identiy}}}}]}}",
         ["47: weights.layers[1].W_xh is 'no', must be a number",
          "64: weights.layers[1].W_hh.init is 'identiy', must be one of normal, gaussian, uniform, "
          "xavier_uniform, xavier_normal, orthogonal, identity, zeros or constant; did you mean "
          "'identity'?"]),
        (f"{{layers: [{ONE}, {{W_xh: 1, W_hh: {{file: nope.npy}}}}]}}",
         ["63: W_hh.1: nope.npy: no such file"]),
        (f"{{layers: [{{{ZEROS}}}, {{{ZEROS}}}]}}",
         ["1: nothing fixes the number of hidden units of layer 0; give sizes: {hidden: H}"]),
    ],
)  # fmt: skip
def test_layers(first_lines: FirstLines, weights: str, words: list[str]) -> None:
    found = first_lines(f"weights: {weights}\ninputs: [1, 2]\n")
    assert found == [f"<stdin>:1:{line}" for line in words]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("h_0: [1]", "2:6: h_0 has length 1, must have length 2 because the layers have 1 + 1 "
         "units"),
        ("h_0: [[1], [2]]", "2:6: h_0 is 2×1, must be a list of 2 numbers: write [1, 2]"),
        ("c_0: 0", "2:1: c_0: rnn has no c in its state; there is h_0"),
        ("targets: [[1, 2], [3, 4]]", "2:10: targets has 2 numbers a row, must have 1 number "
         "because W_xh.1 is a single number"),
        ("sizes: {inputs: 2}", "1:27: W_xh.0 is a single number, must be 1×2 because sizes gives "
         "inputs: 2"),
    ],
)  # fmt: skip
def test_beside_a_stack(first_lines: FirstLines, more: str, words: str) -> None:
    inputs = "[[1, 2]]" if "inputs" in more else "[1, 2]"
    text = f"weights: {{layers: [{ONE[:-1]}}}, {ONE}]}}\n{more}\ninputs: {inputs}\n"
    assert first_lines(text) == [f"<stdin>:{words}"]


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("weights.layers.2.b_h=0", "--set:1:16: weights.layers is a list with indices 0 to 1, not "
         "'2'\n  weights.layers.2.b_h=0\n                 ^"),
        ("weights.layers.1.b_hh=0", "--set:1:18: weights.layers[1].b_hh belongs to gru; rnn has "
         "b_h\n  weights.layers.1.b_hh=0\n                   ^"),
        ("weights.layers.1.W_hh=no", "--set:1:23: weights.layers[1].W_hh is 'no', must be a number"
         "\n  weights.layers.1.W_hh=no\n                        ^"),
    ],
)  # fmt: skip
def test_overrides_of_a_layer(refused: Refused, argument: str, words: str) -> None:
    text = f"weights: {{layers: [{ONE}, {ONE}]}}\ninputs: [1, 2]\n"
    assert refused(text, argument) == [words]
