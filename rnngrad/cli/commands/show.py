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
        Path, typer.Argument(metavar="ROWS", help="What sweep -o rows.jsonl has written.")
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
    """Show a sweep that was kept in a file, as sweep showed it.

    The file has the points, not the nets: the critical scale is as close as the points are, and
    theory is left out. sweep with the spec and --resume shows both, and computes no point again.
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
