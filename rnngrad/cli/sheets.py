"""What ``derive`` has for homework: its options, and the PDF by way of typst."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rnngrad.cli.completion import MATHS, NOTATIONS, listed
from rnngrad.errors import UsageError, did_you_mean, escaped

if TYPE_CHECKING:
    from rnngrad.analyses.derivation.derive import Derivation
    from rnngrad.analyses.derivation.selection import Selection
    from rnngrad.views.report import Report

INSTALL = "pip install 'rnngrad[pdf]'"


class Form(NamedTuple):
    """What was asked for. ``sheet``: the format shows formulas in place of tables."""

    explain: str | None
    blank: bool
    notation: str | None
    sheet: bool

    @property
    def asked(self) -> bool:
        """Whether something else than derive's own report was asked for."""
        return self.explain is not None or self.blank


def checked(
    format_name: str,
    explain: str | None,
    blank: bool,
    notation: str | None,
    math: str | None,
    standalone: bool,
    pdf: Path | None,
) -> Form:
    """The options together. Raises UsageError where they contradict each other."""
    for option, value, known in (("notation", notation, NOTATIONS), ("math", math, MATHS)):
        if value is not None and value not in known:
            hint = did_you_mean(value, known)
            raise UsageError(f"--{option} {escaped(value)}: expected {listed(known)}{hint}")
    if explain is not None and blank:
        raise UsageError("--explain and --blank cannot stand together: one has the answer")
    if standalone and format_name != "latex":
        raise UsageError(f"--standalone is for the format latex, and the format is {format_name}")
    if math is not None and format_name != "markdown":
        raise UsageError(f"--math is for the format markdown, and the format is {format_name}")
    sheet = format_name in ("latex", "typst") or math in ("dollars", "fence")
    if notation is not None and not (sheet or explain is not None or blank or pdf):
        raise UsageError(
            "--notation is for formulas to hand in: --format latex or typst, --math, --pdf, "
            "--explain or --blank"
        )
    return Form(explain, blank, notation, sheet)


def check_selection(form: Form, selection: Selection) -> None:
    """UsageError where --quantity, --step or --section choose what --explain or --blank does."""
    if not form.asked:
        return
    option = "--explain" if form.explain is not None else "--blank"
    chosen = {
        "--quantity": selection.named,
        "--step": selection.step is not None,
        "--section": bool(selection.sections),
    }
    for other, given in chosen.items():
        if given:
            raise UsageError(
                f"{option} and {other} cannot stand together: each chooses what is shown"
            )


def report_of(form: Form, result: Derivation, selection: Selection, usual: Report) -> Report:
    """The report that a format writes: derive's own, or formulas to hand in."""
    tables = selection.named or selection.step is not None
    return usual if tables or not (form.sheet or form.asked) else whole(form, result, usual)


def whole(form: Form, result: Derivation, usual: Report) -> Report:
    """The sheet, the questions, or one derivative."""
    from rnngrad.views.homework.report import homework

    return homework(result, usual, notation=form.notation, explain=form.explain, blank=form.blank)


def check_pdf(pdf: Path | None, force: bool, spec: str, others: Iterable[Path | None]) -> None:
    """Before anything is computed: a name that ends in .pdf, a place to write, and typst."""
    from rnngrad.cli.output import check_writable

    if pdf is None:
        return
    if pdf.suffix.lower() != ".pdf":
        raise UsageError(f"--pdf {pdf}: the file's name must end in .pdf")
    if any(other is not None and other.absolute() == pdf.absolute() for other in others):
        raise UsageError(f"--pdf {pdf}: another option writes to the same file")
    check_writable(pdf, force, spec)
    try:
        import_module("typst")
    except ImportError:
        raise UsageError(f"--pdf needs typst, which is not installed: {INSTALL}") from None


def staged_pdf(report: Report, path: Path) -> Callable[[], None]:
    """The report as PDF beside its place, the same bytes for the same report; the call that this
    returns moves it there."""
    from rnngrad.cli.output import staged
    from rnngrad.views.formats.to_typst import render
    from rnngrad.views.report import Screen

    text = "".join(render(report, Screen()))
    data: bytes = import_module("typst").compile(text.encode())
    return staged(path, lambda file: file.write(data))
