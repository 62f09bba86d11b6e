"""What a key of a spec may take: text, a number, one of some names, a mapping of keys.

A kind checks a value, in words and with its place, and writes its JSON Schema (draft-07). Whatever
depends on two keys is left to ``building.py``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np

from rnngrad.errors import did_you_mean
from rnngrad.files.spec_errors import Mistakes
from rnngrad.files.text import cut, dotted, listed, shown
from rnngrad.files.yaml_text import Steps

JsonSchema: TypeAlias = dict[str, Any]


class Kind(Protocol):
    """What a key takes."""

    def check(self, value: Any, path: Steps, mistakes: Mistakes) -> Any:
        """The value, ready for use; or None, with a mistake noted."""

    def schema(self, definitions: JsonSchema) -> JsonSchema:
        """The JSON Schema (draft-07) of such a value; named parts are put into ``definitions``."""


class Key(NamedTuple):
    """A key of a mapping: what it takes, what it means, what it is where it is left out."""

    kind: Kind
    meaning: str
    default: Any = None
    required: bool = False

    def schema(self, definitions: JsonSchema) -> JsonSchema:
        """The JSON Schema of the value, with what an editor shows on hovering."""
        made = self.kind.schema(definitions)
        made = {"allOf": [made]} if "$ref" in made else made
        default = {} if self.default is None else {"default": self.default}
        return {"description": self.meaning, **made, **default}


def _wrong(value: Any, path: Steps, expected: str, mistakes: Mistakes) -> None:
    mistakes.add(path, f"{dotted(path)} is {shown(value)}, must be {expected}")


class Text:
    """Any text."""

    def check(self, value: Any, path: Steps, mistakes: Mistakes) -> str | None:
        """The text itself."""
        if isinstance(value, str):
            return value
        _wrong(value, path, "text; put it in quotes", mistakes)
        return None

    def schema(self, definitions: JsonSchema) -> JsonSchema:
        """See Kind."""
        return {"type": "string"}


class Whole(NamedTuple):
    """An integer, at least ``least``; true and false are none."""

    least: int | None = None

    def check(self, value: Any, path: Steps, mistakes: Mistakes) -> int | None:
        """The integer itself."""
        whole = isinstance(value, int) and not isinstance(value, bool)
        huge = whole and abs(value) > sys.float_info.max
        if whole and not huge and (self.least is None or value >= self.least):
            return int(value)
        least = "" if self.least is None else f", at least {self.least}"
        least = ", of 308 digits at most" if huge else least
        _wrong(value, path, f"a whole number{least}", mistakes)
        return None

    def schema(self, definitions: JsonSchema) -> JsonSchema:
        """See Kind."""
        return {"type": "integer"} | ({} if self.least is None else {"minimum": self.least})


class Number(NamedTuple):
    """A finite number, at least ``least``."""

    least: float | None = None

    def check(self, value: Any, path: Steps, mistakes: Mistakes) -> float | None:
        """The number as a float."""
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        finite = number and abs(value) <= sys.float_info.max
        if finite and (self.least is None or value >= self.least):
            return float(value)
        least = "" if self.least is None else f", at least {self.least:g}"
        _wrong(value, path, f"a finite number{least}", mistakes)
        return None

    def schema(self, definitions: JsonSchema) -> JsonSchema:
        """See Kind."""
        return {"type": "number"} | ({} if self.least is None else {"minimum": self.least})


class Choice(NamedTuple):
    """One of ``names``."""

    names: Collection[str]

    def check(self, value: Any, path: Steps, mistakes: Mistakes) -> str | None:
        """The name itself."""
        if isinstance(value, str) and value in self.names:
            return value
        names = listed(self.names, "or")
        hint = did_you_mean(cut(value.lower()), self.names) if isinstance(value, str) else ""
        _wrong(value, path, f"{'one of ' if len(self.names) > 1 else ''}{names}{hint}", mistakes)
        return None

    def schema(self, definitions: JsonSchema) -> JsonSchema:
        """See Kind."""
        return {"type": "string", "enum": list(self.names)}


class Only(NamedTuple):
    """The one text that tells this mapping from others; nothing is left to check."""

    name: str

    def check(self, value: Any, path: Steps, mistakes: Mistakes) -> str:
        """The name itself."""
        return self.name

    def schema(self, definitions: JsonSchema) -> JsonSchema:
        """See Kind."""
        return {"const": self.name}


class CountedSteps(NamedTuple):
    """``all``, ``last`` or a list of steps; the list itself is checked where T is known."""

    def check(self, value: Any, path: Steps, mistakes: Mistakes) -> str | list[Any] | None:
        """The text or the list itself."""
        if isinstance(value, np.ndarray):
            value = value.tolist()
        if isinstance(value, list) or (isinstance(value, str) and value in ("all", "last")):
            return value
        hint = did_you_mean(cut(value), ("all", "last")) if isinstance(value, str) else ""
        example = f"; write [{shown(value)}]" if type(value) is int else hint
        _wrong(value, path, f"all, last or a list of steps{example}", mistakes)
        return None

    def schema(self, definitions: JsonSchema) -> JsonSchema:
        """See Kind."""
        steps = {"type": "array", "items": {"type": "integer", "minimum": 1}}
        return {"anyOf": [
            {"type": "string", "enum": ["all", "last"]},
            {**steps, "minItems": 1, "uniqueItems": True},
        ]}  # fmt: skip


class Group(NamedTuple):
    """A mapping of known keys."""

    title: str
    meaning: str
    keys: Mapping[str, Key]

    def check(self, value: Any, path: Steps, mistakes: Mistakes) -> dict[str, Any] | None:
        """key -> its checked value, for every key that was given and is right."""
        if not isinstance(value, dict):
            _wrong(value, path, f"a mapping of {listed(self.keys)}", mistakes)
            return None
        for name in value:
            if name not in self.keys:
                self._refuse(name, (*path, name), self._meant(name, value), mistakes)
        checked = {name: self._one(name, value, path, mistakes) for name in self.keys}
        return {name: one for name, one in checked.items() if one is not None}

    def _one(self, name: str, value: dict[str, Any], path: Steps, mistakes: Mistakes) -> Any:
        here, key = (*path, name), self.keys[name]
        if name not in value:
            if key.required and not mistakes.spoils(here):
                owner = dotted(path) or "the spec"
                words = f"{owner} lacks {name}: {key.meaning}"
                mistakes.add(path, words, at_key=True, spoils=here)
            return None
        if value[name] is None:
            way_out = "" if key.required else ", or leave the key out"
            words = f"{dotted(here)} is empty; give it a value{way_out}"
            mistakes.add(here, words, at_key=True)
            return None
        return key.kind.check(value[name], here, mistakes)

    def _meant(self, name: str, value: dict[str, Any]) -> str:
        """``; did you mean ...`` over the keys that are missing first, then all."""
        missing = [key for key in self.keys if key not in value and self.keys[key].required]
        hints = (did_you_mean(cut(name), keys) for keys in (missing, self.keys))
        return next(filter(None, hints), "")

    def _refuse(self, name: str, path: Steps, hint: str, mistakes: Mistakes) -> None:
        owner = f" in {dotted(path[:-1])}" if len(path) > 1 else ""
        known = hint or f"; the keys are {listed(self.keys)}"
        mistakes.add(path, f"unknown key {shown(name)}{owner}{known}", at_key=True)
        if hint:
            mistakes.spoiled.add((*path[:-1], hint.split("'")[1]))

    def schema(self, definitions: JsonSchema) -> JsonSchema:
        """See Kind; the group itself is named in ``definitions``."""
        if self.title not in definitions:
            definitions[self.title] = self.body(definitions)
        return {"$ref": f"#/definitions/{self.title}"}

    def body(self, definitions: JsonSchema) -> JsonSchema:
        """The JSON Schema of the mapping, written out."""
        required = [name for name, key in self.keys.items() if key.required]
        return {
            "title": self.title.replace("_", " "),
            "description": self.meaning,
            "type": "object",
            "properties": {name: key.schema(definitions) for name, key in self.keys.items()},
            "additionalProperties": False,
        } | ({"required": required} if required else {})


class CheckedLater(NamedTuple):
    """A value that is checked elsewhere, since what may stand there hangs on other keys; ``made``
    makes its JSON Schema."""

    made: Callable[[JsonSchema], JsonSchema]

    def check(self, value: Any, path: Steps, mistakes: Mistakes) -> Any:
        """The value as it is."""
        return value

    def schema(self, definitions: JsonSchema) -> JsonSchema:
        """See Kind."""
        return self.made(definitions)
