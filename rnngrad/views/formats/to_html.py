"""A report as one page of HTML that opens offline: its tables, its formulas as MathML."""

from __future__ import annotations

from collections.abc import Iterator

from rnngrad.views.blocks import Lines
from rnngrad.views.report import Report, Screen


def render(report: Report, screen: Screen) -> Iterator[str]:
    """A block a time; the first one names the page."""
    from rnngrad.views.page.blocks import html  # only now: other formats need no MathML
    from rnngrad.views.page.page import page

    blocks = iter(report.blocks())
    first = next(blocks, Lines(("rnngrad",), titled=True))
    title = first.lines[0] if isinstance(first, Lines) else first.title

    def body() -> Iterator[str]:
        yield html(first, 1)
        yield from map(html, blocks)

    yield from page(title, body())
