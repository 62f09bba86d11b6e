"""The kinds of pictures, in the order of a page. The one place to add one is ``PICTURES``.

Help and completion in the shell list the names: so nothing slow is imported here, and the code of a
kind is named and not held.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from rnngrad.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from rnngrad.net.problem import Problem
    from rnngrad.views.pictures.picture import Picture


class Kind(NamedTuple):
    """``shows``: what it shows, in words. ``verb``: whose result it is of. ``built_by``: the module
    of ``views.pictures`` and the function that makes its pictures of that result: of ``Nets`` for
    derive, of ``Swept`` for sweep, of ``CheckedNet`` for check.

    ``of_loss``: only with targets. ``gated``: only of cells with equations besides those of the
    state. ``asked``: only where an option asks for it.
    """

    name: str
    shows: str
    verb: str
    built_by: str
    of_loss: bool = False
    gated: bool = False
    asked: bool = False

    def why_not(self, problem: Problem) -> str:
        """Why there is no such picture of this net; empty where there is one."""
        if self.of_loss and problem.loss is None:
            return f"'{problem.name}' has no targets, so there is no loss"
        equations = problem.cell.equations.equations
        if self.gated and len(equations) <= len(problem.cell.parts):
            return f"'{problem.name}' is a net of {problem.cell.name}, which has no gates"
        return ""


PICTURES: Mapping[str, Kind] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            Kind("unrolled", "the unrolled net: what each arrow lets through on the way back",
                 "derive", "of_nets.unrolled:unrolled"),
            Kind("credit-map", "how much of each loss reaches each earlier step",
                 "derive", "of_nets.flow:credit_map", of_loss=True),
            Kind("reach", "how far back the last state reaches, and where a number format ends",
                 "derive", "of_nets.flow:reach"),
            Kind("truncation", "what keeping only the last k steps of each loss costs",
                 "derive", "of_nets.flow:truncation", of_loss=True),
            Kind("paths", "the paths that ∂L/∂W is the sum of, as shares of 100 %",
                 "derive", "of_nets.paths:paths", of_loss=True),
            Kind("gates", "the gates over time, beside the gradient that passes through them",
                 "derive", "of_nets.gates:gates_over_time", gated=True),
            Kind("spectrum", "the Lyapunov exponents, with their errors",
                 "derive", "of_nets.stability:spectrum"),
            Kind("eigenvalues", "the eigenvalues of W_hh and of the Jacobians, and the unit circle",
                 "derive", "of_nets.stability:plane"),
            Kind("cliff", "the loss over the two parameters of --cliff",
                 "derive", "of_nets.cliff:cliff_of_the_loss", of_loss=True, asked=True),
            Kind("errors", "the error of each quantity, and its tolerance",
                 "check", "checks:errors"),
            Kind("step-size", "the error of differences and of the complex step by their step",
                 "check", "checks:by_step", of_loss=True),
            Kind("rate", "the growth rate against the scale of W_hh, and the critical scale",
                 "sweep", "sweeps:rate"),
            Kind("map", "the growth rate over the two swept axes of --map",
                 "sweep", "rate_map:rate_map", asked=True),
        )
    }
)  # fmt: skip
"""name -> kind"""


def of_verb(verb: str) -> tuple[str, ...]:
    """The names of a verb's kinds."""
    return tuple(name for name, kind in PICTURES.items() if kind.verb == verb)


def chosen(names: Iterable[str], verb: str) -> tuple[str, ...]:
    """The names, checked; UsageError for one that no kind has, or only one of another verb."""
    found = tuple(dict.fromkeys(names))
    for name in found:
        if name not in PICTURES:
            hint = did_you_mean(name, of_verb(verb)) or f"; they are {', '.join(of_verb(verb))}"
            raise UsageError(f"--plot-what {name}: no picture is called '{name}'{hint}")
        if PICTURES[name].verb != verb:
            other = PICTURES[name].verb
            raise UsageError(
                f"--plot-what {name}: {other} draws it; {verb} draws {', '.join(of_verb(verb))}"
            )
    return found


def pictures(name: str, result: object) -> Iterator[Picture]:
    """The pictures of one kind, of several nets those of the nets that have it; nothing else is
    computed."""
    kind = PICTURES[name]
    if kind.verb == "derive":
        nets: Any = result
        fit = (flow for flow in nets.flows if not kind.why_not(flow.problem))
        result = nets._replace(flows=tuple(fit))
    module, _, function = kind.built_by.partition(":")
    build = getattr(import_module(f"rnngrad.views.pictures.{module}"), function)
    yield from build(result)


def completions(verb: str, incomplete: str) -> list[tuple[str, str]]:
    """For the shell: a verb's names that begin so, each with what it shows."""
    return [(n, PICTURES[n].shows) for n in of_verb(verb) if n.startswith(incomplete)]
