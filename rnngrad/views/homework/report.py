"""The sheet to hand in as a report: its formulas in place of ``derive``'s tables."""

from __future__ import annotations

from rnngrad.analyses.derivation.derive import Derivation
from rnngrad.errors import UsageError
from rnngrad.views.homework.explain import explained
from rnngrad.views.homework.questions import questions
from rnngrad.views.homework.sheet import Sheet
from rnngrad.views.report import Report


def homework(
    result: Derivation, usual: Report, *, notation: str | None, explain: str | None, blank: bool
) -> Report:
    """One derivative written out, the questions alone, or the whole sheet. Raises UsageError."""
    matrix = _matrix(result, notation)
    if explain is not None:
        return explained(result, explain, matrix=matrix)
    if blank:
        return questions(result, matrix=matrix)
    return usual._replace(blocks=Sheet(result, matrix=matrix).blocks)


def _matrix(result: Derivation, notation: str | None) -> bool:
    """Whether products are written with diag; what fits the net where nothing is asked for."""
    if notation == "scalar":
        sheet = Sheet(result)
        if not sheet.notation.all_one:
            problem = result.problem
            sizes = f"I = {problem.inputs}, H = {problem.hidden}, O = {problem.outputs}"
            layers = f", {problem.depth} layers" if problem.depth > 1 else ""
            words = f"--notation scalar needs I = H = O = 1; this net has {sizes}{layers}"
            raise UsageError(f"{words}; --notation matrix fits it")
    return notation == "matrix"
