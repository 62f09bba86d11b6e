"""Help as people read it: Typer shows ``<bool>`` beside a flag, which takes no value, and keeps the
line breaks of a docstring beside its own."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from typer.core import TyperCommand, TyperGroup, TyperOption


def running_text(command: Callable[..., None]) -> str:
    """The docstring of a command, a line a paragraph."""
    paragraphs = (inspect.getdoc(command) or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


class PlainFlags(TyperCommand):
    """A command whose flags are shown without a type."""

    def get_params(self, ctx: Any) -> Any:
        """All parameters, ``--help`` too."""
        return without_type(super().get_params(ctx))


class PlainFlagsGroup(TyperGroup):
    """The same of the root."""

    def get_params(self, ctx: Any) -> Any:
        """All parameters, ``--help`` too."""
        return without_type(super().get_params(ctx))


def without_type(parameters: list[Any]) -> list[Any]:
    """The parameters, an empty type shown where one is a flag."""
    for parameter in parameters:
        if isinstance(parameter, TyperOption) and parameter.is_flag:
            parameter.metavar = ""
    return parameters
