"""The Typer app. Each command is a module; what is slow to import, it imports when it runs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Annotated, NoReturn

import typer

from rnngrad.cli import boundary, options
from rnngrad.cli.commands.cells import cells
from rnngrad.cli.commands.check import check
from rnngrad.cli.commands.derive import derive
from rnngrad.cli.commands.grade import grade
from rnngrad.cli.commands.init import init
from rnngrad.cli.commands.report import report
from rnngrad.cli.commands.schema import schema
from rnngrad.cli.commands.show import show
from rnngrad.cli.commands.sweep import sweep
from rnngrad.cli.exit_codes import USERS_FAULT
from rnngrad.cli.usage import OLD_NAMES

app = typer.Typer(
    name="rnngrad",
    help="Where every gradient of a recurrent net comes from, and why it vanishes or explodes.",
    epilog="Start with: rnngrad init > net.yaml, then rnngrad derive net.yaml",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    invoke_without_command=True,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "token_normalize_func": lambda name: OLD_NAMES.get(name, name),
    },
)
COMMANDS: Mapping[str, Callable[..., None]] = MappingProxyType(
    {
        command.__name__: command
        for command in (derive, check, grade, sweep, show, report, init, cells, schema)
    }
)
"""name -> command, in the order of the help: the one place to add a command."""

EXAMPLES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "derive": (
            "rnngrad derive net.yaml --set activation=relu",
            "rnngrad derive net.yaml --quantity dL_dW_hh --format csv",
            "rnngrad derive net.yaml --format latex --standalone -o sheet.tex",
            "rnngrad derive net.yaml --explain a6",
        ),
        "check": (
            "rnngrad check net.yaml --against gradients.npz",
            "rnngrad check net.yaml --against student.py:backward --trials 5",
        ),
        "grade": (
            "rnngrad grade net.yaml answers.yaml",
            "rnngrad grade net.yaml submissions/*.yaml --format csv",
        ),
        "sweep": (
            "rnngrad sweep net.yaml --whh-scale 0.1:4:40 --seeds 3",
            "rnngrad sweep net.yaml --whh-scale 0.1:10:41:log -o rows.jsonl --resume",
        ),
        "show": (
            "rnngrad show rows.jsonl",
            "rnngrad show rows.jsonl --format markdown -o rows.md",
        ),
        "report": (
            "rnngrad report net.yaml -o report.html",
            "rnngrad report rnn.yaml gru.yaml lstm.yaml -o report.html",
        ),
        "init": (
            "rnngrad init -o net.yaml",
            "rnngrad init model.safetensors -o trained.yaml",
            "rnngrad init --function net.yaml -o student.py",
            "rnngrad init --exercise --seed 7 -o exercise.yaml",
        ),
        "cells": ("rnngrad cells", "rnngrad cells lstm_peephole -o cell.yaml"),
        "schema": ("rnngrad schema -o rnngrad.schema.json",),
    }
)
"""name -> the lines that end its help."""


def _in_paragraphs(command: Callable[..., None]) -> str:
    """The docstring of a command, a line a paragraph: Typer keeps line breaks."""
    paragraphs = (inspect.getdoc(command) or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


for _name, _command in COMMANDS.items():
    app.command(help=_in_paragraphs(_command), epilog="\n".join(("Examples:", *EXAMPLES[_name])))(
        _command
    )


@app.callback()
def _root(
    context: typer.Context,
    version: Annotated[
        bool, options.option("--version", "The versions of rnngrad, Python, NumPy and its BLAS.")
    ] = False,
    json: Annotated[bool, options.option("--json", "With --version: as JSON.")] = False,
    debug: options.Debug = False,
) -> None:
    if version:
        from rnngrad.cli.about import versions

        typer.echo(versions(json))
        raise typer.Exit
    if json:
        _refuse("--json goes behind a command, or with --version")
    if context.invoked_subcommand is None:
        _refuse("a command is missing; rnngrad --help lists them")


def _refuse(words: str) -> NoReturn:
    boundary.say(words)
    raise typer.Exit(USERS_FAULT)
