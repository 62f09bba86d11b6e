"""A report as one page of HTML that opens offline: its pictures, its tables, its
formulas as MathML."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from rnngrad.views.blocks import Lines
from rnngrad.views.report import Report, Screen

BEFORE = 2
"""Blocks that come before the pictures: the name, and the summary or the table it is about."""


def render(report: Report, screen: Screen) -> Iterator[str]:
    """A block a time; the first one names the page."""
    from rnngrad.views.page.blocks import html  # only now: other formats need no MathML
    from rnngrad.views.page.page import page
    from rnngrad.views.pictures.svg.figure import figures

    blocks = iter(report.blocks())
    first = next(blocks, Lines(("rnngrad",), titled=True))
    title = first.lines[0] if isinstance(first, Lines) else first.title
    drawn = list(report.pictures())

    def body() -> Iterator[str]:
        yield html(first, 1)
        yield from map(html, islice(blocks, BEFORE - 1))
        yield from figures(drawn, "picture", 2) if drawn else ()
        yield from map(html, blocks)

    yield from page(title, body(), script=bool(drawn), provenance=report.provenance())
