"""MathML: well formed whatever the text, and read back sign by sign as the text it was made of."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import rnngrad
from rnngrad.algebra.equation_tokens import GREEK
from rnngrad.algebra.writing import written_in_cell
from rnngrad.files.starters.cell import starter
from rnngrad.views.typesetting.mathml import ACCENTS, formula

CELLS = sorted(path.stem for path in (Path(rnngrad.__file__).parent / "cells").glob("*.yaml"))
WORDS_OF_GREEK = {sign: word for word, sign in GREEK.items()}
RAISED = "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ˡᵐᵀ"
UP = dict(zip("0123456789+−lm⊤", RAISED, strict=True))


def stacked(cell: str, layers: int) -> dict[str, object]:
    weights = [{"W_xh": {"init": "normal"}, "W_hh": {"init": "normal"}}] * layers
    return {
        "cell": cell,
        "sizes": {"inputs": 3, "hidden": 4, "outputs": 2},
        "weights": {"layers": weights, "W_hy": {"init": "normal"}},
        "inputs": {"random": "normal", "steps": 3},
        "targets": {"random": "normal"},
        "loss_steps": [1, 3],
        "loss_reduction": "mean",
    }


NETS = {name: yaml.safe_load(starter(name)) for name in CELLS} | {
    "stack of lstm": stacked("lstm", 3),
    "high stack of rnn": stacked("rnn", 5),
    "sheet": "sample_configs/exercise_sheet_7.yaml",
}


def read(element: ElementTree.Element) -> str:
    """The text that an element was made of, without blanks; every index in braces."""
    inside = [read(child) for child in element]
    if element.tag == "mfrac":
        return "/".join(map(bracketed, element))
    if element.tag == "msub":
        return f"{inside[0]}_{{{inside[1]}}}"
    if element.tag == "msup":
        return inside[0] + raised(inside[1])
    if element.tag == "msubsup":
        return f"{inside[0]}{raised(inside[2])}_{{{inside[1]}}}"
    if element.tag in ("munder", "munderover"):
        return f"{inside[0]}_{{{'..'.join(inside[1:])}}}"
    if element.tag == "mover":
        accent = next(word for word, sign in ACCENTS.items() if sign == inside[1])
        return f"{inside[0]}{accent}"
    if element.tag == "mtable":
        return ",".join(f"[{','.join(map(read, row))}]" for row in element)
    text = element.text or ""
    return "".join(inside) or WORDS_OF_GREEK.get(
        text, {"⋯": "..", "∑": "Σ", "\u2061": "", "′": "'"}.get(text, text)
    )


def bracketed(row: ElementTree.Element) -> str:
    """The top or bottom of a fraction: in brackets where it is no derivative and more than one."""
    text = read(row)
    return text if len(row) == 1 or text.startswith("∂") else f"({text})"


def raised(text: str) -> str:
    """A power; a layer is in brackets."""
    text = text.strip("()")
    return "".join("'" if sign == "'" else UP[sign] for sign in text)


def plain(text: str) -> str:
    """As ``read`` gives it back."""
    text = re.sub(rf"_([^\W{RAISED}]+)(\.\d+)?(?![^\W{RAISED}]|['(])", r"_{\1\2}", text)
    text = re.sub(r"\^(\d)", lambda found: UP[found[1]], text)
    return re.sub(r"\s", "", text).replace("⋯", "..")


def back(html: str) -> str:
    root = ElementTree.fromstring(f"<p>{html}</p>")
    return re.sub(r"\s", "", "".join(read(child) for child in root))


@pytest.mark.parametrize("name", NETS)
def test_every_chain_rule_is_read_back_as_it_was(name: str) -> None:
    lines = rnngrad.derive(rnngrad.load(NETS[name])).lines
    assert lines
    for line in lines:
        for text in (line.symbol, line.formula):
            assert back(formula(text)) == plain(text)


@pytest.mark.parametrize("name", CELLS)
def test_equations_have_the_names_of_their_trees_in_order(name: str) -> None:
    problem = rnngrad.load(NETS[name])
    for equation in problem.cell.equations.equations:
        text = written_in_cell(equation.right)
        assert back(formula(text)) == plain(text)


def test_a_fraction_an_index_bounds_a_matrix() -> None:
    assert formula("∂⁺h_t/∂W_hh") == (
        '<math displaystyle="true"><mfrac><mrow><msup><mo>∂</mo><mo>+</mo></msup>'
        "<msub><mi>h</mi><mrow><mi>t</mi></mrow></msub></mrow><mrow><mo>∂</mo>"
        "<msub><mi>W</mi><mrow><mi>h</mi><mi>h</mi></mrow></msub></mrow></mfrac></math>"
    )
    assert "<munderover><mo>∑</mo><mrow><mi>t</mi><mo>=</mo><mn>2</mn></mrow>" in formula(
        "Σ_{t=2..9} L_t"
    )
    assert formula("[[a, 0],\n[b, c]]").count("<mtd>") == 4
    assert formula("[a_t,\nb_t · (1 − b_t),\n0] ⊗ x_t").count("<mtr>") == 3
    assert "<mtable>" not in formula("[h_t, c_t]")


def test_lines_break_between_summands_and_nowhere_else() -> None:
    assert formula("a_t + b_t · (c_t + d_t)").count("<math") == 2
    assert formula("= −2·(t_3 − y_3)").count("<math") == 1
    assert formula("a\n+ b").count("<br/>") == 1
    assert formula("[a,\nb]").count("<br/>") == 0


def test_any_fraction_a_norm_and_a_power_are_set_as_on_paper() -> None:
    assert formula("(o_t ∘ c_t) / n") == (
        '<math displaystyle="true"><mfrac><mrow><msub><mi>o</mi><mrow><mi>t</mi></mrow></msub>'
        "<mo>∘</mo><msub><mi>c</mi><mrow><mi>t</mi></mrow></msub></mrow>"
        "<mrow><mi>n</mi></mrow></mfrac></math>"
    )
    assert "<mrow><mo>‖</mo><mfrac>" in formula("‖∂L/∂y_t‖")
    assert "</mrow><mrow><mo>−</mo><mn>1</mn></mrow></msup>" in formula("x^-1")
    assert "<mn>1.5</mn><mo>·</mo><msup><mn>10</mn>" in formula("1.5e-05")
    assert "<mi>hard_sigmoid</mi>" in formula("hard_sigmoid(x)")


def test_a_layer_is_told_from_a_square() -> None:
    assert "<mrow><mo>(</mo><mn>2</mn><mo>)</mo></mrow></msubsup>" in formula("h²_t")
    assert "</msub></mrow><mrow><mn>2</mn></mrow></msup>" in formula("h_t²")


@pytest.mark.parametrize("accented", ["htilde_t", "h\u0303_t"])
def test_accents_and_greek(accented: str) -> None:
    assert '<mover accent="true"><mi>h</mi><mo>~</mo></mover>' in formula(accented)
    assert formula("alpha") == formula("α")


def test_a_minus_before_a_factor_is_no_infix() -> None:
    assert '<mo form="prefix">−</mo>' in formula("= −2·t_3")
    assert '<math displaystyle="true"><mo form="infix">−</mo>' in formula("a_t − b_t")
    assert '<mo form="infix">+</mo>' in formula("a_t\n+ b_t")


def test_words_are_words_and_escaped() -> None:
    html = formula('0, because L_2 <script> "does" & not')
    assert "<script" not in html
    assert "<mtext>\xa0because\xa0</mtext>" in html
    assert "&lt;" in html
    assert "&amp;" in html


@given(st.text(alphabet="hW_{}()[]∂⁺/·∘ΣΠ∏=+−-.,1²ᵀ' \n^tσ<&\u0303\"", max_size=40))
def test_any_text_comes_out_as_well_formed(text: str) -> None:
    ElementTree.fromstring(f"<p>{formula(text)}</p>")
