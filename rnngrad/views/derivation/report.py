"""A derivation as a report: the arrays are computed here once, for whichever format follows."""

from __future__ import annotations

from rnngrad.analyses.derivation.derive import Derivation
from rnngrad.analyses.derivation.selection import Selection
from rnngrad.analyses.flow.flow import GradientFlow
from rnngrad.arithmetic.arrays import Array
from rnngrad.views.derivation import data, tables
from rnngrad.views.derivation.view import flow_of
from rnngrad.views.pictures.kinds import of_verb
from rnngrad.views.pictures.nets import of_a_net
from rnngrad.views.provenance import provenance
from rnngrad.views.report import Report

KINDS = of_verb("derive")
"""The pictures of a page; those that are drawn only when asked for need an option."""


def report(
    result: Derivation,
    selection: Selection,
    arrays: dict[str, Array],
    flow: GradientFlow | None = None,
) -> Report:
    """What the formats need of a derivation; ``arrays`` holds what the selection shows, ``flow`` is
    one that others look at too."""
    if flow is None:
        flow = flow_of(result, selection)
    chosen = selection.named or selection.step is not None or selection.sections
    return Report(
        blocks=lambda: tables.blocks(result, selection, arrays, flow),
        document=lambda: data.document(result, selection, arrays, flow),
        columns=data.COLUMNS,
        rows=lambda: data.rows(result, selection, arrays),
        pictures=lambda: () if chosen else of_a_net(flow, selection, KINDS),
        provenance=lambda: (provenance(result.problem),),
    )
