"""The Typer app. Each command is a module; what is slow to import, it imports when it runs."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated

import typer

from rnngrad.cli import boundary
from rnngrad.cli.cells import cells
from rnngrad.cli.check import check
from rnngrad.cli.derive import derive
from rnngrad.cli.front_door import Command
from rnngrad.cli.help_text import PlainFlags, PlainFlagsGroup, running_text
from rnngrad.cli.init import init
from rnngrad.cli.schema import schema
from rnngrad.cli.sweep import sweep
from rnngrad.version import __version__

app = typer.Typer(
    name="rnngrad",
    cls=PlainFlagsGroup,
    help="Where every gradient of a recurrent net comes from, and why it vanishes or explodes.",
    epilog="Start with: rnngrad init > net.yaml, then rnngrad derive net.yaml",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
COMMANDS: Mapping[str, Command] = MappingProxyType(
    {command.__name__: command for command in (derive, check, sweep, init, cells, schema)}
)
"""name -> command, in the order of the help: the one place to add a command."""

for _command in COMMANDS.values():
    app.command(cls=PlainFlags, help=running_text(_command))(_command)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"rnngrad {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of a fault of rnngrad's own.")
    ] = False,
) -> None:
    if debug:
        boundary.show_tracebacks()
