"""Blocks as HTML: tables that scroll where they are wide, formulas as MathML."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from rnngrad.views.blocks import Block, Column, Fitted, Formulas, Lines, Meaning, Table
from rnngrad.views.page.page import text
from rnngrad.views.pictures.svg.words import said
from rnngrad.views.report import Screen
from rnngrad.views.typesetting.mathml import displayed, formula, sentence

COLOURED: Mapping[Meaning, tuple[tuple[re.Pattern[str], str], ...]] = MappingProxyType(
    {
        "": (),
        "verdict": (
            (re.compile(r"\b(fail|FAIL|wrong)\b"), "bad"),
            (re.compile(r"\b(pass|right)\b"), "good"),
            (re.compile(r"\b(inconclusive|undecided)\b"), "open"),
        ),
        "flow": (
            (re.compile(r"\b(vanishing|vanishes)\b"), "gone"),
            (re.compile(r"\b(exploding|explodes)\b"), "blown"),
        ),
    }
)
"""What has a meaning -> its class in ``style.css``."""

_SIGNS = re.compile(r"^[\s#+\-·░▒▓█│|╸━]*[░▒▓█│|━#+-][\s#+\-·░▒▓█│|╸━]*$")
"""A bar or a map of signs, which needs letters of one width."""


PHONE, LETTER, GAP = 380.0, 9.0, 14.0
"""Pixels: what a telephone has across, a letter of a table, from one column to the next."""


LONG = 68
"""Signs of a formula from which on its value stands below it where there is no room beside it."""


def html(block: Block, level: int = 2) -> str:
    """One block; ``level``: of its heading."""
    block = block.made(Screen().width) if isinstance(block, Fitted) else block
    if isinstance(block, Formulas):
        return "".join(_equations(block, level))
    return _table(block, level) if isinstance(block, Table) else "".join(_lines(block, level))


def _equations(block: Formulas, level: int) -> Iterator[str]:
    """A row a side, the equals signs below one another."""
    if block.title:
        yield f"<h{level}>{said(block.title)}</h{level}>\n"
    yield '<div class="wide" tabindex="0" role="region" aria-label="equations">'
    yield '<table class="equations"><tbody>\n'
    for row in block.rows:
        left = displayed(row.left)
        for side in row.sides:
            shown = displayed(side) if side.pieces else ""
            yield f'<tr><td class="number">{left}</td><td>=</td><td>{shown}</td></tr>\n'
            left = ""
    yield "</tbody></table></div>\n"
    for note in block.notes:
        yield f'<p class="note">{said(note)}</p>\n'


def _lines(block: Lines, level: int) -> Iterator[str]:
    """The first line as a heading if it is one."""
    lines = block.lines
    if block.titled:
        yield f"<h{level}>{text(lines[0])}</h{level}>\n"
        lines = lines[1:]
    for line in lines:
        shown = sentence(line) if block.formulas else _said(line, block.coloured)
        yield f"<p>{shown}</p>\n"


def _table(block: Table, level: int) -> str:
    head = "".join(f'<th scope="col"{_side(c)}>{_header(c.header)}</th>' for c in block.columns)
    named = any(column.header for column in block.columns)
    rows = "".join(f"<tr>{''.join(map(_cell, row, block.columns))}</tr>\n" for row in block.rows)
    formulas = [at for at, column in enumerate(block.columns) if column.formula]
    signs = max((len(s) for row in block.rows for at in formulas for s in row[at].split("\n")),
                default=0)  # fmt: skip
    kind = ("rules long" if signs > LONG else "rules") if formulas else "stack"
    rules = f' class="{kind}"' if formulas or _least(block) > PHONE else ""
    notes = "".join(f'<p class="note">{said(note)}</p>\n' for note in block.notes)
    return (
        f"<h{level}>{said(block.title)}</h{level}>\n"
        f'<div class="wide" tabindex="0" role="region" aria-label="{text(block.title)}">\n'
        f"<table{rules}>\n"
        + (f"<thead><tr>{head}</tr></thead>\n" if named else "")
        + f"<tbody>\n{rows}</tbody></table></div>\n{notes}"
    )


def _least(block: Table) -> float:
    """Pixels that it takes at least, its words broken."""
    across = 0.0
    for at, column in enumerate(block.columns):
        cells = [row[at] for row in block.rows]
        whole = (column.right and not column.words) or any(map(_SIGNS.match, cells))
        parts = [part for cell in cells for part in (cell.split("\n") if whole else cell.split())]
        across += GAP + LETTER * max(map(len, (column.header, *parts)))
    return across


def _cell(cell: str, column: Column) -> str:
    lines = cell.split("\n")
    name = f' data-name="{text(column.header.strip())}"' if column.header.strip() else ""
    if column.formula:
        return f'<td class="formula"{name}>{_formulas(cell)}</td>'
    if all(map(_SIGNS.match, lines)) and len(cell) > 1:
        return f'<td class="signs"{name}>{text(cell)}</td>'
    shown = "<br>".join(_said(line, column.coloured) for line in lines)
    return f"<td{_side(column)}{name}>{shown}</td>"


def _formulas(cell: str) -> str:
    """The lines of a formula; one without a letter is a remark, such as the number it has."""
    lines = cell.split("\n")
    last = next((i for i in range(len(lines)) if not any(map(str.isalpha, lines[i]))), len(lines))
    remarks = "".join(f'<br><span class="note">{text(line)}</span>' for line in lines[last:])
    return formula("\n".join(lines[:last])) + remarks if last else formula(cell)


def _header(words: str) -> str:
    return formula(words) if "∂" in words or "_" in words else text(words)


def _side(column: Column) -> str:
    return ' class="number"' if column.right and not column.words else ""


def _said(line: str, meaning: Meaning) -> str:
    """A line with its words of meaning in colour: letters, which escaping leaves alone."""
    shown = said(line)
    for pattern, kind in COLOURED[meaning]:
        shown = pattern.sub(rf'<span class="{kind}">\g<0></span>', shown)
    return shown
