"""A derivation as a report: the arrays are computed here once, for whichever format follows."""

from __future__ import annotations

from rnngrad.analyses.derivation.derive import Derivation
from rnngrad.analyses.derivation.selection import Selection
from rnngrad.arithmetic.arrays import Array
from rnngrad.views import derive_data, derive_tables
from rnngrad.views.report import Report


def report(result: Derivation, selection: Selection, arrays: dict[str, Array]) -> Report:
    """What the formats need of a derivation; ``arrays`` holds what the selection shows."""
    return Report(
        blocks=lambda: derive_tables.blocks(result, selection, arrays),
        document=lambda: derive_data.document(result, selection, arrays),
        columns=derive_data.COLUMNS,
        rows=lambda: derive_data.rows(result, selection, arrays),
    )
