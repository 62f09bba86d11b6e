"""Options that commands share, and the panels that help puts options in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from rnngrad.cli import boundary, completion
from rnngrad.views.pictures import kinds

OUTPUT = "Output"
RUNNING = "How it is computed"

Spec: TypeAlias = Annotated[
    str, typer.Argument(metavar="SPEC", help="The net, its weights and a sequence (YAML), or -.")
]
Specs: TypeAlias = Annotated[
    list[str], typer.Argument(metavar="SPEC", help="One spec or several, or -.")
]
Set: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a key of the spec; repeatable."),
]
Rtol: TypeAlias = Annotated[
    float | None,
    typer.Option("--rtol", metavar="R", help="Relative to a row's largest entry; 1e-9 by default."),
]
HideExpected: TypeAlias = Annotated[
    bool, typer.Option("--hide-expected", metavar="", help="Hints without the right values.")
]
Format: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--format",
        "-f",
        metavar="FORMAT",
        help=f"{completion.listed(completion.FORMATS)}; by default by FILE's ending, else table.",
        autocompletion=completion.one_of(*completion.FORMATS),
        rich_help_panel=OUTPUT,
    ),
]
Json: TypeAlias = Annotated[
    bool,
    typer.Option("--json", metavar="", help="Short for --format json.", rich_help_panel=OUTPUT),
]
Full: TypeAlias = Annotated[
    bool,
    typer.Option("--full", metavar="", help="Show every row.", rich_help_panel=OUTPUT),
]
Output: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", metavar="FILE", help="Write to FILE instead.", rich_help_panel=OUTPUT
    ),
]
Plot: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--plot",
        metavar="FILE",
        help="Draw pictures: .png, .svg or .pdf (extra plot).",
        rich_help_panel=OUTPUT,
    ),
]
PlotData: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--plot-data",
        metavar="FILE.csv",
        help="Write the numbers of the pictures.",
        rich_help_panel=OUTPUT,
    ),
]


def plot_what(verb: str) -> Any:
    """``--plot-what`` of a verb."""
    names = ", ".join(kinds.of_verb(verb))

    def completions(incomplete: str) -> list[tuple[str, str]]:
        return kinds.completions(verb, incomplete)

    return typer.Option(
        "--plot-what",
        metavar="NAME",
        help=f"Only this picture; repeatable: {names}.",
        autocompletion=completions,
        rich_help_panel=OUTPUT,
    )


Force: TypeAlias = Annotated[
    bool,
    typer.Option("--force", metavar="", help="Overwrite files that exist.", rich_help_panel=OUTPUT),
]
Quiet: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--quiet",
        "-q",
        metavar="",
        help="No warnings or remarks on standard error.",
        rich_help_panel=OUTPUT,
    ),
]
Color: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--color",
        metavar="WHEN",
        help=f"{completion.listed(completion.COLORS)}: colours and bold type; auto on a terminal "
        "without NO_COLOR.",
        autocompletion=completion.one_of(*completion.COLORS),
        rich_help_panel=OUTPUT,
    ),
]
NoColor: TypeAlias = Annotated[
    bool,
    typer.Option("--no-color", metavar="", help="Short for --color never.", rich_help_panel=OUTPUT),
]


def _show_tracebacks(wanted: bool) -> None:
    if wanted:
        boundary.show_tracebacks()


Debug: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--debug",
        metavar="",
        callback=_show_tracebacks,
        help="Show the traceback of an error; so does RNNGRAD_DEBUG=1.",
    ),
]
