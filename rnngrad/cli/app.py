"""The Typer app. Each command is a module; what is slow to import, it imports when it runs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Annotated

import typer

from rnngrad.cli import boundary
from rnngrad.cli.cells import cells
from rnngrad.cli.check import check
from rnngrad.cli.derive import derive
from rnngrad.cli.init import init
from rnngrad.cli.schema import schema
from rnngrad.cli.sweep import sweep
from rnngrad.version import __version__

app = typer.Typer(
    name="rnngrad",
    help="Where every gradient of a recurrent net comes from, and why it vanishes or explodes.",
    epilog="Start with: rnngrad init > net.yaml, then rnngrad derive net.yaml",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
COMMANDS: Mapping[str, Callable[..., None]] = MappingProxyType(
    {command.__name__: command for command in (derive, check, sweep, init, cells, schema)}
)
"""name -> command, in the order of the help: the one place to add a command."""


def _in_paragraphs(command: Callable[..., None]) -> str:
    """The docstring of a command, a line a paragraph: Typer keeps line breaks."""
    paragraphs = (inspect.getdoc(command) or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


for _command in COMMANDS.values():
    app.command(help=_in_paragraphs(_command))(_command)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"rnngrad {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", metavar="", callback=_show_version, is_eager=True, help="Show the version."
        ),
    ] = False,
    debug: Annotated[
        bool,
        typer.Option("--debug", metavar="", help="Show the traceback of a fault of rnngrad's own."),
    ] = False,
) -> None:
    if debug:
        boundary.show_tracebacks()
