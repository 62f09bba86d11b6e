"""What every section of ``derive``'s tables is made from."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module
from typing import NamedTuple, cast

from rnngrad.analyses.derivation.derive import Derivation
from rnngrad.analyses.derivation.selection import Selection
from rnngrad.analyses.flow.flow import GradientFlow
from rnngrad.arithmetic.arrays import Array
from rnngrad.views.blocks import Block
from rnngrad.views.derivation.sections import Section, split


class View(NamedTuple):
    """One derivation and what is shown of it. ``arrays``: quantities that were computed already.
    ``flow`` is one for all sections, so that none computes what another has."""

    result: Derivation
    selection: Selection
    arrays: dict[str, Array]
    flow: GradientFlow
    sections: tuple[Section, ...]
    left_out: tuple[Section, ...]

    def shows(self, *names: str) -> bool:
        """Whether one of these sections is shown."""
        return any(section.name in names for section in self.sections)


def flow_of(result: Derivation, selection: Selection) -> GradientFlow:
    """The flow as far as the sections of the selection want it."""
    shown, _ = split(result.problem, selection.sections, selection.full)
    chain = any(section.name == "chain" for section in shown)
    return GradientFlow(result, selection.full, selection.exponents, chain, selection.kept)


def view_of(
    result: Derivation,
    selection: Selection,
    arrays: dict[str, Array] | None = None,
    flow: GradientFlow | None = None,
) -> View:
    """The sections that the selection shows; ``flow`` is one that others look at too."""
    shown, left_out = split(result.problem, selection.sections, selection.full)
    flow = flow_of(result, selection) if flow is None else flow
    return View(result, selection, arrays or {}, flow, tuple(shown), tuple(left_out))


def blocks_of(section: Section, view: View) -> Iterable[Block]:
    """One section of one derivation; nothing else is computed."""
    module, _, function = section.built_by.partition(":")
    build = getattr(import_module(f"rnngrad.views.derivation.{module}"), function)
    return cast("Callable[[View], Iterable[Block]]", build)(view)
