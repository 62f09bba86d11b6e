"""What derive writes is read back with full points: every formula of a sheet, in every format, and
of a scalar net with the numbers that are put in, and the value."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
import yaml

import rnngrad
from rnngrad.algebra.typst import as_latex
from rnngrad.analyses.derivation.derive import Derivation
from rnngrad.analyses.grading.grade import Grader
from rnngrad.files.starters.exercise import Sizes, exercise
from rnngrad.net.problem import Problem
from rnngrad.views.ascii import to_ascii
from rnngrad.views.blocks import Formulas
from rnngrad.views.formats import to_latex, to_markdown, to_rich, to_typst
from rnngrad.views.homework.sheet import Sheet
from rnngrad.views.report import Report, Screen

FEW = (0, 1, 2, 3, 4, 7, 11)
MANY = range(100)
FORMATS = ("table", "ascii", "markdown", "dollars", "fence", "latex", "typst")


def rendered(block: Formulas, form: str) -> str:
    """One subtask as its format writes it, without the title."""
    report = Report(lambda: [block._replace(title="")], dict, (), lambda: iter(()))
    if form in ("table", "ascii"):
        return "".join(to_rich.render(report, Screen(unicode=form == "table")))
    if form == "latex":
        return "".join(to_latex.render(report, Screen()))
    if form == "typst":
        return "".join(to_typst.render(report, Screen())).removeprefix(to_typst.PREAMBLE)
    math = "unicode" if form == "markdown" else form
    text = "".join(to_markdown.render(report, Screen(math=math)))
    return re.sub(r"^```\w*$", "", text, flags=re.M)


def answers(result: Derivation, form: str, *, matrix: bool = False) -> Iterator[tuple[str, str]]:
    """Each subtask as it is written: all of it in a scalar net, else its formulas."""
    sheet = Sheet(result, matrix=matrix)
    for line in sheet.lines:
        block = sheet.subtask(line)
        if sheet.every_step(line) or not sheet.notation.all_one:
            first = block.rows[0]
            formulas = tuple(x for x in first.sides if "Partial" in str(x) or x == first.sides[0])
            block = block._replace(rows=(first._replace(sides=formulas),))
        yield line.id, rendered(block, form)
        if form in ("table", "ascii"):
            text = f"{line.symbol} = {line.formula}"
            yield line.id, text if form == "table" else to_ascii(text)


def wrong(spec: str, *, matrix: bool = False) -> list[tuple[str, str, str]]:
    """The formulas of a spec that do not get full points: format, text, hint."""
    problem = rnngrad.load(yaml.safe_load(spec))
    grader, result = Grader(problem), rnngrad.derive(problem)
    found = []
    for form in FORMATS:
        for name, text in answers(result, form, matrix=matrix):
            grade = grader.one(name, text)
            if grade.points != grade.of:
                found.append((form, text, grade.hint))
    return found


@pytest.mark.parametrize("seed", FEW)
def test_every_formula_of_an_exercise_is_read_back(seed: int) -> None:
    assert wrong(exercise(seed)) == []


@pytest.mark.slow
@pytest.mark.cases(None)
@pytest.mark.parametrize("seed", MANY)
def test_every_formula_of_a_hundred_exercises_is_read_back(seed: int) -> None:
    assert wrong(exercise(seed)) == []
    assert wrong(exercise(seed), matrix=True) == []


@pytest.mark.parametrize("sizes", [
    Sizes(8, 1, 1, 1), Sizes(8, 2, 3, 2), Sizes(1, 1, 1, 1), Sizes(2, 1, 2, 1), Sizes(20, 1, 1, 1),
])  # fmt: skip
def test_other_sizes_are_read_back(sizes: Sizes) -> None:
    assert wrong(exercise(5, sizes)) == []


def test_the_matrix_form_of_a_scalar_net_is_read_back() -> None:
    assert wrong(exercise(0, Sizes(3, 1, 1, 1)), matrix=True) == []


@pytest.mark.parametrize(
    ("typst", "latex"),
    [
        (
            r"frac(partial^+ h_(t - 1), partial W_(\"xh\"))",
            r"\frac{\partial^+h_{t-1}}{\partialW_{xh}}",
        ),
        (r"lr(\(op(\"diag\") lr(\(y_(2)\)) - y_(2)^top\))", "(diag(y_{2})-y_{2}^T)"),
        (
            "sum_(t = 1)^(4) product_(s = 2)^(t) dot.op x_(s)",
            r"\sum_{t=1}^{4}\prod_{s=2}^{t}\cdotx_{s}",
        ),
        ("-2*(t_3 - y_3)", "-2*(t_3-y_3)"),
        (r"\frac{\partial L}{\partial y_3}", r"\frac{\partialL}{\partialy_3}"),
    ],
)
def test_typst_is_read_as_latex_and_nothing_else_is_changed(typst: str, latex: str) -> None:
    assert re.sub(r"\s", "", as_latex(typst.replace('\\"', '"'))) == latex


def test_what_is_not_right_is_not_read_as_right() -> None:
    """The same texts with one change: a proof that the test above can fail."""
    problem = rnngrad.load(yaml.safe_load(exercise(0, Sizes(3, 1, 1, 1))))
    grader, result = Grader(problem), rnngrad.derive(problem)
    for form in FORMATS:
        for name, text in answers(result, form):
            for old, new in (
                (r"W_{hh}", r"W_{xh}"),
                ("W_hh", "W_xh"),
                ('W_("hh")', 'W_("xh")'),
                ("-2", "2"),
                ("−2", "2"),
            ):
                if name in ("a1", "a4") and old in text:
                    assert grader.one(name, text.replace(old, new)).points < 5, (form, text)


NUMBERS = {
    "the value alone": ("a1", "dL/dy_3 = {value}", 5),
    "formula and value": ("a1", "-2(t_3 - y_3) = {value}", 5),
    "numbers put in": ("a1", "-2(t_3 - y_3) = -2(0.6 - 0.622732) = {value}", 5),
    "another number put in": ("a1", "-2(t_3 - y_3) = -2(0.6 - 0.622) = {value}", 2.5),
    "another value": ("a1", "-2(t_3 - y_3) = 0.0454", 2.5),
    "two digits": ("a1", "-2(t_3 - y_3) = 0.05", 2.5),
    "another value alone": ("a1", "dL/dy_3 = 0.0454", 0),
    "sign": ("a1", "2(t_3 - y_3) = {value}", 2.5),
    "not what is asked": ("a1", "dL/dy_2 = {value}", 2.5),
    "a function of numbers": (
        "a3", "dL_3/dy_3 dy_3/dh_3 = 0.0454632*sigma'(1.2*0.667632 - 0.3)*1.2 = 0.0128172", 5,
    ),
    "powers of ten": ("a1", r"-2(t_3 - y_3) = 4.54632 \cdot 10^{{-2}}", 5),
    "wrong powers of ten": ("a1", r"-2(t_3 - y_3) = 4.54632 \cdot 10^{{-12}}", 2.5),
    "a division": ("a1", "-2(t_3 - y_3) = 0.0909263/2", 5),
    "a division by nothing": ("a1", "-2(t_3 - y_3) = 0.0909263/0", 0),
    "for every t numbers are none": ("a4", "sigma'(a_t) W_hh = 0.17752", 0),
}  # fmt: skip


@pytest.mark.parametrize(("name", "text", "points"), NUMBERS.values(), ids=NUMBERS)
def test_numbers_at_the_end_of_a_chain(sheet: Grader, name: str, text: str, points: float) -> None:
    assert sheet.one(name, text.format(value="0.0454632")).points == points


def test_hidden_numbers_are_not_given_away(sheet: Grader) -> None:
    hint = Grader(sheet.problem, hide=True).one("a1", "-2(t_3 - y_3) = 0.0454").hint
    assert hint
    assert "0.0454632" not in hint


HINTS = {
    "another function's derivative": ("a4", "(1 - h_t^2) W_hh", "1 − h_t² is the derivative of"),
    "the state for the weight": ("a4", "sigma'(a_t) h_{t-1}", "h_{t−1} stands where W_hh belongs"),
    "a weight's gradient besides": ("a4", "sigma'(a_t) W_hh + W_xh", "there is a summand too many"),
    "no slope": ("a4", "W_hh", "σ' is missing in ∂h_t/∂h_{t−1}"),
    "the slope a step late": ("a4", "sigma'(a_{t-1}) W_hh", "σ' is taken at another step"),
    "a sign": ("a4", "-sigma'(a_t) W_hh", "the sign is wrong"),
    "a factor 2": ("b1", "2 sigma'(a_t) x_t", "too large by the factor 2"),
    "x a step late": ("b1", "sigma'(a_t) x_{t-1}", "x_{t−1} stands where x_t belongs"),
    "h for x": ("b1", "sigma'(a_t) h_t", "h_t stands where x_t belongs"),
    "the whole derivative, not the immediate": (
        "b1", "sigma'(a_t) (x_t + W_hh dh_{t-1}/dW_xh)",
        "the path through h_{t−1} does not belong here",
    ),
    "another factor besides": ("b1", "sigma'(a_t)(x_t + h_{t-1})", "there is a summand too many"),
    "h a step late": ("b2", "sigma'(a_t) h_{t-2}", "h_{t−2} stands where h_{t−1} belongs"),
    "the path through h": (
        "b2", "sigma'(a_t) h_{t-1} + dh_t/dh_{t-1} dh_{t-1}/dW_hh",
        "the path through h_{t−1} does not belong here",
    ),
    "what nothing is known of": ("b2", "sigma'(a_{t-1}) h_{t-2}", "not equal to the derivative"),
    "a sum of which nothing is right": ("a4", "W_hh - h_t x_t", "not equal to the derivative"),
    "a formula, and numbers of each step": (
        "a4", "dh_t/dh_{t-1} = sigma'(a_t) W_hh dh_1/dh_0 = sigma'(0.6)*0.8 = 0.183",
        "give the formula alone, no numbers of one step",
    ),
    "a list in quotes": ("a4", "[0.1, 0.2, 0.3]", "a list has no quotes"),
    "a matrix": ("a5", r"\begin{pmatrix} 1 & 2 \end{pmatrix}", "rows of numbers are not read"),
}  # fmt: skip


@pytest.mark.cases(None)
@pytest.mark.parametrize(("name", "text", "said"), HINTS.values(), ids=HINTS)
def test_hints_of_what_holds_for_every_t(sheet: Grader, name: str, text: str, said: str) -> None:
    grade = sheet.one(name, text)
    assert said in grade.hint
    assert grade.points < grade.of
    hidden = Grader(sheet.problem, hide=True).one(name, text).hint
    assert hidden
    assert not re.search(r"[hx]_(t|\{t−1\}) belongs|h_\{t−1\} fixed", hidden)


@pytest.mark.parametrize("form", FORMATS)
def test_a_whole_block_is_told_to_leave_its_numbers_out(sheet: Grader, form: str) -> None:
    """a4 as its sheet has it, with the lines of single steps below: no word of a wrong formula."""
    own = Sheet(rnngrad.derive(sheet.problem))
    for line in own.lines:
        if own.every_step(line):
            hint = sheet.one(line.id, rendered(own.subtask(line), form)).hint
            assert hint.startswith("asked is every t: give the formula alone")


@pytest.mark.cases(None)
@pytest.mark.parametrize(
    ("steps", "name", "text", "points", "said"),
    [
        (1, "b3", "dL_1/dh_1 x_1", 0, "σ' is missing in ∂⁺h_1/∂W_xh"),
        (2, "b3", "sum_{k=1..2} dL/dh_k x_k", 0,
         "σ' is missing in ∂⁺h_2/∂W_xh (path L_2 → h_2 → W_xh); "
         "σ' is missing in ∂⁺h_1/∂W_xh (2 paths)"),
        (3, "b3", "dL/dh_1 sigma'(a_1) + dL/dh_2 dh_2/dW_xh + dL/dh_3 dh_3/dW_xh", 2.5,
         "the factor x_1 is missing (3 paths)"),
        (3, "b3", "x_2^3 + dL/dh_1 sigma'(a_1) + dL/dh_2 dh_2/dW_xh + dL/dh_3 dh_3/dW_xh", 2.5,
         "the factor x_1 is missing (3 paths); 1 summand is no path"),
        (3, "a4", "tanh'(a_t) W_hh", 0, "tanh' is the derivative of tanh; σ is sigmoid here"),
        (5, "a2", "-2(t-y)", 0, "t alone is an index; the target of step 4 is t_4"),
        (5, "a1", "-2(t_5-y)", 0, "y needs its step below it: y_5"),
        (5, "b1", "sigma'(a) x_t", 0, "a needs its step below it: a_t"),
        (3, "a2", r"-2(t_2 - \hat{y}_2)", 0,
         r"\hat is not known: names are written without, y_2, \tilde{h}_2"),
    ],
)  # fmt: skip
def test_hints_name_what_is_there(
    net: Callable[..., Problem], steps: int, name: str, text: str, points: float, said: str
) -> None:
    grade = Grader(net(steps)).one(name, text)
    assert (grade.points, grade.hint) == (points, said)
