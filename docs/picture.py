"""Draws docs/derive.svg: what ``rnngrad derive`` prints for the sheet in a terminal of 80 columns.

    python docs/picture.py

A test fails when the picture is not what the command prints any more.
"""

from __future__ import annotations

import io
import re
from pathlib import Path

from rich.console import Console
from rich.text import Text

import rnngrad
from rnngrad.analyses.derivation.selection import computed, select
from rnngrad.views.derivation.report import report
from rnngrad.views.formats import to_rich
from rnngrad.views.report import Screen

HERE = Path(__file__).parent
SPEC = HERE.parent / "sample_configs" / "exercise_sheet_7.yaml"
LAST = "Gradients of the parameters"
"""The picture ends before this table."""


def printed() -> str:
    """The report up to the derivations, with its escape codes."""
    result = rnngrad.derive(rnngrad.load(SPEC))
    selection = select(result, (), None, False)
    shown = to_rich.render(
        report(result, selection, computed(result, selection, every=False)), Screen(80, colour=True)
    )
    return "".join(shown).split(f"\x1b[1m{LAST}")[0].rstrip()


def drawn() -> str:
    """The SVG, with the reader's own monospaced font instead of one from the web."""
    console = Console(record=True, file=io.StringIO(), width=80, force_terminal=True)
    console.print(Text("$ rnngrad derive sample_configs/exercise_sheet_7.yaml"))
    console.print(Text.from_ansi(printed()))
    svg = console.export_svg(title="rnngrad derive", unique_id="derive")
    svg = re.sub(r"\s*@font-face \{.*?\}\n", "", svg, flags=re.DOTALL)
    return svg.replace("Fira Code, monospace", "DejaVu Sans Mono, Menlo, Consolas, monospace")


if __name__ == "__main__":
    (HERE / "derive.svg").write_text(drawn(), encoding="utf-8")
