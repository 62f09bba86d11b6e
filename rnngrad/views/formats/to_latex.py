"""Blocks as LaTeX: equations in ``align*``, tables in ``tabular``; amsmath is all they need."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil

from rnngrad.views.blocks import Fitted, Formula, Formulas, Lines, Table
from rnngrad.views.report import Report, Screen
from rnngrad.views.typesetting.latex import Latex, escaped, prose
from rnngrad.views.typesetting.layout import Row, lines, width

WIDEST = 62.0
"""Digits on a line of an article of 11 points on A4, its margins as they are set below."""

LINES = 40
"""Lines of a table that fit on a page."""

UNBROKEN = 8
"""Lines of equations that stay on one page."""

LONG = 30
"""Signs of a column of words, or of a word, that is broken where the page is too narrow."""

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
\sloppy
\emergencystretch=3em
\begin{document}
"""

_LATEX = Latex()


def render(report: Report, screen: Screen) -> Iterator[str]:
    """A block a time, a blank line between; with a preamble where it is to compile by itself."""
    if screen.standalone:
        yield PREAMBLE
    for index, block in enumerate(report.blocks()):
        yield "\n" if index or screen.standalone else ""
        block = block.made(screen.width) if isinstance(block, Fitted) else block
        if isinstance(block, Formulas):
            yield _formulas(block)
        else:
            yield _table(block) if isinstance(block, Table) else _lines(block)
    if screen.standalone:
        yield "\n\\end{document}\n"


def _lines(block: Lines) -> str:
    first, rest = block.lines[0], block.lines[1:]
    head = rf"\section*{{{_breakable(first)}}}" if block.titled else prose(first)
    return "\n\n".join([head, *map(prose, rest)]) + "\n"


def to_fill_in(block: Formulas) -> bool:
    """Whether it is a question: then there is room below."""
    return any(side == Row(()) for row in block.rows for side in row.sides)


def _formulas(block: Formulas) -> str:
    title = f"\\subsection*{{{escaped(block.title)}}}\n" if block.title else ""
    notes = "".join(f"{prose(note)}\n" for note in block.notes)
    room = "\\vspace{5em}\n" if to_fill_in(block) else ""
    rows = [line for row in block.rows for line in aligned(row)]
    body = " \\\\\n".join(rows)
    equations = f"\\begin{{align*}}\n{body}\n\\end{{align*}}\n" if body else ""
    if len(rows) > UNBROKEN:
        equations = f"{{\\allowdisplaybreaks\n{equations}}}\n"
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


def _breakable(text: str) -> str:
    """A title, whose longest words may be broken anywhere."""
    words = []
    for word in text.split(" "):
        step = LONG // 3 if len(word) > LONG else LONG
        parts = [word[at : at + step] for at in range(0, max(len(word), 1), step)]
        words.append(r"\allowbreak{}".join(map(escaped, parts)))
    return " ".join(words)


def _table(block: Table) -> str:
    widths = [_widest(block, at) for at in range(len(block.columns))]
    total = sum(widths) + 2.0 * len(widths)
    size, room = (r"\footnotesize", 78.0) if total <= 100 else (r"\scriptsize", 92.0)
    kinds = list[str]()
    over = total - room
    for at, column in enumerate(block.columns):
        long = widths[at] > LONG and not (column.right and not column.words)
        if (column.words or long) and over > 0:
            fitted = max(widths[at] - over, 16.0)
            over -= widths[at] - fitted
            widths[at] = fitted
            kinds.append(rf"p{{{fitted / room * 0.86:.3f}\textwidth}}")
        else:
            kinds.append("r" if column.right and not column.words else "l")
    head = " & ".join(_cell(column.header.strip()) for column in block.columns)
    strut = r"\rule{0pt}{2.6ex}"
    named = any(column.header for column in block.columns)
    head = f"{head} \\\\ \\hline {strut}\n" if named else ""
    notes = "".join(f"\n{prose(note)}\n" for note in block.notes)
    tabulars = "\n".join(
        f"{{{size}\\begin{{tabular}}{{{''.join(kinds)}}}\n{head}{_rows(part)}\\end{{tabular}}}}\n"
        for part in _pages(block.rows, widths)
    )
    long = any(len(word) > LONG for word in block.title.split(" "))
    title = _breakable(block.title) if long else prose(block.title)
    return f"\\subsection*{{{title}}}\n{tabulars}{notes}"


def _widest(block: Table, at: int) -> float:
    """The longest line of a column."""
    cells = (block.columns[at].header, *(row[at] for row in block.rows))
    return float(max(len(part) for cell in cells for part in cell.split("\n")))


def _pages(rows: Sequence[Sequence[str]], widths: list[float]) -> Iterator[list[Sequence[str]]]:
    """The rows in tables that fit on a page each."""
    page, filled = list[Sequence[str]](), 0
    for row in rows:
        parts = [[*map(len, cell.split("\n"))] for cell in row]
        high = max(
            sum(max(1, ceil(1.25 * length / width)) for length in lengths)
            for lengths, width in zip(parts, widths, strict=True)
        )
        if page and filled + high > LINES:
            yield page
            page, filled = [], 0
        page.append(row)
        filled += high
    yield page


def _rows(rows: Sequence[Sequence[str]]) -> str:
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
