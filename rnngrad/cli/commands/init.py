"""``rnngrad init``"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rnngrad.cli import completion, options
from rnngrad.cli.boundary import bounded, say

if TYPE_CHECKING:
    from rnngrad.files.models import Contents, Found
    from rnngrad.files.models.records import Store
    from rnngrad.files.starters.data import Given, Table
    from rnngrad.files.starters.model import Before

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
        options.option(
            "--prefix KEY",
            "Which recurrent net of the file. Several times: a stack, lowest first.",
            MODEL,
            complete=completion.prefixes,
        ),
    ] = None,
    direction: Annotated[
        str | None,
        options.option(
            "--direction WAY",
            f"{completion.listed(completion.DIRECTIONS)}, of a bidirectional net.",
            MODEL,
            complete=completion.one_of(*completion.DIRECTIONS),
        ),
    ] = None,
    layout: Annotated[
        str | None,
        options.option(
            "--layout LAYOUT",
            f"{completion.listed(completion.LAYOUTS)}, if it is not recognised.",
            MODEL,
            complete=completion.one_of(*completion.LAYOUTS),
        ),
    ] = None,
    inputs: Annotated[
        Path | None, options.option("--inputs FILE", "Your inputs: .npy, .npz or .csv.", MODEL)
    ] = None,
    targets: Annotated[
        Path | None,
        options.option(
            "--targets FILE", "Your targets: rows or labels, for each step or the last.", MODEL
        ),
    ] = None,
    upstream: Annotated[
        Path | None,
        options.option(
            "--upstream FILE", "In place of targets: ∂L/∂h_t of a head that is not here.", MODEL
        ),
    ] = None,
    cell: Annotated[
        str | None,
        options.option(
            "--cell NAME", "A spec of that cell; see rnngrad cells.", complete=completion.cells
        ),
    ] = None,
    function: Annotated[
        str | None,
        options.option("--function SPEC", "Write student.py instead: a function to fill in."),
    ] = None,
    exercise: Annotated[
        bool,
        options.option(
            "--exercise", "A fresh exercise with random numbers, of any cell.", EXERCISE
        ),
    ] = False,
    seed: Annotated[
        int | None, options.option("--seed N", "Number of the exercise; 0 by default.", EXERCISE)
    ] = None,
    steps: Annotated[int | None, options.option("--steps T", "Number of steps.", EXERCISE)] = None,
    hidden: Annotated[
        int | None, options.option("--hidden H", "Number of hidden units.", EXERCISE)
    ] = None,
    scalar: Annotated[
        bool,
        options.option(
            "--scalar", "One input, one hidden unit, one output, as on the sheet.", EXERCISE
        ),
    ] = False,
    output: options.Output = None,
    force: options.Force = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> int:
    """Write a spec with comments: of a small net, a trained model, a cell or an exercise.

    With MODEL: list the recurrent nets of the file, and write the spec of one of them. The first
    line of a spec names the schema for editors; rnngrad schema -o rnngrad.schema.json writes it.
    With --function SPEC: write a Python function to fill in, with every shape, which
    check SPEC --against FILE.py:backward then calls. With --exercise: draw sizes, activations and
    numbers of one or two digits from a seed.
    """
    from rnngrad.cli.output import check_writable, write_text
    from rnngrad.errors import UsageError

    if not exercise and (seed, steps, hidden, scalar) != (None, None, None, False):
        raise UsageError("--seed, --steps, --hidden and --scalar need --exercise")
    given = (prefix, direction, layout, inputs, targets, upstream)
    if exercise and any((model, *given, function)):
        raise UsageError("--exercise takes --cell, --seed and the sizes, and no other option")
    if function is not None:
        if model is not None or cell or any(given):
            raise UsageError("--function needs SPEC alone, no MODEL and none of its options")
        check_writable(output, force, function)
        write_text([_function_of(function, output)], output)
        return 0
    check_writable(output, force, "" if model is None else str(model))
    if exercise:
        text = _exercise(cell, seed or 0, steps, hidden, scalar)
    elif cell is not None:
        text = _of_cell(cell, [model, *given])
    elif model is None:
        if any(given):
            words = "--prefix, --direction, --layout, --inputs, --targets and --upstream need MODEL"
            raise UsageError(f"{words}, a trained model's file")
        text = _plain_starter()
    else:
        if (targets or upstream) is not None and inputs is None:
            option = "--upstream" if targets is None else "--targets"
            raise UsageError(f"{option} needs --inputs beside it")
        if targets is not None and upstream is not None:
            raise UsageError("--upstream stands in place of --targets; give one of them")
        data = (inputs, targets, upstream)
        text = _of_model(model, prefix, direction, layout, data, output, quiet)
    text = f"{SCHEMA_LINES}{text}"
    write_text([text], output)
    if inputs is not None and not quiet:
        _say_unless_it_loads(text, output)
    return 0


def _say_unless_it_loads(text: str, output: Path | None) -> None:
    """What is wrong with a spec of somebody's arrays as it was written."""
    from io import BytesIO

    from rnngrad.cli.output import STANDARD_OUTPUT
    from rnngrad.errors import SpecError
    from rnngrad.files import load

    shown = output in (None, STANDARD_OUTPUT)
    try:
        load("-" if shown else str(output), stdin=BytesIO(text.encode()) if shown else None)
    except SpecError as error:
        say(f"warning: this spec cannot be loaded as it is: {error.mistakes[0]}")


def _function_of(spec: str, output: Path | None) -> str:
    """The file for a student; its second line checks it."""
    from rnngrad.cli.output import STANDARD_OUTPUT
    from rnngrad.errors import UsageError
    from rnngrad.files import load
    from rnngrad.files.starters.function import FILE, function_file
    from rnngrad.net.batch import one_sequence

    path = FILE if output in (None, STANDARD_OUTPUT) else str(output)
    if not path.endswith(".py"):
        raise UsageError(f"{path}: must end in .py, so that --against can name a function in it")
    return function_file(one_sequence(load(spec), "--function"), spec, path)


def _plain_starter() -> str:
    from importlib.resources import files

    return (files("rnngrad.files") / STARTER).read_text(encoding="utf-8")


def _exercise(
    cell: str | None, seed: int, steps: int | None, hidden: int | None, scalar: bool
) -> str:
    from rnngrad.cli.commands.cells import checked
    from rnngrad.errors import UsageError
    from rnngrad.files.starters.exercise import Sizes
    from rnngrad.files.starters.exercise import exercise as drawn

    if scalar and hidden not in (None, 1):
        raise UsageError(f"--scalar has one hidden unit, and --hidden is {hidden}")
    sizes = Sizes(steps, 1, 1, 1) if scalar else Sizes(steps, None, hidden, None)
    return drawn(seed, sizes, checked(cell or "rnn"))


def _of_cell(cell: str, others: Sequence[object]) -> str:
    from rnngrad.cli.commands.cells import checked
    from rnngrad.errors import UsageError
    from rnngrad.files.starters.cell import starter

    if any(other is not None for other in others):
        raise UsageError("--cell draws the weights: it takes no MODEL and none of its options")
    return starter(checked(cell))


def _of_model(
    model: Path,
    prefix: Sequence[str] | None,
    direction: str | None,
    layout: str | None,
    data: tuple[Path | None, Path | None, Path | None],
    output: Path | None,
    quiet: bool,
) -> str:
    """The spec of one net of a file; the nets that there are go to standard error."""
    from rnngrad.errors import SpecError
    from rnngrad.files.models import ModelFileError, read_model
    from rnngrad.files.models.layouts import open_store
    from rnngrad.files.starters.data import Sizes, given
    from rnngrad.files.starters.data import filled as fill
    from rnngrad.files.starters.model import (
        between,
        candidates,
        last_of_both,
        no_read_out,
        read_out,
        refuse_for_a_half,
        starter,
        table,
    )
    from rnngrad.files.starters.model import scalar as yaml_scalar

    try:
        contents = read_model(model, layout, str(model))
        listing = _columns(table(candidates(contents)))
        net = _chosen(contents, prefix, direction, listing)
    except ModelFileError as error:
        raise SpecError([str(error)]) from None
    if not quiet:
        say("\n".join(listing))
    if data[1] is not None:
        refuse_for_a_half(contents, net, str(data[1]))
    seen = _seen_from_spec(model, output)
    store = open_store(model, layout, str(model))
    inputs, targets, upstream = (
        None if path is None else given(path, yaml_scalar(_seen_from_spec(path, output)))
        for path in data
    )
    front, tables = _in_front(store, contents, net, inputs, seen)
    contents = contents._replace(
        name=seen, dense=tuple(one for one in contents.dense if one is not front.dense)
    )
    dense = None if upstream is not None else read_out(contents, net)
    width = net.inputs if front.dense is None else front.dense.W.shape[1]
    outputs = net.seen if dense is None else dense.W.shape[0]
    sizes = Sizes(width, outputs, tuple(one for one in tables if one.shape[1] == width))
    if targets is not None and dense is None and not quiet:
        say(f"not certain: {no_read_out(contents, net)}")
    filled = None if inputs is None else fill(inputs, targets, sizes, upstream)
    if filled is not None:
        filled = filled._replace(assumed=[*filled.assumed, *last_of_both(net, filled)])
    assumed = [] if front.dense is None else [front.assumed]
    for words in (*assumed, *(filled.assumed if filled is not None else ())) if not quiet else ():
        say(f"assumed: {words}")
    doubt = None if dense is None else between(store, net, dense)
    if doubt is not None and not quiet:
        say(f"not certain: {doubt}")
    return starter(contents, net, dense, seen, filled, doubt, front)


def _in_front(
    store: Store, contents: Contents, net: Found, inputs: Given | None, seen: str
) -> tuple[Before, tuple[Table, ...]]:
    """What stands before the net, and the embeddings that may."""
    from rnngrad.files.starters.model import before, embeddings

    fitting = before(contents, net, ()).fitting
    tables = embeddings(store, {net.inputs, *(each.W.shape[1] for each in fitting)}, seen)
    widths: Collection[int] = {table.shape[1] for table in tables}
    if inputs is not None and inputs.array.ndim > 1 and not (inputs.whole and tables):
        widths = inputs.shape[-1:]
    return before(contents, net, widths), tables


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
