"""``rnngrad show``"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rnngrad.cli import options
from rnngrad.cli.boundary import bounded


@bounded
def show(
    rows: Annotated[
        Path, typer.Argument(metavar="ROWS", help="A file that sweep -o rows.jsonl wrote.")
    ],
    full: options.Full = False,
    format_name: options.Format = None,
    json: options.Json = False,
    output: options.Output = None,
    force: options.Force = False,
    color: options.Color = None,
    no_color: options.NoColor = False,
    debug: options.Debug = False,
) -> int:
    """Show again a sweep that was saved in a file.

    The file has the points, not the nets. So the critical scale is only known to lie between two
    points, and theory is left out. sweep with the spec and --resume shows both without computing
    points again.
    """
    from rnngrad.analyses.sweep.sweep import kept
    from rnngrad.cli.output import check_writable, screen, write_text
    from rnngrad.cli.sweeps.file import read_rows
    from rnngrad.views.formats.names import asked_for, format_named
    from rnngrad.views.sweeps.report import report

    render = format_named(asked_for(format_name, json, output), "show")
    shown = screen(color, no_color, to_file=output is not None)
    check_writable(output, force, str(rows))
    write_text(render(report(kept(read_rows(rows)), full), shown), output)
    return 0
