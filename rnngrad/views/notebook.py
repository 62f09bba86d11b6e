"""What a notebook shows of a result: its tables, its formulas; and its numbers as a data frame.

IPython asks an object for ``_repr_mimebundle_``. Source: IPython's documentation, "Rich display".
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from rnngrad.arguments import spoken
from rnngrad.errors import UsageError
from rnngrad.views.report import Report, Screen


def library(name: str, method: str) -> Any:
    """A library that is no extra of rnngrad's; UsageError says what installs it."""
    try:
        return import_module(name)
    except ImportError:
        words = f"{method} needs {name}, which is not installed: pip install {name}"
        raise UsageError(words) from None


class Shown:
    """A result that can be looked at: ``report`` is what its command hands to a format."""

    def report(self) -> Report:
        """Tables for people, the document, and rows of numbers."""
        raise NotImplementedError

    @spoken
    def as_text(self, width: int = 80) -> str:
        """What the command prints."""
        from rnngrad.views.formats.to_rich import render

        return "".join(render(self.report(), Screen(width)))

    def as_latex(self) -> str:
        """What ``--format latex`` writes: needs amsmath alone."""
        from rnngrad.views.formats.to_latex import render

        return "".join(render(self.report(), Screen()))

    def as_markdown(self) -> str:
        """What ``--format markdown`` writes."""
        from rnngrad.views.formats.to_markdown import render

        return "".join(render(self.report(), Screen()))

    def to_pandas(self) -> Any:
        """A data frame of what CSV has: one row a number, a quantity or a point of a sweep."""
        pandas, report = library("pandas", "to_pandas"), self.report()
        return pandas.DataFrame(list(report.rows()), columns=list(report.columns))

    def as_html(self) -> str:
        """Its tables as HTML, formulas as MathML, without script: a piece of a page."""
        from rnngrad.views.page.blocks import html

        return "".join(html(block, 3) for block in self.report().blocks())

    def _repr_html_(self) -> str:
        return self.as_html()

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """The same where IPython has a way of its own to print a dict."""
        printer.text(self.as_text())

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        """Tables as HTML, and the terminal's for a front end without it."""
        return {"text/plain": self.as_text(), "text/html": self.as_html()}
