"""Options that commands share, and the panels that help puts options in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from rnngrad.cli import boundary, completion
from rnngrad.errors import UsageError
from rnngrad.views.pictures import kinds

OUTPUT = "Output"
RUNNING = "How it is computed"


def option(
    declared: str,
    words: str,
    panel: str | None = None,
    complete: Callable[..., Any] | None = None,
    callback: Callable[..., Any] | None = None,
) -> Any:
    """``option("--output -o FILE", …)``: an option's names and what it takes, a flag takes nothing;
    its help, the panel of the help that it stands in, and what completes it."""
    *names, last = declared.split(" ")
    flag = last.startswith("-")
    return typer.Option(
        *names,
        *([last] if flag else []),
        metavar="" if flag else last,
        help=words,
        rich_help_panel=panel,
        autocompletion=complete,
        callback=callback,
    )


Spec: TypeAlias = Annotated[
    str, typer.Argument(metavar="SPEC", help="The net, its weights and a sequence (YAML), or -.")
]
Specs: TypeAlias = Annotated[
    list[str], typer.Argument(metavar="SPEC", help="One spec or several, or -.")
]
Set: TypeAlias = Annotated[
    list[str] | None, option("--set KEY=VALUE", "Override a key of the spec; repeatable.")
]
Rtol: TypeAlias = Annotated[
    float | None, option("--rtol R", "Relative to a row's largest entry; 1e-9 by default.")
]
HideExpected: TypeAlias = Annotated[
    bool, option("--hide-expected", "Hints without the right values.")
]
Format: TypeAlias = Annotated[
    str | None,
    option(
        "--format -f FORMAT",
        f"{completion.listed(completion.FORMATS)}; by default by FILE's ending, else table.",
        OUTPUT,
        complete=completion.one_of(*completion.FORMATS),
    ),
]
Json: TypeAlias = Annotated[bool, option("--json", "Short for --format json.", OUTPUT)]


def _allow(size: str | None) -> None:
    from rnngrad.memory import allow

    try:
        allow(size)
    except UsageError as error:
        raise typer.BadParameter(str(error)) from None


MaxMemory: TypeAlias = Annotated[
    str | None,
    option(
        "--max-memory SIZE",
        "Refuse what takes more memory, as 2G; by default three quarters of what is free.",
        RUNNING,
        callback=_allow,
    ),
]
Full: TypeAlias = Annotated[bool, option("--full", "Show every row.", OUTPUT)]
Output: TypeAlias = Annotated[
    Path | None, option("--output -o FILE", "Write to FILE instead.", OUTPUT)
]
Plot: TypeAlias = Annotated[
    Path | None, option("--plot FILE", "Draw pictures: .png, .svg or .pdf (extra plot).", OUTPUT)
]
PlotData: TypeAlias = Annotated[
    Path | None, option("--plot-data FILE.csv", "Write the numbers of the pictures.", OUTPUT)
]


def plot_what(verb: str) -> Any:
    """``--plot-what`` of a verb."""
    names = ", ".join(kinds.of_verb(verb))

    def completions(incomplete: str) -> list[tuple[str, str]]:
        return kinds.completions(verb, incomplete)

    return option(
        "--plot-what NAME", f"Only this picture; repeatable: {names}.", OUTPUT, complete=completions
    )


Map: TypeAlias = Annotated[
    str | None,
    option("--map A,B", "Draw the rate over two swept axes: scale,seed.", OUTPUT),
]
Force: TypeAlias = Annotated[bool, option("--force", "Overwrite files that exist.", OUTPUT)]
Quiet: TypeAlias = Annotated[
    bool, option("--quiet -q", "No warnings or remarks on standard error.", OUTPUT)
]
Color: TypeAlias = Annotated[
    str | None,
    option(
        "--color WHEN",
        f"{completion.listed(completion.COLORS)}: colours and bold type; auto on a terminal "
        "without NO_COLOR.",
        OUTPUT,
        complete=completion.one_of(*completion.COLORS),
    ),
]
NoColor: TypeAlias = Annotated[bool, option("--no-color", "Short for --color never.", OUTPUT)]


def _show_tracebacks(wanted: bool) -> None:
    if wanted:
        boundary.show_tracebacks()


Debug: TypeAlias = Annotated[
    bool,
    option(
        "--debug",
        "Show the traceback of an error; so does RNNGRAD_DEBUG=1.",
        callback=_show_tracebacks,
    ),
]
