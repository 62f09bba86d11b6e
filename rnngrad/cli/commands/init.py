"""``rnngrad init``"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rnngrad.cli import completion, options
from rnngrad.cli.boundary import bounded, say

if TYPE_CHECKING:
    from rnngrad.files.models import Contents, Found

STARTER = "starter.yaml"
SCHEMA_LINES = """\
# yaml-language-server: $schema=rnngrad.schema.json
# For an editor's completion, beside this file: rnngrad schema -o rnngrad.schema.json
"""
"""What every spec begins with: the same on every machine."""
MODEL = "With MODEL"
EXERCISE = "With --exercise"


@bounded
def init(
    model: Annotated[
        Path | None,
        typer.Argument(metavar="MODEL", help="A trained model's file: .safetensors, .h5, .onnx."),
    ] = None,
    prefix: Annotated[
        list[str] | None,
        typer.Option(
            "--prefix",
            metavar="KEY",
            help="Which recurrent net of the file. Several times: a stack, lowest first.",
            autocompletion=completion.prefixes,
            rich_help_panel=MODEL,
        ),
    ] = None,
    direction: Annotated[
        str | None,
        typer.Option(
            "--direction",
            metavar="WAY",
            help=f"{completion.listed(completion.DIRECTIONS)}, of a bidirectional net.",
            autocompletion=completion.one_of(*completion.DIRECTIONS),
            rich_help_panel=MODEL,
        ),
    ] = None,
    layout: Annotated[
        str | None,
        typer.Option(
            "--layout",
            metavar="LAYOUT",
            help=f"{completion.listed(completion.LAYOUTS)}, if it is not told.",
            autocompletion=completion.one_of(*completion.LAYOUTS),
            rich_help_panel=MODEL,
        ),
    ] = None,
    cell: Annotated[
        str | None,
        typer.Option(
            "--cell",
            metavar="NAME",
            help="A spec of that cell; see rnngrad cells.",
            autocompletion=completion.cells,
        ),
    ] = None,
    function: Annotated[
        str | None,
        typer.Option(
            "--function", metavar="SPEC", help="Write student.py instead: a function to fill in."
        ),
    ] = None,
    exercise: Annotated[
        bool,
        typer.Option(
            "--exercise",
            metavar="",
            help="A fresh exercise, its numbers drawn; of any cell.",
            rich_help_panel=EXERCISE,
        ),
    ] = False,
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed",
            metavar="N",
            help="Which exercise; 0 by default.",
            rich_help_panel=EXERCISE,
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option("--steps", metavar="T", help="So many.", rich_help_panel=EXERCISE),
    ] = None,
    inputs: Annotated[
        int | None,
        typer.Option("--inputs", metavar="I", help="So many.", rich_help_panel=EXERCISE),
    ] = None,
    hidden: Annotated[
        int | None,
        typer.Option("--hidden", metavar="H", help="So many.", rich_help_panel=EXERCISE),
    ] = None,
    outputs: Annotated[
        int | None,
        typer.Option("--outputs", metavar="O", help="So many.", rich_help_panel=EXERCISE),
    ] = None,
    output: options.Output = None,
    force: options.Force = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> int:
    """Write a commented starter spec, for a trained model's file, of a cell, or to fill in.

    With MODEL: list the recurrent nets of the file, and write the spec of one of them. The
    first line points an editor at the schema beside the spec, which rnngrad schema -o
    rnngrad.schema.json writes. With --function SPEC: write the Python function
    that check SPEC --against FILE.py:backward calls, with every shape; the passes are to fill in.
    With --exercise: draw sizes, activations and numbers of one or two digits from a seed.
    """
    from rnngrad.cli.output import check_writable, write_text
    from rnngrad.errors import UsageError

    sizes = (steps, inputs, hidden, outputs)
    if not exercise and (seed is not None or sizes != (None,) * 4):
        raise UsageError("--seed, --steps, --inputs, --hidden and --outputs need --exercise")
    if exercise and (model is not None or prefix or direction or layout or function):
        raise UsageError("--exercise goes with --cell, --seed and sizes, and with nothing else")
    if function is not None:
        if model is not None or prefix or direction or layout or cell:
            raise UsageError("--function needs SPEC alone, no MODEL and none of its options")
        check_writable(output, force, function)
        write_text([_function_of(function, output)], output)
        return 0
    check_writable(output, force, "" if model is None else str(model))
    if exercise:
        text = _exercise(cell, 0 if seed is None else seed, sizes)
    elif cell is not None:
        text = _of_cell(cell, [model, prefix, direction, layout])
    elif model is None:
        if prefix or direction or layout:
            words = "--prefix, --direction and --layout need MODEL, a trained model's file"
            raise UsageError(words)
        text = _plain_starter()
    else:
        text = _of_model(model, prefix, direction, layout, output, quiet)
    write_text([f"{SCHEMA_LINES}{text}"], output)
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


def _plain_starter() -> str:
    from importlib.resources import files

    return (files("rnngrad.files") / STARTER).read_text(encoding="utf-8")


def _exercise(cell: str | None, seed: int, sizes: tuple[int | None, ...]) -> str:
    from rnngrad.cli.commands.cells import checked
    from rnngrad.files.starters.exercise import Sizes
    from rnngrad.files.starters.exercise import exercise as drawn

    return drawn(seed, Sizes(*sizes), checked(cell or "rnn"))


def _of_cell(cell: str, others: Sequence[object]) -> str:
    from rnngrad.cli.commands.cells import checked
    from rnngrad.errors import UsageError
    from rnngrad.files.starters.cell import starter

    if any(other is not None for other in others):
        raise UsageError("--cell writes a spec with weights to draw; it goes with no MODEL")
    return starter(checked(cell))


def _of_model(
    model: Path,
    prefix: Sequence[str] | None,
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
        net = _chosen(contents, prefix, direction, listing)
    except ModelFileError as error:
        raise SpecError([str(error)]) from None
    if not quiet:
        say("\n".join(listing))
    seen = _seen_from_spec(model, output)
    return starter(contents._replace(name=seen), net, read_out(contents, net), seen)


def _seen_from_spec(model: Path, output: Path | None) -> str:
    """The model's path from the folder of the spec, with links to folders followed, as reading
    follows them; whole only where no way leads there, to another drive of Windows."""
    folder = Path() if output is None or output == Path("-") else output.parent
    found = model.parent.resolve() / model.name
    try:
        return Path(os.path.relpath(found, folder.resolve())).as_posix()
    except ValueError:
        return str(found)


def _chosen(
    contents: Contents, prefix: Sequence[str] | None, direction: str | None, listing: Sequence[str]
) -> Found:
    """The net that is asked for; UsageError with the list where there are several to choose."""
    from rnngrad.errors import UsageError
    from rnngrad.files.models import choose

    keys = list(dict.fromkeys(net.key for net in contents.recurrent))
    if not prefix and len(keys) > 1:
        ask = "choose one with --prefix KEY, or several for a stack"
        words = f"{contents.name} holds {len(keys)} recurrent nets; {ask}"
        raise UsageError("\n".join([f"{words}:", *listing]))
    return choose(contents, prefix or None, direction)


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of words as lines, in columns as wide as their words."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    padded = [[f"{word:<{width}}" for word, width in zip(row, widths, strict=True)] for row in rows]
    return [f"  {'  '.join(words).rstrip()}" for words in padded]
