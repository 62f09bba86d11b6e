"""The quick way in: a well-formed command line, read from the same declarations as Typer's.

Typer turns each word into a value by way of pydantic, whose import takes half as long as NumPy's; a
command that is done in a few milliseconds would wait for it. A command line of nothing but
``--name value``, ``--name=value``, ``-o value``, flags and arguments needs none of that. Whatever
is not as plain (help, a mistake, an abbreviation, ``--``, the root's own options) is left to Typer,
which knows what to say; a test holds the two readings against each other.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints

Command = Callable[..., None]

CONVERTED: Mapping[object, Callable[[str], object]] = {
    str: str,
    int: int,
    float: float,
    Path: Path,
}


class Parameter(NamedTuple):
    """One parameter of a command: the words that name it (none for an argument) and its type."""

    name: str
    words: tuple[str, ...]
    kind: object
    many: bool
    default: object


class _NotPlainError(Exception):
    """This command line is Typer's to read."""


def plain_call(words: Sequence[str], commands: Mapping[str, Command]) -> Callable[[], None] | None:
    """The call that these words ask for, or None where Typer must read them."""
    if (
        not words
        or words[0] not in commands
        or any(name.endswith("_COMPLETE") for name in os.environ)
    ):
        return None
    command = commands[words[0]]
    try:
        values = arguments(command, words[1:])
    except _NotPlainError:
        return None
    return lambda: command(**values)


def arguments(command: Command, words: Sequence[str]) -> dict[str, object]:
    """The command's arguments by name; _NotPlainError for anything out of the ordinary."""
    parameters = _parameters(command)
    by_word = {word: parameter for parameter in parameters for word in parameter.words}
    places = [parameter for parameter in parameters if not parameter.words]
    found: dict[str, list[str | bool]] = {}
    rest = list(reversed(words))
    while rest:
        parameter, value = _next(rest, by_word, places)
        found.setdefault(parameter.name, []).append(value)
    return {
        parameter.name: _value(parameter, found.get(parameter.name)) for parameter in parameters
    }


def _next(
    rest: list[str], by_word: Mapping[str, Parameter], places: list[Parameter]
) -> tuple[Parameter, str | bool]:
    """Take the next parameter and its value off the reversed words."""
    word = rest.pop()
    if word == "-" or not word.startswith("-"):
        if not places:
            raise _NotPlainError
        return places[0] if places[0].many else places.pop(0), word
    name, equals, given = word.partition("=") if word.startswith("--") else (word, "", "")
    parameter = by_word.get(name)
    if parameter is None or (parameter.kind is bool and equals):
        raise _NotPlainError
    if parameter.kind is bool:
        return parameter, True
    if equals:
        return parameter, given
    if not rest or (rest[-1].startswith("-") and rest[-1] != "-"):
        raise _NotPlainError
    return parameter, rest.pop()


def _value(parameter: Parameter, found: list[str | bool] | None) -> object:
    """The parameter's value out of the words for it, or its default."""
    if found is None:
        if parameter.default is inspect.Parameter.empty:
            raise _NotPlainError
        return parameter.default
    if parameter.kind is bool:
        return True
    if len(found) > 1 and not parameter.many:
        raise _NotPlainError
    try:
        values = [CONVERTED[parameter.kind](str(word)) for word in found]
    except ValueError:
        raise _NotPlainError from None
    return values if parameter.many else values[0]


def _parameters(command: Command) -> list[Parameter]:
    """The command's parameters as declared for Typer: Annotated[type, typer.Option(...)]."""
    hints = get_type_hints(command, include_extras=True)
    signature = inspect.signature(command)
    return [_parameter(name, hints[name], p.default) for name, p in signature.parameters.items()]


def _parameter(name: str, hint: Any, default: object) -> Parameter:
    declared, info = get_args(hint)[:2]
    kinds = [kind for kind in get_args(declared) or [declared] if kind is not NoneType]
    many = get_origin(declared) is list or get_origin(kinds[0]) is list
    kind = get_args(kinds[0])[0] if many and get_origin(kinds[0]) is list else kinds[0]
    if getattr(info, "callback", None) or getattr(info, "parser", None):
        raise _NotPlainError
    words = (info.default, *(info.param_decls or ()))  # within Annotated, the first stands there
    named = tuple(word for word in words if isinstance(word, str) and word.startswith("-"))
    return Parameter(name, named, kind, many, default)
