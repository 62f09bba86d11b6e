"""Blocks as Markdown (GitHub's tables)."""

from __future__ import annotations

from collections.abc import Iterator

from rnngrad.views.blocks import Fitted, Lines, Table
from rnngrad.views.report import Report, Screen


def render(report: Report, screen: Screen) -> Iterator[str]:
    """A block a time, a blank line between."""
    for index, block in enumerate(report.blocks()):
        block = block.made(screen.width) if isinstance(block, Fitted) else block
        text = _table(block) if isinstance(block, Table) else _lines(block)
        yield ("\n" if index else "") + text


def _lines(block: Lines) -> str:
    first, rest = block.lines[0], block.lines[1:]
    lines = [f"# {_safe(first)}", *map(_safe, rest)] if block.titled else [*map(_safe, block.lines)]
    return "\n\n".join(lines) + "\n"


def _table(block: Table) -> str:
    header = [_safe(column.header) for column in block.columns]
    rule = ["---:" if column.right and not column.words else "---" for column in block.columns]
    rows = [[_safe(cell) for cell in row] for row in block.rows]
    lines = [f"| {' | '.join(cells)} |" for cells in (header, rule, *rows)]
    notes = "".join(f"\n{_safe(note)}\n" for note in block.notes)
    return f"## {_safe(block.title)}\n\n" + "\n".join(lines) + "\n" + notes


def _safe(text: str) -> str:
    """Nothing in it is read as Markdown: _ * | < are escaped, a line break becomes <br>."""
    for sign in "\\_*|<[]`":
        text = text.replace(sign, "\\" + sign)
    return text.replace("\n", "<br>")
