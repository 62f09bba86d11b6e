"""``rnngrad check``"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Annotated, Any

from rnngrad.cli import completion, options
from rnngrad.cli.boundary import bounded, say, say_assumed
from rnngrad.cli.checks.options import MEMORY, TIMEOUT, CheckOptions, is_function
from rnngrad.cli.exit_codes import INTERRUPTED, VERDICTS

if TYPE_CHECKING:
    from rnngrad.analyses.checking.comparing.verdicts import Checked, Verdict
    from rnngrad.cli.checks.student import Student
    from rnngrad.net.batch import Batch
    from rnngrad.net.bidirectional import Bidirectional
    from rnngrad.net.problem import Problem
    from rnngrad.views.pictures.picture import Picture
    from rnngrad.views.report import Report

THEIRS = "Somebody else's"
FUNCTION = "With --against FILE.py:FUNCTION"


@bounded
def check(
    spec: options.Spec,
    overrides: options.Set = None,
    against: Annotated[
        str | None,
        options.option(
            "--against FILE",
            "Your gradients: .npz, .json, .yaml, .safetensors, or "
            "FILE.py:FUNCTION, which is run with your rights.",
            THEIRS,
        ),
    ] = None,
    layout: Annotated[
        str | None,
        options.option(
            "--layout LAYOUT",
            "torch: the file has PyTorch's names (weight_hh_l0).",
            THEIRS,
            complete=completion.one_of("torch"),
        ),
    ] = None,
    trials: Annotated[
        int, options.option("--trials N", "Also check N random problems.", FUNCTION)
    ] = 0,
    answers: Annotated[
        str | None,
        options.option(
            "--answers PATTERN", "Formulas to grade: a .yaml, or 'folder/*.yaml'.", THEIRS
        ),
    ] = None,
    timeout: Annotated[
        float | None,
        options.option(
            "--timeout SECONDS",
            "Time limit of the function for one problem; 60 by default.",
            FUNCTION,
        ),
    ] = None,
    memory: Annotated[
        float | None,
        options.option(
            "--memory GIB", "Memory limit of the function; 4 by default, inf for none.", FUNCTION
        ),
    ] = None,
    returns: Annotated[
        str | None,
        options.option(
            "--returns NAME,...",
            "Names of what the function returns, in order; - skips a part.",
            FUNCTION,
        ),
    ] = None,
    hide_expected: options.HideExpected = False,
    method: Annotated[
        str,
        options.option(
            "--method METHOD",
            f"How rnngrad's own gradients are checked: {completion.listed(completion.METHODS)}.",
            complete=completion.one_of(*completion.METHODS),
        ),
    ] = "auto",
    rtol: options.Rtol = None,
    plot: options.Plot = None,
    plot_what: Annotated[list[str] | None, options.plot_what("check")] = None,
    plot_data: options.PlotData = None,
    max_memory: options.MaxMemory = None,
    format_name: options.Format = None,
    json: options.Json = False,
    output: options.Output = None,
    force: options.Force = False,
    quiet: options.Quiet = False,
    color: options.Color = None,
    no_color: options.NoColor = False,
    debug: options.Debug = False,
) -> int:
    """Prove gradients right, or name the mistake: in rnngrad's own or in yours.

    Exit status: 0 right, 1 wrong, 4 cannot be decided.
    """
    chosen = CheckOptions(
        rtol, hide_expected, trials, quiet, method, spec, layout,
        TIMEOUT if timeout is None else timeout, MEMORY if memory is None else memory, returns,
    )  # fmt: skip
    _refuse_for_a_file(against, timeout=timeout, memory=memory, returns=returns)
    with _student(against, chosen) as student:  # its Python starts while ours imports NumPy
        from rnngrad.cli.output import check_writable, screen, write_text
        from rnngrad.cli.plots import planned
        from rnngrad.errors import UsageError
        from rnngrad.files import load
        from rnngrad.net.batch import one_sequence
        from rnngrad.net.problem import Problem
        from rnngrad.views.formats.names import asked_for, format_named

        render = format_named(asked_for(format_name, json, output), "check")
        _refuse(chosen, against, answers)
        check_writable(output, force, spec)
        plots = planned("check", plot, plot_what, plot_data, force, [spec], {"-o": output})
        if plots is not None and answers is not None:
            raise UsageError("--plot draws errors of arrays, and --answers are formulas")
        shown = screen(color, no_color, to_file=output is not None)
        problem = load(spec, overrides=overrides or ())
        if plots is not None:
            plots = plots.fitting([one_sequence(problem, "--plot")])
        if not quiet:
            say_assumed(problem if isinstance(problem, Problem) else problem.net)
        report, verdict, checked = _run(problem, against, answers, chosen, student)
    if checked and isinstance(problem, Problem):
        one = problem
        report = report._replace(pictures=lambda: _errors(one, checked, hide_expected))
    moves = []
    if plots is not None and verdict is not None:
        from rnngrad.views.pictures.checks import CheckedNet

        one = one_sequence(problem, "--plot")
        moves = plots.staged(CheckedNet(one, tuple(checked), hide_expected))
    write_text(render(report, shown), output)
    for move in moves:
        move()
    if verdict is None:
        say("rnngrad: interrupted; the report says what was not checked")
        return INTERRUPTED
    return VERDICTS[str(verdict)]


def _student(against: str | None, chosen: CheckOptions) -> AbstractContextManager[Student | None]:
    """The function behind ``--against``, its process on its way; None where that is a file."""
    if against is None or not is_function(against):
        return nullcontext()
    from rnngrad.cli.checks.student import Student

    return Student(against, chosen)


def _refuse_for_a_file(against: str | None, **given: object) -> None:
    """UsageError for options that only a function has."""
    from rnngrad.errors import UsageError

    if against is None or not is_function(against):
        for name, value in given.items():
            if value is not None:
                raise UsageError(f"--{name} is for --against FILE.py:FUNCTION")


def _refuse(chosen: CheckOptions, against: str | None, answers: str | None) -> None:
    """UsageError for options that contradict each other, before anything is computed."""
    from rnngrad.analyses.checking.references.methods import method_named
    from rnngrad.errors import UsageError

    if against is not None and answers is not None:
        raise UsageError("--against and --answers: one at a time")
    method_named(chosen.method)
    if chosen.method != "auto" and (against is not None or answers is not None):
        raise UsageError("--method is for rnngrad's own gradients, not for --against or --answers")
    if chosen.random < 0:
        raise UsageError(f"--trials {chosen.random}: a number of problems cannot be negative")
    if chosen.random and (against is None or ".py:" not in against):
        raise UsageError("--trials needs --against FILE.py:FUNCTION, to run it on other problems")
    if chosen.layout is not None and (against is None or ".py:" in against):
        raise UsageError("--layout needs --against FILE, a file of gradients")
    if chosen.rtol is not None and not 0 < chosen.rtol < 1:
        raise UsageError(f"--rtol {chosen.rtol:g}: a relative tolerance lies between 0 and 1")


def _run(
    problem: Problem | Batch | Bidirectional,
    against: str | None,
    answers: str | None,
    chosen: CheckOptions,
    student: Student | None,
) -> tuple[Report, Verdict | None, Sequence[Checked]]:
    """The report, the verdict on the whole, None where Ctrl-C came before the end, and those on
    the parts."""
    if against is not None:
        from rnngrad.cli.checks.against import run as run_against

        return run_against(problem, against, chosen, student)
    if answers is not None:
        from rnngrad.cli.checks.answers import run as run_answers
        from rnngrad.net.batch import alone, one_sequence, without_dense

        one = without_dense(alone(one_sequence(problem, "--answers")), "--answers")
        return *run_answers(one, [answers], chosen), ()
    return _own(problem, chosen)


def _errors(problem: Problem, checked: Sequence[Checked], hide_expected: bool) -> Iterable[Picture]:
    from rnngrad.views.pictures.checks import CheckedNet
    from rnngrad.views.pictures.kinds import pictures

    return pictures("errors", CheckedNet(problem, tuple(checked), hide_expected))


def _own(
    problem: Problem | Batch | Bidirectional, chosen: CheckOptions
) -> tuple[Report, Verdict | None, Sequence[Checked]]:
    from rnngrad.analyses.checking.batches import own_checked
    from rnngrad.analyses.checking.comparing.verdicts import CutShortError, worst
    from rnngrad.analyses.checking.references.plan import plan
    from rnngrad.cli.progress import progress_bar
    from rnngrad.errors import escaped
    from rnngrad.net.batch import BidirectionalBatch, Chosen
    from rnngrad.net.bidirectional import Bidirectional, apart
    from rnngrad.net.problem import Problem
    from rnngrad.views.check import report

    interrupted = False
    try:
        with progress_bar(chosen.quiet) as progress:
            options: Any = {"method": chosen.method, "rtol": chosen.rtol, "progress": progress}
            checked = own_checked(problem, **options)
    except CutShortError as cut:
        checked, interrupted = cut.checked, True
    if isinstance(problem, Bidirectional):
        longest = apart(problem)[-1]
    elif isinstance(problem, BidirectionalBatch):
        longest = apart(Bidirectional(max(problem.sequences, key=_steps)))[-1]
    else:
        longest = problem if isinstance(problem, Problem) else max(problem.sequences, key=_steps)
    planned = plan(longest, chosen.method)
    if planned.left_out and not chosen.quiet:
        say(f"note: not checked, because too large: {', '.join(planned.left_out)}")
    heading = (f"{escaped(problem.name)}: rnngrad's own gradients", *planned.words)
    if isinstance(problem, Bidirectional):
        heading += ("each half with ∂L/∂h_t as it comes from above, then the whole",)
    elif not isinstance(problem, Problem):
        heading += (_of_batch(problem),)
    elif isinstance(problem, Chosen) and problem.of_batch is not None:
        k, size = problem.of_batch
        heading += (f"sequence {k} of {size}; each total also against the sum over all sequences",)
    verdict = None if interrupted else worst(entry.verdict for entry in checked)
    shown = report(checked, heading=heading, hide_expected=chosen.hide_expected, of=problem)
    return shown, verdict, checked


def _steps(one: Problem) -> int:
    return one.steps


def _of_batch(batch: Batch) -> str:
    """Which sequences are looked at."""
    from rnngrad.analyses.checking.batches import sequences_checked
    from rnngrad.files.text import listed

    chosen = sequences_checked(batch)
    some = f"{len(chosen)} of {batch.size}: {listed(str(k + 1) for k in chosen)}"
    which = f"all {batch.size}" if len(chosen) == batch.size else some
    return f"sequences {which}; each total also against the sum over all sequences"
