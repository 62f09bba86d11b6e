"""Writes what the pages of docs/ show but nobody types: outputs of commands, and the reference.

    python docs/pages.py              all pages; with names, as tutorial.md, just these

A page's ``console`` blocks are run from top to bottom in one new folder, which holds a copy of
``sample_configs`` and the page's own files (blocks with a ``title``). Below each line that begins
with ``$`` stands what the command prints. docs/cli.md comes from the app, docs/python.md from the
docstrings, docs/stress.md from the records of docs/stress/. A test fails when a page is not what
this writes.
"""

from __future__ import annotations

import inspect
import os
import re
import runpy
import shutil
import subprocess
import sys
import tempfile
import typing
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
CONSOLE = re.compile(r"^```console\n(.*?)^```$", re.M | re.S)
FILE = re.compile(r'^```\w+ title="([\w.]+)"\n(.*?)^```$', re.M | re.S)
NEEDS = {"trained_net.md": ("silero_vad_16k.safetensors",)}
"""Page -> files that its reader has downloaded; whoever runs the page puts them beside it."""


def ran(page: str, given: Path | None = None) -> str:
    """The page with what its commands print now; ``given`` is the folder of what it needs."""
    text = (HERE / page).read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(ROOT / "sample_configs", folder / "sample_configs")
        for needed in NEEDS.get(page, ()):
            shutil.copy((given or Path()) / needed, folder)
        for file, content in FILE.findall(text):
            (folder / file).write_text(content, encoding="utf-8")
        return CONSOLE.sub(lambda block: f"```console\n{_run(block[1], folder)}```", text)


def _run(block: str, folder: Path) -> str:
    shown = ""
    for command in re.findall(r"^\$ (.*)$", block, re.M):
        script = f'rnngrad() {{ "{sys.executable}" -m rnngrad "$@"; }}; {command}'
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80", "NO_COLOR": "1"}
        done = subprocess.run(["bash", "-c", script], cwd=folder, env=environment, check=False,
                              capture_output=True, text=True, encoding="utf-8")  # fmt: skip
        shown += f"$ {command}\n{done.stdout}{done.stderr}"
    return shown


def cli() -> str:
    """docs/cli.md: every command with its arguments and options, as the app has them."""
    import typer

    from rnngrad.cli.app import EXAMPLES, app

    lines = [
        "# Commands",
        "",
        "Written by `docs/pages.py` from the app itself; `rnngrad COMMAND --help` shows the same.",
    ]
    root = typer.main.get_command(app)
    for name, command in root.commands.items():  # type: ignore[attr-defined]
        lines += ["", f"## rnngrad {name}", "", *_prose(command.help)]
        lines += ["", "| option | takes | does |", "| --- | --- | --- |"]
        lines += [_option(param) for param in command.params if param.name != "help"]
        lines += ["", "```sh", *EXAMPLES[name], "```"]
    return "\n".join(lines) + "\n"


def _prose(text: str) -> Iterator[str]:
    for paragraph in text.strip().split("\n"):
        yield paragraph.strip().replace("<", "\\<")


def _option(param: typing.Any) -> str:
    names = ", ".join(f"`{name}`" for name in param.opts if name.startswith("-"))
    takes = (param.metavar or "").strip("{}")
    words = " ".join((param.help or "").split())
    cells = (names or f"`{takes}`", f"`{takes}`" if names and takes else "", words)
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def python() -> str:
    """docs/python.md: the public names with their signatures and docstrings."""
    import rnngrad

    lines = ["# Python", "", "Written by `docs/pages.py` from the docstrings.", ""]
    lines += _doc(inspect.getdoc(rnngrad) or "")
    for name in rnngrad.__all__:
        if name.startswith("__"):
            continue
        there = getattr(rnngrad, name)
        lines += ["", f"## rnngrad.{name}", ""]
        if inspect.isfunction(there):
            lines += ["```python", f"{name}{inspect.signature(there)}", "```", ""]
        lines += _doc(inspect.getdoc(there) or "")
    return "\n".join(lines) + "\n"


def _doc(text: str) -> Iterator[str]:
    """A docstring as Markdown: indented blocks as code, double backquotes as single ones."""
    for paragraph in text.split("\n\n"):
        if paragraph.startswith(("    ", ">>>")):
            yield from ("```python", inspect.cleandoc(f"\n{paragraph}"), "```", "")
        else:
            yield from (paragraph.replace("``", "`"), "")


def stress() -> str:
    """docs/stress.md: the records of docs/stress/ as tables."""
    page: str = runpy.run_path(str(ROOT / ".ci" / "stress.py"))["page"]()
    return page


WRITTEN = {"cli.md": cli, "python.md": python, "stress.md": stress}


def pages() -> list[str]:
    """The pages that have console blocks."""
    return sorted(
        path.name for path in HERE.glob("*.md") if CONSOLE.search(path.read_text(encoding="utf-8"))
    )


if __name__ == "__main__":
    asked = sys.argv[1:] or [*WRITTEN, *(page for page in pages() if page not in NEEDS)]
    for each in asked:
        text = WRITTEN[each]() if each in WRITTEN else ran(each, Path.cwd())
        (HERE / each).write_text(text, encoding="utf-8")
