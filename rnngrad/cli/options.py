"""Options that commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

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
Format: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--format",
        "-f",
        metavar="FORMAT",
        help="table, json, jsonl, csv or markdown; by default as FILE ends, else table.",
    ),
]
Json: TypeAlias = Annotated[
    bool, typer.Option("--json", metavar="", help="Short for --format json.")
]
Output: TypeAlias = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write to FILE instead.")
]
Force: TypeAlias = Annotated[
    bool, typer.Option("--force", metavar="", help="Overwrite files that exist.")
]
Quiet: TypeAlias = Annotated[
    bool,
    typer.Option("--quiet", "-q", metavar="", help="No warnings or remarks on standard error."),
]
NoColor: TypeAlias = Annotated[
    bool, typer.Option("--no-color", metavar="", help="No colours or bold type.")
]
