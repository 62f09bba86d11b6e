"""How much room a picture takes, in inches, and its words line by line."""

from __future__ import annotations

from textwrap import wrap

from rnngrad.views.pictures.picture import Band, Bars, Graph, Level, Line, Picture, notes_of

COLUMN, HEIGHT = 3.5, 2.5
"""Inches: a column of a journal, and what a picture takes of it besides its words."""

PAD, TITLE = 0.07, 0.32
"""Inches: at the edges, and for the name of the net."""

LINE = 0.155
"""Inches from one line of words to the next."""


def width(picture: Picture) -> int:
    """In columns: an unrolled net of many steps needs two."""
    return 2 if any(isinstance(m, Graph) and len(m.nodes) > 8 for m in picture.marks) else 1


def body(picture: Picture) -> float:
    """Inches that the axes take, with their labels and the names below."""
    names = [m for m in picture.marks if isinstance(m, Line | Band | Level) and m.name]
    bars = sum(len(m.bars) for m in picture.marks if isinstance(m, Bars))
    if any(isinstance(m, Graph) for m in picture.marks):
        return 1.25
    if not picture.marks:
        return 0.1
    return (max(0.7, 0.17 * bars + 0.5) if bars else HEIGHT) + 0.07 * len(names)


def heading(picture: Picture) -> list[str]:
    return wrap(f"{picture.title} · {picture.of}" if picture.of else picture.title,
                50 * width(picture))  # fmt: skip


def finding(picture: Picture) -> list[str]:
    return wrap(picture.finding, 62 * width(picture))


def notes(picture: Picture) -> list[str]:
    return [line for note in notes_of(picture) for line in wrap(note, 68 * width(picture))]
