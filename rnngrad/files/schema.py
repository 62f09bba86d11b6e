"""The shape of a spec, said once: what each key takes, as frozen records.

The same records check a spec, in words, and write its JSON Schema. Numbers in arrays are left to
``numbers.py``, which knows the place of each; whatever depends on two keys, to ``building.py``.

Not pydantic: building its models for this shape takes 50 to 100 ms, most of a small ``derive``, and
each of its messages would still have to be said again in words.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np

from rnngrad.arithmetic.functions import ACTIVATIONS
from rnngrad.errors import did_you_mean
from rnngrad.files.drawing import INITIALISERS, SEQUENCES, Draw, Filling, Option
from rnngrad.files.mistakes import Mistakes
from rnngrad.files.reading import Steps
from rnngrad.files.text import cut, dotted, listed, shown
from rnngrad.net.losses import LOSSES
from rnngrad.net.outputs import OUTPUTS

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
        """``; did you mean ...`` over the keys that are missing first, then the others."""
        absent = [key for key in self.keys if key not in value]
        missing = [key for key in absent if self.keys[key].required]
        hints = (did_you_mean(cut(name), keys) for keys in (missing, absent, self.keys))
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


# ---------------------------------------------------------------------------- arrays


class Written(NamedTuple):
    """An array written out: a number, a list, rows, or a NumPy array."""

    value: Any


class File(NamedTuple):
    """An array in a file."""

    file: str
    key: str | None = None


class Filled(NamedTuple):
    """An array to be drawn; ``steps`` is the T of a sequence, where it is given."""

    draw: Draw
    steps: int | None = None


ArraySource: TypeAlias = Written | File | Filled

_NUMBER: JsonSchema = {"type": "number"}
_LIST: JsonSchema = {"type": "array", "items": _NUMBER, "minItems": 1}
_ROWS: JsonSchema = {"type": "array", "items": _LIST, "minItems": 1}

FILE = Group(
    "file",
    "An array in a file.",
    {
        "file": Key(Text(), ".npy, .npz or .csv, relative to the spec's folder", required=True),
        "key": Key(Text(), "which array of a .npz; may be left out where it holds only one"),
    },
)


class Source(NamedTuple):
    """An array, in any of its forms.

    ``written`` are the JSON Schemas of its written forms. A mapping is told by its first key:
    ``choices`` maps such a key to the names it takes, and each name to its group.
    """

    written: tuple[JsonSchema, ...]
    choices: Mapping[str, Mapping[str, Group]] = MappingProxyType({})
    zeros: Group | None = None

    def check(self, value: Any, path: Steps, mistakes: Mistakes) -> ArraySource | None:
        """How the array is to be had."""
        if not isinstance(value, dict):
            return Written(value)
        if "file" in value:
            checked = FILE.check(value, path, mistakes)
            return None if checked is None or mistakes.spoils(path) else File(**checked)
        if self.zeros and "zeros" in value:
            checked = self.zeros.check(value, path, mistakes)
            whole = checked is not None and not mistakes.spoils(path)
            return (
                Filled(Draw("init", "zeros", {}), checked["zeros"]) if whole and checked else None
            )
        for key, names in self.choices.items():
            if key in value:
                return self._filled(key, names, value, path, mistakes)
        mistakes.add(path, f"{dotted(path)} is a mapping without the key {self._telling()}")
        return None

    def _telling(self) -> str:
        keys = [*self.choices, "file", *(["zeros"] if self.zeros else [])]
        return listed(keys, "or")

    def _filled(
        self, key: str, names: Mapping[str, Group], value: Any, path: Steps, mistakes: Mistakes
    ) -> Filled | None:
        kind = Choice(tuple(names)).check(value[key], (*path, key), mistakes)
        checked = kind and names[kind].check(value, path, mistakes)
        if not kind or not checked or mistakes.spoils(path):
            return None
        table = INITIALISERS if key == "init" else SEQUENCES
        defaults = {n: o.default for n, o in table[kind].options.items() if o.default is not None}
        given = {name: checked[name] for name in table[kind].options if name in checked}
        return Filled(Draw(key, kind, defaults | given), checked.get("steps"))

    def schema(self, definitions: JsonSchema) -> JsonSchema:
        """See Kind."""
        groups = [FILE, *(group for names in self.choices.values() for group in names.values())]
        groups += [self.zeros] if self.zeros else []
        return {"anyOf": [*self.written, *(group.schema(definitions) for group in groups)]}


FORMS = frozenset({"file", "zeros", "init", "random"})
"""The first keys of the forms of an array: a mapping of one form has no key of another."""

ARRAYS = ("inputs", "targets", "h_0", "c_0")
"""The keys of a spec that are arrays, as every weight is."""


def _option(option: Option) -> Key:
    return Key(Number(option.least), option.meaning, option.default, option.required)


def _group(key: str, record: Filling, steps: Mapping[str, Key], suffix: str = "") -> Group:
    telling = {key: Key(Only(record.name), record.meaning, required=True)}
    options = {name: _option(option) for name, option in record.options.items()}
    title = f"{key}_{record.name}{suffix}"
    return Group(title, f"{record.meaning}.".capitalize(), {**telling, **steps, **options})


def parameter(rank: int | None) -> Source:
    """A weight matrix (rank 2), a vector (1), where a scalar stands for 1×1 or for length 1, or a
    number (0); None: any of them."""
    fitting = (r for r in INITIALISERS.values() if rank in (2, None) or not r.matrix_only)
    groups = {record.name: _group("init", record, {}) for record in fitting}
    written = {0: (_NUMBER,), 1: (_NUMBER, _LIST), 2: (_NUMBER, _ROWS)}
    return Source((_NUMBER, _LIST, _ROWS) if rank is None else written[rank], {"init": groups})


def _sequence(*, required: bool) -> Source:
    """Inputs, or targets, whose steps default to those of the inputs."""
    meaning = "the number of steps T" if required else "the number of steps; T by default"
    steps = {"steps": Key(Whole(1), meaning, required=required)}
    suffix = "" if required else "_targets"
    groups = {r.name: _group("random", r, steps, suffix) for r in SEQUENCES.values()}
    return Source((_LIST, _ROWS), {"random": groups}, _ZEROS)


_ZEROS = Group(
    "zeros",
    "A sequence of zeros.",
    {"zeros": Key(Whole(1), "the number of steps T", required=True)},
)


# ---------------------------------------------------------------------------- the spec


_SIZES = Group(
    "sizes",
    "The sizes of the net, needed only where no array fixes them.",
    {
        "inputs": Key(Whole(1), "I, the numbers in x_t"),
        "hidden": Key(Whole(1), "H, the hidden units"),
        "outputs": Key(Whole(1), "O, the numbers in y_t"),
    },
)


def sizes(letters: Collection[str]) -> Group:
    """``sizes`` of a cell: the three words, and its letters by themselves."""
    keys = {letter: Key(Whole(1), f"the size {letter} of the cell") for letter in letters}
    return _SIZES._replace(keys={**_SIZES.keys, **keys})


class Sizes(NamedTuple):
    """A mapping that is checked once the cell and its letters are known."""

    def check(self, value: Any, path: Steps, mistakes: Mistakes) -> Any:
        """The value as it is."""
        return value

    def schema(self, definitions: JsonSchema) -> JsonSchema:
        """See Kind."""
        letter = {"type": "integer", "minimum": 1, "description": "a size of the cell, by letter"}
        named = _SIZES.body(definitions)
        definitions["sizes"] = named | {"patternProperties": {"^[A-Z][A-Za-z0-9]*$": letter}}
        return {"$ref": "#/definitions/sizes"}


class OfCell(NamedTuple):
    """What stands in ``cell``; ``cells.py`` checks it before all else."""

    def check(self, value: Any, path: Steps, mistakes: Mistakes) -> Any:
        """The value as it is."""
        return value

    def schema(self, definitions: JsonSchema) -> JsonSchema:
        """See Kind."""
        from rnngrad.files.cells import CellKind

        return CellKind().schema(definitions)


class Weights(NamedTuple):
    """A mapping that ``parameters.py`` checks, once the cell is known."""

    def check(self, value: Any, path: Steps, mistakes: Mistakes) -> Any:
        """The value as it is."""
        return value

    def schema(self, definitions: JsonSchema) -> JsonSchema:
        """See Kind; the forms hang on ``cell``."""
        return {}


_FORMS = "rows of numbers, {file: x.npy}, {random: normal, steps: T, scale: s} or {zeros: T}"


def _start(part: str) -> Key:
    meaning = f"what {part}, a part of the state, begins with: a list, a number for all, or a file"
    return Key(Source((_NUMBER, _LIST)), meaning)


SPEC = Group(
    "rnngrad_spec",
    "One net and one sequence, for rnngrad.",
    {
        "name": Key(Text(), "free text; the file's stem by default"),
        "cell": Key(OfCell(), "a cell that 'rnngrad cells' lists, or its equations", "rnn"),
        "activation": Key(Choice(tuple(ACTIVATIONS)), "σ of the hidden units; rnn only", "tanh"),
        "output_activation": Key(
            Choice(tuple(OUTPUTS)), "g of y_t = g(W_hy h_t + b_y)", "identity"
        ),
        "loss": Key(
            Choice(tuple(LOSSES)),
            "per step; binary_cross_entropy needs sigmoid outputs, cross_entropy softmax",
            "squared_error",
        ),
        "loss_steps": Key(
            CountedSteps(), "all, last, or a list of the steps that count, from 1", "all"
        ),
        "loss_reduction": Key(Choice(("sum", "mean")), "over the steps that count", "sum"),
        "sizes": Key(Sizes(), "needed only where no array fixes them"),
        "weights": Key(Weights(), "W_xh, W_hh, and if wanted biases, W_hy, b_y", required=True),
        "h_0": _start("h"),
        "c_0": _start("c"),
        "inputs": Key(_sequence(required=True), f"T×I: {_FORMS}", required=True),
        "targets": Key(_sequence(required=False), f"T×O: {_FORMS}; without it there is no loss"),
        "seed": Key(Whole(), "every random draw of the spec repeats with it", 0),
    },
)
"""key -> what it takes: the one place to add a key."""


def spec_with(parts: Collection[str]) -> Group:
    """The spec of a cell whose state has these parts, each of which has a start."""
    starts = {f"{part}_0": _start(part) for part in parts}
    return SPEC._replace(keys={**SPEC.keys, **starts})


def json_schema() -> JsonSchema:
    """The JSON Schema (draft-07) of a spec, for editors."""
    from rnngrad.files import parameters

    definitions: JsonSchema = {}
    body = SPEC.body(definitions) | parameters.schema(definitions)
    body["patternProperties"] = {r"^[A-Za-z]\w*_0$": _start("of that name").schema(definitions)}
    dialect = "http://json-schema.org/draft-07/schema#"
    return {"$schema": dialect, **body, "definitions": definitions}
