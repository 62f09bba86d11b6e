"""Blocks as LaTeX: equations in ``align*``, tables in ``tabular``; amsmath is all they need."""

from __future__ import annotations

from collections.abc import Iterator

from rnngrad.views.blocks import Formula, Formulas, Lines, Table
from rnngrad.views.report import Report, Screen
from rnngrad.views.typesetting.latex import Latex, escaped, prose
from rnngrad.views.typesetting.layout import Row, lines, width

WIDEST = 62.0
"""Digits on a line of an article of 11 points on A4, its margins as they are set below."""

ROWS = 40
"""Rows of a table that fit on a page."""

PREAMBLE = r"""\documentclass[11pt,a4paper]{article}
\usepackage[utf8]{inputenc}
\usepackage[T1]{fontenc}
\usepackage{lmodern}
\usepackage{amsmath}
\setlength{\textwidth}{16cm}
\setlength{\oddsidemargin}{0cm}
\setlength{\textheight}{24cm}
\setlength{\topmargin}{-1.5cm}
\setlength{\parindent}{0pt}
\setlength{\jot}{6pt}
\allowdisplaybreaks
\begin{document}
"""

_LATEX = Latex()


def render(report: Report, screen: Screen) -> Iterator[str]:
    """A block a time, a blank line between; with a preamble where it is to compile by itself."""
    if screen.standalone:
        yield PREAMBLE
    for index, block in enumerate(report.blocks()):
        yield "\n" if index or screen.standalone else ""
        if isinstance(block, Formulas):
            yield _formulas(block)
        else:
            yield _table(block) if isinstance(block, Table) else _lines(block)
    if screen.standalone:
        yield "\n\\end{document}\n"


def _lines(block: Lines) -> str:
    first, rest = block.lines[0], block.lines[1:]
    head = rf"\section*{{{escaped(first)}}}" if block.titled else prose(first)
    return "\n\n".join([head, *map(prose, rest)]) + "\n"


def to_fill_in(block: Formulas) -> bool:
    """Whether it is a question: then there is room below."""
    return any(side == Row(()) for row in block.rows for side in row.sides)


def _formulas(block: Formulas) -> str:
    title = f"\\subsection*{{{escaped(block.title)}}}\n" if block.title else ""
    notes = "".join(f"{prose(note)}\n" for note in block.notes)
    room = "\\vspace{5em}\n" if to_fill_in(block) else ""
    body = " \\\\\n".join(line for row in block.rows for line in aligned(row))
    equations = f"\\begin{{align*}}\n{body}\n\\end{{align*}}\n" if body else ""
    return title + equations + room + notes


def aligned(formula: Formula, widest: float = WIDEST) -> Iterator[str]:
    """The lines of one equation: an & before each equals sign, and before what goes on below."""
    room = max(widest - width(formula.left) - 3, widest / 3)
    left = _LATEX.row(formula.left)
    if not formula.sides:
        yield f"  & {left}"
    for index, side in enumerate(formula.sides):
        for at, line in enumerate(lines(side, room)):
            begins = f"{left} &= " if index == 0 else "&= "
            begins = begins if at == 0 else r"&\quad "
            yield f"  {begins}{_LATEX.row(line)}"


def _table(block: Table) -> str:
    widths = [max(map(len, (column.header, *(part for r in block.rows
                                            for part in r[at].split("\n")))))
              for at, column in enumerate(block.columns)]  # fmt: skip
    total = sum(widths) + 2 * len(widths)
    size = r"\footnotesize" if total <= 100 else r"\scriptsize"
    room = 1.25 * WIDEST if total <= 100 else 1.5 * WIDEST
    over = total - room
    kinds = []
    for column, needed in zip(block.columns, widths, strict=True):
        if column.words and over > 0:
            narrower = max(needed - over, 18.0)
            over -= needed - narrower
            kinds.append(rf"p{{{narrower / room * 0.93:.2f}\textwidth}}")
        else:
            kinds.append("r" if column.right and not column.words else "l")
    head = " & ".join(_cell(column.header.strip()) for column in block.columns)
    head = f"{head} \\\\ \\hline\n" if any(column.header for column in block.columns) else ""
    notes = "".join(f"\n{prose(note)}\n" for note in block.notes)
    parts = [block.rows[at : at + ROWS] for at in range(0, len(block.rows), ROWS)] or [()]
    tabulars = "\n".join(
        f"{{{size}\\begin{{tabular}}{{{''.join(kinds)}}}\n{head}{_rows(part)}\\end{{tabular}}}}\n"
        for part in parts
    )
    return f"\\subsection*{{{prose(block.title)}}}\n{tabulars}{notes}"


def _rows(rows: tuple[tuple[str, ...], ...]) -> str:
    """A line of a cell is a line of the table."""
    text = ""
    for cells in rows:
        parts = [cell.split("\n") for cell in cells]
        for at in range(max(map(len, parts))):
            shown = (_cell(part[at]) if at < len(part) else "" for part in parts)
            text += f"{' & '.join(shown)} \\\\\n"
    return text


def _cell(text: str) -> str:
    """Text, or the bar that it draws."""
    if not set(text) & set(_BAR) - {" "}:
        return prose(text)
    return "".join(_BAR[sign] if sign in _BAR else escaped(sign) for sign in text)


_BAR = {
    " ": r"\hspace*{0.4em}",
    "█": r"\rule{0.4em}{1.2ex}",
    "│": r"\rule{0.4pt}{1.8ex}",
}
"""A bar of a table, sign by sign, all of one width."""
