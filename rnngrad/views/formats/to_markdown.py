"""Blocks as Markdown (GitHub's tables). Formulas are code in Unicode, or LaTeX between ``$$`` on
lines of their own (GitHub takes underscores between single dollars for its own), or in a fence
``math`` (which GitLab reads too)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rnngrad.views.blocks import Fitted, Formulas, Lines, Table
from rnngrad.views.formats.to_rich import formula_lines
from rnngrad.views.report import Report, Screen

_BEGINS = re.compile(r"^(?:[#>+-](?=[\s#>]|$)|={3,}|-{3,})|(?<=^\d)[.)](?=\s|$)")
"""What makes a heading, a quotation or a list of a line that begins so."""

MATHS = ("unicode", "dollars", "fence")
"""How formulas are written: the values of ``--math``."""


def render(report: Report, screen: Screen) -> Iterator[str]:
    """A block a time, a blank line between."""
    for index, block in enumerate(report.blocks()):
        block = block.made(screen.width) if isinstance(block, Fitted) else block
        if isinstance(block, Formulas):
            text = formulas(block, screen)
        else:
            text = _table(block) if isinstance(block, Table) else _lines(block)
        yield ("\n" if index else "") + text


def _lines(block: Lines) -> str:
    first, rest = block.lines[0], block.lines[1:]
    lines = [f"# {_safe(first)}", *map(_safe, rest)] if block.titled else [*map(_safe, block.lines)]
    return "\n\n".join(lines) + "\n"


def formulas(block: Formulas, screen: Screen) -> str:
    """Equations in the way that ``screen.math`` says."""
    title = f"## {_safe(block.title)}\n\n" if block.title else ""
    notes = "\n".join(f"{_safe(note)}\n" for note in block.notes)
    if not block.rows:
        return title + notes
    notes = f"\n{notes}" if notes else ""
    if screen.math == "unicode":
        code = "".join(f"{line}\n" for line in formula_lines(block.rows, screen.width))
        return f"{title}```text\n{code}```\n{notes}"
    from rnngrad.views.formats.to_latex import aligned  # only now: it is rarely asked for

    body = " \\\\\n".join(line for row in block.rows for line in aligned(row))
    maths = f"\\begin{{aligned}}\n{body}\n\\end{{aligned}}"
    opening, closing = ("$$", "$$") if screen.math == "dollars" else ("```math", "```")
    return f"{title}{opening}\n{maths}\n{closing}\n{notes}"


def _table(block: Table) -> str:
    header = [_inline(column.header) for column in block.columns]
    rule = ["---:" if column.right and not column.words else "---" for column in block.columns]
    rows = [[_inline(cell) for cell in row] for row in block.rows]
    lines = [f"| {' | '.join(cells)} |" for cells in (header, rule, *rows)]
    notes = "".join(f"\n{_safe(note)}\n" for note in block.notes)
    return f"## {_safe(block.title)}\n\n" + "\n".join(lines) + "\n" + notes


def _safe(text: str) -> str:
    """A line of which nothing is read as Markdown, what it begins with included."""
    return _BEGINS.sub(r"\\\g<0>", _inline(text))


def _inline(text: str) -> str:
    """Nothing in it is read as Markdown or as mathematics: _ * | < $ are escaped, a line break
    becomes <br>."""
    for sign in "\\_*|<[]`$&~":
        text = text.replace(sign, "\\" + sign)
    return text.replace("\n", "<br>")
