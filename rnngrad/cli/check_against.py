"""``rnngrad check SPEC --against``: somebody else's arrays, or a function that makes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from rnngrad.analyses.checking.against import METHOD, check_arrays, names_that_do_not_exist
from rnngrad.analyses.checking.verdicts import Checked, Verdict, worst
from rnngrad.cli.boundary import say
from rnngrad.cli.check_options import CheckOptions
from rnngrad.cli.student import FaultError, Student, is_function, load_student
from rnngrad.core.arrays import frozen
from rnngrad.core.problem import Problem
from rnngrad.errors import SpecError, UsageError
from rnngrad.spec.framework_gradients import gradients_of
from rnngrad.spec.text import listed
from rnngrad.spec.variants import variant
from rnngrad.views.check import report
from rnngrad.views.report import Report


def run(problem: Problem, source: str, options: CheckOptions) -> tuple[Report, Verdict]:
    """The report on the arrays of a file or a function, and the verdict on the whole."""
    if is_function(source):
        checked, notes = _of_function(problem, source, options)
    elif options.random:
        raise UsageError("--random needs --against FILE.py:FUNCTION, to run it on other problems")
    else:
        checked, notes = _of_file(problem, source, options)
    heading = (f"{source} against rnngrad's own gradients of {problem.name}", *notes)
    shown = report(checked, heading=heading, hide_expected=options.hide_expected)
    return shown, worst(entry.verdict for entry in checked)


def _of_file(
    problem: Problem, source: str, options: CheckOptions
) -> tuple[list[Checked], list[str]]:
    """The verdicts, and what of the file was not checked."""
    given = gradients_of(problem, source, options.layout)
    unknown = names_that_do_not_exist(problem, given.arrays)
    if unknown:
        raise SpecError(
            given.words(name, reason) + _of_torch(source, name) for name, reason in unknown.items()
        )
    if not given.arrays:
        raise UsageError(f"{source}: there is nothing to check: it holds no array")
    checked = check_arrays(
        problem, given.arrays, given.twice, rtol=options.rtol, framework=given.framework
    )
    if not given.unused:
        return checked, []
    note = f"not checked, for the spec names no such parameter: {listed(given.unused, limit=300)}"
    if not options.quiet:
        say(f"note: {note}")
    return checked, [note]


def _of_torch(source: str, name: str) -> str:
    """A word on names that look like PyTorch's."""
    torch = name.rpartition(".")[2].startswith(("weight", "bias"))
    return "; --layout torch reads PyTorch's names" if torch and source.endswith(".npz") else ""


# ---------------------------------------------------------------------------- a function


def _of_function(
    problem: Problem, source: str, options: CheckOptions
) -> tuple[list[Checked], list[str]]:
    """The verdicts on the spec, then on the smallest random problem that fails."""
    try:
        student = load_student(source)
    except FaultError as fault:
        return [_fault(source.rpartition(":")[2] or source, str(fault))], []
    checked = _checked(student, problem, options)
    if not options.random:
        return checked, []
    failing = _failing(student, problem, options)
    if not failing:
        return checked, [f"{_problems(options.random)} besides the spec: none fails"]
    smallest = min(failing, key=lambda one: one.size)
    how_many = f"{len(failing)} of {_problems(options.random)} fail"
    wrong = [entry for entry in smallest.checked if entry.verdict is Verdict.FAIL]
    note = f"{how_many}, the smallest with seed {smallest.seed}: {smallest.sizes}"
    return [*checked, *_marked(wrong, smallest)], [note]


def _problems(count: int) -> str:
    return f"{count} random problem{'' if count == 1 else 's'}"


class _Failing(NamedTuple):
    """A random problem on which the function fails."""

    seed: int
    size: int
    sizes: str
    checked: Sequence[Checked]


def _failing(student: Student, problem: Problem, options: CheckOptions) -> list[_Failing]:
    found = []
    for seed in range(1, options.random + 1):
        one = _describable(student, variant(problem, seed))
        checked = _checked(student, one, options)
        if worst(entry.verdict for entry in checked) is Verdict.FAIL:
            found.append(_Failing(seed, _size(one), _sizes(one), checked))
    return found


def _describable(student: Student, problem: Problem) -> Problem:
    """The problem, but c_0 = 0 for a function that is not told it."""
    if problem.c_0 is None or student.takes_c_0:
        return problem
    return replace(problem, c_0=frozen(0.0 * problem.c_0))


def _size(problem: Problem) -> int:
    """Numbers in it, by which the smallest is told."""
    return problem.x.size + sum(values.size for values in problem.weights.values())


def _sizes(problem: Problem) -> str:
    return f"T = {problem.steps}, I = {problem.inputs}, H = {problem.hidden}, O = {problem.outputs}"


def _marked(wrong: Sequence[Checked], failing: _Failing) -> list[Checked]:
    """The failing rows with the problem that they belong to."""
    where = f"on the random problem with seed {failing.seed} ({failing.sizes})"
    method = f"{METHOD}, random problem {failing.seed}"
    return [
        entry._replace(method=method, reason="; ".join(filter(None, (where, entry.reason))))
        for entry in wrong
    ]


def _checked(student: Student, problem: Problem, options: CheckOptions) -> list[Checked]:
    """The verdicts on what the function returns; its own fault is a fail."""
    try:
        arrays, changed = student(problem)
    except FaultError as fault:
        return [_fault(student.name, str(fault))]
    if changed and not options.quiet:
        say(f"note: {student.name} changes its inputs: {', '.join(changed)}")
    if problem.c_0 is not None and problem.c_0.any() and not student.takes_c_0:
        say(f"note: {student.name} has no parameter c_0, and c_0 of {problem.name} is not 0")
    _refuse_names(student, problem, arrays)
    return check_arrays(problem, arrays, rtol=options.rtol)


def _refuse_names(student: Student, problem: Problem, arrays: Mapping[str, Any]) -> None:
    source = f"{student.path}:{student.name}"
    unknown = names_that_do_not_exist(problem, arrays)
    if unknown:
        raise SpecError(f"{source}: {reason}" for reason in unknown.values())
    if not arrays:
        raise UsageError(f"{source}: there is nothing to check: it returned an empty dict")


def _fault(name: str, words: str) -> Checked:
    return Checked(name, Verdict.FAIL, METHOD, reason=words)
