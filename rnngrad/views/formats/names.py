"""The formats: one entry each, name -> Report to text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from rnngrad.errors import UsageError, did_you_mean
from rnngrad.views.formats import to_csv, to_html, to_json, to_markdown, to_rich
from rnngrad.views.report import Report, Screen

Render = Callable[[Report, Screen], Iterator[str]]


def _latex(report: Report, screen: Screen) -> Iterator[str]:
    from rnngrad.views.formats import to_latex  # only now: to read formulas takes some ms to load

    yield from to_latex.render(report, screen)


def _typst(report: Report, screen: Screen) -> Iterator[str]:
    from rnngrad.views.formats import to_typst

    yield from to_typst.render(report, screen)


FORMATS: Mapping[str, Render] = MappingProxyType(
    {
        "table": to_rich.render,
        "json": to_json.render,
        "jsonl": to_json.render_lines,
        "csv": to_csv.render,
        "markdown": to_markdown.render,
        "html": to_html.render,
        "latex": _latex,
        "typst": _typst,
    }
)


def for_people(render: Render) -> bool:
    """Whether a format shows the report's tables, not its data."""
    return render in (to_rich.render, to_markdown.render, to_html.render, _latex, _typst)


SUFFIXES: Mapping[str, str] = MappingProxyType(
    {
        ".json": "json",
        ".jsonl": "jsonl",
        ".csv": "csv",
        ".md": "markdown",
        ".html": "html",
        ".tex": "latex",
        ".typ": "typst",
        ".txt": "table",
        "": "table",
    }
)
"""Ending of a file's name -> the format it is written in where none is asked for."""


def asked_for(name: str | None, json: bool, output: Path | None, specs: Sequence[str] = ()) -> str:
    """The name of the format that was asked for, else that of the file's ending, else table;
    UsageError where no format has that ending, or another than the one asked for. ``specs``:
    endings of what a command writes for people."""
    if json and name not in (None, "json"):
        raise UsageError(f"--json contradicts --format {name}")
    asked = "json" if json else name
    ending = "" if output is None else output.suffix.lower()
    own = SUFFIXES.get(ending, "table")
    if asked in FORMATS and own not in ("table", asked):
        option = "--json" if json else f"--format {asked}"
        raise UsageError(f"{option} contradicts -o {output}, which ends as {own} does")
    if asked == "json":
        return "json"
    if name is None and output is not None:
        suffix = output.suffix.lower()
        if suffix in specs:
            return "table"
        if suffix not in SUFFIXES:
            known = ", ".join(filter(None, SUFFIXES))
            raise UsageError(
                f"-o {output}: no format ends in {suffix}; these do: {known}; --format says which "
                "one else"
            )
        return SUFFIXES[suffix]
    return name or "table"


def format_named(name: str, command: str) -> Render:
    """The format called ``name``; UsageError names those that the command has."""
    if name in FORMATS:
        return FORMATS[name]
    known = ", ".join(FORMATS)
    meant = "table" if name in ("text", "plain") else SUFFIXES.get(f".{name.lower()}")
    hint = f"; did you mean '{meant}'?" if meant else did_you_mean(name, FORMATS)
    raise UsageError(f"no format is called '{name}'; {command} has {known}{hint}")
