"""What a student reads: the exact words, the places, and that mistakes come all at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from rnngrad.errors import SpecError
from rnngrad.files import load

FirstLines = Callable[..., list[str]]
Refused = Callable[..., list[str]]

NET = "weights: {W_xh: 1, W_hh: 0.5}\ninputs: [1, 2]\n"
INITIALISERS = (
    "normal, gaussian, uniform, xavier_uniform, xavier_normal, orthogonal, identity, zeros or "
    "constant"
)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("cell: rmm", "3:7: cell is 'rmm', must be rnn, gru, lstm, another of 'rnngrad cells' or a "
         "mapping of equations"),
        ("cell: 3", "3:7: cell is 3, must be rnn, gru, lstm, another of 'rnngrad cells' or a "
         "mapping of equations"),
        ("c_0: 0", "3:1: c_0: rnn has no c in its state; there is h_0"),
        ("activaton: relu", "3:1: unknown key 'activaton'; did you mean 'activation'?"),
        ("activation: Relu", "3:13: activation is 'Relu', must be one of sigmoid, tanh, relu, "
         "identity, softplus, leaky_relu, elu, selu, silu, gelu, softsign, hard_sigmoid or 1 more; "
         "did you mean 'relu'?"),
        ("output_activation: 3", "3:20: output_activation is 3, must be one of sigmoid, tanh, "
         "relu, identity, softplus, leaky_relu, elu, selu, silu, gelu, softsign, hard_sigmoid or 2 "
         "more"),
        ("loss_reduction: max", "3:17: loss_reduction is 'max', must be one of sum or mean"),
        ("seed: 1.5", "3:7: seed is 1.5, must be a whole number"),
        ("seed: true", "3:7: seed is true, must be a whole number"),
        ("name: 7", "3:7: name is 7, must be text; put it in quotes"),
        ("name:", "3:1: name is empty; give it a value, or leave the key out"),
        ("sizes: 3", "3:8: sizes is 3, must be a mapping of inputs, hidden and outputs"),
        ("sizes: {hidden: 0}", "3:17: sizes.hidden is 0, must be a whole number, at least 1"),
        ("sizes: {hiden: 1}", "3:9: unknown key 'hiden' in sizes; did you mean 'hidden'?"),
        ("h_0: no", "3:6: h_0 is 'no', must be a number"),
        ("h_0: {init: zeros}", "3:6: h_0 is a mapping without the key file"),
        ("h_0: [1, 2]", "3:6: h_0 has length 2, must have length 1 because W_xh is a single "
         "number"),
        ("targets: [1, 2, 3]", "3:10: targets has 3 steps, must have 2, one for each of the "
         "inputs"),
        ("targets: 1", "3:10: targets is a single number, must be rows of numbers, one a step: "
         "write [[1]]"),
        ("targets: [[1, 2], [3, 4]]", "3:10: targets has 2 numbers a row, must have 1 number "
         "because W_xh is a single number"),
        ("targets: {random: nrmal}", "3:19: targets.random is 'nrmal', must be one of normal, "
         "uniform, one_hot or bernoulli; did you mean 'normal'?"),
        ("targets: {random: one_hot, scale: 2}",
         "3:28: unknown key 'scale' in targets; the keys are random, steps and sequences"),
        ("targets: {zeros: 3}", "3:10: targets has 3 steps, must have 2, one for each of the "
         "inputs"),
        ("targets: [1, 2]\nloss_steps: 2", "4:13: loss_steps is 2, must be all, last or a list of "
         "steps; write [2]"),
        ("targets: [1, 2]\nloss_steps: lats", "4:13: loss_steps is 'lats', must be all, last or a "
         "list of steps; did you mean 'last'?"),
        ("targets: [1, 2]\nloss_steps: []",
         "4:13: loss_steps is empty, must hold steps from 1 to 2"),
        ("loss_steps: [0]", "3:14: loss_steps holds 0, must be a step from 1 to T"),
        ("targets: [1, 2]\nloss_steps: [2, 2]", "4:17: loss_steps holds step 2 twice"),
        ("targets: [1, 2]\nloss_steps: [0]",
         "4:14: loss_steps holds 0, must be a step from 1 to 2"),
        ("targets: [1, 2]\nloss_steps: [3]",
         "4:14: loss_steps holds 3, must be a step from 1 to 2"),
        ("targets: [1, 2]\nloss_steps: [true]",
         "4:14: loss_steps holds true, must be a step from 1 to 2"),
        ("targets: [1, 2]\nloss: cross_entropy", "4:7: loss: cross_entropy needs "
         "output_activation: softmax, not identity, the default"),
        ("targets: [0, 1]\nloss: binary_cross_entropy\noutput_activation: tanh",
         "5:20: loss: binary_cross_entropy needs output_activation: sigmoid, not tanh"),
        ("targets: [0, 1.5]\nloss: binary_cross_entropy\noutput_activation: sigmoid",
         "3:14: the target of step 2 is 1.5; binary_cross_entropy needs targets from 0 to 1"),
        ("targets: [[-1], [-2]]\nloss: cross_entropy\noutput_activation: softmax",
         "3:12: the target of step 1 is -1; cross_entropy needs targets of at least 0 "
         "(and 1 more)"),
        ("targets: {random: normal}\nloss: cross_entropy\noutput_activation: softmax",
         "3:19: random: normal gives negative targets; cross_entropy needs targets of at least 0; "
         "use random: one_hot"),
    ],
)  # fmt: skip
def test_a_line_too_many(first_lines: FirstLines, more: str, words: str) -> None:
    assert first_lines(f"{NET}{more}\n") == [f"<stdin>:{words}"]


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ("5", "10: weights is 5, must be a mapping of W_xh, W_hh, b_h, W_in, b_in, W_hy and b_y"),
        ("", "1: weights is empty; give it a value"),
        ("{W_hh: 1}", "1: weights lacks W_xh: H×I numbers"),
        ("{W_xh: 1, W_hi: 1}", "20: unknown key 'W_hi' in weights; did you mean 'W_hh'?"),
        ("{W_xh: 1, W_hh: 1, b_y: 2}",
         "29: b_y needs W_hy; without W_hy the read-out is y_t = g(h_t)"),
        ("{W_xh: 1, W_hh: {init: normall}}", f"33: weights.W_hh.init is 'normall', must be one of "
         f"{INITIALISERS}; did you mean 'normal'?"),
        ("{W_xh: 1, W_hh: {init: 3}}",
         f"33: weights.W_hh.init is 3, must be one of {INITIALISERS}"),
        ("{W_xh: 1, W_hh: 1, b_h: {init: orthogonal}}", "41: weights.b_h.init is 'orthogonal', "
         "must be one of normal, gaussian, uniform, zeros or constant"),
        ("{W_xh: 1, W_hh: {gain: 1}}", "26: weights.W_hh is a mapping without the key init or "
         "file"),
        ("{W_xh: 1, W_hh: {init: normal, gain: 1}}",
         "41: unknown key 'gain' in weights.W_hh; the keys are init and std"),
        ("{W_xh: 1, W_hh: {init: normal, std: -1}}",
         "46: weights.W_hh.std is -1, must be a finite number, at least 0"),
        ("{W_xh: 1, W_hh: {init: orthogonal, gain: .inf}}",
         "51: weights.W_hh.gain is inf, must be a finite number"),
        ("{W_xh: 1, W_hh: {init: constant}}", "20: weights.W_hh lacks value: the number"),
        ("{W_xh: [0.1, 0.2, 0.3], W_hh: {init: zeros}, b_h: [1, 2, 3]}",
         "17: W_xh is a list of 3 numbers, must be 3×1: write [[0.1], [0.2], [0.3]]"),
        ("{W_xh: [1, 2], W_hh: {init: zeros}}",
         "17: W_xh is a list of 2 numbers, must be H×1: H rows of 1 number"),
        ("{W_xh: [[1], [2]], W_hh: 0.5}",
         "35: W_hh is a single number, must be 2×2 because W_xh is 2×1"),
        ("{W_xh: {init: zeros}, W_hh: [[1, 2], [3, 4], [5, 6]], b_h: [1, 2, 3]}",
         "38: W_hh is 3×2, must be 3×3 because b_h has length 3"),
        ("{W_xh: {init: zeros}, W_hh: [[1, 2], [3, 4]], b_h: [[1], [2]]}",
         "61: b_h is 2×1, must be a list of 2 numbers: write [1, 2]"),
        ("{W_xh: {init: zeros}, W_hh: [[1, 2], [3, 4]], b_h: [1, 2, 3]}",
         "61: b_h has length 3, must have length 2 because W_hh is 2×2"),
        ("{W_xh: [], W_hh: 1}", "17: weights.W_xh is an empty list, must hold numbers"),
        ("{W_xh: [[]], W_hh: 1}", "18: weights.W_xh row 1 is empty, must hold numbers"),
        ("{W_xh: 1, W_hh: [[[1]]]}", "26: weights.W_hh is nested 3 deep, must be rows of numbers "
         "at most"),
        ("{W_xh: {init: normal}, W_hh: {init: normal}}",
         "1: nothing fixes the number of hidden units; give sizes: {hidden: H}"),
        ("{W_xh: 1, W_hh: 1, W_hy: {init: normal}}",
         "1: nothing fixes the number of outputs; give sizes: {outputs: O}"),
        ("{W_xh: {init: constant, value: 1}, W_hh: {init: gaussian, gain: 1e309}}",
         "74: weights.W_hh.gain is inf, must be a finite number"),
    ],
)  # fmt: skip
def test_the_weights(first_lines: FirstLines, weights: str, words: str) -> None:
    assert first_lines(f"weights: {weights}\ninputs: [1, 2]\n") == [f"<stdin>:1:{words}"]


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ("0.5", "9: inputs is a single number, must be rows of numbers, one a step: "
         "write [[0.5]]"),
        ("[]", "9: inputs is an empty list, must hold numbers"),
        ("[[[1], [2], [0]], [[3], [4], [0]]]", "9: inputs is nested 3 deep, which is a batch; say "
         "which axis counts the sequences: batch: first (2 sequences of 3 steps) or batch: second "
         "(3 sequences of 2 steps)"),
        ("[1, '2']", "13: inputs[1] is '2', must be a number; write 2"),
        ("[1, '1,5']", "13: inputs[1] is '1,5', must be a number; write 1.5"),
        ("[1, no]", "13: inputs[1] is 'no', must be a number"),
        ("[1, true]", "13: inputs[1] is true, must be a number"),
        ("[1, ~]", "13: inputs[1] is empty, must be a number"),
        ("[1, .nan]", "13: inputs[1] is nan, must be a finite number"),
        ("[1, 1e999]", "13: inputs[1] is inf, must be a finite number"),
        (f"[1, 1{'0' * 400}]", "13: inputs[1] is an integer of more than 300 digits, must be a "
         "finite number"),
        ("1 2 3", "9: inputs is '1 2 3', must be a number; write [1, 2, 3]"),
        ("[[1], 2]", "15: inputs[1] is 2, must be a list of 1 number"),
        ("[[1], [2], [3, 4]]", "20: inputs row 3 has 2 numbers, must have 1 like the others"),
        ("{random: normal}", "1: inputs lacks steps: the number of steps T"),
        ("{random: normal, steps: 0}",
         "33: inputs.steps is 0, must be a whole number, at least 1"),
        ("{random: normal, steps: 2.0}",
         "33: inputs.steps is 2.0, must be a whole number, at least 1"),
        ("{zeros: 0}", "17: inputs.zeros is 0, must be a whole number, at least 1"),
        ("{zeros: 10000000000000}", "9: inputs would be 10000000000000×1 and take 74,505.8 GiB; "
         "an array may take at most 8 GiB"),
        ("[[1, 2], [3, 4]]", None),
    ],
)  # fmt: skip
def test_the_inputs(first_lines: FirstLines, inputs: str, words: str | None) -> None:
    found = first_lines(f"inputs: {inputs}\nweights: {{W_xh: 1, W_hh: 1}}\n")
    assert found == [
        f"<stdin>:1:{words}"
        if words
        else "<stdin>:2:17: W_xh is a single number, must be 1×2 because inputs has 2 numbers a row"
    ]


def test_mistakes_of_every_layer_come_together(refused: Refused) -> None:
    text = """\
cell: rnn
activaton: tanh
output_activation: sigmod
cell: rnn
weights:
  W_xh: [[0.5], [no]]
  W_hh: [[1, 2], [3, 4], [5]]
  b_h: [1, 2, 3]
  W_hy: {init: normal, gain: 3}
h_0: [1, 2]
inputs: [0.1]
"""
    assert refused(text) == [
        "<stdin>:2:1: unknown key 'activaton'; did you mean 'activation'?\n  activaton: tanh\n  ^",
        "<stdin>:3:20: output_activation is 'sigmod', must be one of sigmoid, tanh, relu, "
        "identity, softplus, leaky_relu, elu, selu, silu, gelu, softsign, hard_sigmoid or 2 more; "
        "did you mean 'sigmoid'?\n"
        "  output_activation: sigmod\n                     ^",
        "<stdin>:4:1: 'cell' is already given on line 1; keep one of them\n  cell: rnn\n  ^",
        "<stdin>:6:18: weights.W_xh[1][0] is 'no', must be a number\n"
        "    W_xh: [[0.5], [no]]\n                   ^",
        "<stdin>:7:26: weights.W_hh row 3 has 1 number, must have 2 like the others\n"
        "    W_hh: [[1, 2], [3, 4], [5]]\n                           ^",
        "<stdin>:9:24: unknown key 'gain' in weights.W_hy; the keys are init and std\n"
        "    W_hy: {init: normal, gain: 3}\n                         ^",
        "<stdin>:10:6: h_0 has length 2, must have length 3 because b_h has length 3\n"
        "  h_0: [1, 2]\n       ^",
    ]


def test_the_first_six_are_shown() -> None:
    with pytest.raises(SpecError) as caught:
        load({f"wrong{i}": 1 for i in range(8)} | {"weights": {"W_xh": 1, "W_hh": 1}})
    assert str(caught.value).endswith("and 3 more")


def test_what_is_missing_because_it_is_misspelt_is_not_missed(first_lines: FirstLines) -> None:
    assert first_lines("wieghts: {W_xh: 1, W_hh: 1}\ninput: [1]\n") == [
        "<stdin>:1:1: unknown key 'wieghts'; did you mean 'weights'?",
        "<stdin>:2:1: unknown key 'input'; did you mean 'inputs'?",
    ]
    assert first_lines("name: x\n") == [
        "<stdin>: the spec lacks weights: W_xh, W_hh, and if wanted biases, W_hy, b_y",
        "<stdin>: the spec lacks inputs: T×I: rows of numbers, {file: x.npy}, "
        "{random: normal, steps: T, scale: s} or {zeros: T}",
    ]


def test_sizes_win_and_are_the_reason(first_lines: FirstLines) -> None:
    text = "sizes: {hidden: 2, inputs: 3}\nweights: {W_xh: [[1], [2], [3]], W_hh: {init: zeros}}\n"
    assert first_lines(text + "inputs: {zeros: 4}\n") == [
        "<stdin>:2:17: W_xh is 3×1, must be 2×3 because sizes gives hidden: 2 and sizes gives "
        "inputs: 3"
    ]


def test_sizes_contradict_each_other_without_a_readout(first_lines: FirstLines) -> None:
    text = "sizes: {hidden: 2, outputs: 3}\nweights: {W_xh: {init: zeros}, W_hh: {init: zeros}}\n"
    assert first_lines(text + "inputs: [1]\n") == [
        "<stdin>:1:29: sizes gives outputs: 3, must be 2: without W_hy y_t = g(h_t)"
    ]


def test_arrays_that_are_too_large_are_named(first_lines: FirstLines) -> None:
    text = "sizes: {hidden: 1000000000}\nweights: {W_xh: {init: zeros}, W_hh: {init: normal}}\n"
    assert first_lines(text + "inputs: [1]\n") == [
        "<stdin>:2:38: W_hh would be 1000000000×1000000000 and take 7e+09 GiB; "
        "an array may take at most 8 GiB"
    ]


def test_a_draw_that_overflows_has_its_place(first_lines: FirstLines) -> None:
    text = (
        "sizes: {hidden: 5}\nweights: {W_xh: {init: zeros}, W_hh: {init: normal, std: 1.7e308}}\n"
    )
    assert first_lines(text + "inputs: [1]\n") == [
        "<stdin>:2:38: W_hh overflows: normal with {'std': 1.7e+308} is not finite"
    ]


@pytest.mark.parametrize(
    "text",
    [
        f"{NET}'{'k' * 5000}': 1\n",
        f"{NET}activation: {'x' * 5000}\n",
        f"{NET}seed: {'x' * 5000}\n",
        f'{NET}"\\e[31m\\u202e": 1\n',
        f"{NET}h_0: {{file: {'x' * 5000}.npy}}\n",
        f"weights: {{W_xh: 1, W_hh: 1, '{'k' * 5000}': 2}}\ninputs: [1]\n",
        f"a: *{'k' * 5000}\n",
        f"a: !{'k' * 5000} x\n",
        f'{NET}cell: {{equations: ["h_t = tanh(W x_t + U h_{{t\\x0f-1}})"]}}\n',
    ],
)
def test_hostile_words_stay_short_and_printable(refused: Refused, text: str) -> None:
    for words in refused(text):
        message, *quote = words.split("\n")
        assert len(message) < 240
        assert all(len(line) <= 90 for line in quote)
        assert all(line.isprintable() for line in words.split("\n"))


def test_the_quote_is_cut_around_the_place(refused: Refused) -> None:
    (words,) = refused(
        f"weights: {{W_xh: 1, W_hh: 1}}\ninputs: [{'1.5, ' * 100}x, {'2.5, ' * 100}]\n"
    )
    _, quote, caret = words.split("\n")
    assert quote.startswith("  ...")
    assert quote.endswith("...")
    assert quote[caret.index("^")] == "x"


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("activation=rleu", "--set:1:12: activation is 'rleu', must be one of sigmoid, tanh, relu, "
         "identity, softplus, leaky_relu, elu, selu, silu, gelu, softsign, hard_sigmoid or 1 more; "
         "did you mean 'relu'?\n  activation=rleu\n             ^"),
        ("weights.W_hh=[[1, 2], [3]]", "--set:1:23: weights.W_hh row 2 has 1 number, must have 2 "
         "like the others\n  weights.W_hh=[[1, 2], [3]]\n                        ^"),
        ("wieghts.W_hh=3", "--set:1:1: unknown key 'wieghts'; did you mean 'weights'?\n"
         "  wieghts.W_hh=3\n  ^"),
        ("weights.W_gg=3", "--set:1:9: unknown key 'W_gg' in weights; the keys are W_xh, W_hh, "
         "b_h, W_in, b_in, W_hy and b_y\n  weights.W_gg=3\n          ^"),
        ("weights.layers.0.b_h=0", "--set:1:9: weights.layers is a mapping, must be a list of "
         "layers, the lowest first\n  weights.layers.0.b_h=0\n          ^"),
        ("inputs.steps=3", "--set:1:8: inputs is a list with indices 0 to 1, not 'steps'\n"
         "  inputs.steps=3\n         ^"),
        ("inputs.2=3", "--set:1:8: inputs is a list with indices 0 to 1, not '2'\n"
         "  inputs.2=3\n         ^"),
        ("weights.W_hh.gain=2", "--set:1:14: weights.W_hh is 0.5, with no keys inside\n"
         "  weights.W_hh.gain=2\n               ^"),
        ("nothing", "--set:1:1: must be key=value, such as activation=relu\n  nothing\n  ^"),
        ("=1", "--set:1:1: must be key=value, such as activation=relu\n  =1\n  ^"),
        ("h_0=", "--set:1:5: 'h_0' is given no value\n  h_0=\n      ^"),
        ("h_0.=1", "--set:1:5: a key is missing beside the dot\n  h_0.=1\n      ^"),
        ("h_0=[1,", "--set:1:8: a value is missing here, or a bracket is not closed\n"
         "  h_0=[1,\n         ^"),
        ("sizes={hidden: 1, hidden: 1}", "--set:1:19: 'hidden' is already given on line 1; keep "
         "one of them\n  sizes={hidden: 1, hidden: 1}\n                    ^"),
    ],
)  # fmt: skip
def test_overrides(refused: Refused, argument: str, words: str) -> None:
    assert refused(NET, argument) == [words]


OF_TWO = "weights: {W_xh: [[0.5, 0.1]], W_hh: [[0.8]]}\ninputs: [[1, 2], [1, 2]]\ntargets: [1, 2]\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["inputs=[[1, 2]]"],
         ["--set:1:8: targets has 2 steps, must have 1, one for each of the inputs "
          "(<stdin>:3:10)\n  inputs=[[1, 2]]\n         ^"]),
        (["cell=lstm"],
         ["--set:1:6: W_xh is 1×2, must be 4×2 because W_hh is 1×1 (<stdin>:1:17)\n"
          "  cell=lstm\n       ^",
          "--set:1:6: W_hh is 1×1, must be 4×1 because targets is a flat list, "
          "1 number a step (<stdin>:1:37)\n"
          "  cell=lstm\n       ^"]),
        (["name=x", "batch=first", "seed=3"],
         ["--set:1:7: inputs is 2×2; batch: first takes three axes, B×T×I (<stdin>:2:9)\n"
          "  batch=first\n        ^",
          "--set:1:7: targets is 2; batch: first takes three axes, B×T×H, or labels, B×T as "
          "inputs have (<stdin>:3:10)\n  batch=first\n        ^"]),
    ],
)  # fmt: skip
def test_the_override_is_shown_that_makes_the_spec_wrong(
    refused: Refused, arguments: list[str], words: list[str]
) -> None:
    """Though the piece that no longer fits stands in the spec."""
    assert refused(OF_TWO, *arguments) == words


def test_what_was_wrong_without_the_override_stays_where_it_is(first_lines: FirstLines) -> None:
    text = OF_TWO.replace("targets: [1, 2]", "targets: [1, 2, 3]")
    places = [words.partition(" ")[0] for words in first_lines(text, "cell=lstm")]
    assert places == ["<stdin>:3:10:", "--set:1:6:", "--set:1:6:"]


def test_of_a_mapping_the_override_is_shown_too(first_lines: FirstLines) -> None:
    spec = {"weights": {"W_xh": 1, "W_hh": 1}, "inputs": [1, 2], "targets": [1, 2]}
    assert first_lines(spec, "inputs=[1]") == [
        "--set:1:8: targets has 2 steps, must have 1, one for each of the inputs"
    ]


def test_mistakes_of_file_and_overrides_come_together(first_lines: FirstLines) -> None:
    assert first_lines(NET + "sede: 3\n", "h_0=[", "loss=x", "weights.W_hh=[1]") == [
        "<stdin>:3:1: unknown key 'sede'; did you mean 'seed'?",
        "--set:1:6: loss is 'x', must be one of squared_error, mean_squared_error, "
        "binary_cross_entropy or cross_entropy",
        "--set:1:14: W_hh is a list of 1 number, must be 1×1: write [[1]]",
        "--set:1:6: a value is missing here, or a bracket is not closed",
    ]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seed": "x"}, ["seed: is 'x', must be a whole number"]),
        ({"weights": {"W_xh": 1, "W_hh": [[1, "x"], [3, 4]]}},
         ["weights.W_hh[0][1]: is 'x', must be a number"]),
        ({"weights": {"W_xh": 1, "W_hh": np.eye(2) * np.nan}},
         ["weights.W_hh: holds nan at [0, 0], counted from 0; must be finite"]),
        ({"inputs": np.ones((2, 3, 1))}, ["inputs: is 2×3×1, which is a batch; say which "
          "axis counts the sequences: batch: first (2 sequences of 3 steps) or batch: second "
          "(3 sequences of 2 steps)"]),
        ({"inputs": np.ones((3, 1), complex)},
         ["inputs: holds complex numbers, must hold real numbers"]),
        ({"inputs": np.array([{}])}, ["inputs: holds Python objects, must hold real numbers"]),
        ({"inputs": np.empty((0, 1))}, ["inputs: is 0×1, must hold numbers"]),
        ({"targets": None}, ["targets: is empty; give it a value, or leave the key out"]),
        ({"nmae": 1}, ["nmae: unknown key 'nmae'; did you mean 'name'?"]),
        ({"h_0": object}, ["h_0: is a type, must be a number"]),
        ({"weights": 1}, ["weights: is 1, must be a mapping of W_xh, W_hh, b_h, W_in, b_in, W_hy "
                           "and b_y"]),
    ],
)  # fmt: skip
def test_mappings(refused: Refused, change: dict[str, Any], words: list[str]) -> None:
    net = {"weights": {"W_xh": 1, "W_hh": 0.5}, "inputs": [1, 2]}
    assert refused(net | change) == words


def test_a_mapping_that_holds_itself(refused: Refused) -> None:
    net: dict[str, Any] = {"weights": {"W_xh": 1, "W_hh": 0.5}}
    net["inputs"] = net
    assert refused(net) == ["inputs: nested more than 64 deep"]


def test_what_is_no_source(refused: Refused) -> None:
    assert refused(5) == ["a spec is a path, '-' or a mapping, not 5"]
