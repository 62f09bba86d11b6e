"""Answers -> grades: the one entry of this room."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from rnngrad.algebra.equation_numbers import without_number
from rnngrad.algebra.expressions import (
    Derivative,
    Div,
    FormulaError,
    Name,
    Node,
    free_variables,
    nodes,
)
from rnngrad.algebra.grammar import parse
from rnngrad.algebra.typst import as_latex
from rnngrad.algebra.writing import written
from rnngrad.analyses.checking.comparing.tolerance import RTOL
from rnngrad.analyses.checking.comparing.verdicts import Verdict
from rnngrad.analyses.derivation.chain_rules import asked_before, derivation, of_the_sheet
from rnngrad.analyses.grading import numbers
from rnngrad.analyses.grading.evaluation import MOST_WORK, OrderError, UnreadError, Work
from rnngrad.analyses.grading.explaining import Explainer
from rnngrad.analyses.grading.points import HALF, OF, Answer, for_paths
from rnngrad.analyses.grading.reference import Task, tasks
from rnngrad.analyses.grading.sampling import (
    OF_SUMS,
    Sample,
    bindings,
    same_with_vectors,
    scalar_sample,
    vector_sample,
)
from rnngrad.analyses.grading.wording import hint
from rnngrad.analyses.grading.worked import agrees, is_worked, judged
from rnngrad.arithmetic.arrays import Array
from rnngrad.errors import escaped
from rnngrad.net.problem import Problem

_ROWS = re.compile(r"\\begin\{[pb]matrix|\bmat\(|\[[-−\d. \[]+[,\]]|\bdiag\([-−\d. ]+,")
_NO_ROWS = "rows of numbers are not read in a formula: give the formula alone; a list has no quotes"


class Grade(NamedTuple):
    """The grade of one subtask; ``at`` is the character of the formula that cannot be read."""

    id: str
    points: float
    of: float
    verdict: Verdict
    hint: str = ""
    at: int | None = None
    unread: bool = False


class Grader:
    """Grades answers on one problem; what is computed for a subtask is kept for the next file."""

    def __init__(self, problem: Problem, *, hide: bool = False, rtol: float = RTOL) -> None:
        self.problem, self.hide = problem, hide
        self.tasks = tasks(problem)
        self.numbers = numbers.References(problem, rtol)
        self.work = Work()
        self._subtasks: dict[str, _Subtask] = {}

    def grade(self, answers: Mapping[str, Answer]) -> tuple[Grade, ...]:
        """A grade for every subtask of the net, 0 for those without an answer; where two ask for
        the same, one answer is that of both."""
        twin = asked_before(self.problem, derivation(self.problem))
        twin |= {earlier: later for later, earlier in twin.items()}
        return tuple(self._of_either(name, twin.get(name, name), answers) for name in self.tasks)

    def _of_either(self, name: str, twin: str, answers: Mapping[str, Answer]) -> Grade:
        """The grade of its own answer, or of its twin's."""
        if answers.get(name) or not answers.get(twin):
            return self.one(name, answers.get(name))
        found = self.one(name, answers[twin])._replace(at=None, unread=False)  # said of the twin
        return found._replace(hint=f"as {twin}: {found.hint}") if found.hint else found

    def one(self, name: str, answer: Answer | None) -> Grade:
        """The grade of one subtask; a formula that cannot be read is a grade too."""
        if answer is None or answer == "":
            return Grade(name, 0.0, OF, Verdict.FAIL, "not answered")
        number = numbers.number_in(answer)
        if number is not None:
            points, verdict, said = self.numbers.judge(name, number, hide=self.hide)
            return Grade(name, points, OF, verdict, _noted(answer, points, said))
        try:
            text = as_latex(str(answer))
            sides, subtask = parse(text, _example(self.tasks[name])), self._subtask(name)
            self.work.left = MOST_WORK
            grade = self._all_numbers(name, sides)
            if grade is not None:
                return grade._replace(hint=_noted(answer, grade.points, grade.hint))
            points, said = self._judge(name, sides, subtask)
        except FormulaError as error:
            at = error.at if text == str(answer) else None
            rows = _ROWS.search(text)
            return Grade(name, 0.0, OF, Verdict.FAIL, _NO_ROWS if rows else error.message,
                         rows.start() if rows and at is not None else at, unread=True)  # fmt: skip
        verdict = Verdict.PASS if points == OF else Verdict.FAIL
        return Grade(name, points, OF, verdict, _noted(answer, points, said))

    def _all_numbers(self, name: str, sides: tuple[Node, ...]) -> Grade | None:
        """The grade of numbers without any name: 8.02·10⁻¹, or −2·(0.2 − 0.600786); else None."""
        if not all(map(is_worked, sides)):
            return None
        value, grades = self.numbers.one(name), list[Grade]()
        for side in sides:
            text = numbers.typed_number(side)
            if text is not None:
                points, verdict, said = self.numbers.judge(name, text, hide=self.hide)
            elif value is None:
                return None
            else:
                verdict = judged(side, value, self.problem, float(self.numbers.rtol))
                points, _, said = numbers.together([verdict], np.array([value]), hide=self.hide)
            grades.append(Grade(name, points, OF, verdict, said))
        return min(grades, key=lambda grade: grade.points)

    def _judge(self, name: str, sides: tuple[Node, ...], subtask: _Subtask) -> Judged:
        """The worst of the formulas and of the sides that are numbers, which the net's own value
        is held against: −2·(t_3 − y_3) = −2·(0.6 − 0.577) = −0.0455."""
        every = self.tasks[name].every_step
        if every and len(sides) > 1 and is_worked(sides[-1]):
            return Judged(0.0, "asked is every t: give the formula alone, no numbers of one step")
        value = None if every else self.numbers.one(name)
        formulas = len(sides)
        while value is not None and formulas > 1 and is_worked(sides[formulas - 1]):
            formulas -= 1
        if value is None or formulas == len(sides):
            return subtask.judge(sides)
        judged = [subtask.judge(sides[:formulas], worked_out=True)]
        alone = formulas == 1 and isinstance(sides[0], Derivative)
        for index, side in enumerate(sides[formulas:], start=formulas):
            said = self._number_said(name, side, value, last=index == len(sides) - 1)
            if said.points < OF:
                points = min(said.points, HALF) if alone else HALF
                said = Judged(points, f"{_which(index)}: {said.hint}")
            judged.append(said)
        return min(judged, key=lambda one: one.points)

    def _number_said(self, name: str, side: Node, value: float, *, last: bool) -> Judged:
        text = written(side)
        if last and numbers.is_number(text):
            points, _, said = self.numbers.judge(name, text, hide=self.hide)
            return Judged(points, said)
        if agrees(side, value, self.problem, float(self.numbers.rtol)):
            return Judged(OF)
        return Judged(0.0, "these numbers are wrong" if last else "the numbers put in are wrong")

    def _subtask(self, name: str) -> _Subtask:
        if name not in self._subtasks:
            self.work.left = sys.maxsize
            task = self.tasks[name]
            self._subtasks[name] = _Subtask(self.problem, task, self.hide, self.work)
        return self._subtasks[name]


MOST_WITH_VECTORS = 3 * MOST_WORK
"""Nodes that may be visited where an answer that is right for scalars is looked at with vectors."""


class Judged(NamedTuple):
    """Points, and what is to be said."""

    points: float
    hint: str = ""


class _Subtask:
    """One subtask, with the nets on which its answers are compared."""

    def __init__(self, problem: Problem, task: Task, hide: bool, work: Work) -> None:
        self.problem, self.task, self.hide = problem, task, hide
        self.sample = scalar_sample(problem, task, work)
        self.explainer = Explainer(problem, task, self.sample)
        self.right = self.sample.values(task.asked)
        weights = [np.abs(path) for path in self.explainer.paths]
        self.scale = np.maximum(np.abs(self.right), sum(weights, np.zeros(len(self.right))))
        self.vectors: Sample | None = None

    def judge(self, sides: tuple[Node, ...], *, worked_out: bool = False) -> Judged:
        """The worst of the sides: each must be equal to what is asked, the last worked out, unless
        numbers follow."""
        lhs = [] if len(sides) == 1 and not worked_out else self._left_hand_side(sides[0])
        said, rest = list(lhs), sides[1:] if lhs else sides
        for index, side in enumerate(rest):
            judged = self._side(side, last=index == len(rest) - 1 and not worked_out)
            if judged.points < OF and len(rest) > 1:
                judged = Judged(judged.points, f"{_which(index + bool(lhs))}: {judged.hint}")
            said.append(judged)
        lowest = min(said, key=lambda judged: judged.points)
        return (
            lowest if lowest.points < OF else Judged(OF, "; ".join(j.hint for j in said if j.hint))
        )

    def _left_hand_side(self, side: Node) -> list[Judged]:
        """What is said of a derivative on the left; nothing where there is none."""
        asked = written(self.task.asked)
        if isinstance(side, Div) and isinstance(side.top, Name) and isinstance(side.bottom, Name):
            printed = written(Derivative(side.top, side.bottom, False))
            if printed == asked.replace("⁺", ""):
                sheet = ", as in the sheet's (27)" if of_the_sheet(self.problem) else ""
                return [Judged(OF, f"the ∂ is missing on the left{sheet}")]
        if not isinstance(side, Derivative):
            return []
        if self._equal(self._values(side)):
            return [Judged(OF)]
        return [Judged(HALF, f"the left-hand side is {written(side)}; asked is {asked}")]

    def _values(self, node: Node) -> Array:
        try:
            values = self.sample.values(node)
        except OrderError as error:
            raise FormulaError(f"has no value with vectors: {error}") from None
        except UnreadError as error:
            raise FormulaError(f"{error} is not read for this net") from None
        if values.shape != self.right.shape:
            raise FormulaError("is of another shape than what is asked")
        return values

    def _equal(self, values: Array) -> bool:
        return bool(np.all(np.abs(values - self.right) <= OF_SUMS * self.scale))

    def _side(self, side: Node, *, last: bool) -> Judged:
        values = self._values(side)
        if not self._equal(values):
            return self._wrong(side, values)
        if last and self._restates(side):
            return Judged(0.0, "this restates what is asked; work the derivative out")
        return self._between_vectors(side)

    def _wrong(self, side: Node, values: Array) -> Judged:
        if self.task.every_step and (self._right_at_one(values) or self._right_at_first(side)):
            return Judged(HALF, "right at one step alone; asked is every t")
        explanation = self.explainer.explain(side)
        points = for_paths(explanation.coefficients, explanation.wrong)
        return Judged(
            min(points, OF - 0.5), hint(self.problem, self.task, explanation, hide=self.hide)
        )

    def _right_at_first(self, side: Node) -> bool:
        """Whether a formula without t holds at step 1, where one with t may have no value."""
        if "t" in free_variables(side):
            return False
        at_1 = tuple((nets, {**binding, "t": 1}) for nets, binding in self.sample.places)
        first = self.sample._replace(places=at_1)
        try:
            values, right = first.values(side), first.values(self.task.asked)
        except (FormulaError, OrderError, UnreadError):
            return False
        return bool(np.allclose(values, right, rtol=OF_SUMS, atol=0.0))

    def _right_at_one(self, values: Array) -> bool:
        """Whether a formula with a number for t holds at that one step."""
        per_step = np.abs(values - self.right) <= OF_SUMS * self.scale
        count = len(bindings(self.task, self.sample.places[0][0].nets.steps))
        return bool(per_step.reshape(count, -1).all(axis=1).any())

    def _restates(self, side: Node) -> bool:
        """Whether the derivative that is asked still stands in the answer."""
        derivatives = (node for node in nodes(side) if isinstance(node, Derivative))
        return any(map(self._is_asked, derivatives))

    def _is_asked(self, node: Derivative) -> bool:
        evaluator, binding = self.sample.places[-1]
        try:
            keys = [evaluator.key(n.bottom, binding) for n in (node, self.task.asked)]
            if keys[0] != keys[1]:
                return False
            loss = isinstance(node.top, Name) and node.top.head == "L"
            if loss and self.task.weight is not None:
                return True
            return self._equal(self._values(node))
        except FormulaError:
            return False

    def _between_vectors(self, side: Node) -> Judged:
        """A right formula for scalars, looked at again where the net has vectors."""
        problem = self.problem
        if problem.inputs == problem.hidden == problem.outputs == 1:
            return Judged(OF)
        if self.vectors is None:
            self.vectors = vector_sample(problem, self.task, self.sample.work)
        self.sample.work.left = MOST_WITH_VECTORS
        try:
            if same_with_vectors(self.vectors, side, self.task.asked):
                return Judged(OF)
            why = "its factors do not commute"
        except OrderError as error:
            why = str(error)
        except UnreadError:
            return Judged(OF)
        said = "right for scalars; with vectors the order of the factors, or a transpose, is wrong"
        return Judged(HALF, said if self.hide else f"{said} ({why})")


def _noted(answer: Answer, points: float, said: str) -> str:
    """What is said, and how a number in brackets behind the formula was taken."""
    if not isinstance(answer, str):
        return said
    _, numbers, unsure = without_number(answer)
    if unsure and points < OF:
        note = f"{unsure} at the end is read as a factor; an equation's number is \\tag{{..}}"
    elif numbers:
        note = f"{' and '.join(numbers)} is read as an equation's number, not as a factor"
    else:
        return said
    return f"{said}; {escaped(note)}" if said else escaped(note)


def _example(task: Task) -> str:
    """A step that the task's names have, for a message."""
    return "t" if task.every_step else str(task.step or 1)


def _which(equal_signs: int) -> str:
    """Which side of a chain: by the "=" before it."""
    if equal_signs == 0:
        return "before the first '='"
    ordinal = {1: "1st", 2: "2nd", 3: "3rd"}.get(equal_signs, f"{equal_signs}th")
    return f"after the {ordinal} '='"
