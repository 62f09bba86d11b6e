"""``rnngrad check SPEC --against``: somebody else's arrays, or a function that makes them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from rnngrad.analyses.checking.against import METHOD, names_that_do_not_exist
from rnngrad.analyses.checking.batches import check_given
from rnngrad.analyses.checking.bidirectional import refused_names
from rnngrad.analyses.checking.comparing.comparing import relative_tolerance
from rnngrad.analyses.checking.comparing.verdicts import Checked, CutShortError, Verdict, worst
from rnngrad.analyses.checking.old_results import changes
from rnngrad.arithmetic.arrays import Numbers, quietly
from rnngrad.cli.boundary import say
from rnngrad.cli.checks.options import CheckOptions, is_function
from rnngrad.cli.checks.separate import FaultError
from rnngrad.cli.checks.student import NoArray, Returned, Student
from rnngrad.cli.progress import progress_bar
from rnngrad.errors import SpecError, UsageError, escaped
from rnngrad.files.random_problems import variant
from rnngrad.files.submitted.framework_gradients import gradients_of
from rnngrad.files.text import listed
from rnngrad.net.batch import Batch, BidirectionalBatch, alone, one_sequence, without_dense
from rnngrad.net.bidirectional import Bidirectional, start_of
from rnngrad.net.given_arrays import given
from rnngrad.net.problem import Problem
from rnngrad.progress import reporting_to
from rnngrad.views.check import report
from rnngrad.views.report import Report

AGAIN = "on a second call with the same arrays"


def run(
    problem: Problem | Batch | Bidirectional,
    source: str,
    options: CheckOptions,
    student: Student | None = None,
) -> tuple[Report, Verdict | None, list[Checked]]:
    """The report on the arrays of a file or a function, the verdict on the whole, None where
    Ctrl-C came before the end, and those on the parts; ``student`` is the function's, where its
    process has been started already."""
    interrupted, old = False, None
    if is_function(source):
        problem = alone(problem) if isinstance(problem, Problem) else problem
        problem = (
            Bidirectional(alone(problem.net)) if isinstance(problem, Bidirectional) else problem
        )
        with student or Student(source, options) as started:
            checked, notes = _of_function(problem, started, options)
    else:
        try:
            checked, notes, old = _of_file(problem, source, options)
        except CutShortError as cut:
            checked, notes, interrupted = cut.checked, [], True
    whose = f"{escaped(source)} against rnngrad's own gradients of {escaped(problem.name)}"
    heading = (whose, *notes)
    shown = report(
        checked, heading=heading, hide_expected=options.hide_expected, of=problem, old=old
    )
    verdict = None if interrupted else worst(entry.verdict for entry in checked)
    return shown, verdict, checked


def _of_file(
    problem: Problem | Batch | Bidirectional, source: str, options: CheckOptions
) -> tuple[list[Checked], list[str], Mapping[str, object] | None]:
    """The verdicts, what of the file was not checked, and what has changed since an old result."""
    net = problem if isinstance(problem, Problem) else problem.net
    given = gradients_of(net, source, options.layout)
    unknown = _unknown(problem, given.arrays)
    if unknown:
        raise SpecError(
            given.words(name, reason) + _of_torch(source, name) for name, reason in unknown.items()
        )
    if not given.arrays:
        raise UsageError(f"{source}: there is nothing to check: it holds no array")
    with progress_bar(options.quiet) as bar, reporting_to(bar):
        checked = check_given(
            problem, given.arrays, given.twice, rtol=options.rtol, framework=given.framework
        )
    old = None if given.made is None else changes(given.made, problem, checked)
    if options.hide_expected:  # the size of a difference would give the expected number away
        old = None
    notes = []
    if given.unused:
        absent, norms = "the spec names no such parameter", "the file has just their norms"
        why = absent if given.made is None else norms
        note = f"not checked, for {why}: {listed(given.unused, limit=300)}"
        notes.append(note)
        if not options.quiet:
            say(f"note: {note}")
    return checked, notes, None if old is None else old.data


def _of_torch(source: str, name: str) -> str:
    """A word on names that look like PyTorch's."""
    torch = name.rpartition(".")[2].startswith(("weight", "bias"))
    return "; --layout torch reads PyTorch's names" if torch and source.endswith(".npz") else ""


# ---------------------------------------------------------------------------- a function


def _of_function(
    problem: Problem | Batch | Bidirectional, student: Student, options: CheckOptions
) -> tuple[list[Checked], list[str]]:
    """The verdicts on the spec, then on the smallest random problem that fails."""
    count = range(1, options.random + 1)
    variants = [variant(_for_trials(problem), seed) for seed in count]
    try:
        student.load()
        student.ask([problem, problem, *variants])
        checked = _checked_twice(student, problem, options)
        return _of_variants(student, variants, options, checked)
    except FaultError as fault:
        return [_fault(student.name or student.path.name, str(fault))], []


def _for_trials(problem: Problem | Batch | Bidirectional) -> Problem:
    return without_dense(one_sequence(problem, "--trials"), "--trials")


def _of_variants(
    student: Student, variants: Sequence[Problem], options: CheckOptions, checked: list[Checked]
) -> tuple[list[Checked], list[str]]:
    """The verdicts on the spec with those on the smallest random problem that fails."""
    if not variants:
        return checked, []
    ran, failing = _failing(student, variants, options)
    if not ran:
        return checked, ["no random problem was run: its process had ended"]
    rest = "" if ran == len(variants) else "; the rest was not run: its process had ended"
    if not failing:
        return checked, [f"{_problems(ran)} besides the spec: none fails{rest}"]
    smallest = min(failing, key=lambda one: one.size)
    how_many = f"{len(failing)} of {_problems(ran)} fail"
    wrong = [entry for entry in smallest.checked if entry.verdict is Verdict.FAIL]
    note = f"{how_many}, the smallest with seed {smallest.seed}: {smallest.sizes}{rest}"
    return [*checked, *_marked(wrong, smallest)], [note]


def _problems(count: int) -> str:
    return f"{count} random problem{'' if count == 1 else 's'}"


class _Failing(NamedTuple):
    """A random problem on which the function fails."""

    seed: int
    size: int
    sizes: str
    checked: Sequence[Checked]


def _failing(
    student: Student, variants: Sequence[Problem], options: CheckOptions
) -> tuple[int, list[_Failing]]:
    """How many of the problems the function was run on, and those on which it fails."""
    found, ran = [], 0
    for seed, problem in enumerate(variants, 1):
        if student.gone:
            break
        one, ran = _describable(student, problem), seed
        checked = _checked(student, one, options)
        if worst(entry.verdict for entry in checked) is Verdict.FAIL:
            found.append(_Failing(seed, _size(one), _sizes(one), checked))
    return ran, found


def _describable(student: Student, problem: Problem) -> Problem:
    """The problem, but c_0 = 0 for a function that is not told it."""
    told = {part: start for part, start in problem.starts.items() if f"{part}_0" in student.takes}
    return replace(problem, starts=told)


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
        returned = student.answer()
    except FaultError as fault:
        return [_fault(student.name, str(fault))]
    return _judged(student, problem, returned, options)


def _checked_twice(
    student: Student, problem: Problem | Batch | Bidirectional, options: CheckOptions
) -> list[Checked]:
    """The verdicts on the spec, and on whether the same arrays give the same a second time."""
    try:
        first = student.answer()
    except FaultError as fault:
        if options.random and not student.gone:
            with suppress(FaultError):
                student.answer()
        return [_fault(student.name, str(fault))]
    checked = _judged(student, problem, first, options)
    try:
        second = student.answer()
    except FaultError as fault:
        return [*checked, _fault(student.name, f"{AGAIN}: {fault}")]
    apart = list(_apart(first.arrays, second.arrays, options.rtol))
    if not apart or _only_rounding(problem, checked, first, second, options):
        return checked
    return [*checked, _fault(student.name, f"{AGAIN} it answers otherwise: {'; '.join(apart)}")]


def _judged(
    student: Student,
    problem: Problem | Batch | Bidirectional,
    returned: Returned,
    options: CheckOptions,
) -> list[Checked]:
    arrays, changed = returned
    if changed and not options.quiet:
        say(f"note: {student.name} changes its inputs: {', '.join(changed)}")
    net = problem if isinstance(problem, Problem) else problem.net
    for part, start in net.starts.items():
        name = start_of(part)
        if start.any() and name not in student.takes:
            say(f"note: {student.name} has no parameter {name}, and {name} of {net.name} is not 0")
    _refuse_names(student, problem, arrays)
    with progress_bar(options.quiet) as bar, reporting_to(bar):
        return check_given(problem, arrays, rtol=options.rtol)


def _apart(
    first: Mapping[str, Any], second: Mapping[str, Any], rtol: float | None
) -> Iterator[str]:
    """What two calls with the same arrays gave differently, in words."""
    for name in {**first, **second}:
        one, other = first.get(name), second.get(name)
        if isinstance(one, NoArray) or isinstance(other, NoArray):
            if type(one) is not type(other):
                yield f"{name} is an array only once"
        elif one is None or other is None:
            yield f"{name} is there only once"
        elif one.shape != other.shape:
            yield f"{name} has another shape"
        elif not (error := _error(one, other)) <= relative_tolerance(given(one), rtol):
            yield f"{name} differs by {error:.1e} of its largest entry"


def _error(one: Numbers, other: Numbers) -> float:
    """The largest difference over the largest entry; nan where that is none."""
    a, b = given(one).values, given(other).values
    with quietly():
        gap = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0.0, np.abs(a - b))
        largest = float(gap.max(initial=0.0))
        return largest / float(np.abs(a).max(initial=0.0)) if largest else 0.0


def _only_rounding(
    problem: Problem | Batch | Bidirectional,
    checked: Sequence[Checked],
    first: Returned,
    second: Returned,
    options: CheckOptions,
) -> bool:
    """Whether both answers count as right: a net may amplify rounding to such a difference."""
    if first.arrays.keys() != second.arrays.keys():
        return False
    again = check_given(problem, second.arrays, rtol=options.rtol)
    return worst(entry.verdict for entry in (*checked, *again)) is not Verdict.FAIL


def _unknown(problem: Problem | Batch | Bidirectional, names: Iterable[str]) -> dict[str, str]:
    """name -> why there is nothing of that name to check."""
    if isinstance(problem, BidirectionalBatch):
        return refused_names(problem.each[0], names)
    if isinstance(problem, Bidirectional):
        return refused_names(problem, names)
    net = problem if isinstance(problem, Problem) else problem.net
    return names_that_do_not_exist(net, names)


def _refuse_names(
    student: Student, problem: Problem | Batch | Bidirectional, arrays: Mapping[str, Any]
) -> None:
    source = f"{student.path}:{student.name}"
    unknown = _unknown(problem, arrays)
    if unknown:
        raise SpecError(f"{source}: {reason}" for reason in unknown.values())
    if not arrays:
        raise UsageError(f"{source}: there is nothing to check: it returned an empty dict")


def _fault(name: str, words: str) -> Checked:
    return Checked(name, Verdict.FAIL, METHOD, reason=words)
