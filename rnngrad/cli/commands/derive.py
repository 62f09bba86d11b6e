"""``rnngrad derive``"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated

from rnngrad.cli import completion, options
from rnngrad.cli.boundary import bounded, say, say_assumed
from rnngrad.cli.exit_codes import INTERRUPTED
from rnngrad.cli.progress import Report, progress_bar, watched
from rnngrad.views.derivation.sections import SECTIONS, chosen, completions

if TYPE_CHECKING:
    from rnngrad.analyses.derivation.derive import Derivation
    from rnngrad.analyses.derivation.selection import Selection
    from rnngrad.analyses.flow.cliff import Parameter
    from rnngrad.analyses.flow.flow import GradientFlow
    from rnngrad.arithmetic.arrays import Array
    from rnngrad.cli.plots import Plots
    from rnngrad.net.batch import Batch
    from rnngrad.net.bidirectional import Bidirectional
    from rnngrad.net.problem import Problem


HOMEWORK = "Homework"

GIGANTIC = 2**27
"""Numbers, 1 GiB, from which on their size is told."""


@bounded
def derive(
    spec: options.Spec,
    overrides: options.Set = None,
    quantity: Annotated[
        list[str] | None,
        options.option(
            "--quantity NAME",
            "Only this quantity: dL_dW_hh, dL_da, shares; repeatable.",
            complete=completion.quantities,
        ),
    ] = None,
    step: Annotated[int | None, options.option("--step t", "Only step t, in full detail.")] = None,
    section: Annotated[
        list[str] | None,
        options.option(
            "--section NAME",
            f"The summary and only this table; repeatable: {', '.join(SECTIONS)}.",
            complete=completions,
        ),
    ] = None,
    full: Annotated[bool, options.option("--full", "Show every table and every row.")] = False,
    exponents: Annotated[
        str | None,
        options.option(
            "--exponents K|all",
            "How many Lyapunov exponents; 8 by default.",
            complete=completion.one_of("all"),
        ),
    ] = None,
    truncation: Annotated[
        str | None,
        options.option(
            "--truncation K,...", "Steps that each loss keeps in the table of truncation: 10,20."
        ),
    ] = None,
    explain: Annotated[
        str | None,
        options.option(
            "--explain ID", "Write out one derivative, step by step with numbers: a6, b4.", HOMEWORK
        ),
    ] = None,
    blank: Annotated[
        bool, options.option("--blank", "Only the questions, with the net's numbers.", HOMEWORK)
    ] = False,
    notation: Annotated[
        str | None,
        options.option(
            "--notation FORM",
            f"{completion.listed(completion.NOTATIONS)}; by default what fits the net.",
            HOMEWORK,
            complete=completion.one_of(*completion.NOTATIONS),
        ),
    ] = None,
    math: Annotated[
        str | None,
        options.option(
            "--math FORM",
            f"Formulas in Markdown: {completion.listed(completion.MATHS)}.",
            HOMEWORK,
            complete=completion.one_of(*completion.MATHS),
        ),
    ] = None,
    standalone: Annotated[
        bool, options.option("--standalone", "LaTeX with its preamble, for pdflatex.", HOMEWORK)
    ] = False,
    pdf: Annotated[
        Path | None,
        options.option("--pdf FILE.pdf", "Also write the sheet as PDF (extra pdf).", HOMEWORK),
    ] = None,
    save: Annotated[
        Path | None, options.option("--save FILE.npz", "Also save the arrays.", options.OUTPUT)
    ] = None,
    beside: Annotated[
        list[str] | None,
        options.option(
            "--beside SPEC", "Another net in the same pictures; repeatable.", options.OUTPUT
        ),
    ] = None,
    cliff: Annotated[
        str | None,
        options.option(
            "--cliff A,B",
            "Draw the loss over two parameters: W_hh[0,0],b_h[0]=-5:-1.",
            options.OUTPUT,
        ),
    ] = None,
    plot: options.Plot = None,
    plot_what: Annotated[list[str] | None, options.plot_what("derive")] = None,
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
    """Show where every gradient comes from, and whether it vanishes or explodes.

    A summary comes first, then the tables: the forward pass; the derivatives of the exercise sheet
    with chain rule and value; every gradient step by step; the paths that it is the sum of; the
    norms of the chain of Jacobians; exponents, horizons and the error of truncation. For more than
    50 steps, tables with a row for each step need --section or --full.
    """
    from rnngrad.analyses.derivation.derive import derive as derive_problem
    from rnngrad.analyses.derivation.selection import (
        computed,
        select,
        select_of_batch,
        select_of_bidirectional,
    )
    from rnngrad.analyses.flow.cliff import check_exists, lacking
    from rnngrad.analyses.memory import ask_for_derive
    from rnngrad.cli import sheets
    from rnngrad.cli.output import check_writable, screen, write_text
    from rnngrad.cli.plots import planned, told_apart
    from rnngrad.errors import UsageError
    from rnngrad.files import load
    from rnngrad.net.batch import Batch, one_sequence, without_dense
    from rnngrad.net.bidirectional import Bidirectional
    from rnngrad.net.problem import Problem
    from rnngrad.progress import reporting_to
    from rnngrad.views.derivation.batch import report as batch_report
    from rnngrad.views.derivation.bidirectional import report as bidirectional_report
    from rnngrad.views.derivation.report import report
    from rnngrad.views.derivation.view import flow_of
    from rnngrad.views.formats.names import asked_for, for_people, format_named
    from rnngrad.views.pictures.nets import Nets

    name = asked_for(format_name, json, output)
    render = format_named(name, "derive")
    _check_sections(section, name)
    form = sheets.checked(name, explain, blank, notation, math, standalone, pdf)
    shown = screen(color, no_color, to_file=output is not None)
    shown = shown._replace(math=math or "unicode", standalone=standalone)
    check_writable(output, force, spec)
    _check_save(save, force, spec, output)
    sheets.check_pdf(pdf, force, spec, (output, save))
    files = {"-o": output, "--save": save, "--pdf": pdf}
    plots = planned("derive", plot, plot_what, plot_data, force, [spec, *(beside or ())], files)
    over = _cliff(cliff, plots)
    if plots is None and (beside or cliff):
        raise UsageError(f"--{'beside' if beside else 'cliff'} is for --plot FILE; give one")
    if plots is not None and over is not None and "cliff" not in plots.kinds:
        plots = plots._replace(kinds=(*plots.kinds, "cliff"))
    problem = load(spec, overrides=overrides or ())
    if form.asked or pdf is not None:
        option = "--blank" if blank else "--pdf" if explain is None else "--explain"
        problem = without_dense(one_sequence(problem, option), option)
    elif form.sheet and isinstance(problem, Problem):
        without_dense(problem, f"--format {name}")
    drawn: list[Derivation] = []
    flow: GradientFlow | None = None
    weights: tuple[str, ...] = ()
    if plots is not None:
        loaded = [problem, *(load(other) for other in beside or ())]
        nets = [one_sequence(one, "--plot") for one in loaded]
        drawn = [*map(derive_problem, told_apart(nets, [spec, *(beside or ())]))]
        plots = plots.fitting(one.problem for one in drawn)
        for note in () if quiet else plots.left_out([one.problem for one in drawn]):
            say(note)
        lacks = [lacking(one.problem, over or ()) for one in drawn]
        for one, why in zip(drawn, lacks, strict=True):
            if not why or all(lacks):
                check_exists(one.problem, over or ())
            elif not quiet:
                say(f"note: not in the picture cliff: {why}")
    every = save is not None or not (for_people(render) or form.asked)
    alone = {
        "--step": step, "--section": section, "--exponents": exponents, "--truncation": truncation,
    }  # fmt: skip
    if isinstance(problem, Bidirectional):
        of_bidirectional = derive_problem(problem)
        selection = select_of_bidirectional(of_bidirectional, quantity or (), full, alone)
        ask_for_derive(problem, selection, name, every=True)
        arrays = {name: of_bidirectional[name] for name in selection.names}
        made = bidirectional_report(of_bidirectional, selection, arrays)
        first = of_bidirectional.first_nonfinite_step
    elif isinstance(problem, Batch):
        of_all = derive_problem(problem)
        selection = select_of_batch(of_all, quantity or (), full, alone)
        ask_for_derive(problem, selection, name, every=True)
        arrays = {name: of_all[name] for name in selection.names}
        made = batch_report(of_all, selection, arrays)
        first = of_all.first_nonfinite_step
    else:
        result = drawn[0] if drawn else derive_problem(problem)
        selection = select(result, quantity or (), step, full, exponents, section or (), truncation)
        sheets.check_selection(form, selection)
        if plots is not None and selection.named:
            plots, weights = _weights_of_paths(
                plots, selection, [one.problem for one in drawn], quiet
            )
        ask_for_derive(problem, selection, name, every=every)
        with progress_bar(quiet) as bar, reporting_to(bar):
            report_to = None if bar is None else partial(_tell, bar)
            arrays = computed(result, selection, every=every, report=report_to)
            first = result.first_nonfinite_step  # the forward pass, with the bar
        flow = flow_of(result, selection)
        usual = report(result, selection, arrays, flow)
        made = sheets.report_of(form, result, selection, usual)
    if not quiet:
        _warn(problem, first)
        _say_left_out(selection, problem)
    cut = Event()
    text = watched(render(made, shown), quiet)
    text = _kept(text, cut) if for_people(render) else text
    moves = [] if save is None else [_stage(save, selection.names, arrays, problem)]
    if pdf is not None:
        moves.append(sheets.staged_pdf(sheets.whole(form, result, usual), pdf))
    if plots is not None:
        flows = tuple(
            flow if flow is not None and one is flow.result else flow_of(one, selection)
            for one in drawn
        )
        with progress_bar(quiet) as bar, reporting_to(bar):
            moves += plots.staged(Nets(flows, step, over, weights))
    write_text(text, output)
    for move in moves:
        move()
    if cut.is_set():
        say("rnngrad: interrupted; what comes after the last table shown was not computed")
        return INTERRUPTED
    return 0


def _cliff(text: str | None, plots: Plots | None) -> tuple[Parameter, Parameter] | None:
    """The two parameters of ``--cliff``."""
    from rnngrad.analyses.flow.cliff import parameters
    from rnngrad.errors import UsageError

    if text is None and plots is not None and "cliff" in plots.kinds:
        raise UsageError("--plot-what cliff needs two parameters: --cliff W_hh[0,0],b_h[0]")
    return None if text is None else parameters(text)


def _weights_of_paths(
    plots: Plots, selection: Selection, problems: Sequence[Problem], quiet: bool
) -> tuple[Plots, tuple[str, ...]]:
    """The parameters of ``--quantity``, whose paths are drawn; no picture of paths, or UsageError
    where it was asked for, if none of them has any. Other quantities leave it as it is."""
    from rnngrad.analyses.derivation.paths import has_paths
    from rnngrad.analyses.derivation.quantities import records
    from rnngrad.errors import UsageError

    known = records(problems[0])
    named = [known[one].parameter for one in selection.names if one in known]
    wanted = tuple(name for name in named if name is not None)
    if not wanted or "paths" not in plots.kinds:
        return plots, ()
    have = {one.name: has_paths(one) for one in problems}
    shown = ", ".join(f"dL_d{name}" for name in wanted)
    if not any(name in some for name in wanted for some in have.values()):
        there = ", ".join(f"dL_d{name}" for name in have[problems[0].name])
        if plots.asked:
            raise UsageError(
                f"--plot-what paths: there are no paths of {shown}; there are of {there}"
            )
        return plots._replace(kinds=tuple(k for k in plots.kinds if k != "paths")), ()
    for net, some in have.items():
        if not quiet and not {*wanted} & {*some}:
            say(f"note: not in the picture paths: '{net}' has no paths of {shown}")
    return plots, wanted


def _kept(text: Iterable[str], cut: Event) -> Iterator[str]:
    """The tables that there are when Ctrl-C comes, and a line that says so."""
    try:
        yield from text
    except KeyboardInterrupt:
        cut.set()
        yield "\ninterrupted: what comes after this was not computed\n"


def _tell(bar: Report, fraction: float) -> None:
    bar(fraction, "forward" if fraction < 1 / 3 else "backward")


def _check_sections(names: list[str] | None, format_name: str) -> None:
    from rnngrad.errors import UsageError

    chosen(names or ())
    if names and format_name not in ("table", "markdown", "html"):
        raise UsageError(
            "--section is for the formats table, markdown and html, and the format is "
            f"{format_name}; --quantity chooses there"
        )


def _check_save(save: Path | None, force: bool, spec: str, output: Path | None) -> None:
    from rnngrad.cli.output import check_writable
    from rnngrad.errors import UsageError

    if save is not None and output is not None and save.absolute() == output.absolute():
        raise UsageError(f"--save {save}: -o writes to the same file")
    if save is not None and save.suffix != ".npz":
        raise UsageError(f"--save {save}: the file's name must end in .npz")
    check_writable(save, force, spec)


def _stage(
    path: Path,
    names: Iterable[str],
    arrays: dict[str, Array],
    problem: Problem | Batch | Bidirectional,
) -> Callable[[], None]:
    """Write the arrays beside their place, and in the file's comment what they are of; the call
    that this returns moves them there."""
    from rnngrad.cli.output import staged
    from rnngrad.views.derivation.saved import write

    return staged(path, lambda file: write(file, {name: arrays[name] for name in names}, problem))


def _warn(problem: Problem | Batch | Bidirectional, step: int | None) -> None:
    """What the user should know besides the result, on standard error; ``step``: the first that is
    not finite."""
    from rnngrad.net.problem import Problem

    say_assumed(problem if isinstance(problem, Problem) else problem.net)
    if step is not None:
        say(
            f"warning: the forward pass overflows: from step {step} on it holds infinite or "
            "undefined numbers, and so do the gradients that pass through them"
        )


def _say_left_out(selection: Selection, problem: Problem | Batch | Bidirectional) -> None:
    from rnngrad.analyses.derivation import bidirectional
    from rnngrad.analyses.derivation.quantities import records
    from rnngrad.net.batch import BidirectionalBatch
    from rnngrad.net.bidirectional import Bidirectional
    from rnngrad.net.problem import Problem
    from rnngrad.views.numbers import grouped, times

    one = problem if isinstance(problem, Problem) else problem.net
    halves = isinstance(problem, Bidirectional | BidirectionalBatch)
    known = bidirectional.records(one) if halves else records(one)
    for name in selection.left_out:
        record = known[name]
        shape, count = record.shape(one), record.size(one)
        size = f", {8 * count / 2**30:,.3g} GiB" if count > GIGANTIC else ""
        say(
            f"note: {name} is left out: {times(shape)} = {grouped(count)} numbers{size}; "
            f"--quantity {name} or --full computes it"
        )
