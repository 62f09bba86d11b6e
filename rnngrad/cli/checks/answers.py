"""``rnngrad grade`` and ``check SPEC --answers``: formulas and numbers, graded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rnngrad.cli.boundary import say

if TYPE_CHECKING:
    from rnngrad.analyses.checking.comparing.verdicts import Verdict
    from rnngrad.analyses.grading.grade import Grade, Grader
    from rnngrad.cli.checks.options import CheckOptions
    from rnngrad.files.submitted.answers import AnswerFile
    from rnngrad.net.problem import Problem
    from rnngrad.views.grades import Graded
    from rnngrad.views.report import Report


def run(problem: Problem, sources: Sequence[str], options: CheckOptions) -> tuple[Report, Verdict]:
    """The grades of one file, or of every file of several, or that a pattern such as
    'folder/*.yaml' names.

    A file that cannot be read is an error where it is the only one, and a row with 0 points among
    several. A formula that cannot be read is said on standard error with a caret, and graded 0.
    Raises SpecError, UsageError.
    """
    from rnngrad.analyses.checking.comparing.tolerance import RTOL
    from rnngrad.analyses.checking.comparing.verdicts import worst
    from rnngrad.analyses.grading.grade import Grader
    from rnngrad.files.submitted.answers import is_pattern, matching
    from rnngrad.views.grades import report_of_many, report_of_one

    _refuse(problem)
    rtol = RTOL if options.rtol is None else options.rtol
    grader = Grader(problem, hide=options.hide_expected, rtol=rtol)
    if len(sources) == 1 and not is_pattern(sources[0]):
        graded = _one(grader, sources[0], options)
        return report_of_one(graded), graded.verdict
    named = (matching(source) if is_pattern(source) else [source] for source in sources)
    paths = dict.fromkeys(path for some in named for path in some)
    files = [_one_of_many(grader, path, options) for path in paths]
    return report_of_many(files), worst(graded.verdict for graded in files)


def _refuse(problem: Problem) -> None:
    from rnngrad.analyses.grading.reference import MOST_STEPS
    from rnngrad.errors import UsageError

    if not problem.single_rnn:
        cell, depth = problem.cell.name, problem.depth
        found = cell if depth == 1 else f"{depth} layers of {cell}"
        raise UsageError(
            "only the sheet's subtasks are graded; they are for one layer of rnn, not for "
            f"{found}; rnngrad check SPEC --against FILE compares gradients of any net"
        )
    if problem.steps > MOST_STEPS:
        steps = problem.steps
        raise UsageError(f"only nets of up to {MOST_STEPS} steps are graded; this one has {steps}")


def _one(grader: Grader, path: str, options: CheckOptions) -> Graded:
    """A file on its own: any key that is no subtask is a mistake, exit 2."""
    from rnngrad.errors import SpecError
    from rnngrad.files.submitted.answers import read_answers

    file = read_answers(path, grader.tasks)
    if file.unknown:
        raise SpecError(
            file.document.words(file.document.place((name,), at_key=True) or (0, 0), why)
            for name, why in file.unknown.items()
        )
    if not file.answers and not file.refused:
        raise SpecError([f"{path}: holds no answers; subtasks are {', '.join(grader.tasks)}"])
    return _graded(grader, file, options, ())


def _one_of_many(grader: Grader, path: str, options: CheckOptions) -> Graded:
    """A file among others: what cannot be read costs its points and stops nothing."""
    from rnngrad.analyses.checking.comparing.verdicts import Verdict
    from rnngrad.analyses.grading.grade import Grade
    from rnngrad.analyses.grading.points import OF
    from rnngrad.errors import SpecError
    from rnngrad.files.submitted.answers import read_answers
    from rnngrad.views.grades import Graded

    try:
        file = read_answers(path, grader.tasks)
    except SpecError as error:
        if not options.quiet:
            say(str(error))
        message = error.mistakes[0].split("\n")[0].removeprefix(f"{path}:").strip()
        return Graded(path, (), broken=_clean(message), possible=OF * len(grader.tasks))
    unknown = tuple(
        Grade(_clean(name[:40]), 0.0, 0.0, Verdict.FAIL, why) for name, why in file.unknown.items()
    )
    return _graded(grader, file, options, unknown)


def _graded(
    grader: Grader, file: AnswerFile, options: CheckOptions, unknown: tuple[Grade, ...]
) -> Graded:
    from rnngrad.views.grades import Graded

    grades = tuple(_or_refused(file, grade) for grade in grader.grade(file.answers))
    for grade in grades:
        if grade.unread and not options.quiet:
            say(_words(file, grade))
    student = file.document.data.get("name")
    placed = tuple(map(_placed, (*grades, *unknown)))
    return Graded(file.path, placed, "" if student is None else _clean(str(student)[:60]))


def _or_refused(file: AnswerFile, grade: Grade) -> Grade:
    """The grade, or why there is none: what was typed is neither a formula nor a number."""
    if grade.id not in file.refused:
        return grade
    (line, _), message = file.refused[grade.id]
    return grade._replace(hint=f"line {line + 1}: {message}", unread=True)


def _words(file: AnswerFile, grade: Grade) -> str:
    if grade.id in file.refused:
        place, why = file.refused[grade.id]
        return file.document.words(place, f"{grade.id}: {why}")
    message = f"{grade.id}: {grade.hint}"
    return (
        f"{file.path}: {message}" if grade.at is None else file.words(grade.id, grade.at, message)
    )


def _placed(grade: Grade) -> Grade:
    """The hint of a formula that cannot be read, with the character at which it stops."""
    place = "" if grade.at is None else f"character {grade.at + 1}: "
    return grade._replace(hint=_clean(place + grade.hint))


def _clean(text: str) -> str:
    """What a student's file puts into the output: nothing that a terminal would act on."""
    from rnngrad.errors import escaped

    return escaped(text).replace("\u2026", "..")
