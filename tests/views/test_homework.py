"""Sheets to hand in: the numbers put in come to the value, whatever the net; questions give nothing
away; one derivative is written out whole."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
import pytest
import yaml

import rnngrad
from rnngrad.analyses.derivation.derive import Derivation
from rnngrad.errors import UsageError
from rnngrad.files.starters.exercise import Sizes, exercise
from rnngrad.views.blocks import Formula, Formulas
from rnngrad.views.homework.explain import explained, line_named
from rnngrad.views.homework.questions import questions
from rnngrad.views.homework.report import homework
from rnngrad.views.homework.sheet import Sheet
from rnngrad.views.report import Report
from rnngrad.views.typesetting.layout import (
    Call,
    Fence,
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
        assert f"{line.symbol} =" in text
        assert "∂" not in line.formula or line.formula not in text
    problem = result.problem
    given = [*problem.weights.values(), problem.x, problem.h_0]
    given += [problem.targets] if problem.upstream and problem.targets is not None else []
    small = {f"{abs(v):.4g}" for array in given for v in array.ravel()}
    for name in ("dL_dW_hh", "dL_dW_xh", "dL_dy", "dL_dh"):
        for value in np.ravel(result[name]) if name in result else ():
            shown = f"{abs(value):.4g}"
            assert len(shown) < 5 or shown in small or shown not in text


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


def test_summands_of_a_vector_net_add_up() -> None:
    result = net(hidden=2)
    steps = explained(result, "b4").rows()
    texts = [str(s[4]) for s in steps if "summands" in str(s[0])]
    arrays = [np.array(yaml.safe_load(text.replace("−", "-"))) for text in texts]
    np.testing.assert_allclose(sum(arrays), result["dL_dW_hh"], atol=2e-3)


def test_an_unknown_subtask_has_a_hint() -> None:
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
