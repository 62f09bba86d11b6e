"""Sheets to hand in: the numbers put in come to the value, whatever the net; questions give nothing
away; one derivative is written out whole."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
import yaml

import rnngrad
from rnngrad.analyses.derivation.derive import Derivation
from rnngrad.analyses.derivation.formulas import Line
from rnngrad.analyses.grading.grade import Grader
from rnngrad.cells import CELLS
from rnngrad.errors import QuantityError, UsageError
from rnngrad.files.starters.exercise import Sizes, exercise
from rnngrad.views.blocks import Formula, Formulas
from rnngrad.views.formats import to_latex, to_markdown, to_typst
from rnngrad.views.formats.to_rich import formula_lines
from rnngrad.views.homework.explain import explained, line_named
from rnngrad.views.homework.given import given
from rnngrad.views.homework.questions import questions
from rnngrad.views.homework.report import homework
from rnngrad.views.homework.sheet import Sheet
from rnngrad.views.report import Report, Screen
from rnngrad.views.typesetting.layout import (
    Call,
    Fence,
    Fraction,
    Matrix,
    Number,
    Piece,
    Raised,
    Row,
    Sign,
    Word,
)
from rnngrad.views.typesetting.writing import Plain

SIGMOID = {"σ": lambda a: 1 / (1 + np.exp(-a)), "tanh": np.tanh}


def net(cell: str = "rnn", hidden: int = 3, steps: int = 3, **others: Any) -> Derivation:
    spec = {
        "cell": cell,
        "sizes": {"inputs": 2, "hidden": hidden, "outputs": 2},
        "weights": {name: {"init": "normal"} for name in ("W_xh", "W_hh", "W_hy")},
        "h_0": 0.3,
        "inputs": {"random": "normal", "steps": steps},
        "targets": {"random": "normal"},
    }
    whole = {**spec, **others}
    if "upstream" in others:  # a head that rnngrad does not see
        whole["sizes"] = {"inputs": 2, "hidden": hidden}
        whole["weights"] = {name: {"init": "normal"} for name in ("W_xh", "W_hh")}
    given = {key: value for key, value in whole.items() if value is not None}
    return rnngrad.derive(rnngrad.load(given))


def drawn(seed: int, sizes: Sizes = Sizes(), cell: str = "rnn") -> Derivation:  # noqa: B008
    return rnngrad.derive(rnngrad.load(yaml.safe_load(exercise(seed, sizes, cell))))


class NotNumbersError(Exception):
    """A side with a name in it."""


def computed(piece: Piece) -> np.ndarray:
    """The value of numbers as they are shown, by NumPy alone: rows, columns, products as they
    stand."""
    if isinstance(piece, Number):
        return np.asarray(float(piece.text))
    if isinstance(piece, Fraction):
        return computed(piece.top) / computed(piece.bottom)
    if isinstance(piece, Matrix):
        return np.array([[float(computed(cell)) for cell in row] for row in piece.rows])
    if isinstance(piece, Fence):
        parts = split(piece.inner, ",")
        return computed(parts[0]) if len(parts) == 1 else np.array([computed(x) for x in parts])
    if isinstance(piece, Raised) and piece.power.isdigit():
        return computed(piece.base) ** int(piece.power)
    if isinstance(piece, Call) and piece.function == "diag":
        return np.diag([float(x.text) for x in piece.argument.pieces if isinstance(x, Number)])
    if not isinstance(piece, Row):
        raise NotNumbersError
    total, sign, product = np.zeros(()), 1.0, None
    by = "·"
    for one in piece.pieces:
        if isinstance(one, Sign) and one.text in "+−":
            total = total + sign * product if product is not None else total
            sign, product = (1.0 if one.text == "+" else -1.0), None
        elif isinstance(one, Sign):
            by = one.text
        else:
            product = computed(one) if product is None else _times(product, computed(one), by)
    assert product is not None
    return total + sign * product


def _times(left: np.ndarray, right: np.ndarray, by: str) -> np.ndarray:
    if by == "⊗":
        return np.multiply.outer(left.ravel(), right.ravel())
    scalar = left.size == 1 or right.size == 1
    return (
        left.ravel()[0] * right
        if scalar and left.size == 1
        else (left * right.ravel()[0] if scalar else left @ right)
    )


def numbers_of(formula: Formula) -> list[np.ndarray]:
    """The sides that are numbers, those between two equals signs too."""
    found = []
    for part in (part for side in formula.sides for part in split(side, "=")):
        with suppress(NotNumbersError):
            found.append(computed(part))
    return found


def split(row: Row, sign: str) -> list[Row]:
    """The pieces between such signs."""
    parts: list[list[Piece]] = [[]]
    for piece in row.pieces:
        if piece == Sign(sign):
            parts.append([])
        else:
            parts[-1].append(piece)
    return [Row(tuple(part)) for part in parts]


NETS = {
    "rnn, 3 units": lambda: net(),
    "one step": lambda: net(steps=1),
    "softmax": lambda: net(output_activation="softmax", loss="cross_entropy",
                           targets=[[1, 0], [0, 1], [1, 0]]),
    "a mean over outputs": lambda: net(loss="mean_squared_error"),
    "tanh outputs, a mean": lambda: net(output_activation="tanh", loss_reduction="mean"),
    "eight steps": lambda: net(hidden=2, steps=8),
    "one loss": lambda: net(loss_steps="last"),
    "upstream": lambda: net(targets=None, upstream=[[0.5, -1, 2], [1, 0, 0.25], [-2, 1, 1]]),
    "gru": lambda: net("gru"),
    "lstm of two units": lambda: net("lstm", hidden=2),
    "a small lstm": lambda: drawn(3, Sizes(3, 1, 1, 1), "lstm"),
    "a small gru": lambda: drawn(3, Sizes(3, 1, 1, 1), "gru"),
    **{f"exercise {seed}": (lambda seed=seed: drawn(seed)) for seed in range(6)},
}  # fmt: skip


@pytest.mark.cases(None)
@pytest.mark.parametrize("make", NETS.values(), ids=NETS)
@pytest.mark.parametrize("matrix", [False, True], ids=["fitting", "matrix"])
def test_the_numbers_come_to_the_value(make: Any, matrix: bool) -> None:
    """Every side of numbers, and each is the quantity itself, to the digits that are shown."""
    result = make()
    sheet, sides = Sheet(result, matrix=matrix), 0
    for line in sheet.lines:
        value = np.asarray(result.value(line))
        rows = sheet.subtask(line).rows
        steps = sheet.steps_shown() if sheet.every_step(line) else []
        for formula, right in zip(
            rows[1:] if steps else rows, [value[t - 1] for t in steps] or [value], strict=True
        ):
            for shown in numbers_of(formula):
                if not shown.any() and not right.any():
                    continue
                same = np.diag(shown) if shown.ndim == 2 and shown.size > right.size else shown
                scale = max(float(np.abs(right).max()), 1e-2)
                np.testing.assert_allclose(same.reshape(right.shape), right, atol=4e-3 * scale)
                sides += 1
    assert sides >= len(sheet.lines)


def test_a_sheet_has_three_lines_a_subtask() -> None:
    """Chain rule, numbers, value, for each of the sheet's that is not for every t."""
    sheet = Sheet(drawn(0, Sizes(3, 1, 1, 1)))
    for line in sheet.lines:
        formulas = sheet.subtask(line).rows
        if sheet.every_step(line):
            assert [len(one.sides) for one in formulas] == [1, 1, 1, 1]
        else:
            assert [len(one.sides) for one in formulas] == [3]


def text_of(report: Report) -> str:
    plain = Plain()
    lines = []
    for block in report.blocks():
        if isinstance(block, Formulas):
            lines += [block.title, *block.notes]
            for row in block.rows:
                lines.append(" = ".join(map(plain.row, (row.left, *row.sides))))
        else:
            lines += block.lines if hasattr(block, "lines") else []
    return "\n".join(lines)


@pytest.mark.parametrize("make", NETS.values(), ids=NETS)
def test_questions_hold_no_answer(make: Any) -> None:
    result = make()
    report = questions(result)
    text = text_of(report)
    for line in result.lines:
        assert f"({line.id})" in text
        assert f"{line.symbol} =" in text or f"({line.id}), the same as (a" in text
        assert "∂" not in line.formula or line.formula not in text
    problem = result.problem
    given = [*problem.weights.values(), problem.x, problem.h_0]
    given += [problem.targets] if problem.upstream and problem.targets is not None else []
    small = {f"{abs(v):.4g}" for array in given for v in array.ravel()}
    for name in ("dL_dW_hh", "dL_dW_xh", "dL_dy", "dL_dh"):
        for value in np.ravel(result[name]) if name in result else ():
            shown = f"{abs(value):.4g}"
            assert len(shown) < 5 or shown in small or shown not in text


SMALL = {
    ("rnn", 1): {"a6": "a3"},
    ("rnn", 2): {"a6": "a5"},
    ("rnn", 3): {},
    ("gru", 1): {"a6": "a3"},
    ("lstm", 1): {"a6": "a3"},
    ("lstm", 2): {"a6": "a5", "c6": "c5"},
}
"""Which subtask asks for what an earlier one does, by cell and T."""


@pytest.mark.cases(None)
@pytest.mark.parametrize(("cell", "steps"), SMALL)
def test_all_agree_on_what_is_asked_of_few_steps(cell: str, steps: int) -> None:
    """derive, sheet, questions, explanation, grade: the same subtasks, and the same twins."""
    result = drawn(3, Sizes(steps, 1, 2, 1), cell)
    asked, twins = [line.id for line in result.lines], SMALL[cell, steps]
    assert "a6" in asked
    assert [line.id for line in Sheet(result).lines] == asked
    assert [row[0] for row in questions(result).rows()] == asked
    if cell == "rnn":
        assert [*Grader(result.problem).tasks] == asked
    text, remarks = text_of(questions(result)), "\n".join(result.remarks)
    for line in result.lines:
        twin = twins.get(line.id)
        said = f"the same as ({twin}) because T = {steps}"
        for shown in (text, text_of(explained(result, line.id)), Sheet(result).heading(line)):
            assert (f"({line.id}), {said}" in shown) == (twin is not None)
        assert (f"{line.id} asks for the same as {twin}," in remarks) == (twin is not None)
        if twin is not None:
            other = next(one for one in result.lines if one.id == twin)
            np.testing.assert_array_equal(result.value(line), result.value(other))


def test_one_answer_counts_for_both_of_two_that_ask_the_same() -> None:
    for steps, first in ((1, "a3"), (2, "a5")):
        problem = drawn(3, Sizes(steps, 1, 1, 1)).problem
        answer = next(line for line in rnngrad.derive(problem).lines if line.id == "a6").formula
        for name in (first, "a6"):
            points = {one.id: one.points for one in Grader(problem).grade({name: answer})}
            assert {n for n, p in points.items() if p} == {first, "a6"}, points
        hints = {one.id: one.hint for one in Grader(problem).grade({first: f"-({answer})"})}
        assert hints["a6"] == f"as {first}: {hints[first]}" != f"as {first}: "


def test_the_numbers_of_equations_are_the_sheets_alone() -> None:
    """Neither the table, nor JSON, nor LaTeX of another net has them."""
    sheet = net(hidden=1, sizes={"inputs": 1, "hidden": 1, "outputs": 1}, h_0=0)
    assert [line.equations for line in sheet.lines[:2]] == ["7–9", "10–12"]
    assert "equations 7–9" in text_of(questions(sheet))
    assert "(7–9)" in sheet.as_text()
    others = (drawn(0, Sizes(3, 1, 1, 1)), net(), net(steps=4), net("gru"))
    for result in others:
        assert not any(line.equations for line in result.lines)
        for text in (result.as_text(), result.as_html(), result.as_latex()):
            assert not re.search(r"\(\d+–\d+\)|equations \d|its equations", text)
        assert not re.search(r"\(\d\d\D", "".join(result.remarks))


FORMATS = {"latex": (to_latex, "unicode"), "typst": (to_typst, "unicode"),
           "markdown": (to_markdown, "unicode"), "dollars": (to_markdown, "dollars")}  # fmt: skip


@pytest.mark.parametrize("form", FORMATS)
def test_sheets_and_questions_begin_alike_and_say_what_is_held_fixed(form: str) -> None:
    """The net, what is given, the notation: one block for both, in every format."""
    render, math = FORMATS[form]
    for result in (drawn(0, Sizes(3, 1, 1, 1)), net(), drawn(3, Sizes(3, 2, 2, 1), "lstm")):
        usual = Report(list, dict, (), lambda: iter(()))
        answers = homework(result, usual, notation=None, explain=None, blank=False)
        asked = homework(result, usual, notation=None, explain=None, blank=True)
        texts = ["".join(render.render(one, Screen(math=math))) for one in (answers, asked)]
        begins = [re.split(r"\(a1\)|Write each", text)[0].rpartition("\n\n")[0] for text in texts]
        assert begins[0] == begins[1]
        assert "Given" in begins[1]
        assert "is the immediate partial: " in begins[1]
        assert ("independent variables" in begins[1]) == ("c" in result.problem.cell.parts)
        if form == "typst":  # names in sentences are formulas, or Unicode
            assert "{t−1}" not in texts[0] + texts[1]


def test_where_rows_of_gates_are_is_said() -> None:
    text = text_of(questions(drawn(3, Sizes(3, 1, 1, 1), "gru")))
    assert "The rows of W_xh, W_hh, b_xh, b_hh are those of r, z, n, in this order." in text


def test_the_sum_of_binary_cross_entropy_has_brackets() -> None:
    entropy = {"output_activation": "sigmoid", "loss": "binary_cross_entropy",
               "targets": [[1, 0], [0, 1], [1, 1]]}  # fmt: skip
    result = net(**entropy)
    written = "L_t = Σ_o (−t_t·ln y_t − (1 − t_t)·ln(1 − y_t))"
    assert written in " ".join(result.as_text().split())
    last = Sheet(result).net().rows[-1].sides[0]
    assert isinstance(last.pieces[1], Fence)  # read back: one bracket behind the sum
    assert len(last.pieces) == 2
    assert "Σ_o (t_t − y_t)²" in " ".join(net().as_text().split())


def test_a_quotient_of_vectors_is_a_row_of_quotients() -> None:
    """−t_3/y_3 = −(0/0.2, 1/0.8): never a fraction of rows."""
    entropy = {"output_activation": "softmax", "loss": "cross_entropy",
               "targets": [[1, 0], [0, 1], [1, 0]]}  # fmt: skip
    result = net(**entropy)
    numbers = Sheet(result).subtask(result.lines[0]).rows[0].sides[1]
    assert isinstance(numbers.pieces[-1], Matrix)
    entries = [cell.pieces[0] for cell in numbers.pieces[-1].rows[0]]
    assert [type(entry) for entry in entries] == [Fraction, Fraction]
    assert r"\frac{\begin" not in result.as_latex()
    np.testing.assert_allclose(computed(numbers), result["dL_dy"][-1:], rtol=1e-3)
    assert "entry by entry" in text_of(questions(result))
    mean = net(loss="mean_squared_error")
    row = Sheet(mean).subtask(mean.lines[0]).rows[0]
    assert len(row.sides) == 3  # O has its number
    np.testing.assert_allclose(computed(row.sides[1]), mean["dL_dy"][-1:], rtol=1e-3)
    assert "entry by entry" not in text_of(questions(net()))


def test_a_sequence_is_broken_behind_a_comma() -> None:
    lines = [*formula_lines(given(drawn(4).problem).rows, 80)]
    assert not any(line.lstrip().startswith(",") for line in lines)
    assert any(line.endswith(",") for line in lines)
    lstm = net("lstm")
    b1 = next(line for line in lstm.lines if line.id == "b1")
    gates = [*formula_lines(Sheet(lstm).subtask(b1).rows[:1], 80)]
    assert [line.rstrip()[-1] for line in gates] == [",", ",", ",", "t"]  # a gate a line


def test_the_questions_give_every_number_of_a_small_net() -> None:
    result = drawn(0, Sizes(3, 1, 1, 1))
    text = text_of(questions(result))
    problem = result.problem
    for array in (*problem.weights.values(), problem.x, problem.h_0, problem.targets):
        for value in array.ravel():
            assert f"{value:g}".replace("-", "−") in text
    assert "rounded" not in text


@pytest.mark.parametrize("make", NETS.values(), ids=NETS)
def test_every_derivative_can_be_explained(make: Any) -> None:
    result = make()
    for line in result.lines:
        steps = list(explained(result, line.id).rows())
        assert steps
        document = explained(result, line.id).document()
        assert document["explain"]["id"] == line.id  # type: ignore[index]
        assert len(document["steps"]) == len(steps)  # type: ignore[arg-type]


def test_an_explanation_has_forward_factors_summands_and_sum() -> None:
    result = drawn(0, Sizes(3, 1, 1, 1))
    steps = list(explained(result, "b4").rows())
    assert list(dict.fromkeys(step[0] for step in steps)) == [
        "Forward", "The chain rule", "Its factors", "Its summands, one a path", "The sum",
    ]  # fmt: skip
    summands = [float(str(s[4]).replace("−", "-")) for s in steps if "summands" in str(s[0])]
    assert len(summands) == 6
    np.testing.assert_allclose(sum(summands), result["dL_dW_hh"][0, 0], rtol=1e-4)
    factors = {
        str(s[1]): float(str(s[4]).replace("−", "-")) for s in steps if s[0] == "Its factors"
    }
    np.testing.assert_allclose(factors["∂h_3/∂h_2"], result["dht_dhprev"][2, 0, 0], rtol=1e-5)
    np.testing.assert_allclose(factors["∂L_2/∂y_2"], result["dL_dy"][1, 0], rtol=1e-5)
    forward = {str(s[1]): float(str(s[4]).replace("−", "-")) for s in steps if s[0] == "Forward"}
    np.testing.assert_allclose(forward["h_2"], result["h"][2, 0], rtol=1e-5)


@pytest.mark.parametrize(
    ("cell", "weight"),
    [("rnn", "W_hh"), ("gru", "W_hh"), ("lstm", "W_hh"), ("gru_reset_before", "W_xr")],
)
def test_summands_of_a_vector_net_add_up(cell: str, weight: str) -> None:
    result = any_net(cell, hidden=2)
    steps = explained(result, line_of(result, f"∂L/∂{weight}").id).rows()
    texts = [str(s[4]) for s in steps if "summands" in str(s[0])]
    assert len(texts) == 6
    arrays = [np.array([float(one) for one in re.findall(r"[-\d.e]+", text.replace("−", "-"))])
              for text in texts]  # fmt: skip
    whole = result[f"dL_d{weight}"]
    np.testing.assert_allclose(sum(arrays), whole.ravel(), atol=2e-3 * np.abs(whole).max())


def any_net(cell: str, hidden: int = 3) -> Derivation:
    weights = {name: {"init": "normal"} for name in (*CELLS[cell].weights, "W_hy")}
    return net(cell, hidden, weights=weights)


def line_of(result: Derivation, symbol: str) -> Line:
    return next(line for line in result.lines if line.symbol == symbol)


def test_a_step_of_a_gru_is_written_out() -> None:
    result = drawn(7, Sizes(2, 1, 1, 1), "gru")
    (formula,) = (str(s[2]) for s in explained(result, "a5").rows() if s[1] == "∂h_2/∂h_1")
    assert formula.startswith("z_2 + ∂h_2/∂z_2 · ∂z_2/∂h_1 + ")
    assert formula.endswith("(1 − z_2)·(1 − n_2²)·r_2·W_hn")


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_an_explanation_fits_80_columns_and_has_one_minus(cell: str) -> None:
    result = net(cell, hidden=2)
    for line in result.lines:
        text = result.explain(line.id).as_text(80)
        assert max(map(len, text.splitlines())) <= 80
        assert "-" not in text.partition("step by step")[2]


def test_a_value_is_not_said_twice_and_one_sign_multiplies_in_a_scalar_net() -> None:
    result = drawn(7, Sizes(3, 1, 1, 1), "lstm")
    for line in result.lines:
        for row in Sheet(result).subtask(line).rows:
            sides = Plain().row(row.sides[-1]).replace("−", "-").split(" = ")
            numbers = [side for side in sides if re.fullmatch("[-.\\d]+", side)]
            assert len(numbers) == len(set(map(float, numbers)))
    assert "odot" not in result.as_latex()
    assert "∘" not in result.explain("a4").as_text()


def test_what_stands_before_the_outer_product_is_said_as_it_is() -> None:
    """∂⁺h_t/∂W_xr of a reset gate before the product is of every unit, that of W_xn is not."""
    of_units = "is the derivative of the unit of row i by W[i, k]; all else is 0."
    of_all = "its entry [i, j] times entry k behind ⊗ is the derivative of unit i by W[j, k]."
    for cell, said in (("lstm", [of_units]), ("gru_reset_before", [of_units, of_all])):
        notes = [note for block in Sheet(any_net(cell)).opening()
                 if isinstance(block, Formulas) and block.title == "Notation"
                 for note in block.notes if "⊗" in note or "∂W" in note]  # fmt: skip
        assert len(notes) == len(said)
        assert all(note.endswith(words) for note, words in zip(notes, said, strict=True))
    result = any_net("gru_reset_before")
    line = line_of(result, "∂⁺h_t/∂W_xr")
    h, z, n, r = (result["h"], *(Sheet(result).numbers._gates[name] for name in "znr"))
    w = result.problem.weights["W_hn"]
    for t in range(1, 4):
        left = ((1 - z) * (1 - n**2))[t - 1][:, np.newaxis] * w * (h[t - 1] * (r * (1 - r))[t - 1])
        expected = np.einsum("ij,k->ijk", left, result.problem.x[t - 1])
        np.testing.assert_allclose(result.value_at(line, t), expected, rtol=1e-9, atol=1e-12)


def test_an_unknown_subtask_has_a_hint() -> None:
    with pytest.raises(UsageError, match=r"W_hn is rows of W_hh; dL_dW_hh is b4$"):
        line_named(net("gru"), "dL_dW_hn")
    with pytest.raises(UsageError, match=r"dL_dh is a5 and a6$"):
        line_named(net(), "dL_dh")
    with pytest.raises(UsageError, match="did you mean 'a6'"):
        line_named(net(), "A6")
    with pytest.raises(QuantityError, match=r"W_hn is rows of W_hh: 'dL_dW_hh'$"):
        net("gru")["dL_dW_hn"]
    with pytest.raises(UsageError, match=r"--explain a66: .* did you mean 'a6'"):
        line_named(net(), "a66")
    with pytest.raises(UsageError, match="b3"):
        line_named(net(), "W_hh")


def test_the_scalar_form_of_a_vector_net_is_refused() -> None:
    usual = Report(list, dict, (), lambda: iter(()))
    with pytest.raises(UsageError, match="I = 2, H = 3, O = 2; --notation matrix fits"):
        homework(net(), usual, notation="scalar", explain=None, blank=False)


def test_what_does_not_count_is_said_below() -> None:
    sheet = Sheet(net(loss_steps=[1, 3]))
    line = next(line for line in sheet.lines if line.id == "a2")
    block = sheet.subtask(line)
    assert Plain().row(block.rows[0].sides[0]) == "0"
    assert block.notes == ("Because L_2 does not count.",)


def test_nothing_large_is_computed_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rnngrad.views.homework.sheet.HUGE", 20)
    monkeypatch.setattr("rnngrad.analyses.derivation.worked.LARGEST", 20)
    sheet = Sheet(net(hidden=3))
    line = next(line for line in sheet.lines if line.id == "a4")
    assert len(sheet.subtask(line).rows) == 1


def test_words_are_no_names() -> None:
    assert isinstance(Sheet(net("lstm")).net().rows[0].left, Row)
    notes = [piece for row in Sheet(net("lstm")).net().rows for side in row.sides
             for piece in side.pieces if isinstance(piece, Word)]  # fmt: skip
    assert Word("gate by gate") in notes
