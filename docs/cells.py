"""Writes the table of docs/cells.md: the cells that come with rnngrad, from their data files.

    python docs/cells.py

A test fails when the table is not what the data say any more.
"""

from __future__ import annotations

from pathlib import Path

from rnngrad.cells import NAMES, shipped

PAGE = Path(__file__).parent / "cells.md"
BEGIN, END = "<!-- the table is written by docs/cells.py -->", "<!-- its end -->"


def page() -> str:
    """The page with the table as the data say."""
    text = PAGE.read_text(encoding="utf-8")
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}"


def table() -> str:
    """A row a cell."""
    rows = ["| `cell` | what it is | state; parameters | note | source |", "| --- " * 5 + "|"]
    for name in NAMES:
        found = shipped(name)
        parts = ", ".join(found.cell.parts)
        parameters = ", ".join(found.cell.parameters)
        words = (f"`{name}`", found.title, f"{parts}; {parameters}", found.note, found.source)
        cells = (" ".join(word.split()).replace("|", "\\|") for word in words)
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
