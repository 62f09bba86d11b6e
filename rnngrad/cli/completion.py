"""What a shell completes: the values that options take.

Names that stand in no net are said here, so that a shell need not wait for NumPy;
``tests/cli/test_completion.py`` holds them against the tables that they are of. Those of a net are
read from the spec that the command line names. What cannot be completed is completed by nothing: a
mistake is told when the command runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from rnngrad.net.problem import Problem

FORMATS = ("table", "json", "jsonl", "csv", "markdown", "html", "latex", "typst")
NOTATIONS = ("scalar", "matrix")
MATHS = ("unicode", "dollars", "fence")
METHODS = ("auto", "complex-step", "differences", "taylor", "adjoint")
LAYOUTS = ("torch", "keras", "onnx", "flax", "haiku", "mlx")
DIRECTIONS = ("forward", "reverse", "both")
RELATIVE = ("weights", "spectral-radius", "sigma-max")
COLORS = ("auto", "always", "never")

Names = Callable[[typer.Context], Iterable[str]]


def one_of(*names: str) -> Names:
    """The completion of an option with these values."""
    return lambda ctx: names


def listed(names: Iterable[str]) -> str:
    """``forward or reverse``, for a help text."""
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last


def cells(ctx: typer.Context) -> Iterable[str]:
    """The cells that come with rnngrad: the files that they are."""
    folder = Path(__file__).parents[1] / "cells"
    return sorted(path.stem for path in folder.glob("*.yaml"))


def quantities(ctx: typer.Context) -> Iterable[str]:
    """Those of the spec's net, and those that are computed on request."""
    from rnngrad.analyses.derivation.derive import derive

    names: dict[str, None] = {}
    for problem in _problems(ctx):
        result = derive(problem)
        names |= dict.fromkeys((*result.names(), *result.on_request))
    return names


def gates(ctx: typer.Context) -> Iterable[str]:
    """What ``--gate`` may name in any of the specs' cells."""
    from rnngrad.analyses.sweep.scaling import gates_of

    return dict.fromkeys(gate for one in _problems(ctx) for gate in gates_of(one.cell))


def prefixes(ctx: typer.Context) -> Iterable[str]:
    """The recurrent nets in the model's file."""
    from rnngrad.files.models import read_model

    for model in _arguments(ctx, "model"):
        with suppress(Exception):  # told when the command runs
            contents = read_model(Path(model), ctx.params.get("layout"), model)
            return dict.fromkeys(net.key for net in contents.recurrent)
    return ()


def activations(ctx: typer.Context, incomplete: str) -> Iterable[str]:
    """The last name of a list ``tanh,relu``."""
    from rnngrad.arithmetic.functions import ACTIVATIONS

    before, comma, _ = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in ACTIVATIONS]


def _problems(ctx: typer.Context) -> Iterable[Problem]:
    """The nets of the specs on the line that can be read; standard input is left alone."""
    from rnngrad.files import load
    from rnngrad.net.problem import Problem

    for spec in _arguments(ctx, "specs", "spec"):
        with suppress(Exception):  # told when the command runs
            if spec != "-":
                problem = load(spec, overrides=ctx.params.get("overrides") or ())
                yield problem if isinstance(problem, Problem) else problem.net


def _arguments(ctx: typer.Context, *names: str) -> list[str]:
    """What stands on the line besides options: an option without its value ends Typer's reading, so
    that they are left over."""
    read = [value for name in names for value in [ctx.params.get(name)] if value]
    found = [value if isinstance(value, list | tuple) else [value] for value in read]
    return [str(value) for values in (*found, ctx.args) for value in values]
