"""The forms in which a spec gives an array: written out, in a file, or to be drawn.

    W_hh: [[1, 2], [3, 4]]     W_hh: {file: w.npz, key: W}     W_hh: {init: orthogonal, gain: 0.9}

Numbers written out are left to ``arrays/numbers.py``, which knows the place of each.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

from rnngrad.files.arrays.drawing import INITIALISERS, SEQUENCES, Draw, Filling, Option
from rnngrad.files.arrays.readers import File
from rnngrad.files.spec_errors import Mistakes
from rnngrad.files.specification.value_types import (
    Choice,
    Group,
    JsonSchema,
    Key,
    Number,
    Only,
    Text,
    Whole,
)
from rnngrad.files.text import dotted, listed
from rnngrad.files.yaml_text import Steps

ArraySource: TypeAlias = File | Draw | Any
"""A file's array, one to be drawn, or what is written out: a number, a list, rows, an array."""

NUMBER: JsonSchema = {"type": "number"}
LIST: JsonSchema = {"type": "array", "items": NUMBER, "minItems": 1}
_ROWS: JsonSchema = {"type": "array", "items": LIST, "minItems": 1}
_BLOCKS: JsonSchema = {"type": "array", "items": _ROWS, "minItems": 1}

ZEROS = Draw("init", "zeros", {})


class GateKeys:
    """gate -> the key of its rows; which gates there are is checked where the cell is known."""

    def check(self, value: Any, path: Steps, mistakes: Mistakes) -> dict[str, str] | None:
        """The mapping itself."""
        if isinstance(value, dict) and value and all(isinstance(k, str) for k in value.values()):
            return value
        words = (
            f"{dotted(path)} must be a mapping from each gate to a key, such as {{i: W_ii, ...}}"
        )
        mistakes.add(path, words)
        return None

    def schema(self, definitions: JsonSchema) -> JsonSchema:
        """See Kind."""
        return {
            "title": "gates",
            "description": "gate -> the key of its rows",
            "type": "object",
            "properties": {},
            "additionalProperties": {"type": "string"},
            "minProperties": 1,
        }


class Gated(NamedTuple):
    """A parameter whose gates are kept as separate arrays of one file, by gate."""

    file: str
    keys: Mapping[str, str]


FILE = Group(
    "file",
    "An array in a file.",
    {
        "file": Key(Text(), ".npy, .npz or .csv, relative to the spec's folder", required=True),
        "key": Key(Text(), "which array of a .npz; may be left out where it holds only one"),
        "gates": Key(GateKeys(), "in place of key, gate by gate: {i: key, f: key, g: key, o: key}"),
    },
)


class Embedded(NamedTuple):
    """Rows of an embedding, one a step: the source of the ids, and that of the table."""

    ids: ArraySource
    table: ArraySource


class Source(NamedTuple):
    """An array, in any of its forms.

    ``written`` are the JSON Schemas of its written forms. A mapping is told by its first key:
    ``choices`` maps such a key to the names it takes, and each name to its group.
    """

    written: tuple[JsonSchema, ...]
    choices: Mapping[str, Mapping[str, Group]] = MappingProxyType({})
    zeros: Group | None = None
    tokens: Group | None = None

    def check(self, value: Any, path: Steps, mistakes: Mistakes) -> ArraySource:
        """How the array is to be had."""
        if not isinstance(value, dict):
            return value
        if self.tokens and ("embedding" in value or "ids" in value):
            return self._embedded(self.tokens, value, path, mistakes)
        if "file" in value:
            checked = FILE.check(value, path, mistakes)
            if checked is None or mistakes.spoils(path):
                return None
            if "gates" in checked:
                return self._gated(checked, path, mistakes)
            return File(**checked)
        if self.zeros and "zeros" in value:
            checked = self.zeros.check(value, path, mistakes)
            whole = checked is not None and not mistakes.spoils(path)
            if not whole or not checked:
                return None
            return ZEROS._replace(steps=checked["zeros"], sequences=checked.get("sequences"))
        for key, names in self.choices.items():
            if key in value:
                return self._filled(key, names, value, path, mistakes)
        mistakes.add(path, f"{dotted(path)} is a mapping without the key {self._telling()}")
        return None

    def _gated(self, checked: Any, path: Steps, mistakes: Mistakes) -> Gated | None:
        if "key" in checked:
            mistakes.add((*path, "key"), f"{dotted(path)} has key and gates, must have one of them")
            return None
        return Gated(checked["file"], checked["gates"])

    def _embedded(
        self, tokens: Group, value: Any, path: Steps, mistakes: Mistakes
    ) -> Embedded | None:
        checked = tokens.check(value, path, mistakes)
        if checked is None or mistakes.spoils(path) or "embedding" not in checked:
            return None
        if ("file" in checked) == ("ids" in checked):
            mistakes.add(path, f"{dotted(path)} needs file or ids, one of them, for the token ids")
            return None
        file = File(checked["file"], checked.get("key")) if "file" in checked else None
        return Embedded(checked["ids"] if file is None else file, checked["embedding"])

    def _telling(self) -> str:
        keys = [*self.choices, "file", *(["zeros"] if self.zeros else [])]
        return listed(keys, "or")

    def _filled(
        self, key: str, names: Mapping[str, Group], value: Any, path: Steps, mistakes: Mistakes
    ) -> Draw | None:
        kind = Choice(tuple(names)).check(value[key], (*path, key), mistakes)
        checked = kind and names[kind].check(value, path, mistakes)
        if not kind or not checked or mistakes.spoils(path):
            return None
        table = INITIALISERS if key == "init" else SEQUENCES
        defaults = {n: o.default for n, o in table[kind].options.items() if o.default is not None}
        given = {name: checked[name] for name in table[kind].options if name in checked}
        steps, sequences = checked.get("steps"), checked.get("sequences")
        return Draw(key, kind, defaults | given, steps=steps, sequences=sequences)

    def schema(self, definitions: JsonSchema) -> JsonSchema:
        """See Kind."""
        groups = [FILE, *(group for names in self.choices.values() for group in names.values())]
        groups += [group for group in (self.zeros, self.tokens) if group]
        return {"anyOf": [*self.written, *(group.schema(definitions) for group in groups)]}


FORMS = frozenset({"file", "zeros", "init", "random"})
"""The first keys of the forms of an array: a mapping of one form has no key of another."""

ARRAYS = ("inputs", "targets", "upstream", "class_weights", "h_0", "c_0")
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
    written = {0: (NUMBER,), 1: (NUMBER, LIST), 2: (NUMBER, _ROWS)}
    return Source((NUMBER, LIST, _ROWS) if rank is None else written[rank], {"init": groups})


def sequence(*, required: bool) -> Source:
    """Inputs, or targets, whose steps default to those of the inputs."""
    meaning = "the number of steps T" if required else "the number of steps; T by default"
    steps = {"steps": Key(Whole(1), meaning, required=required), "sequences": _SEQUENCES}
    suffix = "" if required else "_targets"
    groups = {r.name: _group("random", r, steps, suffix) for r in SEQUENCES.values()}
    return Source((LIST, _ROWS, _BLOCKS), {"random": groups}, _ZEROS, _TOKENS if required else None)


_TOKENS = Group(
    "tokens",
    "Token ids, T whole numbers from 0, each a row of an embedding.",
    {
        "file": Key(Text(), "the file of the ids"),
        "key": FILE.keys["key"],
        "ids": Key(Source((LIST, _ROWS)), "the ids themselves, in place of a file"),
        "embedding": Key(
            Source((_ROWS,)),
            "the table, a row of I numbers a token: a file, or rows",
            required=True,
        ),
    },
)


_SEQUENCES = Key(Whole(1), "B, the number of sequences of a batch")


_ZEROS = Group(
    "zeros",
    "A sequence of zeros.",
    {"zeros": Key(Whole(1), "the number of steps T", required=True), "sequences": _SEQUENCES},
)
