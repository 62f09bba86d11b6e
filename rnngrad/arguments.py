"""What Python's functions are given: errors that name an argument, not an option of the commands.

Nothing is looked at before something has gone wrong, so that a call costs no more than it did.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from inspect import signature
from numbers import Integral, Real
from os import PathLike
from reprlib import repr as short
from types import MappingProxyType
from typing import Any, ParamSpec, TypeVar

from rnngrad.errors import MemoryLimitError, QuantityError, SpecError, UsageError

P = ParamSpec("P")
R = TypeVar("R")


def _all(of: Callable[[object], bool]) -> Callable[[object], bool]:
    def every(value: object) -> bool:
        iterable = isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping)
        return iterable and all(map(of, value))  # type: ignore[call-overload]

    return every


def _one_of(*kinds: type) -> Callable[[object], bool]:
    return lambda value: isinstance(value, kinds)


def _either(*tests: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: any(test(value) for test in tests)


def _problem(value: object) -> bool:
    return hasattr(value, "lengthen") and hasattr(value, "draw")


_text, _whole, _none = _one_of(str), _one_of(Integral), _one_of(type(None))
_path, _real = _one_of(str, PathLike), _one_of(Real)

Test = tuple[Callable[[object], bool], str]
_ANYTHING: Test = (lambda value: True, "")
_PROBLEM = "a problem, as rnngrad.load returns it"
_DERIVED = "a result of rnngrad.derive"
_SCALES = "numbers, or a text such as '0.1:4:40'"

TAKEN: Mapping[str, Test] = MappingProxyType(
    {
        "problem": (_problem, _PROBLEM),
        "sweep.problem": (_either(_problem, _all(_problem)), f"{_PROBLEM}, or a list of them"),
        "report.problem": (_either(_problem, _all(_problem)), f"{_PROBLEM}, or a list of them"),
        "overrides": (_all(_text), "a list of texts, such as ['activation=relu']"),
        "checkpoint": (_either(_text, _none), "the name of a file"),
        "against": (_either(_path, _none, _one_of(Mapping)), "a mapping of arrays, or a file"),
        "scales": (_either(_text, _real, _all(_real)), _SCALES),
        "report.scales": (_either(_text, _none, _real, _all(_real)), _SCALES),
        "seeds": (_whole, "a whole number"),
        "workers": (_whole, "a whole number"),
        "warmup": (_whole, "a whole number"),
        "steps": (_all(_whole), "a list of whole numbers, such as [50, 100]"),
        "truncation.steps": (_all(_whole), "whole numbers"),
        "activations": (_all(_text), "a list of names, such as ['tanh']"),
        "relative_to": (_text, "a text"),
        "gate": (_either(_text, _none), "a name"),
        "steady": (_either(_real, _none), "a number"),
        "critical_rtol": (_either(_real, _none), "a number"),
        "bracket": (_either(_real, _none), "a number"),
        "file": (_either(_path, _none), "the name of a file"),
        "what": (_either(_text, _all(_text)), "names of pictures, such as ['reach']"),
        "step": (_either(_whole, _none), "a whole number"),
        "cliff": (_either(_text, _none), "a text, such as 'W_hh[0,0],b_h[0]'"),
        "sweep.over": (_either(_text, _none), "a text, such as 'scale,seed'"),
        "over": (_text, "a text, such as 'W_hh[0,0],b_h[0]'"),
        "ax": (lambda value: value is None or hasattr(value, "figure"), "axes of Matplotlib's"),
        "others": (_all(lambda value: hasattr(value, "problem")), _DERIVED),
        "name": (_text, "a name"),
        "names": (_all(_text), "names"),
        "width": (_whole, "a whole number"),
    }
)  # fmt: skip
"""An argument, of one function or of all that have one of its name: what it must be."""

OPTIONS: Mapping[str, str] = MappingProxyType(
    {
        "plot-what": "what",
        "whh-scale": "scales",
        "activation": "activations",
        "set": "overrides",
        "checkpoints": "checkpoint",
        "map": "over",
        "truncation": "steps",
        "max-memory": "rnngrad.memory.allow",
    }
)
"""An option of the command line whose argument has another name, or that is a function."""

_EXPLAIN = re.compile(r"--explain (\S+):")
_SET = re.compile(r"--set (\S+=\S+)")
_OPTION = re.compile(r"(rnngrad \w+ )?(?<![\w-])--([a-z]+(?:-[a-z]+)*)(?: (?=[^\s:;,]+:))?")


def spoken(function: Callable[P, R]) -> Callable[P, R]:
    """The function, whose errors speak of its arguments: TypeError for what is of a wrong kind."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except (UsageError, MemoryLimitError) as error:
            _check(function, args, kwargs)
            raise type(error)(in_python(str(error))) from None
        except SpecError as error:
            _check(function, args, kwargs)
            raise SpecError(map(in_python, error.mistakes)) from None
        except (AttributeError, TypeError, ValueError, QuantityError):
            _check(function, args, kwargs)
            raise

    return call


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """The same; the arguments are looked at first, since what is wrong comes to light later."""
    said = spoken(function)

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        _check(function, args, kwargs)
        return said(*args, **kwargs)

    return call


def in_python(words: str) -> str:
    """``--steps 0: …`` -> ``steps=0: …``; the option of a command that is named stays."""

    def argument(found: re.Match[str]) -> str:
        name = OPTIONS.get(found[2], found[2].replace("-", "_"))
        shown = f"{name}=" if found[0].endswith(" ") else name
        return found[0] if found[1] else shown

    calls = words.replace("--max-memory SIZE", "rnngrad.memory.allow('SIZE')")
    calls = _EXPLAIN.sub(r"explain('\1'):", calls)
    return _OPTION.sub(argument, _SET.sub(r"overrides=['\1']", calls))


def _check(
    function: Callable[..., Any], args: tuple[object, ...], given: Mapping[str, object]
) -> None:
    """TypeError for the first argument that is not what it must be."""
    called = "plot" if function.__name__ == "__call__" else function.__name__
    try:
        bound = signature(function).bind(*args, **given)
    except TypeError as error:
        raise TypeError(f"{called}: {error}") from None
    for name, value in bound.arguments.items():
        test, words = TAKEN.get(f"{called}.{name}") or TAKEN.get(name, _ANYTHING)
        if not test(value):
            plain = value is None or isinstance(value, str | int | float | list | tuple)
            shown = short(value) if plain else type(value).__name__
            raise TypeError(f"{called}: {name} must be {words}, not {shown}")
