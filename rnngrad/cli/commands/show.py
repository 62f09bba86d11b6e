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
    plot: options.Plot = None,
    plot_what: Annotated[list[str] | None, options.plot_what("sweep")] = None,
    map_over: options.Map = None,
    plot_data: options.PlotData = None,
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
    points, and theory is left out, also in pictures. sweep with the spec and --resume shows both
    without computing points again.
    """
    from rnngrad.analyses.sweep.sweep import kept
    from rnngrad.cli.output import check_writable, screen, write_text
    from rnngrad.cli.plots import over_swept, planned
    from rnngrad.cli.sweeps.file import read_rows
    from rnngrad.views.formats.names import asked_for, format_named
    from rnngrad.views.pictures.rate_map import Swept, check_swept
    from rnngrad.views.sweeps.report import report

    render = format_named(asked_for(format_name, json, output), "show")
    shown = screen(color, no_color, to_file=output is not None)
    check_writable(output, force, str(rows))
    plots = planned("sweep", plot, plot_what, plot_data, force, [str(rows)], {"-o": output})
    plots, over = over_swept(map_over, plots)
    done = kept(read_rows(rows))
    if over is not None:
        check_swept(over, done.plan)
    moves = [] if plots is None else plots.staged(Swept(done, over))
    write_text(render(report(done, full), shown), output)
    for move in moves:
        move()
    return 0
