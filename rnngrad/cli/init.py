"""``rnngrad init``"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rnngrad.cli import options
from rnngrad.cli.boundary import bounded, say

if TYPE_CHECKING:
    from rnngrad.files.models import Contents, Found

STARTER = "starter.yaml"


@bounded
def init(
    model: Annotated[
        Path | None,
        typer.Argument(metavar="MODEL", help="A trained model's file: .safetensors, .h5, .onnx."),
    ] = None,
    layer: Annotated[
        list[str] | None,
        typer.Option(
            "--layer",
            metavar="KEY",
            help="Which recurrent net of the file. Several times: a stack, lowest first.",
        ),
    ] = None,
    direction: Annotated[
        str | None,
        typer.Option(
            "--direction", metavar="WAY", help="forward or reverse, of a bidirectional net."
        ),
    ] = None,
    layout: Annotated[
        str | None,
        typer.Option("--layout", metavar="LAYOUT", help="torch, keras or onnx, if it is not told."),
    ] = None,
    cell: Annotated[
        str | None,
        typer.Option("--cell", metavar="NAME", help="A spec of that cell; see rnngrad cells."),
    ] = None,
    function: Annotated[
        str | None,
        typer.Option(
            "--function", metavar="SPEC", help="Write student.py instead: a function to fill in."
        ),
    ] = None,
    output: options.Output = None,
    force: options.Force = False,
    quiet: options.Quiet = False,
) -> int:
    """Write a commented starter spec, for a trained model's file, of a cell, or to fill in.

    With MODEL: list the recurrent nets of the file, and write the spec of one of them. The
    first line points an editor at the schema. With --function SPEC: write the Python function
    that check SPEC --against FILE.py:backward calls, with every shape; the passes are to fill in.
    """
    from rnngrad.cli.output import check_writable, write_text
    from rnngrad.errors import UsageError

    if function is not None:
        if model is not None or layer or direction or layout or cell:
            raise UsageError("--function needs SPEC alone, no MODEL and none of its options")
        check_writable(output, force, function)
        write_text([_function_of(function, output)], output)
        return 0
    check_writable(output, force, "" if model is None else str(model))
    if cell is not None:
        text = _of_cell(cell, [model, layer, direction, layout])
    elif model is None:
        if layer or direction or layout:
            raise UsageError("--layer, --direction and --layout need MODEL, a trained model's file")
        text = _plain_starter()
    else:
        text = _of_model(model, layer, direction, layout, output, quiet)
    write_text([f"# yaml-language-server: $schema={_schema_address()}\n{text}"], output)
    return 0


def _function_of(spec: str, output: Path | None) -> str:
    """The file for a student; its second line checks it."""
    from rnngrad.cli.output import STANDARD_OUTPUT
    from rnngrad.errors import UsageError
    from rnngrad.files import load
    from rnngrad.files.starters.function import FILE, function_file

    path = FILE if output in (None, STANDARD_OUTPUT) else str(output)
    if not path.endswith(".py"):
        raise UsageError(f"{path}: must end in .py, so that --against can name a function in it")
    return function_file(load(spec), spec, path)


def _schema_address() -> str:
    from importlib.resources import as_file, files

    with as_file(files("rnngrad.files") / "schema.json") as schema_file:
        return schema_file.as_uri()


def _plain_starter() -> str:
    from importlib.resources import files

    return (files("rnngrad.files") / STARTER).read_text(encoding="utf-8")


def _of_cell(cell: str, others: Sequence[object]) -> str:
    from rnngrad.cli.cells import checked
    from rnngrad.errors import UsageError
    from rnngrad.files.starters.cell import starter

    if any(other is not None for other in others):
        raise UsageError("--cell writes a spec with weights to draw; it goes with no MODEL")
    return starter(checked(cell))


def _of_model(
    model: Path,
    layer: Sequence[str] | None,
    direction: str | None,
    layout: str | None,
    output: Path | None,
    quiet: bool,
) -> str:
    """The spec of one net of a file; the nets that there are go to standard error."""
    from rnngrad.errors import SpecError
    from rnngrad.files.models import ModelFileError, read_model
    from rnngrad.files.starters.model import candidates, read_out, starter, table

    try:
        contents = read_model(model, layout, str(model))
        listing = _columns(table(candidates(contents)))
        net = _chosen(contents, layer, direction, listing)
    except ModelFileError as error:
        raise SpecError([str(error)]) from None
    if not quiet:
        say("\n".join(listing))
    folder = Path() if output is None else output.parent
    seen_from_spec = os.path.relpath(model, folder) if not model.is_absolute() else str(model)
    return starter(contents, net, read_out(contents, net), seen_from_spec)


def _chosen(
    contents: Contents, layer: Sequence[str] | None, direction: str | None, listing: Sequence[str]
) -> Found:
    """The net that is asked for; UsageError with the list where there are several to choose."""
    from rnngrad.errors import UsageError
    from rnngrad.files.models import choose

    keys = list(dict.fromkeys(net.key for net in contents.recurrent))
    if not layer and len(keys) > 1:
        ask = "choose one with --layer KEY, or several for a stack"
        words = f"{contents.name} holds {len(keys)} recurrent nets; {ask}"
        raise UsageError("\n".join([f"{words}:", *listing]))
    return choose(contents, layer or None, direction)


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of words as lines, in columns as wide as their words."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    padded = [[f"{word:<{width}}" for word, width in zip(row, widths, strict=True)] for row in rows]
    return [f"  {'  '.join(words).rstrip()}" for words in padded]
