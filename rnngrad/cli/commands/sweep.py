"""``rnngrad sweep``"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from rnngrad.cli import completion, options
from rnngrad.cli.boundary import bounded, say, say_assumed
from rnngrad.cli.exit_codes import INTERRUPTED

if TYPE_CHECKING:
    from rnngrad.analyses.sweep.tasks import Plan
    from rnngrad.cli.sweeps.run import Finished


@bounded
def sweep(
    specs: options.Specs,
    whh_scale: Annotated[
        str | None, options.option("--whh-scale SCALES", "0.5,1,2, or 0.1:4:40, or 0.01:10:41:log.")
    ] = None,
    checkpoints: Annotated[
        str | None,
        options.option(
            "--checkpoints 'FILES'", "Trained files of the net, in order: 'run/*.safetensors'."
        ),
    ] = None,
    overrides: options.Set = None,
    relative_to: Annotated[
        str,
        options.option(
            "--relative-to SIZE",
            "spectral-radius or sigma-max: the scale is its new value.",
            complete=completion.one_of(*completion.RELATIVE),
        ),
    ] = "weights",
    gate: Annotated[
        str | None,
        options.option(
            "--gate NAME", "Scale one gate: r z n, i f g o, an equation.", complete=completion.gates
        ),
    ] = None,
    seeds: Annotated[
        int | None, options.option("--seeds N", "Draw the random numbers N times.")
    ] = None,
    steps: Annotated[
        str | None, options.option("--steps T,...", "Lengths of the sequence.")
    ] = None,
    activation: Annotated[
        str | None,
        options.option(
            "--activation NAME,...", "Activations, such as tanh.", complete=completion.activations
        ),
    ] = None,
    steady: Annotated[
        float, options.option("--steady R", "A rate of at most this size is steady.")
    ] = 0.01,
    critical_rtol: Annotated[
        float,
        options.option("--critical-rtol R", "Relative width of the critical scale's bracket."),
    ] = 1e-5,
    jobs: Annotated[int, options.option("--jobs -j N", "Run in N processes.", options.RUNNING)] = 1,
    scheduler: Annotated[
        str | None,
        options.option("--scheduler tcp://HOST:PORT", "Run on a Dask cluster.", options.RUNNING),
    ] = None,
    resume: Annotated[
        bool,
        options.option(
            "--resume", "With -o FILE.jsonl: compute only the missing points.", options.RUNNING
        ),
    ] = False,
    yes: Annotated[
        bool, options.option("--yes", "Start even a very long sweep.", options.RUNNING)
    ] = False,
    full: options.Full = False,
    plot: options.Plot = None,
    plot_what: Annotated[list[str] | None, options.plot_what("sweep")] = None,
    map_over: options.Map = None,
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
    """Multiply W_hh by scales, and show where gradients vanish and explode, and why.

    For cells other than rnn, gru and lstm the table names the parameters that are scaled.

    For every scale there are the norm of the whole chain of Jacobians, its growth rate, the largest
    Lyapunov exponent, its bound, the saturation of the units, loss and gradients. Then come the
    critical scale, and what theory says. Several specs come into one table. --checkpoints compares
    trained files of one net, in the order of the numbers in their names, by default at scale 1.
    -o FILE.jsonl saves every point at once; --resume continues such a file, and rnngrad show
    FILE.jsonl shows it again.
    """
    from contextlib import nullcontext

    from rnngrad.cli.output import STANDARD_OUTPUT, check_writable, screen, write_text
    from rnngrad.cli.plots import over_swept
    from rnngrad.cli.plots import planned as planned_plots
    from rnngrad.cli.sweeps.executors import workers
    from rnngrad.cli.sweeps.file import RowsFile, start
    from rnngrad.cli.sweeps.plan import Wanted, planned
    from rnngrad.cli.sweeps.run import run
    from rnngrad.errors import UsageError
    from rnngrad.net.problem import Problem
    from rnngrad.views.formats.names import asked_for, format_named
    from rnngrad.views.pictures.rate_map import Swept, check_swept
    from rnngrad.views.sweeps.report import report

    if whh_scale is None and checkpoints is None:
        words = "missing option '--whh-scale' (or '--checkpoints')"
        raise UsageError(f"{words}; rnngrad sweep --help shows what it takes")
    name = asked_for(format_name, json, output)
    render = format_named(name, "sweep")
    path = output if name == "jsonl" and output != STANDARD_OUTPUT else None
    shown = screen(color, no_color, to_file=output is not None and path is None)
    if resume and path is None:
        raise UsageError("--resume continues the file of -o FILE.jsonl; give one")
    if path is not None:
        start(path, resume, force, specs)
    else:
        for spec in specs:
            check_writable(output, force, spec)
    plots = planned_plots("sweep", plot, plot_what, plot_data, force, specs, {"-o": output})
    plots, over = over_swept(map_over, plots)
    wanted = Wanted(
        tuple(specs), tuple(overrides or ()), whh_scale or "1", seeds, steps, activation,
        relative_to, steady, critical_rtol, gate, yes, checkpoints,
    )  # fmt: skip
    problems, whole = planned(wanted)
    if over is not None:
        check_swept(over, whole)
    for problem in () if quiet else list(problems.values())[: 1 if checkpoints else None]:
        say_assumed(problem if isinstance(problem, Problem) else problem.net)
    file = None if path is None else RowsFile(path, problems, relative_to, gate)
    with file or nullcontext(), workers(jobs, scheduler) as found:
        if file is not None and not resume:
            file.empty()
        finished = run(whole, file, found, quiet)
    rows = finished.result.rows
    moves = plots.staged(Swept(finished.result, over)) if plots is not None and rows else []
    kept = path is not None and path.is_file()
    if (file is None or (kept and not quiet)) and (rows or not finished.interrupted):
        if kept:
            render = format_named("table", "sweep")
        write_text(render(report(finished.result, full), shown), None if kept else output)
    for move in moves:
        move()
    _say_how_it_ended(finished, whole, file, quiet)
    return INTERRUPTED if finished.interrupted else 0


def _say_how_it_ended(finished: Finished, whole: Plan, file: object, quiet: bool) -> None:
    from rnngrad.cli.sweeps.file import RowsFile

    rows = len(finished.result.rows)
    if finished.interrupted:
        kept = f"; they are in {file.path}, --resume goes on" if isinstance(file, RowsFile) else ""
        say(f"rnngrad: interrupted after {rows:,} of {whole.points:,} points{kept}")
    elif isinstance(file, RowsFile) and not quiet:
        say(f"{file.path}: {rows:,} points, {finished.resumed:,} of them from before")
        if file.reclassified:
            say(f"{file.path}: --steady {whole.steady:g} changed {file.reclassified:,} regimes")
