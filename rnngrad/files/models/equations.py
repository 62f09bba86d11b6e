"""The cell of a file's net: one that comes with rnngrad, or its equations with other functions.

A function is written with {} where its argument stands: ``tanh({})``, ``hard_sigmoid(1.2 ({}))``.
What stands there is the sum of an equation, which gets a name where it is needed twice.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from rnngrad.arithmetic.functions import ACTIVATIONS
from rnngrad.cells import CELLS, own_cell, shipped
from rnngrad.net.cells import Cell

_LAST_CALL = re.compile(r"(?P<before>(?P<name>\w+)_t = .*?)(?P<function>σ|tanh)\((?P<inner>.*)\)")
_PLAIN = re.compile(r"(\w+)\(\{\}\)")

Written = Mapping[str, Any]
"""A spec's ``cell:``."""


class Net(NamedTuple):
    """The name of a net's cell, its equations where it does not come with rnngrad, and the
    activation of an rnn."""

    name: str
    own: Written | None = None
    activation: str | None = None


def with_functions(
    base: str, functions: Mapping[str, str], instead: Mapping[str, str] | None = None
) -> Net:
    """A cell that comes with rnngrad, with other functions.

    ``functions`` are the last ones of some equations, by the name that these define; ``instead``
    whole right sides, such as ``{"f": "1 - i_t"}``.
    """
    if base == "rnn" and activation_of(functions["h"]) is not None:
        return Net(base, None, activation_of(functions["h"]))
    instead = instead or {}
    mapping = shipped(base).mapping
    equations: list[str] = []
    others: dict[str, None] = {}
    for text in mapping["equations"]:
        match, name = _LAST_CALL.fullmatch(text), text.partition("_t = ")[0]
        if name in instead:
            equations.append(f"{name}_t = {instead[name]}")
        elif match is None or functions.get(name, "") in ("", f"{match['function']}({{}})"):
            equations.append(text)
        else:
            others[_applied(functions[name], "a")] = None
            equations += _replaced(match, functions[name])
    if not others and not instead:
        return Net(base)
    words = [f"{name}_t = {right}" for name, right in instead.items()]
    words += [f"with {', '.join(others)}"] if others else []
    state = list(mapping.get("state", ("h",)))
    name = f"{base} {', '.join(words)}"
    return Net(name, {"name": name, "state": state, "equations": equations})


def _replaced(match: re.Match[str], function: str) -> list[str]:
    """An equation with another last function."""
    before, inner = match["before"], match["inner"]
    above = []
    if function.count("{}") > 1 and not re.fullmatch(r"\w+", inner):
        above = [f"u_{match['name']}_t = {inner}"]
        inner = f"u_{match['name']}_t"
    value = _applied(function, inner)
    alone = _PLAIN.fullmatch(function) or re.fullmatch(r"\w+", value)
    factor = not before.endswith("= ") and not alone
    return [*above, before + (f"({value})" if factor else value)]


def _applied(function: str, inner: str) -> str:
    """The function of what ``inner`` says, in brackets behind a number unless it is a name."""
    if re.fullmatch(r"\w+", inner):
        function = function.replace(" ({})", " {}")
    return function.replace("{}", inner)


def activation_of(function: str) -> str | None:
    """The name of a function as a spec's ``activation``, where it has one."""
    match = _PLAIN.fullmatch(function)
    name = "identity" if function == "{}" else match[1] if match else ""
    name = "sigmoid" if name == "σ" else name
    return name if name in ACTIVATIONS else None


def cell_of(name: str, own: Written | None) -> Cell:
    """The cell of that name, or of equations that ``with_functions`` made."""
    return (
        CELLS[name] if own is None else own_cell(name, tuple(own["equations"]), tuple(own["state"]))
    )


# ---------------------------------------------------------------------------- functions


def linear(scale: Decimal, shift: Decimal) -> str:
    """scale · a + shift"""
    return ("{}" if scale == 1 else f"{scale:f} ({{}})") + _plus(shift)


def _plus(number: Decimal, behind: str = "") -> str:
    """`` + 0.5``, `` - 0.5``; nothing for 0."""
    if not number:
        return ""
    digits = "" if behind and abs(number) == 1 else f"{abs(number).normalize():f}"
    return f" {'-' if number < 0 else '+'} {digits}{' ' if digits and behind else ''}{behind}"


def clipped(scale: Decimal, shift: Decimal) -> str:
    """scale · a + shift between 0 and 1; hard_sigmoid is a/6 + 1/2 there."""
    return f"hard_sigmoid({linear((6 * scale).normalize(), 6 * shift - 3)})"


def leaky(slope: Decimal) -> str:
    """a above 0, slope · a below."""
    if slope in (0, Decimal("0.01")):
        return "leaky_relu({})" if slope else "relu({})"
    return "relu({})" + _plus(-slope, "relu(-{})")


def elu(scale: Decimal) -> str:
    """a above 0, scale (eᵃ − 1) below."""
    return "elu({})" if scale == 1 else "relu({})" + _plus(scale, "elu(-relu(-{}))")


def scaled_tanh(scale: Decimal, inner: Decimal) -> str:
    """scale · tanh(inner · a)"""
    inside = f"tanh({linear(inner.normalize(), Decimal(0))})"
    return inside if scale == 1 else f"{scale.normalize():f} {inside}"
