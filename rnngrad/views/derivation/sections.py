"""The sections of ``derive``'s tables, in their order. The one place to add one is ``SECTIONS``.

Help and completion in the shell list the names: so nothing slow is imported here, and a section's
code is named and not held.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from rnngrad.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from rnngrad.net.problem import Problem

LONG = 50
"""Steps above which the sections with a row a step are left out unasked."""


class Section(NamedTuple):
    """``shows``: what it shows, in words. ``built_by``: the module of ``views`` and the function
    that makes its blocks of a ``View``. ``by_step``: it has a row a step, or a pair of steps.
    ``of_loss``: only with targets. ``beyond_rnn``: not for one layer of rnn."""

    name: str
    shows: str
    built_by: str
    by_step: bool = False
    of_loss: bool = False
    beyond_rnn: bool = False

    def exists(self, problem: Problem) -> bool:
        """Whether there is such a section of this net."""
        without_loss = self.of_loss and problem.loss is None
        return not without_loss and not (self.beyond_rnn and problem.single_rnn)


SECTIONS: Mapping[str, Section] = MappingProxyType(
    {
        section.name: section
        for section in (
            Section(
                "summary",
                "loss, norms of ∂L/∂W, whether the gradient vanishes or explodes, horizon, "
                "largest path",
                "summary:summary",
            ),
            Section("equations", "the equations of the net and of its loss",
                    "heading:equations"),
            Section("forward", "inputs, states, outputs and losses of each step",
                    "tables:forward", by_step=True),
            Section("gates",
                    "the mean of each gate at each step; in a stack, also each layer's state",
                    "layers:layer_tables", by_step=True, beyond_rnn=True),
            Section("derivation", "the subtasks of the exercise sheet: chain rule and value",
                    "lines:subtasks"),
            Section("inside", "the partial derivatives inside one step of a cell",
                    "lines:inside", beyond_rnn=True),
            Section("parameters", "∂L/∂W of each parameter: norm and largest entry",
                    "tables:parameters", of_loss=True),
            Section("gradients", "the gradients of outputs, states and inputs of each step",
                    "tables:per_step", by_step=True, of_loss=True),
            Section("paths", "the largest paths that ∂L/∂W is the sum of",
                    "tables:paths", by_step=True, of_loss=True),
            Section("chain", "the norms of the Jacobians and of their product, step by step",
                    "tables:chain", by_step=True),
            Section("flow", "growth rate, exponents, horizons, clipping", "flow:measures"),
            Section("spectrum", "the Lyapunov exponents", "flow:spectrum"),
            Section("truncation", "the error of truncated back-propagation",
                    "flow:truncation", of_loss=True),
            Section("map", "how much of each loss reaches each earlier step, as a picture",
                    "flow:credit_map", of_loss=True),
        )
    }
)  # fmt: skip
"""name -> section"""


def chosen(names: Iterable[str]) -> tuple[str, ...]:
    """The names, checked; UsageError for one that no section has."""
    found = tuple(names)
    for name in found:
        if name not in SECTIONS:
            hint = did_you_mean(name, SECTIONS) or f"; they are {', '.join(SECTIONS)}"
            raise UsageError(f"--section {name}: no section is called '{name}'{hint}")
    return found


def split(
    problem: Problem, asked: tuple[str, ...], full: bool
) -> tuple[list[Section], list[Section]]:
    """The sections that are shown, the summary first, and those that are left out because the
    sequence is long."""
    if asked:
        return [s for s in SECTIONS.values() if s.name in {"summary", *asked}], []
    there = [section for section in SECTIONS.values() if section.exists(problem)]
    short = full or problem.steps <= LONG
    left_out = [section for section in there if section.by_step and not short]
    return [section for section in there if section not in left_out], left_out


def completions(incomplete: str) -> list[tuple[str, str]]:
    """For the shell: the names that begin so, each with what it shows."""
    return [(s.name, s.shows) for s in SECTIONS.values() if s.name.startswith(incomplete)]
