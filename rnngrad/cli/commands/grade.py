"""``rnngrad grade``"""

from __future__ import annotations

from typing import Annotated

import typer

from rnngrad.cli import options
from rnngrad.cli.boundary import bounded
from rnngrad.cli.checks.options import CheckOptions
from rnngrad.cli.exit_codes import VERDICTS


@bounded
def grade(
    spec: options.Spec,
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILES", help="Formulas and numbers by subtask (YAML)."),
    ],
    overrides: options.Set = None,
    rtol: options.Rtol = None,
    hide_expected: options.HideExpected = False,
    format_name: options.Format = None,
    json: options.Json = False,
    output: options.Output = None,
    force: options.Force = False,
    quiet: options.Quiet = False,
    color: options.Color = None,
    no_color: options.NoColor = False,
    debug: options.Debug = False,
) -> int:
    """Grade formulas and numbers by subtask, with points and a hint for each mistake.

    check SPEC --answers does the same. Several files come into one table. Exit status: 0 all right,
    1 something is wrong, 4 something cannot be decided.
    """
    from rnngrad.cli.checks.answers import run
    from rnngrad.cli.output import check_writable, screen, write_text
    from rnngrad.files import load
    from rnngrad.net.batch import alone, one_sequence, without_dense
    from rnngrad.views.formats.names import asked_for, format_named

    render = format_named(asked_for(format_name, json, output), "grade")
    shown = screen(color, no_color, to_file=output is not None)
    for read in (spec, *files):
        check_writable(output, force, read)
    chosen = CheckOptions(rtol, hide_expected, quiet=quiet, spec=spec)
    problem = alone(one_sequence(load(spec, overrides=overrides or ()), "grade"))
    without_dense(problem, "grade")
    report, verdict = run(problem, files, chosen)
    write_text(render(report, shown), output)
    return VERDICTS[str(verdict)]
