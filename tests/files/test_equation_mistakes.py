"""Mistakes in ``cell:``: the words, the place, and the caret under the character meant."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from rnngrad.errors import SpecError
from rnngrad.files import load

Refused = Callable[..., list[str]]

HEAD = "sizes: {inputs: 2, hidden: 3}\nweights: {}\ninputs: [[1, 2]]\n"


def _cell(*equations: str, more: str = "") -> str:
    lines = "".join(f"    - {text}\n" for text in equations)
    return f"{HEAD}cell:\n  equations:\n{lines}{more}"


def _under(words: str) -> str:
    """What the caret points at: the quoted line from there on."""
    *_, source, caret = words.split("\n")
    return source[caret.index("^") :]


H = "h_t = tanh(W x_t + U h_{t-1})"
STATE = "  state: [h, c]\n"


@pytest.mark.parametrize(
    ("text", "place", "words", "under"),
    [
        (_cell("h_t = tanh(W xx_t)"), "6:20",
         "nothing defines xx_t; did you mean 'x'?; a parameter has no step", "xx_t)"),
        (_cell("g_t = σ(V x_t)", "h_t = tanh(W h_{t-1} + gg_{t-1})"), "7:30",
         "nothing defines gg_{t−1}", "gg_{t-1})"),
        (_cell(H, "h_t = W x_t"), "7:7", "h_t is defined twice", "h_t = W x_t"),
        (_cell(H, "x_t = W h_t"), "7:7", "x_t is the input; no equation defines it", "x_t = W"),
        (_cell(H, more=STATE), "7:14",
         "no equation defines c_t, a part of the state", "c]"),
        (_cell("g_t = W x_t"), "5:3",
         "no equation defines h_t, a part of the state", "equations:"),
        (_cell("h_t = tanh(W x_{t+1})"), "6:20",
         "x_{t+1}: an equation knows the steps t and t−1 alone", "x_{t+1})"),
        (_cell("h_t = tanh(W h_{t-2})"), "6:20",
         "h_{t−2}: an equation knows the steps t and t−1 alone", "h_{t-2})"),
        (_cell("h_t = tanh(W x_{t-1})"), "6:20",
         "x_{t−1} is not known; keep it as a part of the state, v_t = x_t", "x_{t-1})"),
        (_cell("g_t = σ(W h_t)", "h_t = g_t"), "6:17", "h_t is used before its equation", "h_t)"),
        (_cell("h_t = tanh(W_p x_t + U h_{t-1})", more="  shapes: {W_p: [P, H]}\n"), "6:18",
         "W_p is P×H by shapes, but what it multiplies has I", "W_p x_t"),
        (_cell("h_t = tanh(W x_t) ∘ V h_{t-1} + x_t", more="  shapes: {W: [H, I]}\n"), "6:39",
         "tanh(W x_t) ∘ (V h_{t−1}) has H, but x_t has I: '+' needs the same size; where I is H, "
         "say so: shapes: {x: [H]}", "x_t"),
        (_cell("h_t = U h_{t-1} + tanh(W (V x_t)) + W tanh(V x_t) + W x_t",
               more="  shapes: {V: [H, I]}\n"), "6:59",
         "W is of H columns by what it met before, but what it multiplies has I", "W x_t"),
        (_cell("h_t = tanhh(W x_t)"), "6:13", "'tanhh' is no function; did you mean 'tanh'?",
         "tanhh(W"),
        (_cell("h_t tanh(W x_t)"), "6:7",
         "an '=' is missing; an equation is written h_t = tanh(W_xh x_t)", "h_t tanh"),
        (_cell("h_t = a = W x_t"), "6:7", "an equation has one '='", "h_t = a"),
        (_cell("W h_t = W x_t"), "6:7", "on the left stands one name at step t, such as h_t",
         "W h_t"),
        (_cell("h_t = tanh(W x_t + U (h_{t-1})"), "6:17", "this '(' is not closed by a ')'",
         "(W x_t"),
        (_cell("h_t = tanh(W x_t))"), "6:24", "this ')' closes nothing", ")"),
        (_cell("h_t = a_t b_t", "h_t = W x_t"), "6:17", "nothing defines b_t", "b_t"),
        (_cell("h_t = tanh(u w + W x_t)"), "6:20",
         "u and w are two vectors side by side; write ∘ between them, or say that u is a number: "
         "shapes: {u: []}", "w + W"),
        (_cell("h_t = tanh(W)"), "6:18",
         "W is a matrix; it stands before the vector that it multiplies, as in W_hh h_{t−1}; if it "
         "is a vector, say so: shapes: {W: [H]}", "W)"),
        (_cell("h_t = \\sigma_g(W x_t)"), "6:13",
         "σ is a function and has no index; write σ(…)", "\\sigma_g"),
        (_cell("h_t = tanh_{c}(W x_t)"), "6:13",
         "tanh is a function and has no index; write tanh(…)", "tanh_{c}"),
        (_cell("h_t = tanh(W x + U h_{t-1})"), "6:20", "x needs its step: x_t or x_{t−1}", "x + U"),
        (_cell("h_t = tanh'(W x_t)"), "6:13", "tanh' is a derivative; equations have none",
         "tanh'(W"),
        (_cell("h_t = tanh(W x_t) ? 2"), "6:25", "the character '?' cannot stand in a formula",
         "? 2"),
        (_cell("h_t = 0.5"), "6:7", "h_t would be a single number; an equation is of a vector",
         "h_t = 0.5"),
        (_cell("h_t = tanh(W_hy x_t)"), "6:18",
         "W_hy is of the read-out; give this parameter another name", "W_hy x_t"),
        (_cell("h_t = tanh(W x_t + h_0)"), "6:26",
         "h_0 is what h begins with; give this parameter another name", "h_0)"),
        (_cell("h_t = 0.5 h_{t-1} + x_t"), "5:3",
         "no equation has a parameter, so there is nothing to differentiate by", "equations:"),
        (_cell(H, more="  recurrent: [W, V]\n"), "7:18",
         "'V' is no parameter of the equations", "V]"),
        (_cell(H, more="  shapes: {W: [H, I], W_u: [P, H]}\n"), "7:23",
         "'W_u' is in no equation", "W_u: [P"),
        (_cell(H, more="  shapes: {h: []}\n"), "7:12", "h is a part of the state, so a vector",
         "h: []}"),
        (_cell(H, "y_t = h_t", more="  state: [h, y]\n"), "8:14",
         "'y' cannot be a part of the state: y_t is the read-out", "y]"),
    ],
    ids=lambda value: value if isinstance(value, str) and "\n" not in value else "",
)  # fmt: skip
def test_in_an_equation(refused: Refused, text: str, place: str, words: str, under: str) -> None:
    first = refused(text)[0]
    said = first.split("\n")[0]
    assert said.startswith(f"<stdin>:{place}: {words}")
    assert _under(first).startswith(under)


@pytest.mark.parametrize(
    ("cell", "place", "words"),
    [
        ("lstn", "4:7", "cell is 'lstn', must be rnn, gru, lstm, another of 'rnngrad cells' or a "
         "mapping of equations; did you mean 'lstm'?"),
        ("indrn", "4:7", "cell is 'indrn', must be rnn, gru, lstm, another of 'rnngrad cells' or a "
         "mapping of equations; did you mean 'indrnn'?"),
        ("[a]", "4:7", "cell is a list, must be rnn, gru, lstm, another of 'rnngrad cells' or a "
         "mapping of equations"),
        ("", "4:1", "cell is empty; give it a value, or leave the key out"),
        ("{}", "4:1", "cell lacks equations: the equations of step t, in order; each defines one "
         "name"),
        ("{equations: []}", "4:19", "cell.equations is an empty list, must be a list of equations "
         "such as h_t = tanh(W_xh x_t + W_hh h_{t-1})"),
        ("{equations: 3}", "4:19", "cell.equations is 3, must be a list of equations such as h_t = "
         "tanh(W_xh x_t + W_hh h_{t-1})"),
        ("{equations: [3]}", "4:20", "cell.equations[0] is 3, must be an equation"),
        ("{equations: [[h]]}", "4:20", "cell.equations[0] is a list, must be an equation; put it "
         "in quotes"),
        ("{equations: ['']}", "4:21", "there is no formula"),
        ("{equations: [h_t = W x_t], state: 3}", "4:41",
         "cell.state is 3, must be a list of names, such as [h, c]"),
        ("{equations: [h_t = W x_t], state: []}", "4:41",
         "cell.state is an empty list, must be a list of names, such as [h, c]"),
        ("{equations: [h_t = W x_t], state: [h, 3]}", "4:45",
         "cell.state[1] is 3, must be a name"),
        ("{equations: [h_t = W x_t], state: [h, h]}", "4:45",
         "'h' cannot be a part of the state: it stands here twice"),
        ("{equations: [h_t = W x_t], state: [h, x]}", "4:45",
         "'x' cannot be a part of the state: x is the input"),
        ("{equations: [h_t = W x_t], shapes: 3}", "4:42", "cell.shapes is 3, must be a mapping of "
         "names and sizes, such as {alpha: [], W_p: [P, H]}"),
        ("{equations: [h_t = W x_t], shapes: {W: 3}}", "4:46", "cell.shapes.W is 3, must be a list "
         "of one or two letters, such as [P, H]; [] is a single number"),
        ("{equations: [h_t = W x_t], shapes: {W: [H, I, P]}}", "4:46", "cell.shapes.W is a list of "
         "3, must be a list of one or two letters, such as [P, H]; [] is a single number"),
        ("{equations: [h_t = W x_t], shapes: {W: [H, 3]}}", "4:50", "cell.shapes.W holds 3, must "
         "be a capital letter such as H or P; sizes gives its number"),
        ("{equations: [h_t = W x_t], shapes: {W: [T, I]}}", "4:47",
         "cell.shapes.W holds T, which is the number of steps; take another"),
        ("{equations: [h_t = W x_t], shape: {W: [H, I]}}", "4:34",
         "unknown key 'shape' in cell; did you mean 'shapes'?"),
        ("{equations: [h_t = W x_t], recurrent: 3}", "4:45",
         "cell.recurrent is 3, must be a list of parameters"),
        ("{equations: [h_t = W x_t], name: 3}", "4:40", "cell.name is 3, must be text; put it in "
         "quotes"),
    ],
)  # fmt: skip
def test_in_the_mapping(refused: Refused, cell: str, place: str, words: str) -> None:
    lines = [found.split("\n")[0] for found in refused(f"{HEAD}cell: {cell}\n")]
    assert f"<stdin>:{place}: {words}" in lines


@pytest.mark.parametrize(
    ("written", "place", "under"),
    [
        ("    - h_t = tanh(W q_t)", "6:20", "q_t)"),
        ('    - "h_t = tanh(W q_t)"', "6:21", 'q_t)"'),
        ("    - 'h_t = tanh(W q_t)'", "6:21", "q_t)'"),
        ('    - "h_t = \\\\tanh(W q_t)"', "6:23", 'q_t)"'),
        ('    - "\\u0068_t = tanh(W q_t)"', "6:26", 'q_t)"'),
        ("    - h_t =\n       tanh(W\n       q_t)", "8:8", "q_t)"),
        ("    - |\n      h_t = tanh(W q_t)", "7:20", "q_t)"),
        ("    - >-\n      h_t =\n        tanh(W q_t)", "8:16", "q_t)"),
        ("    - &a h_t = tanh(W q_t)", "6:23", "q_t)"),
    ],
)
def test_the_place_in_every_way_of_writing_a_text(
    refused: Refused, written: str, place: str, under: str
) -> None:
    first = refused(f"{HEAD}cell:\n  equations:\n{written}\n")[0]
    assert first.startswith(f"<stdin>:{place}: nothing defines q_t; a parameter has no step\n")
    assert _under(first) == under


def test_the_place_in_equations_as_one_text(refused: Refused) -> None:
    text = f"{HEAD}cell:\n  equations: |\n    g_t = σ(V x_t)\n\n    h_t = tanh(W q_t)\n"
    assert refused(text)[0].startswith("<stdin>:8:18: nothing defines q_t")


def test_the_place_in_set_and_in_a_python_mapping(refused: Refused) -> None:
    text = _cell(H)
    first = refused(text, "cell.equations.0=h_t = tanh(W q_t)")[0]
    assert first.startswith("--set:1:31: nothing defines q_t")
    assert _under(first) == "q_t)"
    mapping = {"cell": {"equations": [H, "g_t = σ(V q_t)"]}, "weights": {}, "inputs": [1]}
    first = refused(mapping)[0]
    assert first.startswith("cell.equations[1]: nothing defines q_t")
    assert _under(first) == "q_t)"


def test_every_equation_has_its_own_mistake_and_is_not_blamed_for_another(
    refused: Refused,
) -> None:
    """What cannot be read is still defined: those that use it are right."""
    text = _cell("i_t = σ(W x_t", "f_t = σσ(i_t)", "h_t = i_t ∘ tanh(U h_{t-1}) + V f_t + k_t")
    found = [words.split("\n")[0].split(": ", 1)[1] for words in refused(text)]
    assert len(found) == 3
    assert found[0] == "this '(' is not closed by a ')'"
    assert found[2] == "nothing defines k_t; a parameter has no step"


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ("{W: {init: zeros}, U: {init: zeros}, W_hh: 1}",
         "weights.W_hh is in no equation of net; did you mean 'W_hy'?"),
        ("{W: {init: zeros}, Uh: {init: zeros}}",
         "weights.Uh is in no equation of net; did you mean 'U'?"),
        ("{W: {init: zeros}}", "weights lacks U: H×H numbers"),
        ("{W: {init: zeros}, U: [[1, 2], [3, 4]]}",
         "U is 2×2, must be 3×3 because sizes gives hidden: 3"),
        ("{layers: [{W: {init: zeros}, U: {init: zeros}, V: 1}]}",
         "weights.layers[0].V is in no equation of net; its parameters are W and U"),
    ],
)  # fmt: skip
def test_weights(first_lines: Refused, weights: str, words: str) -> None:
    text = _cell(H, more="  name: net\n").replace("weights: {}", f"weights: {weights}")
    found = [line.split(": ", 1)[1] for line in first_lines(text)]
    assert found == [words]


@pytest.mark.parametrize("given", ["μ", "W_{x}", "Δt"])
def test_a_weight_named_as_on_paper(first_lines: Refused, given: str) -> None:
    plain = {"μ": "mu", "W_{x}": "W_x", "Δt": "Deltat"}[given]
    equation = "h_t = tanh(W_{x} x_t + μ ∘ Δt ∘ h_{t-1})"
    right = {"W_x": "W_x: {init: zeros}", "mu": "mu: 1", "Deltat": "Deltat: 1"}
    right[plain] = f"'{given}': {{init: zeros}}"
    text = _cell(equation, more="  name: net\n  shapes: {mu: [], Deltat: []}\n")
    found = first_lines(text.replace("weights: {}", f"weights: {{{', '.join(right.values())}}}"))
    assert [line.split(": ", 1)[1] for line in found] == [
        f"weights.{given} is in no equation of net; did you mean '{plain}'?"
    ]


def test_many_weights_that_are_not_there_are_said_at_once(first_lines: Refused) -> None:
    equation = "h_t = alpha tanh(W x_t + U h_{t-1} + V h_{t-1})"
    assert first_lines(_cell(equation, more="  name: net\n  shapes: {alpha: []}\n")) == [
        "<stdin>:2:1: weights lacks W (H×I), U (H×H), V (H×H), alpha (a number): each is numbers, "
        "a file or an initialiser such as {init: gaussian}"
    ]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("activation: relu\n", "4:1: activation is for rnn; net has tanh by its equations"),
        ("c_0: 1\n", "4:1: c_0: net has no c in its state; there are h_0 and m_0"),
        ("v_0: 1\n", "4:1: unknown key 'v_0'; did you mean 'm_0'?"),
        ("m_0: [1, 2]\n", "4:6: m_0 has length 2, must have length 4 because sizes gives P: 4"),
    ],
)
def test_beside_the_cell(first_lines: Refused, change: str, words: str) -> None:
    weights = "{W: {init: zeros}, U: {init: zeros}, V: {init: zeros}, alpha: 0.5}"
    head = HEAD.replace("{}", weights).replace("hidden: 3", "hidden: 3, P: 4")
    equations = "    - m_t = alpha m_{t-1} + V x_t\n    - h_t = tanh(W m_t + U h_{t-1})\n"
    more = "  name: net\n  state: [h, m]\n  shapes: {alpha: [], V: [P, I]}\n"
    assert first_lines(f"{head}{change}cell:\n  equations:\n{equations}{more}") == [
        f"<stdin>:{words}"
    ]


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        (
            "{hidden: 3}",
            "2:1: nothing fixes P, a size of W; give sizes: {P: its number}, or cell: "
            "{shapes: {W: [H, H]}} if it is H",
        ),
        ("{hidden: 3, P: 0}", "1:23: sizes.P is 0, must be a whole number, at least 1"),
        (
            "{hidden: 3, Q: 2, P: 2}",
            "1:20: unknown key 'Q' in sizes; the keys are inputs, hidden, outputs and P",
        ),
        ("{hidden: 3, P: 2, H: 2}", "1:29: sizes gives H: 2, but hidden: 3; in net both are H"),
    ],
)
def test_letters(first_lines: Refused, sizes: str, words: str) -> None:
    weights = "{W: {init: zeros}, U: {init: zeros}, V: {init: zeros}}"
    text = f"sizes: {sizes}\nweights: {weights}\ninputs: [[1, 2]]\n"
    cell = "cell: {name: net, equations: ['h_t = tanh(V W h_{t-1} + U x_t)'], shapes: {W: [P, H]}}"
    assert f"<stdin>:{words}" in first_lines(text + cell)


def test_x_of_another_size_than_h(first_lines: Refused) -> None:
    text = "weights: {W: {init: zeros}}\nsizes: {hidden: 3}\ninputs: [[1, 2]]\n"
    cell = "cell: {name: net, equations: ['h_t = tanh(x_t + W h_{t-1})']}\n"
    why = "net takes x_t unit by unit, so I is H"
    assert first_lines(text + cell) == [
        f"<stdin>:3:9: inputs has 2 numbers a row, must have 3 numbers because sizes gives "
        f"hidden: 3; {why}"
    ]
    both = text.replace("{hidden: 3}", "{hidden: 3, inputs: 2}")
    found = str(first_lines(both + cell))
    assert "sizes gives hidden: 3, but inputs: 2; in net both are H" in found


def test_a_scalar_given_as_a_list(first_lines: Refused) -> None:
    text = "weights: {W: 1, a: [0.5]}\ninputs: [1, 2]\n"
    cell = "cell: {equations: ['h_t = tanh(W x_t) + a h_{t-1}'], shapes: {a: []}}\n"
    assert first_lines(text + cell) == [
        "<stdin>:1:20: a is a list of 1 number, must be a single number"
    ]


LONG = {
    "10,000 sums": "h_t = tanh(" + " + ".join(["W x_t"] * 10_000) + ")",
    "10,000 short terms": "h_t = " + "+".join(["b"] * 10_000),
    "3,000 parameters": "h_t = W x_t" + "".join(f"+b{i}" for i in range(3000)),
    "2,000 factors": "h_t = W x_t" + "∘h_{t-1}" * 2000,
    "10,000 equations": "\n".join(f"a{i}_t = W x_t" for i in range(10_000)),
    "brackets": "h_t = " + "(" * 490 + "h_{t-1}" + ")" * 490,
    "functions": "h_t = " + "tanh(" * 160 + "h_{t-1}" + ")" * 160,
    "quotients": "h_t = h_{t-1}" + "/2" * 490,
    "signs": "h_t = W x_t +" + "-" * 980 + "h_{t-1}",
    "matrices": "h_t = " + "W " * 490 + "h_{t-1}",
    "nested matrices": "h_t = " + "tanh(W " * 55 + "h_{t-1}" + ")" * 55,
    "products of sums": "h_t = " + "∘".join(["(W x_t+b)"] * 60),
    "powers": "h_t = W x_t +" + "h_{t-1}^2+" * 98 + "b",
    "one after the other": "a0_t = W x_t\n"
    + "\n".join(f"a{i}_t = a{i - 1}_t ∘ a{i - 1}_t" for i in range(1, 149))
    + "\nh_t = a148_t",
}


@pytest.mark.parametrize("name", LONG)
def test_long_equations_are_answered_in_under_a_second(name: str) -> None:
    """Right or refused with words, and what follows from the right ones is found as fast."""
    spec = {"cell": {"equations": LONG[name]}, "weights": {"W": 0.1}, "inputs": [1]}
    taken = []
    for _ in range(2):  # the collector of a process of thousands of tests may step in once
        started = time.process_time()
        with suppress(SpecError):
            assert load(spec).cell.terms_tape is not None
        taken.append(time.process_time() - started)
    assert min(taken) < 1


@pytest.mark.parametrize(
    "text",
    [
        "h_t = __import__('os').system('touch hacked')",
        "h_t = W x_t if open('hacked', 'w') else 0",
        "h_t = eval(W x_t)",
        "h_t = [1 for _ in W x_t]",
        "h_t = W.T x_t",
        "h_t = (lambda: 0)()",
        "h_t = W x_t; import os",
        "h_t = {W x_t",
        "h_t = W x_t # comment",
    ],
)
def test_nothing_is_evaluated_as_python(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SpecError):
        load({"cell": {"equations": [text]}, "weights": {"W": 1}, "inputs": [1]})
    assert not list(tmp_path.iterdir())
