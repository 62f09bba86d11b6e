"""``rnngrad report``"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

from rnngrad.cli import options
from rnngrad.cli.boundary import bounded, say, say_assumed
from rnngrad.cli.exit_codes import INTERRUPTED

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rnngrad.net.problem import Problem


@bounded
def report(
    specs: options.Specs,
    overrides: options.Set = None,
    whh_scale: Annotated[
        str | None,
        options.option(
            "--whh-scale SCALES",
            "Scales of the slider: 0.5,1,2, or 0.1:4:40; 0.25:4:33:log by default.",
        ),
    ] = None,
    max_memory: options.MaxMemory = None,
    output: options.Output = None,
    force: options.Force = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> int:
    """Write one page to read and to hand in: pictures, derivation, tables, check.

    It is a single HTML file that opens in any browser and needs no network. It shows the path of
    the gradient and its size at each step, its change with the scale of W_hh (with a slider), the
    error of truncation, each derivative with its chain rule, and whether the gradients were
    proved right. Several specs are shown side by side.
    """
    from dataclasses import replace

    from rnngrad.analyses.overview import overview
    from rnngrad.cli.output import check_writable, write_text
    from rnngrad.cli.progress import progress_bar, watched
    from rnngrad.cli.sweeps.plan import loaded
    from rnngrad.net.batch import one_sequence
    from rnngrad.views.page.report import report as page

    _check_output(output)
    for spec in specs:
        check_writable(output, force, spec)
    nets = loaded(specs, overrides or ())
    problems = {n: replace(one_sequence(net, "report"), name=n) for n, net in nets.items()}
    scales = _scales(whh_scale, problems, quiet)
    with progress_bar(quiet) as bar:
        found = overview(problems, scales, bar)
    write_text(watched(page(found), quiet), output)
    if found.interrupted:
        say("rnngrad: interrupted; the page says so, and has what was computed")
        return INTERRUPTED
    return 0


def _check_output(output: Path | None) -> None:
    """A page of HTML is no sight for a terminal."""
    from rnngrad.errors import UsageError

    if output is None and sys.stdout is not None and sys.stdout.isatty():
        raise UsageError("a report is a file to open in a browser: give -o report.html")
    if output is not None and output.suffix.lower() not in (".html", ".htm", ""):
        raise UsageError(f"-o {output}: a report is HTML; the file's name must end in .html")


def _scales(asked: str | None, problems: dict[str, Problem], quiet: bool) -> Sequence[float]:
    """What is asked for, else what is affordable; and what the user should know besides."""
    from rnngrad.analyses.sweep.scaled_chains import affordable_scales
    from rnngrad.analyses.sweep.scales import scales_of
    from rnngrad.analyses.sweep.scaling import check_scaled

    for problem in () if quiet else problems.values():
        say_assumed(problem)
    scaled = [problem for problem in problems.values() if problem.cell.scaled]
    if asked is not None:
        for problem in problems.values():
            check_scaled(problem)
        return scales_of(asked)
    scales = affordable_scales(scaled) if scaled else ()
    if scaled and not scales and not quiet:
        say(
            "note: the scales of W_hh are left out, they would take long; --whh-scale computes them"
        )
    return scales
