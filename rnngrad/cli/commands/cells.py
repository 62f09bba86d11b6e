"""``rnngrad cells``"""

from __future__ import annotations

from typing import Annotated

import typer

from rnngrad.cli import completion, options
from rnngrad.cli.boundary import bounded


@bounded
def cells(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME",
            help="One cell: its equations as YAML, in LaTeX and the like as formulas.",
            autocompletion=completion.cells,
        ),
    ] = None,
    format_name: options.Format = None,
    json: options.Json = False,
    output: options.Output = None,
    force: options.Force = False,
    color: options.Color = None,
    no_color: options.NoColor = False,
    debug: options.Debug = False,
) -> int:
    """List the cells that come with rnngrad, or print one as a spec's cell:.

    Copy what NAME prints into a spec to change the equations. rnngrad init --cell NAME writes a
    whole spec.
    """
    from rnngrad.cells import NAMES
    from rnngrad.cli.output import check_writable, screen, write_text
    from rnngrad.files.starters.cell import as_spec
    from rnngrad.views.cells import report
    from rnngrad.views.formats.names import asked_for, format_named

    kind = asked_for(format_name, json, output, specs=(".yaml", ".yml") if name else ())
    render = format_named(kind, "cells")
    check_writable(output, force)
    shown = screen(color, no_color, to_file=output is not None)
    names = NAMES if name is None else (checked(name),)
    printed = [as_spec(names[0])] if name and kind == "table" else render(report(names), shown)
    write_text(printed, output)
    return 0


def checked(name: str) -> str:
    """The name of a cell that comes with rnngrad; UsageError for another."""
    from rnngrad.cells import NAMES
    from rnngrad.errors import UsageError, did_you_mean

    if name in NAMES:
        return name
    hint = did_you_mean(name.lower(), NAMES)
    raise UsageError(f"no cell is called '{name}'{hint or '; rnngrad cells lists them'}")
