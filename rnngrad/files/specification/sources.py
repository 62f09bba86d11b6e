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
from rnngrad.files.mistakes import Mistakes
from rnngrad.files.specification.kinds import (
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

    def check(self, value: Any, path: Steps, mistakes: Mistakes) -> ArraySource:
        """How the array is to be had."""
        if not isinstance(value, dict):
            return value
        if "file" in value:
            checked = FILE.check(value, path, mistakes)
            return None if checked is None or mistakes.spoils(path) else File(**checked)
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
    written = {0: (NUMBER,), 1: (NUMBER, LIST), 2: (NUMBER, _ROWS)}
    return Source((NUMBER, LIST, _ROWS) if rank is None else written[rank], {"init": groups})


def sequence(*, required: bool) -> Source:
    """Inputs, or targets, whose steps default to those of the inputs."""
    meaning = "the number of steps T" if required else "the number of steps; T by default"
    steps = {"steps": Key(Whole(1), meaning, required=required), "sequences": _SEQUENCES}
    suffix = "" if required else "_targets"
    groups = {r.name: _group("random", r, steps, suffix) for r in SEQUENCES.values()}
    return Source((LIST, _ROWS, _BLOCKS), {"random": groups}, _ZEROS)


_SEQUENCES = Key(Whole(1), "B, the number of sequences of a batch")


_ZEROS = Group(
    "zeros",
    "A sequence of zeros.",
    {"zeros": Key(Whole(1), "the number of steps T", required=True), "sequences": _SEQUENCES},
)
