"""Formulas read into a layout: nothing is lost, and each script writes what the engines know."""

from __future__ import annotations

import re

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import rnngrad
from rnngrad.cells import NAMES
from rnngrad.files.starters.cell import starter
from rnngrad.views.typesetting.latex import Latex
from rnngrad.views.typesetting.layout import Partial, Raised, Row, lines, width
from rnngrad.views.typesetting.reading import read
from rnngrad.views.typesetting.typst import Typst, quoted
from rnngrad.views.typesetting.writing import Plain

PLAIN, LATEX, TYPST = Plain(), Latex(), Typst()


def bare(text: str) -> str:
    return re.sub(r"\s", "", text)


def formulas(cell: str, steps: int = 3) -> set[str]:
    spec = yaml.safe_load(starter(cell))
    spec["inputs"]["steps"] = steps
    lines = rnngrad.derive(rnngrad.load(spec)).lines
    return {text for line in lines for text in (line.symbol, line.formula)}


@pytest.mark.parametrize("cell", NAMES)
def test_every_formula_of_every_cell_is_written_as_it_was_read(cell: str) -> None:
    for text in formulas(cell):
        assert bare(PLAIN.row(read(text))) == bare(text)


@pytest.mark.parametrize("steps", [1, 2, 9])
@pytest.mark.parametrize("depth", [2, 3, 6])
def test_formulas_of_stacks(steps: int, depth: int) -> None:
    layer = {"W_xh": {"init": "normal"}, "W_hh": {"init": "normal"}}
    problem = rnngrad.load({
        "cell": "lstm", "sizes": {"inputs": 1, "hidden": 2, "outputs": 1},
        "weights": {"layers": [layer] * depth, "W_hy": {"init": "normal"}},
        "inputs": {"random": "normal", "steps": steps}, "targets": {"random": "normal"},
        "loss_reduction": "mean",
    })  # fmt: skip
    for line in rnngrad.derive(problem).lines:
        for text in (line.symbol, line.formula):
            assert bare(PLAIN.row(read(text))) == bare(text)


WRITTEN = {
    "∂⁺h_3/∂W_hh": (r"\frac{\partial^+ h_3}{\partial W_{hh}}",
                    'frac(partial^+ h_(3), partial W_("hh"))'),
    "∂h_t/∂h_{t−1}": (r"\frac{\partial h_t}{\partial h_{t-1}}",
                      "frac(partial h_(t), partial h_(t - 1))"),
    "−2·(t_3 − y_3)/O": (r"-2 \cdot \frac{t_3 - y_3}{O}",
                         "-2 dot.op frac(t_(3) - y_(3), O)"),
    "σ'(W_hy h_3 + b_y)·W_hy": (r"\sigma'(W_{hy} \, h_3 + b_y) \cdot W_{hy}",
                                """σ' lr(\\(W_("hy") h_(3) + b_(y)\\)) dot.op W_("hy")"""),
    "Σ_{t=1..8} ∂L_t/∂y_t": (r"\sum_{t=1}^{8} \, \frac{\partial L_t}{\partial y_t}",
                             "sum_(t = 1)^(8) frac(partial L_(t), partial y_(t))"),
    "diag(1 − g_t²)": (r"\operatorname{diag}(1 - g_t^{2})",
                       'op("diag") lr(\\(1 - g_(t)^2\\))'),
    "y_t y_tᵀ": (r"y_t \, y_t^{\top}", "y_(t) y_(t)^top"),
    "h²_{t−1}": (r"h^{(2)}_{t-1}", 'h_(t - 1)^("(2)")'),
    "tanh²(c_t)": (r"\tanh^2(c_t)", "tanh^2 lr(\\(c_(t)\\))"),
    "htilde_t": (r"\tilde{h}_t", "tilde(h)_(t)"),
    "h\u0303_t + cbar_t": (r"\tilde{h}_t + \bar{c}_t", "tilde(h)_(t) + macron(c)_(t)"),
    "alpha ∘ i_t": (r"\alpha \odot i_t", "alpha ⊙ i_(t)"),
    "1.5e-05": (r"1.5 \cdot 10^{-5}", "1.5 dot.op 10^(-5)"),
    "x_t^2 + y^-1 + z^{12}": (r"x_t^{2} + y^{-1} + z^{12}", "x_(t)^2 + y^(-1) + z^12"),
    "‖∂L/∂y_t‖": (r"\biggl\| \frac{\partial L}{\partial y_t} \biggr\|",
                 "lr(\\‖frac(partial L, partial y_(t))\\‖)"),
    "2 × 3": (r"2 \times 3", "2 × 3"),
    "W_hi.1": ("W_{hi.1}", 'W_("hi.1")'),
}  # fmt: skip


@pytest.mark.parametrize("text", WRITTEN)
def test_scripts(text: str) -> None:
    latex, typst = WRITTEN[text]
    assert LATEX.row(read(text)) == latex
    assert TYPST.row(read(text)) == typst


def test_squares_and_transposes_behind_an_index_are_no_part_of_it() -> None:
    for text in ("g_t²", "y_2ᵀ", "y_tᵀ"):
        piece = read(text).pieces[0]
        assert isinstance(piece, Raised)


@given(st.text(max_size=60))
def test_any_text_is_read(text: str) -> None:
    row = read(text)
    for script in (PLAIN, LATEX, TYPST):
        script.row(row)
    assert width(row) >= 0


@given(st.text(max_size=40))
def test_nothing_gets_out_of_a_string_of_typst(text: str) -> None:
    inner = quoted(text)[1:-1]
    assert not re.search(r'(?<!\\)(?:\\\\)*"', inner)
    assert not inner.endswith("\\") or inner.endswith("\\\\")


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm", "gated_antisymmetric_rnn"])
@pytest.mark.parametrize("widest", [20.0, 40.0, 60.0])
def test_lines_hold_all_and_are_no_wider_than_they_must(cell: str, widest: float) -> None:
    for text in formulas(cell):
        row = read(text)
        found = lines(row, widest)
        kept = bare("".join(PLAIN.row(line) for line in found))
        assert kept == bare(text)
        for line in found:
            signs = [p for p in line.pieces if not isinstance(p, Partial)]
            assert width(line) <= widest or len(signs) <= 4, (text, PLAIN.row(line))
    assert lines(Row(()), widest) == [Row(())]
